"""Workers killed and frozen by injectors: each death is the one that was ordered, and nothing of a freeze lasts."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
from _arenas import AT_ONCE, STRIKE, Stage, comes_true, stage
from _workers import state

from chaos import FaultMissed, FaultUnavailable
from chaos.faults._injection import Victim
from chaos.faults._proc import is_ours
from chaos.faults._process_deaths import INJECTORS
from chaos.scenario._fault import Death, Window
from chaos.scenario._process_faults import BriefFreeze, Freeze, Kill
from trio_pool import WorkerExited, WorkerReady
from trio_pool.errors import WorkerCrashed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as there:
        yield there


@pytest.mark.parametrize("death", [death for death in Death if death not in (Death.TERM, Death.INT)])
async def test_a_worker_dies_as_ordered(there: Stage, death: Death) -> None:
    """The pool sees the very signal or exit code that was ordered, and another worker comes in its place."""
    kill = Kill(name="fault", at=AT_ONCE, death=death)
    async with INJECTORS["kill"](kill, STRIKE, [there.victim(0)], there.arena) as injected:
        (exited,) = await there.saw(WorkerExited, 1)
        assert injected.effect == {"hit": 1, "died": 1}
    assert injected.healed()
    expected = f"exit code {death.value[5:]}" if death.value.startswith("exit") else f"SIG{death.value}"
    assert str(exited.exit) == expected
    await there.saw(WorkerReady, 3)


async def test_a_busy_worker_exits_in_the_middle_of_its_command(there: Stage) -> None:
    """The order to exit is heard in a command, which fails as it does with any death."""
    kill = Kill(name="fault", at=AT_ONCE, death=Death.EXIT_0)
    async with trio.open_nursery() as nursery:

        async def call() -> None:
            with pytest.raises(WorkerCrashed) as caught:
                await there.work(1, seconds=60.0)
            assert str(caught.value.exit) == "exit code 0"

        nursery.start_soon(call)
        await comes_true(lambda: there.ledger() == [(1, 1)])
        (busy,) = [worker for worker in there.pool.get_pool_status().workers if worker.begun]
        async with INJECTORS["kill"](kill, STRIKE, [there.victim(busy.slot)], there.arena):
            pass


async def test_sigterm_and_sigint_are_the_worker_s_own_to_take(there: Stage) -> None:
    """Told to leave a worker leaves in good order; of an interrupt, which is the application's, it takes no notice."""
    for death in (Death.INT, Death.TERM):
        kill = Kill(name="fault", at=AT_ONCE, death=death)
        async with INJECTORS["kill"](kill, STRIKE, [there.victim(0)], there.arena):
            pass
    (exited,) = await there.saw(WorkerExited, 1)
    assert str(exited.exit) == "exit code 0"


async def test_several_are_killed_in_one_go_and_those_who_are_gone_are_missed(there: Stage) -> None:
    """Two victims die before the pool has replaced the first; the same two again are nobody."""
    victims = [there.victim(0), there.victim(1)]
    kill = Kill(name="fault", at=AT_ONCE)
    async with INJECTORS["kill"](kill, STRIKE, victims, there.arena):
        assert await there.saw(WorkerExited, 2)
    await there.saw(WorkerReady, 4)
    with pytest.raises(FaultMissed, match="is gone"):
        async with INJECTORS["kill"](kill, STRIKE, victims, there.arena):
            pass
    assert len(there.seen(WorkerExited)) == 2


async def test_a_number_that_is_another_s_by_now_is_not_hit(there: Stage) -> None:
    """A victim whose process is gone is missed, also when its number has come to somebody who lives."""
    before = there.victim(0)
    assert before.handle is not None
    await before.handle.kill()
    await there.saw(WorkerReady, 3)
    reused = attrs.evolve(before, pid=there.victim(0).pid)
    with pytest.raises(FaultMissed):
        async with INJECTORS["freeze"](Freeze(name="fault", at=AT_ONCE), STRIKE, [reused], there.arena):
            pass
    assert state(reused.pid) in "RS"


async def test_a_window_is_not_reached_from_here(there: Stage) -> None:
    """A kill in a window is refused and nobody is hurt: it needs the link."""
    kill = Kill(name="fault", at=AT_ONCE, window=Window.W3)
    with pytest.raises(FaultUnavailable, match="W3"):
        async with INJECTORS["kill"](kill, STRIKE, [there.victim()], there.arena):
            pass
    assert not there.seen(WorkerExited)


@pytest.mark.parametrize("spec", [Freeze(name="fault", at=AT_ONCE), BriefFreeze(name="fault", at=AT_ONCE)])
async def test_a_frozen_worker_stands_still_and_then_goes_on(there: Stage, spec: Freeze) -> None:
    """While it is in force the process is stopped; afterwards it is not, and it is the same one."""
    victims = [there.victim(0), there.victim(1)]
    async with INJECTORS[spec.kind](spec, STRIKE, victims, there.arena) as injected:
        assert [state(victim.pid) for victim in victims] == ["T", "T"]
        assert injected.effect == {"stopped": 2, "died": 0}
        assert not injected.healed()
    assert injected.healed()
    assert all(state(victim.pid) in "RS" for victim in victims)
    assert await there.work(1) in {victim.pid for victim in victims}
    assert not there.seen(WorkerExited)


async def test_a_freeze_that_is_cancelled_heals(there: Stage) -> None:
    """Whatever ends the block, the worker goes on; healed says so by looking."""
    victim = there.victim()
    with trio.CancelScope() as scope:
        async with INJECTORS["freeze"](Freeze(name="fault", at=AT_ONCE), STRIKE, [victim], there.arena) as injected:
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert injected.healed()
    assert state(victim.pid) in "RS"
    # It looks: stopped again by somebody else, it is not healed.
    assert victim.handle is not None
    await victim.handle.signal(signal.SIGSTOP)
    await comes_true(lambda: state(victim.pid) == "T")
    assert not injected.healed()
    await victim.handle.signal(signal.SIGCONT)


async def test_a_worker_killed_while_it_stands_needs_no_healing(there: Stage) -> None:
    """A freeze whose victim the pool has replaced leaves nothing, and the new worker alone."""
    victim = there.victim()
    async with INJECTORS["freeze"](Freeze(name="fault", at=AT_ONCE), STRIKE, [victim], there.arena) as injected:
        assert victim.handle is not None
        await victim.handle.kill()
        await there.saw(WorkerReady, 3)
        assert injected.effect == {"stopped": 1, "died": 1}
    assert injected.healed()
    assert len(there.seen(WorkerExited)) == 1


SLEEPER = "import sys; sys.stdin.read()"
"""Ends when its parent closes the pipe, or dies."""

LEAVING = f"""
import subprocess, sys
print(subprocess.Popen([sys.executable, "-I", "-S", "-c", {SLEEPER!r}]).pid)
"""


@pytest.fixture
def child() -> Iterator[int]:
    """A child of this process that no pool knows."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEPER], stdin=subprocess.PIPE) as child:
        yield child.pid
        child.kill()


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is nobody's child here any more: its parent has ended."""
    argv = [sys.executable, "-I", "-S", "-c", LEAVING]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as between:
        assert between.stdout is not None
        yield int(between.stdout.readline())


async def test_without_a_handle_a_worker_is_held_by_its_descriptor(there: Stage, child: int) -> None:
    """A peer's worker, a child of ours, is hit by its number."""
    victim = Victim(pid=child, slot=0, incarnation=1)
    async with INJECTORS["freeze"](Freeze(name="fault", at=AT_ONCE), STRIKE, [victim], there.arena) as injected:
        assert state(child) == "T"
    assert injected.healed()
    async with INJECTORS["kill"](Kill(name="fault", at=AT_ONCE), STRIKE, [victim], there.arena):
        await comes_true(lambda: state(child) == "Z")


async def test_who_is_not_of_our_making_is_not_hit(there: Stage, stranger: int) -> None:
    """The number of a process that this one has not started is nobody's, living as it may be."""
    await comes_true(lambda: not is_ours(stranger))
    victim = Victim(pid=stranger, slot=0, incarnation=1)
    with pytest.raises(FaultMissed):
        async with INJECTORS["freeze"](Freeze(name="fault", at=AT_ONCE), STRIKE, [victim], there.arena):
            pass
    assert state(stranger) in "RS"
