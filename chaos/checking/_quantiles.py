"""Percentiles that say how far they can be trusted: nearest rank, with the interval that holds the true one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from .._stats import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_Z95 = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution: 95 % lie within it on both sides."""

BEYOND = 10
"""Values that must lie beyond a percentile before it is worth a judgement: the 99.9th of 1000 is the slowest but one,
and says nothing about the next thousand."""

SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
"""Those in every table."""


@attrs.frozen(kw_only=True)
class Quantile:
    """One percentile of a sample, in the sample's own unit.

    Args:
        share: 0.99 for the 99th percentile.
        value: The smallest value that so large a share does not exceed.
        low: The lower end of the 95 % interval; one of the values too.
        high: The upper end.
        count: How many values there were.
    """

    share: float
    value: float
    low: float
    high: float
    count: int

    @property
    def enough(self) -> bool:
        """Whether there are values enough to judge by it."""
        return self.count >= needed(self.share)


def needed(share: float) -> int:
    """Return how many values a percentile must be taken of: 20 for the median, 1000 for the 99th, and so on."""
    # Rounded first: 1 - 0.9 is a hair below a tenth, and would ask for 101.
    return math.ceil(round(BEYOND / (1.0 - share), 6)) if share < 1.0 else 1


def ranks(count: int, share: float) -> tuple[int, int]:
    """Return the ranks, from 1, of the values between which the true percentile lies with 95 % confidence.

    How many of ``count`` values lie below the true percentile is binomial, whatever they are distributed like; this is
    its normal approximation, cut to the sample.
    """
    middle = count * share
    reach = _Z95 * math.sqrt(count * share * (1.0 - share))
    return max(1, math.floor(middle - reach)), min(count, math.ceil(middle + reach))


def quantile(ordered: Sequence[float], share: float) -> Quantile:
    """Return a percentile of values in ascending order.

    Raises:
        ValueError: There is none, or ``share`` is not between 0 and 1.
    """
    value = percentile(ordered, share)
    low, high = ranks(len(ordered), share)
    # For very small samples the approximation may miss the nearest rank itself.
    return Quantile(
        share=share,
        value=value,
        low=min(ordered[low - 1], value),
        high=max(ordered[high - 1], value),
        count=len(ordered),
    )


@attrs.frozen(kw_only=True)
class Spread:
    """How a sample is spread.

    Args:
        count: How many values.
        minimum: The smallest.
        maximum: The largest.
        quantiles: Those of `SHARES`, in order.
    """

    count: int
    minimum: float
    maximum: float
    quantiles: tuple[Quantile, ...]

    def at(self, share: float) -> Quantile:
        """Return one of its percentiles.

        Raises:
            KeyError: It is none of `SHARES`.
        """
        for each in self.quantiles:
            if each.share == share:
                return each
        raise KeyError(share)


def spread(values: Iterable[float]) -> Spread | None:
    """Return how values are spread, or None of no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Spread(
        count=len(ordered),
        minimum=ordered[0],
        maximum=ordered[-1],
        quantiles=tuple(quantile(ordered, share) for share in SHARES),
    )
