"""The benchmarks of the testing strategy: one session, ten sessions at once, a session from its making to its end.

Each is carried out again and again on a pool of the usual size and shown with all its numbers, beside what the strategy
expects of the nearest operation it names. These times are this machine's, at this hour: they gate nothing.
"""

from __future__ import annotations

import gc
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

import attrs
import trio

from trio_pool import open_pool
from trio_pool.testing import EXPECTATIONS, benchmark_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from trio_pool import SessionPool
    from trio_pool.testing import Timings

    # Given a pool, returns the operation to measure.
    Maker: TypeAlias = Callable[[SessionPool], Callable[[], Awaitable[None]]]

SESSIONS = 10
"""How many sessions `concurrent_sessions` has, as the testing strategy says."""

WARM_UP = 100
"""How often each operation is carried out before it is measured, as the testing strategy says."""


@attrs.frozen(kw_only=True)
class Benchmarked:
    """What one benchmark measured.

    Args:
        name: Its name in the testing strategy.
        workers: The size of the pool.
        timings: Of the whole operation, all of its commands together.
        expectation: The name of the nearest operation in `trio_pool.testing.EXPECTATIONS`.
        missed: Which of that one's limits were exceeded.
    """

    name: str
    workers: int
    timings: Timings
    expectation: str
    missed: tuple[str, ...]


def single_session(pool: SessionPool) -> Callable[[], Awaitable[None]]:
    """Return the operation: a ping in a session that is there already."""

    async def operation() -> None:
        await pool.execute_in_session("bench", "ping")

    return operation


def concurrent_sessions(pool: SessionPool) -> Callable[[], Awaitable[None]]:
    """Return the operation: a ping in each of ten sessions, all at once; it takes until the last has its answer."""

    async def operation() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(1, SESSIONS + 1):
                nursery.start_soon(pool.execute_in_session, f"bench_{number}", "ping")
        await trio.lowlevel.checkpoint()

    return operation


def session_creation(pool: SessionPool) -> Callable[[], Awaitable[None]]:
    """Return the operation: a ping in a session that is new, and the end of that session."""
    numbers = count(1)

    async def operation() -> None:
        session_id = f"bench_new_{next(numbers)}"
        await pool.execute_in_session(session_id, "ping")
        await pool.end_session(session_id)

    return operation


BENCHMARKS: Mapping[str, tuple[Maker, str]] = {
    # A ping does nothing, so what it takes is getting a worker, and the way there and back.
    "single_session": (single_session, "pool_checkout"),
    # Ten callers at once are what an application has: none of them may wait longer than for a simple execution.
    "concurrent_sessions": (concurrent_sessions, "execute_simple"),
    "session_creation": (session_creation, "pool_checkout"),
}
"""By name: what makes the operation, and the expectation it is shown beside."""


async def run_benchmarks(names: Collection[str], iterations: int) -> list[Benchmarked]:
    """Carry out the benchmarks of these names, each on a pool of its own of the usual size.

    Args:
        names: Keys of `BENCHMARKS`.
        iterations: How often each operation is measured.
    """
    results: list[Benchmarked] = []
    for name, (maker, expectation) in BENCHMARKS.items():
        if name not in names:
            continue
        async with open_pool(name="bench") as pool:
            # Collections would hit whichever operation happens to be measured.
            gc.collect()
            gc.disable()
            try:
                timings = await benchmark_pool(maker(pool), warmup=WARM_UP, iterations=iterations)
            finally:
                gc.enable()
            workers = pool.get_pool_status().size
        missed = EXPECTATIONS[expectation].missed(timings)
        results.append(Benchmarked(name=name, workers=workers, timings=timings, expectation=expectation, missed=missed))
    await trio.lowlevel.checkpoint()
    return results


def benchmark_lines(results: Sequence[Benchmarked]) -> Iterator[str]:
    """Yield the results as a table, each followed by what is expected at most; nothing of no results."""
    if not results:
        return
    label = "  expected at most"
    width = max(len(label), *(len(result.name) for result in results))
    columns = ("min", "max", "mean", "median", "p95", "p99")
    yield f"on {results[0].workers} workers, after {WARM_UP} operations to warm up"
    yield f"{'':<{width}}" + "".join(f"{column:>12}" for column in columns) + f"{'n':>9}"
    for result in results:
        measured = result.timings
        times = (measured.min, measured.max, measured.mean, measured.median, measured.p95, measured.p99)
        yield f"{result.name:<{width}}" + "".join(f"{show_time(time):>12}" for time in times) + f"{measured.count:>9}"
        limit = EXPECTATIONS[result.expectation]
        limits = (None, limit.max, None, limit.p50, limit.p95, limit.p99)
        cells = "".join(f"{'-' if time is None else show_time(time):>12}" for time in limits)
        verdict = f"missed {', '.join(result.missed)}" if result.missed else "met"
        yield f"{label:<{width}}{cells}  {verdict} ({result.expectation})"


def show_time(seconds: float) -> str:
    """Return a time in the unit people read it in."""
    if seconds >= 1.0:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
