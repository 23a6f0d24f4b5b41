"""Two ratios that travel between machines: a small request to a bare socket's, a worker's start to an interpreter's.

What the testing strategy wants measured without a yardstick is in `chaos._benchmarks`, and what a pool is aimed to take
at the most in `chaos._targets`; `bench` carries out all three.

Absolute times differ between machines and hours, so each candidate is measured in turn with its yardstick in one
process: rounds of echoes over a bare Trio ``SocketStream`` to a child process, then through a pool of one worker; a
bare ``python -c pass``, then a worker until it is ready. Every round gives one ratio of medians; the one shown is
their median.
"""

from __future__ import annotations

import gc
import json
import socket
import sys
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import attrs
import trio

from trio_pool import open_pool, open_worker
from trio_pool.testing import percentile

from ._about import environment
from ._benchmarks import BENCHMARKS, benchmark_lines, run_benchmarks, show_time
from ._stats import summarize
from ._targets import TARGETS, run_targets, target_lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator

    from ._benchmarks import Benchmarked
    from ._stats import Summary
    from ._targets import Target

    # Does a thing once and returns how many seconds the part that counts took.
    Measured: TypeAlias = Callable[[], Awaitable[float]]

ECHOES = 200
"""Echoes a round: about 10 ms, long enough for a median and short against changes in the machine's mood."""

_PAYLOAD = b"x" * 64
_CHILD = """\
import os, sys
fd = int(sys.argv[1])
while data := os.read(fd, 65536):
    os.write(fd, data)
"""


@attrs.frozen(kw_only=True)
class Comparison:
    """A yardstick and a candidate, measured in turns, in seconds."""

    yardstick: str
    candidate: str
    yardstick_times: Summary | None
    candidate_times: Summary | None
    rounds: int
    ratio: float


COMPARISONS = ("echo", "start")
"""The names of the two comparisons."""

NAMES = (*COMPARISONS, *BENCHMARKS, *TARGETS)
"""The names of all that can be measured."""


@attrs.frozen(kw_only=True)
class Bench:
    """All that was measured."""

    comparisons: tuple[Comparison, ...]
    benchmarks: tuple[Benchmarked, ...]
    targets: tuple[Target, ...] = ()

    def to_json(self) -> str:
        """Return the results, and where they were measured, as JSON; times are in seconds."""
        results = attrs.asdict(self)
        for kept, target in zip(results["targets"], self.targets, strict=True):
            kept["met"] = target.met
        return json.dumps({"environment": dict(environment()), **results}, indent=1) + "\n"


async def bench(seconds: float, iterations: int, names: Collection[str] = NAMES) -> Bench:
    """Measure.

    Args:
        seconds: About how long the comparisons may take, all together.
        iterations: How often each operation of the other benchmarks is carried out.
        names: What to measure, of `NAMES`.
    """
    share = seconds / max(1, sum(name in names for name in COMPARISONS))
    comparisons: list[Comparison] = []
    # Collections would hit whoever happens to be measured; both sides allocate little.
    gc.collect()
    gc.disable()
    try:
        if "echo" in names:
            comparisons.append(await _compare_echo(share))
        if "start" in names:
            comparisons.append(await _compare("python -c pass", "worker ready", _interpreter, _worker, 1, share))
    finally:
        gc.enable()
    return Bench(
        comparisons=tuple(comparisons),
        benchmarks=tuple(await run_benchmarks(names, iterations)),
        targets=tuple(await run_targets(names, iterations)),
    )


def bench_lines(results: Bench) -> Iterator[str]:
    """Yield the results as tables, and the ratios."""
    comparisons = results.comparisons
    if comparisons:
        width = max(len(name) for c in comparisons for name in (c.yardstick, c.candidate))
        yield f"{'':<{width}}{'min':>12}{'median':>12}{'p95':>12}{'p99':>12}{'n':>9}"
        for c in comparisons:
            for name, times in ((c.yardstick, c.yardstick_times), (c.candidate, c.candidate_times)):
                if times is None:
                    continue
                cells = "".join(f"{show_time(value):>12}" for value in (times.minimum, times.p50, times.p95, times.p99))
                yield f"{name:<{width}}{cells}{times.count:>9}"
        for c in comparisons:
            yield f"ratio {c.ratio:.2f}   {c.candidate} : {c.yardstick} (median of {c.rounds} rounds, target below 3)"
        if results.benchmarks or results.targets:
            yield ""
    yield from benchmark_lines(results.benchmarks)
    if results.benchmarks and results.targets:
        yield ""
    yield from target_lines(results.targets)


async def _compare_echo(seconds: float) -> Comparison:
    async with _bare_echo() as bare, open_pool(size=1) as pool:
        arguments = {"value": _PAYLOAD.decode()}

        async def pooled() -> float:
            begin = time.perf_counter()
            await pool.execute_anonymous("echo", arguments)
            return time.perf_counter() - begin

        names = ("bare Trio SocketStream echo, 64 B", "pool echo, 64 B")
        return await _compare(*names, bare, pooled, ECHOES, seconds)


async def _compare(
    yardstick: str,
    candidate: str,
    first: Measured,
    second: Measured,
    repeats: int,
    seconds: float,
) -> Comparison:
    for once in (first, second):
        await once()  # imports and caches are nobody's latency
    firsts: list[float] = []
    seconds_: list[float] = []
    ratios: list[float] = []
    deadline = time.perf_counter() + seconds
    # At least three rounds, or the median of rounds is a word only.
    while len(ratios) < 3 or time.perf_counter() < deadline:
        one = [await first() for _ in range(repeats)]
        two = [await second() for _ in range(repeats)]
        firsts += one
        seconds_ += two
        ratios.append(percentile(sorted(two), 0.5) / percentile(sorted(one), 0.5))
    return Comparison(
        yardstick=yardstick,
        candidate=candidate,
        yardstick_times=summarize(firsts),
        candidate_times=summarize(seconds_),
        rounds=len(ratios),
        ratio=percentile(sorted(ratios), 0.5),
    )


@asynccontextmanager
async def _bare_echo() -> AsyncGenerator[Measured, None]:
    """Start a child that sends everything back; yield a measured round trip of 64 bytes."""
    ours, theirs = socket.socketpair()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    async with stream, trio.open_nursery() as nursery:
        with theirs:
            command = [sys.executable, "-c", _CHILD, str(theirs.fileno())]
            await nursery.start(partial(trio.run_process, command, pass_fds=(theirs.fileno(),)))

        async def echo() -> float:
            begin = time.perf_counter()
            await stream.send_all(_PAYLOAD)
            missing = len(_PAYLOAD)
            while missing:
                received = await stream.receive_some(65536)
                if not received:
                    raise trio.BrokenResourceError("the echo child is gone")
                missing -= len(received)
            return time.perf_counter() - begin

        yield echo
        # End of stream is the child's sign to leave; if it does not, cancelling kills it.
        await stream.aclose()


async def _interpreter() -> float:
    begin = time.perf_counter()
    await trio.run_process([sys.executable, "-c", "pass"])
    return time.perf_counter() - begin


async def _worker() -> float:
    begin = time.perf_counter()
    async with open_worker("trio_pool.bridge:builtin"):
        return time.perf_counter() - begin
