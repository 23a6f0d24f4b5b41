"""Workers made and killed thousands of times: in the end the application holds what it held in the beginning.

Counted are the file descriptors, threads, child processes (zombies among them) and Trio tasks of the application, and
its memory twice: what Python has allocated, traced by `tracemalloc` after a full collection, which shows a single
object left behind by each cycle; and what the kernel has given it (RSS), which shows what C code keeps.

What counts as growth is the difference between the end and the end of the warm-up, a fifth of the cycles, in which
caches fill: of compiled patterns, of threads, of freed memory.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import resource
import signal
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import _leaks
import attrs
import pytest
import trio
import trio.testing
from _pools import APP, settled
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_pool import PoolEvent, SessionPool

pytestmark = pytest.mark.slow

POOL = 4
"""Workers at once: twice the cores that this is meant for, since a start also waits."""

ROUNDS = 10
"""How often it is measured; the first two rounds are the warm-up."""

OBJECT = 48
"""Bytes a cycle may leave behind: less than a Python object with the slot that refers to it."""

ALLOCATIONS = 64 * 1024
"""Bytes that containers may have grown by whatever the number of cycles: they grow in steps, and Trio keeps a deadline,
some 300 bytes with its scope, until it has passed, also of what is long over."""

START_TIMEOUT = math.inf
"""For that reason: with the usual one, Trio would hold the scopes of the last 30 seconds' starts (it keeps at most a
thousand, so that is no leak, but it looks like one for as long as this test lasts)."""

RESIDENT = 4 * 2**20
"""Bytes of RSS likewise: what the allocators of C and Python keep for later, in arenas of a megabyte."""


@attrs.frozen
class Holdings:
    """What the application holds."""

    descriptors: int
    threads: int
    children: int
    tasks: int
    allocated: int
    resident: int

    @classmethod
    def count(cls) -> Holdings:
        """Count; everything has come to rest."""
        gc.collect()
        return cls(
            descriptors=len(_leaks.descriptors()),
            threads=len(_leaks.threads()),
            children=len(_leaks.children()),
            tasks=trio.lowlevel.current_statistics().tasks_living,
            allocated=tracemalloc.get_traced_memory()[0],
            resident=int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize(),
        )

    @property
    def countable(self) -> tuple[int, int, int, int]:
        """What must be the same each time."""
        return self.descriptors, self.threads, self.children, self.tasks


async def at_rest() -> Holdings:
    """Count what is held when nothing moves any more."""
    await trio.testing.wait_all_tasks_blocked(0.05)
    return Holdings.count()


@pytest.fixture
def traced() -> Iterator[None]:
    """Trace what Python allocates, and have no deaths logged: pytest keeps every record until the test is over."""
    logger = logging.getLogger("trio_pool")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    tracemalloc.start()
    yield
    tracemalloc.stop()
    logger.setLevel(before)


def judge(held: list[Holdings], cycles: int) -> None:
    """Check that nothing was kept, given what was held after each round."""
    first, *_, last = kept = held[ROUNDS // 5 :]
    each = (last.allocated - first.allocated) / cycles
    grown = last.resident - first.resident
    print(f"\n{cycles} cycles after the warm-up: {each:+.2f} bytes allocated a cycle, RSS {grown / 1024:+.0f} KiB")  # noqa: T201  # shown with -s
    print(*(f"{one.allocated} B, {one.resident // 1024} KiB, {one.countable}" for one in held), sep="\n")  # noqa: T201  # as above
    assert [one.countable for one in kept] == [held[0].countable] * len(kept)
    assert last.allocated - first.allocated < ALLOCATIONS + OBJECT * cycles
    # What grew and stopped growing is a cache; what grows in every round is a leak, however slow.
    assert grown < RESIDENT or not all(a.resident < b.resident for a, b in pairwise(kept))


@pytest.mark.usefixtures("traced")
async def test_a_pool_keeps_nothing_of_the_workers_it_lost(cycles: int) -> None:
    """One pool, whose workers are killed as soon as they are ready or in the middle of a command, all the time."""
    each_round = math.ceil(cycles / 2 / ROUNDS)  # the other half is the other test's
    exits = 0
    running = True
    changed = trio.Event()
    held: list[Holdings] = []

    def observe(event: PoolEvent) -> None:
        nonlocal exits, changed
        exits += isinstance(event, trio_pool.WorkerExited)
        if isinstance(event, (trio_pool.WorkerReady, trio_pool.WorkerExited)):
            changed.set()
            changed = trio.Event()

    async def kill_the_even(pool: SessionPool, until: int) -> None:
        nonlocal running
        while exits < until:
            for info in pool.get_pool_status().workers:
                if info.incarnation % 2 == 0 and info.status in ("ready", "busy") and info.pid is not None:
                    os.kill(info.pid, signal.SIGKILL)
            await changed.wait()
        running = False

    async def have_them_die(pool: SessionPool) -> None:
        while running:
            with pytest.raises(trio_pool.WorkerCrashed):
                await pool.execute_anonymous("die", {"path": os.devnull, "how": "kill"})

    config = trio_pool.PoolConfig(
        size=POOL,
        checkout_timeout=PATIENCE,
        start_timeout=START_TIMEOUT,
        on_event=observe,
        # A short window, for the restarts in it are remembered, a thousand of them at the most.
        restart={"max_restarts": math.inf, "within": 1.0, "backoff": {"initial": 0.0}},
    )
    async with trio_pool.open_pool(APP, config) as pool:
        for number in range(ROUNDS):
            running = True
            with trio.fail_after(PATIENCE + each_round):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(kill_the_even, pool, (number + 1) * each_round)
                    for _ in range(POOL):
                        nursery.start_soon(have_them_die, pool)
            await settled(pool)
            held.append(await at_rest())
    assert exits >= cycles / 2
    judge(held, exits * (ROUNDS - ROUNDS // 5) // ROUNDS)


@pytest.mark.usefixtures("traced")
async def test_workers_of_their_own_leave_nothing_behind(cycles: int) -> None:
    """Workers without a pool, some at a time, each started, killed and left."""
    config = trio_pool.PoolConfig(start_timeout=START_TIMEOUT)
    each_task = math.ceil(cycles / 2 / ROUNDS / POOL)
    held: list[Holdings] = []

    async def make_and_kill() -> None:
        for _ in range(each_task):
            async with trio_pool.open_worker(config=config) as worker:
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)
                await worker.dead.wait()

    for _ in range(ROUNDS):
        with trio.fail_after(PATIENCE + each_task * POOL):
            async with trio.open_nursery() as nursery:
                for _ in range(POOL):
                    nursery.start_soon(make_and_kill)
        held.append(await at_rest())
    judge(held, each_task * POOL * (ROUNDS - ROUNDS // 5))
