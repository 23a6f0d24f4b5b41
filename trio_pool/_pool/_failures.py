"""The errors of requests: each built in one place, from what is known at the moment it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._core._errors import (
    BroadcastFailed,
    Outcome,
    PoisonRequest,
    PoolClosed,
    ProtocolError,
    SessionLost,
    SessionNotFound,
    WorkerCrashed,
    WorkerInitFailed,
)
from .._process._commands import reply_error, text_of
from ..errors import CommandTimeout, PoolTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core._errors import TrioPoolError, WorkerData, WorkerError
    from .._core._messages import Message
    from .._process._worker import PoolWorker
    from ._broadcasts import Broadcast, Errand
    from ._request import Request
    from ._router import Router

# Of a failed broadcast's workers, this many are quoted in its one line, and of each this much.
_QUOTED: Final = 3
_QUOTE: Final = 200


def pool_closed(cause: BaseException, *, command: str | None = None, session_id: str | None = None) -> PoolClosed:
    """Return the error of whoever meets a closed pool; the give-up that closed it is its cause."""
    own = isinstance(cause, PoolClosed)
    what = "the pool is closed" if own else f"the pool is closed: {cause}"
    error = PoolClosed(what if command is None else f"{command}: {what}", command=command, session_id=session_id)
    if not own:
        error.__cause__ = cause
    return error


def closed_on(request: Request, cause: BaseException) -> PoolClosed:
    """Return the error of a request that waits for a worker when the pool closes."""
    error = pool_closed(cause, command=request.command, session_id=request.session_id)
    if error.__cause__ is None:
        error.args = (f"{request.command}: the pool closed while the request waited",)
    error.request_id = request.request_id
    return error


def session_lost(request: Request) -> SessionLost:
    """Return the error of a request whose session has lost its state; it names the worker that had it."""
    death: WorkerError | None = None if request.session is None else request.session.lost_with
    error = SessionLost(
        f"{request.command}: session {request.session_id!r} lost its state, for "
        f"{'its worker is gone' if death is None else death.what}",
        exit=None if death is None else death.exit,
        session_id=request.session_id,
        command=request.command,
        request_id=request.request_id,
    )
    if death is not None:
        error.worker_id, error.pid, error.incarnation = death.worker_id, death.pid, death.incarnation
    return error


def session_ended(request: Request) -> SessionNotFound:
    """Return the error of a request whose session was ended before it had begun."""
    return SessionNotFound(
        f"{request.command}: session {request.session_id!r} was ended while the request waited",
        session_id=request.session_id,
        command=request.command,
        request_id=request.request_id,
    )


def waited_too_long(request: Request, now: float, router: Router) -> PoolTimeout | CommandTimeout:
    """Return the error of a request that no worker took in time, or none took again after one had died with it."""
    waited = now - request.submitted_at
    which = "checkout_timeout" if request.queue_deadline <= request.deadline else "timeout"
    busy, waiting = router.queue.busy, router.queue.waiting
    state = f"{busy} of {router.size} workers busy, {waiting} waiting"
    death = request.left_by
    if death is not None and request.written:
        # It was written once, so it is not the pool's limit any more that counts, whichever clock ran out.
        return CommandTimeout(
            f"{death.what}; no other worker took it within {waited:.3g} s, its {which} ({state})",
            outcome=Outcome.MAYBE_EXECUTED if request.may_have_run else Outcome.NOT_EXECUTED,
            timeout=request.deadline - request.submitted_at,
            worker_id=death.worker_id,
            pid=death.pid,
            incarnation=death.incarnation,
            session_id=request.session_id,
            command=request.command,
            request_id=request.request_id,
        )
    return PoolTimeout(
        f"{request.command}: it waited {waited:.3g} s for a worker, its {which} ({state})",
        waited=waited,
        size=router.size,
        busy=busy,
        queued=waiting,
        session_id=request.session_id,
        command=request.command,
        request_id=request.request_id,
    )


def answered_too_late(request: Request, now: float, worker: PoolWorker) -> CommandTimeout:
    """Return the error of a request that was sent and got no reply in time."""
    waited = now - request.submitted_at
    begun = "had begun" if worker.begun(request.wire_id) else "had not begun by then"
    return CommandTimeout(
        f"{request.command}: no answer within {waited:.3g} s from {worker.worker_id} (pid {worker.pid}); it {begun}",
        timeout=request.deadline - request.submitted_at,
        worker_id=worker.worker_id,
        pid=worker.pid,
        incarnation=worker.incarnation,
        session_id=request.session_id,
        command=request.command,
        request_id=request.request_id,
    )


def not_retried(request: Request, why: str) -> WorkerError:
    """Return the error of a request that had begun on a worker that died, and for this reason is not tried again."""
    death = request.left_by
    if death is None:
        raise RuntimeError("a request that may have run without a worker")  # a mistake in this package
    common: WorkerData = {
        "outcome": Outcome.MAYBE_EXECUTED,
        "exit": death.exit,
        "output_tail": death.output_tail,
        "reason": death.reason,
        "worker_id": death.worker_id,
        "pid": death.pid,
        "incarnation": death.incarnation,
        "session_id": request.session_id,
        "command": request.command,
        "request_id": request.request_id,
    }
    message = death.what
    if why:
        message += f"; it was not tried again, for {why}"
    elif death.reason == "shutdown":
        message += "; the pool was closing"
    return ProtocolError(message, **common) if isinstance(death, ProtocolError) else WorkerCrashed(message, **common)


def poisonous(request: Request) -> PoisonRequest:
    """Return the error of a request that so many workers died of that it is not tried again."""
    *_, last = deaths = request.deaths
    how = ", ".join(f"{death.worker_id} with {death.exit}" for death in deaths[-_QUOTED:])
    which = ", the last" if len(deaths) > _QUOTED else ""
    many = "1 worker died while it" if len(deaths) == 1 else f"{len(deaths)} workers died while they"
    return PoisonRequest(
        f"{request.command}: {many} ran it{which}: {how}",
        workers=[death.worker_id or "" for death in deaths],
        exits=[death.exit for death in deaths],
        exit=last.exit,
        output_tail=last.output_tail,
        reason=last.reason,
        worker_id=last.worker_id,
        pid=last.pid,
        incarnation=last.incarnation,
        session_id=request.session_id,
        command=request.command,
        request_id=request.request_id,
    )


def undeliverable(request: Request) -> WorkerError:
    """Return the error of a request that was given to so many workers which died unbegun that it may be the cause."""
    death = request.left_by
    if death is None:
        raise RuntimeError("a request that was given up without a death")  # a mistake in this package
    death.args = (f"{death.what}, as on {request.dispatches} workers in a row: to read it may be what kills them",)
    death.reason = "undelivered"
    return death


def left_alone(message: Message) -> bool:
    """Tell whether a worker has refused to begin a request because it has been told to leave."""
    return not message["success"] and message["error"].get("kind") == "leaving"


def refused(
    error: Mapping[str, Any],
    command: str,
    worker: PoolWorker,
    *,
    session_id: str | None = None,
    request_id: int | None = None,
) -> TrioPoolError:
    """Return the error of a worker's error reply."""
    if error["kind"] == "expired":
        return CommandTimeout(
            f"{command}: {worker.worker_id} (pid {worker.pid}) found its deadline over and did not begin it",
            outcome=Outcome.NOT_EXECUTED,
            worker_id=worker.worker_id,
            pid=worker.pid,
            incarnation=worker.incarnation,
            session_id=session_id,
            command=command,
            request_id=request_id,
        )
    return reply_error(
        error,
        command,
        worker_id=worker.worker_id,
        pid=worker.pid,
        incarnation=worker.incarnation,
        session_id=session_id,
        request_id=request_id,
    )


def not_free_in_time(errand: Errand, now: float, router: Router) -> PoolTimeout:
    """Return the error of a broadcast for which a worker did not become free, or ready, in time.

    With a key it may run there all the same, later, if another worker accepts it.
    """
    waited = now - errand.broadcast.called_at
    later = errand.broadcast.key is not None
    return PoolTimeout(
        f"{errand.command}: {errand.slot.worker_id} was not free for {waited:.3g} s"
        f"{' and has not run yet, but will if another accepts it' if later else ''}",
        outcome=Outcome.MAYBE_EXECUTED if later else Outcome.NOT_EXECUTED,
        waited=waited,
        size=router.size,
        busy=router.queue.busy,
        queued=router.queue.waiting,
        command=errand.command,
        worker_id=errand.slot.worker_id,
    )


def not_replaced(errand: Errand) -> WorkerCrashed:
    """Return the error of a broadcast that waited for a worker which, by policy, does not come."""
    worker_id = errand.slot.worker_id
    return WorkerCrashed(
        f"{errand.command}: {worker_id} has ended and, by policy, is not replaced",
        outcome=Outcome.NOT_EXECUTED,
        reason="ended",
        command=errand.command,
        worker_id=worker_id,
    )


def broadcast_failed(
    broadcast: Broadcast, results: Mapping[str, Any], errors: Mapping[str, TrioPoolError]
) -> BroadcastFailed:
    """Return the error of a broadcast that failed in some worker."""
    quoted = [f"{worker_id}: {error.what[:_QUOTE]}" for worker_id, error in list(errors.items())[:_QUOTED]]
    more = f"; and {len(errors) - _QUOTED} more" if len(errors) > _QUOTED else ""
    failure = BroadcastFailed(
        f"{broadcast.command} failed in {len(errors)} of {len(errors) + len(results)} workers: "
        f"{'; '.join(quoted)}{more}",
        results=results,
        errors=errors,
        key=broadcast.key,
        command=broadcast.command,
    )
    failure.__cause__ = next(iter(errors.values()))
    return failure


def replay_failed(broadcast: Broadcast, worker: PoolWorker, message: Message | None, limit: float) -> WorkerInitFailed:
    """Return why a worker does not get ready whose run of a kept broadcast failed; ``message`` is its reply, if any."""
    what = f"the broadcast {broadcast.command!r} kept under key {broadcast.key!r}"
    traceback: str | None = None
    if message is not None:
        error: Mapping[str, Any] = message["error"]
        text, reason = f"failed in {what}: {text_of(error, 'type')}: {text_of(error, 'message')}", "broadcast"
        traceback = text_of(error, "traceback")
    elif worker.link.error is not None:
        text, reason = f"broke the protocol in {what}: {worker.link.error}", "protocol"
    elif worker.link.ended.is_set():
        text, reason = f"ended in {what}", "exit"
    else:
        text, reason = f"took longer than {limit:g} s for {what}", "timeout"
    return WorkerInitFailed(
        text,
        reason=reason,
        remote_traceback=traceback,
        command=broadcast.command,
        worker_id=worker.worker_id,
        pid=worker.pid,
        incarnation=worker.incarnation,
    )
