"""Other pools under the harness: each adapter calls its pool as it is, and `compare-pools` tells what mishaps cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import _peer_application
import pytest
from _leaks import describe_process
from _workers import PATIENCE

from chaos.targets._registry import TARGETS, missing
from chaos.workload._ledger import BEGIN, END, entries

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PEERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(missing(target), reason=f"{name} is not installed: it is in the extra bench")
    )
    for name, target in TARGETS.items()
    if name != "trio_pool"
]


def gone(pid: int) -> bool:
    what = describe_process(pid)
    return what == "gone" or what.startswith("state Z")


@pytest.mark.parametrize("name", PEERS)
def test_an_adapter_calls_its_pool_and_closes_it(tmp_path: Path, name: str) -> None:
    """Replies and errors come back, limits and cancellation work, its workers are known, and none is left."""
    ledger = tmp_path / "ledger.bin"
    program = [sys.executable, _peer_application.__file__, name, str(ledger)]
    ended = subprocess.run(program, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    seen = json.loads(ended.stdout.splitlines()[-1])
    assert len(seen["pids"]) == _peer_application.SIZE
    assert seen["work"]["pid"] in seen["pids"]
    assert (seen["work"]["request"], len(seen["work"]["digest"])) == (7, 16)
    # Whom a fault finds by what the workers write down, while one of them runs request 8.
    ((busy, request),) = seen["busy"]
    assert (busy in seen["pids"], request) == (True, 8)
    assert seen["idle"] == [[pid, None] for pid in sorted(seen["pids"]) if pid != busy]
    assert sorted([*seen["busy"], *seen["idle"]]) == seen["serving"]
    assert seen["echo"] == "abc"
    assert "not a number" in seen["error"]
    assert seen["late"] in ("TimeoutError", "TooSlowError")
    assert seen["cancelled"] is True
    assert seen["pool"] is None
    noted = [(entry.step, entry.pid) for entry in entries(ledger.read_bytes()) if entry is not None]
    assert (BEGIN, seen["work"]["pid"]) in noted
    assert (END, seen["work"]["pid"]) in noted
    deadline = time.monotonic() + PATIENCE
    while not all(gone(pid) for pid in seen["pids"]):
        assert time.monotonic() < deadline, [describe_process(pid) for pid in seen["pids"]]
        time.sleep(0.01)


def compare(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Return what a comparison wrote."""
    results = tmp_path / "results.json"
    command = [sys.executable, "-m", "chaos", "compare-pools", "--repeat", "1", "--json", str(results), *arguments]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=90, check=False)
    assert ended.returncode == 0, ended.stdout
    written: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    written["cells"] = {(cell["pool"], cell["situation"]): cell for cell in written["cells"]}
    written["output"] = ended.stdout
    return written


def test_a_comparison_tells_what_a_death_costs(tmp_path: Path) -> None:
    """In ours one request and no worker for long; in an executor everything, for good, and workers without a master."""
    compared = compare(
        tmp_path,
        *("--only", "trio_pool", "--only", "ProcessPoolExecutor"),
        *("--situation", "busy-kill", "--situation", "application-death", "--markdown", str(tmp_path / "table.md")),
    )
    ours, theirs = (compared["cells"][pool, "busy-kill"] for pool in ("trio_pool", "ProcessPoolExecutor"))
    assert (ours["failed"], ours["bystanders"], ours["errors"], ours["usable"]) == (1, 0, {"WorkerCrashed": 1}, 4)
    assert ours["again"] is not None
    assert ours["closed"] is not None
    # What was under way on other workers may still have been answered; nothing is that was asked later.
    assert (theirs["usable"], theirs["next"]) == (0, None)
    assert theirs["bystanders"] > 0
    assert compared["cells"]["trio_pool", "application-death"]["stayed"] == 0
    assert compared["cells"]["ProcessPoolExecutor", "application-death"]["stayed"] > 0
    assert "A busy worker is killed" in compared["output"]
    assert "| trio_pool | 1 of " in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_a_pool_that_never_answers_is_ended_by_the_limits(tmp_path: Path) -> None:
    """Where the answer is lost the caller's own limit tells, and the pool is closed or killed in the end."""
    compared = compare(tmp_path, "--only", "multiprocessing.Pool", "--situation", "busy-kill")
    cell = compared["cells"]["multiprocessing.Pool", "busy-kill"]
    assert (cell["failed"], cell["hung"], cell["bystanders"]) == (1, 1, 0)
    assert cell["errors"] == {"TimeoutError": 1}


LIMITED = """
import chaos.comparison._comparison as comparison, json, trio
from chaos.comparison._situations import Situation
comparison.CELL_LIMIT = 0.05
done = lambda result, number, of: None
compared = trio.run(comparison.Comparison(done).run, ["trio_pool"], [Situation.BUSY_KILL], 1, 1)
print(compared.to_json())
"""


def test_a_cell_that_takes_too_long_is_killed_and_says_so() -> None:
    """It has no result, which is told, and leaves no process."""
    ended = subprocess.run([sys.executable, "-c", LIMITED], stdout=subprocess.PIPE, text=True, timeout=30, check=True)
    (cell,) = json.loads(ended.stdout)["cells"]
    assert cell["trouble"] == "it ended without a word"
    assert cell["stayed"] == 0
