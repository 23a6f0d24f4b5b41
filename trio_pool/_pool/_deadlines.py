"""Everything that happens because time has passed: requests that are late, abandoned workers, sessions unused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from .._core._events import RequestResult
from ._failures import answered_too_late, waited_too_long
from ._session_end import expire_session
from ._timer import Timer

if TYPE_CHECKING:
    from ._request import Request
    from ._router import Router


class Deadlines:
    """Watches over the deadlines of one pool."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.timer = Timer(self._expire)

    def by(self, when: float) -> None:
        """See to it that what is due then is settled then."""
        self.timer.by(when)

    def abandon(self, request: Request, reason: str) -> None:
        """Tell a worker to cancel a command nobody waits for, and give it `abandon_grace` seconds to end it.

        Until then it takes nothing new, for it may have to be killed. What else it runs goes on and has these seconds
        to end: only then it is killed, and what had begun there fails with it.
        """
        router = self._router
        request.kill_at = trio.current_time() + router.config.abandon_grace
        request.kill_reason = reason
        router.abandoned[request] = None
        router.queue.abandon(request)
        if request.wire_id:  # a lease has none: its commands are its holder's
            router.holder(request)[1].cancel(request.wire_id)
        self.by(request.kill_at)

    def _expire(self, now: float) -> float:
        """Settle everything that is due; return when there is more.

        Sockets are read before anything is called late: if the application's loop stalled, replies are in them that
        were in time, and each may free a worker for a request that waits.
        """
        router = self._router
        late = any(request.due <= now for request in router.requests.values()) or router.broadcasts.next_due <= now
        if late or any(request.kill_at <= now for request in router.abandoned):
            for slot in list(router.slots.values()):
                if slot.worker is not None and not slot.worker.link.idle:
                    slot.worker.link.drain()
        for request in list(router.requests.values()):
            if not request.finished and request.due <= now:
                self._time_out(request, now)
        router.broadcasts.expire(now)
        router.leases.expire(now)
        for request in list(router.abandoned):
            if request.kill_at <= now:
                slot, worker = router.holder(request)
                del router.abandoned[request]
                if slot.serving is not None:
                    router.kill(slot, worker, request.kill_reason)
        router.carry_out()
        for session_id in router.sessions.stale(now):
            expire_session(router, session_id)
        return min(
            router.sessions.next_expiry(),
            min((request.due for request in router.requests.values()), default=math.inf),
            router.broadcasts.next_due,
            router.leases.next_due,
            min((request.kill_at for request in router.abandoned), default=math.inf),
        )

    def _time_out(self, request: Request, now: float) -> None:
        router = self._router
        if router.queue.withdraw(request):
            router.finish(request, RequestResult.TIMED_OUT, None, waited_too_long(request, now, router))
            router.carry_out()  # at once: what starts in its place may be late as well, and must be sent first
        else:
            _, worker = router.holder(request)
            router.finish(request, RequestResult.TIMED_OUT, None, answered_too_late(request, now, worker))
            self.abandon(request, "timeout")
