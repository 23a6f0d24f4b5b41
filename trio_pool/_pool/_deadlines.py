"""Everything that happens because time has passed: requests that are late, abandoned workers, sessions unused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from .._core._events import RequestResult
from ._failures import answered_too_late, waited_too_long
from ._timer import Timer

if TYPE_CHECKING:
    from ._request import Request
    from ._router import Router
    from ._slot import Slot


class Deadlines:
    """Watches over the deadlines of one pool."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.timer = Timer(self._expire)

    def by(self, when: float) -> None:
        """See to it that what is due then is settled then."""
        self.timer.by(when)

    def abandon(self, slot: Slot, reason: str) -> None:
        """Give a worker `abandon_grace` seconds to end a command nobody waits for."""
        slot.kill_at = trio.current_time() + self._router.config.abandon_grace
        slot.kill_reason = reason
        self.by(slot.kill_at)

    def _expire(self, now: float) -> float:
        """Settle everything that is due; return when there is more.

        Sockets are read before anything is called late: if the application's loop stalled, replies are in them that
        were in time, and each may free a worker for a request that waits.
        """
        router = self._router
        slots = list(router.slots.values())
        late = any(request.due <= now for request in router.requests.values()) or router.broadcasts.next_due <= now
        if late or any(slot.kill_at <= now for slot in slots):
            for slot in slots:
                if slot.worker is not None and not slot.worker.link.idle:
                    slot.worker.link.drain()
        for request in list(router.requests.values()):
            if not request.finished and request.due <= now:
                self._time_out(request, now)
        router.broadcasts.expire(now)
        for slot in slots:
            if slot.kill_at <= now:
                slot.kill_at = math.inf
                if slot.serving is not None:
                    router.kill(slot, slot.serving, slot.kill_reason)
        for session_id in router.sessions.stale(now):
            router.expire_session(session_id)
        return min(
            router.sessions.next_expiry(),
            min((request.due for request in router.requests.values()), default=math.inf),
            router.broadcasts.next_due,
            min((slot.kill_at for slot in slots), default=math.inf),
        )

    def _time_out(self, request: Request, now: float) -> None:
        router = self._router
        if router.queue.withdraw(request):
            router.finish(request, RequestResult.TIMED_OUT, None, waited_too_long(request, now, router))
        else:
            slot, worker = router.holder(request)
            router.finish(request, RequestResult.TIMED_OUT, None, answered_too_late(request, now, worker))
            self.abandon(slot, "timeout")
