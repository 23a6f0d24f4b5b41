"""What a pool says about itself: frozen snapshots, each number derived from state at the moment of asking."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core._staff import WorkerRole
    from .._core._worker_states import WorkerStatus


@attrs.frozen(kw_only=True)
class WorkerInfo:
    """One slot's worker. ``request_ids`` are those of the requests, or of the lease, that it runs, the oldest first.

    ``request_id``, ``session_id`` and ``begun``, which is True once the worker has begun it, are of the oldest of them.
    Both ids are None while it is busy with a broadcast alone. Between two workers a slot shows the status ``starting``,
    or ``dead`` if there is no other to come, no pid and no ``role``. A worker that has been told to leave, and finishes
    what it has begun, has no role either.
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
    role: WorkerRole | None = None
    request_ids: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class PoolMetrics:
    """Counts since the pool opened. At any moment

    ``submitted = queued + running + ok + failed + timed_out + cancelled + rejected``.

    Pings, broadcasts, clean-ups, retries and dispatching a request again are not submissions; a lease is one.

    Args:
        submitted: Requests and leases asked for.
        queued: Those that wait for a worker.
        running: Those that a worker has.
        ok: Those that ended well.
        failed: Those whose command failed, or whose worker died.
        timed_out: Those whose time ran out.
        cancelled: Those whose caller left.
        rejected: Those refused by a full queue or a closing pool.
        redispatched: How often a request was sent to another worker, not begun when the first died.
        retries: How often an idempotent request was tried again, begun when its worker died.
        restarts: Workers started beyond the first of each slot.
        stale_replies: Replies that nobody waited for any more.
        pool_timeouts: Those of ``timed_out`` that no worker had taken.
        worker_errors: Workers that died through no wish of the pool's, were killed for missing pings, or never got
            ready.
        total_sessions: Sessions there ever were.
        sessions_expired: Those of them that ended because their time to live was over.
        average_session_duration: Seconds from a session's creation to its end, or for one that expired to its last use,
            in the mean over all that have ended; None before the first.
        last_health_check: When the pool last finished looking after its idle workers, on Trio's clock; None before the
            first time.
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
    retries: int
    restarts: int
    stale_replies: int
    pool_timeouts: int
    worker_errors: int
    total_sessions: int
    sessions_expired: int
    average_session_duration: float | None
    last_health_check: float | None

    @property
    def total_operations(self) -> int:
        """The same as ``submitted``."""
        return self.submitted


@attrs.frozen(kw_only=True)
class PoolStatus:
    """A pool at one moment.

    Args:
        size: Workers that are to serve; see `SessionPool.resize`.
        ready: Workers that take requests, the busy ones included, and those of the overflow.
        standby: Workers that are ready and wait for one of those to die.
        busy: Workers holding a request, a lease or a broadcast.
        queued: Requests accepted and not yet written to a worker.
        sessions: Sessions tracked.
        uptime: Seconds since all workers were first ready; stands still once the pool is closed.
        workers: One entry a slot.
        metrics: Counts since the pool opened.
    """

    size: int
    ready: int
    standby: int
    busy: int
    queued: int
    sessions: int
    uptime: float
    workers: tuple[WorkerInfo, ...]
    metrics: PoolMetrics


class HealthStatus(StrEnum):
    """A pool's health in a word."""

    HEALTHY = "healthy"
    """As many workers serve as are to."""
    DEGRADED = "degraded"
    """Some have; requests are served, with less capacity."""
    UNHEALTHY = "unhealthy"
    """None has, or the pool is closed."""


@attrs.frozen(kw_only=True)
class PoolHealth:
    """The answer of `SessionPool.health_check`."""

    status: HealthStatus
    details: Mapping[str, Any]
