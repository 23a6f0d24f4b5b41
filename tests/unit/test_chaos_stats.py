"""Percentiles by nearest rank."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos._stats import percentile, summarize

samples = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1)


@given(values=samples, share=st.floats(min_value=0, max_value=1))
def test_a_percentile_is_the_smallest_value_that_covers_its_share(values: list[float], share: float) -> None:
    """It is a value of the sample, at least the share lies at or below it, and no smaller value does as much."""
    ordered = sorted(values)
    value = percentile(ordered, share)
    needed = math.ceil(share * len(ordered) - 1e-9)
    assert value in ordered
    assert sum(1 for other in ordered if other <= value) >= needed
    assert sum(1 for other in ordered if other < value) < max(needed, 1)


def test_known_percentiles() -> None:
    """Of 1 to 100 the p-th percentile is p, also where p / 100 has no exact float."""
    ordered = [float(number) for number in range(1, 101)]
    for percent in range(1, 101):
        assert percentile(ordered, percent / 100) == percent
    assert percentile([5.0], 0.99) == 5.0


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_outside_is_refused(share: float) -> None:
    """A share that is none is an error, not the nearest end."""
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def test_an_empty_sample_has_no_percentile() -> None:
    """Nothing is said about nothing."""
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)
    assert summarize([]) is None


@given(values=samples)
def test_a_summary_is_ordered(values: list[float]) -> None:
    """No percentile exceeds the maximum or falls below a lower one."""
    summary = summarize(values)
    assert summary is not None
    assert summary.count == len(values)
    assert summary.minimum <= summary.p50 <= summary.p95 <= summary.p99 <= summary.maximum
