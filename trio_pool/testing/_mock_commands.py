"""The commands and sessions of one worker in memory: a request in, a reply out. Only commands themselves wait."""

from __future__ import annotations

import inspect
import traceback
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import trio

from .. import (
    CommandTimeout,
    FrameTooLarge,
    InvalidArguments,
    ProgramNotFound,
    RemoteError,
    UnknownCommand,
    Unserializable,
    WorkerCrashed,
)
from ..bridge import Interrupted, Session
from ..wire import encode, pieces
from ._mock_arguments import Function, Refusal
from ._mock_programs import Programs
from ._mock_session_data import SESSION_DATA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._mock_script import Expectation, ReceivedCommand

# The names under which errors of the protocol's own are sent, by their kind.
_KINDS: Final = {
    "unknown_command": UnknownCommand,
    "invalid_arguments": InvalidArguments,
    "program_not_found": ProgramNotFound,
    "expired": CommandTimeout,
    "cancelled": CommandTimeout,
    "unserializable": Unserializable,
    "frame_too_large": FrameTooLarge,
}
# What a worker says of itself, and no script can: its name on the wire.
_OWN_KINDS: Final = {**_KINDS, "leaving": WorkerCrashed}
# As a real worker cuts what is sent of an error, in bytes.
_MESSAGE_LIMIT: Final = 16 * 1024
_TRACEBACK_LIMIT: Final = 64 * 1024
_CUT: Final = b"\n[... cut ...]\n"


class Invocation:
    """A command that is about to run: its function, found and given its arguments."""

    def __init__(self, function: Function | None, bound: dict[str, object], session: Session | None) -> None:
        self._function = function
        self._bound = bound
        self._session = session

    async def run(self) -> object:
        """Run it and return its result."""
        result = None if self._function is None else self._function(self._bound, self._session)
        return await result if inspect.isawaitable(result) else result  # noqa: ASYNC910  # only an async one can wait


class Commands:
    """What one worker answers.

    Args:
        worker_id: The worker's name.
        max_frame: The largest reply it may send, in bytes.
        functions: Commands beside, or in place of, the standard and the program commands.
        check: What `Session.check` does.
    """

    def __init__(
        self, worker_id: str, max_frame: int, functions: Mapping[str, Function], check: Callable[[], None]
    ) -> None:
        self.stopping = False
        self.ahead: float | None = None
        """By how much this worker's clock is ahead of the parent's; None if nobody said."""
        self._check = check
        self._worker_id = worker_id
        self._max_frame = max_frame
        self._started = trio.current_time()
        self._requests = 0
        self._errors = 0
        self._sessions: dict[str, Session] = {}
        programs = self._programs = Programs()
        own: tuple[Callable[..., object], ...] = (
            self.ping, self.echo, self.sleep, self.slow_op, self.get_stats, self.cleanup_session, self.cleanup,
            self.reset_state, self.shutdown, programs.create_program, programs.execute_program,
            programs.list_programs, programs.get_program_info, programs.delete_program, programs.execute_shared_program,
            programs.configure_lm, *SESSION_DATA,
        )  # fmt: skip
        self._functions = {
            **{function.__name__: Function(function) for function in own},
            "__call__": Function(self.call),
            **functions,
        }

    def names(self) -> list[str]:
        """Return the names of the commands, hidden ones left out."""
        return sorted(name for name in self._functions if not name.startswith("__"))

    def flags(self) -> dict[str, list[str]]:
        """Return what was declared of those commands that are more than plain ones."""
        return {name: sorted(function.flags) for name, function in self._functions.items() if function.flags}

    def flagged(self, flag: str) -> frozenset[str]:
        """Return the names of the commands that were declared so."""
        return frozenset(name for name, function in self._functions.items() if flag in function.flags)

    def check_deadline(self, deadline: float | None) -> None:
        """Check that a request comes in time.

        Raises:
            Refusal: It does not.
        """
        if deadline is not None and self.ahead is not None:
            late = trio.current_time() - self.ahead - deadline
            if late > 0:
                raise Refusal("expired", f"it was {late:.3g} s past its deadline when the worker came to it")

    def count(self) -> None:
        """Take note that a request came."""
        self._requests += 1

    # -- a request -----------------------------------------------------------------------------------------------------

    def prepare(self, received: ReceivedCommand, expected: Expectation | None) -> tuple[Invocation, bool]:
        """Find what a request is to run; return it, and whether that uses the session.

        Raises:
            Refusal: There is no such command, or the arguments do not fit it.
        """
        function = self._functions.get(received.command)
        scripted = expected is not None and (expected.error is not None or expected.result is not ...)
        if scripted:
            # Answered without being run: its arguments are nobody's business but the expectation's.
            return Invocation(None, {}, None), (
                received.session is not None and function is not None and function.takes_session
            )
        if function is None:
            raise Refusal("unknown_command", f"there is no command {received.command!r:.200}", known=self.names())
        bound = function.bind(received.args)
        session = None
        if function.takes_session and (received.session is not None or function.needs_session):
            if not received.session:
                raise Refusal("invalid_arguments", f"command {received.command!r} needs a session")
            session = self._sessions.setdefault(received.session, Session(received.session, self._check))
        return Invocation(function, bound, session), session is not None

    def success(self, wire_id: int, result: object, *, session_used: bool) -> bytes:
        """Return the reply with a result, or the one that says why that cannot be sent."""
        try:
            return _packed(wire_id, {"success": True, "result": result}, self._max_frame, session_used=session_used)
        except (Unserializable, FrameTooLarge) as exc:
            return self.failure(wire_id, exc, session_used=session_used)

    def failure(self, wire_id: int, error: Exception, *, session_used: bool = False, raised: bool = False) -> bytes:
        """Return the reply with an error; one that a command raised is that command's own, whatever its class."""
        self._errors += 1
        fields = _raised(error) if raised and not isinstance(error, Refusal) else _error(error)
        try:
            return _packed(wire_id, {"success": False, "error": fields}, self._max_frame, session_used=session_used)
        except (Unserializable, FrameTooLarge):
            short = {name: fields[name][:100] for name in ("kind", "type", "message")} | {"traceback": ""}
            return _packed(wire_id, {"success": False, "error": short}, self._max_frame, session_used=session_used)

    def raised(self, wire_id: int, error: BaseException, *, told: bool, session_used: bool) -> bytes:
        """Return the reply of a command that has raised: whatever that is, it is its answer.

        Args:
            wire_id: The request.
            error: What it has raised; one that ends the worker is raised again.
            told: It was told that nobody waits for it.
            session_used: It used its session.
        """
        if is_interrupt(error):
            # Without being told it is of the command's own making.
            error = Refusal("cancelled", str(error), begun=True) if told else RuntimeError(str(error))
        if not isinstance(error, Exception):
            raise error
        return self.failure(wire_id, error, session_used=session_used, raised=True)

    # -- the standard commands -----------------------------------------------------------------------------------------

    def ping(self) -> dict[str, Any]:
        """Show that the worker answers; it has no process, and so no process id. All times are Trio's."""
        return {
            "status": "ok",
            "timestamp": trio.current_time(),
            "worker_id": self._worker_id,
            "pid": None,
            "uptime": trio.current_time() - self._started,
            "dspy_available": True,  # programs that need it are answered like any other
        }

    def echo(self, value: object) -> object:
        """Return the value."""
        return value

    async def sleep(self, duration: float) -> None:
        """Occupy the worker for so many seconds of Trio's clock."""
        await trio.sleep(duration)

    async def slow_op(self, duration: float = 1.0) -> dict[str, Any]:
        """Occupy the worker for so many seconds of Trio's clock and say so."""
        await trio.sleep(duration)
        return {"status": "ok", "duration": duration}

    def get_stats(self) -> dict[str, Any]:
        """Count what this worker has done and holds; the memory is the application's, so its own is none."""
        return {
            "worker_id": self._worker_id,
            "pid": None,
            "uptime": trio.current_time() - self._started,
            "command_count": self._requests,
            "error_count": self._errors,
            "sessions_count": len(self._sessions),
            "programs_count": self._programs.count(self._sessions.values()),
            "memory_usage": {"rss": 0, "vms": 0, "percent": 0.0},
            "dspy_available": True,
        }

    def cleanup_session(self, session_id: str) -> dict[str, Any]:
        """End a session in this worker."""
        found = self._sessions.pop(session_id, None)
        programs = 0 if found is None else self._programs.clear(found)
        status = "not_found" if found is None else "cleaned"
        return {"status": status, "session_id": session_id, "programs_removed": programs}

    def cleanup(self, session: Session | None) -> dict[str, Any]:
        """Drop the calling session's programs, or, without a session, those that belong to none."""
        return {"status": "cleaned", "programs_removed": self._programs.clear(session)}

    def reset_state(self, session: Session | None) -> dict[str, Any]:
        """Do as `cleanup` does, empty the calling session's state, and start counting anew."""
        commands, errors = self._requests, self._errors
        programs = self._programs.clear(session)
        if session is not None:
            session.state.clear()
        self._requests = self._errors = 0
        return {"status": "reset", "programs_cleared": programs, "commands_reset": commands, "errors_reset": errors}

    def shutdown(self) -> dict[str, Any]:
        """Reply, then end the worker, and with it the sessions that live here."""
        self.stopping = True
        return {"status": "shutting_down", "worker_id": self._worker_id, "sessions_lost": len(self._sessions)}

    def call(self, function: str, args: list[Any]) -> object:
        """Call an importable function, here and now; the hidden command behind ``run_sync``."""
        module, _, path = function.partition(":")
        try:
            found: Any = import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
        except Exception as exc:  # whatever a module raises when it is imported
            why = f"{type(exc).__name__}: {exc}"
            raise Refusal("invalid_arguments", f"{function!r} cannot be imported: {why}") from exc
        if not callable(found):
            raise Refusal("invalid_arguments", f"{function!r} is not callable")
        return found(*args)


def is_interrupt(error: BaseException) -> bool:
    """Tell whether this is an interrupt, or a group with one in it."""
    if isinstance(error, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = error  # pyright: ignore[reportUnknownVariableType]  # narrowed
        return any(map(is_interrupt, group.exceptions))
    return isinstance(error, Interrupted)


def _packed(wire_id: int, fields: dict[str, object], max_frame: int, *, session_used: bool) -> bytes:
    if session_used:
        fields["session_used"] = True
    return b"".join(pieces(wire_id, encode(fields, max_frame)))


def _error(error: Exception) -> dict[str, Any]:
    """Return the error map of a reply: an error of the protocol's own by its kind, any other as if raised."""
    if isinstance(error, RemoteError):
        # An expectation's: it is to reach the caller with the words it has here.
        text = _sendable(error.message or str(error))
        return {"kind": "remote", "type": error.type_name, "message": text, "traceback": error.remote_traceback}
    data: dict[str, object] = {}
    # Of the two kinds of one class the first stands for it: an expected one did not run.
    kind = next((name for name, cls in _KINDS.items() if isinstance(error, cls)), "")
    if isinstance(error, Refusal):
        kind, data = error.kind, error.data
    elif isinstance(error, UnknownCommand):
        data = {"known": list(error.known)}
    elif isinstance(error, ProgramNotFound):
        data = {"program_id": error.program_id}
    elif isinstance(error, Unserializable):
        data = {"path": error.path, "type_name": error.type_name}
    elif isinstance(error, FrameTooLarge):
        data = {"size": error.size, "max_frame": error.max_frame}
    if not kind:
        return _raised(error)
    type_name = f"trio_pool.errors.{_OWN_KINDS[kind].__name__}"
    return {"kind": kind, "type": type_name, "message": _sendable(str(error)), "traceback": "", **data}


def _raised(error: Exception) -> dict[str, Any]:
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    trace = "".join(traceback.format_exception(error))
    return {
        "kind": "remote",
        "type": name,
        "message": _sendable(str(error)),
        "traceback": _sendable(trace, _TRACEBACK_LIMIT),
    }


def _sendable(text: str, limit: int = _MESSAGE_LIMIT) -> str:
    """Return the text without lone surrogates, which the codec refuses, its middle cut out if it is too long."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) > limit:
        half = (limit - len(_CUT)) // 2
        data = data[:half] + _CUT + data[-half:]
    return data.decode("utf-8", "ignore")
