"""The metrics of a run, taken from its history, window by window.

Latency counts from the moment a request was meant to be sent, so that what a stalled pool kept from being sent is not
left out; service time counts from the sending. There are two distributions of each: that of the successes, and that of
all requests, where a failure counts with the time it took to fail, and one that ran out of time with no less than the
time it had: else a pool that fails fast would look fast.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from ._measured import Fate
from ._quantiles import Spread, quantile, spread  # cattrs looks `Spread` up
from ._windows import ALL, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._history import Record
    from ._measured import Drop, Measured
    from ._recovery import Missed, Occurrence

GAUGES: Mapping[str, str] = {
    "pool.ready": "ready",
    "pool.busy": "busy",
    "pool.size": "size",
    "queue.depth": "queued",
    "in_flight": "in_flight",
    "sessions": "sessions",
    "rss": "rss",
    "fds": "fds",
    "threads": "threads",
    "tasks": "tasks",
    "lag": "lag",
}
"""Metrics that samples hold, and the name of their field there."""

_SHARES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}

_EVENTS: Mapping[str, str] = {
    "stale_replies": "StaleReply",
    "redispatched": "RequestRedispatched",
    "retried": "RequestRetried",
}

LATENCIES = ("latency", "latency_all")
"""Those that count from the intended time, and so measure the generator where it is behind."""

_TIMEOUTS = ("CommandTimeout", "PoolTimeout", "TimeoutError")


@attrs.frozen(kw_only=True)
class Reading:
    """The value of a metric in a window.

    Args:
        value: None if there is nothing to take it of; ``why`` says so.
        low: The lower end of its 95 % interval, where it has one.
        high: The upper end.
        count: How many requests, strikes or samples it is taken of.
        share: Of a percentile: which.
        why: Why there is no value.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    share: float | None = None
    why: str | None = None


@attrs.frozen(kw_only=True)
class Numbers:
    """What a window comes to, for reports. Times are in seconds.

    Args:
        window: Its name.
        seconds: Its length; None if only the run's end ended it.
        sent: Requests that were sent.
        ok: Those that succeeded.
        failed: Those that failed, the lost among them.
        given_up: Those whose own caller cancelled them.
        cut_off: Those that the end of the run overtook.
        dropped: Arrivals that were never sent.
        success_rate: The share of those that succeeded or failed; None of none.
        errors: How many ended with each error.
        latency: From the intended time, of the successes.
        latency_all: The same of all, failures with the time they took.
        service: From the sending, of the successes.
        queue_wait: From the sending until a worker had it.
        generator_lag: How far the sender was behind its plan.
    """

    window: str
    seconds: float | None
    sent: int
    ok: int
    failed: int
    given_up: int
    cut_off: int
    dropped: int
    success_rate: float | None
    errors: dict[str, int]
    latency: Spread | None
    latency_all: Spread | None
    service: Spread | None
    queue_wait: Spread | None
    generator_lag: Spread | None


@attrs.frozen(kw_only=True, slots=False, eq=False)
class Measures:
    """All of a run that metrics are taken of.

    Args:
        records: The whole history.
        requests: Those that were sent.
        drops: Those that were not.
        occurrences: The strikes that hit.
        missed: Those that did not.
        windows: By name.
        timeout: The budget of a request that has none of its own.
    """

    records: Sequence[Record]
    requests: Sequence[Measured]
    drops: Sequence[Drop]
    occurrences: Sequence[Occurrence]
    missed: Sequence[Missed]
    windows: Mapping[str, Window]
    timeout: float | None = None
    _within: dict[Window, list[Measured]] = attrs.field(
        factory=dict["Window", "list[Measured]"], init=False, repr=False
    )

    @cached_property
    def samples(self) -> Sequence[Record]:
        """What the sampler saw."""
        return [entry for entry in self.records if entry["src"] == "sampler" and entry["type"] == "sample"]

    @cached_property
    def events(self) -> Sequence[Record]:
        """What the pool told."""
        return [entry for entry in self.records if entry["src"] == "pool"]

    def within(self, window: Window) -> list[Measured]:
        """Return the requests that were meant to be sent in a window."""
        if window not in self._within:
            self._within[window] = [request for request in self.requests if window.holds(request.intended)]
        return self._within[window]

    def read(self, name: str, window: Window) -> Reading:
        """Return the value of a metric in a window.

        Raises:
            KeyError: There is no metric of that name.
        """
        head, _, part = name.rpartition(".")
        if head in ("latency", "latency_all", "service", "queue_wait", "generator_lag"):
            return _part(part, self.times(head, self.within(window)), f"no request has a {head} in {window.name}")
        if head.startswith("time_to_"):
            return self._recovered(head.removeprefix("time_to_"), part, window)
        if head == "error":
            errors = Counter(request.error for request in self.within(window) if request.fate is not Fate.OK)
            return Reading(value=float(errors[part]), count=errors.total())
        if head.startswith("fault."):
            return self._fault(head.removeprefix("fault."), part, window)
        if head in GAUGES and part in ("min", "mean", "max"):
            values = self.sampled(head, window)
            return _part(part, sorted(values), f"no sample of {head} lies in {window.name}")
        if name in GAUGES:
            # Of a whole window there is no one value; that at its end is what a condition would see.
            values = self.sampled(name, window)
            return Reading(value=values[-1], count=len(values)) if values else Reading(value=None, why="no sample")
        return self._counted(name, window)

    def sampled(self, name: str, window: Window) -> list[float]:
        """Return a gauge's values in a window, in the order of time."""
        field = GAUGES[name]
        return [
            float(entry[field])
            for entry in self.samples
            if entry.get(field) is not None and window.holds(float(entry["t"]))
        ]

    def times(self, name: str, requests: Sequence[Measured]) -> list[float]:
        """Return the times of one kind, ascending."""
        match name:
            case "latency":
                found = [each.latency for each in requests if each.fate is Fate.OK]
            case "latency_all":
                found = [self._endured(each) for each in requests if each.fate in (Fate.OK, Fate.FAILED)]
            case "service":
                found = [each.service for each in requests if each.fate is Fate.OK]
            case "queue_wait":
                found = [each.wait for each in requests]
            case _:
                found = [each.lag for each in requests]
        return sorted(value for value in found if value is not None)

    def numbers(self, window: Window) -> Numbers:
        """Return everything a report says of a window."""
        requests = self.within(window)
        fates = Counter(request.fate for request in requests)
        failed = fates[Fate.FAILED] + fates[Fate.LOST]
        settled = fates[Fate.OK] + failed
        errors = Counter(request.error or "no outcome" for request in requests if request.settled)
        del errors["no outcome"]
        if fates[Fate.LOST]:
            errors["no outcome"] = fates[Fate.LOST]
        seconds = window.seconds
        return Numbers(
            window=window.name,
            seconds=round(seconds, 6) if math.isfinite(seconds) else None,
            sent=len(requests),
            ok=fates[Fate.OK],
            failed=failed,
            given_up=fates[Fate.GIVEN_UP],
            cut_off=fates[Fate.CUT_OFF],
            dropped=sum(window.holds(drop.intended) for drop in self.drops),
            success_rate=fates[Fate.OK] / settled if settled else None,
            errors=dict(sorted(errors.items(), key=lambda item: (-item[1], item[0]))),
            latency=spread(self.times("latency", requests)),
            latency_all=spread(self.times("latency_all", requests)),
            service=spread(self.times("service", requests)),
            queue_wait=spread(self.times("queue_wait", requests)),
            generator_lag=spread(self.times("generator_lag", requests)),
        )

    def _endured(self, request: Measured) -> float | None:
        if request.latency is None or request.error not in _TIMEOUTS:
            return request.latency
        return max(request.latency, request.timeout or self.timeout or 0.0)

    def _recovered(self, what: str, part: str, window: Window) -> Reading:
        # A strike belongs to a window by its time, and to a fault's own window by its name.
        struck = [
            each for each in self.occurrences if (each.fault == window.fault if window.fault else window.holds(each.at))
        ]
        if not struck:
            return Reading(value=None, why=f"no fault struck in {window.name}")
        values: list[float | None] = [getattr(each, what) for each in struck]
        if what == "detect":
            # A worker that was not lost had nothing wrong with it that the pool was bound to see.
            values = [value for value, each in zip(values, struck, strict=True) if value is not None or each.lost]
        if not values:
            return Reading(value=None, why="there was nothing to detect")
        known = sorted(value for value in values if value is not None)
        if len(known) < len(values):
            # Never is later than any bound.
            return Reading(value=math.inf, count=len(values))
        return _part(part, known, "")

    def _fault(self, name: str, part: str, window: Window) -> Reading:
        own = window.fault == name or window.name == ALL
        struck = [each for each in self.occurrences if each.fault == name and (own or window.holds(each.at))]
        missed = [each for each in self.missed if each.fault == name and (own or window.holds(each.at))]
        values = {
            "strikes": len(struck),
            "hits": sum(len(each.victims) for each in struck),
            "hit_in_flight": sum(each.in_flight for each in struck),
            "hit_several": sum(each.several for each in struck),
            "frames": sum(each.frames for each in struck),
            "missed": len(missed),
        }
        return Reading(value=float(values[part]), count=len(struck) + len(missed))

    def _counted(self, name: str, window: Window) -> Reading:
        requests = self.within(window)
        if name == "success_rate":
            settled = [request for request in requests if request.settled]
            if not settled:
                return Reading(value=None, why=f"no request ended in {window.name}")
            ok = sum(request.fate is Fate.OK for request in settled)
            low, high = wilson(ok, len(settled))
            return Reading(value=ok / len(settled), low=low, high=high, count=len(settled))
        if name == "dropped":
            value = sum(window.holds(drop.intended) for drop in self.drops)
        elif name in ("restarts", "worker.restarts"):
            value = sum(window.holds(t) for t in self._restarts)
        elif name in _EVENTS:
            value = sum(entry["type"] == _EVENTS[name] and window.holds(entry["t"]) for entry in self.events)
        else:
            value = {
                "sent": len(requests),
                "ok": sum(each.fate is Fate.OK for each in requests),
                "failed": sum(each.fate is Fate.FAILED and each.outcome != "maybe_executed" for each in requests),
                "info": sum(
                    each.fate is Fate.GIVEN_UP or (each.fate is Fate.FAILED and each.outcome == "maybe_executed")
                    for each in requests
                ),
            }[name]
        return Reading(value=float(value), count=len(requests))

    @cached_property
    def _restarts(self) -> Sequence[float]:
        """When a worker was started in the place of one that ended unasked."""
        found: list[float] = []
        unasked: set[int] = set()
        for entry in self.events:
            if entry["type"] == "WorkerExited" and not entry.get("planned", False):
                unasked.add(entry["slot"])
            elif entry["type"] == "WorkerStarting" and entry["slot"] in unasked:
                unasked.discard(entry["slot"])
                found.append(float(entry["t"]))
        return found


def _part(part: str, ordered: Sequence[float], why: str) -> Reading:
    if not ordered:
        return Reading(value=None, why=why)
    count = len(ordered)
    match part:
        case "max":
            return Reading(value=ordered[-1], count=count)
        case "min":
            return Reading(value=ordered[0], count=count)
        case "mean":
            return Reading(value=math.fsum(ordered) / count, count=count)
        case _:
            found = quantile(ordered, _SHARES[part])
            return Reading(value=found.value, low=found.low, high=found.high, count=count, share=found.share)


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's formula, which stays between 0 and 1 and holds for few values."""
    z = 1.959963984540054
    share = part / whole
    scale = 1.0 + z * z / whole
    middle = (share + z * z / (2 * whole)) / scale
    reach = z * math.sqrt(share * (1.0 - share) / whole + z * z / (4 * whole * whole)) / scale
    return max(0.0, middle - reach), min(1.0, middle + reach)
