"""Open-loop load: requests leave when the plan says, whatever became of those before them.

A generator that waits for answers slows down exactly when the system does, and so hides what it came to measure. Here
an arrival that cannot be afforded is dropped and counted; none is ever delayed on purpose.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


AT_ONCE = 50
"""How many requests that are due leave without a checkpoint between them: starting 50 tasks holds up the loop for less
than a millisecond, and at a thousand requests a second 50 are what comes due in 50 of them."""


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
            at_once = 0
            for request in self._requests:
                # What is due is sent in one go: with a round of the loop for each, a generator that is late because
                # others have the processor would never catch up.
                at_once += 1
                if at_once > AT_ONCE or start + request.at > trio.current_time():
                    await trio.sleep_until(start + request.at)
                    at_once = 1
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
