"""The retry budget: a share of the requests of the last ten seconds, and a reserve that is always there."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool._core._config import RetryPolicy
from trio_pool._core._retry import WINDOW, RetryBudget


def taken(budget: RetryBudget, now: float, most: int = 1000) -> int:
    """Return how many retries there are to be had now."""
    return next((count for count in range(most) if not budget.take(now)), most)


def test_an_idle_pool_has_the_reserve() -> None:
    """Without any requests there are ``min_budget`` retries, and not one more."""
    assert taken(RetryBudget(RetryPolicy(min_budget=3)), 1000.0) == 3


def test_a_busy_pool_has_its_share() -> None:
    """Of many requests the share counts, not the reserve and not both together."""
    budget = RetryBudget(RetryPolicy(budget=0.1, min_budget=3))
    for number in range(200):
        budget.request(1000.0 + number / 50)
    assert budget.limit(1004.0) == pytest.approx(20)
    assert taken(budget, 1004.0) == 20


def test_requests_count_for_ten_seconds_and_retries_as_long() -> None:
    """What was submitted, or retried, ten whole seconds ago still counts; in the next second it does not."""
    budget = RetryBudget(RetryPolicy(budget=0.5, min_budget=1))
    for _ in range(10):
        budget.request(100.5)
    assert taken(budget, 100.9) == 5
    assert not budget.take(100.0 + WINDOW)
    assert taken(budget, 101.0 + WINDOW) == 1, "the requests are forgotten, and so are the retries"


def test_without_a_budget_nothing_is_retried() -> None:
    """Both at nothing mean none at all, however many requests there are."""
    budget = RetryBudget(RetryPolicy(budget=0, min_budget=0))
    budget.request(5.0)
    assert not budget.take(5.0)


def test_a_long_pause_forgets_everything() -> None:
    """A pool that was idle for hours begins anew, at the cost of a moment."""
    budget = RetryBudget(RetryPolicy(budget=1.0, min_budget=0))
    budget.request(7.0)
    assert budget.limit(1e9) == 0
    assert not budget.take(1e9)


def test_its_memory_does_not_grow_with_the_load() -> None:
    """It counts; it keeps no record of each request."""
    budget = RetryBudget(RetryPolicy())

    def size() -> int:
        return sum(sys.getsizeof(getattr(budget, name)) for name in budget.__slots__)

    before = size()
    for number in range(10_000):
        budget.request(number / 10)
        budget.take(number / 10)
    assert size() <= before + 64, "small numbers became larger ones, nothing else"


@given(
    steps=st.lists(st.tuples(st.floats(0, 30), st.sampled_from(("request", "take"))), max_size=60),
    share=st.sampled_from((0.0, 0.1, 0.25, 1.0, 2.0)),
    reserve=st.integers(0, 4),
)
def test_it_is_exact(steps: list[tuple[float, str]], share: float, reserve: int) -> None:
    """It answers as one would who wrote down the second of every request and retry."""
    budget = RetryBudget(RetryPolicy(budget=share, min_budget=reserve))
    requests: list[int] = []
    retries: list[int] = []
    now = 50.0
    for pause, what in steps:
        now += pause
        since = int(now) - WINDOW
        if what == "request":
            budget.request(now)
            requests.append(int(now))
            continue
        limit = max(reserve, share * sum(second >= since for second in requests))
        allowed = sum(second >= since for second in retries) + 1 <= limit
        assert budget.limit(now) == limit
        assert budget.take(now) is allowed
        if allowed:
            retries.append(int(now))
