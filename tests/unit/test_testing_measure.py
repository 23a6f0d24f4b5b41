"""Percentiles by nearest rank, the time of one operation, the times of many."""

from __future__ import annotations

import math
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import open_pool
from trio_pool.testing import EXPECTATIONS, MockPort, Timings, benchmark_pool, measure_operation, percentile

if TYPE_CHECKING:
    from trio.testing import MockClock

samples = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1)


@pytest.mark.document("F-077")
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


def test_nothing_has_no_percentile() -> None:
    """Nothing is said about nothing."""
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="nothing"):
        Timings.of([])


@pytest.mark.document("F-076")
async def test_an_async_operation_is_measured_while_it_waits(autojump_clock: MockClock) -> None:
    """The result comes with the time the operation took, on the clock that was asked for."""

    async def wait(seconds: float) -> str:
        await trio.sleep(seconds)
        return "done"

    assert await measure_operation(lambda: wait(2.5), clock=trio.current_time) == ("done", 2.5)


@pytest.mark.document("F-076")
async def test_a_sync_operation_is_measured() -> None:
    """It is called once, between the two looks at the clock and nothing else between them."""
    ticks = count(10.0, 0.25)
    looks = []

    def operation() -> float:
        looks.append(next(ticks))
        return looks[0]

    assert await measure_operation(operation, clock=lambda: next(ticks)) == (10.25, 0.5)


@pytest.mark.document("F-076")
async def test_what_an_operation_raises_leaves_unchanged() -> None:
    """There is no time of something that failed."""
    error = KeyError("its own")

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(KeyError) as caught:
        await measure_operation(fail)
    assert caught.value is error


async def test_measuring_is_a_checkpoint_that_does_not_count(autojump_clock: MockClock) -> None:
    """A sync operation can be cancelled before it begins; the wait for its turn is none of its time."""
    called = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await measure_operation(lambda: called.append(1))
    assert not called
    with trio.testing.assert_checkpoints():
        assert await measure_operation(lambda: 1, clock=trio.current_time) == (1, 0.0)


@pytest.mark.document("F-077")
async def test_a_benchmark_measures_after_the_warm_up_and_no_more(autojump_clock: MockClock) -> None:
    """Slow first operations are in no number when they are warm-up; each one after that is, once."""
    durations = iter([50.0] * 3 + [float(number) for number in range(100, 0, -1)])

    async def operation() -> None:
        await trio.sleep(next(durations))

    timings = await benchmark_pool(operation, warmup=3, iterations=100, clock=trio.current_time)
    assert timings == Timings(count=100, min=1.0, max=100.0, mean=50.5, median=50.0, p95=95.0, p99=99.0)
    assert next(durations, None) is None


@pytest.mark.document("F-077")
async def test_a_benchmark_warms_up_a_hundred_times_and_measures_a_thousand() -> None:
    """These are the numbers of the testing strategy."""
    calls = count()
    timings = await benchmark_pool(lambda: next(calls))
    assert timings.count == 1000
    assert next(calls) == 1100


@pytest.mark.document("F-077")
async def test_a_pool_is_measured(autojump_clock: MockClock) -> None:
    """Every operation is one of the pool's, warm-up included, and takes as long as its workers do."""
    port = MockPort()
    port.simulate_slow_response(0.25, "ping")
    async with open_pool(launcher=port, size=1) as pool:
        operation = partial(pool.execute_anonymous, "ping")
        timings = await benchmark_pool(operation, warmup=5, iterations=20, clock=trio.current_time)
        assert timings == Timings(count=20, min=0.25, max=0.25, mean=0.25, median=0.25, p95=0.25, p99=0.25)
        assert pool.get_pool_status().metrics.ok == 25


@pytest.mark.document("F-077")
async def test_an_error_ends_a_benchmark() -> None:
    """A failed operation is no fast one: the benchmark fails with it, in the warm-up too."""
    calls = count()

    def fail() -> float:
        return 1 / (3 - next(calls))

    with pytest.raises(ZeroDivisionError):
        await benchmark_pool(fail, warmup=10, iterations=1)
    assert next(calls) == 4


async def test_a_benchmark_of_nothing_is_refused() -> None:
    """The number that makes no sense is named."""
    with pytest.raises(ValueError, match="warmup"):
        await benchmark_pool(int, warmup=-1)
    with pytest.raises(ValueError, match="iterations"):
        await benchmark_pool(int, iterations=0)


@given(values=samples)
def test_timings_are_ordered(values: list[float]) -> None:
    """No percentile exceeds the maximum or falls below a lower one, and the mean lies between the ends."""
    timings = Timings.of(values)
    assert timings.count == len(values)
    assert timings.min <= timings.median <= timings.p95 <= timings.p99 <= timings.max
    assert math.nextafter(timings.min, 0) <= timings.mean <= math.nextafter(timings.max, math.inf)


@pytest.mark.document("F-075")
def test_the_expectations_are_those_of_the_testing_strategy() -> None:
    """Five operations, four limits each, here in seconds."""
    limits = {name: (each.p50, each.p95, each.p99, each.max) for name, each in EXPECTATIONS.items()}
    assert limits == {
        "create_program": (0.05, 0.1, 0.2, 0.5),
        "execute_simple": (0.1, 0.3, 0.5, 1.0),
        "execute_complex": (0.5, 2.0, 5.0, 10.0),
        "list_programs": (0.02, 0.05, 0.1, 0.2),
        "pool_checkout": (0.001, 0.005, 0.01, 0.05),
    }


@pytest.mark.document("F-075")
def test_an_expectation_names_the_limits_that_were_missed() -> None:
    """Just reaching a limit is no miss; one slow operation in a hundred misses the maximum alone."""
    expected = EXPECTATIONS["pool_checkout"]
    assert expected.missed(Timings.of([0.001])) == ()
    assert expected.missed(Timings.of([0.001] * 199 + [0.06])) == ("max",)
    assert expected.missed(Timings.of([1.0])) == ("p50", "p95", "p99", "max")
