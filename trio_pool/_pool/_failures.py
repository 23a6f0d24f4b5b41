"""The errors of requests: each built in one place, from what is known at the moment it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core._errors import PoolClosed, SessionLost, SessionNotFound
from ..errors import CommandTimeout, PoolTimeout

if TYPE_CHECKING:
    from .._core._errors import WorkerError
    from .._process._worker import PoolWorker
    from ._request import Request
    from ._router import Router


def pool_closed(cause: BaseException, request: Request | None = None) -> PoolClosed:
    """Return the error of whoever meets a closed pool; the give-up that closed it is its cause."""
    own = isinstance(cause, PoolClosed)
    what = "" if request is None else f"{request.command} did not run: "
    error = PoolClosed(f"{what}the pool is closed" if own else f"{what}the pool is closed: {cause}")
    if not own:
        error.__cause__ = cause
    if request is not None:
        error.session_id, error.command, error.request_id = request.session_id, request.command, request.request_id
    return error


def session_lost(request: Request) -> SessionLost:
    """Return the error of a request whose session has lost its state; it names the worker that had it."""
    death: WorkerError | None = None if request.session is None else request.session.lost_with
    error = SessionLost(
        f"{request.command} did not run: session {request.session_id!r} lost its state, for "
        f"{death or 'its worker is gone'}; end_session() it to use the id anew",
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
        f"{request.command} did not run: session {request.session_id!r} was ended while it waited",
        session_id=request.session_id,
        command=request.command,
        request_id=request.request_id,
    )


def waited_too_long(request: Request, now: float, router: Router) -> PoolTimeout:
    """Return the error of a request that no worker took in time."""
    waited = now - request.submitted_at
    which = "checkout_timeout" if request.queue_deadline <= request.deadline else "timeout"
    busy, waiting = router.queue.busy, router.queue.waiting
    return PoolTimeout(
        f"{request.command} did not run: it waited {waited:.3g} s for a worker, its {which} "
        f"({router.size} workers, {busy} busy, {waiting} waiting)",
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
    begun = "had" if worker.begun(request.wire_id) else "had not"
    return CommandTimeout(
        f"{request.command} did not answer within {waited:.3g} s on {worker.worker_id} (pid {worker.pid}); "
        f"it {begun} begun",
        timeout=request.deadline - request.submitted_at,
        worker_id=worker.worker_id,
        pid=worker.pid,
        incarnation=worker.incarnation,
        session_id=request.session_id,
        command=request.command,
        request_id=request.request_id,
    )
