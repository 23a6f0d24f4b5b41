"""What came of a load: how much of it succeeded, how late, and whether the numbers can be believed."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

import attrs

from ._stats import summarize

if TYPE_CHECKING:
    from ._load_config import LoadConfig
    from ._stats import Summary

DROPPED = "Dropped"
"""The kind of failure of an operation that was not sent, because too many were unanswered."""
UNANSWERED = "Unanswered"
"""The kind of failure of an operation without an outcome when the overtime was over."""
WRONG_REPLY = "WrongReply"
"""The kind of failure of an operation that was answered, and not with what it had asked for."""

ENOUGH = 1000
"""Latencies needed to speak of a 99th percentile: of fewer, it is one of the ten largest and mostly luck."""

_QUOTED = 200  # characters of an example: enough for an error's line, and a wrong reply may be of any length


@attrs.frozen(kw_only=True)
class LoadError:
    """All failures of one kind.

    Args:
        kind: The error's class, or ``Dropped``, ``Unanswered``, ``WrongReply``.
        count: How many operations ended like this.
        first_at: When the first of them was meant to be sent, in seconds after the start.
        example: What the first of them said.
    """

    kind: str
    count: int
    first_at: float
    example: str


@attrs.frozen(kw_only=True)
class LoadResult:
    """The outcome of `LoadRunner.run`. Times are in seconds.

    Args:
        config: The load.
        sent: Operations that were sent.
        ok: Those answered with exactly what they had asked for.
        dropped: Operations never sent, because ``max_in_flight`` were unanswered.
        most_in_flight: How many were unanswered at once, at the most.
        errors: What failed, one entry for each kind of failure, the most frequent first; empty when all is well.
        doubts: Why the latencies may say little about the pool; empty when they can be believed.
        latency: Of the operations that succeeded: from the moment each was *meant* to be sent to its reply.
        service: Of the same ones: from the moment each was really sent.
        failure_latency: Of those that failed and were not dropped: from when each was meant to be sent to its failure.
        lag: Of all that were sent: how late.
        duration: From the start until the last operation had its outcome.
        cpu: Processor time this process used for each second of the run, pool and generator together.
    """

    config: LoadConfig
    sent: int
    ok: int
    dropped: int
    most_in_flight: int
    errors: list[LoadError]
    doubts: list[str]
    latency: Summary | None
    service: Summary | None
    failure_latency: Summary | None
    lag: Summary | None
    duration: float
    cpu: float

    @property
    def failed(self) -> int:
        """Operations without a right answer, the dropped ones among them."""
        return self.sent + self.dropped - self.ok

    @property
    def success_rate(self) -> float:
        """The share of all planned operations that succeeded, from 0 to 1; dropped ones are failures."""
        planned = self.sent + self.dropped
        return self.ok / planned if planned else 0.0

    # Infinite when nothing succeeded: no limit holds then, and a comparison with one must not come out true.

    @property
    def p50_latency(self) -> float:
        """The median of `latency`; infinite when nothing succeeded."""
        return math.inf if self.latency is None else self.latency.p50

    @property
    def p95_latency(self) -> float:
        """The 95th percentile of `latency`; infinite when nothing succeeded."""
        return math.inf if self.latency is None else self.latency.p95

    @property
    def p99_latency(self) -> float:
        """The 99th percentile of `latency`; infinite when nothing succeeded."""
        return math.inf if self.latency is None else self.latency.p99

    @property
    def max_latency(self) -> float:
        """The longest of `latency`; infinite when nothing succeeded."""
        return math.inf if self.latency is None else self.latency.maximum

    def __str__(self) -> str:
        """Return the result in a few lines, as a failed test shows it."""
        rate = self.sent / self.duration if self.duration else 0.0
        lines = [
            f"{self.sent} operations sent in {self.duration:.2f} s ({rate:.0f}/s), {self.dropped} not sent,"
            f" {self.ok} ok: success rate {self.success_rate:.5f}",
            f"up to {self.most_in_flight} unanswered at once, {self.cpu:.0%} of a CPU",
            _line("latency from intended send", self.latency),
            _line("service from actual send", self.service),
            _line("failures from intended send", self.failure_latency),
            _line("generator lag", self.lag),
        ]
        lines += [
            f"error: {error.count} x {error.kind}, the first at {error.first_at:.2f} s: {error.example}"
            for error in self.errors
        ]
        lines += [f"doubt: {doubt}" for doubt in self.doubts]
        return "\n".join(lines)


class LoadTally:
    """Collects the outcomes of a load and makes the result of them.

    Args:
        config: The load.
    """

    def __init__(self, config: LoadConfig) -> None:
        self._config = config
        self._sent = 0
        # Arrays: an hour at a thousand a second fits into 100 MB.
        self._latency = array("d")
        self._service = array("d")
        self._failures = array("d")
        self._lag = array("d")
        self._errors: dict[str, LoadError] = {}

    def sent(self, lag: float) -> None:
        """Note that an operation was sent, and how late."""
        self._sent += 1
        self._lag.append(lag)

    def ok(self, latency: float, service: float) -> None:
        """Note a right answer."""
        self._latency.append(latency)
        self._service.append(service)

    def failed(self, kind: str, at: float, example: str, latency: float | None = None) -> None:
        """Note a failure.

        Args:
            kind: Of what kind.
            at: When the operation was meant to be sent.
            example: What it said.
            latency: How long after that it failed; None if it was never sent.
        """
        if latency is not None:
            self._failures.append(latency)
        known = self._errors.get(kind)
        # Outcomes come in any order, and the first of a kind is what one asks about.
        if known is None or at < known.first_at:
            count = 1 if known is None else known.count + 1
            line = " ".join(example[:_QUOTED].split())
            self._errors[kind] = LoadError(kind=kind, count=count, first_at=at, example=line)
        else:
            self._errors[kind] = attrs.evolve(known, count=known.count + 1)

    def result(self, *, dropped: int, most_in_flight: int, duration: float, cpu: float) -> LoadResult:
        """Return the result."""
        lag = summarize(self._lag)
        return LoadResult(
            config=self._config,
            sent=self._sent,
            ok=len(self._latency),
            dropped=dropped,
            most_in_flight=most_in_flight,
            errors=sorted(self._errors.values(), key=lambda error: -error.count),
            doubts=self._doubts(lag),
            latency=summarize(self._latency),
            service=summarize(self._service),
            failure_latency=summarize(self._failures),
            lag=lag,
            duration=duration,
            cpu=cpu,
        )

    def _doubts(self, lag: Summary | None) -> list[str]:
        doubts: list[str] = []
        if lag is not None and lag.p99 > self._config.max_lag:
            doubts.append(
                f"1 in 100 operations was sent {lag.p99 * 1e3:.1f} ms late or more, {self._config.max_lag * 1e3:g} ms"
                " are allowed: some of the latency is the generator's"
            )
        if len(self._latency) < ENOUGH:
            doubts.append(f"{len(self._latency)} operations succeeded, a 99th percentile needs {ENOUGH}")
        return doubts


def _line(name: str, summary: Summary | None) -> str:
    if summary is None:
        return f"{name}: none"
    numbers = {
        "min": summary.minimum,
        "p50": summary.p50,
        "p95": summary.p95,
        "p99": summary.p99,
        "max": summary.maximum,
    }
    return f"{name}: " + ", ".join(f"{label} {value * 1e3:.2f} ms" for label, value in numbers.items())
