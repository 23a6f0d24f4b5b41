"""The nemesis: carries out the planned faults, each aimed at a worker that is running a request at that moment.

A fault that is due waits for its target rather than hitting blindly: for an event of the pool, then for its planned
offset into the request, then it looks. The wait is bounded; a fault that finds nobody is recorded as missed, and the
checks take it from there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from trio_pool import WorkerStatus

from ._monkey import LINK, FaultMissed
from ._plan import FaultKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio_pool import WorkerInfo

    from ._history import History
    from ._monkey import ChaosMonkey, Fault, Observed
    from ._plan import PlannedFault
    from ._watch import PoolWatch

AIM_LIMIT = 3.0
"""Seconds a fault waits for a worker that runs a request; under the demo's load one does at almost any moment."""

SPARE_KILLS = 2
"""Kills a run may add, in all, in place of those that hit no request because its reply was already written. The pool
gives up after more than 8 unplanned restarts of 4 workers, and a run that provoked that would say nothing."""

_SETTLE = 2.0
"""Seconds to wait for the outcome of a killed request: it comes within milliseconds or not at all."""

_HEAL_LIMIT = 2.0


class Nemesis:
    """Carries out faults.

    Args:
        faults: In the order of their times.
        pool: Where to look for targets.
        watch: Wakes on what the pool does.
        monkey: Does the deeds.
        history: Where they are written down.
        index_of: Returns the plan's index of a session's unanswered request, if it has exactly one.
        say: Takes a line for the user.
    """

    def __init__(
        self,
        faults: Sequence[PlannedFault],
        *,
        pool: Observed,
        watch: PoolWatch,
        monkey: ChaosMonkey,
        history: History,
        index_of: Callable[[str], int | None],
        say: Callable[[str], None],
    ) -> None:
        self._faults = faults
        self._pool = pool
        self._watch = watch
        self._monkey = monkey
        self._history = history
        self._index_of = index_of
        self._say = say
        # Incarnations already hit: hitting them again would blur what each fault did.
        self._hit: set[int] = set()
        self._spare_kills = SPARE_KILLS

    async def run(self, start: float) -> None:
        """Inject every fault at its time and heal it after its hold. Cancelled, it heals what lasts."""
        async with trio.open_nursery() as nursery:
            for fault in self._faults:
                await trio.sleep_until(start + fault.at)
                nursery.start_soon(self._one, fault)

    async def _one(self, planned: PlannedFault) -> None:
        if planned.kind is FaultKind.KILL:
            await self._kill(planned)
        elif planned.kind is FaultKind.FREEZE:
            await self._hold(planned, self._monkey.freeze)
        else:
            await self._hold(planned, self._slow(planned.delay))

    def _slow(self, delay: float) -> Callable[[WorkerInfo], Awaitable[Fault]]:
        async def slow(worker: WorkerInfo) -> Fault:
            return await self._monkey.add_latency(LINK, delay, worker=worker)

        return slow

    async def _kill(self, planned: PlannedFault) -> None:
        name = planned.name
        while not await self._killed_one(planned, name) and self._spare_kills:
            self._spare_kills -= 1
            name += "+"

    async def _killed_one(self, planned: PlannedFault, name: str) -> bool:
        """Kill a worker; return whether a request died with it."""
        target = await self._inject(planned, name, self._monkey.kill)
        if target is None or not target.begun or target.request_id is None:
            return False
        with trio.move_on_after(_SETTLE):
            await self._watch.wait_until(partial(self._watch.results.__contains__, target.request_id))
        return self._watch.results.get(target.request_id) != "ok"

    async def _hold(self, planned: PlannedFault, inject: Callable[[WorkerInfo], Awaitable[Fault]]) -> None:
        fault: Fault | None = None

        async def remember(worker: WorkerInfo) -> Fault:
            nonlocal fault
            fault = await inject(worker)
            return fault

        try:
            target = await self._inject(planned, planned.name, remember)
            if target is not None:
                incarnation = target.incarnation
                with trio.move_on_after(planned.hold):
                    await self._watch.wait_until(lambda: incarnation not in self._watch.ready)
        finally:
            # Shielded: an interrupted run must not leave a worker stopped. The monkey would heal it a moment later;
            # here it is still written down. Bounded: healing is a signal or a number.
            if fault is not None:
                with trio.move_on_after(_HEAL_LIMIT, shield=True):
                    await fault.heal()
                    self._healed(planned, fault)

    def _healed(self, planned: PlannedFault, fault: Fault) -> None:
        self._history.record("chaos", "heal", urgent=True, fault=planned.name)
        gone = fault.worker is not None and fault.worker.incarnation not in self._watch.ready
        how = "over: the pool replaced the worker" if gone else "healed"
        self._say(f"{self._history.now:6.2f} s  {planned.name}  {how}")

    async def _inject(
        self, planned: PlannedFault, name: str, inject: Callable[[WorkerInfo], Awaitable[Fault]]
    ) -> WorkerInfo | None:
        try:
            fault = await inject(await self._aim(planned))
        except FaultMissed as exc:
            self._history.record("chaos", "missed", urgent=True, fault=name, kind=planned.kind, why=str(exc))
            self._say(f"{self._history.now:6.2f} s  {name}  missed: {exc}")
            await trio.lowlevel.checkpoint()
            return None
        worker = fault.worker
        assert worker is not None, "every fault of a plan has one worker"  # noqa: S101  # narrows the type
        index = self._index(worker)
        self._history.record(
            "chaos",
            "inject",
            urgent=True,
            fault=name,
            kind=planned.kind,
            slot=worker.slot,
            worker_id=worker.worker_id,
            incarnation=worker.incarnation,
            pid=worker.pid,
            id=index,
            request_id=worker.request_id,
            session_id=worker.session_id,
            begun=worker.begun,
        )
        doing = "between requests"
        if worker.begun:
            pooled = f"pool request {worker.request_id}"
            doing = f"running {pooled if index is None else f'request {index} ({pooled})'}"
        what = {"kill": "SIGKILL to", "freeze": "SIGSTOP to", "latency": f"{planned.delay * 1e3:.0f} ms on the link of"}
        self._say(
            f"{self._history.now:6.2f} s  {name}  {what[planned.kind]} {worker.worker_id}"
            f" (incarnation {worker.incarnation}, pid {worker.pid}), {doing}"
        )
        return worker

    def _index(self, worker: WorkerInfo) -> int | None:
        """Return the index in the plan of the request a worker runs, if it can be no other."""
        if not worker.begun or worker.session_id is None or worker.request_id in self._watch.results:
            return None
        return self._index_of(worker.session_id)

    async def _aim(self, planned: PlannedFault) -> WorkerInfo:
        with trio.move_on_after(AIM_LIMIT):
            while True:
                await self._watch.next_event()
                await trio.sleep(planned.offset)
                candidates = self._candidates()
                if candidates:
                    worker = candidates[int(planned.choice * len(candidates))]
                    self._hit.add(worker.incarnation)
                    return worker
        raise FaultMissed(f"no worker ran a request for {AIM_LIMIT:g} s")

    def _candidates(self) -> list[WorkerInfo]:
        # At least one worker that was never hit must go on serving, or nobody is left for the promise to be kept by.
        unharmed = self._watch.ready - self._hit
        if len(unharmed) < 2:
            return []
        workers = self._pool.get_pool_status().workers
        return [
            worker
            for worker in workers
            if worker.status is WorkerStatus.BUSY and worker.begun and worker.incarnation in unharmed
        ]
