"""What a pool says about itself: frozen snapshots, each number derived from state at the moment of asking."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core._worker_states import WorkerStatus


@attrs.frozen(kw_only=True)
class WorkerInfo:
    """One slot's worker. ``request_id`` and ``session_id`` are those of the request or lease it holds.

    ``begun`` is True once it has begun that request. Between two workers a slot shows the status ``starting`` or
    ``dead``, and no pid.
    """

    worker_id: str
    slot: int
    incarnation: int
    pid: int | None
    status: WorkerStatus
    sessions: int = 0
    request_id: int | None = None
    session_id: str | None = None
    begun: bool = False


@attrs.frozen(kw_only=True)
class PoolMetrics:
    """Counts since the pool opened. At any moment

    ``submitted = queued + running + ok + failed + timed_out + cancelled + rejected``.

    Pings, clean-ups and dispatching a request again are not submissions; a lease is one.
    """

    submitted: int
    queued: int
    running: int
    ok: int
    failed: int
    timed_out: int
    cancelled: int
    rejected: int
    redispatched: int
    restarts: int
    stale_replies: int

    @property
    def total_operations(self) -> int:
        """The same as ``submitted``."""
        return self.submitted


@attrs.frozen(kw_only=True)
class PoolStatus:
    """A pool at one moment.

    Args:
        size: Workers the pool keeps.
        ready: Workers able to serve, the busy ones included.
        busy: Workers holding a request or a lease.
        queued: Requests accepted and not yet written to a worker.
        sessions: Sessions tracked.
        workers: One entry a slot.
        metrics: Counts since the pool opened.
    """

    size: int
    ready: int
    busy: int
    queued: int
    sessions: int
    workers: tuple[WorkerInfo, ...]
    metrics: PoolMetrics


class HealthStatus(StrEnum):
    """A pool's health in a word."""

    HEALTHY = "healthy"
    """Every slot has a worker that can serve."""
    DEGRADED = "degraded"
    """Some have; requests are served, with less capacity."""
    UNHEALTHY = "unhealthy"
    """None has, or the pool is closed."""


@attrs.frozen(kw_only=True)
class PoolHealth:
    """The answer of `SessionPool.health_check`."""

    status: HealthStatus
    details: Mapping[str, Any]
