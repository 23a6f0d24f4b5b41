"""What load is asked for, and the plan that follows from it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos import LoadConfig
from chaos._load_config import plan_operations
from trio_pool.testing import Workload


def test_the_defaults_are_the_profile_of_the_testing_strategy() -> None:
    """100 users, 10 operations a second each, 60 seconds: 60 000 operations, from every user as many."""
    config = LoadConfig()
    assert (config.duration_seconds, config.concurrent_users) == (60.0, 100)
    plan = list(plan_operations(config))
    assert len(plan) == 60_000
    assert sorted(operation.user for operation in plan) == sorted(list(range(1, 101)) * 600)
    assert plan[0].session_id == f"user_{plan[0].user}"


@given(
    duration=st.floats(0.01, 3),
    users=st.integers(1, 20),
    rate=st.floats(0.1, 50),
    seed=st.integers(0, 3),
)
def test_a_plan_is_in_order_within_its_time_and_at_every_user_s_pace(
    duration: float, users: int, rate: float, seed: int
) -> None:
    """Times ascend and end before the duration; each user keeps the same distance; the operations are numbered."""
    plan = list(plan_operations(LoadConfig(duration, users, rate, seed=seed)))
    times = [operation.at for operation in plan]
    assert times == sorted(times)
    assert all(0 <= at < duration for at in times)
    assert [operation.index for operation in plan] == list(range(len(plan)))
    for user in range(1, users + 1):
        own = [operation.at for operation in plan if operation.user == user]
        # As often as fits behind the first one: the whole duration is used.
        assert math.floor(duration * rate) <= len(own) <= math.ceil(duration * rate)
        assert all(after - before == pytest.approx(1 / rate) for before, after in itertools.pairwise(own))


def test_the_seed_decides_the_plan() -> None:
    """Equal seeds give equal plans, other seeds other ones."""
    first, again, other = (list(plan_operations(LoadConfig(1.0, 10, seed=seed))) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_workload_decides_the_times_and_the_users_take_turns() -> None:
    """The rate over time is the workload's, for all users together."""
    workload = Workload.spike(base=5, peak=60)
    config = LoadConfig(12.0, 3, workload=workload, seed=4)
    plan = list(plan_operations(config))
    assert [operation.at for operation in plan] == workload.arrivals(12.0, 4)
    assert [operation.user for operation in plan[:4]] == [1, 2, 3, 1]
    assert sum(4 <= operation.at < 6 for operation in plan) == pytest.approx(120, abs=2)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"duration_seconds": 0}, "duration_seconds"),
        ({"duration_seconds": math.inf}, "duration_seconds"),
        ({"duration_seconds": "60"}, "duration_seconds"),
        ({"concurrent_users": 0}, "concurrent_users"),
        ({"concurrent_users": 1.5}, "concurrent_users"),
        ({"operations_per_second": -1}, "operations_per_second"),
        ({"operations_per_second": True}, "operations_per_second"),
        ({"pool_size": 0}, "pool_size"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"overtime_seconds": math.nan}, "overtime_seconds"),
        ({"max_lag": 0}, "max_lag"),
        ({"seed": "x"}, "seed"),
        ({"workload": 10}, "workload"),
        ({"workload": Workload.steady(5), "operations_per_second": 5.0}, "workload"),
    ],
)
def test_bad_values_are_refused_by_name(fields: dict[str, Any], complaint: str) -> None:
    """Each names the field, and so does a rate given twice: none of the two would be silently ignored."""
    with pytest.raises(ValueError, match=f"^{complaint}: "):
        LoadConfig(**fields)
