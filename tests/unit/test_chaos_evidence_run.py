"""Evidence: a run's files read back and joined, whole or as a killed application leaves them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from _chaos_story import Story, nonce_of
from _zoo_run import crash_loop
from _zoo_world import Bug
from hypothesis import given
from hypothesis import strategies as st

from chaos.checking._table import check_all
from chaos.evidence._evidence import Ending, make_evidence, read_evidence
from chaos.evidence._ledger_reading import split_ledger
from chaos.evidence._records import NoEvidence
from chaos.scenario._fault import Capability, FaultSpec, Trigger
from chaos.scenario._plan import Strike
from chaos.workload._ledger import BEGIN, SIZE

if TYPE_CHECKING:
    from pathlib import Path


class Murder(FaultSpec):
    """The application's own death."""

    kind = "murder"
    needs = frozenset({Capability.APPLICATION})
    heals = False


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run, by name."""
    directory = tmp_path_factory.mktemp("run")
    crash_loop(directory, Bug.NONE)
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def write(directory: Path, files: dict[str, bytes]) -> Path:
    """Lay files out as a run's directory."""
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return directory


# -- joining -----------------------------------------------------------------------------------------------------------


def test_three_witnesses_are_joined_by_the_request() -> None:
    """What the client asked, what the pool did with it and where the ledger has it, under one id."""
    story = Story()
    story.started(1)
    story.invoke(7)
    story.handed(1)
    story.ran(7, pid=101)
    story.finished(1)
    story.ok(7)
    story.injected("kill", 1, occurrence=3)
    story.worker("WorkerExited", 1)
    story.ends()
    evidence = story.evidence()
    request = evidence.requests[7]
    assert (request.number, request.type, len(request.dispatches), request.error) == (1, "ok", 1, None)
    assert request.finished is not None
    (execution,) = request.executions
    assert (execution.nonce, execution.life) == (int(nonce_of(7), 16), evidence.lives[1])
    assert "slot 0, incarnation 1" in execution.where
    life = evidence.lives[1]
    assert (life.pid, life.slot, life.exit) == (101, 0, story.records[-6])
    (occurrence,) = evidence.occurrences
    assert (occurrence.name, occurrence.kind, occurrence.incarnations) == ("fault kill #3", "kill", frozenset({1}))
    assert evidence.ending is Ending.COMPLETE


def test_the_pools_numbers_are_given_in_the_order_of_the_calls() -> None:
    """Also where a later request is served first, and one was refused before it had a number."""
    story = Story()
    story.invoke(0)
    story.invoke(1)
    story.failed(1, "PoolClosed", "not_executed", request_id=None)
    story.invoke(2)
    story.handed(2)
    story.handed(1, 2)
    story.finished(2)
    story.ok(2)
    story.finished(1, 2)
    story.ok(0)
    requests = story.evidence().requests
    assert {number: request.number for number, request in requests.items()} == {0: 1, 1: None, 2: 2}


@pytest.mark.parametrize("how", ["too early", "too late", "another number", "too many"])
def test_a_number_that_does_not_fit_is_nobodys(how: str) -> None:
    """What somebody else asks shifts the order, and then nothing of that kind is believed."""
    story = Story()
    if how == "too early":
        story.handed(1)
    story.invoke(0)
    if how == "too many":
        story.handed(1)
        story.handed(2)
    if how == "another number":
        story.handed(1)
        story.failed(0, "WorkerCrashed", request_id=9)
    elif how == "too late":
        story.ok(0)
        story.handed(1)
    evidence = story.evidence()
    assert evidence.requests[0].number is None
    assert evidence.found.foreign


@pytest.mark.parametrize("others", [0, 1])
def test_what_is_told_of_who_had_given_up_is_his_if_nobody_else_can_be_meant(others: int) -> None:
    """A pool that did not notice is found out by it; with more requests than numbers it may be another's."""
    story = Story()
    story.invoke(0)
    story.cancelled(0)
    if others:
        story.invoke(1)
    story.handed(1)
    evidence = story.evidence()
    assert evidence.requests[0].number == (None if others else 1)
    assert bool(evidence.found.foreign) == bool(others)


def test_times_of_both_clocks_are_the_historys() -> None:
    """The ledger's nanoseconds are those of the machine, the history's seconds begin with the run."""
    story = Story()
    story.records[0]["monotonic_ns"] = 5 * 10**9
    story.invoke(0)
    story.step(0, BEGIN, at=7.5, execution=1)
    (execution,) = story.evidence().executions
    assert execution.begin == pytest.approx(2.5)


def test_planned_strikes_that_left_no_record_are_there() -> None:
    """So that nobody takes what never happened for what went well."""
    story = Story(faults=[Murder(name="murder", at=Trigger(time=1.0))])
    strike = Strike(fault="murder", occurrence=0, at=1.0, choice=0.5, offset=0.5)
    story.plan = type(story.plan)(scenario=story.plan.scenario, seed=1, visits=(), strikes=(strike,))
    (occurrence,) = story.evidence().occurrences
    assert (occurrence.injects, occurrence.begin, occurrence.kind) == ([], float("inf"), "murder")


def test_the_end_of_a_run_is_told_apart() -> None:
    """Complete, interrupted, never started, cut short, or struck by a fault that kills the application."""
    story = Story(faults=[Murder(name="murder", at=Trigger(time=1.0))])
    assert story.evidence().ending is Ending.CUT_SHORT
    story.injected("murder", None, kind="murder")
    assert story.evidence().ending is Ending.STRUCK
    story.run("end")
    assert story.evidence().ending is Ending.COMPLETE
    story.run("interrupted", signal="SIGINT")
    assert story.evidence().ending is Ending.INTERRUPTED
    story.run("not_started", error="no such app")
    assert story.evidence().ending is Ending.NOT_STARTED


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_run_is_read_back_from_its_directory(left: dict[str, bytes], tmp_path: Path) -> None:
    """Plan, history, ledger and log."""
    evidence = read_evidence(write(tmp_path, left))
    assert evidence.plan.scenario.name == "zoo-loop"
    assert len(evidence.records) == left["history.jsonl"].count(b"\n")
    assert evidence.ledger is not None
    assert len(evidence.ledger) == len(left["ledger.bin"]) // SIZE
    assert evidence.damaged == 0
    assert evidence.log == ["toy-0 started"]


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8, 0.95, 0.98])
@pytest.mark.parametrize("shift", range(4))
def test_a_run_that_was_killed_at_any_instant_can_be_judged(
    left: dict[str, bytes], tmp_path: Path, share: float, shift: int
) -> None:
    """A history and a ledger that stop in the middle of a line are read, and no whole pool is blamed for it."""
    history, ledger = left["history.jsonl"], left["ledger.bin"]
    files = {
        **left,
        "history.jsonl": history[: int(len(history) * share) + shift],
        "ledger.bin": ledger[: int(len(ledger) * share) + 16 * shift],
    }
    evidence = read_evidence(write(tmp_path, files))
    assert evidence.ending is Ending.CUT_SHORT
    findings = {finding.checker: finding for finding in check_all(evidence)}
    assert not [finding.text for finding in findings.values() if "the checker itself failed" in finding.text]
    assert findings["C1"].judgement == "unknown"
    # The ledger was cut as well, so an answer may lack its execution; nothing else is missing.
    assert {number for number, finding in findings.items() if finding.judgement == "fail"} <= {"C3"}


def test_a_run_without_ledger_and_log_is_read(left: dict[str, bytes], tmp_path: Path) -> None:
    """They are missing, which their checkers say."""
    evidence = read_evidence(write(tmp_path, {name: left[name] for name in ("plan.json", "history.jsonl")}))
    assert (evidence.ledger, evidence.log) == (None, None)


@pytest.mark.parametrize("missing", ["plan.json", "history.jsonl"])
def test_a_directory_without_plan_or_history_is_no_run(left: dict[str, bytes], tmp_path: Path, missing: str) -> None:
    """It says which file is missing."""
    directory = write(tmp_path, {name: data for name, data in left.items() if name != missing})
    with pytest.raises(NoEvidence, match=missing):
        read_evidence(directory)


BAD = [
    {"seq": 7},
    {"seq": True},
    {"t": "soon"},
    {"t": -1.0},
    {"type": 3},
    {"src": None},
    {"incarnation": "one"},
    {"incarnation": True},
    {"slot": None},
    {"pid": 1.5},
]


@pytest.mark.parametrize("fields", BAD, ids=str)
def test_a_record_that_no_run_writes_is_refused(fields: dict[str, Any]) -> None:
    """Field by field, before anything relies on it; the message says which."""
    story = Story()
    story.started(1)
    story.records[-1] |= fields
    with pytest.raises(NoEvidence, match="record 2"):
        story.evidence()


def test_a_record_that_lacks_a_field_is_refused() -> None:
    """What a reader relies on must be there."""
    story = Story()
    story.started(1)
    del story.records[-1]["slot"]
    with pytest.raises(NoEvidence, match="record 2: slot is missing"):
        story.evidence()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b"\n", b"\nrubbish\n", 1),
        lambda data: b"[]\n" + data,
        lambda data: b'{"seq": 0, "t": NaN, "src": "run", "type": "x"}\n' + data,
        lambda data: data.replace(b'"target":"toy"', b'"target":"toy","x":NaN'),
        lambda data: data[data.index(b"\n") + 1 :],
        lambda data: b"\xff\xfe" + data,
        lambda data: b"[" * 100_000 + b"\n" + data,
        lambda _data: b"",
    ],
)
def test_a_history_that_is_none_is_refused_in_a_line(left: dict[str, bytes], tmp_path: Path, damage: Any) -> None:
    """Whoever wrote it, an error in one line is all that comes of it."""
    directory = write(tmp_path, {**left, "history.jsonl": damage(left["history.jsonl"])})
    with pytest.raises(NoEvidence) as caught:
        read_evidence(directory)
    assert len(str(caught.value).splitlines()) == 1


def test_the_history_of_another_plan_is_refused(left: dict[str, bytes], tmp_path: Path) -> None:
    """A plan that was edited after the run is not the one that was carried out."""
    plan = json.loads(left["plan.json"])
    plan["seed"] = plan["scenario"]["seed"] = 2
    directory = write(tmp_path, {**left, "plan.json": json.dumps(plan).encode()})
    with pytest.raises(NoEvidence, match="another plan"):
        read_evidence(directory)


# -- the ledger --------------------------------------------------------------------------------------------------------


def ledger_of(records: int) -> bytes:
    """A ledger of so many records."""
    story = Story()
    for number in range(records):
        story.step(number, BEGIN, at=0.1, execution=number + 1)
    return bytes(story.ledger or b"")


@given(records=st.integers(0, 6), cut=st.integers(0, SIZE))
def test_a_ledger_that_was_cut_loses_its_last_record_alone(records: int, cut: int) -> None:
    """Whatever was left of it."""
    data = ledger_of(records)
    kept = data[: max(0, len(data) - cut)]
    found, damaged = split_ledger(kept)
    assert [entry.request for entry in found] == list(range(len(kept) // SIZE))
    assert damaged == (len(kept) % SIZE > 0)


@given(records=st.integers(1, 6), at=st.integers(0, 5), torn=st.integers(1, SIZE - 1))
def test_what_follows_a_torn_record_is_found(records: int, at: int, torn: int) -> None:
    """A record has one size, a torn one has not: the next one is found by its magic number."""
    data = ledger_of(records + 1)
    at = min(at, records - 1)
    broken = data[: at * SIZE + torn] + data[(at + 1) * SIZE :]
    found, damaged = split_ledger(broken)
    assert [entry.request for entry in found] == [number for number in range(records + 1) if number != at]
    assert damaged == 1


@given(records=st.integers(1, 5), byte=st.integers(0, 5 * SIZE - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_costs_one_record(records: int, byte: int, bit: int) -> None:
    """Its checksum tells."""
    data = bytearray(ledger_of(records))
    byte %= len(data)
    data[byte] ^= 1 << bit
    found, damaged = split_ledger(bytes(data))
    assert [entry.request for entry in found] == [number for number in range(records) if number != byte // SIZE]
    assert damaged == 1


def test_no_rubbish_makes_an_execution() -> None:
    """What is not a record is none, however much of it there is."""
    found, damaged = split_ledger(b"tpL1" * 1000)
    assert (found, damaged) == ([], 1)
    assert make_evidence(Story().plan, Story().records, b"rubbish").executions == []
