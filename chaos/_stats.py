"""Percentiles that cannot flatter: nearest rank over all values, nothing averaged, nothing rounded first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_pool.testing import percentile as percentile

if TYPE_CHECKING:
    from collections.abc import Iterable


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
