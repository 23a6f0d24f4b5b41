"""Open-loop load: requests leave when the plan says, whatever became of those before them.

A generator that waits for answers slows down exactly when the system does, and so hides what it came to measure. Here
an arrival that cannot be afforded is dropped and counted; none is ever delayed on purpose.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio

from ._pace import Pace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


class Arrival(Protocol):
    """Something to be sent at its time."""

    @property
    def at(self) -> float:
        """Seconds after the start."""
        ...


A = TypeVar("A", bound=Arrival)


class Load(Generic[A]):
    """Sends planned requests at their times, each in a task of its own.

    Args:
        requests: In the order of their times; taken one by one as they come due.
        perform: Sends one and records what comes of it; must not raise.
        drop: Called in place of ``perform`` for a request beyond ``max_in_flight``.
        max_in_flight: How many requests may be unanswered.
        overtime: Seconds the last answers may take after the last arrival; then what is unanswered is cancelled.
    """

    def __init__(
        self,
        requests: Iterable[A],
        perform: Callable[[A], Awaitable[None]],
        drop: Callable[[A], None],
        *,
        max_in_flight: int,
        overtime: float = math.inf,
    ) -> None:
        self._requests = requests
        self._perform = perform
        self._drop = drop
        self._max_in_flight = max_in_flight
        self._overtime = overtime
        self.in_flight = 0
        self.most_in_flight = 0
        self.dropped = 0

    async def run(self, start: float) -> None:
        """Send every request, and return when the last has its outcome.

        Cancelling it cancels the requests under way.

        Args:
            start: What the plan's times are relative to, in Trio's time.
        """
        async with trio.open_nursery() as nursery:
            pace = Pace()
            for request in self._requests:
                if pace.sleeps(start + request.at):
                    await trio.sleep_until(start + request.at)
                if self.in_flight >= self._max_in_flight:
                    self.dropped += 1
                    self._drop(request)
                    continue
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                nursery.start_soon(self._one, request)
            # Only now: a generator that is late, because the machine stood still, still sends what it owes.
            nursery.cancel_scope.deadline = trio.current_time() + self._overtime

    async def _one(self, request: A) -> None:
        try:
            await self._perform(request)
        finally:
            self.in_flight -= 1
