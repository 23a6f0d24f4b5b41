"""The sampler: looks at the pool, the application and its loop on a fixed schedule, and writes down what it sees.

The schedule does not wait for the sampler: a moment at which it could not look is missed, and counted. Otherwise it
would look least exactly when there is most to be seen.
"""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING, Any

import attrs
import trio

if TYPE_CHECKING:
    from .._history import History
    from ..targets._target import OpenTarget
    from ._client import Client
    from ._live import LiveMetrics

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """Samples until it is cancelled.

    Args:
        target: The pool.
        client: Says how many requests are under way.
        history: Where samples go.
        live: Takes them as well.
        every: Seconds between samples.
    """

    def __init__(
        self, target: OpenTarget, client: Client, history: History, live: LiveMetrics, *, every: float
    ) -> None:
        self._target = target
        self._client = client
        self._history = history
        self._live = live
        self._every = every
        self._sampled = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Sample for ever. Ends by being cancelled."""
        start = trio.current_time()
        tick = missed = 0
        while True:
            now = trio.current_time()
            due = start + tick * self._every
            if now > due + self._every:
                # Whole intervals have gone by, because the loop stood still.
                skipped = int((now - due) / self._every)
                missed += skipped
                self._history.record("sampler", "missed_sample", n=skipped)
                tick += skipped
                due = start + tick * self._every
            await trio.sleep_until(due)
            self.sample(max(0.0, trio.current_time() - due))
            tick += 1

    def sample(self, lag: float = 0.0) -> None:
        """Take one sample now."""
        gauges: dict[str, float] = {"in_flight": self._client.unanswered}
        fields: dict[str, Any] = {"in_flight": self._client.unanswered, "pids": list(self._target.pids())}
        pool = self._target.pool
        if pool is not None:
            status = pool.get_pool_status()
            gauges |= {
                "pool.size": status.size,
                "pool.ready": status.ready,
                "pool.busy": status.busy,
                "queue.depth": status.queued,
                "sessions": status.sessions,
            }
            fields |= {
                "size": status.size,
                "ready": status.ready,
                "busy": status.busy,
                "queued": status.queued,
                "sessions": status.sessions,
                "metrics": attrs.asdict(status.metrics),
            }
        process: dict[str, Any] = {
            "fds": _descriptors(),
            "threads": threading.active_count(),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
            "rss": _resident(),
            "lag": round(lag, 6),
        }
        # What cannot be seen now is left out.
        process = {name: value for name, value in process.items() if value is not None}
        self._live.sample(gauges | {name: float(value) for name, value in process.items()})
        self._history.record("sampler", "sample", **fields, **process, gc=gc.get_stats()[2]["collections"])
        self._sampled.unpark_all()

    async def next_sample(self) -> None:
        """Wait for the next sample."""
        await self._sampled.park()


def _descriptors() -> int | None:
    """Return how many descriptors this process has open; None if it may open no other to look."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None


def _resident() -> int | None:
    """Return the bytes of memory this process has resident; None as above."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return None
