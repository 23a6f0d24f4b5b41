"""Settings that no other test shows at work: each changes what the pool does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from _workers import PATIENCE

import trio_pool
from trio_pool import PoolConfig, PoolEvent

pytestmark = pytest.mark.slow


async def test_workers_get_the_environment_directory_and_interpreter_they_are_given(tmp_path: Path) -> None:
    """``env`` adds variables, ``cwd`` is where they run, ``python`` runs them; numeric libraries get one thread."""
    interpreter = tmp_path / "python"
    interpreter.symlink_to(sys.executable)
    config = PoolConfig(size=1, env={"GREETING": "hello"}, cwd=str(tmp_path), python=str(interpreter))
    async with trio_pool.open_pool(config=config) as pool:
        assert await pool.run_sync(os.getenv, "GREETING") == "hello"
        assert await pool.run_sync(os.getenv, "OMP_NUM_THREADS") == "1"
        assert await pool.run_sync(os.getcwd) == str(tmp_path)
        pid = pool.get_pool_status().workers[0].pid
        assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(os.fsencode(interpreter))  # noqa: ASYNC240  # no disk behind it


async def test_the_default_size_is_twice_the_usable_cpus() -> None:
    """A pool of no given size has two workers for each CPU this process may use."""
    async with trio_pool.open_pool() as pool:
        assert pool.get_pool_status().size == 2 * len(os.sched_getaffinity(0))


async def test_the_pools_timeout_holds_where_the_call_names_none() -> None:
    """``timeout`` is every command's budget, a call's own goes before it, and infinity is none."""
    async with trio_pool.open_pool(size=1, timeout=0.1, abandon_grace=PATIENCE) as pool:
        with pytest.raises(trio_pool.CommandTimeout):
            await pool.execute_anonymous("sleep", {"duration": 0.3})
        await pool.execute_anonymous("sleep", {"duration": 0.2}, timeout=float("inf"))


async def test_a_pool_waits_no_longer_than_its_shutdown_grace() -> None:
    """Leaving normally, a command that takes longer than ``shutdown_grace`` is not waited for."""
    errors: list[trio_pool.WorkerCrashed] = []
    async with trio.open_nursery() as nursery:
        async with trio_pool.open_pool(size=1, shutdown_grace=0.1) as pool:

            async def ask() -> None:
                with pytest.raises(trio_pool.WorkerCrashed) as caught:
                    await pool.execute_anonymous("sleep", {"duration": 60.0})
                errors.append(caught.value)

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.01)
            left = trio.current_time()
        assert 0.1 <= trio.current_time() - left < 0.1 + 2
    assert [error.reason for error in errors] == ["shutdown"]


async def test_the_same_seed_gives_the_same_restart_delays() -> None:
    """Jitter is drawn from ``seed``: two pools of one seed delay alike, another seed otherwise."""

    async def delays(seed: int) -> list[float]:
        events: list[PoolEvent] = []
        restart = {"backoff": {"initial": 0.02, "maximum": 0.05}}
        async with trio_pool.open_pool(
            "_apps:bridge", size=1, seed=seed, restart=restart, on_event=events.append
        ) as pool:
            for _ in range(4):
                with pytest.raises(trio_pool.WorkerCrashed):
                    await pool.execute_anonymous("die", {"path": os.devnull, "how": "kill"})
        return [event.delay for event in events if isinstance(event, trio_pool.RestartScheduled)][:3]

    first = await delays(1)
    assert first[0] == 0
    assert first[1] > 0
    assert await delays(1) == first
    assert await delays(2) != first


async def test_options_beside_a_config_go_before_it() -> None:
    """A keyword of open_pool changes one field of the configuration it is given with; an unknown one is refused."""
    config = PoolConfig(size=2, max_queue=7)
    async with trio_pool.open_pool(config=config, size=1) as pool:
        assert (pool.config.size, pool.config.max_queue) == (1, 7)
    with pytest.raises(ValueError, match="overflw"):
        async with trio_pool.open_pool(config=config, overflw=1):  # type: ignore[call-arg]  # the point
            pytest.fail("it cannot be open")
