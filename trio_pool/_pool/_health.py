"""Watching idle workers. A busy one is judged by its request's deadline alone: a heartbeat would prove no progress."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._core._events import HealthMissed
from .._core._worker_states import WorkerEvent, WorkerStatus

if TYPE_CHECKING:
    from .._process._worker import PoolWorker
    from ._router import Router
    from ._slot import Slot


async def watch_health(router: Router) -> None:
    """Ping idle workers every ``health.interval`` seconds, for as long as the pool lives."""
    while True:
        await trio.sleep(router.config.health.interval)
        await ping_idle(router)


async def ping_idle(router: Router) -> None:
    """Ping all idle workers at once and draw the consequences; takes at most ``health.timeout``."""
    async with trio.open_nursery() as nursery:
        for slot in list(router.slots.values()):
            worker = slot.serving
            if worker is None or router.queue.load(worker.incarnation):
                continue
            if worker.status in (WorkerStatus.READY, WorkerStatus.DEGRADED):
                nursery.start_soon(_ping, router, slot, worker)
    router.last_health_check = trio.current_time()


async def _ping(router: Router, slot: Slot, worker: PoolWorker) -> None:
    """Ping one worker, or wait for the ping that somebody else has under way: asked by many it still misses one."""
    asked = router.pings.get(worker.incarnation)
    if asked is not None:
        await asked.wait()
        return
    asked = router.pings[worker.incarnation] = trio.Event()
    try:
        await _ask(router, slot, worker)
    finally:
        del router.pings[worker.incarnation]
        asked.set()


@trio.lowlevel.enable_ki_protection  # as all that changes the router's state is
async def _ask(router: Router, slot: Slot, worker: PoolWorker) -> None:
    await worker.health_check(router.config.health.timeout)
    if slot.serving is not worker or router.queue.load(worker.incarnation):
        return
    if not worker.health_failures:
        if worker.status is WorkerStatus.DEGRADED:
            worker.advance(WorkerEvent.RECOVERED)
            router.staff.trust(slot)
            router.queue.add_worker(worker.incarnation)
            router.carry_out()
        return
    router.queue.hold(worker.incarnation)
    router.staff.doubt(slot)
    worker.advance(WorkerEvent.MISSED)
    router.emit(
        HealthMissed,
        slot=slot.index,
        worker_id=slot.worker_id,
        incarnation=worker.incarnation,
        misses=worker.health_failures,
    )
    if worker.health_failures >= router.config.health.misses:
        router.kill(slot, worker, "health")
