"""The run in sentences: what was asked of the pool, what was done to it, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..checking._finding import Judgement
from ..checking._measured import Fate
from ..checking._windows import ALL
from ._format import count, duration, recovered, share, worst_of
from ._visits import visits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..checking._recovery import Occurrence
    from ..evidence._evidence import Evidence
    from ._scene import Scene


def tale(scene: Scene, evidence: Evidence) -> list[tuple[str, list[str]]]:
    """Return the three parts, each with its heading and sentences."""
    return [
        ("What was asked of the pool", list(_asked(scene, evidence))),
        ("What was done to it", list(_done(scene, evidence))),
        ("What came of it", list(_came(scene))),
    ]


def tiles(scene: Scene) -> list[tuple[str, str]]:
    """Return the numbers to be seen first, each with what it is."""
    results = scene.results
    whole = results.of(ALL)
    weighing = [finding for finding in results.findings if finding.weighs]
    kept = sum(finding.judgement is Judgement.PASS for finding in weighing)
    found = [(f"{kept} of {len(weighing)}", "checks of the pool's promises passed")]
    if results.objectives:
        met = sum(each.judgement is Judgement.PASS for each in results.objectives)
        found.append((f"{met} of {len(results.objectives)}", "objectives of the scenario met"))
    if whole is not None:
        found.append((share(whole.success_rate), f"of {whole.sent} requests succeeded"))
        if whole.latency is not None:
            p95 = whole.latency.at(0.95)
            found.append((duration(p95.value), "until the answer, for 95 of 100 requests"))
    lost = [each for each in results.recovery if each.lost]
    if lost:
        found.append((recovered(lost, "capacity"), "at most, until all workers were there again"))
    return found


def _asked(scene: Scene, evidence: Evidence) -> Iterator[str]:
    scenario = evidence.plan.scenario
    if scenario.summary:
        yield f"{scenario.summary[0].upper()}{scenario.summary[1:]}."
    slots = len(scene.slots) or scenario.pool.size
    sessions = len(visits(scene))
    whose = f" of {count(sessions, 'session')}" if sessions else ""
    sent = len(scene.requests)
    kinds = ", ".join(dict.fromkeys(each.operation for each in scene.requests))
    workers = f"A pool of {count(slots, 'worker process', 'worker processes')}" if slots else "The pool"
    yield f"{workers} was sent {count(sent, 'request')}{whose} in {scenario.duration:g} seconds, by a plan made before."
    if kinds:
        yield f"The requests were of these kinds: {kinds}."


def _done(scene: Scene, evidence: Evidence) -> Iterator[str]:
    specs = {fault.name: fault for fault in evidence.plan.scenario.faults}
    struck: dict[str, list[Occurrence]] = {}
    for stroke in scene.strokes:
        struck.setdefault(stroke.name, []).append(stroke.occurrence)
    if not specs:
        yield "Nothing: this run shows how the pool serves undisturbed."
    kinds: dict[str, list[str]] = {}
    for name, spec in specs.items():
        kinds.setdefault(f"{spec.summary[0].upper()}{spec.summary[1:]}", []).append(name)
    for what, names in kinds.items():
        times = sum(len(struck.get(name, ())) for name in names)
        begun = sum(each.in_flight for name in names for each in struck.get(name, ()))
        listed = ", ".join(names)
        if not times:
            yield f"{what} ({listed}): was to be, and never struck."
        else:
            often = "once" if times == 1 else "twice" if times == 2 else f"{times} times"
            hit = f", with {count(begun, 'request')} under way where it hit" if begun else ""
            yield f"{what} ({listed}): {often}{hit}."


def _came(scene: Scene) -> Iterator[str]:
    results = scene.results
    whole = results.of(ALL)
    if whole is None or not whole.sent:
        yield "No request was sent."
        return
    yield f"{whole.ok} of {count(whole.sent, 'request')} succeeded ({share(whole.success_rate)})."
    if whole.errors:
        listed = ", ".join(f"{number} {name}" for name, number in whole.errors.items())
        yield f"The others ended with an error that says what happened: {listed}."
    if whole.given_up:
        yield f"{count(whole.given_up, 'request')} were given up by their own callers, as planned."
    if whole.dropped:
        yield f"{count(whole.dropped, 'request')} were never sent, because too many were unanswered."
    if whole.cut_off:
        yield f"{count(whole.cut_off, 'request')} were under way when the run ended, and count for nobody."
    everybody = visits(scene)
    untouched = sum(all(each.fate is Fate.OK for each in visit.requests) for visit in everybody)
    if everybody:
        yield f"{untouched} of {count(len(everybody), 'session')} saw every one of their requests succeed."
    yield from _recovered(results.recovery)


def _recovered(recovery: Sequence[Occurrence]) -> Iterator[str]:
    lost = [each for each in recovery if each.lost]
    if not lost:
        return
    workers = sum(each.lost for each in lost)
    times = [each.capacity for each in lost if not each.final]
    were = "was" if workers == 1 else "were"
    if all(time is not None for time in times):
        slowest = f", the slowest within {worst_of(times)}" if times else ""
        yield f"{count(workers, 'worker')} {were} lost and replaced{slowest}."
    else:
        never = sum(time is None for time in times)
        yield f"{count(workers, 'worker')} {were} lost; {count(never, 'time')} the pool never had all of them again."
