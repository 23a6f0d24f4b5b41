"""What must hold of a pool of any size: the matrix runs these with one worker, four and sixteen."""

from __future__ import annotations

import math
import os
import signal
from typing import TYPE_CHECKING

import _apps
import pytest
import trio
from _pools import APP, noted, obeys_the_law, settled
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.mark.document("F-020")
async def test_every_worker_serves_at_the_same_time(tmp_path: Path, pool_size: int) -> None:
    """As many commands as workers are inside their functions at once, each in a process of its own; one more waits."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=pool_size) as pool, trio.open_nursery() as nursery:
        for token in range(pool_size + 1):
            args = {"path": str(file), "seconds": PATIENCE, "token": token}
            nursery.start_soon(pool.execute_anonymous, "note_and_wait", args)
        # Each of them waits far longer than this takes, so none has left when the last has entered.
        entered = await noted(file, pool_size)
        status = pool.get_pool_status()
        assert len({line.split()[1] for line in entered}) == pool_size
        assert (status.size, status.ready, status.busy, status.queued) == (pool_size, pool_size, pool_size, 1)
        nursery.cancel_scope.cancel()


async def test_the_death_of_all_workers_at_once_is_survived(pool_size: int) -> None:
    """Every worker is killed in the same moment; the pool comes back to full strength and serves, losing no count."""
    config = trio_pool.PoolConfig(size=pool_size, restart={"max_restarts": math.inf})
    async with trio_pool.open_pool(APP, config) as pool:
        before = {info.pid for info in pool.get_pool_status().workers}
        for pid in before:
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        async with trio.open_nursery() as nursery:
            values: list[int] = []

            async def ask(n: int) -> None:
                values.append(await pool.execute_anonymous("quick", {"n": n}))

            for n in range(3 * pool_size):
                nursery.start_soon(ask, n)
        await settled(pool)
        after = {info.pid for info in pool.get_pool_status().workers}
        metrics = pool.get_pool_status().metrics
    assert sorted(values) == [_apps.quick(n) for n in range(3 * pool_size)]
    assert len(after) == pool_size
    assert not before & after
    assert metrics.restarts == pool_size
    assert obeys_the_law(pool)
