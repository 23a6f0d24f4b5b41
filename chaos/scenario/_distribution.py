"""Distributions of times and numbers, as a scenario writes them: ``{ dist = "exponential", mean = "50ms" }``."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from random import Random

_Z99 = 2.3263478740408408
"""The 99th percentile of the standard normal distribution."""


class Shape(StrEnum):
    """The kinds of distribution."""

    CONSTANT = "constant"
    """Always ``mean``."""
    UNIFORM = "uniform"
    """Between ``low`` and ``high``."""
    EXPONENTIAL = "exponential"
    """With this ``mean``: waits of people who do not look at each other's clocks."""
    LOGNORMAL = "lognormal"
    """By its ``p50`` and ``p99``: service times, mostly short and now and then long."""
    GEOMETRIC = "geometric"
    """Whole numbers from 1 with this ``mean``: how many requests a session makes."""


_NEEDS = {
    Shape.CONSTANT: ("mean",),
    Shape.UNIFORM: ("low", "high"),
    Shape.EXPONENTIAL: ("mean",),
    Shape.LOGNORMAL: ("p50", "p99"),
    Shape.GEOMETRIC: ("mean",),
}


@attrs.frozen(kw_only=True)
class Distribution:
    """What values to draw. Times are in seconds.

    Args:
        dist: The kind; it says which of the others must be given, and no others may be.
        mean: Of constant, exponential and geometric ones.
        low: Of uniform ones.
        high: Of uniform ones.
        p50: The median of lognormal ones.
        p99: The 99th percentile of lognormal ones.

    Raises:
        ValueError: A value is missing, out of place or out of range.
    """

    dist: Shape = attrs.field(converter=Shape)
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p50: float | None = None
    p99: float | None = None

    def __attrs_post_init__(self) -> None:
        needed = _NEEDS[self.dist]
        for name in ("mean", "low", "high", "p50", "p99"):
            value: float | None = getattr(self, name)
            if (value is not None) != (name in needed):
                raise ValueError(f"{name}: a {self.dist} distribution {'needs' if name in needed else 'has no'} {name}")
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}: must be a number from 0 on, is {value}")
        if self.dist is Shape.UNIFORM and self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low: {self.low} is above high, {self.high}")
        if self.dist is Shape.LOGNORMAL and not 0 < (self.p50 or 0) <= (self.p99 or 0):
            raise ValueError(f"p50: must be above 0 and at most p99, is {self.p50}")
        if self.dist is Shape.GEOMETRIC and (self.mean or 0) < 1:
            raise ValueError(f"mean: a geometric distribution counts from 1, so its mean cannot be {self.mean}")
        if self.dist is Shape.EXPONENTIAL and not self.mean:
            raise ValueError("mean: must be above 0")

    def draw(self, chance: Random) -> float:
        """Return one value."""
        match self.dist:
            case Shape.CONSTANT:
                assert self.mean is not None  # noqa: S101  # narrows the type; checked above, as in the next
                return self.mean
            case Shape.UNIFORM:
                assert self.low is not None  # noqa: S101
                assert self.high is not None  # noqa: S101
                return chance.uniform(self.low, self.high)
            case Shape.EXPONENTIAL:
                assert self.mean is not None  # noqa: S101
                return chance.expovariate(1.0 / self.mean)
            case Shape.LOGNORMAL:
                assert self.p50 is not None  # noqa: S101
                assert self.p99 is not None  # noqa: S101
                return chance.lognormvariate(math.log(self.p50), math.log(self.p99 / self.p50) / _Z99)
            case Shape.GEOMETRIC:
                assert self.mean is not None  # noqa: S101
                if self.mean == 1:
                    return 1.0
                # The inverse of 1 - (1 - p)^k, with p = 1 / mean.
                return 1.0 + math.floor(math.log(1.0 - chance.random()) / math.log(1.0 - 1.0 / self.mean))
