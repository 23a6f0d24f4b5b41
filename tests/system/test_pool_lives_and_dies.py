"""A pool over its life: it leaves its healthy workers alone, and none of them outlives the application."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import _apps
import _pool_application
import pytest
import trio
from _workers import living, looks

import trio_pool

PROMISE = 1.0
"""Seconds after the application's death within which all its workers are gone."""

IDLE = 15.0
"""Seconds without work: beyond the ten after which Trio's cached thread, which forked the workers, is gone."""


@pytest.mark.slow
def test_no_worker_of_a_pool_outlives_a_killed_application(tmp_path: Path) -> None:
    """Idle, sleeping, in a Python loop, in C holding the GIL, stopped, and a worker's child: gone within a second."""
    file = tmp_path / "notes"
    script = Path(_pool_application.__file__)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(script), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            pids = {int(line.rpartition(" ")[2]): line for line in _apps.notes(file)}
            assert len(pids) == len(_pool_application.WAYS) + 2
            assert set(living(pids)) == set(pids)
            process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            for _ in looks(PROMISE):
                if not living(pids):
                    break
            left = {pids[pid] for pid in living(pids)}
            assert not left, f"alive {time.monotonic() - killed:.2f} s later"
        finally:
            process.kill()


@pytest.mark.slow
async def test_a_pool_idle_for_fifteen_seconds_has_the_same_workers() -> None:
    """Nothing kills a healthy idle worker: not the end of the thread that forked it, not the health watch."""
    async with trio_pool.open_pool(size=2, health={"interval": 1.0, "timeout": 1.0, "misses": 1}) as pool:
        before = [info.pid for info in pool.get_pool_status().workers]
        await trio.sleep(IDLE)
        assert [info.pid for info in pool.get_pool_status().workers] == before
        assert pool.get_pool_status().metrics.restarts == 0
