"""The report: plain lines for people, the verdict first, and ``results.json`` for everything else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from ._about import environment
from ._check import Breach, witnesses
from ._output import write_text
from ._stats import Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ._check import Findings
    from ._incidents import Incident
    from ._plan import Plan
    from ._stdlib_job import Catalogue


def report_lines(
    findings: Findings, plan: Plan, catalogue: Catalogue, *, verdict: str, out: Path, replay: str
) -> Iterator[str]:
    """Yield the final report: verdict, what speaks against it, then numbers, faults, files and the replay command.

    Args:
        findings: What the checks found.
        plan: What was to happen.
        catalogue: What it was about.
        verdict: The verdict as it is to be shown.
        out: Where the files are.
        replay: The command that does the same again.
    """
    yield f"verdict    {verdict}   {plan.scenario}, seed {plan.seed}, plan {plan.sha256[:12]}"
    for violation in witnesses(findings.violations):
        yield f"  {violation.breach}: {violation.text} (history {', '.join(map(str, violation.seqs))})"
    shown = len(witnesses(findings.violations))
    if len(findings.violations) > shown:
        yield f"  and {len(findings.violations) - shown} more, see results.json"
    for reason in findings.reasons:
        yield f"  not proved: {reason}"
    failed = ", ".join(f"{count} {name}" for name, count in findings.errors.items()) or "none"
    # What Ctrl-C cut off says nothing about the pool, so it is left out of the whole as well as of the part.
    settled = findings.sent - findings.cut_off
    cut_off = f"; cut off by the interruption: {findings.cut_off}" if findings.interrupted else ""
    yield (
        f"success    {_share(findings.ok, settled)} of {settled} requests;"
        f" failed: {failed}; dropped unsent: {findings.dropped}{cut_off}"
    )
    untouched = findings.sessions - findings.faulted_sessions
    settled = findings.untouched_sent - findings.untouched_cut_off
    cut_off = f"; cut off by the interruption: {findings.untouched_cut_off}" if findings.interrupted else ""
    yield (
        f"sessions   {untouched} of {findings.sessions} never faulted:"
        f" {_share(findings.untouched_ok, settled)} of their {settled} requests succeeded{cut_off}"
    )
    yield f"latency    {_times(summarize(findings.latencies))}   from the intended send time, successes"
    yield f"service    {_times(summarize(findings.services))}   from the actual send time, successes"
    yield f"generator  {_times(summarize(findings.lags))}   behind its plan"
    yield "breaches   " + "   ".join(f"{breach} {findings.count(breach)}" for breach in Breach)
    yield f"also       re-dispatched unbegun {findings.redispatched}   stale replies dropped {findings.stale}"
    yield f"indexed    {catalogue.files} source files in {len(catalogue.packages)} packages"
    yield from _fault_lines(findings.incidents)
    for name in ("results.json", "history.jsonl", "plan.json", "executions.log", "pool.log"):
        yield f"file       {out / name}"
    yield f"replay     {replay}"


def write_results(path: Path, findings: Findings, plan: Plan, *, replay: str) -> None:
    """Write everything the report says, and the violations it leaves out, as JSON.

    Raises:
        CannotWrite: What is in the file then is no JSON.
    """
    settled = findings.sent - findings.cut_off
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
        "interrupted": findings.interrupted,
        "scenario": plan.scenario,
        "seed": plan.seed,
        "plan_sha256": plan.sha256,
        "replay": replay,
        "environment": environment(),
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
    write_text(path, json.dumps(results, indent=2) + "\n")


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
            f"           {incident.name:<6}{incident.kind:<9}{incident.worker_id:<8}{_span(incident.at):>10}"
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
