"""Broadcasts and time, in virtual time: how long a worker is waited for, and how long it may take."""

from __future__ import annotations

import math
import signal
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import trio_pool
from trio_pool import Backoff, BroadcastFailed, RestartPolicy
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from trio.testing import MockClock

    from trio_pool import SessionPool

TIMEOUT = 30.0


def put(value: object) -> object:
    """Be told a value."""
    return value


def over(port: MockPort, size: int = 2, delay: float = 0.0) -> AbstractAsyncContextManager[SessionPool]:
    """Open a pool whose workers are in memory, restarted after a delay, and which nothing disturbs."""
    port.command("put", put)
    restart = RestartPolicy(max_restarts=math.inf, backoff=Backoff(initial=delay, maximum=delay, jitter="none"))
    health = {"interval": 1000.0}
    return trio_pool.open_pool(launcher=port, size=size, timeout=TIMEOUT, restart=restart, health=health)


async def lease(
    pool: SessionPool, seconds: float, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Hold a worker for so long."""
    async with pool.checkout() as worker:
        task_status.started(worker.worker_id)
        await trio.sleep(seconds)


async def call(pool: SessionPool, key: str | None = None) -> tuple[float, dict[str, Any] | BroadcastFailed]:
    """Broadcast; return how long that took, and what came of it."""
    began = trio.current_time()
    try:
        outcome: dict[str, Any] | BroadcastFailed = await pool.broadcast("put", {"value": 1}, key=key)
    except BroadcastFailed as exc:
        outcome = exc
    return trio.current_time() - began, outcome


async def test_a_worker_is_waited_for_as_long_as_the_timeout(autojump_clock: MockClock) -> None:
    """One that is free in time runs it then; one that is not fails its part then, and no earlier."""
    async with over(MockPort()) as pool, trio.open_nursery() as nursery:
        await nursery.start(lease, pool, TIMEOUT - 1)
        took, outcome = await call(pool)
        assert took == pytest.approx(TIMEOUT - 1)
        assert outcome == {"pool-0": 1, "pool-1": 1}
        leased = await nursery.start(lease, pool, TIMEOUT + 1)
        took, outcome = await call(pool)
        assert took == pytest.approx(TIMEOUT)
        assert isinstance(outcome, BroadcastFailed)
        error = outcome.errors[leased]
        assert isinstance(error, trio_pool.PoolTimeout)
        assert error.waited == pytest.approx(TIMEOUT)


async def test_a_worker_has_the_timeout_from_the_moment_it_is_sent(autojump_clock: MockClock) -> None:
    """However long it was waited for; and a second more is too much."""
    for seconds, fails in ((TIMEOUT - 1, False), (TIMEOUT + 1, True)):
        port = MockPort()
        port.simulate_slow_response(seconds, "put")
        async with over(port, size=1) as pool, trio.open_nursery() as nursery:
            await nursery.start(lease, pool, TIMEOUT - 2)
            took, outcome = await call(pool)
            assert isinstance(outcome, BroadcastFailed) is fails
            if fails:
                assert isinstance(outcome, BroadcastFailed)
                assert isinstance(outcome.errors["pool-0"], trio_pool.CommandTimeout)
            assert took == pytest.approx(TIMEOUT - 2 + min(seconds, TIMEOUT))


async def test_one_not_begun_by_a_worker_that_died_has_time_to_find_the_next(autojump_clock: MockClock) -> None:
    """Its wait begins anew with the death, though the first one had nearly used it up."""
    port = MockPort()
    async with over(port, size=1) as pool, trio.open_nursery() as nursery:
        await nursery.start(lease, pool, TIMEOUT - 1)
        await port.workers[0].signal(signal.SIGSTOP)
        outcomes: list[object] = []

        async def ask() -> None:
            outcomes.append(await call(pool))

        nursery.start_soon(ask)
        await trio.sleep(TIMEOUT + 5)
        assert outcomes == []
        await port.workers[0].kill()
    assert outcomes == [(pytest.approx(TIMEOUT + 5), {"pool-0": 1})]


async def test_a_worker_that_no_other_replaces_in_time_is_told_as_dead(autojump_clock: MockClock) -> None:
    """Under a key its part waits for the replacement, and not for ever: then the crash is what there is to tell."""
    port = MockPort()
    port.simulate_crash(command="put", worker="pool-0")
    async with over(port, delay=1.0) as pool:
        port.simulate_init_failure(worker="pool-0", times=None)
        took, outcome = await call(pool, "k")
        assert isinstance(outcome, BroadcastFailed)
        assert isinstance(outcome.errors["pool-0"], trio_pool.WorkerCrashed)
        assert outcome.results == {"pool-1": 1}
        assert took == pytest.approx(TIMEOUT)
        port.heal()
        with trio.fail_after(10), pool.events() as events:
            while not isinstance(await events.receive(), trio_pool.WorkerReady):
                pass
        puts = sorted(each.worker_id for each in port.history if each.command == "put")
        assert puts == ["pool-0", "pool-0", "pool-1"]


async def test_a_replay_has_the_timeout_too(autojump_clock: MockClock) -> None:
    """A worker that is slow at its start is waited for as long as any; one that hangs is started anew."""
    port = MockPort()
    async with over(port, size=1) as pool:
        await call(pool, "k")
        port.simulate_slow_response(TIMEOUT - 1, "put", times=1)
        await port.workers[0].kill()
        began = trio.current_time()
        await pool.execute_anonymous("ping", timeout=1000, checkout_timeout=1000)
        assert trio.current_time() - began == pytest.approx(TIMEOUT - 1)
        port.simulate_timeout("put", times=1)
        await port.workers[0].kill()
        began = trio.current_time()
        await pool.execute_anonymous("ping", timeout=1000, checkout_timeout=1000)
        assert TIMEOUT <= trio.current_time() - began < TIMEOUT + 5
        assert pool.get_pool_status().metrics.worker_errors == 3


async def test_what_no_worker_lives_to_begin_is_not_passed_on_for_ever(autojump_clock: MockClock) -> None:
    """Reading it may be what kills them: after ten workers it fails there, truthfully not executed."""
    port = MockPort()
    port.simulate_crash(after="read", command="put", worker="pool-0", times=None)
    async with over(port) as pool:
        _, outcome = await call(pool)
        assert isinstance(outcome, BroadcastFailed)
        error = outcome.errors["pool-0"]
        assert isinstance(error, trio_pool.WorkerCrashed)
        assert (error.outcome, outcome.results) == ("not_executed", {"pool-1": 1})
        assert pool.get_pool_status().metrics.worker_errors == 10


@pytest.mark.parametrize("moment", ["read", "begun", "reply"])
@pytest.mark.parametrize("key", [None, "k"])
async def test_a_death_at_any_moment_of_one_worker(autojump_clock: MockClock, moment: str, key: str | None) -> None:
    """Before it began, the replacement runs it; after its reply, nothing is amiss; between, the key decides."""
    port = MockPort()
    port.simulate_crash(after=moment, command="put", worker="pool-1")
    async with over(port, size=3) as pool:
        _, outcome = await call(pool, key)
        if moment == "begun" and key is None:
            assert isinstance(outcome, BroadcastFailed)
            assert list(outcome.errors) == ["pool-1"]
        else:
            assert outcome == {"pool-0": 1, "pool-1": 1, "pool-2": 1}
        with trio.fail_after(1000), pool.events() as events:
            while pool.get_pool_status().ready < 3:
                await events.receive()
        ran = {each.incarnation for each in port.history if each.command == "put"}
        living = {info.incarnation for info in pool.get_pool_status().workers}
        if key is not None:
            assert living <= ran
        await trio.testing.wait_all_tasks_blocked()
        assert pool.get_pool_status().busy == 0


async def settled(pool: SessionPool) -> None:
    """Wait until all workers are ready and idle."""
    with trio.fail_after(1000):
        while True:
            status = pool.get_pool_status()
            if status.ready == status.size and not status.busy:
                return
            await trio.sleep(0.1)


@pytest.mark.parametrize("key", [None, "k"])
async def test_what_nobody_waits_for_dies_with_its_worker(autojump_clock: MockClock, key: str | None) -> None:
    """A late run that had yet to come, and one whose caller left, are not run again: what is kept is, once."""
    port = MockPort()
    async with over(port, size=2) as pool, trio.open_nursery() as nursery:
        leased = await nursery.start(lease, pool, 1000.0)
        _, outcome = await call(pool, key)
        assert isinstance(outcome, BroadcastFailed)
        for worker in port.workers:
            await worker.signal(signal.SIGSTOP)  # so that the free one has not begun it when it dies
        with trio.move_on_after(0.5):
            await pool.broadcast("put", {"value": 2}, key=key)
        for worker in port.workers:
            await worker.kill()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await settled(pool)
        living = {info.incarnation for info in pool.get_pool_status().workers}
        puts = [each.args["value"] for each in port.history if each.incarnation in living and each.command == "put"]
        assert leased in ("pool-0", "pool-1")
        assert puts == ([] if key is None else [1, 1])


async def test_broadcasts_faster_than_replays_do_not_keep_a_worker_from_getting_ready(
    autojump_clock: MockClock,
) -> None:
    """Replays in one start are bounded; what is kept by then is run late, before any request that comes later."""
    port = MockPort()
    async with over(port) as pool:
        await call(pool, "k")
        port.simulate_slow_response(0.2, "put", worker="pool-0")
        await next(worker for worker in port.workers if worker.worker_id == "pool-0").kill()

        def replays() -> int:
            incarnation = pool.get_pool_status().workers[0].incarnation
            return sum(each.incarnation == incarnation and each.command == "put" for each in port.history)

        values = count(2)

        async def hurry() -> None:
            # Accepted by the other worker at once, and left by its caller.
            with trio.move_on_after(0.1):
                await pool.broadcast("put", {"value": next(values)}, key="k")

        with trio.fail_after(1000), pool.events() as events:
            while replays() < 400:
                await hurry()
            await hurry()  # while the last replay that there may be is under way
            while not isinstance(await events.receive(), trio_pool.WorkerReady):
                pass
            assert replays() == 400
        await settled(pool)
        puts: dict[str, list[object]] = {}
        incarnations = {info.incarnation for info in pool.get_pool_status().workers}
        for each in port.history:
            if each.incarnation in incarnations and each.command == "put":
                puts.setdefault(each.worker_id, []).append(each.args["value"])
        assert len(puts["pool-0"]) == 401
        assert puts["pool-0"][-1] == puts["pool-1"][-1] == next(values) - 1
