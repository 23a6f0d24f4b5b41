"""The layers: every test is in one, each has its budget, and each command runs what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from _layers import LAYERS, Timing, layer_of, summary

ROOT = Path(__file__).parents[2]


def dry_run(target: str, *settings: str) -> str:
    """Return the commands a target would run, without what makes the environment."""
    make = ["make", "--no-print-directory", "-n", "-o", ".venv/.run", "-o", ".venv/.dev", target, *settings]
    return subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.document("F-001", "F-002", "F-003", "F-004", "F-086")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_a_folder_of_tests(name: str) -> None:
    """Each layer has its folder, and a test in it belongs to that layer and no other."""
    files = sorted((ROOT / "tests" / name).glob("test_*.py"))
    assert files
    assert {layer_of(file) for file in files} == {name}


@pytest.mark.document("F-001", "F-086")
def test_a_test_carries_the_marker_of_its_layer(request: pytest.FixtureRequest) -> None:
    """The marker is set by the folder: nobody has to remember it, and `-m unit` selects the layer."""
    assert request.node.get_closest_marker("unit") is not None
    assert all(request.node.get_closest_marker(name) is None for name in LAYERS if name != "unit")


def test_every_test_file_is_in_a_layer() -> None:
    """A test outside the four folders would be run by no command."""
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if "typing" not in file.parts]
    assert [file for file in files if layer_of(file) is None] == []


@pytest.mark.document("F-086")
def test_the_summary_counts_each_layer_and_names_who_was_slow() -> None:
    """How many tests each layer ran, how they ended, and which exceeded the budget, slowest first."""
    timings = [
        Timing("a", "unit", "passed", 0.5),
        Timing("b", "unit", "failed", 1.5),
        Timing("c", "unit", "skipped", 2.5),
        Timing("d", "stress", "passed", 700.0),
    ]
    assert summary(timings) == [
        "unit           3 tests: 1 passed, 1 failed, 1 skipped; 4.5 s, within its 60 s",
        "    over 1 s: 2.50 s  c",
        "    over 1 s: 1.50 s  b",
        "stress         1 tests: 1 passed; 700.0 s, OVER its 600 s",
        "    over 120 s: 700.00 s  d",
    ]


def test_the_summary_names_no_more_than_a_few() -> None:
    """A layer that is slow all through does not fill the screen."""
    lines = summary([Timing(str(number), "unit", "passed", 2.0) for number in range(9)])
    assert len(lines) == 1 + 5 + 1
    assert lines[-1] == "    and 4 more"


STRESS = "--storms 10 --great-storm 100000 --cycles 10000 -o faulthandler_timeout=1800"


@pytest.mark.document("F-085")
@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("test", "-m 'not (load or chaos)'"),
        ("test-fast", "tests/unit"),
        ("test-protocol", "tests/component"),
        ("test-integration", "tests/system"),
        ("test-stress", f"tests/stress -m 'not (load or chaos)' {STRESS}"),
        ("test-load", "tests/stress -m load"),
        ("test-chaos", "tests/stress -m chaos"),
        ("test-all", f"{STRESS} --document-results .document-results.json"),
    ],
)
def test_a_command_runs_its_layers(target: str, arguments: str) -> None:
    """Each test command of the strategy has its target; the one for all layers leaves nothing out."""
    assert dry_run(target, "ARGS=-k x").split() == [".venv/bin/python", "-m", "pytest", *arguments.split(), "-k", "x"]


@pytest.mark.document("F-084", "F-085")
def test_the_other_commands_exist() -> None:
    """Benchmarks, coverage, matrix and checks are one word each."""
    assert "-m chaos bench" in dry_run("bench")
    assert "-m pytest" in dry_run("coverage")
    assert ".ci/matrix.py --chaos" in dry_run("matrix", "CHAOS=1")
    assert "sphinx" in dry_run("docs")
    checks = dry_run("check")
    assert all(
        tool in checks for tool in ("ruff", "flake8-async", "mypy", "pyright", "lint-imports", "coverage", "sphinx")
    )


@pytest.mark.document("F-085")
def test_every_target_is_in_the_help() -> None:
    """Who types `make` finds every command that is meant for them."""
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"\.PHONY: ((?:.*\\\n)*.*)", makefile)[1].replace("\\\n", " ").split())  # type: ignore[index]
    parts_of_check = set(re.search(r"^check: (.*)$", makefile, re.MULTILINE)[1].split()) - {"docs"}  # type: ignore[index]
    told = set(re.findall(r"^make ([\w-]+)", dry_run("help").replace("echo '", ""), re.MULTILINE))
    assert phony - parts_of_check - {"help"} == told
