"""Whether the steady state held, sample by sample, read off the history as the run itself saw it."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from ..scenario._expressions import Metric
from ._measured import Fate
from ._metrics import GAUGES
from ._objectives import COMPARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._history import Record
    from ..scenario._expressions import Expression
    from ._measured import Measured

_RATES = frozenset({"success_rate", "ok", "sent", "failed"})


def steadiness(
    require: Sequence[Expression], records: Sequence[Record], requests: Sequence[Measured]
) -> list[tuple[float, bool]]:
    """Return at each sample's time whether a steady state held: all workers ready, where nothing else is said.

    What nothing is known of at that moment, such as a rate while nothing is asked, contradicts nothing. Rates are those
    of the requests that ended in the seconds before.
    """
    ended = _Ended(requests)
    found: list[tuple[float, bool]] = []
    for entry in records:
        if entry["src"] != "sampler" or entry["type"] != "sample":
            continue
        if require:
            well = all(_holds(expression, entry, ended) for expression in require)
        else:
            well = entry.get("size") is None or entry["ready"] >= entry["size"]
        found.append((float(entry["t"]), well))
    return found


class _Ended:
    """The requests by the time of their end, and how many of those before each had succeeded."""

    def __init__(self, requests: Sequence[Measured]) -> None:
        ended = sorted((each.done, each.fate is Fate.OK) for each in requests if each.done is not None)
        self.times = [done for done, _ in ended]
        self.succeeded = [0]
        for _, ok in ended:
            self.succeeded.append(self.succeeded[-1] + ok)

    def between(self, start: float, end: float) -> tuple[int, int]:
        """Return how many ended from one moment to another, and how many of those had succeeded."""
        first, last = bisect_left(self.times, start), bisect_left(self.times, end)
        return last - first, self.succeeded[last] - self.succeeded[first]


def _holds(expression: Expression, sample: Record, ended: _Ended) -> bool:
    left = _value(expression.left, sample, ended)
    right = expression.right
    bound = _value(right, sample, ended) if isinstance(right, Metric) else right
    return left is None or bound is None or COMPARE[expression.comparison](left, bound)


def _value(metric: Metric, sample: Record, ended: _Ended) -> float | None:
    if metric.name in _RATES:
        t = float(sample["t"])
        total, ok = ended.between(0.0 if metric.over is None else t - metric.over, t)
        if metric.name == "success_rate":
            return ok / total if total else None
        return float({"ok": ok, "sent": total, "failed": total - ok}[metric.name])
    value = sample.get(GAUGES.get(metric.name, ""))
    return None if value is None else float(value)
