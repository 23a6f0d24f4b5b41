"""The monkey and its launcher on a real pool: faults do what they say, and nothing of them lasts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from _workers import PATIENCE, PAUSE

from chaos import ChaosLauncher, ChaosMonkey, Corruption, Fault, FaultKind, FaultMissed, FaultUnavailable
from trio_pool import HealthStatus, PoolEvent, WorkerExited, WorkerReady, open_pool
from trio_pool.errors import ProtocolError, WorkerCrashed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_pool import SessionPool

pytestmark = pytest.mark.slow


class Harness:
    """A pool of two workers under a monkey."""

    def __init__(self) -> None:
        self.launcher = ChaosLauncher()
        self.events: list[PoolEvent] = []
        self.pool: SessionPool
        self.monkey: ChaosMonkey
        self._changed = trio.lowlevel.ParkingLot()

    def note(self, event: PoolEvent) -> None:
        self.events.append(event)
        self._changed.unpark_all()

    async def saw(self, kind: type[PoolEvent], count: int) -> list[PoolEvent]:
        """Wait until so many events of a kind have happened."""
        with trio.fail_after(PATIENCE):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
                await self._changed.park()
        return found


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    harness = Harness()
    async with (
        open_pool(size=2, launcher=harness.launcher, on_event=harness.note, seed=1) as harness.pool,
        ChaosMonkey(harness.pool, harness.launcher, seed=1) as harness.monkey,
    ):
        yield harness


def is_stopped(pid: int | None) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def stopped(pid: int | None, wanted: bool) -> None:
    """Wait until a process is stopped, or is not: a signal takes effect when its target is next scheduled."""
    with trio.fail_after(PATIENCE):
        while is_stopped(pid) != wanted:  # noqa: ASYNC110  # nobody tells of another process's state
            await trio.sleep(PAUSE)


async def test_nothing_injected_is_nothing_changed(harness: Harness) -> None:
    """Under the launcher a pool serves as it always does."""
    assert await harness.pool.execute_anonymous("echo", {"value": b"x" * 100_000}) == b"x" * 100_000
    assert len(harness.launcher.started) == 2


@pytest.mark.document("F-061")
async def test_kill_takes_the_incarnation_that_was_seen(harness: Harness) -> None:
    """The worker named dies of SIGKILL and is replaced; the same picture of it is out of date from then on."""
    seen = harness.pool.get_pool_status().workers[1]
    fault = await harness.monkey.kill(seen)
    (exited,) = await harness.saw(WorkerExited, 1)
    assert isinstance(exited, WorkerExited)
    assert (exited.slot, exited.incarnation) == (1, seen.incarnation)
    assert str(exited.exit) == "SIGKILL"
    assert fault.healed
    await harness.saw(WorkerReady, 3)
    with pytest.raises(FaultMissed, match="gone"):
        await harness.monkey.kill(seen)
    # By its name it is whoever serves there now.
    assert (await harness.monkey.kill(seen.worker_id)).worker is not None
    await harness.saw(WorkerExited, 2)


async def test_of_two_pools_with_one_launcher_the_monkey_s_own_is_hit(harness: Harness) -> None:
    """Incarnations are counted by each pool, and names may be the same: neither makes a worker another's."""
    async with open_pool(size=2, launcher=harness.launcher) as other:
        before = other.get_pool_status().workers
        seen = harness.pool.get_pool_status().workers[0]
        assert seen.incarnation in {worker.incarnation for worker in before}
        await harness.monkey.add_latency("port_communication", 60, worker=seen)
        with trio.fail_after(PATIENCE):
            assert (await other.health_check()).status is HealthStatus.HEALTHY
        await harness.monkey.kill(seen)
        (exited,) = await harness.saw(WorkerExited, 1)
        assert isinstance(exited, WorkerExited)
        assert exited.pid == seen.pid
        assert [worker.pid for worker in other.get_pool_status().workers] == [worker.pid for worker in before]


async def test_kill_random_worker_can_insist_on_a_busy_one(harness: Harness) -> None:
    """With nobody busy there is no such worker; with one busy it is that one, and its request fails typed."""
    with pytest.raises(FaultMissed, match="running"):
        await harness.monkey.kill_random_worker(busy=True)

    async def victim() -> None:
        with pytest.raises(WorkerCrashed):
            await harness.pool.execute_anonymous("sleep", {"duration": 60.0})
        ended.set()

    ended = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(victim)
        with trio.fail_after(PATIENCE):
            while True:
                try:
                    fault = await harness.monkey.kill_random_worker(busy=True)
                except FaultMissed:
                    await trio.sleep(PAUSE)  # the mark that it has begun is a word in shared memory: nobody tells of it
                else:
                    break
            await ended.wait()
    assert fault.worker is not None
    assert fault.worker.begun


@pytest.mark.document("F-061")
async def test_the_seed_chooses(harness: Harness) -> None:
    """Without a preference any serving worker may be hit, and the seed says which."""
    first = await harness.monkey.kill_random_worker()
    await harness.saw(WorkerReady, 3)
    again = ChaosMonkey(harness.pool, harness.launcher, seed=1)
    second = await again.kill_random_worker()
    assert first.worker is not None
    assert second.worker is not None
    assert first.worker.slot == second.worker.slot
    await harness.saw(WorkerReady, 4)


async def test_freeze_stops_the_worker_and_heal_lets_it_go_on(harness: Harness) -> None:
    """A frozen worker is stopped and not gone; healed it serves again, in the same incarnation."""
    seen = harness.pool.get_pool_status().workers[0]
    fault = await harness.monkey.freeze(seen)
    await stopped(seen.pid, True)
    await fault.heal()
    await fault.heal()
    assert fault.healed
    await stopped(seen.pid, False)
    assert await harness.pool.execute_anonymous("echo", {"value": 1}) == 1
    assert harness.pool.get_pool_status().workers[0].incarnation == seen.incarnation


@pytest.mark.parametrize("how", ["normally", "by exception", "by cancellation"])
async def test_leaving_heals_everything(harness: Harness, how: str) -> None:
    """Whatever ends the block: no worker stays stopped and no link slow."""
    workers = harness.pool.get_pool_status().workers
    with trio.CancelScope() as scope:
        try:
            async with ChaosMonkey(harness.pool, harness.launcher) as monkey:
                frozen = await monkey.freeze(workers[0])
                slow = await monkey.add_latency("port_communication", 60)
                if how == "by exception":
                    raise ZeroDivisionError
                if how == "by cancellation":
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
        except ZeroDivisionError:
            pass
    assert frozen.healed
    assert slow.healed
    await stopped(workers[0].pid, False)
    with trio.fail_after(PATIENCE):
        assert await harness.pool.execute_anonymous("echo", {"value": 1}) == 1


async def test_what_is_injected_while_all_is_healed_is_healed_too(harness: Harness) -> None:
    """Two who heal everything at once, and one who goes on injecting, leave nothing behind."""
    workers = harness.pool.get_pool_status().workers
    faults: list[Fault] = []
    async with trio.open_nursery() as nursery, ChaosMonkey(harness.pool, harness.launcher) as monkey:
        faults += [await monkey.freeze(workers[0]), await monkey.add_latency("port_communication", 60)]

        async def inject() -> None:
            faults.append(await monkey.freeze(workers[1]))

        for task in (monkey.heal_all, monkey.heal_all, inject, monkey.heal_all):
            nursery.start_soon(task)
    await monkey.heal_all()
    assert [fault.healed for fault in faults] == [True, True, True]
    for worker in workers:
        await stopped(worker.pid, False)


async def test_healing_a_worker_that_is_gone_does_nothing(harness: Harness) -> None:
    """The pool may have killed a frozen worker; its end is not undone, and nobody else is signalled."""
    seen = harness.pool.get_pool_status().workers[0]
    fault = await harness.monkey.freeze(seen)
    await harness.monkey.kill(seen)
    await harness.saw(WorkerReady, 3)
    await fault.heal()
    assert fault.healed


@pytest.mark.document("F-064")
async def test_latency_slows_one_link_both_ways_and_only_that(harness: Harness) -> None:
    """A request and its reply are each late by the delay; the other worker's are not; healed, none is."""
    delay = 0.05
    (slow,) = {info.worker_id for info in harness.pool.get_pool_status().workers if info.slot == 0}
    fault = await harness.monkey.add_latency("port_communication", delay, worker=slow)
    took: dict[int, float] = {}
    async with trio.open_nursery() as nursery:

        async def echo(number: int) -> None:
            start = trio.current_time()
            await harness.pool.execute_in_session(f"session-{number}", "echo", {"value": number})
            took[number] = trio.current_time() - start

        # Two at once: one for each worker.
        for number in range(2):
            nursery.start_soon(echo, number)
    # A clock reading may come just before the tick in which something is due.
    assert sorted(value >= 2 * delay - 0.002 for value in took.values()) == [False, True]
    await fault.heal()
    start = trio.current_time()
    for number in range(2):
        await harness.pool.execute_in_session(f"session-{number}", "echo", {"value": number})
    assert trio.current_time() - start < 2 * delay


async def test_latency_on_every_link_holds_for_later_workers(harness: Harness) -> None:
    """Without a worker named it lies on all links, those of replacements from their first byte; two delays add up."""
    one = await harness.monkey.add_latency("port_communication", 0.02)
    two = await harness.monkey.add_latency("port_communication", 0.03)
    await harness.monkey.kill(harness.pool.get_pool_status().workers[0])
    await harness.monkey.kill(harness.pool.get_pool_status().workers[1])
    ready = await harness.saw(WorkerReady, 4)
    assert all(isinstance(event, WorkerReady) and event.startup >= 0.098 for event in ready[2:])
    # To start takes its time without any delay, too; a ping does not.
    start = trio.current_time()
    await harness.pool.execute_anonymous("ping")
    assert trio.current_time() - start >= 0.098
    await two.heal()
    await one.heal()
    start = trio.current_time()
    await harness.pool.execute_anonymous("ping")
    assert trio.current_time() - start < 0.04


@pytest.mark.parametrize("how", Corruption)
@pytest.mark.document("F-062")
async def test_a_corrupted_worker_is_found_out_killed_and_replaced(harness: Harness, how: Corruption) -> None:
    """Whatever nonsense it says: the next health check hears it, the pool kills it, and another takes its place."""
    seen = harness.pool.get_pool_status().workers[1]
    fault = await harness.monkey.corrupt_worker_state(seen, how=how)
    assert fault.kind is FaultKind.CORRUPTION
    assert fault.worker is not None
    assert fault.worker.incarnation == seen.incarnation
    await harness.pool.health_check()
    (exited,) = await harness.saw(WorkerExited, 1)
    assert isinstance(exited, WorkerExited)
    assert (exited.slot, exited.incarnation, exited.reason) == (1, seen.incarnation, "protocol")
    assert not exited.planned
    assert str(exited.exit) == "SIGKILL"
    await harness.saw(WorkerReady, 3)
    # Once is enough: the next worker is sound.
    assert (await harness.pool.health_check()).status is HealthStatus.HEALTHY
    with pytest.raises(FaultMissed, match="gone"):
        await harness.monkey.corrupt_worker_state(seen)


@pytest.mark.document("F-062")
async def test_a_corrupted_worker_s_request_fails_typed_or_moves_on(harness: Harness) -> None:
    """A request that meets the nonsense fails with `ProtocolError` if it had begun; not begun, it runs elsewhere."""
    (other,) = {info.worker_id for info in harness.pool.get_pool_status().workers if info.slot == 0}
    async with harness.pool.checkout() as leased:
        free = other if leased.worker_id != other else harness.pool.get_pool_status().workers[1].worker_id
        await harness.monkey.corrupt_worker_state(free)
        failure: ProtocolError | None = None
        try:
            assert await harness.pool.execute_anonymous("echo", {"value": 1}) == 1
        except ProtocolError as exc:
            failure = exc
    assert failure is None or (failure.worker_id, failure.outcome) == (free, "maybe_executed")
    (exited,) = await harness.saw(WorkerExited, 1)
    assert isinstance(exited, WorkerExited)
    assert (exited.worker_id, exited.reason) == (free, "protocol")
    await harness.saw(WorkerReady, 3)


async def test_a_running_request_s_reply_is_not_damaged_by_the_corruption(harness: Harness) -> None:
    """What a worker sends as it is corrupted arrives whole or not at all, however large: never as another value."""
    value = bytes(range(256)) * 8192
    for _ in range(3):
        workers = harness.pool.get_pool_status().workers
        before = len([event for event in harness.events if isinstance(event, WorkerExited)])
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with suppress(ProtocolError):
                    assert await harness.pool.execute_anonymous("echo", {"value": value}) == value

            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.lowlevel.checkpoint()
            await harness.monkey.corrupt_worker_state(workers[0])
        await harness.pool.health_check()
        await harness.saw(WorkerExited, before + 1)
        await harness.saw(WorkerReady, before + 3)


async def test_without_a_worker_named_the_seed_chooses_worker_and_words(harness: Harness) -> None:
    """One of the serving ones; equal seeds choose equally, and one healed in time has said nothing."""
    one = await harness.monkey.corrupt_worker_state()
    two = await ChaosMonkey(harness.pool, harness.launcher, seed=1).corrupt_worker_state()
    assert one.worker is not None
    assert two.worker is not None
    assert one.worker.incarnation == two.worker.incarnation
    await two.heal()
    assert two.healed
    assert (await harness.pool.health_check()).status is HealthStatus.HEALTHY
    assert not [event for event in harness.events if isinstance(event, WorkerExited)]


async def test_a_worker_that_is_named_says_something_else_each_time(harness: Harness) -> None:
    """What is left to the seed is decided anew for every fault, whoever is hit."""
    said: set[bytes] = set()
    for _ in range(20):
        worker = harness.pool.get_pool_status().workers[0]
        fault = await harness.monkey.corrupt_worker_state(worker)
        handle = harness.launcher.find(worker)
        assert handle is not None
        buffer = bytearray(64)
        said.add(bytes(buffer[: handle.speech.recv_into(buffer)]))
        await fault.heal()
    assert len(said) == len(Corruption)


async def test_bad_requests_are_refused(harness: Harness) -> None:
    """An unknown place, a negative time and an unknown worker are errors that name what is wrong."""
    with pytest.raises(ValueError, match="where"):
        await harness.monkey.add_latency("disk", 0.5)
    with pytest.raises(ValueError, match="seconds"):
        await harness.monkey.add_latency("port_communication", -1)
    with pytest.raises(FaultMissed, match="nobody"):
        await harness.monkey.kill("nobody")
    with pytest.raises(ValueError, match="Corruption"):
        await harness.monkey.corrupt_worker_state(how="slightly")


async def test_without_the_launcher_no_fault_is_to_be_had(harness: Harness) -> None:
    """A monkey that cannot reach the workers says so, and does not fall back on guessing at process ids."""
    monkey = ChaosMonkey(harness.pool)
    worker = harness.pool.get_pool_status().workers[0]
    with pytest.raises(FaultUnavailable):
        await monkey.kill_random_worker()
    with pytest.raises(FaultUnavailable):
        await monkey.kill(worker)
    with pytest.raises(FaultUnavailable):
        await monkey.freeze(worker)
    with pytest.raises(FaultUnavailable):
        await monkey.corrupt_worker_state()
    with pytest.raises(FaultUnavailable):
        await monkey.corrupt_worker_state(worker)
    with pytest.raises(FaultUnavailable):
        await monkey.add_latency("port_communication", 0.5)
