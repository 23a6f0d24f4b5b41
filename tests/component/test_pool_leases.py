"""Leases: exclusive use of a worker, however it ends."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _pools import (
    APP,
    obeys_the_law,
    released,
    settled,
)
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from trio_pool import PoolEvent

pytestmark = pytest.mark.slow


async def test_a_lease_is_exclusive_and_given_back() -> None:
    """While a worker is leased nobody else uses it; afterwards the oldest waiter gets it."""
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        values: list[int] = []

        async def ask() -> None:
            values.append(await pool.execute_anonymous("quick", {"n": 1}))

        async with pool.checkout("s") as worker:
            assert (worker.status, worker.session_id) == ("busy", "s")
            await worker.send_command("remember", {"key": "a", "value": 1})
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert values == []
            assert pool.get_pool_status().busy == 1
            assert obeys_the_law(pool)
        assert await pool.execute_in_session("s", "recall") == {"a": 1}
        with pytest.raises(KeyError):
            async with pool.checkout():
                raise KeyError("mine")
        assert obeys_the_law(pool)
        assert pool.get_pool_status().metrics.failed == 1
    assert values == [2]


async def test_a_lease_whose_worker_dies_ends_well() -> None:
    """The commands of the lease say so; leaving it gives back nothing that is not there."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        async with pool.checkout() as worker:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            with pytest.raises(trio_pool.WorkerCrashed):
                await worker.send_command("ping", timeout=PATIENCE)
        await settled(pool)
        assert await pool.execute_anonymous("quick", {"n": 1}) == 2
        assert obeys_the_law(pool)


async def test_a_lease_left_with_a_command_in_flight_does_not_hand_on_a_busy_worker() -> None:
    """The worker is free when its command has ended, or killed after abandon_grace."""
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.3, on_event=events.append) as pool:
        for duration, kills in ((0.1, 0), (60.0, 1)):
            async with pool.checkout() as worker:
                with pytest.raises(trio_pool.CommandTimeout):
                    await worker.send_command("sleep", {"duration": duration}, timeout=0.02)
            with trio.fail_after(PATIENCE):
                assert await pool.execute_anonymous("echo", {"value": "mine"}) == "mine"
            assert sum(isinstance(event, trio_pool.WorkerKilled) for event in events) == kills


async def test_a_lease_without_a_session_sees_no_session() -> None:
    """An anonymous lease of a worker that served a session before has no part in that session's state."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        await pool.execute_in_session("alice", "remember", {"key": "secret", "value": 1})
        async with pool.checkout() as worker:
            response = await worker.send_command("recall")
        assert isinstance(response.error, trio_pool.InvalidArguments)
        assert response.result is None


@pytest.mark.parametrize("what", ["a clean-up", "a command of the lease"])
async def test_a_lease_left_while_a_reply_is_due_ends_when_the_reply_comes(what: str) -> None:
    """Whatever the worker still answers within abandon_grace, it is free then and keeps its sessions."""
    events: list[PoolEvent] = []
    async with (
        trio_pool.open_pool(APP, size=1, abandon_grace=0.5, on_event=events.append) as pool,
        trio.open_nursery() as nursery,
    ):
        await pool.execute_in_session("other", "quick", {"n": 1})
        await pool.execute_in_session("kept", "remember", {"key": "a", "value": 1})
        async with pool.checkout() as worker:
            if what == "a clean-up":
                await pool.end_session("other")
            else:
                nursery.start_soon(worker.send_command, "sleep", {"duration": 0.05})  # noqa: ASYNC111  # the worker's end is part of the test
                await trio.testing.wait_all_tasks_blocked()
        assert await pool.execute_in_session("kept", "recall") == {"a": 1}
    assert not [event for event in events if isinstance(event, trio_pool.WorkerKilled)]


@pytest.mark.parametrize("result", ["ok", "session_cleanup"])
async def test_a_worker_checked_in_by_the_holder_of_its_lease_is_not_lost(result: str) -> None:
    """Giving the worker back by its own `checkin` inside the lease leaves the pool able to use it."""
    async with trio_pool.open_pool(APP, size=1, shutdown_grace=0.1) as pool:
        async with pool.checkout("s") as worker:
            worker.checkin(result)
        assert await pool.execute_anonymous("quick", {"n": 1}, checkout_timeout=1.0) == 2
        assert obeys_the_law(pool)


async def test_what_a_lease_does_in_a_session_that_was_ended_is_not_seen_by_the_next() -> None:
    """A session ended during its lease leaves nothing to the new session of that id."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        async with pool.checkout("s") as worker:
            await pool.end_session("s")
            await worker.send_command("remember", {"key": "old", "value": 1})
        assert await pool.execute_in_session("s", "recall") == {}


async def test_a_stalled_loop_costs_no_worker_that_a_lease_left_busy() -> None:
    """Before a worker is killed for a lease's forgotten command its socket is read: the reply may be there."""
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.15, on_event=events.append) as pool:
        for _ in range(6):  # which of timer and reader comes first after a stall is Trio's to choose
            async with pool.checkout() as worker:
                with pytest.raises(trio_pool.CommandTimeout):
                    await worker.send_command("sleep", {"duration": 0.05}, timeout=0.01)
            await trio.lowlevel.checkpoint()
            time.sleep(0.2)  # noqa: ASYNC200, ASYNC251  # the stall
            await released(pool)
    assert not [event for event in events if isinstance(event, trio_pool.WorkerKilled)]
