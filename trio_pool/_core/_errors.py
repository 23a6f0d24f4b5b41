"""Every error of the library, save the two that are also Trio's.

This module is imported by worker processes, where start-up time is the product, so it needs nothing but ``enum``.
``trio_pool.errors`` re-exports all of it and adds `PoolTimeout` and `CommandTimeout`, which are `trio.TooSlowError`s.

Each error is named after what went wrong, says in one line what a log reader needs, carries the data to act on as
attributes, and survives pickling: the message is the only positional argument and all else lives in ``__dict__``,
which is exactly what ``BaseException.__reduce__`` transports.
"""

from __future__ import annotations

from enum import StrEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, ClassVar, Final, TypedDict, Unpack

    from ._exits import Exit

    class Common(TypedDict, total=False):
        """The data any error may carry; see `TrioPoolError`."""

        outcome: Outcome | str | None
        worker_id: str | None
        pid: int | None
        incarnation: int | None
        request_id: int | None
        session_id: str | None
        command: str | None

    class WorkerData(Common, total=False):
        """The data any `WorkerError` may carry beside the common."""

        exit: Exit | None
        output_tail: Sequence[str]
        reason: str


class Outcome(StrEnum):
    """What is known about the execution of a request that did not succeed."""

    NOT_EXECUTED = "not_executed"
    """The command's function was certainly never entered: repeating the request is safe."""
    MAYBE_EXECUTED = "maybe_executed"
    """The command may have run in part or whole: only an idempotent request may be repeated."""
    EXECUTED = "executed"
    """The command ran and this is what came of it."""

    @property
    def words(self) -> str:
        """The same as half a sentence."""
        return _IN_WORDS[self]


_IN_WORDS: Final = {
    Outcome.NOT_EXECUTED: "it did not run",
    Outcome.MAYBE_EXECUTED: "it may have run",
    Outcome.EXECUTED: "it ran",
}

# As much of a message as str() shows. A program may have put a data set into its exception, and what follows, whether
# the command ran and what to do, must still be found in a log. Arbitrary otherwise.
_SHOWN: Final = 2000


class TrioPoolError(Exception):
    """Root of every error this library raises.

    ``str()`` is one line for a log: what happened and why, on which worker, and, if it is a command's error, whether
    the command may have run (``outcome`` in words) and what to do (``advice``).

    Args:
        message: One line, enough for a log.
        outcome: Whether the request behind this error ran; each class has the usual value as its default.
        worker_id: The worker concerned, if there is one.
        pid: Its process id.
        incarnation: Its incarnation number.
        request_id: The request concerned, as the pool numbers them.
        session_id: The session concerned.
        command: The command concerned.
    """

    default_outcome: ClassVar[Outcome] = Outcome.NOT_EXECUTED
    _advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        outcome: Outcome | str | None = None,
        worker_id: str | None = None,
        pid: int | None = None,
        incarnation: int | None = None,
        request_id: int | None = None,
        session_id: str | None = None,
        command: str | None = None,
    ) -> None:
        super().__init__(message)
        self.outcome = self.default_outcome if outcome is None else Outcome(outcome)
        self.worker_id = worker_id
        self.pid = pid
        self.incarnation = incarnation
        self.request_id = request_id
        self.session_id = session_id
        self.command = command

    @property
    def advice(self) -> str:
        """What to do about it, in a few words; empty where that depends on more than the library knows."""
        return self._advice

    @property
    def what(self) -> str:
        """What happened, in one line: ``str()`` without the outcome and the advice."""
        # Messages quote workers, users and the system, and any of them may have put several lines into it.
        text = " ".join(super().__str__().splitlines())
        if len(text) > _SHOWN:
            text = f"{text[:_SHOWN]}…"
        if self.worker_id is None or f" {self.worker_id} " in f" {text} ":
            return text
        return f"{text} [{self.worker_id}]" if self.pid is None else f"{text} [{self.worker_id}, pid {self.pid}]"

    def __str__(self) -> str:
        if self.command is None:
            # Of no command: nothing ran or did not, and the message says all there is.
            return self.what
        return "; ".join(part for part in (self.what, self.outcome.words, self.advice) if part)


class PoolSaturated(TrioPoolError):
    """The queue already holds ``max_queue`` requests; this one was refused at once."""

    _advice = "try again later, or raise max_queue or size"

    def __init__(self, message: str = "", *, queued: int = 0, max_queue: int = 0, **common: Unpack[Common]) -> None:
        super().__init__(message, **common)
        self.queued = queued
        self.max_queue = max_queue


class PoolClosed(TrioPoolError):
    """The pool takes no requests any more; ``__cause__`` is the give-up that closed it, if one did."""

    _advice = "send requests only while the pool is open"


class SessionMismatch(TrioPoolError):
    """The worker is checked out by another session; its state is untouched."""

    _advice = "check it in first"


class SessionNotFound(TrioPoolError):
    """No session of that id is tracked, or it was ended while this request waited."""

    _advice = "use the id anew to begin a new session"


class SessionLimit(TrioPoolError):
    """``max_sessions`` sessions are tracked already."""

    _advice = "end sessions that are done, or raise max_sessions"


class SessionLost(TrioPoolError):
    """The incarnation that held this session's state is gone; the session must be ended before its id is used anew.

    ``worker_id``, ``pid``, ``incarnation`` and ``exit`` are the dead worker's.
    """

    _advice = "end_session() it, then use the id anew and rebuild what is needed"

    def __init__(
        self,
        message: str = "",
        *,
        exit: Exit | None = None,  # noqa: A002  # the contract's name for it
        **common: Unpack[Common],
    ) -> None:
        super().__init__(message, **common)
        self.exit = exit


class UnknownCommand(TrioPoolError):
    """The worker's application has no command of that name; ``known`` lists what it has."""

    _advice = "call one that is in known, or mend the application"

    def __init__(self, message: str = "", *, known: Sequence[str] = (), **common: Unpack[Common]) -> None:
        super().__init__(message, **common)
        self.known = tuple(known)


class InvalidArguments(TrioPoolError):
    """The arguments do not fit the command's parameters; the function was not entered."""

    _advice = "mend the arguments"


class Unserializable(TrioPoolError):
    """A value is not of the kinds that travel; ``path`` says where it stood, as in ``args.rows[3].when``.

    Raised before a byte is sent (not executed), or by a worker for its own result (executed).
    """

    def __init__(self, message: str = "", *, path: str = "", type_name: str = "", **common: Unpack[Common]) -> None:
        super().__init__(message, **common)
        self.path = path
        self.type_name = type_name

    @property
    def advice(self) -> str:
        """What to do about it, in a few words."""
        if self.path == "fn":
            return "use a function at the top level of a module"
        return "use None, bool, 64-bit int, float, str, bytes, list, and dict with str keys"


class FrameTooLarge(TrioPoolError):
    """A message exceeds ``max_frame``; nothing of it was sent or allocated."""

    _advice = "make it smaller, or raise max_frame"

    def __init__(self, message: str = "", *, size: int = 0, max_frame: int = 0, **common: Unpack[Common]) -> None:
        super().__init__(message, **common)
        self.size = size
        self.max_frame = max_frame


class ProgramNotFound(TrioPoolError):
    """No program of that id exists in this session or adapter."""

    _advice = "create it first"

    def __init__(self, message: str = "", *, program_id: str = "", **common: Unpack[Common]) -> None:
        super().__init__(message, **common)
        self.program_id = program_id


class WorkerError(TrioPoolError):
    """A worker process failed; ``exit`` says how it ended, ``output_tail`` what it printed last.

    Args:
        message: One line.
        exit: How the process ended, once that is known.
        output_tail: The last lines the worker printed, oldest first (bounded).
        reason: One word for the class of failure, such as ``crash`` or ``shutdown``; ``undelivered`` if so many workers
            died before they began the request that it may be the cause.
        common: The data every error carries, see `TrioPoolError`.
    """

    default_outcome = Outcome.MAYBE_EXECUTED

    def __init__(
        self,
        message: str = "",
        *,
        exit: Exit | None = None,  # noqa: A002  # the contract's name for it
        output_tail: Sequence[str] = (),
        reason: str = "crash",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(message, **common)
        self.exit = exit
        self.output_tail = tuple(output_tail)
        self.reason = reason


class WorkerCrashed(WorkerError):
    """The worker died while it ran this request, or was stopped by the closing pool (``reason="shutdown"``)."""

    @property
    def advice(self) -> str:
        """What to do about it, in a few words."""
        if self.reason == "undelivered":
            return "find out what in it kills workers before you repeat it"
        if self.outcome is Outcome.NOT_EXECUTED:
            return "repeat it"
        return "see exit and output_tail, and repeat it only if it does no harm to run twice"


class PoisonRequest(WorkerCrashed):
    """So many workers died while they ran this request that it is taken for the cause; it is not tried again.

    ``workers`` has the ids of those workers and ``exits`` how each ended, in the order of their deaths; the other data
    is the last one's. See `RetryPolicy`.

    .. versionadded:: 0.1
    """

    def __init__(
        self,
        message: str = "",
        *,
        workers: Sequence[str] = (),
        exits: Sequence[Exit | None] = (),
        **common: Unpack[WorkerData],
    ) -> None:
        super().__init__(message, **common)
        self.workers = tuple(workers)
        self.exits = tuple(exits)

    @property
    def advice(self) -> str:
        """What to do about it, in a few words."""
        return "do not repeat it: find out what in it kills workers, from exits and output_tail"


class ProtocolError(WorkerError):
    """The worker sent what is not the protocol. Bytes that are none get it killed, and only its own requests suffer."""

    @property
    def advice(self) -> str:
        """What to do about it, in a few words."""
        if self.reason == "bad_result":
            return "look for a command of the application that has the name of one of the library's"
        return "look for what else writes to the worker's socket"


class WorkerInitFailed(WorkerError):
    """A worker never became ready: not found, died, raised on import, or took longer than ``start_timeout``.

    ``remote_traceback`` is the worker's own, when it lived long enough to send one.
    """

    _advice = "see remote_traceback and output_tail"

    default_outcome = Outcome.NOT_EXECUTED

    def __init__(self, message: str = "", *, remote_traceback: str | None = None, **common: Unpack[WorkerData]) -> None:
        super().__init__(message, **common)
        self.remote_traceback = remote_traceback
        if remote_traceback:
            self.add_note(f"In the worker:\n{remote_traceback}")


class RemoteError(TrioPoolError):
    """The command raised. ``type_name``, ``message`` and ``remote_traceback`` are the worker's words."""

    _advice = "see remote_traceback"

    default_outcome = Outcome.EXECUTED

    def __init__(
        self,
        message: str = "",
        *,
        type_name: str = "Exception",
        remote_message: str = "",
        remote_traceback: str = "",
        **common: Unpack[Common],
    ) -> None:
        super().__init__(message, **common)
        self.type_name = type_name
        self.message = remote_message
        self.remote_traceback = remote_traceback
        if remote_traceback:
            # Shown below the traceback of whoever does not catch it, and by logging; str() stays one line.
            self.add_note(f"In the worker:\n{remote_traceback}")


class BroadcastFailed(TrioPoolError):
    """A broadcast failed in some worker: ``results`` has what the others returned, ``errors`` what went wrong where.

    ``outcome`` speaks for all workers together: not executed if it ran in none, executed if it certainly ran in all.
    Pickling makes bytes of results that arrived as memoryviews, which cannot be pickled.

    Args:
        message: One line.
        results: What the command returned, by worker id.
        errors: Why it failed, by worker id.
        key: The broadcast's key.
        common: The data every error carries, see `TrioPoolError`.
    """

    _advice = "see errors, which has those of each worker"

    default_outcome = Outcome.MAYBE_EXECUTED

    def __init__(
        self,
        message: str = "",
        *,
        results: Mapping[str, Any] | None = None,
        errors: Mapping[str, TrioPoolError] | None = None,
        key: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(message, **common)
        self.results = dict(results or {})
        self.errors = dict(errors or {})
        self.key = key
        if common.get("outcome") is None and self.errors:
            outcomes = {error.outcome for error in self.errors.values()}
            if self.results:
                outcomes.add(Outcome.EXECUTED)
            self.outcome = outcomes.pop() if len(outcomes) == 1 else Outcome.MAYBE_EXECUTED

    def __reduce__(self) -> tuple[type[BroadcastFailed], tuple[Any, ...], dict[str, Any]]:
        return type(self), self.args, {**self.__dict__, "results": _without_views(self.results)}


def _without_views(value: Any) -> Any:
    """Return a result with bytes for memoryviews; it came through the codec, so containers are list and dict."""
    if isinstance(value, memoryview):
        return value.tobytes()
    kind: type = value.__class__
    if kind is dict:
        return {key: _without_views(item) for key, item in value.items()}
    if kind is list:
        return [_without_views(item) for item in value]
    return value


class ProcessFailed(TrioPoolError):
    """A supervised program ended by itself and not cleanly; ``exit`` says how, ``argv`` which program it was."""

    default_outcome = Outcome.MAYBE_EXECUTED

    def __init__(
        self,
        message: str = "",
        *,
        exit: Exit | None = None,  # noqa: A002  # the contract's name for it
        argv: Sequence[str] = (),
        **common: Unpack[Common],
    ) -> None:
        super().__init__(message, **common)
        self.exit = exit
        self.argv = tuple(argv)


class ChildError(TrioPoolError):
    """A management call on a supervisor was refused; ``reason`` is OTP's word for why."""

    def __init__(self, message: str = "", *, reason: str = "", child_id: str = "", **common: Unpack[Common]) -> None:
        super().__init__(message, **common)
        self.reason = reason
        self.child_id = child_id


class RestartIntensityExceeded(TrioPoolError):
    """A supervisor gave up: more restarts than ``max_restarts`` within ``within`` seconds.

    ``errors`` holds the last child errors, oldest first; ``child_id`` the child that tipped the scale, and
    ``supervisor_path`` the place of its supervisor in the tree: names and child ids from the outermost one down.
    """

    def __init__(
        self,
        message: str = "",
        *,
        child_id: str = "",
        restarts: int = 0,
        max_restarts: float = 0,
        within: float = 0.0,
        errors: Sequence[BaseException] = (),
        supervisor_path: Sequence[str] = (),
        **common: Unpack[Common],
    ) -> None:
        super().__init__(message, **common)
        self.child_id = child_id
        self.restarts = restarts
        self.max_restarts = max_restarts
        self.within = within
        self.errors = tuple(errors)
        self.supervisor_path = tuple(supervisor_path)
