"""Percentiles and their intervals: exact ranks, honest widths, and no judgement from too few values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.checking._comparison import _again
from chaos.checking._metrics import wilson
from chaos.checking._quantiles import SHARES, needed, quantile, ranks, spread
from chaos.scenario._streams import stream

VALUES = st.lists(st.floats(0, 1e3, allow_nan=False), min_size=1, max_size=200).map(sorted)


@pytest.mark.parametrize(
    ("count", "share", "low", "high"),
    [
        # Conover, Practical Nonparametric Statistics: nq -+ 1.96 sqrt(nq(1-q)), rounded outwards.
        (100, 0.5, 40, 60),
        (1000, 0.95, 936, 964),
        (1000, 0.99, 983, 997),
        (10_000, 0.999, 9983, 9997),
        (20, 0.5, 5, 15),
        (5, 0.99, 4, 5),
        (1, 0.5, 1, 1),
    ],
)
def test_ranks_of_the_interval(count: int, share: float, low: int, high: int) -> None:
    """They are those of the normal approximation, cut to the sample."""
    assert ranks(count, share) == (low, high)


def test_the_ends_of_the_interval_are_the_values_of_those_ranks() -> None:
    """Not of some others."""
    found = quantile([float(each) for each in range(1, 1001)], 0.95)
    assert (found.low, found.value, found.high) == (936.0, 950.0, 964.0)


@pytest.mark.parametrize(("share", "least"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000), (0.999, 10_000)])
def test_what_a_percentile_needs(share: float, least: int) -> None:
    """Ten values beyond it: the last count that is too small and the first that is not."""
    assert needed(share) == least
    assert not quantile([0.0] * (least - 1), share).enough
    assert quantile([0.0] * least, share).enough


@pytest.mark.parametrize("share", SHARES)
def test_the_interval_covers_what_it_says(share: float) -> None:
    """With as many values as are needed, the true percentile lies in it with about 95 %, exactly counted."""
    count = needed(share)
    low, high = ranks(count, share)
    # The number of values below the true percentile is binomial; the interval holds it if that is low .. high - 1.
    covered = math.fsum(
        math.exp(
            math.lgamma(count + 1)
            - math.lgamma(each + 1)
            - math.lgamma(count - each + 1)
            + each * math.log(share)
            + (count - each) * math.log1p(-share)
        )
        for each in range(low, high)
    )
    assert 0.94 < covered < 0.99


@given(VALUES, st.sampled_from(SHARES))
def test_every_number_is_one_of_the_values(values: list[float], share: float) -> None:
    """Nothing is averaged or rounded, and the interval holds the value."""
    found = quantile(values, share)
    assert {found.value, found.low, found.high} <= set(values)
    assert values[0] <= found.low <= found.value <= found.high <= values[-1]
    assert sum(value <= found.value for value in values) >= share * len(values) - 1e-6


@given(VALUES)
def test_a_spread_is_ordered(values: list[float]) -> None:
    """A higher percentile is never below a lower one, nor beyond the largest value."""
    found = spread(values)
    assert found is not None
    shown = [found.minimum, *(each.value for each in found.quantiles), found.maximum]
    assert shown == sorted(shown)
    assert found.count == len(values)
    with pytest.raises(KeyError):
        found.at(0.123)


def test_no_values_have_no_spread() -> None:
    """Nothing is said of nothing."""
    assert spread([]) is None


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    # Of Newcombe, Statistics in Medicine 17 (1998), table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share(part: int, whole: int, low: float, high: float) -> None:
    """It is Wilson's, with the values of the literature."""
    assert wilson(part, whole) == pytest.approx((low, high), abs=1e-4)


def test_a_sample_drawn_anew_has_percentiles_like_one_that_was() -> None:
    """The shortcut by the beta distribution agrees with drawing every value and sorting."""
    values = [float(each) for each in range(400)]
    chance = stream(1, "drawn anew")
    quick = sorted(_again(values, 0.9, chance) for _ in range(2000))
    slow = sorted(quantile(sorted(chance.choices(values, k=400)), 0.9).value for _ in range(400))
    for share in (0.05, 0.5, 0.95):
        assert quantile(quick, share).value == pytest.approx(quantile(slow, share).value, abs=4.0)
