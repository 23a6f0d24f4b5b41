"""Measuring operations: percentiles that cannot flatter, the time of one operation, the times of many."""

from __future__ import annotations

import math
import time
from inspect import isawaitable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar, cast, overload

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

T = TypeVar("T")


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed (nearest rank).

    It is always one of the values: nothing is averaged, and nothing rounded first.

    Args:
        ordered: The values, ascending, at least one.
        share: Between 0 and 1.

    Raises:
        ValueError: There is no value, or ``share`` lies outside.

    .. versionadded:: 0.1
    """
    if not ordered:
        raise ValueError("a percentile of nothing")
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must lie between 0 and 1, not {share}")
    # Multiplying may land a hair above a whole rank (0.07 * 100); a billionth is far below one rank of any real sample.
    rank = math.ceil(share * len(ordered) - 1e-9)
    return ordered[max(rank, 1) - 1]


@attrs.frozen(kw_only=True)
class Timings:
    """How long operations took, in seconds. Percentiles, the median among them, are by nearest rank.

    .. versionadded:: 0.1
    """

    count: int
    min: float
    max: float
    mean: float
    median: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Timings:
        """Sum up single durations.

        Raises:
            ValueError: There is none.
        """
        ordered = sorted(seconds)
        if not ordered:
            raise ValueError("timings of nothing")
        return cls(
            count=len(ordered),
            min=ordered[0],
            max=ordered[-1],
            mean=math.fsum(ordered) / len(ordered),
            median=percentile(ordered, 0.50),
            p95=percentile(ordered, 0.95),
            p99=percentile(ordered, 0.99),
        )


@overload
async def measure_operation(
    operation: Callable[[], Awaitable[T]], *, clock: Callable[[], float] = ...
) -> tuple[T, float]: ...
@overload
async def measure_operation(operation: Callable[[], T], *, clock: Callable[[], float] = ...) -> tuple[T, float]: ...
async def measure_operation(
    operation: Callable[[], Awaitable[T] | T], *, clock: Callable[[], float] = time.perf_counter
) -> tuple[T, float]:
    """Carry out an operation and return its result with the seconds it took.

    It may be sync or async: what it returns is awaited if it can be. What it raises leaves unchanged, and cancelling
    this cancels it; there is then no measurement. Other tasks run while it waits, and what they keep the CPU busy with
    counts: that is what a caller of the operation waits for too. The checkpoint of this function itself does not count.

    Args:
        operation: Takes no arguments; bind them with a lambda or `functools.partial`.
        clock: Tells the time in seconds. On a virtual clock that is `trio.current_time`.

    .. versionadded:: 0.1
    """
    await trio.lowlevel.checkpoint()
    begun = clock()
    outcome = operation()
    result = await cast("Awaitable[T]", outcome) if isawaitable(outcome) else outcome
    return result, clock() - begun


async def benchmark_pool(
    operation: Callable[[], object],
    *,
    warmup: int = 100,
    iterations: int = 1000,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Carry out an operation again and again, one after the other, and return how long it took.

    The first error of the operation ends the benchmark and leaves unchanged: a time of something that failed is none.

    Args:
        operation: As `measure_operation` takes it, usually ``lambda: pool.execute_anonymous(…)``.
        warmup: How often it is carried out before anything is measured.
        iterations: How often it is measured.
        clock: Tells the time in seconds. On a virtual clock that is `trio.current_time`.

    Raises:
        ValueError: ``warmup`` is negative, or ``iterations`` not positive.

    .. versionadded:: 0.1
    """
    if warmup < 0:
        raise ValueError(f"warmup must be at least 0, not {warmup}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    await trio.lowlevel.checkpoint()
    for _ in range(warmup):
        await measure_operation(operation, clock=clock)
    return Timings.of([(await measure_operation(operation, clock=clock))[1] for _ in range(iterations)])


@attrs.frozen(kw_only=True)
class Expectation:
    """What an operation is expected to take at most, in seconds.

    .. versionadded:: 0.1
    """

    p50: float
    p95: float
    p99: float
    max: float

    def missed(self, timings: Timings) -> tuple[str, ...]:
        """Return the names of the limits that were exceeded, in the order of the fields."""
        measured = {"p50": timings.median, "p95": timings.p95, "p99": timings.p99, "max": timings.max}
        limits = {"p50": self.p50, "p95": self.p95, "p99": self.p99, "max": self.max}
        return tuple(name for name, limit in limits.items() if measured[name] > limit)


EXPECTATIONS: Final[Mapping[str, Expectation]] = MappingProxyType(
    {
        "create_program": Expectation(p50=0.050, p95=0.100, p99=0.200, max=0.500),
        "execute_simple": Expectation(p50=0.100, p95=0.300, p99=0.500, max=1.000),
        "execute_complex": Expectation(p50=0.500, p95=2.000, p99=5.000, max=10.000),
        "list_programs": Expectation(p50=0.020, p95=0.050, p99=0.100, max=0.200),
        "pool_checkout": Expectation(p50=0.001, p95=0.005, p99=0.010, max=0.050),
    }
)
"""What the testing strategy expects of a pool's operations. They are for looking at beside what was measured: on a busy
machine a time is no verdict.

.. versionadded:: 0.1
"""
