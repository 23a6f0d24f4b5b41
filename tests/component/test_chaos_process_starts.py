"""Starts that are spoilt by injectors: how each goes wrong, and that those after it go well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from _arenas import AT_ONCE, STRIKE, comes_true, stage

from chaos.faults._process_starts import INJECTORS
from chaos.scenario._fault import Death
from chaos.scenario._process_faults import CrashLoop, CrashOnStart, NeverReady, SlowStart
from trio_pool import WorkerExited, WorkerReady, WorkerStarting

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


async def test_so_many_starts_crash(tmp_path: Path) -> None:
    """Three orders cost three starts; the fourth is ready, and the other worker was never touched."""
    spec = CrashOnStart(name="fault", at=AT_ONCE, starts=3, death=Death.SEGV)
    async with stage(tmp_path) as there:
        other = there.victim(1)
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim(0)], there.arena) as injected:
            await there.saw(WorkerReady, 3)
            assert injected.effect == {"killed": 1, "starts": 3}
        assert injected.healed()
        assert [str(event.exit) for event in there.seen(WorkerExited)] == ["SIGKILL"] + 3 * ["SIGSEGV"]
        assert there.victim(1).pid == other.pid


async def test_an_import_that_raises_is_told_of(tmp_path: Path) -> None:
    """A start that fails with an exception ends the worker with the pool's code for that."""
    spec = CrashOnStart(name="fault", at=AT_ONCE, exception=True)
    async with stage(tmp_path) as there:
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim(0)], there.arena) as injected:
            await there.saw(WorkerReady, 3)
        assert injected.healed()
        assert [str(event.exit) for event in there.seen(WorkerExited)] == ["SIGKILL", "exit code 1"]


async def test_every_start_crashes_until_it_is_healed(tmp_path: Path) -> None:
    """Without a number all starts go wrong while it lasts, and none afterwards."""
    spec = CrashOnStart(name="fault", at=AT_ONCE, starts=0)
    async with stage(tmp_path, size=1) as there:
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            await there.saw(WorkerExited, 4)
            assert injected.effect["starts"] == 3
            assert not injected.healed()
            assert len(there.seen(WorkerReady)) == 1
        assert injected.healed()
        await there.saw(WorkerReady, 2)
        assert await there.work(1)


async def test_what_nobody_took_is_withdrawn(tmp_path: Path) -> None:
    """An order for more starts than there are is gone when it is healed."""
    spec = CrashOnStart(name="fault", at=AT_ONCE, starts=100)
    async with stage(tmp_path, size=1) as there:
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            await there.saw(WorkerExited, 2)
        assert injected.healed()
        assert list((tmp_path / "orders/start").iterdir()) == []
        await there.saw(WorkerReady, 2)


async def test_workers_that_were_ready_die_soon_after(tmp_path: Path) -> None:
    """Each of the next starts is ready, and dies; the one after these lives."""
    spec = CrashLoop(name="fault", at=AT_ONCE, starts=2, after=0.3)
    async with stage(tmp_path, size=1) as there:
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            await there.saw(WorkerReady, 4)
            assert [str(event.exit) for event in there.seen(WorkerExited)] == ["SIGKILL"] + 2 * ["exit code 3"]
            assert injected.effect == {"killed": 1, "starts": 2}
        assert injected.healed()


async def test_who_was_to_die_soon_lives_on_when_it_is_healed_before(tmp_path: Path) -> None:
    """A timer that still runs does nothing any more."""
    spec = CrashLoop(name="fault", at=AT_ONCE, starts=1, after=0.5)
    async with stage(tmp_path, size=1) as there:
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            await there.saw(WorkerReady, 2)
        assert injected.healed()
        doomed = there.victim().pid
        await trio.sleep(0.7)  # until its time has passed
        assert there.victim().pid == doomed
        assert len(there.seen(WorkerExited)) == 1


async def test_a_slow_start_is_slow_and_nothing_worse(tmp_path: Path) -> None:
    """It is ready later by as much as was said, and no start was spent on it in vain."""
    spec = SlowStart(name="fault", at=AT_ONCE, delay=0.6)
    async with stage(tmp_path, size=1) as there:
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            began = trio.current_time()
            await there.saw(WorkerReady, 2)
            assert trio.current_time() - began > 0.6
            assert injected.effect == {"killed": 1, "starts": 1}
        assert injected.healed()
        assert len(there.seen(WorkerStarting)) == 2


@pytest.mark.parametrize(
    "spec",
    [SlowStart(name="fault", at=AT_ONCE, delay=60.0), NeverReady(name="fault", at=AT_ONCE, noise=200_000)],
)
async def test_a_start_that_is_held_up_goes_on_when_it_is_healed(tmp_path: Path, spec: SlowStart | NeverReady) -> None:
    """While it lasts there is a worker that is not ready; afterwards the same one is."""
    async with stage(tmp_path, size=1) as there:
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            await there.saw(WorkerStarting, 2)
            await comes_true(lambda: injected.effect["starts"] == 1)
            assert not injected.healed()
        assert injected.healed()
        await there.saw(WorkerReady, 2)
        assert len(there.seen(WorkerStarting)) == 2


async def test_a_start_that_comes_to_nothing_is_given_up_in_time(tmp_path: Path) -> None:
    """The pool kills it when its time is up, and the next start is none of this fault's."""
    spec = NeverReady(name="fault", at=AT_ONCE)
    async with stage(tmp_path, size=1, start_timeout=1.0) as there:
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            await there.saw(WorkerReady, 2)
            assert injected.effect == {"killed": 1, "starts": 1}
            assert injected.healed()
        assert len(there.seen(WorkerStarting)) == 3
