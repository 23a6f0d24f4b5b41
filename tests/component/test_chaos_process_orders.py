"""Workers that do on order what no signal makes them do: each deed shows, and is undone."""

from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING

import pytest
import trio
from _arenas import AT_ONCE, STRIKE, Stage, comes_true, stage
from _workers import PATIENCE, state

from chaos import FaultUnavailable
from chaos.faults import _proc
from chaos.faults._process_orders import INJECTORS, left_behind
from chaos.scenario._fault import Death
from chaos.scenario._process_faults import (
    FdExhaustion,
    GilHog,
    Grandchild,
    IgnoreSigterm,
    MemoryGrowth,
    StderrFlood,
    StdoutNoise,
)
from trio_pool import HealthStatus, WorkerExited, WorkerReady, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as there:
        yield there


@pytest.mark.parametrize("spin", [False, True])
async def test_a_hog_answers_nothing_until_it_lets_go(there: Stage, spin: bool) -> None:
    """A request to that worker takes as long as the hog does; it is the same worker that answers."""
    spec = GilHog(name="fault", at=AT_ONCE, hold=0.8, spin=spin)
    victims = [there.victim(0), there.victim(1)]
    async with INJECTORS[spec.kind](spec, STRIKE, victims, there.arena) as injected:
        began = trio.current_time()
        await comes_true(lambda: injected.effect["hit"] == 2)
        assert not injected.healed()
        assert await there.work(1) in {victim.pid for victim in victims}
        assert trio.current_time() - began > 0.6
    assert injected.healed()
    assert injected.effect == {"hit": 2, "died": 0, "killed_to_heal": 0}
    assert not there.seen(WorkerExited)


async def test_a_hog_that_does_not_let_go_is_killed(there: Stage) -> None:
    """Healed early, C code cannot be told so; of a dead process nothing lasts."""
    spec = GilHog(name="fault", at=AT_ONCE, hold=60.0)
    async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
        await comes_true(lambda: injected.effect["hit"] == 1)
    assert injected.healed()
    assert injected.effect == {"hit": 1, "died": 1, "killed_to_heal": 1}
    await there.saw(WorkerReady, 3)


async def test_python_code_lets_go_when_it_is_told(there: Stage) -> None:
    """A spinning worker is healed early without dying of it."""
    spec = GilHog(name="fault", at=AT_ONCE, hold=60.0, spin=True)
    victim = there.victim()
    async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena) as injected:
        await comes_true(lambda: injected.effect["hit"] == 1)
    assert injected.healed()
    assert there.victim().pid == victim.pid


async def test_a_worker_is_deaf_to_sigterm_and_hears_again(there: Stage) -> None:
    """While it lasts SIGTERM does nothing; afterwards it ends the worker in good order."""
    spec = IgnoreSigterm(name="fault", at=AT_ONCE)
    victim = there.victim()
    assert victim.handle is not None
    async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena) as injected:
        assert _proc.ignores(victim.pid, signal.SIGTERM)
        assert not injected.healed()
        await victim.handle.signal(signal.SIGTERM)
        assert (await there.pool.health_check()).status is HealthStatus.HEALTHY
        assert there.victim().pid == victim.pid
    assert injected.healed()
    await victim.handle.signal(signal.SIGTERM)
    (exited,) = await there.saw(WorkerExited, 1)
    assert str(exited.exit) == "exit code 0"


async def test_a_pool_with_a_lingering_worker_stops_in_time(tmp_path: Path) -> None:
    """Neither SIGTERM nor the protocol's shutdown ends it; the pool's SIGKILL does, within its grace."""
    spec = IgnoreSigterm(name="fault", at=AT_ONCE, linger=60.0)
    async with stage(tmp_path, size=1, shutdown_grace=0.5) as there:
        victim = there.victim()
        injector = INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena)
        injected = await injector.__aenter__()
        began = trio.current_time()
    assert trio.current_time() - began < 0.5 + 2.0 + 1.0  # its grace, the promise, and a loaded machine
    assert not _proc.living(victim.pid)
    await injector.__aexit__(None, None, None)
    assert injected.healed()
    (exited,) = there.seen(WorkerExited)
    assert str(exited.exit) == "SIGKILL"


async def test_memory_is_taken_within_the_budget_of_all_and_given_back(there: Stage) -> None:
    """Two workers share what the scenario allows; afterwards both have what they had, and the budget is whole."""
    budget = there.arena.memory_budget
    spec = MemoryGrowth(name="fault", at=AT_ONCE, size=budget)
    victims = [there.victim(0), there.victim(1)]
    before = [_proc.memory(victim.pid) for victim in victims]
    arena = there.arena
    async with INJECTORS[spec.kind](spec, STRIKE, victims, arena) as injected:
        assert injected.effect["held"] == budget
        assert arena.memory.total == budget
        for victim, memory in zip(victims, before, strict=True):
            assert _proc.memory(victim.pid) >= memory + budget // 2
        assert not injected.healed()
    assert injected.healed()
    assert arena.memory.total == 0
    for victim, memory in zip(victims, before, strict=True):
        assert _proc.memory(victim.pid) < memory + budget // 4
    assert not there.seen(WorkerExited)


async def test_descriptors_are_used_up_and_given_back(there: Stage) -> None:
    """A worker at its limit still serves what needs no file; the limit is what it was afterwards."""
    spec = FdExhaustion(name="fault", at=AT_ONCE, spare=2)
    victim = there.victim()
    limit = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    before = _proc.descriptors(victim.pid)
    async with INJECTORS[spec.kind](spec, STRIKE, [victim], there.arena) as injected:
        held = _proc.descriptors(victim.pid)
        assert len(held) == resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)[0] - spec.spare
        assert (await there.pool.health_check()).status is HealthStatus.HEALTHY
        assert not injected.healed()
    assert injected.healed()
    assert _proc.descriptors(victim.pid) == before
    assert resource.prlimit(victim.pid, resource.RLIMIT_NOFILE) == limit


@pytest.mark.parametrize(
    "spec",
    [StderrFlood(name="fault", at=AT_ONCE, size=3_000_000), StdoutNoise(name="fault", at=AT_ONCE, size=3_000_000)],
)
async def test_a_flood_is_written_to_its_end(there: Stage, spec: StderrFlood | StdoutNoise) -> None:
    """The pool reads all of it, or the worker would stand in the middle; requests are answered before and after."""
    async with INJECTORS[spec.kind](spec, STRIKE, [there.victim(0), there.victim(1)], there.arena) as injected:
        pass
    assert injected.effect == {"hit": 2, "died": 0, "killed_to_heal": 0, "written": 6_000_000}
    assert injected.healed()
    assert await there.work(1)
    assert not there.seen(WorkerExited)


@pytest.mark.parametrize("own_group", [False, True])
async def test_who_is_left_behind_holds_on_and_is_sent_away(there: Stage, own_group: bool) -> None:
    """The pool goes by the worker's death, whoever holds its pipe; who left the group is this fault's to end."""
    spec = Grandchild(name="fault", at=AT_ONCE, death=Death.EXIT_3, own_group=own_group, hold=PATIENCE)
    async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
        (exited,) = await there.saw(WorkerExited, 1)
        assert str(exited.exit) == "exit code 3"
        await there.saw(WorkerReady, 3)
        assert injected.effect["died"] == 1
        if own_group:
            assert injected.effect["left"] == injected.effect["alive"] == 1
            assert not injected.healed()
    assert injected.healed()
    pids = injected.effect["pids"]
    assert isinstance(pids, list)
    assert all(state(pid) in "XZ" for pid in pids)


async def test_who_was_not_left_behind_is_not_taken_for_it(there: Stage) -> None:
    """A number that is somebody else's by now, or nobody's, is let be."""
    assert await left_behind(str(there.victim().pid), "/flags/1") == []
    assert await left_behind("", "/flags/1") == []


async def test_a_worker_without_an_agent_takes_no_orders(there: Stage) -> None:
    """A program of somebody else's would die of the signal, and is spared."""
    async with open_pool(size=1, launcher=there.launcher) as other:
        there.pool, ours = other, there.pool
        spec = MemoryGrowth(name="fault", at=AT_ONCE)
        arena = there.arena
        with pytest.raises(FaultUnavailable, match="takes no orders"):
            async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], arena):
                pass
        assert arena.memory.total == 0
        assert (await other.health_check()).status is HealthStatus.HEALTHY
        there.pool = ours
