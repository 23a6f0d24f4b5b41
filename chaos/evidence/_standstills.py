"""When the application stood still: the pool, its callers, and whoever takes the time, all at once.

They live in one process. What it could not see in time neither could the pool, so what happened meanwhile is judged by
the time that was left to them. But a pool may be the very reason why the process stands; hence it matters whether a
fault explains it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import attrs

from ..scenario._application_faults import AppStall, AppStop

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._history import Record
    from ._occurrences import Occurrence

LEAST: Final = 0.05
"""Seconds by which a sample must be late for the loop to have stood still; what is shorter is in the slack of those who
judge by the clock."""


@attrs.frozen(kw_only=True)
class Standstills:
    """The stretches in which the application stood still, in order and apart from each other.

    Args:
        planned: Those that a fault is the reason of.
        all: Those and the others, which the sampler has seen.
    """

    planned: Sequence[tuple[float, float]]
    all: Sequence[tuple[float, float]]


def find_standstills(occurrences: Iterable[Occurrence], samples: Iterable[Record]) -> Standstills:
    """Find out when the application stood still: by what stopped it, and by the samples that came late."""
    planned = [
        (occurrence.begin, min(occurrence.end, occurrence.begin + _seconds(occurrence)))
        for occurrence in occurrences
        if occurrence.injects and isinstance(occurrence.spec, AppStop | AppStall)
    ]
    # A sample is written when it is over, and so is what kept it.
    seen = [
        (float(sample["t"]) - float(sample["lag"]), float(sample["t"]))
        for sample in samples
        if float(sample.get("lag") or 0.0) >= LEAST
    ]
    return Standstills(planned=joined(planned), all=joined([*planned, *seen]))


def joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return stretches of time in order, those that touch made one."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def overlap(spans: Iterable[tuple[float, float]], begin: float, end: float) -> float:
    """Return how much of a stretch of time is covered by others, which are apart from each other."""
    return sum(max(0.0, min(end, until) - max(begin, since)) for since, until in spans)


def _seconds(occurrence: Occurrence) -> float:
    """Return for how long the application stood, by its own word; without one nobody knows, and its healing ends it."""
    for entry in occurrence.effects:
        effect: object = entry.get("effect")
        seconds = cast("dict[str, object]", effect).get("seconds") if isinstance(effect, dict) else None
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            return float(seconds)
    return float("inf")
