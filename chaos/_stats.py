"""Percentiles that cannot flatter: nearest rank over all values, nothing averaged, nothing rounded first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed (nearest rank).

    Args:
        ordered: The values, ascending, at least one.
        share: Between 0 and 1.
    """
    if not ordered:
        raise ValueError("a percentile of nothing")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must lie between 0 and 1, not {share}")
    # Multiplying may land a hair above a whole rank (0.07 * 100); a billionth is far below one rank of any real sample.
    rank = math.ceil(share * len(ordered) - 1e-9)
    return ordered[max(rank, 1) - 1]


@attrs.frozen(kw_only=True)
class Summary:
    """A sample in six numbers, in the sample's own unit."""

    count: int
    minimum: float
    p50: float
    p95: float
    p99: float
    maximum: float


def summarize(values: Iterable[float]) -> Summary | None:
    """Return the six numbers, or None of an empty sample."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Summary(
        count=len(ordered),
        minimum=ordered[0],
        p50=percentile(ordered, 0.50),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        maximum=ordered[-1],
    )
