"""The standard commands, which every worker answers whatever its application."""

from __future__ import annotations

import os
import sys
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
        self._dspy_found: bool | None = None

    def ping(self) -> dict[str, Any]:
        """Show that the worker answers; the timestamp, in seconds since the epoch, is for people to read."""
        executor = self._executor
        return {
            "status": "ok",
            "timestamp": time.time(),
            "worker_id": executor.worker_id,
            "pid": os.getpid(),
            "uptime": time.monotonic() - executor.started,
            "dspy_available": self._has_dspy(),
        }

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
            "memory_usage": _memory_usage(),
            "dspy_available": self._has_dspy(),
        }

    def cleanup_session(self, session_id: str) -> dict[str, Any]:
        """End a session in this worker: its programs and all else it keeps are dropped."""
        executor = self._executor
        session = executor.sessions.get(session_id)
        found = executor.end_session(session_id)
        programs = 0 if session is None else self._clear(session)
        return {"status": "cleaned" if found else "not_found", "session_id": session_id, "programs_removed": programs}

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
        """Reply, then end the worker, and with it the sessions that live here."""
        executor = self._executor
        executor.stopping = True
        return {
            "status": "shutting_down",
            "worker_id": executor.worker_id,
            "sessions_lost": len(executor.sessions),
        }

    def call(self, function: str, args: list[Any]) -> object:
        """Call an importable function; the hidden command behind ``run_sync``."""
        return self._executor.loader.function(function)(*args)

    def _has_dspy(self) -> bool:
        # Looked up once: it costs tens of microseconds, and a pool pings its idle workers all the time.
        if self._dspy_found is None:
            self._dspy_found = _importable("dspy")
        return self._dspy_found

    def _clear(self, session: Session | None) -> int:
        return sum(resource.clear(session) for resource in self._executor.resources)


def standard_commands(executor: Executor) -> list[Command]:
    """Return the standard commands of one worker."""
    standard = Standard(executor)
    commands = [Command(name, getattr(standard, name)) for name in sorted(STANDARD)]
    return [*commands, Command("__call__", standard.call)]


def _memory_usage() -> dict[str, float]:
    """Return this process's resident and virtual memory in bytes, and the former's share of the machine's in percent.

    All are 0 where they cannot be read.
    """
    try:
        with open("/proc/self/statm", "rb") as file:
            virtual, resident = map(int, file.read().split()[:2])
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return {"rss": 0, "vms": 0, "percent": 0.0}
    return {"rss": resident * page, "vms": virtual * page, "percent": 100 * resident / pages}


def _importable(name: str) -> bool:
    """Return whether a module of that name could be imported; importlib.util would be one more module to import."""
    if name in sys.modules:
        return bool(sys.modules[name])  # None is how an import is forbidden
    try:
        return any(finder.find_spec(name, None) is not None for finder in sys.meta_path if hasattr(finder, "find_spec"))
    except Exception:
        # A finder of the application's own that breaks here breaks every import; a ping has to be answered.
        return False
