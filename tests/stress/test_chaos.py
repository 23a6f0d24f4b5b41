"""The chaos tests of the testing strategy: faults in a real pool under operations, each of them accounted for.

A fault must be seen to have struck, by its own traces, and the pool must be told by its events to have recovered. So
each test fails when its fault does nothing, and when nothing is put right again.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio
from _workers import PATIENCE, state

from chaos import ChaosLauncher, ChaosMonkey
from trio_pool import HealthStatus, PoolEvent, Signaled, TrioPoolError, WorkerExited, WorkerReady, open_pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos import Fault
    from trio_pool import SessionPool

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

OPERATIONS = 100
EVERY = 0.1
"""Seconds from one operation to the next."""
KILL_AT, CORRUPT_AT = 30, 60
"""After how many operations the faults strike: there is service before, between and after them."""

E = TypeVar("E", bound=PoolEvent)


class Diary:
    """What the pool tells, and the waiting for it."""

    def __init__(self) -> None:
        self.events: list[PoolEvent] = []
        self._changed = trio.lowlevel.ParkingLot()

    def note(self, event: PoolEvent) -> None:
        self.events.append(event)
        self.changed()

    def changed(self) -> None:
        self._changed.unpark_all()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, satisfied: Callable[[], bool]) -> None:
        """Wait until something that happened made it true."""
        with trio.fail_after(PATIENCE):
            while not satisfied():
                await self._changed.park()

    async def replaced(self, fault: Fault) -> WorkerExited:
        """Wait until the worker a fault struck has ended and another is ready in its place; return how it ended."""
        struck = fault.worker
        assert struck is not None
        await self.until(
            lambda: any(
                ready.slot == struck.slot and ready.incarnation > struck.incarnation for ready in self.of(WorkerReady)
            )
        )
        [gone] = [exited for exited in self.of(WorkerExited) if exited.incarnation == struck.incarnation]
        assert gone.pid is not None
        assert gone.pid == struck.pid
        assert state(gone.pid) in "XZ"
        return gone


@pytest.mark.pool_size(4)
@pytest.mark.document("T-26", "F-061", "F-062")
async def test_recovers_from_worker_crashes(pool_size: int) -> None:
    """Of a hundred pings only those on a worker that is killed or corrupted may fail, and the pool ends up healthy."""
    diary = Diary()
    launcher = ChaosLauncher()
    outcomes: dict[str, TrioPoolError | None] = {}

    async def operate(pool: SessionPool) -> None:
        for number in range(1, OPERATIONS + 1):
            session_id = f"chaos_{number}"
            try:
                reply = await pool.execute_in_session(session_id, "ping")
            except TrioPoolError as exc:
                outcomes[session_id] = exc
            else:
                assert reply["status"] == "ok"
                outcomes[session_id] = None
            diary.changed()
            await trio.sleep(EVERY)

    async with (
        open_pool(size=pool_size, launcher=launcher, on_event=diary.note) as pool,
        ChaosMonkey(pool, launcher, seed=1) as monkey,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(operate, pool)

        await diary.until(lambda: len(outcomes) >= KILL_AT)
        killed = await monkey.kill_random_worker()
        gone = await diary.replaced(killed)
        assert (gone.exit, gone.reason, gone.planned) == (Signaled(signal.SIGKILL), "crash", False)

        await diary.until(lambda: len(outcomes) >= CORRUPT_AT)
        corrupted = await monkey.corrupt_worker_state()
        gone = await diary.replaced(corrupted)
        assert (gone.reason, gone.planned) == ("protocol", False)

        await diary.until(lambda: len(outcomes) == OPERATIONS)
        assert (await pool.health_check()).status is HealthStatus.HEALTHY
        metrics = pool.get_pool_status().metrics
        deaths = len(diary.of(WorkerExited))

    # Nobody else was hurt: two faults, two deaths, and on each of the two at most the one request it had begun.
    assert deaths == metrics.restarts == 2
    failures = [error for error in outcomes.values() if error is not None]
    allowed = {
        (killed.worker.incarnation if killed.worker else 0, "WorkerCrashed"),
        (corrupted.worker.incarnation if corrupted.worker else 0, "ProtocolError"),
    }
    assert {(error.incarnation, type(error).__name__) for error in failures} <= allowed
    assert len(failures) <= 2
    assert (metrics.submitted, metrics.ok, metrics.failed) == (OPERATIONS, OPERATIONS - len(failures), len(failures))


@pytest.mark.pool_size(2)
@pytest.mark.document("T-27", "F-063")
async def test_handles_memory_pressure(pool_size: int) -> None:
    """With four fifths of the budget really taken the pool serves as before, and the memory is given back."""
    diary = Diary()
    async with open_pool(size=pool_size, on_event=diary.note) as pool:
        async with ChaosMonkey(pool) as monkey:
            fault = await monkey.consume_memory(0.8)
            assert fault.pid is not None
            assert resident(fault.pid) >= fault.size > 2**20
            assert (await pool.execute_in_session("memory_test", "ping"))["status"] == "ok"
            assert (await pool.health_check()).status is HealthStatus.HEALTHY
            # It was there all the time.
            assert resident(fault.pid) >= fault.size
        assert state(fault.pid) == "X"
        assert (await pool.execute_in_session("memory_test", "ping"))["status"] == "ok"
        assert not diary.of(WorkerExited)


@pytest.mark.pool_size(2)
@pytest.mark.document("T-28", "F-064")
async def test_handles_network_delays(pool_size: int) -> None:
    """Half a second each way: the operation completes within its time, just slower, and no worker is taken for dead."""
    delay = 0.5
    diary = Diary()
    launcher = ChaosLauncher()

    async def took() -> float:
        start = trio.current_time()
        reply = await pool.execute_in_session("latency_test", "ping", timeout=2.0)
        assert reply["status"] == "ok"
        return trio.current_time() - start

    async with open_pool(size=pool_size, launcher=launcher, on_event=diary.note) as pool:
        before = await took()
        async with ChaosMonkey(pool, launcher) as monkey:
            await monkey.add_latency("port_communication", delay)
            # A clock reading may come just before the tick in which something is due.
            assert await took() >= 2 * delay - 0.002 > before
        # Healed, nothing is held back any longer.
        assert await took() < 2 * delay
        assert not diary.of(WorkerExited)


def resident(pid: int) -> int:
    """Return how many bytes of a process are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError(pid)
