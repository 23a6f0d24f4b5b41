"""The program commands of a worker in memory.

Everything is as in a real worker but the running itself: the function a program names is neither imported nor called,
and no language model is asked, though one must have been configured; nor does anything know of the names that DSPy
keeps for itself. The outputs are those of `expected_output`, which
are those of the programs that `TestSignatures.program` gives.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from .. import InvalidArguments, Signature
from ..bridge import Session  # noqa: TC001  # parameters are annotated with it, which is read at run time
from ._data import expected_output
from ._mock_arguments import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# As in a real worker, where they bound what a forgetful application can pile up.
SHARED_LIMIT: Final = 256
SESSION_LIMIT: Final = 1000
_STATE_KEY: Final = "trio_pool.programs"
_COMMON_KEYS: Final = frozenset(("id", "program_type", "signature"))
_OWN_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "python": ("function",),
    "predict": (),
    "chain_of_thought": (),
    "react": ("tools", "max_iters"),
}
_MAX_ITERS: Final = 20  # DSPy's own default
_TEMPERATURE: Final = 0.7
_TEXT_KEYS: Final = ("model", "api_key", "api_base", "provider", "lm")
_MODEL_KEYS: Final = (*_TEXT_KEYS, "temperature", "max_tokens")


class Program:
    """One program.

    Args:
        config: As ``create_program`` takes it.

    Raises:
        Refusal: It is wrong.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        program_type = config.get("program_type")
        self.program_type = "python" if program_type is None else program_type
        if not isinstance(self.program_type, str) or self.program_type not in _OWN_KEYS:
            raise _refused(f"unknown program type {self.program_type!r:.80}; known are {', '.join(_OWN_KEYS)}")
        own_keys = _OWN_KEYS[self.program_type]
        known = _COMMON_KEYS.union(*_OWN_KEYS.values())
        for key, value in config.items():
            if key not in known or (value is not None and key not in _COMMON_KEYS and key not in own_keys):
                raise _refused(f"unknown key {key!r:.80} in the config of a program of type {self.program_type!r}")
        try:
            self.signature = Signature.parse(config.get("signature"))
        except InvalidArguments as exc:
            raise _refused(str(exc)) from exc
        self.own: dict[str, Any] = {}
        if self.program_type == "python":
            self.own = {"function": config.get("function")}
            if not isinstance(self.own["function"], str):
                raise _refused("a program of type 'python' needs its function as 'module:name'")
        elif self.program_type == "react":
            tools, turns = config.get("tools"), config.get("max_iters")
            if tools is not None and not _is_texts(tools):
                raise _refused("the tools of a program of type 'react' must be a list of 'module:function'")
            self.own = {
                "tools": tools or [],
                "max_iters": _MAX_ITERS if turns is None else _positive(turns, "max_iters"),
            }
        self.created_at = trio.current_time()
        self.execution_count = 0
        self.last_executed: float | None = None

    @property
    def asks_model(self) -> bool:
        """True if a real worker would ask a language model."""
        return self.program_type != "python"

    def run(self, program_id: str, inputs: Mapping[str, object]) -> dict[str, Any]:
        """Answer to ``inputs``.

        Raises:
            Refusal: They are not the signature's.
        """
        names = {field.name for field in self.signature.inputs}
        missing, unknown = names - inputs.keys(), inputs.keys() - names
        if missing or unknown:
            what = f"input {min(missing)!r} is missing" if missing else f"there is no input {min(unknown)!r}"
            raise _refused(f"program {program_id!r}: {what}")
        try:
            outputs = expected_output(self.signature, inputs)
        except InvalidArguments as exc:
            raise _refused(f"program {program_id!r}: {exc}") from exc
        self.execution_count += 1
        self.last_executed = trio.current_time()
        return {"program_id": program_id, "outputs": outputs, "execution_time": 0.0}

    def info(self) -> dict[str, Any]:
        """Describe it; its times are Trio's."""
        return {
            "program_type": self.program_type,
            **self.own,
            "signature": self.signature.to_dict(),
            "created_at": self.created_at,
            "execution_count": self.execution_count,
            "last_executed": self.last_executed,
        }


class Programs:
    """The programs of one worker; its public methods, save `count` and `clear`, are commands."""

    def __init__(self) -> None:
        self._shared: dict[str, Program] = {}
        self._created = 0
        self._model: str | None = None

    def count(self, sessions: Iterable[Session]) -> int:
        """Return how many programs there are, in these sessions and shared."""
        return len(self._shared) + sum(len(session.state.get(_STATE_KEY, ())) for session in sessions)

    def clear(self, session: Session | None) -> int:
        """Drop the programs of a session, or the shared ones; return how many."""
        programs = self._shared if session is None else _programs_of(session)
        count = len(programs)
        programs.clear()
        return count

    def create_program(self, session: Session, config: dict[str, Any]) -> dict[str, Any]:
        """Keep a program in the session, under its own id or a generated one."""
        programs = _programs_of(session)
        program_id = config.get("id")
        if program_id is None:
            while program_id is None or program_id in programs:
                self._created += 1
                program_id = f"program_{self._created}"
        elif not isinstance(program_id, str) or not program_id:
            raise _refused("a program's id must be a non-empty str")
        elif program_id in programs:
            raise _refused(f"session {session.session_id!r} has a program {program_id!r} already")
        if len(programs) >= SESSION_LIMIT:
            raise _refused(f"session {session.session_id!r} has {SESSION_LIMIT} programs already")
        program = programs[program_id] = Program(config)
        return {
            "program_id": program_id,
            "status": "created",
            "program_type": program.program_type,
            "signature": program.signature.to_dict(),
        }

    def execute_program(self, session: Session, program_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Answer to the inputs of one of the session's programs."""
        return self._run(_find(session, program_id), program_id, inputs)

    def list_programs(self, session: Session) -> dict[str, Any]:
        """Describe the session's programs, oldest first."""
        programs = [
            {"id": program_id, "session_id": session.session_id, **program.info()}
            for program_id, program in _programs_of(session).items()
        ]
        return {"programs": programs, "total_count": len(programs)}

    def get_program_info(self, session: Session, program_id: str) -> dict[str, Any]:
        """Describe one of the session's programs."""
        return {"program_id": program_id, **_find(session, program_id).info()}

    def delete_program(self, session: Session, program_id: str) -> dict[str, Any]:
        """Forget one of the session's programs."""
        _find(session, program_id)
        del _programs_of(session)[program_id]
        return {"program_id": program_id, "status": "deleted"}

    def execute_shared_program(
        self, key: str, inputs: dict[str, Any], program: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Answer to the inputs of the program known under ``key``, having made it first if its config came along."""
        found = self._shared.pop(key, None)
        if found is None:
            if program is None:
                raise Refusal("program_not_found", f"this worker has no program {key!r}", program_id=key)
            found = Program(program)
        self._shared[key] = found  # last: the order of the dict is the order of use
        if len(self._shared) > SHARED_LIMIT:
            del self._shared[next(iter(self._shared))]
        return self._run(found, key if program is None else program.get("id", key), inputs)

    def configure_lm(self, config: dict[str, Any]) -> dict[str, Any]:
        """Take note of a language model, so that programs may ask it; none is made."""
        for key in config:
            if key not in _MODEL_KEYS:
                known = ", ".join(_MODEL_KEYS)
                raise _refused(f"unknown key {key!r:.80} in a language model's config; known are {known}")
        for key in _TEXT_KEYS:
            if config.get(key) is not None and (not isinstance(config[key], str) or not config[key]):
                raise _refused(f"a language model's {key} must be a non-empty str")
        if config.get("model") is None:
            raise _refused("a language model's config lacks its model")
        temperature = config.get("temperature", _TEMPERATURE)
        if temperature is not None:
            if type(temperature) not in (int, float) or not math.isfinite(temperature) or temperature < 0:
                raise _refused("a language model's temperature must be a number that is not negative")
            temperature = float(temperature)
        if config.get("max_tokens") is not None:
            _positive(config["max_tokens"], "a language model's max_tokens")
        model, provider = config["model"], config.get("provider")
        if provider is None:
            provider = model.partition("/")[0] if "/" in model else None
        elif not model.startswith(f"{provider}/"):
            model = f"{provider}/{model}"
        self._model = model
        return {"status": "configured", "model": model, "provider": provider, "temperature": temperature}

    def _run(self, program: Program, program_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        if program.asks_model and self._model is None:
            why = "No LM is loaded. Send the command configure_lm first."
            raise _refused(f"program {program_id!r} did not run: {why}")
        return program.run(program_id, inputs)


def _programs_of(session: Session) -> dict[str, Program]:
    found: dict[str, Program] = session.state.setdefault(_STATE_KEY, {})
    return found


def _find(session: Session, program_id: str) -> Program:
    program = _programs_of(session).get(program_id)
    if program is None:
        message = f"session {session.session_id!r} has no program {program_id!r}"
        raise Refusal("program_not_found", message, program_id=program_id)
    return program


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value))


def _positive(value: object, what: str) -> int:
    if type(value) is not int or value < 1:
        raise _refused(f"{what} must be a positive int")
    return value


def _refused(message: str) -> Refusal:
    return Refusal("invalid_arguments", message)
