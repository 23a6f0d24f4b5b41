"""`SessionPool` as the testing strategy wants it, over workers in memory and on the virtual clock.

Each test is named after its case there; those that follow it say what the case left out. The pool is the real one, down
to the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

import trio_pool
from trio_pool import Outcome, SessionStatus, open_pool
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool import SessionPool


async def occupied(pool: SessionPool, nursery: trio.Nursery, session: str, seconds: float) -> dict[str, object]:
    """Have a session occupy a worker, and return a mapping in which it notes when that was over."""
    over: dict[str, object] = {}

    async def sleep() -> None:
        over["result"] = await pool.execute_in_session(session, "sleep", {"duration": seconds})
        over["at"] = trio.current_time()

    nursery.start_soon(sleep)
    await trio.testing.wait_all_tasks_blocked()
    return over


# -- start_link --------------------------------------------------------------------------------------------------------


@pytest.mark.document("F-020")
async def test_a_pool_starts_with_its_name_and_size(autojump_clock: MockClock) -> None:
    """When it is open every worker is ready, and is called after the pool."""
    port = MockPort()
    async with open_pool(launcher=port, name="test_pool", size=3, checkout_timeout=0.1) as pool:
        status = pool.get_pool_status()
        assert (pool.name, status.size, status.ready, status.busy, status.queued) == ("test_pool", 3, 3, 0, 0)
        assert [info.worker_id for info in status.workers] == ["test_pool-0", "test_pool-1", "test_pool-2"]
        assert pool.config.checkout_timeout == 0.1
        assert len(port.workers) == 3
    assert not port.workers


@pytest.mark.document("F-020")
async def test_two_pools_live_side_by_side_under_different_names(autojump_clock: MockClock) -> None:
    """Each has its own workers, sessions and counts; what is asked of one the other never hears."""
    ports = MockPort(), MockPort()
    async with (
        open_pool(launcher=ports[0], name="left", size=1) as left,
        open_pool(launcher=ports[1], name="right", size=2) as right,
    ):
        args = {"operation": "set", "key": "side", "value": "left"}
        await left.execute_in_session("same", "update_session_data", args)
        assert (await right.execute_in_session("same", "get_session_data"))["data"] == {}
        assert (await left.execute_in_session("same", "get_session_data"))["data"] == {"side": "left"}
        assert {each.worker_id for each in ports[0].history} == {"left-0"}
        assert {each.worker_id.rpartition("-")[0] for each in ports[1].history} == {"right"}
        assert [pool.get_pool_status().metrics.total_operations for pool in (left, right)] == [2, 1]
        await left.end_session("same")
        assert (set(left.get_sessions()), set(right.get_sessions())) == (set(), {"same"})


@pytest.mark.document("F-020")
async def test_two_pools_may_even_share_a_launcher(autojump_clock: MockClock) -> None:
    """And a name: neither finds the other by it."""
    port = MockPort()
    async with open_pool(launcher=port, size=1) as one, open_pool(launcher=port, size=1) as other:
        assert len(port.workers) == 2
        await one.execute_anonymous("ping")
        assert [pool.get_pool_status().metrics.submitted for pool in (one, other)] == [1, 0]


# -- session management ------------------------------------------------------------------------------------------------


@pytest.mark.document("T-12", "F-021")
async def test_tracks_sessions_correctly(autojump_clock: MockClock) -> None:
    """A tracked session is known by its id, once, with when it was made and used, and without any operation."""
    async with open_pool(launcher=MockPort(), name="test_pool", size=2) as pool:
        pool.track_session("session_1")
        pool.track_session("session_2")
        await trio.sleep(3)
        pool.track_session("session_1")
        sessions = pool.get_sessions()
        assert len(sessions) == 2
        assert set(sessions) == {"session_1", "session_2"}
        first = sessions["session_1"]
        assert (first.session_id, first.status, first.incarnation) == ("session_1", SessionStatus.UNBOUND, None)
        assert (first.operations, first.last_used - first.created_at) == (0, 3)
        assert pool.get_pool_status().sessions == 2


@pytest.mark.document("T-12", "F-021", "F-023")
async def test_a_command_makes_its_session_and_counts_in_it(autojump_clock: MockClock) -> None:
    """The first use binds it to a worker; each use is an operation and touches it."""
    async with open_pool(launcher=MockPort(), size=2) as pool:
        await pool.execute_in_session("s", "ping")
        bound = pool.get_sessions()["s"]
        assert (bound.status, bound.operations) == (SessionStatus.BOUND, 1)
        await trio.sleep(9)
        await pool.execute_in_session("s", "ping")
        again = pool.get_sessions()["s"]
        assert (again.incarnation, again.operations, again.last_used - bound.last_used) == (bound.incarnation, 2, 9)


@pytest.mark.document("T-13", "F-022")
async def test_ends_sessions_and_cleans_up(autojump_clock: MockClock) -> None:
    """The id is free at once, and the worker drops what it kept; another session keeps its own."""
    port = MockPort()
    async with open_pool(launcher=port, name="test_pool", size=1) as pool:
        for session in ("temp_session", "other"):
            args = {"operation": "set", "key": "whose", "value": session}
            await pool.execute_in_session(session, "update_session_data", args)
        await pool.end_session("temp_session")
        assert set(pool.get_sessions()) == {"other"}
        assert (await pool.execute_in_session("temp_session", "get_session_data"))["data"] == {}
        assert (await pool.execute_in_session("other", "get_session_data"))["data"] == {"whose": "other"}
        told = [each.args for each in port.history if each.command == "cleanup_session"]
        assert told == [{"session_id": "temp_session"}]


@pytest.mark.document("T-13", "F-022")
async def test_ending_a_session_lets_what_runs_finish_and_fails_what_waits(autojump_clock: MockClock) -> None:
    """The running request gets its reply, the queued one `SessionNotFound`, for it never ran."""
    outcomes: list[object] = []
    port = MockPort()
    async with open_pool(launcher=port, size=1) as pool, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(trio_pool.SessionNotFound) as caught:
                await pool.execute_in_session("s", "echo", {"value": 1})
            outcomes.append((caught.value.outcome, trio.current_time()))

        over = await occupied(pool, nursery, "s", 2)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await pool.end_session("s")
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == [(Outcome.NOT_EXECUTED, 0)]
    assert over == {"result": None, "at": 2}
    assert "echo" not in {each.command for each in port.history}


@pytest.mark.document("T-14", "F-022")
async def test_handles_non_existent_session_end(autojump_clock: MockClock) -> None:
    """It is `SessionNotFound`, as is ending a session twice."""
    async with open_pool(launcher=MockPort(), name="test_pool", size=2) as pool:
        with pytest.raises(trio_pool.SessionNotFound, match="ghost_session"):
            await pool.end_session("ghost_session")
        pool.track_session("once")
        await pool.end_session("once")
        with pytest.raises(trio_pool.SessionNotFound):
            await pool.end_session("once")


# -- metrics -----------------------------------------------------------------------------------------------------------


@pytest.mark.document("T-15", "F-025", "F-026")
async def test_updates_metrics_on_operations(autojump_clock: MockClock) -> None:
    """There are none at first, and two after two; each outcome has its own count, and they add up."""
    port = MockPort()
    async with open_pool(launcher=port, size=1) as pool:
        assert pool.get_pool_status().metrics.total_operations == 0
        await pool.execute_in_session("metric_test", "ping", {})
        await pool.execute_in_session("metric_test", "ping", {})
        metrics = pool.get_pool_status().metrics
        assert (metrics.total_operations, metrics.submitted, metrics.ok, metrics.total_sessions) == (2, 2, 2, 1)

        port.expect_command("ping", error=LookupError())
        with pytest.raises(trio_pool.RemoteError):
            await pool.execute_anonymous("ping")
        with pytest.raises(trio_pool.CommandTimeout):
            await pool.execute_anonymous("sleep", {"duration": 5.0}, timeout=1)
        with trio.move_on_after(1):
            await pool.execute_anonymous("sleep", {"duration": 5.0}, checkout_timeout=60)
        metrics = pool.get_pool_status().metrics
        assert (metrics.ok, metrics.failed, metrics.timed_out, metrics.cancelled) == (2, 1, 1, 1)
        assert metrics.submitted == 5
        assert metrics.submitted == sum(
            (metrics.queued, metrics.running, metrics.ok, metrics.failed, metrics.timed_out, metrics.cancelled)
        )
        await pool.end_session("metric_test")
        assert pool.get_pool_status().metrics.average_session_duration == trio.current_time()


@pytest.mark.document("F-025")
async def test_the_status_shows_what_is_going_on(autojump_clock: MockClock) -> None:
    """Who is busy with which session, how many wait, how long the pool has been open."""
    async with open_pool(launcher=MockPort(), size=2) as pool, trio.open_nursery() as nursery:
        await trio.sleep(4)
        for session in ("a", "b", "c"):
            await occupied(pool, nursery, session, 2)
        status = pool.get_pool_status()
        assert (status.size, status.ready, status.busy, status.queued, status.sessions) == (2, 2, 2, 1, 3)
        assert status.uptime == 4
        assert {info.session_id for info in status.workers} == {"a", "b"}
        assert [(info.status, info.begun) for info in status.workers] == [("busy", True)] * 2


# -- pool overflow -----------------------------------------------------------------------------------------------------


@pytest.mark.document("T-16", "F-027")
async def test_queues_requests_when_pool_is_exhausted(autojump_clock: MockClock) -> None:
    """What finds no worker waits its turn: the second is answered the moment the first has ended."""
    async with open_pool(launcher=MockPort(), name="small_pool", size=1) as pool, trio.open_nursery() as nursery:
        over = await occupied(pool, nursery, "session_1", 0.5)
        assert pool.get_pool_status().busy == 1
        assert (await pool.execute_in_session("session_2", "ping"))["status"] == "ok"
        assert over == {"result": None, "at": 0.5}
        assert trio.current_time() == 0.5
    metrics = pool.get_pool_status().metrics
    assert (metrics.ok, metrics.timed_out, metrics.rejected) == (2, 0, 0)


@pytest.mark.document("T-16", "F-027")
async def test_what_waits_is_served_in_its_order(autojump_clock: MockClock) -> None:
    """First come, first served, whatever the session."""
    order: list[object] = []
    async with open_pool(launcher=MockPort(), size=1) as pool, trio.open_nursery() as nursery:
        await occupied(pool, nursery, "first", 1)

        async def ask(number: int) -> None:
            order.append(await pool.execute_in_session(f"s{number}", "echo", {"value": number}))

        for number in range(5):
            nursery.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.document("T-16", "F-027")
async def test_a_full_queue_refuses_at_once(autojump_clock: MockClock) -> None:
    """No time passes, nothing was sent, and it is counted as rejected."""
    port = MockPort()
    async with open_pool(launcher=port, size=1, max_queue=0) as pool, trio.open_nursery() as nursery:
        await occupied(pool, nursery, "first", 1)
        with pytest.raises(trio_pool.PoolSaturated) as caught:
            await pool.execute_anonymous("ping")
        assert (caught.value.outcome, trio.current_time()) == (Outcome.NOT_EXECUTED, 0)
        assert pool.get_pool_status().metrics.rejected == 1
    assert "ping" not in {each.command for each in port.history}


@pytest.mark.document("T-17", "F-028")
@pytest.mark.parametrize("where", ["pool", "call"])
async def test_respects_checkout_timeout(autojump_clock: MockClock, where: str) -> None:
    """After exactly so long without a worker it is `PoolTimeout`, by the pool's setting or the call's own."""
    port = MockPort()
    pools = 0.1 if where == "pool" else 5.0
    own = 0.1 if where == "call" else None
    async with (
        open_pool(launcher=port, name="timeout_pool", size=1, checkout_timeout=pools) as pool,
        trio.open_nursery() as nursery,
    ):
        over = await occupied(pool, nursery, "blocker", 0.5)
        with pytest.raises(trio_pool.PoolTimeout) as caught:
            await pool.execute_in_session("waiter", "ping", {}, checkout_timeout=own)
        assert trio.current_time() == pytest.approx(0.1)
        assert isinstance(caught.value, trio.TooSlowError)
        assert caught.value.outcome is Outcome.NOT_EXECUTED
        assert pool.get_pool_status().metrics.pool_timeouts == 1
    assert over == {"result": None, "at": 0.5}
    assert "ping" not in {each.command for each in port.history}


@pytest.mark.document("T-17", "F-028")
async def test_one_that_gave_up_waiting_holds_nobody_up(autojump_clock: MockClock) -> None:
    """The next in line is served when it would have been without it."""
    async with open_pool(launcher=MockPort(), size=1) as pool, trio.open_nursery() as nursery:
        await occupied(pool, nursery, "blocker", 2)

        async def give_up() -> None:
            with pytest.raises(trio_pool.PoolTimeout):
                await pool.execute_anonymous("sleep", {"duration": 20.0}, checkout_timeout=1)

        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        assert await pool.execute_anonymous("echo", {"value": 1}, checkout_timeout=10) == 1
        assert trio.current_time() == 2
