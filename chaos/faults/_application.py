"""Faults of the application, which is this very process: it dies, stands still, blocks, or runs short of something."""

from __future__ import annotations

import os
import resource
import signal
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import attrs
import trio

from .._fault import FaultUnavailable
from .._memory import hold
from ..scenario._application_faults import AppFdExhaustion, AppKill, AppStall, AppStop, MemoryPressure
from . import _proc, _room
from ._grip import HEAL_LIMIT, hold_of
from ._process_limits import lowest_free

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from .._memory import Ballast
    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injector, Victim

# Those that stop everything do it one step of the loop later: until then whoever injects them has written down that he
# did, and will find his own clock advanced by as much as the fault took.


@attrs.define
class Struck:
    """What has hit the application."""

    began: float = 0.0
    seconds: float = 0.0
    """How long it stood."""
    over: bool = False

    @property
    def effect(self) -> Mapping[str, object]:
        """How long it stood still."""
        return {"seconds": round(self.seconds, 6)}

    def healed(self) -> bool:
        """Whether it is over."""
        return self.over

    def end(self) -> None:
        """Take note that it is over."""
        self.seconds = time.monotonic() - self.began
        self.over = True


@asynccontextmanager
async def kill_application(
    spec: FaultSpec,
    strike: Strike,
    victims: Sequence[Victim],
    arena: Arena,
) -> AsyncGenerator[Struck, None]:
    """Kill this process on leaving."""
    assert isinstance(spec, AppKill)  # noqa: S101  # narrows the type: the registry is by kind
    await trio.lowlevel.checkpoint()
    yield Struck()
    os.kill(os.getpid(), signal.SIGKILL)


@asynccontextmanager
async def stop_application(
    spec: FaultSpec,
    strike: Strike,
    victims: Sequence[Victim],
    arena: Arena,
) -> AsyncGenerator[Struck, None]:
    """Have this process stopped by the one that watches over it."""
    assert isinstance(spec, AppStop)  # noqa: S101  # as above
    watcher, seconds = arena.watcher, hold_of(spec)
    if watcher is None:
        raise FaultUnavailable("nobody watches over this process who could have it go on")
    await trio.lowlevel.checkpoint()
    struck = Struck(time.monotonic())
    trio.lowlevel.current_trio_token().run_sync_soon(watcher.stop_us, seconds)
    try:
        yield struck
    finally:
        # Shielded: what has been asked for cannot be withdrawn, and is to happen while this lasts.
        with trio.move_on_after(seconds + HEAL_LIMIT, shield=True):
            await watcher.answer()
            struck.end()


@asynccontextmanager
async def stall_application(
    spec: FaultSpec,
    strike: Strike,
    victims: Sequence[Victim],
    arena: Arena,
) -> AsyncGenerator[Struck, None]:
    """Block this process's loop."""
    assert isinstance(spec, AppStall)  # noqa: S101  # as above
    seconds = hold_of(spec)
    struck = Struck()
    over = trio.Event()

    def stall() -> None:
        struck.began = time.monotonic()
        time.sleep(seconds)  # that nothing else runs meanwhile is what this is for
        struck.end()
        over.set()

    await trio.lowlevel.checkpoint()
    trio.lowlevel.current_trio_token().run_sync_soon(stall)
    try:
        yield struck
    finally:
        with trio.move_on_after(seconds + HEAL_LIMIT, shield=True):
            await over.wait()


@attrs.define
class Short:
    """An application that may open no more files."""

    before: tuple[int, int]
    soft: int
    mended: int = 0
    """How many of the processes started meanwhile had its low limit."""
    over: bool = False

    @property
    def effect(self) -> Mapping[str, object]:
        """What the limit is, and how many processes were started under it."""
        return {"limit": self.soft, "mended": self.mended}

    def healed(self) -> bool:
        """Whether this limit is lifted, here and in all that was started under it."""
        return self.over and not self.heirs()

    def heirs(self) -> list[int]:
        """Return the descendants that have the low limit: they were started while it was in force."""
        found: list[int] = []
        for pid in _proc.descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                if resource.prlimit(pid, resource.RLIMIT_NOFILE) == (self.soft, self.before[1]):
                    found.append(pid)
        return found

    def restore(self) -> None:
        """Put the limit back, here and wherever it was inherited."""
        _room.lift(self.soft)
        self.over = True
        for pid in self.heirs():
            # A child of this process is not reaped between the look and this, for there is no checkpoint.
            with suppress(ProcessLookupError, PermissionError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, self.before)
                self.mended += 1


@asynccontextmanager
async def exhaust_application(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Short, None]:
    """Lower this process's own limit of open files to what it has open."""
    assert isinstance(spec, AppFdExhaustion)  # noqa: S101  # as above
    before = _room.unlimited()
    # Its listing has a descriptor too, which is free again by now.
    own = [number for number in _proc.descriptors(os.getpid()) if _is_open(number)]
    short = Short(before, lowest_free(own) + spec.spare)
    if before[0] not in (resource.RLIM_INFINITY, -1) and short.soft >= before[0]:
        raise FaultUnavailable(f"the limit of open files is {before[0]} already")
    await trio.lowlevel.checkpoint()
    _room.lower(short.soft)
    try:
        yield short
    finally:
        short.restore()


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@attrs.define
class Pressure:
    """Memory that is held."""

    ballast: Ballast

    @property
    def effect(self) -> Mapping[str, object]:
        """How much, and by which process."""
        return {"held": self.ballast.size, "holder": self.ballast.pid}

    def healed(self) -> bool:
        """Whether the process that held it is gone, and the memory with it."""
        return not _proc.living(self.ballast.pid)


@asynccontextmanager
async def press_memory(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Pressure, None]:
    """Hold memory in a throw-away child, no more than the budget allows."""
    assert isinstance(spec, MemoryPressure)  # noqa: S101  # as above
    granted = arena.memory.take(spec.size, arena.memory_budget)
    try:
        if not granted:
            raise FaultUnavailable(f"other faults hold all {arena.memory_budget} bytes of the budget")
        ballast = await hold(granted)
        try:
            yield Pressure(ballast)
        finally:
            with trio.move_on_after(HEAL_LIMIT, shield=True):
                await ballast.release()
    finally:
        arena.memory.give_back(granted)


INJECTORS: dict[str, Injector] = {
    AppKill.kind: kill_application,
    AppStop.kind: stop_application,
    AppStall.kind: stall_application,
    AppFdExhaustion.kind: exhaust_application,
    MemoryPressure.kind: press_memory,
}
