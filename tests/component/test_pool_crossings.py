"""Where two features of a pool meet: deaths among dispatches, leases over async commands, sizes that change in vain."""

from __future__ import annotations

import contextlib
import math
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from _capacity import START, SlowPort, kill
from _pools import obeys_the_law

import trio_pool
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trio.testing import MockClock


async def nap(duration: float) -> float:
    """Sleep."""
    await trio.sleep(duration)
    return duration


def port_of_naps() -> MockPort:
    """Return a port whose workers can sleep side by side."""
    port = MockPort()
    port.command("nap", nap, flags=("async",))
    return port


async def test_requests_chosen_for_a_worker_whose_end_the_first_of_them_finds_go_elsewhere(
    autojump_clock: MockClock,
) -> None:
    """Several are started in one step; writing the first shows that nobody reads, and the others are not lost."""
    port = port_of_naps()
    results: list[object] = []
    async with trio_pool.open_pool(launcher=port, size=1, concurrency=4) as pool, trio.open_nursery() as nursery:

        async def call() -> None:
            results.append(await pool.execute_anonymous("nap", {"duration": 1.0}))

        async with pool.checkout():
            for _ in range(3):
                nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            port.workers[0].deliver(signal.SIGKILL)
    assert results == [1.0] * 3
    assert pool.get_pool_status().metrics.redispatched == 3
    assert obeys_the_law(pool)


async def test_a_request_that_only_a_dead_worker_was_given_has_waited_for_the_pool(autojump_clock: MockClock) -> None:
    """Not a byte of it was written, so its patience ends in a PoolTimeout; one that a worker was sent has another."""
    port = SlowPort()
    async with trio_pool.open_pool(launcher=port, size=1, checkout_timeout=0.5 * START) as pool:
        port.workers[0].deliver(signal.SIGKILL)
        with pytest.raises(trio_pool.PoolTimeout):  # nobody had a turn to tell the pool
            await pool.execute_anonymous("ping")
        await trio.sleep(START)
        port.workers[0].deliver(signal.SIGSTOP)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                with pytest.raises(trio_pool.CommandTimeout) as caught:
                    await pool.execute_anonymous("ping")
                assert caught.value.outcome == "not_executed"

            await trio.testing.wait_all_tasks_blocked()
            port.workers[0].deliver(signal.SIGKILL)
        assert pool.get_pool_status().metrics.redispatched == 2
        assert obeys_the_law(pool)


async def test_growing_in_vain_leaves_no_place_without_a_worker_for_one_that_ended_for_good(
    autojump_clock: MockClock,
) -> None:
    """Nobody would ever start its worker, and a broadcast would wait for that."""
    port = SlowPort()
    async with trio_pool.open_pool(launcher=port, size=2, restart={"restart": "temporary"}) as pool:
        port.simulate_init_failure()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                with pytest.raises(trio_pool.WorkerInitFailed):
                    await pool.resize(3)

            await trio.testing.wait_all_tasks_blocked()
            await kill(port, "pool-0")
        statuses = [info.status for info in pool.get_pool_status().workers]
        assert statuses == ["dead", "ready"]
        assert list(await pool.broadcast("ping")) == ["pool-1"]


async def test_async_commands_of_a_lease_that_is_left_are_cancelled(autojump_clock: MockClock) -> None:
    """They end by that, at once, and the worker lives on: it is killed only if they do not."""
    port = port_of_naps()
    async with trio_pool.open_pool(launcher=port, size=1) as pool, trio.open_nursery() as nursery:

        async def use(worker: trio_pool.PoolWorker) -> None:
            with pytest.raises(trio_pool.CommandTimeout):
                await worker.send_command("nap", {"duration": 1000.0}, timeout=2000.0)

        async with pool.checkout() as worker:
            nursery.start_soon(use, worker)  # noqa: ASYNC111  # that it outlives the lease is the test
            await trio.testing.wait_all_tasks_blocked()
        await pool.execute_anonymous("ping")
        assert pool.get_pool_status().metrics.restarts == 0


async def test_growing_that_meets_the_end_of_the_pool_is_told_so(autojump_clock: MockClock) -> None:
    """Whoever asked from outside of the pool's body learns that it is closed, and of no supervisor within."""
    async with trio.open_nursery() as nursery, trio_pool.open_pool(launcher=SlowPort(), size=1) as pool:

        @nursery.start_soon
        async def _() -> None:
            with pytest.raises(trio_pool.PoolClosed):
                await pool.resize(3)

        await trio.testing.wait_all_tasks_blocked()


async def test_what_two_workers_that_die_at_once_had_not_begun_is_run_by_their_successors(
    autojump_clock: MockClock,
) -> None:
    """Neither's request is given to the other, which is out of use by then, nor run twice."""
    port = MockPort()
    results: list[object] = []
    async with (
        trio_pool.open_pool(launcher=port, size=2, restart={"max_restarts": math.inf}) as pool,
        trio.open_nursery() as nursery,
    ):

        async def ask(value: int) -> None:
            results.append(await pool.execute_in_session(f"session {value}", "echo", {"value": value}))

        dying = port.workers
        for worker in dying:
            await worker.signal(signal.SIGSTOP)
        for value in (1, 2):
            nursery.start_soon(ask, value)
        await trio.testing.wait_all_tasks_blocked()
        for worker in dying:
            worker.deliver(signal.SIGKILL)
    assert sorted(results) == [1, 2]  # type: ignore[type-var]  # they are ints
    assert pool.get_pool_status().metrics.redispatched == 2
    assert len([each for each in port.history if each.command == "echo"]) == 2
    assert obeys_the_law(pool)


# -- a session that ends while its async commands run ------------------------------------------------------------------


async def test_a_session_s_state_is_dropped_when_its_async_commands_have_ended(autojump_clock: MockClock) -> None:
    """They run on with it; a new session of the same id waits, if it comes to the same worker, and nobody else does."""
    port = port_of_naps()
    results: dict[str, object] = {}

    async def call(name: str, session: str, command: str, **args: object) -> None:
        results[name] = await pool.execute_in_session(session, command, args)
        results[f"{name} at"] = trio.current_time() - began

    async with trio_pool.open_pool(launcher=port, size=1, concurrency=4) as pool, trio.open_nursery() as nursery:
        began = trio.current_time()
        await pool.execute_in_session("s", "update_session_data", {"operation": "set", "key": "k", "value": 1})
        nursery.start_soon(partial(call, "old", "s", "nap", duration=10.0))
        await trio.sleep(1.0)
        await pool.end_session("s")
        with pytest.raises(trio_pool.CommandTimeout, match="had not begun"):
            await pool.execute_in_session("s", "nap", {"duration": 7.0}, timeout=2.0)
        nursery.start_soon(partial(call, "new", "s", "get_session_data"))
        await trio.testing.wait_all_tasks_blocked()
        await call("other", "t", "nap", duration=0.0)
    assert results["other at"] == pytest.approx(3.0)
    assert (results["old"], results["old at"]) == (10.0, pytest.approx(10.0))
    assert (results["new"]["data"], results["new at"]) == ({}, pytest.approx(10.0))  # type: ignore[index]  # a map
    assert [each.at - began for each in port.history if each.command == "cleanup_session"] == [pytest.approx(10.0)]
    assert not [each for each in port.history if each.args == {"duration": 7.0}]
    assert pool.get_pool_status().metrics.restarts == 0
    assert obeys_the_law(pool)


async def test_a_lease_of_a_session_that_is_ended_leaves_no_state(autojump_clock: MockClock) -> None:
    """What it still runs is cancelled when it is left, and its state dropped after that."""
    port = port_of_naps()
    async with trio_pool.open_pool(launcher=port, size=1, concurrency=4) as pool, trio.open_nursery() as nursery:

        async def nap_in_vain(worker: trio_pool.PoolWorker) -> None:
            with pytest.raises(trio_pool.CommandTimeout):
                await worker.send_command("nap", {"duration": 20.0}, 30.0)

        async with pool.checkout("s") as worker:
            await worker.send_command("update_session_data", {"operation": "set", "key": "k", "value": 1})
            nursery.start_soon(nap_in_vain, worker)  # noqa: ASYNC111  # that it outlives the lease is the test
            await trio.sleep(1.0)
            await pool.end_session("s")
            await trio.sleep(9.0)
            assert not [each for each in port.history if each.command == "cleanup_session"]
        assert (await pool.execute_in_session("s", "get_session_data"))["data"] == {}
        assert pool.get_pool_status().metrics.restarts == 0


# -- a worker that is leaving while its async commands run -------------------------------------------------------------


@contextlib.asynccontextmanager
async def leaving(port: MockPort, **options: Any) -> AsyncGenerator[tuple[trio_pool.SessionPool, str, str]]:
    """Give a pool of two workers and their names: first of the one told to leave, which has a nap to finish."""
    async with trio_pool.open_pool(launcher=port, size=2, concurrency=4, timeout=5000.0, **options) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.execute_in_session, "napping", "nap", {"duration": 1000.0})
            await trio.testing.wait_all_tasks_blocked()
            (busy,) = [info.worker_id for info in pool.get_pool_status().workers if info.status == "busy"]
            (worker,) = [each for each in port.workers if each.worker_id == busy]
            await worker.signal(signal.SIGTERM)
            yield pool, busy, "pool-1" if busy == "pool-0" else "pool-0"
        await trio.testing.wait_all_tasks_blocked()
        status = pool.get_pool_status()
        assert (status.ready, status.metrics.worker_errors) == (2, 0)
        assert obeys_the_law(pool)


async def test_a_worker_that_is_leaving_keeps_no_request_from_the_others(autojump_clock: MockClock) -> None:
    """What it is sent before the pool knows comes back at once and runs elsewhere; after that it is sent nothing."""
    port = port_of_naps()
    async with leaving(port) as (pool, busy, other):
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(pool.execute_anonymous, "nap", {"duration": 0.0})
        assert trio.current_time() == began
        assert 0 < pool.get_pool_status().metrics.redispatched <= 4
        assert {each.worker_id for each in port.history if each.args == {"duration": 0.0}} == {other}
        assert [info.begun for info in pool.get_pool_status().workers if info.worker_id == busy] == [True]


async def test_a_session_without_state_moves_from_a_worker_that_is_leaving(autojump_clock: MockClock) -> None:
    """Its request runs elsewhere at once, while one whose session has state there waits, and is lost with it."""
    port = port_of_naps()
    async with (
        trio_pool.open_pool(launcher=port, size=2, concurrency=2, timeout=5000.0, checkout_timeout=5000.0) as pool,
        trio.open_nursery() as napping,
    ):
        async with pool.checkout() as other:
            put = {"operation": "set", "key": "k", "value": 1}
            await pool.execute_in_session("kept", "update_session_data", put)
            await pool.execute_in_session("free", "ping")
            napping.start_soon(pool.execute_anonymous, "nap", {"duration": 100.0})
            await trio.testing.wait_all_tasks_blocked()
            (worker,) = [each for each in port.workers if each.worker_id != other.worker_id]
            await worker.signal(signal.SIGTERM)
        began = trio.current_time()
        outcomes: dict[str, object] = {}

        async def ask(session: str, timeout: float = 5000.0) -> None:
            try:
                outcomes[session] = await pool.execute_in_session(session, "nap", {"duration": 0.0}, timeout=timeout)
            except trio_pool.TrioPoolError as exc:
                outcomes[session] = exc
            outcomes[f"{session} at"] = trio.current_time()

        async with trio.open_nursery() as nursery:
            await ask("kept", 10.0)
            late = outcomes["kept"]
            assert isinstance(late, trio_pool.CommandTimeout)
            assert late.outcome == "not_executed"
            nursery.start_soon(ask, "kept")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask, "free")
        assert isinstance(outcomes["kept"], trio_pool.SessionLost)
        assert outcomes["kept at"] == pytest.approx(began + 100.0)
        assert (outcomes["free"], outcomes["free at"]) == (0.0, pytest.approx(began + 10.0))
        assert obeys_the_law(pool)


async def test_a_broadcast_waits_for_the_successor_of_a_worker_that_is_leaving(autojump_clock: MockClock) -> None:
    """It is not begun there, and counts where it ran."""
    port = port_of_naps()
    async with leaving(port) as (pool, busy, other):
        began = trio.current_time()

        async def ask() -> None:
            await trio.sleep(10.0)
            async with pool.checkout() as worker:  # the one that stays: the pool knows from the broadcast
                assert worker.worker_id == other
                with trio.move_on_after(1.0):
                    await pool.execute_anonymous("ping")
            assert pool.get_pool_status().metrics.redispatched == 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            assert await pool.broadcast("echo", {"value": 1}) == {busy: 1, other: 1}
        assert trio.current_time() == pytest.approx(began + 1000.0)


async def test_one_whose_caller_left_is_not_sent_again_by_a_worker_that_is_leaving(autojump_clock: MockClock) -> None:
    """Nobody waits for it, and its worker is not killed for it."""
    port = port_of_naps()
    async with leaving(port) as (pool, busy, _):
        (worker,) = [each for each in port.workers if each.worker_id == busy]
        async with pool.checkout():  # the other one
            await worker.signal(signal.SIGSTOP)  # so that it has what it is sent, and has not answered
            with trio.move_on_after(0.5):
                await pool.execute_anonymous("nap", {"duration": 7.0})
            assert pool.get_pool_status().queued == 0
            await worker.signal(signal.SIGCONT)
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        assert not [each for each in port.history if each.args == {"duration": 7.0}]
