"""The observer: the pool's ``on_event`` hook of a run, for the history and for whoever waits for an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._watch import PoolWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_pool import PoolEvent

    from .._history import History


class Sighting:
    """Waits for an event of a kind, again and again.

    Args:
        kind: The class name of the events.
        match: What their fields must be.
    """

    def __init__(self, kind: str, match: Mapping[str, str | int | bool]) -> None:
        self._kind = kind
        self._match = match
        self._seen: list[int | None] = []
        self._taken = 0
        self._arrived = trio.lowlevel.ParkingLot()

    def take(self, event: PoolEvent) -> None:
        """Look at an event."""
        if type(event).__name__ == self._kind and all(
            getattr(event, field, None) == value for field, value in self._match.items()
        ):
            self._seen.append(getattr(event, "incarnation", None))
            self._arrived.unpark_all()

    async def wait(self, nth: int) -> int | None:
        """Wait for the nth of those events that were not yet waited for; return whose it was, if a worker's."""
        await trio.lowlevel.checkpoint()
        while len(self._seen) < self._taken + nth:
            await self._arrived.park()
        self._taken += nth
        return self._seen[self._taken - 1]


class Observer:
    """Called for every event, where it happens.

    Args:
        history: Where the events go.
    """

    def __init__(self, history: History) -> None:
        self.watch = PoolWatch(history)
        self._sightings: list[Sighting] = []

    def __call__(self, event: PoolEvent) -> None:
        """Take note of an event."""
        self.watch(event)
        for sighting in self._sightings:
            sighting.take(event)

    def expect(self, kind: str, match: Mapping[str, str | int | bool]) -> Sighting:
        """Return what sees every such event from now on."""
        sighting = Sighting(kind, match)
        self._sightings.append(sighting)
        return sighting
