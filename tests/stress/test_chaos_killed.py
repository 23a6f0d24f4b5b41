"""The harness itself, killed at random instants: what it leaves is a history, and nothing else."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from _chaos_processes import Run, await_gone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

AT_ONCE = 5
"""Runs side by side: each mostly waits."""


@pytest.mark.parametrize("batch", range(10))
def test_fifty_deaths_leave_no_process_and_a_history(tmp_path: Path, batch: int) -> None:
    """At whatever moment: application and workers go with it, stopped ones and those with lowered limits too."""
    chance = random.Random(batch)  # noqa: S311  # any moments will do
    with ExitStack() as stack:
        runs: list[tuple[float, Run]] = []
        for number in range(AT_ONCE):
            directory = tmp_path / str(number)
            directory.mkdir()
            run = Run(directory, seconds=60.0, seed=batch * AT_ONCE + number)
            stack.callback(run.end)
            runs.append((chance.uniform(0.0, 4.0), run))
        start = time.monotonic()
        for after, run in sorted(runs, key=lambda each: each[0]):
            time.sleep(max(0.0, start + after - time.monotonic()))
            run.end()
            # One that died before its application wrote a line has nothing to be read.
            if run.records():
                await_gone(run.pids())
                assert run.records()[0]["type"] == "start"
                run.evidence()
