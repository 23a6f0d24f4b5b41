"""``latency.hgrm``: the percentile table that HdrHistogram's tools draw and compare.

The library of that name keeps counts in buckets; the values of a run are all there, so the table is made of them
exactly and nothing needs to be installed. In milliseconds, with the steps that the format halves towards 100 %.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from .._stats import percentile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_STEPS: Final = 5
"""Lines in every halving of the distance to 100 %, as the format's own writers have by default."""


def make_hgrm(ordered: Sequence[float]) -> str:
    """Return the table.

    Args:
        ordered: Times in seconds, ascending; there may be none.
    """
    lines = ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]
    count = len(ordered)
    for share in _shares(count):
        value = percentile(ordered, share)
        # How many are no larger, as the format has it: more than the share says where values are equal.
        total = bisect_right(ordered, value)
        inverse = f"{1.0 / (1.0 - share):>14.2f}" if share < 1.0 else f"{'inf':>14}"
        lines.append(f"{value * 1e3:>12.3f} {share:>2.12f} {total:>10} {inverse}")
    mean = math.fsum(ordered) / count if count else 0.0
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in ordered) / count) if count else 0.0
    largest = ordered[-1] if count else 0.0
    lines += [
        f"#[Mean    = {mean * 1e3:>12.3f}, StdDeviation   = {deviation * 1e3:>12.3f}]",
        f"#[Max     = {largest * 1e3:>12.3f}, Total count    = {count:>12}]",
        # Of the exact values there is no bucket; the format's readers want the line.
        f"#[Buckets = {1:>12}, SubBuckets     = {max(count, 1):>12}]",
    ]
    return "\n".join(lines) + "\n"


def _shares(count: int) -> Iterator[float]:
    """Yield shares from 0 to 1, in steps that halve with the distance to 1, until a step holds less than one value."""
    if not count:
        return
    share, step = 0.0, 0.5 / _STEPS
    while (1.0 - share) * count > 1.0:
        for index in range(_STEPS):
            yield share + index * step
        share, step = share + _STEPS * step, step / 2
    yield 1.0
