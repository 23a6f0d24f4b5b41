"""What a pool says of itself: status, metrics, events."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _pools import (
    APP,
    obeys_the_law,
    pid_of,
)
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from trio_pool import PoolEvent, SessionPool

pytestmark = pytest.mark.slow


@pytest.mark.document("F-025")
async def test_metrics_start_at_zero_and_count_operations() -> None:
    """total_operations is 0 at first and 2 after two pings; pools side by side count for themselves."""
    async with trio_pool.open_pool(size=1, name="a") as a, trio_pool.open_pool(size=1, name="b") as b:
        assert a.get_pool_status().metrics.total_operations == 0
        await a.execute_in_session("metric_test", "ping")
        await a.execute_in_session("metric_test", "ping")
        assert a.get_pool_status().metrics.total_operations == 2
        assert a.get_pool_status().metrics.ok == 2
        assert b.get_pool_status().metrics.total_operations == 0
        assert [info.worker_id for info in b.get_pool_status().workers] == ["b-0"]


async def test_events_are_heard_from_the_subscription_on() -> None:
    """An event between subscribing and the first look is not missed; overflow is counted; the stream ends with the
    pool.
    """
    async with trio_pool.open_pool(APP, size=1) as pool:
        with pool.events(max_buffer=3) as events:
            await pool.execute_in_session("s", "quick", {"n": 1})
            first = [await events.receive() for _ in range(3)]
            assert [type(event).__name__ for event in first] == ["RequestDispatched", "SessionBound", "RequestFinished"]
            for n in range(3):
                await pool.execute_anonymous("quick", {"n": n})
            assert events.dropped == 3
        with pool.events() as late:
            pass
    with pytest.raises(trio.ClosedResourceError):
        await late.receive()


async def test_a_hook_that_raises_is_disabled_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """An observer's mistake is logged once; the pool goes on and tells its streams."""
    calls: list[PoolEvent] = []

    def hook(event: PoolEvent) -> None:
        calls.append(event)
        raise RuntimeError("observer")

    async with trio_pool.open_pool(APP, size=1, on_event=hook) as pool:
        assert await pool.execute_anonymous("quick", {"n": 1}) == 2
    assert len(calls) == 1
    assert sum("on_event" in record.getMessage() for record in caplog.records) == 1


async def test_the_law_holds_for_a_hook_that_looks() -> None:
    """The counts add up at any moment, also while an event is told."""
    broken: list[str] = []
    pools: list[SessionPool] = []

    def hook(event: PoolEvent) -> None:
        broken.extend(type(event).__name__ for pool in pools if not obeys_the_law(pool))

    async with trio_pool.open_pool(APP, size=1, on_event=hook) as pool:
        pools.append(pool)
        await pool.execute_anonymous("quick", {"n": 1})
        with pytest.raises(trio_pool.RemoteError):
            await pool.execute_anonymous("fail", {"text": "x"})
    assert broken == []


async def test_every_binding_of_a_session_is_told() -> None:
    """SessionBound comes whenever a session finds a worker, however many requests waited for that, and again."""
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=1, on_event=events.append) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.1})
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(2):
                nursery.start_soon(pool.execute_in_session, "s", "quick", {"n": 1})
        os.kill(pid_of(pool), signal.SIGKILL)
        with trio.fail_after(PATIENCE):
            while pool.get_sessions()["s"].status == "bound":  # noqa: ASYNC110  # a session's end has no event here
                await trio.sleep(0.005)
        await pool.execute_in_session("s", "quick", {"n": 1})
    bound = [event.incarnation for event in events if isinstance(event, trio_pool.SessionBound)]
    assert bound == [1, 2]


async def test_two_health_checks_at_once_are_one_miss() -> None:
    """A worker is killed after ``misses`` unanswered rounds, not the sooner the more tasks ask at the same time."""
    events: list[PoolEvent] = []
    health = {"interval": 1000.0, "timeout": 0.1, "misses": 2}
    async with trio_pool.open_pool(APP, size=1, health=health, on_event=events.append) as pool:
        os.kill(pid_of(pool), signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(pool.health_check)
        assert [event.misses for event in events if isinstance(event, trio_pool.HealthMissed)] == [1]
        os.kill(pid_of(pool), signal.SIGCONT)


def test_a_keyboard_interrupt_in_the_bookkeeping_loses_no_reply() -> None:
    """Ctrl-C that hits the task reading a reply stops the pool, but the reply that was read is delivered, once."""
    armed: list[bool] = []
    values: list[object] = []
    pools: list[SessionPool] = []

    def hook(event: PoolEvent) -> None:
        if armed and isinstance(event, trio_pool.RequestFinished):
            armed.clear()
            signal.raise_signal(signal.SIGINT)

    async def ask(pool: SessionPool) -> None:
        try:
            values.append(await pool.execute_anonymous("slow_op", {"duration": 0.05}))
        except trio_pool.TrioPoolError as exc:
            values.append(exc)

    async def main() -> None:
        async with trio.open_nursery() as nursery, trio_pool.open_pool(APP, size=1, on_event=hook) as pool:
            pools.append(pool)
            armed.append(True)
            nursery.start_soon(ask, pool)  # noqa: ASYNC111  # it outlives the pool on purpose
            await trio.sleep(PATIENCE)

    # A run of its own: Trio gives the interrupt to the main task, which under the test runner is the runner's.
    with pytest.RaisesGroup(KeyboardInterrupt):
        trio.run(main)
    assert values == [{"status": "ok", "duration": 0.05}]
    assert obeys_the_law(pools[0])
