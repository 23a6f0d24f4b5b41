"""What a comparison of pools came to: its middle and its worst, its tables and its file."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from chaos._about import NOT_INSTALLED
from chaos.cli._arguments import SITUATIONS
from chaos.cli._main import main
from chaos.comparison._results import CellResult, Compared, Spread
from chaos.comparison._situations import TITLES, Situation
from chaos.comparison._table import console_lines, markdown
from chaos.targets._peers import Peer
from chaos.targets._registry import TARGETS, missing, target_named


def cell(pool: str = "one", repetition: int = 0, **fields: Any) -> CellResult:
    given = {"version": "1.0", "situation": Situation.BUSY_KILL, **fields}
    return CellResult(pool=pool, repetition=repetition, **given)


def compared(*cells: CellResult) -> Compared:
    return Compared(cells=cells, started="2026-01-01T00:00:00Z", seconds=10.0, load=(0.5, 1.0), environment={"cpus": 2})


GOOD: dict[str, Any] = {"asked": 84, "failed": 1, "next": 0.031, "again": 0.1, "usable": 4, "closed": 0.2}


def test_the_spread_has_the_middle_and_the_worst() -> None:
    """Of two in the middle the larger counts; what never came is worse than anything."""
    assert Spread.of([3, 1, 2]) == Spread(median=2, worst=3)
    assert Spread.of([1, 2]) == Spread(median=2, worst=2)
    assert Spread.of([0.1, math.inf, 0.2]) == Spread(median=0.2, worst=math.inf)
    assert Spread.of([4, 0, 4], min) == Spread(median=4, worst=0)


def test_a_table_shows_the_middle_with_the_worst_behind_it() -> None:
    """Equal ones once; times in hundredths of seconds, and never where there is none."""
    lines = list(
        console_lines(
            compared(
                cell(**GOOD),
                cell(repetition=1, **{**GOOD, "failed": 3, "bystanders": 2, "again": None}),
                cell(repetition=2, **{**GOOD, "usable": 3, "closed": None, "left": 4, "left_for": math.inf}),
            )
        )
    )
    assert lines[1] == TITLES[Situation.BUSY_KILL]
    assert re.split("  +", lines[3].strip()) == [
        *("one", "1 (3) of 84", "0 (2)", "0", "0.03 s", "0.10 s (never)", "yes (3 of 4)"),
        *("0.20 s (never)", "0 (4) for 0.00 s (> 3 s)"),
    ]


def test_the_death_of_the_application_has_a_table_of_its_own() -> None:
    """Nobody is left to ask, so only processes count."""
    dead: dict[str, Any] = {"situation": Situation.APPLICATION}
    text = markdown(compared(cell(**dead), cell("other", left=5, left_for=math.inf, stayed=3, **dead)))
    assert "| pool | left behind | the last gone after | killed after 3 s |\n|---|---|---|---|\n" in text
    assert "| one | 0 | 0.00 s | 0 |\n| other | 5 | > 3 s | 3 |\n" in text
    assert "load of the machine 0.5 before and 1.0 after" in text
    assert "| one | 1.0 |" in text


def test_a_cell_without_a_result_is_told_and_counts_for_nothing() -> None:
    """A pool that could not be tried has a row of dashes, and the reason below; others do not mix with it."""
    lines = list(console_lines(compared(cell(trouble="no such thing"), cell("other", **GOOD))))
    assert lines[3].split() == ["one", *"--------"]
    assert lines[-1] == "one, busy-kill: 1 of 1 without a result: no such thing"
    (row,) = compared(cell(trouble="no"), cell(repetition=1, **GOOD)).rows(Situation.BUSY_KILL)
    assert (row.tried, row.failed) == (2, Spread(median=1, worst=1))


def test_the_file_has_every_cell_and_null_for_never() -> None:
    """So that any reader of JSON can take it."""
    data = json.loads(compared(cell(**{**GOOD, "again": None, "left_for": math.inf})).to_json())
    assert data["cells"][0]["again"] is None
    assert data["cells"][0]["left_for"] is None
    assert data["rows"][0]["failed"] == {"median": 1, "worst": 1}
    assert data["workers"] == 4


def test_every_situation_can_be_asked_for_and_has_a_title() -> None:
    """The command line's list, which may not import them, is the same."""
    assert list(SITUATIONS) == [situation.value for situation in Situation]
    assert list(TITLES) == list(Situation)


def test_an_unknown_pool_is_refused_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage, before anything is started."""
    assert main(["compare-pools", "--only", "lokey"]) == 64
    assert "did you mean 'loky'?" in capsys.readouterr().err


def test_pools_are_listed_that_are_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say so, none of them is imported, and a run is refused with what would help; ours can always be had."""
    monkeypatch.setattr(Peer, "version", NOT_INSTALLED)
    assert main(["list", "targets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [*TARGETS, "python:MODULE:ATTRIBUTE"]
    assert next(line for line in lines if line.startswith("pebble")).endswith(NOT_INSTALLED)
    assert not missing(target_named("trio_pool"))
    with pytest.raises(SystemExit):
        main(["run", "kill", "--target", "pebble"])
    assert "pip install 'trio_pool[bench]'" in capsys.readouterr().err
    assert main(["compare-pools", "--only", "pebble"]) == 64


def test_a_run_is_refused_whose_work_the_pool_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Workers of other pools have the built-in operations, and no application."""
    with pytest.raises(SystemExit):
        main(["run", "kill", "--set", "workload.kind=python:a.b:c", "--target", "ProcessPoolExecutor"])
    assert "workers of ProcessPoolExecutor do register, not python:a.b:c" in capsys.readouterr().err
