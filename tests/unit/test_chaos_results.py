"""Results: one verdict and one exit code, the gravest of what speaks against a run, and all of it on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from _chaos_made import REPLAY, SCENARIO, Model, made

from chaos.checking._finding import Finding, Judgement, Witness
from chaos.checking._judge import judge
from chaos.checking._results import CODES, Exit, Results, most_severe, read_results, write_results
from chaos.evidence._evidence import Evidence, make_evidence
from chaos.scenario._make_plan import make_plan
from chaos.scenario._reading import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def finding(
    checker: str = "C1", judgement: Judgement = Judgement.PASS, *, weighs: bool = True, text: str = "looked at"
) -> Finding:
    bad = judgement is Judgement.FAIL
    return Finding(
        checker=checker,
        name="a rule",
        judgement=judgement,
        text=text,
        cases=9 if bad else 0,
        witnesses=(Witness(text="request 1 went wrong", seqs=(13, 16)),) if bad else (),
        weighs=weighs,
    )


GOOD = (finding("C1"), finding("C2"), finding("C6", Judgement.UNKNOWN, weighs=False))

_MADE = made()


def with_records(*more: dict[str, Any], without: Callable[[dict[str, Any]], bool] | None = None) -> Evidence:
    """The run that was made up, with records added at its end or left out."""
    kept = [dict(entry) for entry in _MADE.records if without is None or not without(entry)]
    last = kept[-1]["t"]
    kept += [{"t": last, "src": "run", **entry} for entry in more]
    for seq, entry in enumerate(kept):
        entry["seq"] = seq
    return make_evidence(_MADE.plan, kept)


def exits(evidence: Evidence, *findings: Finding) -> tuple[Exit, int, Judgement]:
    found = judge(evidence, findings or GOOD)
    return found.exit, found.exit_code, found.verdict


def test_a_good_run_passes() -> None:
    """What had nothing to judge speaks against nobody."""
    found = judge(_MADE, GOOD)
    assert (found.exit_code, found.verdict, found.reasons) == (0, Judgement.PASS, ())
    assert (found.name, found.target, found.replay, found.ending) == ("made@7", "trio_pool", REPLAY, "complete")


@pytest.mark.parametrize(
    ("checker", "judgement", "code", "verdict"),
    [
        ("C3", Judgement.FAIL, 1, Judgement.FAIL),
        ("C3", Judgement.UNKNOWN, 2, Judgement.UNKNOWN),
        ("C17", Judgement.FAIL, 3, Judgement.FAIL),
        ("C18", Judgement.FAIL, 3, Judgement.FAIL),
        ("C19", Judgement.FAIL, 5, Judgement.FAIL),
        ("C20", Judgement.FAIL, 5, Judgement.FAIL),
    ],
)
def test_what_a_checker_finds_decides(checker: str, judgement: Judgement, code: int, verdict: Judgement) -> None:
    """Unsafe is 1, not proved 2, too slow 3, something left behind 5."""
    found = judge(_MADE, [*GOOD, finding(checker, judgement)])
    assert (found.exit_code, found.verdict) == (code, verdict)
    assert found.reasons == (f"{checker} a rule: looked at",)


def test_an_objective_that_was_missed() -> None:
    """It is 3, and the reason says which and where."""
    plan = make_plan(read_toml(SCENARIO.replace("success_rate >= 0.8", "success_rate >= 0.999")), 7)
    found = judge(make_evidence(plan, Model(plan).run()), GOOD)
    assert (found.exit_code, found.verdict) == (3, Judgement.FAIL)
    assert found.reasons == ("main: success_rate >= 0.999",)


def test_what_had_to_happen_and_did_not() -> None:
    """It is unknown: the run has not tested what it was for."""
    plan = make_plan(read_toml(SCENARIO.replace("worker.restarts >= 3", "worker.restarts >= 300")), 7)
    found = judge(make_evidence(plan, Model(plan).run()), GOOD)
    assert (found.exit_code, found.verdict) == (2, Judgement.UNKNOWN)
    assert found.reasons[0].startswith("sometimes worker.restarts >= 300: never true")


def test_no_steady_state() -> None:
    """Before the method nothing was tested; after it the pool has not come back."""
    before = {"type": "steady", "after": "before", "ok": False, "took": 10.0, "failing": ["pool.ready == pool.size"]}
    assert exits(with_records(before)) == (Exit.NOT_STEADY, 4, Judgement.UNKNOWN)
    assert exits(with_records({**before, "after": "after"})) == (Exit.MISSED, 3, Judgement.FAIL)
    assert exits(with_records({"type": "not_started", "error": "WorkerInitFailed: no"}))[1] == 4


def test_a_fault_that_did_not_heal_is_residue() -> None:
    """5, before anything but a mistake of the harness."""
    evidence = with_records()
    for entry in evidence.records:
        if entry["type"] == "heal":
            entry["ok"] = False
    assert exits(evidence, finding("C3", Judgement.FAIL)) == (Exit.RESIDUE, 5, Judgement.FAIL)


@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_run_says_so(signal: str, code: int) -> None:
    """Unless something was broken: what it did not prove or missed weighs nothing, for it was not finished."""
    evidence = with_records({"type": "interrupted", "signal": signal})
    assert exits(evidence, finding("C3", Judgement.UNKNOWN)) == (Exit.INTERRUPTED, code, Judgement.UNKNOWN)
    assert exits(evidence, finding("C17", Judgement.FAIL))[1] == code
    assert exits(evidence, finding("C3", Judgement.FAIL))[1] == 1


def test_a_history_without_an_end_is_not_passed() -> None:
    """Whoever wrote it was killed: unknown, and a mistake of the harness if its process failed."""

    def late(entry: dict[str, Any]) -> bool:
        return entry["type"] in ("end", "application_ended", "checked")

    assert exits(with_records(without=late))[1] == 2
    crashed = with_records({"type": "application_ended", "exit": 1}, without=late)
    assert exits(crashed) == (Exit.BUG, 70, Judgement.UNKNOWN)


def test_the_gravest_reason_comes_first() -> None:
    """70, 5, 1, an interruption, 4, 3, 2: and all of them are told."""
    found = judge(
        _MADE, [finding("C3", Judgement.UNKNOWN), finding("C17", Judgement.FAIL), finding("C1", Judgement.FAIL)]
    )
    assert [reason.split()[0] for reason in found.reasons] == ["C1", "C17", "C3"]


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([], 0),
        ([0, 0], 0),
        ([2, 3], 3),
        ([3, 4], 4),
        ([4, 1], 1),
        ([1, 5], 5),
        ([5, 70], 70),
        ([6, 2], 2),
        ([70, 130], 130),
    ],
)
def test_several_runs_have_the_code_of_the_worst(codes: list[int], worst: int) -> None:
    """In the order of severity, not of numbers; an interruption before all, for then the rest did not run."""
    assert most_severe(codes) == worst


def test_every_way_to_end_has_a_code_of_its_own() -> None:
    """So that a script can tell them apart."""
    assert len(set(CODES.values())) == len(CODES) == len(Exit)


def test_numbers_are_of_every_window() -> None:
    """All that is measured, each phase and each fault."""
    found = judge(_MADE, GOOD)
    assert [each.window for each in found.numbers] == ["all", "warmup", "main", "heal", "fault:k1", "fault:f1"]
    parts = [found.of(name) for name in ("main", "heal")]
    whole = found.of("all")
    assert whole is not None
    assert whole.sent == sum(each.sent for each in parts if each is not None)
    assert found.of("nowhere") is None


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    """Whoever reads the file has all that a report needs."""
    found = judge(_MADE, [*GOOD, finding("C3", Judgement.FAIL)])
    write_results(tmp_path / "results.json", found)
    assert read_results(tmp_path / "results.json") == found
    assert found.to_json() == judge(_MADE, [*GOOD, finding("C3", Judgement.FAIL)]).to_json()


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": 2}', '{"schema": 1, "scenario": "x"}'])
def test_what_is_no_results_is_refused(tmp_path: Path, text: str) -> None:
    """With its name, and not with a guess."""
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=r"results\.json is not"):
        read_results(tmp_path / "results.json")


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    """Fields of the same name may mean something else there."""
    text = judge(_MADE, GOOD).to_json()
    (tmp_path / "results.json").write_text(text.replace('"schema": 1', '"schema": 2'))
    with pytest.raises(ValueError, match="another version"):
        read_results(tmp_path / "results.json")


def test_results_hold_no_number_that_json_has_not() -> None:
    """A recovery that never came is null, not an infinity that other readers choke on."""
    evidence = with_records(without=lambda entry: entry["type"] == "WorkerReady" and entry["incarnation"] > 3)
    found = judge(evidence, GOOD)
    assert any(each.capacity is None for each in found.recovery)
    json.loads(found.to_json(), parse_constant=pytest.fail)


def test_the_same_evidence_gives_the_same_results() -> None:
    """Nothing of this machine or this moment is in them."""
    assert judge(made(), GOOD) == judge(made(), GOOD)
    assert judge(made(8), GOOD) != judge(made(7), GOOD)
    assert attrs.has(Results)
