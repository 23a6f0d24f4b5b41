"""Deadlines, abandoned workers, stalls of the application and the watch over idle workers."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _pools import (
    APP,
    kill,
    obeys_the_law,
)
from _workers import PATIENCE

import trio_pool
from trio_pool import PoolConfig

if TYPE_CHECKING:
    from trio_pool import PoolEvent

pytestmark = pytest.mark.slow


async def test_a_command_beyond_its_budget_times_out_and_its_worker_is_replaced() -> None:
    """CommandTimeout at the deadline; the worker is killed after abandon_grace, uncharged, and nothing else suffers."""
    events: list[PoolEvent] = []
    config = PoolConfig(size=1, abandon_grace=0.05, restart={"max_restarts": 0}, on_event=events.append)
    async with trio_pool.open_pool(APP, config) as pool:
        with pytest.raises(trio_pool.CommandTimeout) as caught:
            await pool.execute_anonymous("sleep", {"duration": 60.0}, timeout=0.1)
        assert caught.value.outcome == "maybe_executed"
        assert caught.value.timeout == pytest.approx(0.1)
        assert pool.get_pool_status().busy == 1, "an abandoned worker takes nothing new"
        with trio.fail_after(PATIENCE):
            assert await pool.execute_anonymous("quick", {"n": 1}) == 2
    assert [event.reason for event in events if isinstance(event, trio_pool.WorkerKilled)] == ["timeout"]


async def test_an_abandoned_worker_that_ends_in_time_is_kept_and_its_late_reply_reaches_nobody() -> None:
    """Within abandon_grace the command ends, the worker serves on, and the next caller gets its own reply."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool:
        before = await pool.execute_anonymous("pid")
        with trio.move_on_after(0.05) as scope:
            await pool.execute_anonymous("sleep", {"duration": 0.3})
        assert scope.cancelled_caught
        assert await pool.execute_anonymous("echo", {"value": "mine"}) == "mine"
        assert await pool.execute_anonymous("pid") == before
        assert pool.get_pool_status().metrics.cancelled == 1
        assert obeys_the_law(pool)


async def test_a_blocked_loop_loses_no_reply_and_kills_no_worker() -> None:
    """The application's loop stands still for two seconds, beyond every limit: replies in the sockets still count.

    Those that waited for a worker are served too, if their budget is not spent; the one whose budget is never runs.
    """
    health = {"interval": 0.2, "timeout": 0.2, "misses": 1}
    config = PoolConfig(size=2, checkout_timeout=0.5, abandon_grace=0.0, health=health)
    async with trio_pool.open_pool(APP, config) as pool, trio.open_nursery() as nursery:
        before = {info.pid for info in pool.get_pool_status().workers}
        values: list[str] = []

        async def ask(seconds: float) -> None:
            # More than one read: whether the first comes before or after the timer wakes is Trio's to choose.
            args = {"size": 150_000, "seconds": 0.1}
            try:
                reply = await pool.execute_anonymous("produce_late", args, timeout=seconds)
                values.append(f"{len(reply)} bytes")
            except trio_pool.PoolTimeout:
                values.append("too late")

        for seconds in (1.0, 1.0, 1.5, 30.0, 30.0):
            nursery.start_soon(ask, seconds)
            await trio.testing.wait_all_tasks_blocked()
        time.sleep(2.0)  # noqa: ASYNC200, ASYNC251  # the stall itself
        await trio.sleep(0.5)  # what would go wrong then goes wrong within the health interval
        assert {info.pid for info in pool.get_pool_status().workers} == before
    assert sorted(values) == ["150000 bytes"] * 4 + ["too late"]


async def test_a_frozen_idle_worker_is_found_and_replaced() -> None:
    """Idle workers are pinged; one that does not answer is taken out of service, then killed and charged."""
    events: list[PoolEvent] = []
    health = {"interval": 0.05, "timeout": 0.1, "misses": 2}
    async with trio_pool.open_pool(APP, size=2, health=health, on_event=events.append) as pool:
        victim = pool.get_pool_status().workers[0]
        with pool.events() as stream:
            kill(victim, signal.SIGSTOP)
            with trio.fail_after(PATIENCE):
                async for event in stream:
                    if isinstance(event, trio_pool.HealthMissed):
                        assert event.slot == 0
                        assert pool.get_pool_status().workers[0].status in ("degraded", "stopping")
                    if isinstance(event, trio_pool.WorkerReady):
                        break
        assert pool.get_pool_status().workers[0].pid != victim.pid
    killed = [event for event in events if isinstance(event, trio_pool.WorkerKilled)]
    assert [(event.slot, event.reason) for event in killed] == [(0, "health")]


async def test_a_worker_that_thaws_is_in_service_again() -> None:
    """One missed ping degrades a worker; an answer restores it, and no caller paid for it."""
    health = {"interval": 0.05, "timeout": 0.1, "misses": 1000}
    async with trio_pool.open_pool(APP, size=1, health=health) as pool:
        victim = pool.get_pool_status().workers[0]
        with trio.fail_after(PATIENCE), pool.events() as stream:
            kill(victim, signal.SIGSTOP)
            async for event in stream:
                if isinstance(event, trio_pool.HealthMissed):
                    break
            assert (await pool.health_check()).status == "unhealthy"
            kill(victim, signal.SIGCONT)
            assert await pool.execute_anonymous("pid", checkout_timeout=PATIENCE) == victim.pid
            assert (await pool.health_check()).status == "healthy"
