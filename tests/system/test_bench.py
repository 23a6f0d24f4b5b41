"""The benchmarks as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.document("F-084")]

DOCUMENTED = ["single_session", "concurrent_sessions", "session_creation"]


def bench(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chaos", "bench", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


@pytest.mark.document("F-075")
def test_the_benchmarks_of_the_testing_strategy_are_measured_and_shown(tmp_path: Path) -> None:
    """Each with its numbers in order and beside what is expected, on the screen and in the file, and nothing else."""
    only = [word for name in DOCUMENTED for word in ("--only", name)]
    done = bench(*only, "--iterations", "30", "--json", "bench.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [word for name in DOCUMENTED for word in (name, "expected")]
    assert all(line.split()[-1] == "30" for line in lines[2::2])
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert kept["comparisons"] == []
    assert [result["name"] for result in kept["benchmarks"]] == DOCUMENTED
    for result in kept["benchmarks"]:
        timings = result["timings"]
        assert timings["count"] == 30
        assert 0 < timings["min"] <= timings["median"] <= timings["p95"] <= timings["p99"] <= timings["max"]
        assert timings["min"] <= timings["mean"] <= timings["max"]


def test_what_has_a_target_is_measured_and_shown_beside_it(tmp_path: Path) -> None:
    """Every one of them for its own number of times; nobody who waits behind a killed worker goes without an answer."""
    names = {"parallel": 3, "handover": 20, "refusal": 20, "recovery": 3, "standby": 3}
    kept: dict[str, dict[str, Any]] = {}
    for times in (3, 20):
        only = [word for name, count in names.items() if count == times for word in ("--only", name)]
        done = bench(*only, "--iterations", str(times), "--json", "bench.json", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        kept.update({result["name"]: result for result in json.loads((tmp_path / "bench.json").read_text())["targets"]})
        assert len(done.stdout.splitlines()) == 1 + len(only) // 2
    assert {name: result["times"]["count"] for name, result in kept.items()} == names
    assert [name for name, result in kept.items() if result["target"] is None] == ["recovery"]
    assert kept["standby"]["failed"] == kept["recovery"]["failed"] == 0
    # Three waves of half a second cannot take less, and a standby is there sooner than a worker can be started.
    assert kept["parallel"]["times"]["minimum"] >= 1.5
    assert kept["standby"]["times"]["minimum"] < kept["recovery"]["times"]["minimum"]


def test_results_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    """A file that cannot be written has its exit code, after the results were shown."""
    done = bench("--only", "single_session", "--iterations", "1", "--json", "missing/bench.json", cwd=tmp_path)
    assert done.returncode == 74
    assert "single_session" in done.stdout
    assert "No such file or directory" in done.stderr
