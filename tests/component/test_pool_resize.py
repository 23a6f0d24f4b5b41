"""Another size, and draining; in virtual time over workers in memory."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _capacity import LEAVING, SERVING, STANDBY, START, SlowPort, kill, named, over, roles, work
from _pools import obeys_the_law

import trio_pool
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool import SessionPool


async def test_a_pool_grows_and_returns_when_it_has_grown(autojump_clock: MockClock) -> None:
    """The new workers start side by side, are ready by then, and take what waits."""
    port = SlowPort()
    async with over(port, size=1) as pool:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(work, pool, START + 1.0)
            await trio.testing.wait_all_tasks_blocked()
            await pool.resize(3)
            assert trio.current_time() == pytest.approx(began + START)
            status = pool.get_pool_status()
            assert (status.size, status.ready, status.busy, status.metrics.restarts) == (3, 3, 3, 0)
        assert sorted(child.id for child in slots(pool).which_children()) == ["pool-0", "pool-1", "pool-2"]


def slots(pool: SessionPool) -> trio_pool.DynamicSupervisor:
    """Return the supervisor of the slots."""
    (value,) = [child.value for child in pool.supervisor.which_children() if child.id == "slots"]
    assert isinstance(value, trio_pool.DynamicSupervisor)
    return value


async def test_a_pool_that_shrinks_dismisses_idle_workers_without_sessions_at_once(autojump_clock: MockClock) -> None:
    """They are stopped for good, and nothing is charged."""
    port = MockPort()
    async with over(port, size=3) as pool:
        await pool.execute_in_session("ann", "ping")
        (home,) = {each.worker_id for each in port.history}
        await pool.resize(1)
        await trio.testing.wait_all_tasks_blocked()
        assert named(pool, SERVING) == [home]
        assert [info.worker_id for info in pool.get_pool_status().workers] == [home]
        assert [child.id for child in slots(pool).which_children()] == [home]
        assert len(port.workers) == 1


async def test_a_broadcast_leaves_out_workers_that_are_being_dismissed(autojump_clock: MockClock) -> None:
    """They end before they could answer; nobody fails for it."""
    async with over(MockPort(), size=3) as pool:
        for size in (2, 1):
            await pool.resize(size)
            assert set(await pool.broadcast("echo", {"value": 1})) == set(named(pool, SERVING))


async def test_a_leaving_worker_serves_its_sessions_and_nothing_else(autojump_clock: MockClock) -> None:
    """It takes no new session and nothing without one, and is stopped when its last session has ended."""
    port = MockPort()
    async with over(port, size=2) as pool:
        set_it = {"operation": "set", "key": "k", "value": 1}
        for name in ("ann", "bob"):
            await pool.execute_in_session(name, "update_session_data", set_it)
        await pool.resize(1)
        (leaving,), (staying,) = named(pool, LEAVING), named(pool, SERVING)
        where = {}
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(work, pool)
            nursery.start_soon(work, pool, 1.0, "cyd")
            await trio.testing.wait_all_tasks_blocked()
            for name in ("ann", "bob"):  # both while the others wait
                assert (await pool.execute_in_session(name, "get_session_data"))["data"] == {"k": 1}
                where[port.history[-1].worker_id] = name
        assert {each.worker_id for each in port.history if each.command == "sleep"} == {staying}
        await pool.end_session(where[leaving])
        await trio.testing.wait_all_tasks_blocked()
        assert [info.worker_id for info in pool.get_pool_status().workers] == [staying]
        assert obeys_the_law(pool)


async def test_a_leaving_worker_finishes_what_it_runs(autojump_clock: MockClock) -> None:
    """A request without a session that runs when the pool shrinks has its result; the worker leaves after it."""
    port = MockPort()
    async with over(port, size=2) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, pool, 5.0)
            nursery.start_soon(work, pool, 5.0)
            await trio.sleep(1.0)
            await pool.resize(1)
            await trio.sleep(1.0)
            assert sorted(filter(None, roles(pool))) == [LEAVING, SERVING]
        await trio.testing.wait_all_tasks_blocked()
        assert roles(pool) == [SERVING]
        assert pool.get_pool_status().metrics.ok == 2


async def test_a_session_that_expires_lets_its_leaving_worker_go(autojump_clock: MockClock) -> None:
    """As does one that is ended, or that dies."""
    port = MockPort()
    async with trio_pool.open_pool(
        launcher=port, size=2, sessions={"ttl": 10.0}, health={"interval": 10_000.0}
    ) as pool:
        for name in ("ann", "bob"):
            await pool.execute_in_session(name, "update_session_data", {"operation": "set", "key": "k", "value": 1})
        await pool.resize(1)
        assert sorted(filter(None, roles(pool))) == [LEAVING, SERVING]
        await trio.sleep(11.0)
        await trio.testing.wait_all_tasks_blocked()
        assert roles(pool) == [SERVING]


async def test_a_leaving_worker_that_dies_is_not_replaced(autojump_clock: MockClock) -> None:
    """Its sessions are lost as ever; its slot is gone."""
    port = MockPort()
    async with over(port, size=2) as pool:
        for name in ("ann", "bob"):
            await pool.execute_in_session(name, "update_session_data", {"operation": "set", "key": "k", "value": 1})
        await pool.resize(1)
        (leaving,) = named(pool, LEAVING)
        await kill(port, leaving)
        await trio.sleep(1.0)
        assert roles(pool) == [SERVING]
        assert len(port.workers) == 1
        lost = [info for info in pool.get_sessions().values() if info.status is trio_pool.SessionStatus.LOST]
        assert len(lost) == 1


async def test_a_pool_that_grows_again_keeps_those_that_were_leaving(autojump_clock: MockClock) -> None:
    """No process is started, and no session is lost."""
    port = MockPort()
    async with over(port, size=2) as pool:
        for name in ("ann", "bob"):
            await pool.execute_in_session(name, "update_session_data", {"operation": "set", "key": "k", "value": 1})
        await pool.resize(1)
        await pool.resize(2)
        assert roles(pool) == [SERVING, SERVING]
        assert pool.get_pool_status().metrics.restarts == 0
        for name in ("ann", "bob"):
            assert (await pool.execute_in_session(name, "get_session_data"))["data"] == {"k": 1}
            await pool.end_session(name)
        await trio.testing.wait_all_tasks_blocked()
        assert roles(pool) == [SERVING, SERVING]


async def test_growing_that_fails_leaves_the_pool_as_it_was(autojump_clock: MockClock) -> None:
    """The error is that of the worker which did not get ready; the others that were started for it are stopped."""
    port = MockPort()
    async with over(port, size=1) as pool:
        port.simulate_init_failure("no", worker="pool-2")
        with pytest.raises(trio_pool.WorkerInitFailed):
            await pool.resize(4)
        await trio.testing.wait_all_tasks_blocked()
        status = pool.get_pool_status()
        assert (status.size, [info.worker_id for info in status.workers]) == (1, ["pool-0"])
        assert len(port.workers) == 1
        await pool.execute_anonymous("ping")


async def test_a_pool_can_grow_at_once_after_it_failed_to(autojump_clock: MockClock) -> None:
    """Also while those that did start are still being stopped."""
    port = MockPort()
    async with over(port, size=1) as pool:
        for _ in range(3):
            port.simulate_init_failure("no", worker="pool-2", times=1)
            with pytest.raises(trio_pool.WorkerInitFailed):
                await pool.resize(4)
        await pool.resize(3)
        assert len(named(pool, SERVING)) == 3
        await trio.testing.wait_all_tasks_blocked()
        assert len(port.workers) == 3


async def test_growing_that_is_cancelled_leaves_the_pool_as_it_was(autojump_clock: MockClock) -> None:
    """At whatever moment, also when some of the new workers are ready."""
    port = SlowPort()
    async with over(port, size=1) as pool:
        with trio.move_on_after(START / 2):
            await pool.resize(4)
        await trio.sleep(2 * START)
        assert roles(pool) == [SERVING]
        assert len(port.workers) == 1
        assert pool.get_pool_status().size == 1


async def test_two_changes_of_size_take_their_turns(autojump_clock: MockClock) -> None:
    """The second begins when the first is done, and wins."""
    port = SlowPort()
    async with over(port, size=1) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.resize, 4)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(pool.resize, 2)
            await trio.testing.wait_all_tasks_blocked()
            assert pool.get_pool_status().size == 4
        await trio.sleep(START)
        assert (pool.get_pool_status().size, roles(pool), len(port.workers)) == (2, [SERVING, SERVING], 2)


async def test_a_worker_that_is_not_replaced_by_policy_is_replaced_by_asking(autojump_clock: MockClock) -> None:
    """Its slot is done for; another size, or the same, starts as many as that needs, and it is listed no more."""
    port = MockPort()
    async with trio_pool.open_pool(
        launcher=port, size=2, restart={"restart": "temporary"}, health={"interval": 10_000.0}
    ) as pool:
        await kill(port, "pool-0")
        assert roles(pool) == [None, SERVING]
        await pool.resize(2)
        assert roles(pool) == [SERVING, SERVING]
        assert {child.id for child in slots(pool).which_children()} == set(named(pool, SERVING))
        await kill(port, named(pool, SERVING)[0])
        await pool.resize(1)
        assert roles(pool) == [SERVING]


async def test_a_worker_that_could_not_be_replaced_by_asking_stays_listed(autojump_clock: MockClock) -> None:
    """It shows why the pool is short of one; so does whoever ends while others are started, until the next time."""
    port = SlowPort()
    async with trio_pool.open_pool(
        launcher=port, size=2, restart={"restart": "temporary"}, health={"interval": 10_000.0}
    ) as pool:
        await kill(port, "pool-0")
        port.simulate_init_failure()
        with pytest.raises(trio_pool.WorkerInitFailed):
            await pool.resize(2)
        assert roles(pool) == [None, SERVING]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.resize, 2)
            await trio.testing.wait_all_tasks_blocked()
            await kill(port, "pool-1")
        assert sorted(map(str, roles(pool))) == ["None", "serving"]
        await pool.resize(2)
        assert roles(pool) == [SERVING, SERVING]


async def test_shrinking_takes_workers_in_their_restart_first(autojump_clock: MockClock) -> None:
    """Nobody misses those."""
    port = SlowPort()
    async with over(port, size=3) as pool:
        victim = named(pool, SERVING)[1]
        await kill(port, victim)
        await pool.resize(2)
        await trio.sleep(3 * START)
        assert victim not in named(pool, SERVING)
        assert roles(pool) == [SERVING, SERVING]


async def test_the_standbys_stay_through_every_size(autojump_clock: MockClock) -> None:
    """There are always as many as were asked for."""
    port = MockPort()
    async with over(port, size=2, standby=1) as pool:
        for size in (4, 1, 3, 1):
            await pool.resize(size)
            await trio.testing.wait_all_tasks_blocked()
            assert len(named(pool, SERVING)) == size
            assert len(named(pool, STANDBY)) == 1
            assert len(port.workers) == size + 1


async def test_a_size_must_be_a_number_of_workers(autojump_clock: MockClock) -> None:
    """And the pool open."""
    async with over(MockPort(), size=1) as pool:
        for size in (0, -1, 1.5, True, "2"):
            with pytest.raises(ValueError, match="size"):
                await pool.resize(size)  # type: ignore[arg-type]
    with pytest.raises(trio_pool.PoolClosed):
        await pool.resize(2)


async def test_draining_lets_what_is_there_end_and_takes_nothing_new(autojump_clock: MockClock) -> None:
    """Running and waiting requests have their results, however long that takes; workers stay until the pool is left."""
    port = MockPort()
    async with over(port, size=1) as pool, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(work, pool, 100.0)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        await pool.drain()
        assert trio.current_time() - began == pytest.approx(300.0)
        with pytest.raises(trio_pool.PoolClosed):
            await pool.execute_anonymous("ping")
        assert len(port.workers) == 1
        assert pool.get_pool_status().metrics.ok == 3
        with trio.testing.assert_checkpoints():
            await pool.drain()


async def test_a_drain_still_dispatches_again_what_was_not_begun(autojump_clock: MockClock) -> None:
    """A worker's death changes nothing: what it had not begun runs on its replacement."""
    port = MockPort()
    async with over(port, size=1) as pool, trio.open_nursery() as nursery:
        await port.workers[0].signal(signal.SIGSTOP)
        nursery.start_soon(work, pool)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pool.drain)
        await trio.testing.wait_all_tasks_blocked()
        await kill(port, "pool-0")
    assert pool.get_pool_status().metrics.ok == 1
    assert pool.get_pool_status().metrics.redispatched == 1


async def test_everybody_who_drains_hears_of_the_end(autojump_clock: MockClock) -> None:
    """Whoever comes later takes nothing away from those who wait already."""
    async with over(MockPort(), size=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(work, pool)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(2.0):
            async with trio.open_nursery() as drains:
                for _ in range(3):
                    drains.start_soon(pool.drain)
                    await trio.testing.wait_all_tasks_blocked()


async def test_a_drain_hears_of_the_end_from_a_pool_that_is_left_meanwhile(autojump_clock: MockClock) -> None:
    """Leaving waits for the same end."""
    async with trio.open_nursery() as nursery, over(MockPort(), size=1) as pool:
        nursery.start_soon(work, pool)  # noqa: ASYNC111  # it outlives the pool on purpose
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pool.drain)  # noqa: ASYNC111  # it outlives the pool on purpose
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.deadline = trio.current_time() + 10.0
    assert not nursery.cancel_scope.cancelled_caught


async def test_a_slot_whose_worker_died_while_the_pool_drains_is_starting(autojump_clock: MockClock) -> None:
    """There is another to come, and what waits needs it."""
    port = SlowPort()
    async with over(port, size=1) as pool:
        await pool.drain()
        await kill(port, "pool-0")
        (info,) = pool.get_pool_status().workers
        assert info.status == "starting"
        await trio.sleep(2 * START)
        (info,) = pool.get_pool_status().workers
        assert info.status == "ready"


async def test_a_drain_cut_short_still_refuses_what_is_new(autojump_clock: MockClock) -> None:
    """What waits goes on waiting for its turn: only who drains has left."""
    async with over(MockPort(), size=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(work, pool, 10.0)
        nursery.start_soon(work, pool, 10.0)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(5.0) as scope:
            await pool.drain()
        assert scope.cancelled_caught
        with pytest.raises(trio_pool.PoolClosed):
            await pool.execute_anonymous("ping")
        await trio.sleep(20.0)
        assert pool.get_pool_status().metrics.ok == 2
