"""Live metrics: what can be known of a run while it lasts, for conditions and for the gate before and after."""

from __future__ import annotations

import operator
from collections import deque
from typing import TYPE_CHECKING

from ..scenario._expressions import Comparison, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..scenario._expressions import Expression

_COMPARE: Mapping[Comparison, Callable[[float, float], bool]] = {
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.EQUAL: operator.eq,
    Comparison.UNEQUAL: operator.ne,
    Comparison.AT_LEAST: operator.ge,
    Comparison.MORE: operator.gt,
}

_KEPT = 120.0
"""Seconds for which outcomes are kept: longer than any sensible window over the last seconds."""


class LiveMetrics:
    """Takes samples and outcomes; answers expressions.

    Args:
        clock: Seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._gauges: Mapping[str, float] = {}
        self._outcomes: deque[tuple[float, bool]] = deque()

    def sample(self, gauges: Mapping[str, float]) -> None:
        """Take the state of things now, by metric name."""
        self._gauges = gauges

    def outcome(self, ok: bool) -> None:  # a hook with one argument
        """Take note of one request's outcome."""
        now = self._clock()
        self._outcomes.append((now, ok))
        while self._outcomes and self._outcomes[0][0] < now - _KEPT:
            self._outcomes.popleft()

    def value(self, metric: Metric) -> float | None:
        """Return a metric's value now; None if nothing is known of it, as of a rate while nothing is asked."""
        if metric.name in ("success_rate", "ok", "failed", "sent"):
            since = self._clock() - (_KEPT if metric.over is None else metric.over)
            results = [ok for at, ok in self._outcomes if at >= since]
            counts = {"ok": sum(results), "sent": len(results), "failed": len(results) - sum(results)}
            if metric.name in counts:
                return float(counts[metric.name])
            return sum(results) / len(results) if results else None
        return self._gauges.get(metric.name)

    def holds(self, expression: Expression) -> bool:
        """Whether an expression is true now; what nothing is known of contradicts nothing."""
        left = self.value(expression.left)
        right = self.value(expression.right) if isinstance(expression.right, Metric) else expression.right
        return left is None or right is None or _COMPARE[expression.comparison](left, right)
