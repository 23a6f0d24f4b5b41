"""The standard commands, which every worker answers whatever its application."""

from __future__ import annotations

import os
import time

from ._bridge import STANDARD, Command
from ._session import Session  # noqa: TC001  # parameters are annotated with it, which is read at run time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._executor import Executor


class Standard:
    """The functions behind the standard commands.

    Args:
        executor: The worker they are about.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def ping(self) -> dict[str, Any]:
        """Show that the worker answers."""
        executor = self._executor
        uptime = time.monotonic() - executor.started
        return {"status": "ok", "worker_id": executor.worker_id, "pid": os.getpid(), "uptime": uptime}

    def echo(self, value: object) -> object:
        """Return the value."""
        return value

    def sleep(self, duration: float) -> None:
        """Occupy the worker for so many seconds."""
        time.sleep(duration)

    def slow_op(self, duration: float = 1.0) -> dict[str, Any]:
        """Occupy the worker for so many seconds and say so."""
        time.sleep(duration)
        return {"status": "ok", "duration": duration}

    def get_stats(self) -> dict[str, Any]:
        """Count what this worker has done and holds."""
        executor = self._executor
        sessions = executor.sessions.values()
        return {
            "worker_id": executor.worker_id,
            "pid": os.getpid(),
            "uptime": time.monotonic() - executor.started,
            "command_count": executor.requests,
            "error_count": executor.errors,
            "sessions_count": len(sessions),
            "programs_count": sum(resource.count(sessions) for resource in executor.resources),
            "memory_usage": {"rss": _resident_bytes()},
        }

    def cleanup_session(self, session_id: str) -> dict[str, Any]:
        """End a session in this worker."""
        found = self._executor.end_session(session_id)
        return {"status": "cleaned" if found else "not_found", "session_id": session_id}

    def cleanup(self, session: Session | None) -> dict[str, Any]:
        """Drop the calling session's programs, or, without a session, those that belong to none.

        Other sessions are never touched: their state would be gone without anybody having been told.
        """
        return {"status": "cleaned", "programs_removed": self._clear(session)}

    def reset_state(self, session: Session | None) -> dict[str, Any]:
        """Do as `cleanup` does, empty the calling session's state, and start counting anew."""
        executor = self._executor
        commands, errors = executor.requests, executor.errors
        programs = self._clear(session)
        if session is not None:
            session.state.clear()
        executor.requests = executor.errors = 0
        return {"status": "reset", "programs_cleared": programs, "commands_reset": commands, "errors_reset": errors}

    def shutdown(self) -> dict[str, Any]:
        """Reply, then end the worker."""
        self._executor.stopping = True
        return {"status": "shutting_down", "worker_id": self._executor.worker_id}

    def call(self, function: str, args: list[Any]) -> object:
        """Call an importable function; the hidden command behind ``run_sync``."""
        return self._executor.loader.function(function)(*args)

    def _clear(self, session: Session | None) -> int:
        return sum(resource.clear(session) for resource in self._executor.resources)


def standard_commands(executor: Executor) -> list[Command]:
    """Return the standard commands of one worker."""
    standard = Standard(executor)
    commands = [Command(name, getattr(standard, name)) for name in sorted(STANDARD)]
    return [*commands, Command("__call__", standard.call)]


def _resident_bytes() -> int:
    """Return this process's resident memory, 0 where it cannot be read."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
