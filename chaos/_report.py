"""The report: plain lines for people, the verdict first, and files for everything else.

All of it is made from the evidence of a run and nothing more, so it can be made again, byte for byte, from the files
of a run that is long over or that was killed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from ._check import check
from ._findings import Breach, Ending, witnesses
from ._html import make_page
from ._junit import make_junit
from ._output import CannotWrite, clean, write_text
from ._stats import Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ._evidence import Evidence
    from ._findings import Findings
    from ._incidents import Incident

FILES = ("results.json", "history.jsonl", "plan.json", "executions.log", "pool.log", "junit.xml", "report.html")


def judge(evidence: Evidence) -> Findings:
    """Return what the checks make of a run."""
    return check(evidence.records, evidence.executions, workers=evidence.plan.workers)


def report_lines(findings: Findings, evidence: Evidence, *, verdict: str) -> Iterator[str]:
    """Yield the final report but for the files: verdict, what speaks against it, then numbers and faults.

    Args:
        findings: What the checks found.
        evidence: What they found it in.
        verdict: The verdict as it is to be shown.
    """
    plan = evidence.plan
    yield f"verdict    {verdict}   {clean(plan.scenario)}, seed {plan.seed}, plan {plan.sha256[:12]}"
    for violation in witnesses(findings.violations):
        yield f"  {violation.breach}: {clean(violation.text)} (history {', '.join(map(str, violation.seqs))})"
    shown = len(witnesses(findings.violations))
    if len(findings.violations) > shown:
        yield f"  and {len(findings.violations) - shown} more, see results.json"
    for reason in findings.reasons:
        yield f"  not proved: {clean(reason)}"
    failed = ", ".join(f"{count} {clean(name)}" for name, count in findings.errors.items()) or "none"
    # What Ctrl-C cut off says nothing about the pool, so it is left out of the whole as well as of the part.
    cause = {Ending.INTERRUPTED: "the interruption", Ending.CUT_SHORT: "the end of the history"}.get(findings.ending)
    cut_off = f"; cut off by {cause}: {findings.cut_off}" if cause else ""
    yield (
        f"success    {_share(findings.ok, findings.settled)} of {findings.settled} requests;"
        f" failed: {failed}; dropped unsent: {findings.dropped}{cut_off}"
    )
    untouched = findings.sessions - findings.faulted_sessions
    settled = findings.untouched_sent - findings.untouched_cut_off
    cut_off = f"; cut off by {cause}: {findings.untouched_cut_off}" if cause else ""
    yield (
        f"sessions   {untouched} of {findings.sessions} never faulted:"
        f" {_share(findings.untouched_ok, settled)} of their {settled} requests succeeded{cut_off}"
    )
    yield f"latency    {_times(summarize(findings.latencies))}   from the intended send time, successes"
    yield f"service    {_times(summarize(findings.services))}   from the actual send time, successes"
    yield f"generator  {_times(summarize(findings.lags))}   behind its plan"
    yield "breaches   " + "   ".join(f"{breach} {findings.count(breach)}" for breach in Breach)
    yield f"also       re-dispatched unbegun {findings.redispatched}   stale replies dropped {findings.stale}"
    files, packages = evidence.start.get("files"), evidence.start.get("packages")
    if files is not None:
        yield f"indexed    {clean(files)} source files in {clean(packages)} packages"
    yield from _fault_lines(findings.incidents)


def ending_lines(out: Path, evidence: Evidence) -> Iterator[str]:
    """Yield what follows the report: where the files are, how to do it again, and what to open."""
    for name in FILES:
        if (out / name).exists():
            yield f"file       {out / name}"
    yield f"replay     {clean(evidence.replay)}"
    yield f"open       {out / 'report.html'}"


def write_reports(out: Path, findings: Findings, evidence: Evidence) -> None:
    """Write ``results.json``, ``junit.xml`` and ``report.html`` into a run's directory.

    Raises:
        CannotWrite: At least one of them could not be written; the others were all the same.
    """
    first: CannotWrite | None = None
    lines = list(report_lines(findings, evidence, verdict=findings.verdict.upper()))
    for name, text in (
        ("results.json", _results(findings, evidence)),
        ("junit.xml", make_junit(evidence, findings, lines)),
        ("report.html", make_page(evidence, findings)),
    ):
        try:
            write_text(out / name, text)
        except CannotWrite as exc:
            first = first or exc
    if first is not None:
        raise first


def _results(findings: Findings, evidence: Evidence) -> str:
    """Return everything the report says, and the violations it leaves out, as JSON."""
    plan = evidence.plan
    settled = findings.settled
    numbers = {
        name: None if (summary := summarize(sample)) is None else attrs.asdict(summary)
        for name, sample in (
            ("latency", findings.latencies),
            ("service", findings.services),
            ("generator_lag", findings.lags),
        )
    }
    results: Mapping[str, object] = {
        "schema": 1,
        "verdict": findings.verdict,
        "interrupted": findings.ending is Ending.INTERRUPTED,
        "ending": findings.ending,
        "scenario": plan.scenario,
        "seed": plan.seed,
        "plan_sha256": plan.sha256,
        "replay": evidence.replay,
        "environment": evidence.environment,
        "violations": [attrs.asdict(violation) for violation in findings.violations],
        "not_proved": findings.reasons,
        "requests": {
            "sent": findings.sent,
            "ok": findings.ok,
            "cut_off": findings.cut_off,
            "success_rate": findings.ok / settled if settled else None,
            "errors": findings.errors,
            "dropped": findings.dropped,
            "redispatched": findings.redispatched,
            "stale_replies": findings.stale,
        },
        "sessions": {
            "total": findings.sessions,
            "faulted": findings.faulted_sessions,
            "untouched_requests": findings.untouched_sent,
            "untouched_cut_off": findings.untouched_cut_off,
            "untouched_ok": findings.untouched_ok,
        },
        "breaches": {str(breach): findings.count(breach) for breach in Breach},
        "seconds": numbers,
        "faults": [
            {**attrs.asdict(incident), "sessions": sorted(incident.sessions)} for incident in findings.incidents
        ],
    }
    return json.dumps(results, indent=2) + "\n"


def _fault_lines(incidents: Sequence[Incident]) -> Iterator[str]:
    if not incidents:
        yield "faults     none"
        return
    yield (
        f"faults     {'name':<6}{'kind':<9}{'worker':<8}{'at':>10}{'hit':>6}{'requests':>10}{'sessions':>10}"
        f"{'detected':>11}{'first reply':>13}{'capacity':>11}"
    )
    for incident in incidents:
        # Latency is nothing to be detected. A kill that came between two requests, or after the reply was written, hit
        # none, and does not count towards the verdict.
        detected = "-" if incident.kind == "latency" else _span(incident.to_detect)
        yield (
            f"           {clean(incident.name):<6}{clean(incident.kind):<9}{clean(incident.worker_id):<8}"
            f"{_span(incident.at):>10}"
            f"{'yes' if incident.hit else 'no':>6}{incident.requests:>10}{len(incident.sessions):>10}"
            f"{detected:>11}{_span(incident.to_first_reply):>13}{_span(incident.to_capacity):>11}"
        )


def _share(part: int, whole: int) -> str:
    if not whole:
        return "none"
    # Cut, not rounded: 100 % is said only of all.
    return f"{int(part / whole * 1000) / 10:g} %" if part < whole else "100 %"


def _times(summary: Summary | None) -> str:
    if summary is None:
        return "no sample"
    values = (("p50", summary.p50), ("p95", summary.p95), ("p99", summary.p99), ("max", summary.maximum))
    return "  ".join(f"{name} {value * 1e3:.0f} ms" for name, value in values) + f"  n={summary.count}"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1.0 else f"{seconds:.2f} s"
