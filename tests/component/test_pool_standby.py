"""Standbys: ready workers that serve the moment another is lost; in virtual time over workers in memory."""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _capacity import SERVING, STANDBY, START, SlowPort, kill, named, over, roles, work
from _pools import obeys_the_law

import trio_pool
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool import PoolEvent


async def test_a_standby_is_ready_and_gets_no_request(autojump_clock: MockClock) -> None:
    """It is started with the others, and however many requests there are, they wait for those that serve."""
    port = MockPort()
    async with over(port, size=1, standby=1) as pool:
        assert sorted(filter(None, roles(pool))) == [SERVING, STANDBY]
        status = pool.get_pool_status()
        assert (status.size, status.ready, status.standby, status.metrics.restarts) == (1, 1, 1, 0)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(work, pool)
        assert trio.current_time() - began == pytest.approx(3.0)
        assert {each.worker_id for each in port.history if each.command == "sleep"} == set(named(pool, SERVING))
        assert (await pool.health_check()).status == "healthy"


async def test_a_standby_serves_at_once_when_an_idle_worker_dies(autojump_clock: MockClock) -> None:
    """No time passes until the next request runs, and the replacement stands by when it is ready."""
    port = SlowPort()
    told: list[PoolEvent] = []
    async with over(port, size=1, standby=1, told=told) as pool:
        (spare,), (victim,) = named(pool, STANDBY), named(pool, SERVING)
        await kill(port, victim)
        began = trio.current_time()
        await pool.execute_anonymous("ping")
        assert trio.current_time() == began
        assert named(pool, SERVING) == [spare]
        assert [event.worker_id for event in told if isinstance(event, trio_pool.WorkerPromoted)] == [spare]
        order = [type(event) for event in told]
        assert order.index(trio_pool.WorkerPromoted) < order.index(trio_pool.WorkerExited)
        await trio.sleep(2 * START)
        assert named(pool, STANDBY) == [victim]
        assert pool.get_pool_status().metrics.restarts == 1


async def test_a_standby_takes_who_waits_before_what_the_lost_worker_had_not_begun(autojump_clock: MockClock) -> None:
    """It serves the moment the other is lost; what that one leaves behind is known only when it is dead."""
    port = MockPort()
    told: list[PoolEvent] = []
    async with over(port, size=1, standby=1, told=told) as pool, trio.open_nursery() as nursery:
        (victim,) = named(pool, SERVING)
        (worker,) = [each for each in port.workers if each.worker_id == victim]
        await worker.signal(signal.SIGSTOP)
        for _ in range(2):
            nursery.start_soon(work, pool)
            await trio.testing.wait_all_tasks_blocked()
        await kill(port, victim)
    dispatched = [event.request_id for event in told if isinstance(event, trio_pool.RequestDispatched)]
    assert dispatched == [1, 2, 1]


async def doze(duration: float) -> None:
    """Sleep."""
    await trio.sleep(duration)


def dozing() -> MockPort:
    """Return a port whose workers can sleep side by side."""
    port = MockPort()
    port.command("doze", doze, flags=("async",))
    return port


async def told_to_leave(
    pool: trio_pool.SessionPool, port: MockPort, nursery: trio.Nursery, count: int = 1
) -> list[str]:
    """Have workers asleep for a hundred seconds and told to leave; return their names."""
    for n in range(count):
        nursery.start_soon(pool.execute_in_session, f"dozing {n}", "doze", {"duration": 100.0})
        await trio.testing.wait_all_tasks_blocked()
    names = [info.worker_id for info in pool.get_pool_status().workers if info.status == "busy"]
    for worker in port.workers:
        if worker.worker_id in names:
            await worker.signal(signal.SIGTERM)
    return names


async def test_a_standby_serves_as_soon_as_the_pool_knows_that_a_worker_is_leaving(autojump_clock: MockClock) -> None:
    """It takes what that has refused, the oldest first, and the one that leaves is replaced when it has left."""
    port = dozing()
    told: list[PoolEvent] = []
    async with over(port, size=1, standby=1, told=told) as pool, trio.open_nursery() as nursery:
        began = trio.current_time()
        (leaving,) = await told_to_leave(pool, port, nursery)
        (spare,) = named(pool, STANDBY)
        for n in range(2):
            nursery.start_soon(work, pool, 1.0, f"session {n}")
        await trio.testing.wait_all_tasks_blocked()
        assert (named(pool, SERVING), named(pool, STANDBY)) == ([spare], [])
        status = pool.get_pool_status()
        assert (status.ready, status.busy, status.queued) == (1, 2, 1)
        assert (await pool.health_check()).status == "healthy"
        await pool.execute_anonymous("ping")
        assert trio.current_time() == began + 2.0
        dispatched = [event.request_id for event in told if isinstance(event, trio_pool.RequestDispatched)]
        assert dispatched == [1, 2, 2, 3, 4]
        await trio.sleep(200.0)
        assert (named(pool, SERVING), named(pool, STANDBY)) == ([spare], [leaving])
        assert pool.get_pool_status().metrics.worker_errors == 0
        assert {event.worker_id for event in told if isinstance(event, trio_pool.WorkerPromoted)} == {spare}
    assert obeys_the_law(pool)


async def test_a_broadcast_that_is_refused_promotes_a_standby_too(autojump_clock: MockClock) -> None:
    """It waits for the replacement; requests do not."""
    port = dozing()
    async with over(port, size=1, standby=1) as pool, trio.open_nursery() as nursery:
        began = trio.current_time()
        await told_to_leave(pool, port, nursery)
        (spare,) = named(pool, STANDBY)
        nursery.start_soon(pool.broadcast, "ping")
        await trio.testing.wait_all_tasks_blocked()
        assert named(pool, SERVING) == [spare]
        await work(pool)
        assert trio.current_time() == began + 1.0


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_another_size_waits_for_workers_that_are_leaving_and_kills_none(
    autojump_clock: MockClock, size: int
) -> None:
    """They finish what they have begun; in the end there are as many as were asked for."""
    port = dozing()
    told: list[PoolEvent] = []
    async with over(port, size=2, standby=1, told=told) as pool:
        async with trio.open_nursery() as nursery:
            await told_to_leave(pool, port, nursery, 2)
            for _ in range(2):
                nursery.start_soon(work, pool)
            await trio.testing.wait_all_tasks_blocked()
            assert len(named(pool, SERVING)) == 1
            await pool.resize(size)
            await trio.sleep(50.0)
            assert pool.get_pool_status().busy == 2
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(filter(None, roles(pool))) == [SERVING] * size + [STANDBY]
        assert pool.get_pool_status().metrics.ok == 4
    exits = [event.reason for event in told if isinstance(event, trio_pool.WorkerExited)]
    assert exits[:2] == ["leaving"] * 2
    assert set(exits[2:]) == {"shutdown"}


async def test_a_standby_takes_over_those_who_wait(autojump_clock: MockClock) -> None:
    """The oldest of them runs there at once; only the request of the dead worker fails."""
    port = SlowPort()
    async with over(port, size=1, standby=1) as pool:
        (victim,) = named(pool, SERVING)
        failures: list[trio_pool.TrioPoolError] = []

        async def doomed() -> None:
            try:
                await work(pool, math.inf)
            except trio_pool.WorkerCrashed as exc:
                failures.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(doomed)
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            nursery.start_soon(pool.execute_anonymous, "ping")
            nursery.start_soon(pool.execute_in_session, "ann", "ping")
            await trio.testing.wait_all_tasks_blocked()
            assert pool.get_pool_status().queued == 2
            await kill(port, victim)
        assert trio.current_time() == began
        assert len(failures) == 1
        assert obeys_the_law(pool)


async def test_a_standby_has_what_is_broadcast(autojump_clock: MockClock) -> None:
    """Each broadcast runs there too, so that a promotion has nothing to make up."""
    port = MockPort()
    async with over(port, size=1, standby=1) as pool:
        assert set(await pool.broadcast("echo", {"value": 1})) == {"pool-0", "pool-1"}


async def test_a_standby_that_does_not_answer_is_not_promoted(autojump_clock: MockClock) -> None:
    """It stands by again when it answers, or serves if that is needed by then."""
    port = SlowPort()
    async with over(port, size=1, standby=2) as pool:
        spares, (victim,) = named(pool, STANDBY), named(pool, SERVING)
        silent, good = spares
        (frozen,) = [each for each in port.workers if each.worker_id == silent]
        await frozen.signal(signal.SIGSTOP)
        await pool.health_check()
        assert named(pool, STANDBY) == [good]
        await kill(port, victim)
        assert named(pool, SERVING) == [good]
        await frozen.signal(signal.SIGCONT)
        await pool.health_check()
        assert silent in named(pool, STANDBY)
        assert pool.get_pool_status().metrics.restarts <= 1


async def test_the_death_of_a_standby_is_nobodys_loss(autojump_clock: MockClock) -> None:
    """It is replaced by another; what serves goes on."""
    port = SlowPort()
    async with over(port, size=1, standby=1) as pool:
        (serving,), (spare,) = named(pool, SERVING), named(pool, STANDBY)
        await kill(port, spare)
        assert named(pool, SERVING) == [serving]
        assert pool.get_pool_status().standby == 0
        await trio.sleep(2 * START)
        assert named(pool, STANDBY) == [spare]


async def test_as_many_deaths_as_standbys_cost_no_time(autojump_clock: MockClock) -> None:
    """One more does: then a start is waited for."""
    port = SlowPort()
    async with over(port, size=2, standby=2) as pool:
        began = trio.current_time()
        for _ in range(2):
            await kill(port, named(pool, SERVING)[0])
            await pool.execute_anonymous("ping")
        assert len(named(pool, SERVING)) == 2
        assert trio.current_time() == began
        for _ in range(2):
            await kill(port, named(pool, SERVING)[0])
        await pool.execute_anonymous("ping")
        assert trio.current_time() == pytest.approx(began + START)
