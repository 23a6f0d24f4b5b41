"""The program commands: what has a signature, was given an id, and is run with named inputs.

A program belongs to its session and dies with it. The unbound form, ``execute_shared_program``, keeps no promise at
all: the caller has the definition and sends it again whenever this worker says it does not know it.
"""

from __future__ import annotations

from ._bridge import Bridge
from ._replies import Refused, invalid_arguments
from ._session import Session  # noqa: TC001  # parameters are annotated with it, which is read at run time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    from ._bridge import Worker
    from ._program import Program

# Bounds against leaks, far above what anybody keeps in use at once; a definition is small.
SHARED_LIMIT: Final = 256
SESSION_LIMIT: Final = 1000
# The place in `Session.state`; the dot keeps it apart from keys that commands of the application choose.
_STATE_KEY: Final = "trio_pool.programs"


class Programs:
    """The program commands of one worker."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._shared: dict[str, Program] = {}
        self._created = 0

    def attach(self, worker: Worker) -> None:
        """Learn which worker this is in, before the first command."""
        self._worker = worker

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
        """Make a program and keep it in the session under the config's id, or a generated one."""
        programs = _programs_of(session)
        program_id = config.get("id")
        if program_id is None:
            # Ids of a caller's own choosing may look like ours.
            while program_id is None or program_id in programs:
                self._created += 1
                program_id = f"program_{self._created}"
        elif not isinstance(program_id, str) or not program_id:
            raise invalid_arguments("a program's id must be a non-empty str")
        elif program_id in programs:
            raise invalid_arguments(f"session {session.session_id!r} has a program {program_id!r} already")
        if len(programs) >= SESSION_LIMIT:
            raise invalid_arguments(f"session {session.session_id!r} has {SESSION_LIMIT} programs already")
        program = programs[program_id] = self._make(config)
        return {
            "program_id": program_id,
            "status": "created",
            "program_type": program.program_type,
            "signature": program.signature.to_dict(),
        }

    def execute_program(self, session: Session, program_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Run one of the session's programs."""
        return _find(session, program_id).run(program_id, inputs)

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
        """Run the program this worker knows under ``key``, having made it first if its config came along."""
        # Taken out and put back: the order of the dict is the order of last use.
        found = self._shared.pop(key, None)
        if found is None:
            if program is None:
                raise Refused("program_not_found", f"this worker has no program {key!r}", program_id=key)
            found = self._make(program)
        self._shared[key] = found
        if len(self._shared) > SHARED_LIMIT:
            del self._shared[next(iter(self._shared))]
        program_id = (program or {}).get("id") or key
        return found.run(program_id, inputs)

    def configure_lm(self, config: dict[str, Any]) -> dict[str, Any]:
        """Set the language model that this worker's programs ask; see `_dspy_programs.configure_lm`."""
        # Half a second or more, which only those pay who use language models.
        from ._dspy_programs import configure_lm

        worker = self._attached()
        return configure_lm(config, worker.loader, worker.hide)

    def _make(self, config: dict[str, Any]) -> Program:
        # With all that reads signatures: of the workers of any application that includes these commands, few make one.
        from ._program import Program

        return Program(config, self._attached().loader)

    def _attached(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("these commands are in no worker")
        return self._worker


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
        resource.configure_lm,
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
