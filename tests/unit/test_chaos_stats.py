"""A sample in six numbers; its percentiles are those of `trio_pool.testing`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import trio_pool.testing
from chaos import _stats
from chaos._stats import summarize


@given(values=st.lists(st.floats(min_value=0, max_value=1e6), min_size=1))
def test_a_summary_is_ordered(values: list[float]) -> None:
    """No percentile exceeds the maximum or falls below a lower one, and each is a value of the sample."""
    summary = summarize(values)
    assert summary is not None
    assert summary.count == len(values)
    assert summary.minimum <= summary.p50 <= summary.p95 <= summary.p99 <= summary.maximum
    assert {summary.minimum, summary.p50, summary.p95, summary.p99, summary.maximum} <= set(values)


def test_known_numbers() -> None:
    """Of 1 to 100 they are these, in whatever order the values come."""
    summary = summarize(float(number) for number in range(100, 0, -1))
    assert summary == _stats.Summary(count=100, minimum=1.0, p50=50.0, p95=95.0, p99=99.0, maximum=100.0)


def test_an_empty_sample_has_no_summary() -> None:
    """Nothing is said about nothing."""
    assert summarize([]) is None


def test_there_is_one_percentile_in_the_tree() -> None:
    """The harness counts as the helpers for everybody's tests do."""
    assert _stats.percentile is trio_pool.testing.percentile
