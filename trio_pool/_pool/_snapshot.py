"""What a pool says about itself, put together from its state at the moment of asking."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import trio

from .._core._events import RequestResult
from .._core._staff import WorkerRole
from .._core._worker_states import WorkerStatus
from ._broadcasts import Errand
from ._status import HealthStatus, PoolHealth, PoolMetrics, PoolStatus, WorkerInfo

if TYPE_CHECKING:
    from ._router import Router
    from ._slot import Slot

_ABLE = (WorkerStatus.READY, WorkerStatus.BUSY)


def pool_status(router: Router) -> PoolStatus:
    """Return a snapshot of the pool."""
    workers = tuple(_worker_info(router, slot) for slot in router.staff)
    running = len(router.requests) - router.queue.waiting
    results = router.results
    # One that is leaving finishes what it has begun, and is able to serve nobody else.
    able = [
        info.role
        for info, slot in zip(workers, router.staff, strict=True)
        if info.status in _ABLE and not slot.announced
    ]
    return PoolStatus(
        size=router.size,
        ready=len(able) - able.count(WorkerRole.STANDBY),
        standby=able.count(WorkerRole.STANDBY),
        busy=router.queue.busy,
        queued=router.queue.waiting,
        sessions=len(router.sessions),
        uptime=(trio.current_time() if router.closed_at is None else router.closed_at) - router.opened_at,
        workers=workers,
        metrics=PoolMetrics(
            submitted=router.submitted,
            queued=router.queue.waiting,
            running=running,
            ok=results[RequestResult.OK],
            failed=results[RequestResult.FAILED],
            timed_out=results[RequestResult.TIMED_OUT],
            cancelled=results[RequestResult.CANCELLED],
            rejected=results[RequestResult.REJECTED],
            redispatched=router.redispatched,
            retries=router.retries,
            restarts=router.restarts,
            stale_replies=router.stale_replies,
            pool_timeouts=router.pool_timeouts,
            worker_errors=router.worker_errors,
            total_sessions=router.sessions.created,
            sessions_expired=router.sessions.expired,
            average_session_duration=router.sessions.average_lifetime,
            last_health_check=router.last_health_check,
        ),
    )


def _worker_info(router: Router, slot: Slot) -> WorkerInfo:
    worker = slot.worker
    if worker is None:
        coming = router.redispatches and not slot.retired and not slot.leaving
        status = WorkerStatus.STARTING if coming else WorkerStatus.DEAD
        return WorkerInfo(
            worker_id=slot.worker_id, slot=slot.index, incarnation=slot.incarnation, pid=None, status=status
        )
    running = router.queue.running(worker.incarnation)
    requests = [request for request in running if not isinstance(request, Errand)]
    request = next(iter(requests or running), None)
    return WorkerInfo(
        worker_id=slot.worker_id,
        slot=slot.index,
        incarnation=worker.incarnation,
        pid=worker.pid,
        status=worker.status,
        sessions=router.queue.sessions(worker.incarnation),
        request_id=requests[0].request_id if requests else None,
        session_id=None if request is None else request.session_id,
        begun=request is not None and request.begun(worker),
        role=router.staff.role(slot),
        request_ids=tuple(request.request_id for request in requests),
    )


def pool_health(router: Router) -> PoolHealth:
    """Return the pool's health, as far as it is known now."""
    status = pool_status(router)
    serving = sum(info.role is WorkerRole.SERVING and info.status in _ABLE for info in status.workers)
    if serving >= status.size and router.closed is None:
        health = HealthStatus.HEALTHY
    elif status.ready and router.closed is None:
        health = HealthStatus.DEGRADED
    else:
        health = HealthStatus.UNHEALTHY
    details: dict[str, Any] = {
        "size": status.size,
        "ready": status.ready,
        "busy": status.busy,
        "queued": status.queued,
        "restarts": status.metrics.restarts,
        "closed": router.closed is not None,
        "workers": {info.worker_id: str(info.status) for info in status.workers},
    }
    return PoolHealth(status=health, details=MappingProxyType(details))
