"""Open-loop load: requests leave when the plan says, whatever became of those before them.

A generator that waits for answers slows down exactly when the system does, and so hides what it came to measure. Here
an arrival that cannot be afforded is dropped and counted; none is ever delayed on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ._plan import PlannedRequest


class Load:
    """Sends planned requests at their times.

    Args:
        requests: In the order of their times.
        perform: Sends one and records what comes of it; must not raise.
        drop: Called in place of ``perform`` for a request beyond ``max_in_flight``.
        max_in_flight: How many requests may be unanswered.
    """

    def __init__(
        self,
        requests: Sequence[PlannedRequest],
        perform: Callable[[PlannedRequest], Awaitable[None]],
        drop: Callable[[PlannedRequest], None],
        *,
        max_in_flight: int,
    ) -> None:
        self._requests = requests
        self._perform = perform
        self._drop = drop
        self._max_in_flight = max_in_flight
        self.in_flight = 0
        self.dropped = 0

    async def run(self, start: float) -> None:
        """Send every request, and return when the last has its outcome.

        Cancelling it cancels the requests under way.

        Args:
            start: What the plan's times are relative to, in Trio's time.
        """
        async with trio.open_nursery() as nursery:
            for request in self._requests:
                await trio.sleep_until(start + request.at)
                if self.in_flight >= self._max_in_flight:
                    self.dropped += 1
                    self._drop(request)
                    continue
                self.in_flight += 1
                nursery.start_soon(self._one, request)

    async def _one(self, request: PlannedRequest) -> None:
        try:
            await self._perform(request)
        finally:
            self.in_flight -= 1
