"""The load: visits begin when the plan says, whatever became of those before them.

A generator that waits for answers slows down exactly when the pool does, and so hides what it came to measure. An
arrival that finds too much unanswered is dropped and counted; none is ever delayed on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._pace import Pace
from ..scenario._model import ClosedLoad, OpenLoad, PartlyOpenLoad, ReplayLoad

if TYPE_CHECKING:
    from ..scenario._plan import Plan, Visit
    from ._client import Client


class Load:
    """Begins the visits of a plan.

    Args:
        plan: Whose visits.
        client: Makes them.
    """

    def __init__(self, plan: Plan, client: Client) -> None:
        self._plan = plan
        self._client = client
        self.dropped = 0
        self._bounds: dict[str, int] = {}
        self._ends: dict[str, float] = {}
        end = 0.0
        for phase in plan.scenario.phases:
            end += phase.duration
            self._ends[phase.name] = end
            if isinstance(phase.load, (OpenLoad, PartlyOpenLoad, ReplayLoad)):
                self._bounds[phase.name] = phase.load.max_in_flight
            elif isinstance(phase.load, ClosedLoad):
                self._bounds[phase.name] = phase.load.users

    async def run(self) -> None:
        """Begin every visit at its time, and return when the last is over. Cancelling it cancels those under way."""
        async with trio.open_nursery() as nursery:
            pace = Pace()
            for visit in self._plan.visits:
                due = self._client.origin + visit.at
                if pace.sleeps(due):
                    await trio.sleep_until(due)
                if self._client.unanswered >= self._bounds[visit.phase] and visit.user is None:
                    self.dropped += len(visit.requests)
                    self._client.drop(visit)
                else:
                    nursery.start_soon(self._begin, visit)

    async def _begin(self, visit: Visit) -> None:
        until = None if visit.user is None else self._client.origin + self._ends[visit.phase]
        await self._client.visit(visit, until=until)
