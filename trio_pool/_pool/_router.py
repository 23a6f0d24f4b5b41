"""The router: every request's way from its admission over the queue and a worker to its one outcome.

All state changes happen here, in synchronous functions that no checkpoint divides, called from whatever task learns
something: a caller, a slot's reader, the timer. The decisions themselves are the sans-IO queue's and session table's.

A request ends once, in `finish`. What may still come for it afterwards (the reply to a caller that has left) only frees
its place in the worker. A worker in which a request was abandoned is told to cancel it, and takes nothing new until
that has ended. If that takes longer than `abandon_grace`, it is killed, with whatever else it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._core._dispatch_queue import DispatchQueue
from .._core._errors import Outcome, PoolClosed, PoolSaturated, SessionLimit, WorkerCrashed
from .._core._events import RequestDispatched, RequestFinished, RequestResult, SessionBound, StaleReply, WorkerKilled
from .._core._retry import RetryBudget
from .._core._session_table import SessionTable
from .._core._ticket import ASYNC, LEASE, RUNNING, SYNC
from .._core._worker_states import WorkerStatus
from ..errors import CommandTimeout, PoolTimeout
from ._broadcasts import Broadcasts, Errand
from ._deadlines import Deadlines
from ._deaths import give_back, settle
from ._failures import closed_on, left_alone, not_retried, pool_closed, refused, session_lost, waited_too_long
from ._leases import Leases
from ._request import Request, check_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core._config import PoolConfig
    from .._core._errors import TrioPoolError
    from .._core._events import PoolEvent
    from .._core._messages import Encoded, Message
    from .._core._session_table import SessionRecord
    from .._core._staff import WorkerRole
    from .._process._worker import PoolWorker
    from ._leases import Borrower
    from ._observers import Observers
    from ._slot import Slot
    from ._slots import Slots


class Router:
    """The state of one pool: its queue, sessions, serving slots, live requests and counts.

    Args:
        config: The pool's configuration.
        size: How many workers it keeps.
        observers: Who is told of events.
    """

    def __init__(self, config: PoolConfig, size: int, observers: Observers) -> None:
        self.config = config
        self.size = size
        self.queue: DispatchQueue[Request] = DispatchQueue(config.max_queue, config.concurrency)
        self.flags: Mapping[str, frozenset[str]] = {}
        """How the application has declared its commands, those that are more than plain sync ones. All workers run the
        same application, so whichever got ready last has said it; before the first, every command counts as plain."""
        self.sessions = SessionTable(config.sessions.ttl, config.sessions.max_sessions)
        self.slots: dict[int, Slot] = {}
        """The slots with a worker that is or was ready, by its incarnation."""
        self.staff: Slots  # given by itself, as the pool is opened
        self.requests: dict[int, Request] = {}
        """The requests without an outcome, by id."""
        self.abandoned: dict[Request, None] = {}
        """Those nobody waits for any more whose workers have not ended them yet."""
        self.deadlines = Deadlines(self)
        self.broadcasts = Broadcasts(self)
        self.leases = Leases(self)
        self.pings: dict[int, trio.Event] = {}
        """Health checks under way, by incarnation."""
        self.closed: BaseException | None = None
        """Why nothing more is admitted."""
        self.draining = False
        """Closed, but what is there may still find a worker."""
        self._idle = trio.Event()
        self.opened_at = trio.current_time()
        """When all workers were first ready, as soon as they were."""
        self.closed_at: float | None = None
        """When the last worker was gone."""
        self.submitted = 0
        self.pool_timeouts = 0
        """Requests that no worker took in time; the other timed out ones had been sent."""
        self.worker_errors = 0
        """Workers that died through no wish of the pool's, or never got ready."""
        self.last_health_check: float | None = None
        self.redispatched = 0
        self.retries = 0
        self.retry_budget = RetryBudget(config.retry)
        self.stale_replies = 0
        self.results: dict[RequestResult, int] = dict.fromkeys(RequestResult, 0)
        self.incarnations = 0
        self.restarts = 0
        """Workers started beyond the first of each slot."""
        self._observers = observers

    def emit(self, event: Callable[..., PoolEvent], /, **fields: object) -> None:
        """Make an event and hand it out, if anybody observes."""
        if self._observers.watched:
            self._observers.emit(event(at=trio.current_time(), pool=self._observers.pool, **fields))

    def new_incarnation(self) -> int:
        """Return the number of the next worker."""
        self.incarnations += 1
        return self.incarnations

    @property
    def redispatches(self) -> bool:
        """Whether what a dead worker had not begun may go to another."""
        return self.closed is None or self.draining

    # -- admission -----------------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Refuse if the pool takes nothing more.

        Raises:
            PoolClosed: It is closing or closed.
        """
        if self.closed is not None:
            raise pool_closed(self.closed)

    def admit(
        self,
        command: str,
        encoded: Encoded | None,
        session_id: str | None,
        *,
        called_at: float,
        deadline: float,
        checkout_timeout: float,
        declared: bool = True,
        borrower: Borrower | None = None,
        idempotent: bool = False,
        drive: bool = False,
    ) -> Request:
        """Take a request in and send it at once if a worker is free; the caller waits for it and, leaving early,
        cancels it.

        Args:
            command: What it is called.
            encoded: What is sent; None for a lease.
            session_id: Its session, if it has one.
            called_at: When it was asked for: its clocks run from then.
            deadline: When its whole budget ends.
            checkout_timeout: Seconds to wait for a worker.
            declared: ``command`` is a command's name, so that its declaration applies.
            borrower: Who asks for a lease.
            idempotent: It may be retried.
            drive: The caller goes on to `drive`.

        Raises:
            PoolClosed, PoolSaturated, SessionLost, SessionLimit: It was refused; nothing is left of it.
            PoolTimeout: It has no time at all, or would wait for what is leased around it.
        """
        if self.closed is not None:
            raise pool_closed(self.closed, command=command, session_id=session_id)
        check_seconds("checkout_timeout", checkout_timeout)
        known = session_id is not None and self.sessions.get(session_id) is not None
        session = None if session_id is None else self._session(session_id, called_at, command)
        flags = self.flags.get(command, ()) if declared else ()
        self.submitted += 1
        request = Request(
            self,
            self.submitted,
            command,
            encoded,
            session,
            LEASE if encoded is None else ASYNC if "async" in flags else SYNC,
            beside="concurrent" in flags and encoded is not None,
            submitted_at=called_at,
            queue_deadline=called_at + checkout_timeout,
            deadline=deadline,
            idempotent=idempotent,
        )
        self.retry_budget.request(called_at)
        if session is not None and session.lost:
            self._count(request, RequestResult.FAILED)
            raise session_lost(request)
        if deadline <= called_at:
            self.pool_timeouts += 1
            self._count(request, RequestResult.TIMED_OUT)
            raise waited_too_long(request, called_at, self)
        try:
            incarnation = self.queue.submit(request)
        except PoolSaturated as exc:
            self._count(request, RequestResult.REJECTED)
            exc.args = (f"{command}: {exc.what}",)
            exc.request_id, exc.session_id, exc.command = request.request_id, session_id, command
            if session is not None and not known:
                self.sessions.undo(session.session_id)
            raise
        request.borrower = borrower
        if incarnation is None and self.leases.held:
            try:
                self.leases.check(request)
            except PoolTimeout:
                self.queue.withdraw(request)
                self.pool_timeouts += 1
                self._count(request, RequestResult.TIMED_OUT)
                if session is not None and not known:
                    self.sessions.undo(session.session_id)
                raise
        self.requests[request.request_id] = request
        self.deadlines.by(min(request.queue_deadline, request.deadline) if incarnation is None else request.due)
        if incarnation is not None:
            self._assign(request, drive=drive)
            if self.queue.started:
                self.carry_out()
        elif session is None:
            self.staff.help()
        return request

    def _session(self, session_id: str, now: float, command: str) -> SessionRecord:
        try:
            session = self.sessions.use(session_id, now)
        except SessionLimit as exc:
            exc.args, exc.command = (f"{command}: {exc.what}",), command
            raise
        if session.operations == 0:
            self.deadlines.by(self.sessions.next_expiry())
        session.operations += 1
        return session

    @trio.lowlevel.enable_ki_protection
    def track(self, session_id: str) -> None:
        """Make a session known."""
        self.sessions.use(session_id, trio.current_time())
        self.deadlines.by(self.sessions.next_expiry())

    async def drive(self, request: Request) -> None:
        """Have the caller look for the reply itself for a moment, if its worker allows that."""
        slot = self.slots.get(request.incarnation or 0)
        if slot is None or slot.worker is None:
            await trio.lowlevel.checkpoint()
        else:
            await slot.worker.link.drive(request)

    # -- a request's way -----------------------------------------------------------------------------------------------

    def _assign(self, request: Request, *, drive: bool = False) -> None:
        """Hand a request to the worker the queue has chosen."""
        slot, worker = self.holder(request)
        session = request.session
        request.wire_id = 0
        request.dispatches += 1
        if isinstance(request, Errand):
            self.broadcasts.sent(request)
        elif self._observers.watched:
            self.emit(
                RequestDispatched,
                request_id=request.request_id,
                session_id=request.session_id,
                command=request.command,
                slot=slot.index,
                incarnation=worker.incarnation,
            )
            if session is not None and session.announced != worker.incarnation:
                session.announced = worker.incarnation
                self.emit(SessionBound, session_id=session.session_id, incarnation=worker.incarnation)
        slot.post(request, worker, drive=drive)
        if request.encoded is None:
            # A lease: its holder is told, and the worker stays taken until `release_lease`.
            self.leases.granted(request)
            request.finish(worker, None)

    def replied(self, request: Request, message: Message) -> None:
        """Take the reply to a request: the outcome, unless it has one, and the worker is free."""
        slot, worker = self.holder(request)
        if left_alone(message):
            self.worker_leaving(worker, request)
            if give_back(self, request, worker):
                return
        request.answered = True
        session = request.session
        if session is not None and message.get("session_used"):
            session.used = True
        if not request.finished:
            if message["success"]:
                self.finish(request, RequestResult.OK, message["result"], None)
            else:
                worker.stats.errors += 1
                error = refused(
                    message["error"],
                    request.command,
                    worker,
                    session_id=request.session_id,
                    request_id=request.request_id,
                )
                request.refused_as_late = isinstance(error, CommandTimeout)
                result = RequestResult.TIMED_OUT if request.refused_as_late else RequestResult.FAILED
                self.finish(request, result, None, error)
        self.release(request, slot, worker)

    def release(self, request: Request, slot: Slot, worker: PoolWorker) -> None:
        """Give the place of a request that has ended to the next; a worker that is lost is settled when it is dead."""
        self.abandoned.pop(request, None)
        if worker.link.ended.is_set():
            return
        queue = self.queue
        if queue.finish(request):
            slot.left = None
            if worker.status is WorkerStatus.BUSY:  # else the holder of a lease has checked it in already
                worker.checkin()
        queue.serve(worker.incarnation)
        if queue.started:
            self.carry_out()
        if slot.passing:
            self.staff.dismiss_idle(slot)

    def carry_out(self) -> None:
        """Hand what the queue has started to the workers it chose, save what is late: in its place comes the next.

        The timer settles those too, but a reply may be read before the timer's turn comes, and a command that is sent
        too late would be abandoned at once and may cost its worker.
        """
        queue = self.queue
        now = trio.current_time()
        while queue.started:
            request = queue.started.popleft()
            if request.deadline > now:
                self._assign(request)
                continue
            incarnation = request.incarnation or 0
            queue.finish(request)
            queue.serve(incarnation)
            self.finish(request, RequestResult.TIMED_OUT, None, waited_too_long(request, now, self))

    def finish(self, request: Request, result: RequestResult, value: object, error: TrioPoolError | None) -> None:
        """Give a request its one outcome."""
        del self.requests[request.request_id]
        self.check_idle()
        if error is not None:
            if error.request_id is None:
                error.request_id = request.request_id
            if request.may_have_run and error.outcome is Outcome.NOT_EXECUTED:
                # True of the last worker alone. One place for all errors, for the next one would be forgotten.
                error.outcome = Outcome.MAYBE_EXECUTED
        if isinstance(error, PoolTimeout):
            self.pool_timeouts += 1
        request.finish(value, error)
        self._count(request, result)  # last, for it calls the hook, which may look at the counts or raise Ctrl-C

    def _count(self, request: Request, result: RequestResult) -> None:
        self.results[result] += 1
        if request.session is not None:
            self.sessions.touch(request.session, trio.current_time())
        if self._observers.watched:
            self.emit(
                RequestFinished,
                request_id=request.request_id,
                session_id=request.session_id,
                command=request.command,
                incarnation=request.incarnation,
                result=result,
            )

    def cancel(self, request: Request) -> None:
        """Take note that the caller has left: the request is withdrawn, or its worker freed as soon as it may be."""
        if request.encoded is None and request.phase is RUNNING:
            self.leases.release(request, RequestResult.CANCELLED)
        elif not request.finished:
            withdrawn = self.queue.withdraw(request)
            self.finish(request, RequestResult.CANCELLED, None, None)
            if not withdrawn:
                self.deadlines.abandon(request, "cancelled")
            self.carry_out()

    # -- workers -------------------------------------------------------------------------------------------------------

    def holder(self, request: Request) -> tuple[Slot, PoolWorker]:
        """Return where a running request runs."""
        slot = self.slots[request.incarnation or 0]
        if slot.worker is None:
            raise RuntimeError("a running request without a worker")  # a mistake in this package, not the caller's
        return slot, slot.worker

    def kill(self, slot: Slot, worker: PoolWorker, reason: str) -> None:
        """Have a worker killed."""
        self.emit(
            WorkerKilled,
            slot=slot.index,
            worker_id=slot.worker_id,
            incarnation=worker.incarnation,
            pid=worker.pid,
            reason=reason,
        )
        worker.kill(reason)

    def worker_ready(self, slot: Slot) -> None:
        """Take a new worker into service."""
        self.slots[slot.incarnation] = slot
        if slot.worker is not None:
            self.flags = slot.worker.flags
        self.broadcasts.worker_ready(slot)
        self.assign_role(slot, self.staff.join(slot))

    def assign_role(self, slot: Slot, role: WorkerRole) -> None:
        """Have a worker take what its role allows, from now on."""
        self.queue.add_worker(slot.incarnation, role)
        self.carry_out()
        if slot.passing:
            self.staff.dismiss_idle(slot)

    def worker_leaving(self, worker: PoolWorker, refused: Request) -> None:
        """Give nothing more to a worker that has refused a request because it finishes what it has begun and leaves.

        Sessions with state there stay with it, and what they ask waits for its end. All others are free. What
        it has begun may take long: a standby is to serve in its place, once what was refused is where that finds it.
        """
        worker.leaving = True
        self.queue.hold(worker.incarnation)
        busy = {each.session for each in self.queue.running(worker.incarnation) if each is not refused}
        for session in self.sessions:
            if session.incarnation == worker.incarnation and not session.used and session not in busy:
                self.queue.unbind(session)

    def worker_lost(self, worker: PoolWorker) -> None:
        """Give a worker that ends nothing more, and its place to another."""
        self.queue.hold(worker.incarnation)
        self.staff.part(worker.incarnation)

    def worker_dead(self, worker: PoolWorker) -> None:
        """Settle what a worker leaves behind."""
        if self.slots.pop(worker.incarnation, None) is not None:
            settle(self, worker)
        else:
            self.broadcasts.worker_dead(worker)  # not ready yet, it was in nobody else's book

    def stale_reply(self, slot: Slot, wire_id: int) -> None:
        """Count a reply nobody waits for."""
        self.stale_replies += 1
        self.emit(StaleReply, slot=slot.index, worker_id=slot.worker_id, incarnation=slot.incarnation, wire_id=wire_id)

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, cause: BaseException | None = None) -> None:
        """Admit nothing more; a second cause is ignored."""
        if self.closed is None or (cause is not None and isinstance(self.closed, PoolClosed)):
            self.closed = cause or PoolClosed("the pool is closed")

    @trio.lowlevel.enable_ki_protection
    def drain(self) -> None:
        """Admit nothing more, but let what is there find workers."""
        if self.closed is None:
            self.close()
            self.draining = True

    def check_idle(self) -> None:
        """Wake who waits for the end of all there is to do, if this is it."""
        if not self.requests and not self.broadcasts.under_way:
            self._idle.set()

    async def wait_idle(self) -> None:  # noqa: ASYNC910  # nothing to wait for, nothing to do: for open_pool alone
        """Wait until every request and every broadcast has its outcome."""
        while self.requests or self.broadcasts.under_way:
            if self._idle.is_set():  # else somebody waits for it already
                self._idle = trio.Event()
            await self._idle.wait()

    def fail_waiting(self) -> None:
        """Fail every request, and every part of a broadcast, that no worker has."""
        cause = self.closed or PoolClosed("the pool is closed")
        self.broadcasts.fail_waiting(cause)
        # The youngest first, for whose sake nobody else can start.
        for request in reversed(list(self.requests.values())):
            if not self.queue.withdraw(request):
                continue
            if request.may_have_run:
                self.finish(request, RequestResult.FAILED, None, not_retried(request, "the pool closed"))
            else:
                self.finish(request, RequestResult.REJECTED, None, closed_on(request, cause))

    def fail_all(self) -> None:
        """Fail every request that is left when no worker is left: a backstop, for none should be."""
        self.fail_waiting()
        self.broadcasts.fail_all(self.closed or PoolClosed("the pool is closed"))
        for request in list(self.requests.values()):
            error = WorkerCrashed(
                f"{request.command}: the pool is gone, and its worker with it",
                outcome=Outcome.MAYBE_EXECUTED,
                reason="shutdown",
                command=request.command,
                session_id=request.session_id,
            )
            self.finish(request, RequestResult.FAILED, None, error)
