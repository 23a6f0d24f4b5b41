"""The story of a run in sentences: what was promised, what was done to the pool, and what came of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ._findings import Breach, Ending
from ._stats import summarize
from ._svg import span
from ._words import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._evidence import Evidence
    from ._findings import Findings
    from ._incidents import Incident


def story(evidence: Evidence, findings: Findings) -> list[tuple[str, list[str]]]:
    """Return the three parts of the story, each with its heading and sentences."""
    return [
        ("What was promised", _promised(evidence)),
        ("What was done to it", _done(evidence, findings)),
        ("What happened", _happened(findings)),
    ]


def tiles(findings: Findings) -> list[tuple[str, str]]:
    """Return the numbers to be seen first, each with what it is."""
    latency = summarize(findings.latencies)
    untouched = findings.untouched_sent - findings.untouched_cut_off
    restored = [incident.to_capacity for incident in findings.incidents if incident.costs_worker]
    slowest = max((time for time in restored if time is not None), default=None)
    broken = sum(1 for breach in Breach if findings.count(breach))
    return [
        (str(broken) if findings.sent or broken else "-", f"of {len(Breach)} promises broken"),
        (share(findings.untouched_ok, untouched), "of requests succeeded where no fault hit"),
        (share(findings.ok, findings.settled), "of all requests succeeded"),
        ("-" if latency is None else span(latency.p50), _slow(None if latency is None else latency.p99)),
        (_worst(restored, slowest), "at most, until all workers were back after losing one"),
    ]


def share(part: int, whole: int) -> str:
    """Return a part of a whole in percent, cut and not rounded: 100 % is said only of all."""
    if not whole:
        return "-"
    return f"{int(part / whole * 1000) / 10:g} %" if part < whole else "100 %"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _slow(p99: float | None) -> str:
    return "until the answer" if p99 is None else f"until the answer, for half of them; 1 of 100 took over {span(p99)}"


def _worst(restored: Sequence[float | None], slowest: float | None) -> str:
    if None in restored:
        return "never"
    return "-" if slowest is None else span(slowest)


def _promised(evidence: Evidence) -> list[str]:
    return [
        f"A pool of {count(evidence.plan.workers, 'worker process', 'worker processes')} answers the requests of its"
        " users. A worker may die, hang or become slow at any moment; the pool notices and replaces it.",
        "Users whose worker was not hit notice nothing. Every request gets exactly one outcome, and a true one. Answers"
        " are right. At the end nothing is left running.",
    ]


def _done(evidence: Evidence, findings: Findings) -> list[str]:
    plan = evidence.plan
    users = count(min(plan.users, findings.sessions) or plan.users, "user")
    if findings.sent:
        load = (
            f"{users} sent {count(findings.sent, 'request')} in {count(findings.sessions, 'session')}"
            f" over {plan.duration:g} seconds, at times fixed beforehand."
        )
    else:
        load = "No request was sent."
    if findings.dropped:
        load += f" {count(findings.dropped, 'request')} could not be sent, for too many were unanswered."
    kinds = Counter(incident.kind for incident in findings.incidents)
    done = [
        f"{count(number, 'worker')} {'was' if number == 1 else 'were'} {_done_to(kind)}"
        for kind, number in kinds.items()
    ]
    missed = sum(1 for entry in evidence.records if entry["src"] == "chaos" and entry["type"] == "missed")
    faults = f"Meanwhile {_listed(done)}." if done else "No fault hit any worker."
    if done and all(incident.running is not None for incident in findings.incidents):
        faults = faults.removesuffix(".") + ", each in the middle of a request."
    if missed:
        faults += f" {count(missed, 'fault')} found no worker to hit."
    files, packages = evidence.start.get("files"), evidence.start.get("packages")
    some = f"some of the {files} source files" if files and packages else "some source files"
    work = (
        f"A request has a worker count what {some} of Python's standard library define; the right answer was computed"
        " before."
    )
    return [load, faults, work] if findings.sent else [load, faults]


def _done_to(kind: str) -> str:
    return FAULTS[kind][0] if kind in FAULTS else f"hit by {kind}"


def _happened(findings: Findings) -> list[str]:
    if findings.ending is Ending.NOT_STARTED or not findings.sent:
        return ["Nothing that says anything about the pool."]
    told = [
        f"{findings.ok} of {count(findings.settled, 'request')} succeeded ({share(findings.ok, findings.settled)})."
    ]
    failed = sum(findings.errors.values())
    untouched = findings.sessions - findings.faulted_sessions
    settled = findings.untouched_sent - findings.untouched_cut_off
    touched = settled - findings.untouched_ok
    if failed and not touched:
        hit = count(findings.faulted_sessions, "session")
        honest = (
            "" if findings.count(Breach.DISHONEST) else ", and each error said truthfully what became of its request"
        )
        told[0] += f" The {failed} that failed belong to the {hit} whose worker was hit{honest}."
    if untouched and not touched:
        told.append(f"The other {count(untouched, 'session')} noticed nothing: all their {settled} requests succeeded.")
    elif touched:
        told.append(f"{count(touched, 'request')} failed in sessions that no fault had touched.")
    if findings.cut_off:
        told.append(f"{count(findings.cut_off, 'request')} were under way when the run ended, and count for nobody.")
    told += _recovered(findings.incidents)
    return told


def _recovered(incidents: Iterable[Incident]) -> list[str]:
    told: list[str] = []
    kinds: dict[str, list[Incident]] = {}
    for incident in incidents:
        if incident.costs_worker:
            kinds.setdefault(incident.kind, []).append(incident)
    for kind, hit in kinds.items():
        times = [incident.to_capacity for incident in hit if incident.to_capacity is not None]
        whose = "the worker" if len(hit) == 1 else f"each of the {len(hit)} workers"
        if len(times) == len(hit):
            within = "after" if len(hit) == 1 else "within"
            told.append(f"For {whose} {_done_to(kind)}, a new one was ready {within} {span(max(times))}.")
        else:
            told.append(
                f"For {len(hit) - len(times)} of {count(len(hit), 'worker')} {_done_to(kind)}, none was ready again."
            )
    return told


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
