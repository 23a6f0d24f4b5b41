"""Settling a worker's death: the requests it ran, and the sessions that lived in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._core._events import RequestRedispatched, RequestResult, SessionForgotten
from ._broadcasts import Errand
from ._failures import pool_closed, session_ended, session_lost
from ._request import MAX_DISPATCHES

if TYPE_CHECKING:
    from .._core._errors import TrioPoolError
    from .._core._session_table import SessionRecord
    from .._process._worker import PoolWorker
    from ._request import Request
    from ._router import Router


def settle(router: Router, worker: PoolWorker) -> None:
    """Settle what a dead worker leaves behind; its last replies have been delivered.

    Each request it ran is judged by itself. One it had begun fails, for it may have taken effect. One it had not begun
    goes back to its place in the queue as if nothing had happened, unless the state of its session died. Sessions whose
    state was used are lost, the others bind anew. A broadcast it ran, or was to run, is its own matter.

    Only when all of them have found their places, anything starts elsewhere: the oldest first.
    """
    incarnation = worker.incarnation
    queue = router.queue
    running = queue.running(incarnation)
    requests = [request for request in running if not isinstance(request, Errand)]
    begun = {request for request in requests if request.begun(worker)}
    for request in begun:
        if request.session is not None and not request.answered:
            # Nobody can know whether it touched the session's state, so it counts as use. A reply would have told.
            request.session.used = True
    bound = [session for session in router.sessions if session.incarnation == incarnation]
    for session in bound:
        session.lost_with = worker.crashed(begun=None) if session.used else None
    again = {request for request in requests if request not in begun and _may_go_elsewhere(router, request)}
    queue.remove_worker(incarnation, again)
    router.broadcasts.worker_dead(worker)
    for request in running:
        router.abandoned.pop(request, None)
        router.leases.ended(request)
    for request in requests:
        if not request.finished and request not in again:
            error = _failure(router, request, worker, begun=request in begun)
            router.finish(request, RequestResult.FAILED, None, error)
    for session in bound:
        router.emit(SessionForgotten, session_id=session.session_id, incarnation=incarnation, lost=session.used)
        if session.used:
            session.lost = True
            for ticket in queue.close_session(session):
                router.finish(ticket, RequestResult.FAILED, None, session_lost(ticket))
        else:
            queue.unbind(session)
    for request in requests:
        if request in again:
            _again(router, request, incarnation)
    queue.settle()
    router.carry_out()
    router.staff.help()


def _again(router: Router, request: Request, incarnation: int) -> None:
    """Note that a request is to be dispatched again."""
    router.redispatched += 1
    router.emit(
        RequestRedispatched,
        request_id=request.request_id,
        session_id=request.session_id,
        command=request.command,
        incarnation=incarnation,
    )
    request.queue_deadline = trio.current_time() + request.patience  # it waits for another worker anew
    router.deadlines.by(request.due)


def _may_go_elsewhere(router: Router, request: Request) -> bool:
    session = request.session
    if request.finished or not router.redispatches:
        return False
    if request.dispatches >= MAX_DISPATCHES:
        return False
    return session is None or (not session.used and not _ended(router, session))


def _ended(router: Router, session: SessionRecord) -> bool:
    return router.sessions.get(session.session_id) is not session


def _failure(router: Router, request: Request, worker: PoolWorker, *, begun: bool) -> TrioPoolError:
    if begun:
        error = worker.crashed(begun=True, command=request.command, request_id=request.request_id)
        error.session_id = request.session_id
        return error
    if router.closed is not None:
        return pool_closed(router.closed, request)
    if request.session is not None and _ended(router, request.session):
        return session_ended(request)
    if request.session is not None and request.session.used:
        return session_lost(request)
    return worker.crashed(begun=False, command=request.command, request_id=request.request_id)
