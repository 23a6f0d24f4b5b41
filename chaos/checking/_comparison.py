"""Two runs side by side: what differs, and whether by more than chance.

The interval of a difference of percentiles is a bootstrap's: both samples are drawn anew many times, and the middle
95 % of the differences are kept. A percentile of a sample drawn anew is one of the old values, and how its rank is
distributed is known exactly, so a draw costs one random number and not a sort. That of a difference of shares is
Newcombe's, made of the two shares' own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

from .._stats import percentile
from ..scenario._streams import stream
from ._measured import Fate
from ._metrics import wilson
from ._quantiles import needed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from ._metrics import Measures

DRAWS: Final = 1000
"""The ends of a 95 % interval then rest on 25 draws each, and a comparison takes a second."""

TOLERANCE: Final = 0.1
"""The share by which a percentile may be larger without being a regression: two runs of the same on a shared machine
differ by that much, whatever their intervals say, for what changes between them is not only chance within each."""

_SHARES: Final = (0.5, 0.95, 0.99)


@attrs.frozen(kw_only=True)
class Difference:
    """One number of two runs.

    Args:
        window: Over what it is taken.
        name: What it is: ``success_rate``, ``latency.p95``.
        first: Of the first run.
        second: Of the second.
        low: The lower end of the 95 % interval of second minus first.
        high: The upper end.
        count: Of how many values the smaller sample is.
        worse: Whether the second run is worse by more than chance and tolerance.
        better: Whether it is better by as much.
    """

    window: str
    name: str
    first: float
    second: float
    low: float
    high: float
    count: int
    worse: bool
    better: bool


@attrs.frozen(kw_only=True)
class Comparison:
    """Two runs, compared.

    Args:
        differences: Everything that both have values enough of.
        left_out: What could not be compared, and why.
    """

    differences: tuple[Difference, ...]
    left_out: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """3 if anything is worse, 2 if nothing could be compared, else 0."""
        if any(each.worse for each in self.differences):
            return 3
        return 0 if self.differences else 2


def compare(first: Measures, second: Measures, *, tolerance: float = TOLERANCE, seed: int = 0) -> Comparison:
    """Compare two runs, window by window.

    Args:
        first: The run that the other is held against.
        second: The other.
        tolerance: The share by which a percentile may be larger.
        seed: Of the draws; the same runs and seed give the same intervals.
    """
    differences: list[Difference] = []
    left_out: list[str] = []
    for name in first.windows:
        if name not in second.windows:
            left_out.append(f"{name}: the second run has no such window")
            continue
        for found in _window(name, first, second, tolerance, stream(seed, f"compare:{name}")):
            if isinstance(found, str):
                left_out.append(found)
            else:
                differences.append(found)
    left_out += [f"{name}: the first run has no such window" for name in second.windows if name not in first.windows]
    return Comparison(differences=tuple(differences), left_out=tuple(left_out))


def _window(
    name: str, first: Measures, second: Measures, tolerance: float, chance: Random
) -> Iterator[Difference | str]:
    ours, theirs = (each.within(each.windows[name]) for each in (first, second))
    counts = [
        (sum(request.fate is Fate.OK for request in each), sum(request.settled for request in each))
        for each in (ours, theirs)
    ]
    if all(total for _, total in counts):
        yield _share(name, counts[0], counts[1])
    else:
        yield f"{name}: no request ended there in one of them"
        return
    for kind in ("latency", "service"):
        samples = first.times(kind, ours), second.times(kind, theirs)
        for share in _SHARES:
            metric = f"{kind}.p{share * 100:.0f}"
            smaller = min(map(len, samples))
            if smaller < needed(share):
                yield f"{name}: {metric} needs {needed(share)} values, there are {smaller}"
            else:
                yield _quantile(name, metric, samples, share, tolerance, chance)


def _share(window: str, first: tuple[int, int], second: tuple[int, int]) -> Difference:
    a, b = first[0] / first[1], second[0] / second[1]
    (a_low, a_high), (b_low, b_high) = wilson(*first), wilson(*second)
    low = b - a - math.hypot(b - b_low, a_high - a)
    high = b - a + math.hypot(b_high - b, a - a_low)
    return Difference(
        window=window,
        name="success_rate",
        first=a,
        second=b,
        low=low,
        high=high,
        count=min(first[1], second[1]),
        worse=high < 0.0,
        better=low > 0.0,
    )


def _quantile(
    window: str,
    name: str,
    samples: tuple[Sequence[float], Sequence[float]],
    share: float,
    tolerance: float,
    chance: Random,
) -> Difference:
    a, b = (percentile(sample, share) for sample in samples)
    drawn = sorted(_again(samples[1], share, chance) - _again(samples[0], share, chance) for _ in range(DRAWS))
    low, high = percentile(drawn, 0.025), percentile(drawn, 0.975)
    return Difference(
        window=window,
        name=name,
        first=a,
        second=b,
        low=low,
        high=high,
        count=min(map(len, samples)),
        worse=low > 0.0 and b > a * (1.0 + tolerance),
        better=high < 0.0 and b * (1.0 + tolerance) < a,
    )


def _again(ordered: Sequence[float], share: float, chance: Random) -> float:
    """Return the percentile of the sample drawn anew with replacement.

    Its value is that at the place where the rank-th smallest of as many uniform numbers falls, and that number has a
    beta distribution.
    """
    count = len(ordered)
    rank = max(math.ceil(share * count - 1e-9), 1)
    return ordered[min(int(chance.betavariate(rank, count - rank + 1) * count), count - 1)]
