"""What is left behind, while it runs and when it ends: C19 to C21."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Final

from ..evidence._evidence import Ending
from ._cases import Cases, count, idle, unknown
from ._explanations import Explanations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..evidence._requests import Request
    from ._cases import Answer

MIN_TIMES: Final = 20
"""Restarts, or requests given up, from which on a leak for each shows beyond doubt."""

_COUNTED: Final = ("fds", "threads", "tasks")

_CAUSES: Final = {"restart": ("restarts",), "given-up request": ("cancelled", "timed_out")}
"""After what something may be left behind, and the pool's counts of it."""

MAX_SAMPLES: Final = 200
"""Samples a slope is taken over: their pairs are 20 000, a fraction of a second's work."""

LEAKED: Final = 0.05
"""What may be left for each of them: a twentieth, since not one may, and one in twenty shows after twenty."""

KILL_GRACE: Final = 2.0
"""Seconds a pool may take to end beyond its grace, by its contract."""


def no_orphan(evidence: Evidence) -> Answer:
    """No process of the pool outlives its application."""
    cases = Cases()
    for entry in evidence.marks.get("leftover", ()):
        # One that is dead and that only the system's first process has not yet waited for does nothing any more.
        if entry.get("state") != "Z":
            command = entry.get("cmdline", "")
            cases.add(
                f"process {entry['pid']} outlived the application ({entry.get('state')}): {command}", [entry["seq"]]
            )
    looked = evidence.marks.get("checked", ())
    return cases.answer(
        "no process outlived the application", unknown=None if looked else "nobody looked for processes left behind"
    )


def no_leak(evidence: Evidence) -> Answer:
    """No restart and no request given up leaves a descriptor, thread or task behind; no soak makes memory grow."""
    warm = min((entry["seq"] for entry in evidence.marks.get("steady", ()) if entry["after"] == "before"), default=0)
    over = min((entry["seq"] for entry in evidence.marks.get("closing", ())), default=math.inf)
    samples = [
        sample
        for sample in evidence.samples
        if warm <= sample["seq"] < over and sample.get("metrics") and sample.get("ready") == sample.get("size")
    ]
    if len(samples) < 2:
        return idle("no samples of a pool that had all its workers")
    cases = Cases()
    quiet = [sample for sample in samples if not sample.get("in_flight")]
    enough: list[str] = []
    unseen: set[str] = set()
    for cause, counted in _CAUSES.items():
        times = _times(samples[-1], counted) - _times(samples[0], counted)
        if times < MIN_TIMES:
            continue
        enough.append(count(times, cause))
        for name in _COUNTED:
            found = samples if name == "fds" else quiet
            points = [(float(_times(each, counted)), float(each[name])) for each in _thinned(found) if name in each]
            slope = _slope(points)
            if slope is None:
                unseen.add(name)
            elif slope[1] > LEAKED:
                cases.add(
                    f"each {cause} leaves {slope[1]:.2f} {name} behind: {points[0][1]:g} at first, {points[-1][1]:g}"
                    f" after {count(times, cause)}",
                    [found[0]["seq"], found[-1]["seq"]],
                )
    soak = "soak" in evidence.plan.scenario.tags
    if soak:
        points = [(float(each["t"]), float(each["rss"])) for each in _thinned(samples) if each.get("rss")]
        slope = _slope(points)
        # Half of all slopes above nothing is a trend; here even their lower bound is.
        if slope is not None and slope[0] > 0 and slope[1] * (points[-1][0] - points[0][0]) > 0.1 * points[0][1]:
            cases.add(f"memory grows by {slope[1]:.0f} bytes a second", [samples[0]["seq"], samples[-1]["seq"]])
    few = None
    if not soak and not enough:
        few = f"only {count(_times(samples[-1], ('restarts',)), 'restart')}: a leak shows after {MIN_TIMES}"
    elif not soak and len(unseen) == len(_COUNTED):
        few = "no sample shows what is left behind"
    text = f"{count(len(samples), 'sample')} over {' and '.join(enough) or 'a soak'}, nothing left behind"
    if unseen:
        text += f"; of {' and '.join(sorted(unseen))} nothing is known, for no sample was taken while nothing was asked"
    return cases.answer(text, idle=few)


def _times(sample: Record, counted: Sequence[str]) -> int:
    return sum(int(sample["metrics"][name]) for name in counted)


def _thinned(samples: Sequence[Record]) -> Sequence[Record]:
    return samples[:: max(1, math.ceil(len(samples) / MAX_SAMPLES))]


def _slope(points: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Return the slope through points by Theil and Sen, which a step or an outlier does not move: its lower bound with
    95 % confidence, and itself; None if all points stand one above the other."""
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 != x1)
    if not slopes:
        return None
    n = len(points)
    # Kendall's statistic has this deviation where there is no trend.
    doubt = 1.96 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    lower = max(0, math.floor((len(slopes) - doubt) / 2))
    return slopes[lower], slopes[len(slopes) // 2]


def graceful_stop(evidence: Evidence) -> Answer:
    """Closing lets what runs finish within the grace, takes no longer than it may, and starts nothing after it."""
    closing, closed = evidence.marks.get("closing", ()), evidence.marks.get("closed", ())
    if not closing:
        return idle(f"the run is {evidence.ending}, and the pool was not closed")
    cases = Cases()
    begun = closing[0]
    grace = evidence.plan.scenario.pool.shutdown_grace
    bound = grace + KILL_GRACE
    if closed and closed[0]["took"] > bound + evidence.slack:
        cases.add(f"closing took {closed[0]['took']:.3f} s, {bound:g} s allowed", [begun["seq"], closed[0]["seq"]])
    for entry in evidence.records[begun["seq"] :]:
        late = entry["t"] - begun["t"] > grace + evidence.slack
        if late and (entry["src"], entry["type"]) == ("pool", "RequestDispatched"):
            cases.add("a request was handed to a worker after the grace was over", [begun["seq"], entry["seq"]])
    explained = Explanations(evidence)
    gave_up = any((entry["src"], entry["type"]) == ("pool", "GaveUp") for entry in evidence.records)
    under_way = 0
    for request in evidence.requests.values():
        if request.outcome is None or not request.invoke["seq"] < begun["seq"] < request.outcome["seq"]:
            continue
        under_way += 1
        hit = any(entry["incarnation"] in explained.hit for entry in request.dispatches)
        early = request.ended - begun["t"] < grace - evidence.slack
        if early and not hit and not gave_up and request.error in ("WorkerCrashed", "PoolClosed"):
            cases.add(
                f"{request.name} was cut off {request.ended - begun['t']:.3f} s after closing began, within the grace"
                f" of {grace:g} s",
                (begun["seq"], *request.seqs),
            )
    if not closed:
        if evidence.ending is Ending.COMPLETE:
            cases.add("the pool never closed", [begun["seq"]])
        return cases.answer("", unknown=f"the run is {evidence.ending} before the pool had closed")
    return cases.answer(
        f"closed within {closed[0]['took']:.3f} s of {bound:g} s, {count(under_way, 'request')} under way then"
    )


def metrics_honest(evidence: Evidence) -> Answer:
    """The pool's own counts are those of its events and of its callers, in every sample."""
    samples = [sample for sample in evidence.samples if sample.get("metrics")]
    if not samples:
        return idle("the pool counts nothing, or was never asked")
    if not evidence.tells:
        return unknown("the pool counts, and tells no events to count by")
    if any((entry["src"], entry["type"]) == ("pool", "HookDisabled") for entry in evidence.records):
        return unknown("the pool stopped telling its events")
    cases = Cases()
    wanted = {sample["seq"] for sample in samples}
    tally: dict[str, int] = dict.fromkeys((*_RESULTS, *_EVENTS.values(), "restarts"), 0)
    slots: set[int] = set()
    serving: set[int] = set()
    for entry in evidence.records:
        if entry["src"] == "pool":
            _tally(entry, tally, slots)
            _follow(entry, serving)
        elif entry["seq"] in wanted:
            # Fewer may be ready than it has told of: one stands by, one is lost and its end is not told yet.
            if evidence.lives and (entry.get("ready") or 0) > len(serving):
                cases.add(f"the pool shows {entry['ready']} ready workers, its events {len(serving)}", [entry["seq"]])
            metrics = entry["metrics"]
            parts = metrics["queued"] + metrics["running"] + sum(metrics[name] for name in _RESULTS)
            if metrics["submitted"] != parts:
                cases.add(f"{metrics['submitted']} submitted, and {parts} in all that became of them", [entry["seq"]])
            for name, number in tally.items():
                if metrics.get(name) != number:
                    cases.add(f"the pool counts {metrics.get(name)} {name}, its events {number}", [entry["seq"]])
    compared = _compare_callers(evidence, samples, cases)
    return cases.answer(
        f"{count(len(samples), 'sample')}, each with the counts of the events before it, {compared} with the callers'"
    )


_RESULTS: Final = ("ok", "failed", "timed_out", "cancelled", "rejected")

_EVENTS: Final = {"RequestRedispatched": "redispatched", "RequestRetried": "retries", "StaleReply": "stale_replies"}


def _tally(entry: Record, tally: dict[str, int], slots: set[int]) -> None:
    kind = entry["type"]
    if kind == "RequestFinished" and entry["result"] in tally:
        tally[entry["result"]] += 1
    elif kind in _EVENTS:
        tally[_EVENTS[kind]] += 1
    elif kind == "WorkerStarting":
        tally["restarts"] += entry["slot"] in slots
        slots.add(entry["slot"])


def _follow(entry: Record, serving: set[int]) -> None:
    """Keep track of the workers that are ready, by incarnation."""
    if entry["type"] == "WorkerReady":
        serving.add(entry["incarnation"])
    elif entry["type"] in ("WorkerKilled", "WorkerExited"):
        serving.discard(entry["incarnation"])


def _went_well(request: Request) -> bool:
    """Whether a request counts as ok: also if its caller was cancelled in the very moment the answer was there."""
    if request.cancelled and request.finished is not None:
        return bool(request.finished["result"] == "ok")
    return request.type == "ok"


def _compare_callers(evidence: Evidence, samples: Sequence[Record], cases: Cases) -> int:
    """Compare the counts of samples in which nothing was under way with what the callers got; return how many."""
    if evidence.found.foreign or any(request.number is None for request in evidence.requests.values()):
        return 0  # somebody else asks too, or some were refused before they were counted
    ends = sorted(
        (request.outcome["seq"], _went_well(request))
        for request in evidence.requests.values()
        if request.outcome is not None
    )
    sent = sorted(request.invoke["seq"] for request in evidence.requests.values())
    compared = ended = ok = asked = 0
    for sample in samples:
        while ended < len(ends) and ends[ended][0] < sample["seq"]:
            ok += ends[ended][1]
            ended += 1
        while asked < len(sent) and sent[asked] < sample["seq"]:
            asked += 1
        if asked != ended:
            continue
        compared += 1
        for name, number in (("submitted", asked), ("ok", ok)):
            if sample["metrics"][name] != number:
                cases.add(f"the pool counts {sample['metrics'][name]} {name}, its callers {number}", [sample["seq"]])
    return compared
