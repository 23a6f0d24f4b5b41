"""The watcher: a pool's ``on_event`` hook that writes the history and lets faults wait for a moment worth hitting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from trio_pool import Exited, Lost, PoolEvent, RequestFinished, Signaled, WorkerExited, WorkerReady

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._history import History, Record


class PoolWatch:
    """Called for every event, where it happens: records it, keeps count and wakes those who wait.

    Args:
        history: Where the events go.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._changed = trio.lowlevel.ParkingLot()
        self.ready: set[int] = set()
        """Incarnations that are ready and alive."""
        self.results: dict[int, str] = {}
        """How each finished request ended, by the pool's request id."""

    def __call__(self, event: PoolEvent) -> None:
        """Take note of an event."""
        fields: Record = {
            field.name: plain(getattr(event, field.name))
            for field in attrs.fields(type(event))
            if field.name not in ("at", "pool")
        }
        self._history.record("pool", type(event).__name__, **fields)
        if isinstance(event, WorkerReady):
            self.ready.add(event.incarnation)
        elif isinstance(event, WorkerExited):
            self.ready.discard(event.incarnation)
        elif isinstance(event, RequestFinished):
            self.results[event.request_id] = event.result
        self._changed.unpark_all()

    async def wait_until(self, satisfied: Callable[[], bool]) -> None:
        """Wait until an event made ``satisfied`` true; it is asked after every event, and once before."""
        await trio.lowlevel.checkpoint()
        while not satisfied():
            await self._changed.park()

    async def next_event(self) -> None:
        """Wait for whatever happens next."""
        await self._changed.park()


def plain(value: object) -> object:
    """Return a value of an event as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Exited, Signaled, Lost)):
        return str(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return repr(value)
