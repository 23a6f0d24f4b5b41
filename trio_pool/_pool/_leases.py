"""Leases: workers in the hands of callers, who may forget to give them back, or ask for more while they hold them.

**Forgotten.** A lease that is held longer than `lease_warning` is named in the log, once, with the task that took it
and the line where it did: nothing else would explain why a pool serves as if it had fewer workers. One that was entered
by hand and dropped without being left is given back when Python collects it, and named as well.

**Nested.** Who holds a lease and asks for another worker gets one as soon as there is one. But where every worker is
leased by the very task that asks, or around it, by one whose lease cannot end before this task does, no patience helps:
that request is refused at once, and so is one in a session whose worker is leased so. "Around" is taken exactly: the
task runs, directly or through others, in a nursery that was opened within the lease. Two tasks that each hold a worker
and want the other's are not refused, for either may yet give up: their `checkout_timeout` parts them.
"""

from __future__ import annotations

import logging
import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs
import trio

from .._core._events import RequestResult
from .._core._ticket import RUNNING
from ..errors import PoolTimeout

if TYPE_CHECKING:
    from types import TracebackType

    from .._process._worker import PoolWorker
    from ._request import Request
    from ._router import Router
    from ._slot import Slot

_log = logging.getLogger("trio_pool.lease")


@attrs.define(eq=False)
class Borrower:
    """Who holds a lease, or waits for it."""

    task: trio.lowlevel.Task
    depth: int
    """How many nurseries the task had open: those opened later lie within the lease."""
    where: str
    since: float = math.nan
    warn_at: float = math.inf
    warned: bool = False
    dropped: bool = False

    def encloses(self, task: trio.lowlevel.Task | None) -> bool:
        """Tell whether the lease cannot end before this task does: it is the borrower, or runs in a nursery of his."""
        nursery: trio.Nursery | None = None
        while task is not None and not self.dropped:
            if task is self.task:
                return nursery is None or nursery in task.child_nurseries[self.depth :]
            nursery = task.parent_nursery
            task = None if nursery is None else nursery.parent_task
        return False

    def __str__(self) -> str:
        return f"task {self.task.name!r} at {self.where}"


class Leases:
    """The leases of one pool that are granted and not yet given back."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.held: dict[Request, Borrower] = {}

    def granted(self, request: Request) -> None:
        """Take note that somebody has a worker now."""
        borrower = request.borrower
        if borrower is not None:
            borrower.since = trio.current_time()
            borrower.warn_at = borrower.since + self._router.config.lease_warning
            self.held[request] = borrower
            self._router.deadlines.by(borrower.warn_at)

    def ended(self, request: Request) -> None:
        """Take note that it was given back, or that its worker is gone."""
        borrower = self.held.pop(request, None)
        if borrower is not None and borrower.warned:
            held = trio.current_time() - borrower.since
            _log.info("the lease of %s, warned of before, has ended after %.3g s", borrower, held)

    def release(self, request: Request, result: RequestResult) -> None:
        """End a lease. A worker that still works on a command of the lease's has `abandon_grace` to finish it."""
        router = self._router
        self.ended(request)
        if request.request_id in router.requests:
            router.finish(request, result, request.value, None)
        if request.phase is not RUNNING or request.incarnation not in router.slots:
            return  # the worker died meanwhile, and with it the lease
        slot, worker = router.holder(request)
        for wire_id, call in list(worker.link.pending.items()):
            if worker.flags.get(call.command):  # what can be ended early; the pool's own pings and clean-ups run on
                worker.cancel(wire_id)
        if request.session is not None:
            request.session.used = True
            if router.sessions.get(request.session.session_id) is not request.session and slot.serving is not None:
                # Ended during the lease, whose later commands may have made its state anew.
                worker.cleanup_session(request.session.session_id)
        if worker.link.idle:
            router.release(request, slot, worker)
        else:
            slot.left = request
            router.deadlines.abandon(request, "lease")

    def worker_idle(self, slot: Slot) -> None:
        """Free a worker whose lease was left while replies were due, whoever waited for them."""
        worker, lease = slot.serving, slot.left
        if worker is not None and lease is not None:
            self._router.release(lease, slot, worker)

    @property
    def next_due(self) -> float:
        """When the timer must look at a lease."""
        return min((borrower.warn_at for borrower in self.held.values()), default=math.inf)

    def expire(self, now: float) -> None:
        """Name the leases that are held too long."""
        for request, borrower in self.held.items():
            if borrower.warn_at <= now:
                borrower.warn_at, borrower.warned = math.inf, True
                _, worker = self._router.holder(request)
                what = "%s (pid %s) has been leased for %.3g s by %s: nobody else can use it (lease_warning = %g)"
                limit = self._router.config.lease_warning
                _log.warning(what, worker.worker_id, worker.pid, now - borrower.since, borrower, limit)

    def check(self, request: Request) -> None:
        """Refuse a request that has to wait for what is leased around it.

        Raises:
            PoolTimeout: It could not be served before it was given up.
        """
        task = trio.lowlevel.current_task()
        around = {lease: who for lease, who in self.held.items() if who.encloses(task)}
        if not around:
            return
        session = request.session
        home = None if session is None else session.incarnation
        if home is not None:
            around = {lease: who for lease, who in around.items() if lease.incarnation == home}
            what = f"the worker of session {request.session_id!r}"
        else:
            # Sessions never bind to the overflow, and a worker that leaves takes no newcomers, nor will its place.
            slots = (self._router.slots[lease.incarnation or 0] for lease in around)
            mine = [slot for slot in slots if not slot.leaving and (session is None or not slot.overflow)]
            if len(mine) < self._router.size + (self._router.config.overflow if session is None else 0):
                return
            what = "every worker"
        if around:
            queue = self._router.queue
            holders = "; ".join(dict.fromkeys(str(who) for who in around.values()))
            raise PoolTimeout(
                f"{request.command} did not run: it would wait in vain, for {what} is leased by the task that asks, or "
                f"around it, by {holders}",
                waited=0.0,
                size=self._router.size,
                busy=queue.busy,
                queued=queue.waiting,
                session_id=request.session_id,
                command=request.command,
                request_id=request.request_id,
            )


class Lease:
    """What `SessionPool.checkout` returns: entered it is granted, left it is given back.

    Args:
        router: The pool's router.
        session_id: The session its commands run in.
        checkout_timeout: Seconds to wait for a worker.
    """

    def __init__(self, router: Router, session_id: str | None, checkout_timeout: float) -> None:
        self._router = router
        self._session_id = session_id
        self._checkout_timeout = checkout_timeout
        self._request: Request | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        # Of whoever called `SessionPool.checkout`.
        frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]  # documented; what else tells who called is slow
        self._where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"

    # Protected between the admission and the `try`, as all that changes the router's state is.
    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> PoolWorker:
        if self._token is not None:
            raise RuntimeError("a lease is taken once; call checkout() again")
        self._token = trio.lowlevel.current_trio_token()
        task = trio.lowlevel.current_task()
        borrower = Borrower(task, len(task.child_nurseries), self._where)
        request = self._router.admit(
            "checkout",
            None,
            self._session_id,
            called_at=trio.current_time(),
            deadline=math.inf,
            checkout_timeout=self._checkout_timeout,
            borrower=borrower,
        )
        try:
            await request.wait()
            worker: PoolWorker = request.result()
        except BaseException:
            self._router.cancel(request)
            raise
        self._request = request
        return worker

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(  # noqa: ASYNC910  # giving back waits for nothing
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        request, self._request = self._request, None
        if request is not None:
            self._router.leases.release(request, RequestResult.OK if kind is None else RequestResult.FAILED)

    def __del__(self) -> None:
        request, token = self._request, self._token
        if request is not None and token is not None and request.phase is RUNNING:
            # Whoever entered it by hand has dropped it. From here nothing of the pool may be changed: this may be any
            # moment, and any thread.
            if request.borrower is not None:
                request.borrower.dropped = True
            _log.warning("the lease of %s was dropped without being left: it is given back", request.borrower)
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._router.leases.release, request, RequestResult.FAILED)
