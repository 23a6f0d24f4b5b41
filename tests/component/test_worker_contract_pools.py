"""The contract of workers, fourth part: what a pool makes of them; see `test_worker_contract`."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, TypeVar

import _contract_app
import pytest
import trio
import trio.testing
from _contract import SUBJECTS, RealWorkers, subject
from _pools import obeys_the_law, settled
from _workers import PATIENCE

import trio_pool
from trio_pool import Exited, Outcome, Signaled, WorkerExited, WorkerKilled

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool import PoolEvent

    EventT = TypeVar("EventT", bound=PoolEvent)

pytestmark = pytest.mark.document("F-070")


@pytest.fixture(params=SUBJECTS)
def workers(request: pytest.FixtureRequest) -> RealWorkers:
    return subject(request.param)


@pytest.fixture
def clock(workers: RealWorkers) -> MockClock | None:
    """Return the clock of the test: workers in memory need no real time."""
    return workers.clock()


async def test_sessions_live_in_the_worker_they_are_bound_to(workers: RealWorkers, clock: MockClock | None) -> None:
    """Ten sessions on three workers keep each its own state; one that ended begins anew."""
    async with workers.pool(size=3) as pool:

        async def use(number: int) -> None:
            session = f"s{number}"
            await pool.execute_in_session(session, "remember", {"key": "n", "value": number})
            assert await pool.execute_in_session(session, "recall") == {"n": number}

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(use, number)
        await pool.end_session("s3")
        assert await pool.execute_in_session("s3", "recall") == {}
        assert await pool.execute_in_session("s4", "recall") == {"n": 4}
        assert obeys_the_law(pool)


async def test_a_killed_worker_s_sessions_are_lost_where_they_were_used(
    workers: RealWorkers, clock: MockClock | None
) -> None:
    """One that kept something is reported lost until it is ended; one that never used its state moves on silently."""
    async with workers.pool(size=1) as pool:
        await pool.execute_in_session("used", "remember", {"key": "a", "value": 1})
        await pool.execute_in_session("unused", "ping")
        with pool.events() as events:
            await workers.signal(pool.get_pool_status().workers[0], signal.SIGKILL)
            await until(events, WorkerExited)
        with pytest.raises(trio_pool.SessionLost) as caught:
            await pool.execute_in_session("used", "recall")
        assert caught.value.exit == Signaled(signal.SIGKILL)
        assert (await pool.execute_in_session("unused", "ping", checkout_timeout=PATIENCE))["status"] == "ok"
        await pool.end_session("used")
        assert await pool.execute_in_session("used", "recall") == {}


async def test_a_request_that_was_not_begun_goes_to_another_worker(
    workers: RealWorkers, clock: MockClock | None
) -> None:
    """It was written to a worker that never read it: the caller gets an answer and knows of nothing."""
    async with workers.pool(size=1) as pool:
        answers: list[object] = []
        info = pool.get_pool_status().workers[0]
        await workers.signal(info, signal.SIGSTOP)

        async def ask() -> None:
            answers.append(await pool.execute_anonymous("add", {"left": 1}, checkout_timeout=PATIENCE))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            await workers.signal(info, signal.SIGKILL)
        assert answers == [2]
        assert pool.get_pool_status().metrics.redispatched == 1
        assert obeys_the_law(pool)


async def test_a_request_that_had_begun_is_not_repeated(workers: RealWorkers, clock: MockClock | None) -> None:
    """It may have taken effect, so its caller is told; the pool is whole again afterwards."""
    async with workers.pool(size=1) as pool:
        with pytest.raises(trio_pool.WorkerCrashed) as caught:
            await pool.execute_anonymous("leave", {"code": 3})
        assert (caught.value.outcome, caught.value.exit) == (Outcome.MAYBE_EXECUTED, Exited(3))
        await settled(pool)
        assert await pool.execute_anonymous("add", {"left": 1}) == 2
        assert pool.get_pool_status().metrics.redispatched == 0


async def test_a_worker_that_is_too_slow_is_replaced(workers: RealWorkers, clock: MockClock | None) -> None:
    """The command times out, and the worker is killed after the grace; nothing of it reaches the next caller."""
    seen: list[PoolEvent] = []
    async with workers.pool(size=1, abandon_grace=0.02, on_event=seen.append) as pool:
        with pytest.raises(trio_pool.CommandTimeout):
            await pool.execute_anonymous("sleep", {"duration": 60.0}, timeout=0.05)
        assert await pool.execute_anonymous("echo", {"value": "next"}, checkout_timeout=PATIENCE) == "next"
        assert [event.reason for event in seen if isinstance(event, WorkerKilled)] == ["timeout"]
        assert pool.get_pool_status().workers[0].incarnation == 2


@pytest.mark.slow
async def test_a_frozen_idle_worker_is_found_by_its_health(workers: RealWorkers, clock: MockClock | None) -> None:
    """It misses its pings and is replaced."""
    # One that is not frozen has a second to answer, on whatever machine.
    health = {"interval": 0.05, "timeout": 1.0, "misses": 1}
    async with workers.pool(size=1, health=health) as pool:
        with pool.events() as events:
            await workers.signal(pool.get_pool_status().workers[0], signal.SIGSTOP)
            assert (await until(events, WorkerKilled)).reason == "health"
        await settled(pool)
        assert await pool.execute_anonymous("add", {"left": 1}) == 2


async def test_a_worker_that_is_asked_to_leave_is_replaced_without_blame(
    workers: RealWorkers, clock: MockClock | None
) -> None:
    """SIGTERM from outside, and a caller's ``shutdown``, are planned exits: no restart is counted."""
    seen: list[PoolEvent] = []
    async with workers.pool(size=1, on_event=seen.append, restart={"max_restarts": 0}) as pool:
        with pool.events() as events:
            await workers.signal(pool.get_pool_status().workers[0], signal.SIGTERM)
            await until(events, WorkerExited)
            await settled(pool)
            assert (await pool.execute_anonymous("shutdown"))["status"] == "shutting_down"
            await until(events, WorkerExited)
            await settled(pool)
        assert await pool.execute_anonymous("add", {"left": 1}) == 2
        exits = [event for event in seen if isinstance(event, WorkerExited)]
        assert [(event.exit, event.planned) for event in exits] == [(Exited(0), True)] * 2


async def test_a_function_runs_in_a_worker(workers: RealWorkers, clock: MockClock | None) -> None:
    """``run_sync`` calls an importable function with its arguments; one that cannot be found is refused."""
    async with workers.pool(size=1) as pool:
        assert await pool.run_sync(_contract_app.add, 7, 2) == 9
        with pytest.raises(trio_pool.RemoteError, match="LookupError: gone"):
            await pool.run_sync(_contract_app.fail, "gone")


async def until(events: trio_pool.EventStream, kind: type[EventT]) -> EventT:
    """Return the next event of a kind."""
    with trio.fail_after(PATIENCE):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError("the events ended")
