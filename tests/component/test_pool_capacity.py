"""How many workers there are: standby, overflow, another size, and draining; in virtual time over workers in memory."""

from __future__ import annotations

import contextlib
import math
import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _pools import obeys_the_law

import trio_pool
from trio_pool import WorkerRole
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from trio.testing import MockClock

    from trio_pool import PoolEvent, SessionPool, WorkerSpec
    from trio_pool.testing import MockWorker

SERVING, STANDBY = WorkerRole.SERVING, WorkerRole.STANDBY
OVERFLOW, LEAVING = WorkerRole.OVERFLOW, WorkerRole.LEAVING

START = 5.0
"""Seconds that a start takes on a `SlowPort`."""


class SlowPort(MockPort):
    """A port whose workers take their time to start."""

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> MockWorker:
        """Start a worker after `START` seconds."""
        await trio.sleep(START)
        return await super().open(spec, nursery)


def over(
    port: MockPort, *, size: int, standby: int = 0, overflow: int = 0, told: list[PoolEvent] | None = None
) -> AbstractAsyncContextManager[SessionPool]:
    """Open a pool of workers in memory which nothing disturbs and which never gives up."""
    return trio_pool.open_pool(
        launcher=port,
        size=size,
        standby=standby,
        overflow=overflow,
        checkout_timeout=1000.0,
        timeout=1000.0,
        restart={"max_restarts": math.inf},
        health={"interval": 10_000.0},
        on_event=None if told is None else told.append,
    )


def roles(pool: SessionPool) -> list[WorkerRole | None]:
    """Return the roles of all workers, by slot."""
    return [info.role for info in pool.get_pool_status().workers]


def named(pool: SessionPool, role: WorkerRole) -> list[str]:
    """Return the names of the workers with this role."""
    return [info.worker_id for info in pool.get_pool_status().workers if info.role is role]


async def work(pool: SessionPool, seconds: float = 1.0, session: str | None = None) -> None:
    """Occupy a worker."""
    if session is None:
        await pool.execute_anonymous("sleep", {"duration": seconds})
    else:
        await pool.execute_in_session(session, "sleep", {"duration": seconds})


async def kill(port: MockPort, worker_id: str) -> None:
    """Kill a worker."""
    (worker,) = [each for each in port.workers if each.worker_id == worker_id]
    await worker.signal(signal.SIGKILL)
    await trio.testing.wait_all_tasks_blocked()


# -- standby -----------------------------------------------------------------------------------------------------------


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


# -- overflow ----------------------------------------------------------------------------------------------------------


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


# -- another size ------------------------------------------------------------------------------------------------------


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
    """Its slot is done for; another size, or the same, starts as many as that needs."""
    port = MockPort()
    async with trio_pool.open_pool(
        launcher=port, size=2, restart={"restart": "temporary"}, health={"interval": 10_000.0}
    ) as pool:
        await kill(port, "pool-0")
        assert roles(pool) == [None, SERVING]
        await pool.resize(2)
        assert roles(pool) == [None, SERVING, SERVING]


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


# -- draining ----------------------------------------------------------------------------------------------------------


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
