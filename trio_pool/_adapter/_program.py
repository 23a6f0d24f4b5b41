"""A program: something with a signature that a worker runs, as its creator configured it.

Everything that can be known to be wrong without importing anything is found here, before any worker is involved.
Whether a function exists is for the worker to find out: only its environment counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast
from uuid import uuid4

import attrs

from .._core._errors import InvalidArguments
from .._core._session_table import MAX_ID_BYTES, is_id
from ._signature import Signature

# Each type with the keys its config takes beside the common ones.
PROGRAM_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "python": ("function",),
    "predict": (),
    "chain_of_thought": (),
    "react": ("tools", "max_iters"),
}
_COMMON: Final = ("id", "program_type", "signature")


@attrs.frozen(kw_only=True)
class Program:
    """A checked program definition.

    Args:
        program_id: Its name within a session or adapter.
        program_type: How it is run: ``python``, a function; or, by a language model through DSPy, ``predict``,
            ``chain_of_thought`` or ``react``.
        signature: Its inputs and outputs.
        own: What its type needs beside these: ``function`` (``"module:qualname"``) for ``python``; ``tools``, a list of
            the same, and ``max_iters`` for ``react``.
    """

    program_id: str
    program_type: str
    signature: Signature
    own: Mapping[str, Any]

    @classmethod
    def parse(cls, config: object) -> Program:
        """Check a program's configuration completely; an id is made if it names none.

        Raises:
            InvalidArguments: A key is unknown, missing or has a bad value; the message names it.
        """
        if not isinstance(config, Mapping):
            raise InvalidArguments(f"a program's config must be a mapping, not {type(config).__name__}")
        given = cast("Mapping[object, object]", config)
        program_type = _check_type(given.get("program_type", "python"))
        for key in given:
            if key not in _COMMON and key not in PROGRAM_TYPES[program_type]:
                known = ", ".join((*_COMMON, *PROGRAM_TYPES[program_type]))
                raise InvalidArguments(
                    f"the config of a {program_type!r} program has the unknown key {key!r:.80}; known are {known}"
                )
        for key in ("function", "signature") if program_type == "python" else ("signature",):
            if key not in given:
                raise InvalidArguments(f"the config of a {program_type!r} program lacks {key!r}")
        return cls(
            # Random, not counted: several adapters may create programs in one session.
            program_id=check_program_id(given["id"]) if "id" in given else f"program_{uuid4().hex}",
            program_type=program_type,
            signature=Signature.parse(given["signature"]),
            own={key: _CHECKS[key](given[key]) for key in PROGRAM_TYPES[program_type] if key in given},
        )

    def to_dict(self) -> dict[str, object]:
        """Return the definition in plain values, as it travels to workers."""
        return {
            "id": self.program_id,
            "program_type": self.program_type,
            **self.own,
            "signature": self.signature.to_dict(),
        }


def check_program_id(value: object) -> str:
    """Return a program id.

    Raises:
        InvalidArguments: It is none.
    """
    if not is_id(value):
        raise InvalidArguments(f"a program id must be a non-empty str of up to {MAX_ID_BYTES} bytes, not {value!r:.80}")
    return cast("str", value)


def _check_type(value: object) -> str:
    if not isinstance(value, str) or value not in PROGRAM_TYPES:
        supported = ", ".join(PROGRAM_TYPES)
        raise InvalidArguments(f"program_type {value!r:.80} is not supported; supported: {supported}")
    return value


def _is_function(value: object) -> bool:
    # A function within a function has "<locals>" in its qualname and fails here, rightly: no worker could import it.
    if not isinstance(value, str):
        return False
    module, colon, qualname = value.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *qualname.split(".")))


def _check_function(value: object) -> object:
    if not _is_function(value):
        raise InvalidArguments(f"function must be 'module:qualname' of something importable, not {value!r:.80}")
    return value


def _check_tools(value: object) -> object:
    if not isinstance(value, (list, tuple)):
        raise InvalidArguments(f"tools must be a list of 'module:qualname', not {type(value).__name__}")
    for index, tool in enumerate(cast("list[object]", value)):
        if not _is_function(tool):
            raise InvalidArguments(
                f"tools[{index}] must be 'module:qualname' of something importable, not {tool!r:.80}"
            )
    return list(cast("list[object]", value))


def _check_max_iters(value: object) -> object:
    if type(value) is not int or value < 1:  # a bool is no number of anything
        raise InvalidArguments(f"max_iters must be a positive integer, not {value!r:.80}")
    return value


_CHECKS: Final[Mapping[str, Callable[[object], object]]] = {
    "function": _check_function,
    "tools": _check_tools,
    "max_iters": _check_max_iters,
}
