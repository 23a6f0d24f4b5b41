"""Settling a worker's death: the requests it ran, and the sessions that lived in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._core._events import RequestRedispatched, RequestResult, RequestRetried, SessionForgotten
from ._broadcasts import Errand
from ._failures import closed_on, not_retried, session_ended, session_lost, undeliverable
from ._request import MAX_DISPATCHES
from ._retries import judge

if TYPE_CHECKING:
    from .._core._errors import TrioPoolError
    from .._core._session_table import SessionRecord
    from .._process._worker import PoolWorker
    from ._request import Request
    from ._router import Router


def settle(router: Router, worker: PoolWorker) -> None:
    """Settle what a dead worker leaves behind; its last replies have been delivered.

    Each request it ran is judged by itself. One it had not begun goes back to its place in the queue as if nothing had
    happened, unless the state of its session died. One it had begun fails, for it may have taken effect; if it is
    idempotent it goes back too, as far as the retry policy allows. Sessions whose state was used are lost, the others
    bind anew. A broadcast it ran, or was to run, is its own matter.

    Only when all of them have found their places, anything starts elsewhere: the oldest first. That is on another
    worker, for this one is gone. The next in its slot is as good as any, but nobody waits for it while there is one.
    """
    incarnation = worker.incarnation
    queue = router.queue
    running = queue.running(incarnation)
    requests = [request for request in running if not isinstance(request, Errand)]
    begun = [request for request in requests if request.begun(worker)]
    errors: dict[Request, TrioPoolError] = dict(judge(router, worker, begun))
    for request in errors:
        if request.session is not None and not request.answered:
            # Nobody can know whether it touched the session's state, so it counts as use. A reply would have told.
            request.session.used = True
    bound = [session for session in router.sessions if session.incarnation == incarnation]
    for session in bound:
        session.lost_with = worker.crashed(begun=None) if session.used else None
    retried = {request for request in begun if request not in errors}
    again = set(retried)
    for request in requests:
        if request not in begun and not request.finished:
            request.left_by = worker.crashed(begun=False, command=request.command, request_id=request.request_id)
            error = _hindrance(router, request)
            if error is None:
                again.add(request)
            else:
                errors[request] = error
    queue.remove_worker(incarnation, again)
    router.broadcasts.worker_dead(worker)
    for request in running:
        router.abandoned.pop(request, None)
        router.leases.ended(request)
    for request in requests:
        if not request.finished and request in errors:
            router.finish(request, RequestResult.FAILED, None, errors[request])
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
            _again(router, request, incarnation, retried=request in retried)
    queue.settle()
    router.carry_out()
    router.staff.help()


def give_back(router: Router, request: Request, worker: PoolWorker) -> bool:
    """Take back what a worker that is leaving has refused, to its old place; False if nobody else may have it, or
    nobody waits for it.

    Then a standby serves in place of that worker, which finishes what it has begun.
    """
    session = request.session
    hindered = _hindrance(router, request) is not None and (session is None or not session.used)
    again = not request.finished and not hindered
    if again:
        request.left_by = worker.crashed(begun=False, command=request.command, request_id=request.request_id)
        router.queue.give_back(request)
        _again(router, request, worker.incarnation, retried=False)
    router.staff.part(worker.incarnation)
    if again:
        router.queue.settle()
        router.carry_out()
        router.staff.help()
    return again


def _again(router: Router, request: Request, incarnation: int, *, retried: bool) -> None:
    """Note that a request is to be dispatched again. It keeps its place, and its deadline."""
    if retried:
        request.retries += 1
        router.retries += 1
        router.emit(
            RequestRetried,
            request_id=request.request_id,
            session_id=request.session_id,
            command=request.command,
            incarnation=incarnation,
            retries=request.retries,
        )
    else:
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


def _hindrance(router: Router, request: Request) -> TrioPoolError | None:
    """Return why a request that had not begun cannot go to another worker, None if it can."""
    session = request.session
    if router.closed is not None and not router.redispatches:
        if request.may_have_run:  # elsewhere, before
            return not_retried(request, "the pool closed")
        return closed_on(request, router.closed)
    if session is not None and _ended(router, session):
        return session_ended(request)
    if session is not None and session.used:
        return session_lost(request)
    if request.dispatches >= MAX_DISPATCHES:
        return undeliverable(request)
    return None


def _ended(router: Router, session: SessionRecord) -> bool:
    return router.sessions.get(session.session_id) is not session
