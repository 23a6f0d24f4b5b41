"""A grip on a process that is ours, gone, dead and not yet waited for, or on another machine."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from chaos._fault import FaultMissed, FaultUnavailable
from chaos.faults._grip import Grip, gripped, obeyed, order, until
from chaos.faults._injection import Arena, Victim
from chaos.faults._orders import Orders, dying
from chaos.scenario._fault import Death
from chaos.workload._agent import SIGNAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TAKING = f"import signal, sys; signal.signal({int(SIGNAL)}, lambda *_: None); print(flush=True); sys.stdin.read()"
"""Takes the signal of orders, says so, and ends when its parent closes the pipe."""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process, ready to take orders."""
    argv = [sys.executable, "-I", "-S", "-c", TAKING]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.kill()


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    """What orders need."""
    return Arena(
        pool=None, launcher=None, watch=None, orders=tmp_path, memory_budget=0, record=lambda *_args, **_fields: None
    )


def victim(child: subprocess.Popen[bytes], handle: Any = None) -> Victim:
    return Victim(pid=child.pid, slot=0, incarnation=1, handle=handle)


def held(child: subprocess.Popen[bytes]) -> Grip:
    """Take hold of a child that lives."""
    grip = Grip.of(victim(child))
    assert grip is not None
    return grip


async def dead(child: subprocess.Popen[bytes], grip: Grip) -> None:
    """Kill a child, and leave it to be waited for."""
    child.send_signal(signal.SIGKILL)
    assert await until(lambda: not grip.alive, 5.0)


async def test_of_a_number_that_is_nobodys_there_is_no_grip(child: subprocess.Popen[bytes], arena: Arena) -> None:
    """Whoever had it was waited for."""
    child.kill()
    child.wait()
    assert Grip.of(victim(child)) is None
    with pytest.raises(FaultMissed, match=r"worker 0\.1 is gone"):
        async with gripped([victim(child)], arena):
            pass


async def test_whoever_is_dead_and_not_waited_for_is_missed(child: subprocess.Popen[bytes], arena: Arena) -> None:
    """It has its number still, and nothing can be done to it."""
    grip = held(child)
    await dead(child, grip)
    grip.close()
    with pytest.raises(FaultMissed):
        async with gripped([victim(child)], arena):
            pass


async def test_whoever_dies_instead_of_stopping_does_not_stand(child: subprocess.Popen[bytes]) -> None:
    """It is known at once, and is no fault that failed."""
    grip = held(child)
    await dead(child, grip)
    with trio.fail_after(1):
        assert await grip.stop() is False
    assert not grip.stopped
    grip.close()


async def test_whoever_stops_stands_until_it_goes_on(child: subprocess.Popen[bytes]) -> None:
    """Both have happened when they return."""
    grip = held(child)
    assert await grip.stop() is True
    assert grip.stopped
    await grip.go_on()
    assert not grip.stopped
    grip.close()


async def test_the_dead_have_no_limits(child: subprocess.Popen[bytes]) -> None:
    """Those not waited for would still tell some, and those that were would raise."""
    grip = held(child)
    assert grip.limits(resource.RLIMIT_NOFILE) == resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
    await dead(child, grip)
    assert grip.limits(resource.RLIMIT_NOFILE) is None
    child.wait()
    assert grip.limits(resource.RLIMIT_NOFILE) is None
    grip.close()


async def test_an_order_that_could_not_be_sent_for_is_withdrawn(child: subprocess.Popen[bytes], arena: Arena) -> None:
    """Nobody must find it later."""
    grip = held(child)
    with trio.CancelScope() as scope:
        scope.cancel()
        await order(grip, arena, dying(Death.EXIT_3))
    assert scope.cancelled_caught
    assert [path for path in arena.orders.rglob("*") if path.is_file()] == []
    grip.close()


async def test_nobody_waits_for_the_obedience_of_the_dead(child: subprocess.Popen[bytes], arena: Arena) -> None:
    """It is over when they are, and not when the time is."""
    grip = held(child)
    given = Orders(arena.orders).live(child.pid, dying(Death.EXIT_3))
    await dead(child, grip)
    with trio.fail_after(5):
        assert await obeyed(grip, given, 60.0) is None
    given.withdraw()
    grip.close()


async def test_who_runs_on_another_machine_is_out_of_reach(child: subprocess.Popen[bytes], arena: Arena) -> None:
    """The number is a process's there, and may be anybody's here."""
    distant = SimpleNamespace(ident=SimpleNamespace(node="another"))
    with pytest.raises(FaultUnavailable, match="runs on another"):
        async with gripped([victim(child, distant)], arena):
            pass
