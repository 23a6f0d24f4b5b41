"""One program: a signature and what is called with inputs that fit it, whatever kind of thing that is."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ._bridge import unfinished
from ._replies import invalid_arguments
from ._signature import Signature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeGuard

    from ._loading import Loader

# Each type with the keys of a config that it takes beside `id`, `program_type` and `signature`.
_OWN_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "python": ("function",),
    "predict": (),
    "chain_of_thought": (),
    "react": ("tools", "max_iters"),
}
_COMMON_KEYS: Final = frozenset(("id", "program_type", "signature"))


class Program:
    """A program, and what is known of its use.

    Args:
        config: ``signature``, ``program_type`` (``python`` if absent) and what that type needs: ``function``
            (``"module:name"``) for ``python``; ``tools`` (a list of the same) and ``max_iters`` for ``react``. None is
            the same as absent.
        loader: Imports functions.

    Raises:
        Refused: The config is not of that form, a function cannot be imported or is no plain one, or what the type
            needs is not installed.
    """

    __slots__ = ("_call", "created_at", "execution_count", "last_executed", "own", "program_type", "signature")

    def __init__(self, config: dict[str, Any], loader: Loader) -> None:
        program_type = config.get("program_type")
        if program_type is None:
            program_type = "python"
        if not isinstance(program_type, str) or program_type not in _OWN_KEYS:
            raise invalid_arguments(f"unknown program type {program_type!r:.80}; known are {', '.join(_OWN_KEYS)}")
        self.program_type = program_type
        own_keys = _OWN_KEYS[program_type]
        for key, value in config.items():
            if key not in _COMMON_KEYS and key not in own_keys and (value is not None or not _known(key)):
                raise invalid_arguments(f"unknown key {key!r:.80} in the config of a program of type {program_type!r}")
        self.signature = Signature(config.get("signature"))
        if program_type == "python":
            self._call, self.own = _python(config.get("function"), self.signature, loader)
        else:
            # Half a second or more, which only those pay who use such programs.
            from ._dspy_programs import make_call

            self._call, self.own = make_call(program_type, self.signature, config, loader)
        self.created_at = time.time()
        self.execution_count = 0
        self.last_executed: float | None = None

    def run(self, program_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run the program and return the reply's result.

        Raises:
            Refused: The inputs do not fit the signature, or nothing is there that could run it.
            Exception: Whatever the program raises, which includes that it did not give the signature's outputs.
        """
        accepted = self.signature.accept(inputs, program_id)
        begun = time.perf_counter()
        outputs = self._call(program_id, accepted)
        duration = time.perf_counter() - begun
        self.execution_count += 1
        self.last_executed = time.time()
        return {"program_id": program_id, "outputs": outputs, "execution_time": duration}

    def info(self) -> dict[str, Any]:
        """Describe the program."""
        return {
            "program_type": self.program_type,
            **self.own,
            "signature": self.signature.to_dict(),
            "created_at": self.created_at,
            "execution_count": self.execution_count,
            "last_executed": self.last_executed,
        }


def _python(
    reference: object, signature: Signature, loader: Loader
) -> tuple[Callable[[str, dict[str, Any]], dict[str, Any]], dict[str, Any]]:
    if not isinstance(reference, str):
        raise invalid_arguments("a program of type 'python' needs its function as 'module:name'")
    function = loader.function(reference)
    kind = unfinished(function)
    if kind is not None:
        raise invalid_arguments(f"{reference!r} is {kind}; a program must be a plain function")

    def call(program_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        return _named(program_id, function(**inputs), signature)

    return call, {"function": reference}


def _named(program_id: str, result: object, signature: Signature) -> dict[str, Any]:
    outputs: dict[str, Any] | None = dict(result) if _is_mapping(result) else None
    if outputs is not None and outputs.keys() == signature.outputs.keys():
        return outputs
    if len(signature.outputs) == 1:
        # A mapping under other names is the value of an output that is itself a mapping.
        return {next(iter(signature.outputs)): result}
    names = ", ".join(sorted(signature.outputs))
    got = type(result).__name__ if outputs is None else "the keys " + ", ".join(map(str, outputs))
    raise TypeError(f"program {program_id!r} must return a mapping with the keys {names}; it returned {got}")


def _known(key: str) -> bool:
    return any(key in keys for keys in _OWN_KEYS.values())


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)
