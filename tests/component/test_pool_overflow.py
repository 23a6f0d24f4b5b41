"""Overflow: workers for bursts, gone when nobody waits; in virtual time over workers in memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _capacity import OVERFLOW, SERVING, START, SlowPort, kill, named, over, roles, work
from _pools import obeys_the_law

import trio_pool
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool import PoolEvent, SessionPool


async def test_overflow_workers_come_when_all_are_busy_and_go_when_nobody_waits(autojump_clock: MockClock) -> None:
    """One for each request that waits, up to the limit; each is dismissed as soon as nothing waits for it."""
    port = MockPort()
    async with over(port, size=1, overflow=2) as pool:
        assert roles(pool) == [SERVING]
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(work, pool)
            await trio.sleep(0.5)
            assert roles(pool) == [SERVING, OVERFLOW, OVERFLOW]
            status = pool.get_pool_status()
            assert (status.size, status.ready, status.busy, status.queued) == (1, 3, 3, 1)
        assert trio.current_time() - began == pytest.approx(2.0)
        await trio.testing.wait_all_tasks_blocked()
        assert roles(pool) == [SERVING]
        assert (await pool.health_check()).status == "healthy"
        assert obeys_the_law(pool)


async def test_no_overflow_worker_is_started_that_would_find_nothing_to_do(autojump_clock: MockClock) -> None:
    """Each request that waits starts one, however long its start takes."""
    port = SlowPort()
    told: list[PoolEvent] = []
    async with over(port, size=1, overflow=5, told=told) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, pool, 100.0)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(work, pool, 1.0)
            nursery.start_soon(work, pool, 1.0)
        starting = [event for event in told if isinstance(event, trio_pool.WorkerStarting)]
        assert len(starting) == 3


async def test_sessions_never_bind_to_overflow_workers(autojump_clock: MockClock) -> None:
    """A request in a session waits for a worker that stays, and starts no other."""
    port = MockPort()
    async with over(port, size=1, overflow=1) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, pool, 1.0)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(work, pool, 1.0, "ann")
            await trio.sleep(0.5)
            assert roles(pool) == [SERVING]
            nursery.start_soon(work, pool, 3.0)
            nursery.start_soon(work, pool, 1.0, "bob")
            await trio.sleep(0.1)
            assert roles(pool) == [SERVING, OVERFLOW]
        by = {(each.session, each.worker_id) for each in port.history if each.command == "sleep"}
        assert by == {(None, "pool-0"), (None, "pool-1"), ("ann", "pool-0"), ("bob", "pool-0")}


async def test_a_lease_may_be_of_an_overflow_worker(autojump_clock: MockClock) -> None:
    """It stays as long as its holder likes and is dismissed afterwards."""
    port = MockPort()
    async with over(port, size=1, overflow=1) as pool:
        async with pool.checkout(), pool.checkout() as worker:
            assert worker.worker_id == "pool-1"
            assert (await worker.send_command("echo", {"value": 3})).result == 3
        await trio.testing.wait_all_tasks_blocked()
        assert roles(pool) == [SERVING]


async def test_an_overflow_worker_that_dies_costs_its_request_alone(autojump_clock: MockClock) -> None:
    """It is not restarted, nor is anything charged; if requests wait, another comes."""
    port = MockPort()
    async with over(port, size=1, overflow=1) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, pool, 10.0)
            await trio.testing.wait_all_tasks_blocked()

            async def doomed() -> None:
                with pytest.raises(trio_pool.WorkerCrashed):
                    await work(pool, 10.0)

            nursery.start_soon(doomed)
            await trio.sleep(1.0)
            began = trio.current_time()
            nursery.start_soon(work, pool, 2.0)
            await trio.testing.wait_all_tasks_blocked()
            await kill(port, "pool-1")
            await trio.sleep(1.0)
            assert roles(pool) == [SERVING, OVERFLOW]
            await trio.sleep(1.5)
            assert roles(pool) == [SERVING]
        assert trio.current_time() < began + 10.0
        nodes = {node.id: node.supervisors[0] for node in pool.supervisor.tree().children}
        assert nodes["overflow"].restarts == nodes["slots"].restarts == 0


async def test_overflow_helps_while_a_dead_worker_is_replaced(autojump_clock: MockClock) -> None:
    """Also a request that is dispatched again waits, so that it calls for one."""
    port = SlowPort()
    told: list[PoolEvent] = []
    async with over(port, size=1, overflow=1, told=told) as pool:
        port.simulate_crash(after="read", command="sleep")
        await work(pool)
    assert "pool-1" in {event.worker_id for event in told if isinstance(event, trio_pool.WorkerStarting)}


async def test_an_overflow_worker_that_does_not_start_is_tried_again_after_a_delay(autojump_clock: MockClock) -> None:
    """By the backoff of restarts; the request it was for waits meanwhile, and the pool lives on."""
    port = MockPort()
    told: list[PoolEvent] = []
    async with over(port, size=1, overflow=1, told=told) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, pool, 100.0)
            await trio.testing.wait_all_tasks_blocked()
            port.simulate_spawn_failure(OSError("no memory"), times=5)
            nursery.start_soon(work, pool, 1.0)
            await trio.sleep(60.0)
            assert pool.get_pool_status().busy == 1
        starts = [event.at for event in told if isinstance(event, trio_pool.WorkerStarting)][1:]
        assert len(starts) == 6
        assert starts[-1] > starts[0]


async def test_a_number_goes_to_the_next_only_when_its_worker_is_gone(autojump_clock: MockClock) -> None:
    """Overflow workers that come and go in every order of events neither clash nor are forgotten."""
    port = SlowPort()
    async with over(port, size=1, overflow=2) as pool, pool.checkout(), trio.open_nursery() as nursery:
        for step in range(60):
            nursery.start_soon(caught, pool, step % 7)
            await trio.sleep(step % 3 * START / 2)
            extra = named(pool, OVERFLOW)
            if step % 4 == 1 and extra:
                await kill(port, extra[0])
        await trio.sleep(1000.0)
        assert [info.role for info in pool.get_pool_status().workers] == [SERVING]
        assert len(port.workers) == 1
        nursery.start_soon(work, pool, 1.0)
        nursery.start_soon(work, pool, 1.0)
        await trio.sleep(START + 0.5)
        assert roles(pool) == [SERVING, OVERFLOW, OVERFLOW]
        assert obeys_the_law(pool)


async def caught(pool: SessionPool, seconds: float) -> None:
    """Occupy a worker, or lose it."""
    with contextlib.suppress(trio_pool.WorkerCrashed):
        await work(pool, seconds)


async def test_a_broadcast_does_not_wait_for_an_overflow_worker_that_starts(autojump_clock: MockClock) -> None:
    """It may never come; if it does it has what is kept."""
    port = SlowPort()
    async with over(port, size=1, overflow=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(work, pool, 20.0)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(work, pool, 50.0)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        assert set(await pool.broadcast("echo", {"value": 1}, key="it")) == {"pool-0"}
        assert trio.current_time() == pytest.approx(began + 20.0)
        await trio.sleep(50.0)
        assert [each.worker_id for each in port.history if each.command == "echo"] == ["pool-0", "pool-1"]
