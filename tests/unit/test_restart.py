"""Restart policy: the sliding window, the backoff, and the configurations that are refused."""

from __future__ import annotations

import math
import random
import re
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trio_pool._core._restart import Backoff, BackoffTimer, Jitter, Restart, RestartPolicy, RestartWindow

# Times in eighths of a second are exact in binary, so that an age can be exactly the length of the window.
eighths = st.integers(0, 400).map(lambda n: n / 8)
steps = st.lists(eighths, max_size=60)


def rng(seed: int) -> random.Random:
    """A reproducible source of jitter."""
    return random.Random(seed)  # noqa: S311  # it spreads delays, it guards nothing


def smallest(lower: float) -> st.SearchStrategy[float]:
    """Finite floats from ``lower`` up."""
    return st.floats(lower, 1e300, allow_nan=False, allow_infinity=False)


@st.composite
def backoffs(draw: st.DrawFn, jitter: Jitter | None = None) -> Backoff:
    """Draw any valid backoff."""
    initial = draw(smallest(0.0))
    return Backoff(
        initial=initial,
        factor=draw(smallest(1.0)),
        maximum=draw(smallest(initial)),
        jitter=jitter or draw(st.sampled_from(Jitter)),
        reset_after=draw(st.floats(0, exclude_min=True, allow_nan=False)),
    )


# --------------------------------------------------------------------------------------------------------------- window


@given(limit=st.integers(0, 8), within=st.integers(1, 80).map(lambda n: n / 8), gaps=steps)
@example(limit=1, within=1.0, gaps=[0.0, 1.0])
@example(limit=1, within=1.0, gaps=[0.0, 1.125])
def test_the_window_agrees_with_counting_all_restarts(limit: int, within: float, gaps: list[float]) -> None:
    """A restart is allowed exactly if no more than the limit are at most ``within`` old, itself included."""
    window = RestartWindow(limit, within)
    times: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        times.append(now)
        count = sum(now - time <= within for time in times)
        assert window.charge(now) is (count <= limit)
        assert window.count(now) == min(count, limit + 1)


@given(limit=st.integers(0, 50))
def test_a_burst_is_refused_at_one_restart_over_the_limit(limit: int) -> None:
    """The restart after ``max_restarts`` at one moment is the first refused."""
    window = RestartWindow(limit, 5.0)
    assert [window.charge(1.0) for _ in range(limit + 1)] == [True] * limit + [False]


def test_a_restart_as_old_as_the_window_still_counts() -> None:
    """The edge is inclusive, as in OTP."""
    window = RestartWindow(1, 5.0)
    assert window.charge(1.0)
    assert window.count(6.0) == 1
    assert not window.charge(6.0)
    assert window.charge(11.125)


def test_a_window_without_limit_allows_all_and_stays_small() -> None:
    """``math.inf`` never refuses, and remembers a bounded number of restarts."""
    window = RestartWindow(math.inf, 5.0)
    assert all(window.charge(0.0) for _ in range(5000))
    assert window.count(0.0) == 1000
    assert window.count(6.0) == 0


@pytest.mark.parametrize("limit", [-1, 1.5, math.nan, -math.inf, True, "3", None])
def test_a_window_refuses_a_limit_that_is_no_count(limit: Any) -> None:
    """The limit is a whole number or infinite."""
    with pytest.raises(ValueError, match=r"^max_restarts must be"):
        RestartWindow(limit, 5.0)


@pytest.mark.parametrize("within", [0, -1.0, math.inf, math.nan, False, "5", None])
def test_a_window_refuses_a_length_that_is_none(within: Any) -> None:
    """The length is finite and positive; OTP rejects infinity too."""
    with pytest.raises(ValueError, match=r"^within must be"):
        RestartWindow(3, within)


# -------------------------------------------------------------------------------------------------------------- backoff


@given(backoff=backoffs(), attempt=st.integers(0, sys.maxsize), seed=st.integers())
def test_a_delay_lies_between_nothing_and_the_plain_one(backoff: Backoff, attempt: int, seed: int) -> None:
    """Jitter only shortens, no delay exceeds ``maximum``, and no attempt number is too large."""
    delay = backoff.delay(attempt, rng(seed))
    assert 0.0 <= delay <= backoff.plain(attempt) <= backoff.maximum
    if backoff.jitter is Jitter.NONE:
        assert delay == backoff.plain(attempt)


@given(backoff=backoffs(), attempt=st.integers(1, 3000))
def test_delays_never_shrink(backoff: Backoff, attempt: int) -> None:
    """The next restart in a row waits at least as long as this one, jitter aside."""
    assert backoff.plain(attempt) <= backoff.plain(attempt + 1)


def test_delays_are_immediate_then_initial_then_grow_to_the_maximum() -> None:
    """The sequence is the documented one."""
    backoff = Backoff(initial=0.5, factor=2, maximum=3, jitter="none")
    assert [backoff.plain(attempt) for attempt in range(7)] == [0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 3.0]
    assert [backoff.delay(attempt, rng(1)) for attempt in range(1, 7)] == [0.0, 0.5, 1.0, 2.0, 3.0, 3.0]


def test_growth_is_clamped_where_a_power_would_overflow() -> None:
    """A factor to the millionth power is the maximum, not an OverflowError, and nothing stays nothing."""
    assert Backoff(initial=0.1, factor=10.0, maximum=60.0).plain(1_000_000) == 60.0
    assert Backoff(initial=0.0, factor=10.0, maximum=60.0).plain(1_000_000) == 0.0


def test_full_jitter_spreads_over_the_whole_range() -> None:
    """Children that died together do not start together."""
    backoff = Backoff(initial=1.0, maximum=1.0, jitter="full")
    source = rng(7)
    delays = [backoff.delay(2, source) for _ in range(1000)]
    assert min(delays) < 0.05
    assert max(delays) > 0.95
    assert len(set(delays)) > 900


@given(backoff=backoffs(), restarts=st.integers(0, 1500))
@example(backoff=Backoff(initial=1.0, factor=1.0001, maximum=1e9), restarts=5000)
def test_the_total_is_the_sum_of_the_delays(backoff: Backoff, restarts: int) -> None:
    """What `RestartPolicy.check` compares with the window is what a crash loop would wait."""
    total = sum(backoff.plain(attempt) for attempt in range(1, restarts + 1))
    assert backoff.total(restarts) == pytest.approx(total)


def test_the_total_of_any_number_of_restarts_is_cheap() -> None:
    """A limit of billions is checked at once."""
    backoff = Backoff(initial=1.0, factor=1.0, maximum=1.0)
    assert backoff.total(10**12 + 1) == 10.0**12


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("initial", -0.1),
        ("initial", math.inf),
        ("initial", math.nan),
        ("initial", "1"),
        ("initial", True),
        ("initial", 11),
        ("factor", 0.5),
        ("factor", math.inf),
        ("maximum", -1),
        ("maximum", math.inf),
        ("jitter", "some"),
        ("reset_after", 0),
        ("reset_after", -1),
        ("reset_after", math.nan),
    ],
)
def test_a_backoff_names_the_field_it_refuses(field: str, value: Any) -> None:
    """Values that mean nothing, or undo the backoff (no stability needed, growth below 1), are ValueErrors."""
    with pytest.raises(ValueError, match=f"^{field} must"):
        Backoff(**{field: value})


def test_defaults_are_the_documented_ones() -> None:
    """A tenth of a second doubling to ten, forgotten after five; half a minute, and a limit that suits the slots."""
    backoff, policy = Backoff(), RestartPolicy()
    assert (backoff.initial, backoff.factor, backoff.maximum, backoff.reset_after) == (0.1, 2.0, 10.0, 5.0)
    assert backoff.jitter is Jitter.FULL
    assert (policy.restart, policy.max_restarts, policy.within) == (Restart.PERMANENT, None, 30.0)
    assert policy.backoff == backoff


# ---------------------------------------------------------------------------------------------------------------- timer


def timer(reset_after: float = 5.0) -> BackoffTimer:
    """A timer whose delays are 0, 1, 2, 4, 8, 8, …"""
    backoff = Backoff(initial=1.0, factor=2.0, maximum=8.0, jitter="none", reset_after=reset_after)
    return BackoffTimer(backoff, rng(0))


def test_failed_starts_back_off_further_and_further() -> None:
    """A child that never starts has no stability, however much time passes."""
    subject = timer()
    assert [subject.next_delay(100.0 * n) for n in range(6)] == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_good_start_alone_resets_nothing() -> None:
    """A child that starts well and dies before it was stable goes on backing off."""
    subject = timer()
    delays: list[float] = []
    for n in range(4):
        subject.started(10.0 * n)
        delays.append(subject.next_delay(10.0 * n + 4.875))
    assert delays == [0.0, 1.0, 2.0, 4.0]


def test_stability_resets_and_its_edge_is_inclusive() -> None:
    """After exactly ``reset_after`` seconds of running the next restart is the first again."""
    subject = timer()
    for now in (0.0, 1.0, 2.0):
        subject.next_delay(now)
    subject.started(10.0)
    assert subject.next_delay(15.0) == 0.0
    assert subject.next_delay(15.0) == 1.0


def test_a_stable_run_that_ended_by_plan_counts_too() -> None:
    """Stability is earned by running, whatever the end was."""
    subject = timer()
    for now in (0.0, 1.0, 2.0):
        subject.next_delay(now)
    subject.started(10.0)
    subject.ended(60.0)
    subject.started(60.0)
    assert subject.next_delay(61.0) == 0.0


def test_time_between_incarnations_is_not_stability() -> None:
    """A long wait after a short run resets nothing."""
    subject = timer()
    subject.started(0.0)
    assert subject.next_delay(1.0) == 0.0
    assert subject.next_delay(1000.0) == 1.0


def test_an_infinite_reset_after_never_resets() -> None:
    """``math.inf`` means never."""
    subject = timer(math.inf)
    subject.started(0.0)
    assert subject.next_delay(1e9) == 0.0
    subject.started(1e9)
    assert subject.next_delay(1e12) == 1.0


@given(backoff=backoffs(Jitter.NONE), runs=st.lists(st.tuples(st.booleans(), eighths, eighths), max_size=40))
def test_the_timer_agrees_with_counting_attempts(backoff: Backoff, runs: list[tuple[bool, float, float]]) -> None:
    """The delay is that of the number of restarts since the last stable run."""
    subject = BackoffTimer(backoff, rng(0))
    now = 0.0
    attempts = 0
    for starts, ran, waited in runs:
        began = now
        if starts:
            subject.started(now)
        now += ran
        if starts and now - began >= backoff.reset_after:
            attempts = 0
        attempts += 1
        assert subject.next_delay(now) == backoff.plain(attempts)
        now += waited


# --------------------------------------------------------------------------------------------------------------- policy


@pytest.mark.parametrize(("slots", "limit"), [(1, 5), (2, 5), (3, 6), (64, 128)])
def test_the_default_limit_grows_with_the_slots(slots: int, limit: int) -> None:
    """None is ``max(5, 2 x slots)``."""
    assert RestartPolicy().limit(slots) == limit
    assert RestartPolicy(max_restarts=7).limit(slots) == 7
    assert RestartPolicy(max_restarts=math.inf).limit(slots) == math.inf


@given(slots=st.integers(1, 10_000))
def test_the_default_policy_is_effective_for_any_number_of_slots(slots: int) -> None:
    """Nobody has to touch the policy to open a pool of another size."""
    RestartPolicy().check(slots)


@given(backoff=backoffs(Jitter.NONE), limit=st.integers(0, 50), within=smallest(1e-3), slots=st.integers(1, 20))
def test_a_limit_is_refused_exactly_if_its_delays_fill_the_window(
    backoff: Backoff, limit: int, within: float, slots: int
) -> None:
    """A finite limit whose first delays per slot sum to the window or more can never be met."""
    policy = RestartPolicy(max_restarts=limit, within=within, backoff=backoff)
    total = math.fsum(backoff.plain(attempt) for attempt in range(1, limit + 1))
    if total / slots >= within:
        with pytest.raises(ValueError, match=r"^max_restarts = .* can never be reached"):
            policy.check(slots)
    else:
        policy.check(slots)


def test_the_check_looks_at_the_edge() -> None:
    """Delays that exactly fill the window are refused, a little less is not."""
    backoff = Backoff(initial=1.0, factor=2.0, maximum=4.0)
    policy = RestartPolicy(max_restarts=4, within=7.0, backoff=backoff)
    with pytest.raises(ValueError, match="max_restarts = 4 within 7 s"):
        policy.check(1)
    policy.check(2)
    RestartPolicy(max_restarts=4, within=7.125, backoff=backoff).check(1)
    RestartPolicy(max_restarts=math.inf, within=1.0, backoff=backoff).check(1)
    with pytest.raises(ValueError, match=r"take 1\.5 s over 2 slot"):  # a second and a half each, no less
        RestartPolicy(max_restarts=3, within=1.5, backoff=backoff).check(2)


def test_an_effective_policy_gives_up_in_the_slowest_crash_loop() -> None:
    """What `check` accepts does end a crash loop: the refused restart still finds all the others in the window."""
    policy = RestartPolicy(max_restarts=4, within=7.125, backoff=Backoff(initial=1.0, maximum=4.0, jitter="none"))
    policy.check(1)
    window = RestartWindow(policy.limit(1), policy.within)
    subject = BackoffTimer(policy.backoff, rng(0))
    now = 0.0
    allowed = 0
    while window.charge(now):
        allowed += 1
        assert allowed <= 4
        now += subject.next_delay(now)
    assert allowed == 4


def test_names_and_mappings_are_accepted() -> None:
    """Enumerations come as strings, the backoff as a mapping of its fields."""
    policy = RestartPolicy(restart="transient", backoff={"initial": 1, "jitter": "none"})
    assert policy.restart is Restart.TRANSIENT
    assert policy.backoff == Backoff(initial=1, jitter=Jitter.NONE)
    assert RestartPolicy(backoff=Backoff(factor=3)).backoff.factor == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"restart": "sometimes"}, "restart must be one of permanent, transient, temporary, not 'sometimes'"),
        ({"max_restarts": -1}, "max_restarts must be a whole number >= 0 or inf, not -1"),
        ({"max_restarts": 2.5}, "max_restarts must be a whole number >= 0 or inf, not 2.5"),
        ({"within": 0}, "within must be a finite number > 0, not 0"),
        ({"within": math.inf}, "within must be a finite number > 0, not inf"),
        ({"backoff": 3}, "backoff must be a Backoff or a mapping of its fields, not 3"),
        ({"backoff": {"speed": 3}}, "backoff has no field 'speed'"),
        ({"backoff": {"zeal": 3, "speed": 3, "initial": 1}}, "backoff has no field 'speed'"),
        ({"backoff": {"factor": 0}}, "backoff.factor must be a finite number >= 1, not 0"),
        ({"backoff": {"reset_after": 0}}, "backoff.reset_after must be a number > 0, not 0"),
    ],
)
def test_a_policy_names_the_field_it_refuses(fields: dict[str, Any], message: str) -> None:
    """Bad values are ValueErrors whose message starts with the field."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RestartPolicy(**fields)


@pytest.mark.parametrize("kind", [Backoff, RestartPolicy])
def test_values_are_given_by_name(kind: Any) -> None:
    """Three numbers in a row would say nothing to a reader."""
    with pytest.raises(TypeError, match="positional"):
        kind(1)


def test_the_policy_is_frozen() -> None:
    """A policy in use cannot change under the supervisor."""
    with pytest.raises(AttributeError):
        Backoff().initial = 1.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # as below
    with pytest.raises(AttributeError):
        RestartPolicy().within = 1.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # that is the point
