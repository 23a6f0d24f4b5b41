"""The history file: written as things happen, readable whatever happened to the writer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos._history import FLUSH_INTERVAL, History, read_history

if TYPE_CHECKING:
    from chaos._output import CannotWrite


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_records_are_numbered_and_timed_from_the_beginning(tmp_path: Path) -> None:
    """The sequence is dense from 0, time counts from the history's beginning, and what is read is what was recorded."""
    clock = Clock()
    with History(tmp_path / "history.jsonl", clock) as history:
        history.record("run", "start", seed=1)
        clock.now += 1.5
        history.record("client", "invoke", id=7)
    records = read_history(tmp_path / "history.jsonl")
    assert records == history.records
    assert records == [
        {"seq": 0, "t": 0.0, "src": "run", "type": "start", "seed": 1},
        {"seq": 1, "t": 1.5, "src": "client", "type": "invoke", "id": 7},
    ]


def test_an_urgent_record_is_in_the_file_at_once(tmp_path: Path) -> None:
    """A harness that dies right after a fault leaves a history that tells of it and of all before."""
    path = tmp_path / "history.jsonl"
    with History(path, Clock()) as history:
        history.record("client", "invoke", id=1)
        assert read_history(path) == []
        history.record("chaos", "inject", urgent=True, fault="k1")
        assert [entry["type"] for entry in read_history(path)] == ["invoke", "inject"]


def test_no_record_waits_long_behind_others(tmp_path: Path) -> None:
    """Lines older than the flush interval leave with the next record."""
    clock = Clock()
    path = tmp_path / "history.jsonl"
    with History(path, clock) as history:
        history.record("client", "invoke", id=1)
        clock.now += FLUSH_INTERVAL
        history.record("client", "invoke", id=2)
        assert len(read_history(path)) == 2


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    """The writer may die in the middle of a write; everything before stays readable."""
    path = tmp_path / "history.jsonl"
    with History(path, Clock()) as history:
        history.record("run", "start")
        history.record("run", "end")
    path.write_bytes(path.read_bytes()[:-5])
    assert [entry["type"] for entry in read_history(path)] == ["start"]


def test_a_gap_is_noticed(tmp_path: Path) -> None:
    """A history with a record missing is no evidence."""
    path = tmp_path / "history.jsonl"
    with History(path, Clock()) as history:
        for _ in range(3):
            history.record("run", "tick")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[2])
    with pytest.raises(ValueError, match="seq 2"):
        read_history(path)


def test_a_full_disk_is_told_once_and_never_raised() -> None:
    """Records come from hooks and clean-up, where an error would be lost or hide another: it goes to the callback."""
    told: list[CannotWrite] = []
    with History(Path("/dev/full"), Clock()) as history:
        history.on_failure = told.append
        history.record("run", "start", urgent=True)
        history.record("run", "end", urgent=True)
        history.flush()
        assert [entry["type"] for entry in history.records] == ["start", "end"]
    assert [str(failure) for failure in told] == ["cannot write /dev/full: No space left on device"]


def test_a_disk_that_fills_at_the_end_is_told_too() -> None:
    """The last lines are written on leaving, and their loss does not go unnoticed."""
    told: list[CannotWrite] = []
    with History(Path("/dev/full"), Clock()) as history:
        history.on_failure = told.append
        history.record("run", "start")
        assert told == []
    assert len(told) == 1
