"""Async commands side by side in one worker: cancelled, timed out, dying; over a program that speaks the protocol."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _async_worker
import pytest
import trio
import trio.testing
from _pools import kill, obeys_the_law, settled
from _workers import PATIENCE

import trio_pool
from trio_pool import CommandTimeout, WorkerCrashed, WorkerKilled, open_pool

if TYPE_CHECKING:
    from trio_pool import PoolEvent, SessionPool

pytestmark = pytest.mark.slow

WORKER = [sys.executable, str(Path(_async_worker.__file__))]
LONG = 60.0


class Callers:
    """Calls under way, and what came of each."""

    def __init__(self, pool: SessionPool, nursery: trio.Nursery) -> None:
        self.pool = pool
        self.nursery = nursery
        self.results: dict[str, object] = {}
        self.scopes: dict[str, trio.CancelScope] = {}

    def call(self, name: str, command: str, duration: float, *, session: str | None = None, **options: Any) -> None:
        async def ask() -> None:
            args = {"duration": duration, "value": name}
            with self.scopes[name]:
                try:
                    if session is None:
                        self.results[name] = await self.pool.execute_anonymous(command, args, **options)
                    else:
                        self.results[name] = await self.pool.execute_in_session(session, command, args, **options)
                except trio_pool.TrioPoolError as exc:
                    self.results[name] = exc

        self.scopes[name] = trio.CancelScope()
        self.nursery.start_soon(ask)


async def begun(pool: SessionPool, count: int) -> None:
    """Wait until the one worker has that many requests, and has begun the last of them."""
    with trio.fail_after(PATIENCE):
        while True:
            (info,) = pool.get_pool_status().workers
            if len(info.request_ids) == count:
                break
            await trio.testing.wait_all_tasks_blocked()
    # It reads what it was sent in order: whatever is answered now was read after all those.
    assert (await pool.execute_anonymous("ping"))["status"] == "ok"


def kills(events: list[PoolEvent]) -> int:
    return sum(isinstance(event, WorkerKilled) for event in events)


async def test_a_cancelled_async_command_harms_none_beside_it() -> None:
    """Four run at once in one worker; one is cancelled and acknowledged, three end, nobody is killed."""
    events: list[PoolEvent] = []
    async with open_pool(WORKER, size=1, concurrency=4, on_event=events.append) as pool:
        async with trio.open_nursery() as nursery:
            callers = Callers(pool, nursery)
            for name in "abcd":
                callers.call(name, "nap", LONG if name == "b" else 0.3)
            await begun(pool, 4)
            assert (await pool.execute_anonymous("ping"))["most"] == 4
            callers.scopes["b"].cancel()
        assert callers.results == {"a": "a", "c": "c", "d": "d"}
        await settled(pool)
        assert kills(events) == 0
        assert pool.get_pool_status().metrics.restarts == 0
        assert pool.get_pool_status().metrics.cancelled == 1
        assert obeys_the_law(pool)


async def test_a_timed_out_async_command_harms_none_beside_it() -> None:
    """As one that is cancelled: the worker ends it when told, and serves on."""
    events: list[PoolEvent] = []
    async with open_pool(WORKER, size=1, concurrency=2, on_event=events.append) as pool:
        async with trio.open_nursery() as nursery:
            callers = Callers(pool, nursery)
            callers.call("late", "nap", LONG, timeout=0.1)
            callers.call("other", "nap", 0.3)
        assert isinstance(callers.results["late"], CommandTimeout)
        assert callers.results["other"] == "other"
        await settled(pool)
        assert (kills(events), pool.get_pool_status().metrics.restarts) == (0, 0)


async def test_an_abandoned_worker_takes_nothing_though_it_has_room() -> None:
    """Until what was abandoned there has ended; what it ran beside that ends in peace."""
    events: list[PoolEvent] = []
    async with open_pool(WORKER, size=1, concurrency=4, abandon_grace=30.0, on_event=events.append) as pool:
        async with trio.open_nursery() as nursery:
            callers = Callers(pool, nursery)
            callers.call("left", "stubborn", 0.4)
            callers.call("beside", "nap", 0.1)
            await begun(pool, 2)
            callers.scopes["left"].cancel()
            await trio.testing.wait_all_tasks_blocked()
            callers.call("later", "nap", 0.0)
            await trio.testing.wait_all_tasks_blocked()
            assert pool.get_pool_status().queued == 1
        assert callers.results == {"beside": "beside", "later": "later"}
        late = [event for event in events if isinstance(event, trio_pool.RequestDispatched)][-1]
        ends = [event for event in events if isinstance(event, trio_pool.RequestFinished)]
        assert late.at >= ends[0].at
        assert kills(events) == 0


async def test_one_that_does_not_end_in_its_grace_costs_the_worker() -> None:
    """And what ran beside it fails with it, having begun: that is said, and the kill is charged to nobody."""
    events: list[PoolEvent] = []
    async with open_pool(WORKER, size=1, concurrency=4, abandon_grace=0.2, on_event=events.append) as pool:
        async with trio.open_nursery() as nursery:
            callers = Callers(pool, nursery)
            callers.call("left", "stubborn", LONG)
            callers.call("beside", "nap", LONG)
            await begun(pool, 2)
            callers.scopes["left"].cancel()
        error = callers.results["beside"]
        assert isinstance(error, WorkerCrashed)
        assert (error.reason, error.outcome) == ("cancelled", "maybe_executed")
        await settled(pool)
        (killed,) = [event for event in events if isinstance(event, WorkerKilled)]
        assert killed.reason == "cancelled"
        exits = [event for event in events if isinstance(event, trio_pool.WorkerExited)]
        assert [event.planned for event in exits] == [True]


async def test_a_request_not_begun_is_taken_back_without_a_kill() -> None:
    """The worker was frozen when it was sent and cancelled: it finds the cancel behind it, and never runs it."""
    events: list[PoolEvent] = []
    async with open_pool(WORKER, size=1, concurrency=4, abandon_grace=30.0, on_event=events.append) as pool:
        (info,) = pool.get_pool_status().workers
        assert info.pid is not None
        async with trio.open_nursery() as nursery:
            callers = Callers(pool, nursery)
            kill(info, signal.SIGSTOP)
            callers.call("left", "nap", LONG)
            await trio.testing.wait_all_tasks_blocked()
            callers.scopes["left"].cancel()
            await trio.testing.wait_all_tasks_blocked()
            os.kill(info.pid, signal.SIGCONT)
        await settled(pool)
        assert (await pool.execute_anonymous("ping"))["most"] == 0
        assert (kills(events), pool.get_pool_status().metrics.restarts) == (0, 0)


async def test_a_death_is_each_request_s_own_matter() -> None:
    """Those begun fail, those not begun run elsewhere, in their order."""
    told: list[trio_pool.PoolEvent] = []
    async with open_pool(WORKER, size=1, concurrency=3, on_event=told.append) as pool:
        (info,) = pool.get_pool_status().workers
        async with trio.open_nursery() as nursery:
            callers = Callers(pool, nursery)
            callers.call("begun", "nap", LONG)
            await begun(pool, 1)
            kill(info, signal.SIGSTOP)
            for name in ("first", "second"):
                callers.call(name, "nap", 0.0)
                await trio.testing.wait_all_tasks_blocked()
            kill(info)
        assert isinstance(callers.results["begun"], WorkerCrashed)
        assert {name: callers.results[name] for name in ("first", "second")} == {"first": "first", "second": "second"}
        again = [
            event.request_id
            for event in told
            if isinstance(event, trio_pool.RequestDispatched) and event.incarnation != info.incarnation
        ]
        assert again == sorted(again)
        assert len(again) == 2
        assert pool.get_pool_status().metrics.redispatched == 2
        assert obeys_the_law(pool)


async def test_a_cancel_and_a_death_at_once_leave_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """The abandoned request is nobody's, the other's worker is gone, and the law holds."""
    async with open_pool(WORKER, size=1, concurrency=2, abandon_grace=0.1) as pool:
        (info,) = pool.get_pool_status().workers
        async with trio.open_nursery() as nursery:
            callers = Callers(pool, nursery)
            callers.call("left", "nap", LONG)
            callers.call("beside", "nap", LONG)
            await begun(pool, 2)
            kill(info)
            callers.scopes["left"].cancel()
        assert isinstance(callers.results["beside"], WorkerCrashed)
        await settled(pool)
        await trio.sleep(0.2)  # beyond the grace: no timer may stumble over what is gone
        assert await pool.execute_anonymous("nap", {"duration": 0.0, "value": 1}) == 1
        assert obeys_the_law(pool)
    # What else would be in the log is the death of a task of the pool's own.
    assert {getattr(record, "child_id", None) for record in caplog.records} == {"pool-0"}


async def test_a_blocked_loop_loses_no_async_reply_and_kills_no_worker() -> None:
    """Replies that came in time count, however late they are read; also those to what was abandoned."""
    events: list[PoolEvent] = []
    beside = "beside" * 25_000  # more than one read: whether the first comes before the timer is Trio's to choose
    async with open_pool(WORKER, size=1, concurrency=3, abandon_grace=0.3, on_event=events.append) as pool:
        async with trio.open_nursery() as nursery:
            callers = Callers(pool, nursery)
            callers.call("left", "stubborn", 0.25)
            callers.call(beside, "nap", 0.2, timeout=0.4)
            await begun(pool, 2)
            callers.scopes["left"].cancel()
            await trio.testing.wait_all_tasks_blocked()
            signal.sigtimedwait([], 0.8)  # the application's own mistake: it blocks its loop
        assert callers.results == {beside: beside}
        await settled(pool)
        assert (kills(events), pool.get_pool_status().metrics.restarts) == (0, 0)


async def test_commands_declared_concurrent_run_beside_their_session_s_others() -> None:
    """On its worker; those that are not run one at a time, in order."""
    async with open_pool(WORKER, size=2, concurrency=4) as pool, trio.open_nursery() as nursery:
        callers = Callers(pool, nursery)
        callers.call("first", "nap", LONG, session="s")
        await trio.testing.wait_all_tasks_blocked()
        callers.call("second", "nap", 0.0, session="s")
        callers.call("aside", "aside", LONG, session="s")
        await trio.testing.wait_all_tasks_blocked()
        status = pool.get_pool_status()
        assert status.queued == 1
        assert sorted(len(info.request_ids) for info in status.workers) == [0, 2]
        callers.scopes["aside"].cancel()
        callers.scopes["first"].cancel()
    assert callers.results == {"second": "second"}


async def test_a_lease_waits_until_its_worker_runs_nothing() -> None:
    """And nothing starts before it meanwhile, though there is room."""
    async with open_pool(WORKER, size=1, concurrency=4) as pool, trio.open_nursery() as nursery:
        callers = Callers(pool, nursery)
        callers.call("before", "nap", LONG)
        await begun(pool, 1)

        async def borrow() -> None:
            async with pool.checkout() as worker:
                status = pool.get_pool_status()
                assert (status.metrics.cancelled, status.queued) == (1, 1)
                assert (await worker.send_command("ping")).success

        nursery.start_soon(borrow)
        await trio.testing.wait_all_tasks_blocked()
        callers.call("after", "nap", 0.0)
        await trio.testing.wait_all_tasks_blocked()
        callers.scopes["before"].cancel()


async def test_run_sync_of_a_function_called_like_an_async_command_is_sync() -> None:
    """What a function is called says nothing about how it runs."""
    async with open_pool(WORKER, size=1, concurrency=4, abandon_grace=0.0) as pool, trio.open_nursery() as nursery:
        callers = Callers(pool, nursery)
        callers.call("hog", "hog", LONG)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pool.run_sync, nap)
        await trio.testing.wait_all_tasks_blocked()
        assert pool.get_pool_status().queued == 1
        callers.scopes["hog"].cancel()


def nap() -> None:
    """Bear a name."""
