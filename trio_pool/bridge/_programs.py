"""Programs: importable functions that a session has given an id and a signature, to be run with named inputs.

A program belongs to its session and dies with it. The unbound form, ``execute_shared_program``, keeps no promise at
all: the caller has the definition and sends it again whenever this worker says it does not know it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from ._bridge import Bridge
from ._loading import Loader
from ._replies import Refused
from ._session import Session  # noqa: TC001  # parameters are annotated with it, which is read at run time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final, TypeGuard

# Bounds against leaks, far above what anybody keeps in use at once; a definition is small.
SHARED_LIMIT: Final = 256
SESSION_LIMIT: Final = 1000
# The place in `Session.state`; the dot keeps it apart from keys that commands of the application choose.
_STATE_KEY: Final = "trio_pool.programs"
_CONFIG_KEYS: Final = frozenset(("id", "program_type", "function", "signature"))


class Program:
    """One function with its signature.

    Args:
        config: ``{"program_type": "python", "function": "module:name", "signature": {"inputs": […], "outputs": […]}}``.
        loader: Imports the function.

    Raises:
        Refused: The config is not of that form or the function cannot be imported.
    """

    __slots__ = (
        "created_at",
        "execution_count",
        "function",
        "inputs",
        "last_executed",
        "outputs",
        "program_type",
        "reference",
        "signature",
    )

    def __init__(self, config: dict[str, Any], loader: Loader) -> None:
        unknown = config.keys() - _CONFIG_KEYS
        if unknown:
            raise _refused(f"unknown key {min(unknown)!r} in the program's config")
        self.program_type = config.get("program_type", "python")
        if self.program_type != "python":
            raise _refused(f"unknown program type {self.program_type!r}; there is 'python'")
        self.reference = config.get("function")
        if not isinstance(self.reference, str):
            raise _refused("a program of type 'python' needs its function as 'module:name'")
        self.signature = config.get("signature")
        self.inputs = _field_names(self.signature, "inputs")
        self.outputs = _field_names(self.signature, "outputs")
        self.function = loader.function(self.reference)
        self.created_at = time.time()
        self.execution_count = 0
        self.last_executed: float | None = None

    def run(self, program_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run the function and return the reply's result.

        Raises:
            Refused: The names of ``inputs`` are not those of the signature.
            TypeError: The function did not return the signature's outputs.
        """
        if inputs.keys() != self.inputs:
            missing, unknown = self.inputs - inputs.keys(), inputs.keys() - self.inputs
            what = f"input {min(missing)!r} is missing" if missing else f"there is no input {min(unknown)!r}"
            raise _refused(f"program {program_id!r}: {what}")
        begun = time.perf_counter()
        result = self.function(**inputs)
        duration = time.perf_counter() - begun
        self.execution_count += 1
        self.last_executed = time.time()
        return {"program_id": program_id, "outputs": self._named(program_id, result), "execution_time": duration}

    def info(self) -> dict[str, Any]:
        """Describe the program."""
        return {
            "program_type": self.program_type,
            "function": self.reference,
            "signature": self.signature,
            "created_at": self.created_at,
            "execution_count": self.execution_count,
            "last_executed": self.last_executed,
        }

    def _named(self, program_id: str, result: object) -> dict[str, Any]:
        outputs: dict[str, Any] | None = dict(result) if _is_mapping(result) else None
        if outputs is not None and outputs.keys() == self.outputs:
            return outputs
        if len(self.outputs) == 1:
            # A mapping under other names is the value of an output that is itself a mapping.
            return {next(iter(self.outputs)): result}
        names = ", ".join(sorted(self.outputs))
        got = type(result).__name__ if outputs is None else "the keys " + ", ".join(map(str, outputs))
        raise TypeError(f"program {program_id!r} must return a mapping with the keys {names}; it returned {got}")


class Programs:
    """The program commands of one worker."""

    def __init__(self) -> None:
        self._loader = Loader(None)
        self._shared: dict[str, Program] = {}
        self._created = 0

    def attach(self, loader: Loader) -> None:
        """Use the worker's own loader, which knows the application's main module."""
        self._loader = loader

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
        """Import a function and keep it in the session under the config's id, or a generated one."""
        programs = _programs_of(session)
        program_id = config.get("id")
        if program_id is None:
            # Ids of a caller's own choosing may look like ours.
            while program_id is None or program_id in programs:
                self._created += 1
                program_id = f"program_{self._created}"
        elif not isinstance(program_id, str) or not program_id:
            raise _refused("a program's id must be a non-empty str")
        elif program_id in programs:
            raise _refused(f"session {session.session_id!r} has a program {program_id!r} already")
        if len(programs) >= SESSION_LIMIT:
            raise _refused(f"session {session.session_id!r} has {SESSION_LIMIT} programs already")
        program = programs[program_id] = Program(config, self._loader)
        return {
            "program_id": program_id,
            "status": "created",
            "program_type": program.program_type,
            "signature": program.signature,
        }

    def execute_program(self, session: Session, program_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run one of the session's programs."""
        return _find(session, program_id).run(program_id, inputs)

    def list_programs(self, session: Session) -> dict[str, Any]:
        """Describe the session's programs, oldest first."""
        programs = [{"id": program_id, **program.info()} for program_id, program in _programs_of(session).items()]
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
        """Run the program this worker knows under ``key``, having made it first if its config came along."""
        # Taken out and put back: the order of the dict is the order of last use.
        found = self._shared.pop(key, None)
        if found is None:
            if program is None:
                raise Refused("program_not_found", f"this worker has no program {key!r}", program_id=key)
            found = Program(program, self._loader)
        self._shared[key] = found
        if len(self._shared) > SHARED_LIMIT:
            del self._shared[next(iter(self._shared))]
        program_id = program.get("id", key) if program is not None else key
        return found.run(program_id, inputs)


def make_programs() -> Bridge:
    """Return a bridge of the program commands, with a cache of its own."""
    bridge = Bridge()
    resource = Programs()
    for function in (
        resource.create_program,
        resource.execute_program,
        resource.list_programs,
        resource.get_program_info,
        resource.delete_program,
        resource.execute_shared_program,
    ):
        bridge.command(function)
    bridge.registry.resources.append(resource)
    return bridge


programs = make_programs()


def _programs_of(session: Session) -> dict[str, Program]:
    found: dict[str, Program] = session.state.setdefault(_STATE_KEY, {})
    return found


def _find(session: Session, program_id: str) -> Program:
    program = _programs_of(session).get(program_id)
    if program is None:
        message = f"session {session.session_id!r} has no program {program_id!r}"
        raise Refused("program_not_found", message, program_id=program_id)
    return program


def _field_names(signature: Any, side: str) -> set[str]:
    fields: Any = signature.get(side) if _is_dict(signature) else None
    if not _is_list(fields):
        raise _refused(f"a program's signature needs a list of {side}")
    names: set[str] = set()
    for field in fields:
        name: Any = field.get("name") if _is_dict(field) else None
        if not isinstance(name, str):
            raise _refused(f"each of the {side} of a program's signature needs a name")
        names.add(name)
    return names


def _is_dict(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _refused(message: str) -> Refused:
    return Refused("invalid_arguments", message)
