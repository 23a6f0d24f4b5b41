"""What a run leaves, read back: all of it, and nothing that is not what a run writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from _chaos_runs import HOSTILE, PLAN, REPLAY, RUNS, passed, store

from chaos._evidence import NoEvidence, read_evidence

if TYPE_CHECKING:
    from pathlib import Path


LONG = f'"begun":{json.dumps(HOSTILE * 20)}'


@pytest.mark.parametrize("name", RUNS)
def test_what_was_stored_is_read_back(tmp_path: Path, name: str) -> None:
    """A run is judged by its files exactly as it was judged when it ended."""
    told = RUNS[name]()
    store(told, tmp_path)
    evidence = read_evidence(tmp_path)
    assert evidence == told.evidence()
    if told.records:
        assert (evidence.replay, evidence.environment["cpus"]) == (REPLAY, 2)


def test_a_ledger_with_half_a_line_is_read(tmp_path: Path) -> None:
    """A worker that was killed while it wrote leaves half a nonce, which counts for no request."""
    told = passed()
    store(told, tmp_path)
    with (tmp_path / "executions.log").open("ab") as file:
        file.write(b"\n\nnon\xc3")
    executions = dict(read_evidence(tmp_path).executions)
    assert executions.pop("non\N{REPLACEMENT CHARACTER}") == 1
    assert executions == told.executions


@pytest.mark.parametrize("missing", ["plan.json", "history.jsonl", "executions.log"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    """Without one of the three there is nothing to judge, and the reason names it."""
    store(passed(), tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(NoEvidence, match=rf"cannot read .*{missing}: No such file or directory$"):
        read_evidence(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("plan.json", lambda text: text.replace('"workers": 2', '"workers": "2"'), "not as a plan is written"),
        ("plan.json", lambda text: text.replace('"seed": 7', '"seed": 8'), "the history of another plan"),
        ("plan.json", lambda text: text.replace('"seed": 7', '"seed": 7, "more": 1'), "plan.json"),
        ("plan.json", lambda text: text.replace('"duration": 8.0', '"duration": NaN'), "NaN is no number"),
        ("plan.json", lambda _: "[" * 100_000, "RecursionError"),
        ("plan.json", lambda _: "[]", "plan.json"),
        ("history.jsonl", lambda text: text.replace('"seq":3', '"seq":4'), "record 3 carries seq 4"),
        ("history.jsonl", lambda text: "{}\n" + text, "history.jsonl"),
        ("history.jsonl", lambda text: "7\n" + text, "history.jsonl"),
        ("history.jsonl", lambda text: text.replace('"slot":0', '"slot":"0"', 1), "slot cannot be '0'"),
        ("history.jsonl", lambda text: text.replace('"slot":0', '"slot":true', 1), "slot cannot be True"),
        ("history.jsonl", lambda text: text.replace('"slot":0,', "", 1), "slot is missing"),
        ("history.jsonl", lambda text: text.replace('"t":0.001', '"t":1e999', 1), "t is no number"),
        ("history.jsonl", lambda text: text.replace('"src":"run"', '"src":7', 1), "src and type must be text"),
        (
            "history.jsonl",
            lambda text: text.replace('"begun":true', f'"begun":{json.dumps(HOSTILE * 20)}'),
            "begun cannot be",
        ),
    ],
)
def test_what_no_run_writes_is_refused(tmp_path: Path, name: str, change: object, complaint: str) -> None:
    """Nothing is judged by a file that was changed into something else, and the reason is told."""
    store(passed(), tmp_path)
    path = tmp_path / name
    before = path.read_text()
    path.write_text(change(before))  # type: ignore[operator]  # a function, in the table above
    assert path.read_text() != before
    with pytest.raises(NoEvidence, match=complaint) as refused:
        read_evidence(tmp_path)
    assert len(str(refused.value)) < 500


def test_a_plan_read_back_is_the_plan(tmp_path: Path) -> None:
    """Its text, and with it its SHA-256, is the same."""
    store(passed(), tmp_path)
    assert read_evidence(tmp_path).plan.to_json() == PLAN.to_json()
