"""Closing a pool: bounded, with an outcome for everyone."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _pools import (
    APP,
    kill,
)

import trio_pool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.mark.document("F-033")
async def test_leaving_normally_lets_what_is_there_end() -> None:
    """Within shutdown_grace running and queued requests finish; new ones are refused."""
    values: list[object] = []
    async with trio.open_nursery() as nursery:
        async with trio_pool.open_pool(APP, size=1) as pool:

            async def ask(n: int) -> None:
                await pool.execute_anonymous("sleep", {"duration": 0.1})
                values.append(n)

            for n in range(3):
                nursery.start_soon(ask, n)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolClosed):
            await pool.execute_anonymous("ping")
        assert (await pool.health_check()).status == "unhealthy"
    assert sorted(values) == [0, 1, 2]  # type: ignore[type-var]  # they are ints


@pytest.mark.document("F-033")
async def test_closing_is_bounded_whatever_the_workers_do() -> None:
    """Frozen and busy workers: running requests crash with reason shutdown, waiting ones get PoolClosed, in two
    seconds.
    """
    results: list[tuple[str, object]] = []
    async with trio.open_nursery() as nursery:
        began = 0.0
        with pytest.raises(KeyError):  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, size=3) as pool:

                async def ask() -> None:
                    try:
                        await pool.execute_anonymous("sleep", {"duration": 60.0})
                    except trio_pool.TrioPoolError as exc:
                        results.append((type(exc).__name__, getattr(exc, "reason", None)))

                for _ in range(5):
                    nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked(0.05)
                for info in pool.get_pool_status().workers[:2]:
                    kill(info, signal.SIGSTOP)
                began = trio.current_time()
                raise KeyError("leave")
        took = trio.current_time() - began
    assert sorted(results) == [("PoolClosed", None)] * 2 + [("WorkerCrashed", "shutdown")] * 3
    assert took < 2.0


async def test_the_body_error_leaves_open_pool_unchanged() -> None:
    """No group, no copy; and a cancellation from outside is a plain one."""
    mistake = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with trio_pool.open_pool(size=1):
            raise mistake
    assert caught.value is mistake
    with trio.CancelScope() as scope:
        async with trio_pool.open_pool(size=1):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


@pytest.mark.parametrize("alone", [False, True], ids=["pool", "worker"])
def test_an_interrupt_while_workers_start_leaves_bare(alone: bool, tmp_path: Path) -> None:
    """Ctrl-C before the pool is open is a bare KeyboardInterrupt, in no group; the starting workers are gone."""
    started = tmp_path / "started"
    app = [sys.executable, "-c", f"import time; open({str(started)!r}, 'w').close(); time.sleep(600)"]

    @trio.lowlevel.enable_ki_protection  # so that the main task, which opens the pool, is the one that gets it
    async def interrupt() -> None:
        while not started.exists():  # noqa: ASYNC110  # another process makes the file; nobody tells of it
            await trio.sleep(0.005)
        signal.raise_signal(signal.SIGINT)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupt)
            opening = trio_pool.open_worker(app) if alone else trio_pool.open_pool(app, size=2)
            try:
                async with opening:
                    pytest.fail("it cannot be ready")
            except KeyboardInterrupt:
                nursery.cancel_scope.cancel()

    trio.run(main)


async def test_a_loop_around_a_closed_pool_lets_others_run() -> None:
    """A refusal at once is a checkpoint too: retrying for ever does not stop the application."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        pass
    with trio.move_on_after(0.05) as scope:
        while True:
            with contextlib.suppress(trio_pool.PoolClosed):
                await pool.execute_anonymous("ping")
    assert scope.cancelled_caught


async def test_who_waits_is_told_at_once_when_the_drain_is_cut_short() -> None:
    """Cancelled while it drains, a pool fails its waiting requests before it stops a worker, not after."""
    order: list[str] = []

    def observe(event: trio_pool.PoolEvent) -> None:
        if isinstance(event, trio_pool.WorkerExited):
            order.append("a worker is gone")

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio_pool.open_pool(APP, size=1, shutdown_grace=60.0, on_event=observe) as pool:

                async def ask() -> None:
                    try:
                        await pool.execute_anonymous("sleep", {"duration": 60.0})
                    except trio_pool.TrioPoolError as exc:
                        order.append(type(exc).__name__)

                async def cut_short() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

                # Frozen, the worker takes its time to stop, whoever asks.
                kill(pool.get_pool_status().workers[0], signal.SIGSTOP)
                for _ in range(2):
                    nursery.start_soon(ask)
                    await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(cut_short)
        assert scope.cancelled_caught
    assert order[0] == "PoolClosed"
    assert sorted(order) == ["PoolClosed", "PoolClosed", "a worker is gone"]
