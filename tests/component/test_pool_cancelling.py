"""Cancellation at every checkpoint of everything a caller can wait for."""

from __future__ import annotations

import signal

import pytest
import trio
import trio.testing
from _cancelling import cancel_at_each_checkpoint
from _pools import (
    APP,
    kill,
    obeys_the_law,
    settled,
)
from _workers import PATIENCE

import trio_pool

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("busy", [False, True])
async def test_cancelling_a_command_at_every_checkpoint_loses_nothing(busy: bool) -> None:
    """Wherever execute_* is cancelled, with a free worker or in the queue, the pool is whole afterwards."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool, trio.open_nursery() as nursery:

        async def operate() -> None:
            if busy:
                nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.01})
                await trio.testing.wait_all_tasks_blocked()  # until it has the worker
            assert await pool.execute_in_session("s", "echo", {"value": "mine"}) == "mine"

        async def look() -> None:
            await settled(pool)
            assert obeys_the_law(pool)
            assert await pool.execute_anonymous("echo", {"value": "next"}) == "next"

        with trio.fail_after(6 * PATIENCE):
            assert await cancel_at_each_checkpoint(operate, look) > 1


@pytest.mark.parametrize("large", [b"x" * 5_000_000, list(range(10**9, 10**9 + 600_000))], ids=["buffer", "in band"])
async def test_cancelling_a_large_command_at_every_checkpoint_leaves_no_half_frame(large: object) -> None:
    """A caller that leaves in the middle of megabytes on their way costs neither the worker nor the next request.

    Both are several times what the socket takes at once.
    """
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool:
        before = await pool.execute_anonymous("pid")

        async def operate() -> None:
            assert await pool.execute_anonymous("echo", {"value": large}) == large

        async def look() -> None:
            await settled(pool)
            assert await pool.execute_anonymous("echo", {"value": "next"}) == "next"

        with trio.fail_after(6 * PATIENCE):
            assert await cancel_at_each_checkpoint(operate, look) > 1
        assert await pool.execute_anonymous("pid") == before
        assert obeys_the_law(pool)


async def test_a_worker_that_reads_nothing_holds_up_nobody_else() -> None:
    """Megabytes for a frozen worker wait for that worker alone; it is killed at the deadline of its request."""
    async with trio_pool.open_pool(APP, size=2, abandon_grace=0.0) as pool, trio.open_nursery() as nursery:
        victim = pool.get_pool_status().workers[1]
        kill(victim, signal.SIGSTOP)
        errors: list[type[Exception]] = []

        async def ask() -> None:
            async with pool.session() as session:
                try:
                    await session.execute("echo", {"value": b"x" * 20_000_000}, timeout=2.0)
                except trio_pool.CommandTimeout as exc:
                    errors.append(type(exc))

        for _ in range(2):  # one of the two sessions goes to each worker
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0)
        with trio.fail_after(PATIENCE):
            while not errors:
                assert await pool.execute_anonymous("quick", {"n": 1}, timeout=PATIENCE) == 2
        await settled(pool)
    assert errors == [trio_pool.CommandTimeout]


@pytest.mark.parametrize("busy", [False, True])
async def test_cancelling_a_checkout_at_every_checkpoint_loses_no_worker(busy: bool) -> None:
    """Wherever checkout() is cancelled, also in the moment the lease is granted, the worker is back."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool, trio.open_nursery() as nursery:

        async def operate() -> None:
            if busy:
                nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.01})
                await trio.testing.wait_all_tasks_blocked()  # until it has the worker
            async with pool.checkout("s") as worker:
                await worker.send_command("echo", {"value": 1}, PATIENCE)

        async def look() -> None:
            await settled(pool)
            assert obeys_the_law(pool)
            assert await pool.execute_anonymous("echo", {"value": "next"}) == "next"

        with trio.fail_after(6 * PATIENCE):
            assert await cancel_at_each_checkpoint(operate, look) > 1


async def test_cancelling_the_opening_at_every_checkpoint_leaves_nothing() -> None:
    """Wherever open_pool is cancelled, while starting, serving or closing, no process is left (the fixture looks)."""

    async def operate() -> None:
        async with trio_pool.open_pool(APP, size=2) as pool:
            assert await pool.execute_anonymous("quick", {"n": 1}) == 2

    with trio.fail_after(12 * PATIENCE):
        assert await cancel_at_each_checkpoint(operate) > 3
