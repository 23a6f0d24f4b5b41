"""Workloads: the rate over time, and the times at which requests are to be sent."""

from __future__ import annotations

import math
from functools import cache
from itertools import accumulate, pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool.testing import Workload, strategies

durations = st.floats(0.01, 20)
seeds = st.integers(0, 2**32)


def between(times: list[float], start: float, end: float) -> int:
    """Return how many times lie in a stretch."""
    return sum(1 for at in times if start <= at < end)


@cache
def sent_by(workload: Workload) -> list[float]:
    """Add up the rate over a minute, hundredth by hundredth, as somebody would who knows nothing of its pieces."""
    return list(accumulate((workload.rate_at((step + 0.5) / 100, 60) / 100 for step in range(6000)), initial=0.0))


@pytest.mark.document("F-073")
@pytest.mark.parametrize(
    ("workload", "rates"),
    [
        (Workload.steady(), {0: 10, 29: 10, 59.9: 10}),
        (Workload.ramp(), {0: 0, 15: 12.5, 30: 25, 54: 45}),
        (Workload.ramp(20, 10), {0: 20, 30: 15}),
        (Workload.spike(), {0: 5, 19.9: 5, 20: 100, 29.9: 100, 30: 5, 59.9: 5}),
        (Workload.burst(), {0: 50, 0.9: 50, 1: 2, 9.9: 2, 10: 50, 11: 2, 50: 50}),
        (Workload.burst(size=3, every=0.5, base=1), {0: 6, 0.4: 6, 0.5: 6, 59.9: 6}),
    ],
)
def test_each_pattern_has_its_rates(workload: Workload, rates: dict[float, float]) -> None:
    """Over a minute the rates are those of the testing strategy; before and after it nothing is sent."""
    assert {at: pytest.approx(workload.rate_at(at, 60)) for at in rates} == rates
    assert workload.rate_at(-0.1, 60) == 0
    assert workload.rate_at(60, 60) == 0


@pytest.mark.document("F-073")
@pytest.mark.parametrize(
    ("workload", "counts"),
    [
        (Workload.steady(), {(0, 60): 600, (0, 1): 10, (30, 31): 10}),
        (Workload.ramp(), {(0, 60): 1500, (0, 30): 375, (30, 60): 1125}),
        (Workload.spike(), {(0, 60): 1250, (0, 20): 100, (20, 30): 1000, (30, 60): 150}),
        (Workload.burst(), {(0, 60): 408, (0, 1): 50, (1, 10): 18, (10, 11): 50, (59, 60): 2}),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_pattern_sends_as_many_as_its_rates_say(
    workload: Workload, counts: dict[tuple[float, float], int], seed: int
) -> None:
    """Over a minute, and over each part of it that begins and ends with a whole request."""
    times = workload.arrivals(60, seed)
    assert {part: between(times, *part) for part in counts} == counts


@pytest.mark.document("F-073")
@given(strategies.workloads(), durations, seeds)
def test_arrivals_are_in_order_and_in_time(workload: Workload, duration: float, seed: int) -> None:
    """Whatever the pattern: ascending, none before the start, none at or after the end."""
    times = workload.arrivals(duration, seed)
    assert all(first <= second for first, second in pairwise(times))
    assert all(0 <= at < duration for at in times)
    assert times == workload.arrivals(duration, seed)


PATTERNS = [Workload.steady(3), Workload.ramp(), Workload.ramp(7, 0.5), Workload.spike(), Workload.burst(20, 7, 1)]


@given(st.sampled_from(PATTERNS), seeds, st.integers(0, 6000), st.integers(0, 6000))
def test_no_stretch_of_time_has_too_few_or_too_many(workload: Workload, seed: int, one: int, other: int) -> None:
    """In any stretch there are as many as the rate adds up to, give or take one at each of its ends."""
    start, end = sorted((one, other))
    wanted = sent_by(workload)[end] - sent_by(workload)[start]
    got = between(workload.arrivals(60, seed), start / 100, end / 100)
    assert abs(got - wanted) <= 2.5  # the half is the rounding of the whole to a whole number


def test_chance_is_the_seeds() -> None:
    """Another seed moves the arrivals and keeps their number."""
    first, second = (Workload.steady().arrivals(10, seed) for seed in (1, 2))
    assert first != second
    assert len(first) == len(second) == 100


def test_no_rounding_reaches_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last request is sent before the end, even where chance is as late as it can be."""

    class Latest(Random):
        def random(self) -> float:
            return math.nextafter(1.0, 0.0)

    monkeypatch.setattr("trio_pool.testing._workload.Random", Latest)
    for workload in PATTERNS:
        assert 59.9 < workload.arrivals(60)[-1] < 60


@pytest.mark.parametrize("workload", [Workload.steady(0), Workload.ramp(0, 0), Workload.burst(0, 1, 0)])
def test_no_rate_is_no_arrivals(workload: Workload) -> None:
    """A rate of nothing is a workload like any other."""
    assert workload.arrivals(10) == []


def test_no_duration_is_no_arrivals() -> None:
    """A workload that lasts no time sends nothing."""
    assert Workload.steady().arrivals(0) == []
    assert Workload.steady().rate_at(0, 0) == 0


@pytest.mark.parametrize(
    ("make", "arguments", "name"),
    [
        (Workload.steady, {"rate": -1}, "rate"),
        (Workload.steady, {"rate": math.inf}, "rate"),
        (Workload.ramp, {"end": math.nan}, "end"),
        (Workload.spike, {"peak": "much"}, "peak"),
        (Workload.burst, {"every": 0}, "every"),
        (Workload.burst, {"size": True}, "size"),
    ],
)
def test_a_quantity_that_is_none_is_refused(make: Any, arguments: dict[str, object], name: str) -> None:
    """The message names it."""
    with pytest.raises(ValueError, match=name):
        make(**arguments)


@pytest.mark.parametrize("duration", [-1, math.inf, math.nan])
def test_a_duration_that_is_none_is_refused(duration: float) -> None:
    """An endless workload would be an endless list."""
    with pytest.raises(ValueError, match="duration"):
        Workload.steady().arrivals(duration)
    with pytest.raises(ValueError, match="duration"):
        Workload.steady().rate_at(0, duration)
