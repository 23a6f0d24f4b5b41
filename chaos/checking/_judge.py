"""The judge: puts findings, objectives and recoveries together into what a run came to, and its exit code."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING, Final

from ._finding import Judgement
from ._measured import read_drops, read_measured
from ._metrics import Measures
from ._objectives import judge_objectives, judge_sometimes
from ._recovery import find_missed, find_occurrences
from ._results import CODES, Exit, Results, Steady
from ._steadiness import steadiness
from ._windows import ALL, Window, find_windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..scenario._model import Scenario
    from ._finding import Finding
    from ._objectives import Judged
    from ._recovery import Occurrence

_LATE: Final = frozenset({"C17", "C18"})
"""Checkers of how soon the pool comes back: what they find is too slow, not unsafe."""

_LEFT: Final = frozenset({"C19", "C20"})
"""Checkers of what is left behind."""

_ENVIRONMENT: Final = ("python", "trio", "trio_pool", "machine", "kernel", "cpus")


def measure(scenario: Scenario, records: Sequence[Record], written: Mapping[int, float] | None = None) -> Measures:
    """Take everything that metrics need from a history.

    Args:
        scenario: What was to happen.
        records: The whole history.
        written: When each request was handed to a worker, where that is known.
    """
    requests = read_measured(records, written)
    occurrences = find_occurrences(
        records,
        workers=_size(scenario, records),
        steady=steadiness(scenario.steady_state.require, records, requests),
        hold=scenario.steady_state.after.hold,
    )
    return Measures(
        records=records,
        requests=requests,
        drops=read_drops(records),
        occurrences=occurrences,
        missed=find_missed(records),
        windows=find_windows(scenario, records, occurrences),
        timeout=scenario.pool.timeout,
    )


def measure_evidence(evidence: Evidence) -> Measures:
    """Take everything that metrics need from the evidence of a run."""
    written: dict[int, float] = {}
    for number, request in evidence.requests.items():
        # Where the pool's own number for a request is not certain, the ledger's beginning is a little later.
        begun = [execution.begin for execution in request.executions if execution.begin is not None]
        handed = [float(entry["t"]) for entry in request.dispatches] or begun
        if handed:
            written[number] = min(handed)
    return measure(evidence.plan.scenario, evidence.records, written)


def judge(evidence: Evidence, findings: Sequence[Finding], measures: Measures | None = None) -> Results:
    """Return what a run came to.

    Args:
        evidence: What the run left.
        findings: What the checkers say of it.
        measures: Of `measure_evidence`, if they were taken already.
    """
    plan, scenario, records, start = evidence.plan, evidence.plan.scenario, evidence.records, evidence.start
    taken = measure_evidence(evidence) if measures is None else measures
    objectives = judge_objectives(scenario, taken)
    sometimes = judge_sometimes(scenario, taken)
    steady = _steady(records)
    ending = str(evidence.ending)
    reasons = sorted(
        _reasons(findings, objectives, sometimes, steady, taken.occurrences, ending, records),
        key=lambda reason: _ORDER.index(reason[0]),
    )
    exit_ = reasons[0][0] if reasons else Exit.PASS
    code = CODES[exit_]
    if exit_ is Exit.INTERRUPTED:
        name = next(e["signal"] for e in records if e["src"] == "run" and e["type"] == "interrupted")
        code = 128 + _number(str(name))
    events = Counter(str(e["type"]) for e in records if e["src"] == "pool")
    return Results(
        scenario=scenario.name,
        summary=scenario.summary,
        seed=plan.seed,
        plan=str(start.get("plan", "")),
        target=str(start.get("target", "")),
        version=str(start.get("target_version", start.get("version", ""))),
        started=str(start.get("started", "")),
        seconds=float(records[-1]["t"]) if records else 0.0,
        ending=ending,
        verdict=_verdict(exit_),
        exit=exit_,
        exit_code=code,
        reasons=tuple(text for _, text in reasons),
        findings=tuple(findings),
        objectives=objectives,
        sometimes=sometimes,
        steady=steady,
        recovery=tuple(taken.occurrences),
        missed=tuple(taken.missed),
        numbers=tuple(taken.numbers(window) for window in _shown(taken.windows)),
        events=dict(sorted(events.items())),
        replay=str(start.get("replay", "")),
        environment={name: str(start[name]) for name in _ENVIRONMENT if name in start},
    )


_ORDER: Final = (
    Exit.BUG,
    Exit.RESIDUE,
    Exit.BROKEN,
    # An interrupted run has tested less than it was to, so what it missed or did not prove weighs nothing.
    Exit.INTERRUPTED,
    Exit.NOT_STEADY,
    Exit.MISSED,
    Exit.UNKNOWN,
    Exit.UNCAPABLE,
)


def _reasons(
    findings: Sequence[Finding],
    objectives: Sequence[Judged],
    sometimes: Sequence[Judged],
    steady: Sequence[Steady],
    occurrences: Sequence[Occurrence],
    ending: str,
    records: Sequence[Record],
) -> Iterator[tuple[Exit, str]]:
    """Yield everything that speaks against a pass."""
    for finding in findings:
        if finding.judgement is Judgement.FAIL:
            kind = (
                Exit.MISSED if finding.checker in _LATE else Exit.RESIDUE if finding.checker in _LEFT else Exit.BROKEN
            )
            yield kind, f"{finding.title}: {finding.text}"
        elif finding.judgement is Judgement.UNKNOWN and finding.weighs:
            yield Exit.UNKNOWN, f"{finding.title}: {finding.text}"
    for each in occurrences:
        if each.heal_failed:
            yield Exit.RESIDUE, f"{each.fault} #{each.number} did not heal"
    for judged in objectives:
        if judged.judgement is not Judgement.PASS:
            kind = Exit.MISSED if judged.judgement is Judgement.FAIL else Exit.UNKNOWN
            yield kind, f"{judged.window}: {judged.text}{f' ({judged.why})' if judged.why else ''}"
    for judged in sometimes:
        if judged.judgement is not Judgement.PASS:
            yield Exit.UNKNOWN, f"sometimes {judged.text}: {judged.why}"
    for state in steady:
        if not state.ok:
            kind = Exit.NOT_STEADY if state.when == "before" else Exit.MISSED
            yield kind, f"no steady state {state.when} the method: {'; '.join(state.failing) or 'it never held'}"
    for entry in records:
        if entry["src"] != "run":
            continue
        if entry["type"] == "interrupted":
            yield Exit.INTERRUPTED, f"the run was interrupted by {entry['signal']}"
        elif entry["type"] == "not_started":
            yield Exit.NOT_STEADY, f"the pool could not be opened: {entry['error']}"
        elif entry["type"] == "limit":
            yield Exit.UNKNOWN, f"the run was ended by its limit on {entry['what']}"
        elif entry["type"] == "hung":
            yield Exit.BROKEN, "the application did not end and had to be killed"
        elif entry["type"] == "application_ended" and entry.get("exit") not in (0, None) and ending == "cut short":
            yield Exit.BUG, f"the application ended with {entry['exit']} in the middle of the run"
    if ending == "cut short":
        yield Exit.UNKNOWN, "the history has no end: whoever wrote it was killed, or could write no more"


def _steady(records: Sequence[Record]) -> tuple[Steady, ...]:
    return tuple(
        Steady(
            when=str(e["after"]),
            ok=bool(e["ok"]),
            took=float(e["took"]),
            failing=tuple(str(text) for text in e.get("failing", ())),
        )
        for e in records
        if e["src"] == "run" and e["type"] == "steady"
    )


def _verdict(exit_: Exit) -> Judgement:
    if exit_ is Exit.PASS:
        return Judgement.PASS
    failed = (Exit.BROKEN, Exit.MISSED, Exit.RESIDUE)
    return Judgement.FAIL if exit_ in failed else Judgement.UNKNOWN


def _shown(windows: Mapping[str, Window]) -> Iterator[Window]:
    """Yield the windows that have numbers: a run of one phase has those of ``all`` once."""
    spans = windows[ALL].spans
    for name, window in windows.items():
        if name == ALL or window.fault or window.spans != spans:
            yield window


def _size(scenario: Scenario, records: Sequence[Record]) -> int:
    """Return how many workers there are to be: as configured, else as the pool itself says."""
    if scenario.pool.size is not None:
        return scenario.pool.size
    sizes = (e["size"] for e in records if e["src"] == "sampler" and e.get("size") is not None)
    return int(next(sizes, 1))


def _number(name: str) -> int:
    return int(getattr(signal.Signals, name, signal.SIGINT))
