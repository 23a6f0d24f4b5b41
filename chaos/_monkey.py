"""The monkey: injects faults into a running pool and takes back every one it can.

Faults aim at a worker's incarnation, never at a bare process id: between looking and acting the process may be gone
and its id somebody else's. Leaving ``async with`` heals everything that still lasts, whatever the reason for leaving.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Protocol, Self

import trio

from trio_pool import WorkerStatus

from ._fault import Fault as Fault
from ._fault import FaultKind
from ._fault import FaultMissed as FaultMissed
from ._fault import FaultUnavailable as FaultUnavailable
from ._garble import Corruption
from ._memory import hold, usual_budget
from .scenario._streams import stream

if TYPE_CHECKING:
    from types import TracebackType

    from trio_pool import PoolStatus, WorkerInfo

    from ._launcher import ChaosHandle, ChaosLauncher

    class Observed(Protocol):
        """The part of a pool the monkey looks at."""

        def get_pool_status(self) -> PoolStatus:
            """Return the pool's state now."""
            ...


LINK = "port_communication"
"""The one place latency can be added: the byte pipe between the pool and its workers."""

_HEAL_LIMIT = 5.0
"""Healing sends signals and sets numbers; five seconds pass only if the machine itself has stopped."""

_SERVING = frozenset({WorkerStatus.READY, WorkerStatus.BUSY, WorkerStatus.DEGRADED})


class ChaosMonkey:
    """Injects faults, each method returning the `Fault`.

    Every choice of a worker comes from the seed and the number of choices before it.

    Args:
        pool: The pool to hurt.
        launcher: The launcher that pool was opened with; without it every fault but `consume_memory`, which touches no
            worker, is `FaultUnavailable`.
        seed: The source of chance.
    """

    def __init__(self, pool: Observed, launcher: ChaosLauncher | None = None, *, seed: int = 0) -> None:
        self._pool = pool
        self._launcher = launcher
        self._seed = seed
        self._choices = 0
        self._corruptions = 0
        self._faults: list[Fault] = []

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Shielded, because a run that is cancelled must not leave a worker stopped; bounded, because healing is all
        # that stands between a cancelled caller and its return.
        with trio.move_on_after(_HEAL_LIMIT, shield=True):
            await self.heal_all()

    async def heal_all(self) -> None:
        """Take back every fault that still lasts, the latest first."""
        await trio.lowlevel.checkpoint()
        while self._faults:
            fault = self._faults[-1]
            await fault.heal()
            # Others may have injected or healed meanwhile, so it need not be the last any more, nor still be here.
            if fault in self._faults:
                self._faults.remove(fault)

    async def kill_random_worker(self, *, busy: bool = False) -> Fault:
        """SIGKILL one of the serving workers, or one of those that run a request.

        Raises:
            FaultMissed: There is none.
        """
        candidates = [
            worker for worker in self._serving() if not busy or (worker.status is WorkerStatus.BUSY and worker.begun)
        ]
        if not candidates:
            raise FaultMissed("no worker is running a request" if busy else "no worker is serving")
        return await self.kill(self._choose(candidates))

    async def kill(self, worker: WorkerInfo | str) -> Fault:
        """SIGKILL a worker's process.

        Args:
            worker: The worker as `get_pool_status` showed it, which means that incarnation, or a worker id, which means
                whichever incarnation serves under it now.

        Raises:
            FaultMissed: It is gone already.
        """
        info, handle = self._reach(worker)
        await handle.signal(signal.SIGKILL)
        return Fault(kind=FaultKind.KILL, worker=self._look(info), at=trio.current_time(), healed=True)

    async def freeze(self, worker: WorkerInfo | str) -> Fault:
        """SIGSTOP a worker's process; healed by SIGCONT. Arguments and errors as `kill`."""
        info, handle = self._reach(worker)

        async def thaw() -> None:
            # A worker the pool has killed meanwhile stays dead: its handle ignores the signal.
            await handle.signal(signal.SIGCONT)

        fault = Fault(kind=FaultKind.FREEZE, worker=info, at=trio.current_time(), undo=thaw)
        # Registered first: cancelled in between, a SIGCONT too many does nothing, a SIGSTOP too many lasts.
        self._faults.append(fault)
        await handle.signal(signal.SIGSTOP)
        fault.worker, fault.at = self._look(info), trio.current_time()
        return fault

    async def add_latency(self, where: str, seconds: float, *, worker: WorkerInfo | str | None = None) -> Fault:
        """Hold every byte between pool and worker back for so long, in both directions.

        Args:
            where: ``"port_communication"``.
            seconds: How long; a request and its reply together take twice that.
            worker: Whose link, as in `kill`; None means every worker's, those started later included.

        Raises:
            FaultMissed: The worker is gone already.
            ValueError: There is no such place, or the time is negative.
        """
        if where != LINK:
            raise ValueError(f"where: latency can be added to {LINK!r}, not to {where!r}")
        if not seconds >= 0:
            raise ValueError(f"seconds: must not be negative, is {seconds}")
        launcher = self._require()
        await trio.lowlevel.checkpoint()
        info, handle = (None, None) if worker is None else self._reach(worker)
        delay = launcher.delay(seconds, handle)

        async def heal() -> None:
            launcher.undelay(delay)
            await trio.lowlevel.checkpoint()

        at = trio.current_time()
        shown = None if info is None else self._look(info)
        fault = Fault(kind=FaultKind.LATENCY, worker=shown, at=at, undo=heal)
        self._faults.append(fault)
        return fault

    async def corrupt_worker_state(
        self, worker: WorkerInfo | str | None = None, *, how: Corruption | str | None = None
    ) -> Fault:
        """Have a worker say something that is not the protocol, as one does whose memory was overwritten.

        Of damage inside another process a pool can know only what it sees on the wire, so that is where it is done: a
        bad frame comes in between two of the worker's own. The pool hears it when it next reads from that worker, which
        is at the next request or health check; it must then kill the worker and start another. Healed before that, the
        worker has said nothing. Damage that shows in no frame, such as a wrong but well-formed result, is out of any
        pool's sight; `LoadRunner` compares results.

        Args:
            worker: Which, as in `kill`; None for one of the serving ones, by the seed.
            how: What it says; None for any of `Corruption`, by the seed.

        Raises:
            FaultMissed: The worker is gone already, or none is serving.
            ValueError: ``how`` is none of `Corruption`.
        """
        corruption = None if how is None else Corruption(how)
        await trio.lowlevel.checkpoint()
        if worker is None:
            candidates = self._serving()
            if not candidates:
                raise FaultMissed("no worker is serving")
            worker = self._choose(candidates)
        info, handle = self._reach(worker)
        if corruption is None:
            self._corruptions += 1
            corruption = stream(self._seed, "corruption", self._corruptions).choice(list(Corruption))
        handle.speech.garble(corruption)

        async def clean() -> None:
            handle.speech.clean()
            await trio.lowlevel.checkpoint()

        fault = Fault(kind=FaultKind.CORRUPTION, worker=self._look(info), at=trio.current_time(), undo=clean)
        self._faults.append(fault)
        return fault

    async def consume_memory(self, fraction: float, *, budget: int | None = None) -> Fault:
        """Have a throw-away child process hold memory, and return when it is resident; healed by ending that process.

        The child never takes more than the budget, goes with this process whatever ends it, and is the first the kernel
        kills should memory run out. The fault has its process id as ``pid`` and the bytes it holds as ``size``. Needs
        no `ChaosLauncher`. Cancelled, it leaves no process behind.

        Args:
            fraction: The share of the budget to hold, above 0 and up to 1.
            budget: Bytes; None for 256 MiB, or a quarter of the memory that is available to this process, in the
                machine and its control groups, if that is less.

        Raises:
            FaultUnavailable: There is not so much memory to be had.
            ValueError: An argument is out of range.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction: must be above 0 and at most 1, is {fraction}")
        if budget is None:
            budget = usual_budget()
        size = int(budget * fraction)
        if size < 1:
            raise ValueError(f"budget: {fraction} of {budget} bytes is nothing to hold")
        ballast = await hold(size)
        # No checkpoint in between: from here on the monkey sees to its end.
        fault = Fault(
            kind=FaultKind.MEMORY,
            worker=None,
            at=trio.current_time(),
            pid=ballast.pid,
            size=ballast.size,
            undo=ballast.release,
        )
        self._faults.append(fault)
        return fault

    def _choose(self, candidates: list[WorkerInfo]) -> WorkerInfo:
        self._choices += 1
        return stream(self._seed, "target", self._choices).choice(candidates)

    def _require(self) -> ChaosLauncher:
        if self._launcher is None:
            raise FaultUnavailable("open the pool with launcher=ChaosLauncher(...) and give it to the monkey too")
        return self._launcher

    def _serving(self) -> list[WorkerInfo]:
        launcher = self._require()
        workers = self._pool.get_pool_status().workers
        return [worker for worker in workers if worker.status in _SERVING and launcher.find(worker) is not None]

    def _reach(self, worker: WorkerInfo | str) -> tuple[WorkerInfo, ChaosHandle]:
        launcher = self._require()
        if isinstance(worker, str):
            found = [info for info in self._pool.get_pool_status().workers if info.worker_id == worker]
            if not found:
                raise FaultMissed(f"there is no worker {worker!r}")
            worker = found[0]
        handle = launcher.find(worker)
        if handle is None:
            raise FaultMissed(f"incarnation {worker.incarnation} of {worker.worker_id} is gone")
        return worker, handle

    def _look(self, before: WorkerInfo) -> WorkerInfo:
        """Return the same incarnation as it is now: sending a signal is a checkpoint, so it may have moved on."""
        for worker in self._pool.get_pool_status().workers:
            if worker.incarnation == before.incarnation:
                return worker
        return before
