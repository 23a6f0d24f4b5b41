"""Workers that are refused memory, files or a processor: the kernel says that they are, and that they are no longer."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest
import trio
from _arenas import AT_ONCE, STRIKE, Stage, comes_true, stage

from chaos import FaultMissed, FaultUnavailable
from chaos.faults import _proc
from chaos.faults._process_limits import INJECTORS, lowest_free
from chaos.scenario._process_faults import CpuStarvation, FdLimit, MemoryKind, MemoryLimit
from trio_pool import WorkerExited, WorkerReady
from trio_pool.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, size=1) as there:
        yield there


@pytest.mark.parametrize("memory", list(MemoryKind))
async def test_a_worker_is_refused_memory_and_then_not(there: Stage, memory: MemoryKind) -> None:
    """What exceeds the headroom is a MemoryError of the command's own; the limit is read back from the kernel."""
    spec = MemoryLimit(name="fault", at=AT_ONCE, headroom=2**20, memory=memory)
    kind = {MemoryKind.ADDRESS_SPACE: resource.RLIMIT_AS, MemoryKind.DATA: resource.RLIMIT_DATA}[memory]
    victim = there.victim()
    before = resource.prlimit(victim.pid, kind)
    async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena) as injected:
        assert injected.effect == {"hit": 1, "limits": [resource.prlimit(victim.pid, kind)[0]], "died": 0}
        assert resource.prlimit(victim.pid, kind)[1] == before[1]
        with pytest.raises(RemoteError, match="MemoryError"):
            await there.pool.execute_anonymous("take", {"size": 64 * 2**20})
        assert not injected.healed()
    assert injected.healed()
    assert resource.prlimit(victim.pid, kind) == before
    assert await there.pool.execute_anonymous("take", {"size": 64 * 2**20}) == 64 * 2**20
    assert there.victim().pid == victim.pid


async def test_a_worker_may_open_no_more_files_and_then_again(there: Stage) -> None:
    """So many as are spared, and none beyond: an OSError of the command's own."""
    spec = FdLimit(name="fault", at=AT_ONCE, spare=3)
    victim = there.victim()
    before = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena) as injected:
        assert await there.pool.execute_anonymous("open_files", {"count": 3}) == 3
        with pytest.raises(RemoteError, match="Too many open files"):
            await there.pool.execute_anonymous("open_files", {"count": 4})
        assert not injected.healed()
    assert injected.healed()
    assert resource.prlimit(victim.pid, resource.RLIMIT_NOFILE) == before
    assert await there.pool.execute_anonymous("open_files", {"count": 4}) == 4
    assert there.victim().pid == victim.pid


async def test_a_limit_that_is_lower_already_is_left_alone(there: Stage) -> None:
    """No limit is ever raised: that one is refused, and what was lowered before is put back."""
    victim = there.victim()
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (40, 40))
    spec = FdLimit(name="fault", at=AT_ONCE, spare=100)
    with pytest.raises(FaultUnavailable, match="40 already"):
        async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena):
            pass
    assert resource.prlimit(victim.pid, resource.RLIMIT_NOFILE) == (40, 40)


async def test_the_limit_of_a_worker_that_died_meanwhile_is_nobody_s(there: Stage) -> None:
    """Its number is not used any more, whoever has it by then; a victim gone before is missed."""
    spec = FdLimit(name="fault", at=AT_ONCE)
    victim = there.victim()
    async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena) as injected:
        assert victim.handle is not None
        await victim.handle.kill()
        await there.saw(WorkerReady, 2)
        fresh = resource.prlimit(there.victim().pid, resource.RLIMIT_NOFILE)
    assert injected.healed()
    assert injected.effect["died"] == 1
    assert resource.prlimit(there.victim().pid, resource.RLIMIT_NOFILE) == fresh
    with pytest.raises(FaultMissed):
        async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena):
            pass


def test_the_lowest_free_number_is_the_next_file_s() -> None:
    """Gaps are filled first, so a limit above one would let something through."""
    assert lowest_free([]) == 0
    assert lowest_free([0, 1, 2]) == 3
    assert lowest_free([0, 1, 5, 6]) == 2


def burning() -> list[int]:
    """Return the processes of ours that compute."""
    return [pid for pid in _proc.children(os.getpid()) if "_burner.py" in " ".join(_proc.command(pid))]


@pytest.mark.parametrize("idle", [False, True])
async def test_a_worker_shares_one_processor_and_then_has_its_own_again(there: Stage, idle: bool) -> None:
    """All its threads are bound to the processor on which others compute; afterwards nothing is left of either."""
    spec = CpuStarvation(name="fault", at=AT_ONCE, burners=2, idle=idle)
    victim = there.victim()
    before = os.sched_getaffinity(victim.pid)
    # A thread that starts while it lasts has it from the one that starts it.
    async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena) as injected:
        cpu = injected.effect["cpu"]
        assert injected.effect["idle"] == idle
        assert os.sched_getaffinity(victim.pid) == {cpu}
        assert (os.sched_getscheduler(victim.pid) == os.SCHED_IDLE) == idle
        # A process that has just been started has no command line for a moment.
        await comes_true(lambda: len(burning()) == 2)
        burners = burning()
        await comes_true(lambda: all(os.sched_getaffinity(pid) == {cpu} for pid in burners))
        assert await there.pool.execute_anonymous("start_thread") == 2
        assert not injected.healed()
    assert injected.healed()
    assert len(_proc.tasks(victim.pid)) == 2
    for task in _proc.tasks(victim.pid):
        assert os.sched_getaffinity(task) == before
        assert os.sched_getscheduler(task) == os.SCHED_OTHER
    assert not any(_proc.living(pid) for pid in burners)
    assert not there.seen(WorkerExited)


async def test_cancelled_a_starvation_leaves_nobody_who_computes(there: Stage) -> None:
    """However it ends, the processes that compute are gone and the worker is free."""
    spec = CpuStarvation(name="fault", at=AT_ONCE)
    with trio.move_on_after(0.3):
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            await trio.sleep_forever()
    assert injected.healed()
    assert os.sched_getaffinity(there.victim().pid) == os.sched_getaffinity(0)
