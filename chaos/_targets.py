"""What a pool is aimed to take at the most, each measured on a pool of its own and shown beside its target.

- `parallel`: twenty commands of half a second on eight workers, against the time that three waves of them need.
- `handover`: from the end of a command to the begin of the oldest waiter's in the same worker. Both are told by the
  worker, so reply, choice, request and two trips through the kernel are in it.
- `refusal`: what a full queue takes to say so.
- `recovery`: from the SIGKILL of a pool's only worker, which runs a command, to the first answer to one of those that
  waited behind it. Without a standby that is a worker's start, and shown without a target.
- `standby`: the same with a warm standby, and how many of those that waited did not get their answer.

These times are this machine's, at this hour: they gate nothing.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs
import trio

from trio_pool import Backoff, PoolSaturated, RestartPolicy, TrioPoolError, WorkerCrashed, open_pool

from ._benchmarks import show_time
from ._stats import summarize

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Mapping, Sequence

    from trio_pool import SessionPool

    from ._stats import Summary

APP = "chaos._bench_app:bridge"

SLEEPS, WORKERS, SLEEP = 20, 8, 0.5
"""The load of `parallel`: eight, eight and four at a time."""

WAITERS = 5
"""How many wait behind the command that dies with its worker."""

ROUNDS = 20
"""How often a worker is killed at the most: each round takes a worker's start. With twenty, p95 is the second worst."""

PATIENCE = 60.0
"""Seconds after which what is measured here is no longer slow but broken."""


@attrs.frozen(kw_only=True)
class Target:
    """What was measured of one aim.

    Args:
        name: One of `NAMES`.
        what: The same in words.
        times: Of all repetitions, in seconds.
        figure: Which of the times is held against the target, ``p50``, ``p95``, ``p99`` or ``maximum``.
        target: What it should not exceed, in seconds; None if there is no such aim.
        failed: How many of those that should not have failed did; None if none was there.
    """

    name: str
    what: str
    times: Summary
    figure: str
    target: float | None
    failed: int | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim was reached, or None if there is none."""
        if self.target is None:
            return None
        measured: float = getattr(self.times, self.figure)
        return measured <= self.target and not self.failed


async def parallel(iterations: int) -> Target:
    """Measure twenty sleeps on eight workers, three times at the most."""
    waves = math.ceil(SLEEPS / WORKERS)
    took: list[float] = []
    async with open_pool(APP, size=WORKERS, name="bench") as pool:
        for _ in range(min(iterations, 3)):
            begin = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for _ in range(SLEEPS):
                    nursery.start_soon(_work, pool, SLEEP)
            took.append(time.perf_counter() - begin)
    return Target(
        name="parallel",
        what=f"{SLEEPS} x {SLEEP * 1e3:.0f} ms on {WORKERS} workers, ideal {waves * SLEEP:.1f} s",
        times=_summary(took),
        figure="maximum",
        target=1.1 * waves * SLEEP,
    )


async def handover(iterations: int) -> Target:
    """Measure the gaps between the commands of a queue on one worker."""
    ran: list[tuple[float, float]] = []

    async def ask(pool: SessionPool) -> None:
        began, ended = await _work(pool, 0.001)
        ran.append((began, ended))

    async with open_pool(APP, size=1, name="bench", max_queue=iterations) as pool, trio.open_nursery() as nursery:
        for _ in range(iterations + 1):
            nursery.start_soon(ask, pool)
    # One worker runs one after the other, so in order of time each is the successor of the one before.
    ran.sort()
    gaps = [after[0] - before[1] for before, after in pairwise(ran)]
    return Target(
        name="handover", what="freed worker to oldest waiter", times=_summary(gaps), figure="p99", target=0.005
    )


async def refusal(iterations: int) -> Target:
    """Measure how long a pool with a full queue takes to refuse."""
    took: list[float] = []
    pool_of_one = open_pool(APP, size=1, name="bench", max_queue=1, abandon_grace=0.0)
    async with pool_of_one as pool, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(_work, pool, PATIENCE)
        while pool.get_pool_status().queued < 1:
            await trio.lowlevel.checkpoint()
        for _ in range(iterations):
            begin = time.perf_counter()
            try:
                await pool.execute_anonymous("work", {"seconds": 0.0})
            except PoolSaturated:
                took.append(time.perf_counter() - begin)
        nursery.cancel_scope.cancel()
    return Target(name="refusal", what="a full queue refuses", times=_summary(took), figure="maximum", target=0.010)


async def recovery(iterations: int) -> Target:
    """Measure from the death of the only worker to the next success."""
    took, failed = await _deaths(min(iterations, ROUNDS), standby=0)
    return Target(
        name="recovery",
        what="SIGKILL to next success, no standby",
        times=_summary(took),
        figure="p95",
        target=None,
        failed=failed,
    )


async def standby(iterations: int) -> Target:
    """Measure from the death of a worker to the next success when a standby is there."""
    took, failed = await _deaths(min(iterations, ROUNDS), standby=1)
    return Target(
        name="standby",
        what="SIGKILL to next success, one standby",
        times=_summary(took),
        figure="p95",
        target=0.010,
        failed=failed,
    )


TARGETS: Mapping[str, Callable[[int], Awaitable[Target]]] = {
    "parallel": parallel,
    "handover": handover,
    "refusal": refusal,
    "recovery": recovery,
    "standby": standby,
}
"""By name: what measures it, given how often at the most."""


async def run_targets(names: Collection[str], iterations: int) -> list[Target]:
    """Measure those of these names, one after the other."""
    results = [await measure(iterations) for name, measure in TARGETS.items() if name in names]
    await trio.lowlevel.checkpoint()
    return results


def target_lines(results: Sequence[Target]) -> Iterator[str]:
    """Yield the results as a table, each beside its target; nothing of no results."""
    if not results:
        return
    width = max(len(result.what) for result in results)
    yield f"{'':<{width}}" + "".join(f"{column:>12}" for column in ("p50", "p95", "p99", "max")) + f"{'n':>7}   target"
    for result in results:
        times = result.times
        cells = "".join(f"{show_time(value):>12}" for value in (times.p50, times.p95, times.p99, times.maximum))
        verdict = "-"
        if result.target is not None:
            figure = "max" if result.figure == "maximum" else result.figure
            verdict = f"{figure} <= {show_time(result.target)}  {'met' if result.met else 'missed'}"
        if result.failed is not None:
            verdict += f"; {result.failed} bystanders failed"
        yield f"{result.what:<{width}}{cells}{times.count:>7}   {verdict}"


async def _work(pool: SessionPool, seconds: float) -> tuple[float, float]:
    began, ended = await pool.execute_anonymous(
        "work", {"seconds": seconds}, timeout=math.inf, checkout_timeout=math.inf
    )
    return began, ended


async def _deaths(rounds: int, *, standby: int) -> tuple[list[float], int]:
    """Kill the only worker in the middle of a command, again and again, with others waiting behind it.

    Returns:
        How long the first of those that waited did so, each time; and how many of them had an error.
    """
    took: list[float] = []
    failed = 0
    # Every time as after a first death, whose restart is immediate: those of further ones wait, by policy.
    restart = RestartPolicy(max_restarts=math.inf, backoff=Backoff(initial=0.0))

    async def victim(pool: SessionPool) -> None:
        try:
            await _work(pool, PATIENCE)
        except WorkerCrashed:
            await trio.lowlevel.checkpoint()

    async def bystander(pool: SessionPool, answered: list[float]) -> None:
        nonlocal failed
        try:
            await _work(pool, 0.0)
        except TrioPoolError:
            failed += 1
            await trio.lowlevel.checkpoint()
        else:
            answered.append(time.perf_counter())

    with _silence():
        async with open_pool(APP, size=1, standby=standby, restart=restart, name="bench") as pool:
            for _ in range(rounds):
                await _until(lambda: _whole(pool, standby))
                answered: list[float] = []
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(victim, pool)
                    await _until(lambda: _running(pool) is not None)
                    for _ in range(WAITERS):
                        nursery.start_soon(bystander, pool, answered)
                    await _until(lambda: pool.get_pool_status().queued == WAITERS)
                    pid = _running(pool)
                    if pid is None:
                        raise RuntimeError("a command that was to outlast all of this is over")
                    killed = time.perf_counter()
                    os.kill(pid, signal.SIGKILL)
                if answered:
                    took.append(min(answered) - killed)
    await trio.lowlevel.checkpoint()
    return took, failed


async def _until(condition: Callable[[], bool]) -> None:
    """Wait until it holds, by a look now and then: it is outside of what is measured."""
    with trio.fail_after(PATIENCE):
        while True:
            await trio.sleep(0.002)
            if condition():
                break


@contextmanager
def _silence() -> Generator[None]:
    """Keep the deaths that are measured here out of what is printed."""
    handler = logging.NullHandler()
    logger = logging.getLogger("trio_pool")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _whole(pool: SessionPool, standby: int) -> bool:
    """Tell whether the worker is ready and idle, and so is every standby."""
    status = pool.get_pool_status()
    return status.ready == 1 and not status.busy and status.standby == standby


def _running(pool: SessionPool) -> int | None:
    """Return the process of a worker that has begun a command."""
    return next((info.pid for info in pool.get_pool_status().workers if info.begun and info.status == "busy"), None)


def _summary(times: Sequence[float]) -> Summary:
    summary = summarize(times)
    if summary is None:
        raise RuntimeError("nothing was measured")
    return summary
