"""A grip on a victim's process: what is done to it cannot hit another that got its number meanwhile."""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import trio

from .._fault import FaultMissed, FaultUnavailable
from ..workload._agent import SIGNAL
from . import _proc
from ._injection import FaultFailed
from ._orders import Orders

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from ..scenario._fault import FaultSpec
    from ._injection import Arena, Victim
    from ._orders import Deed, Order

HEAL_LIMIT = 5.0
"""Healing sends signals and sets numbers; five seconds pass only if the machine itself has stopped."""

PAUSE = 0.002
"""Seconds between two looks into /proc or at an order: nobody tells of what another process does to itself. A look
costs some 30 microseconds, so this is a hundredth of a processor."""

STOP_LIMIT = 2.0
"""Seconds within which a process must have stopped, or gone on: it does so when it is next scheduled."""


OBEY_LIMIT = 5.0
"""Seconds within which a worker must have carried out an order that takes no time; one busy in C code may be late."""


def hold_of(spec: FaultSpec) -> float:
    """Return how long a fault lasts whose worker must know that beforehand.

    Raises:
        ValueError: It is not given.
    """
    if spec.hold is None:
        raise ValueError(f"fault {spec.name!r}: a {spec.kind} must be told how long it is to last")
    return spec.hold


async def until(satisfied: Callable[[], bool], limit: float) -> bool:
    """Wait until something is so, at most so long; return whether it is."""
    deadline = trio.current_time() + limit
    await trio.lowlevel.checkpoint()
    while not satisfied():
        if trio.current_time() >= deadline:
            return False
        await trio.sleep(PAUSE)
    return True


class Grip:
    """A victim's process, by a descriptor of it that was opened when it was known to be the victim's.

    Args:
        victim: The victim.
        pidfd: The descriptor; None if there is none to be had, because this process itself is short of them, and the
            victim has a handle.
        held: Whether the launcher still has that handle.
    """

    def __init__(self, victim: Victim, pidfd: int | None, held: Callable[[], bool]) -> None:
        self.victim = victim
        self.pid = victim.pid
        self._pidfd = pidfd
        self._held = held
        self._poll = select.poll()
        if pidfd is not None:
            self._poll.register(pidfd, select.POLLIN)
        self._started: int | None = None
        with suppress(OSError):  # no descriptor for a look into /proc either
            self._started = _proc.started(self.pid)

    @classmethod
    def of(cls, victim: Victim, held: Callable[[], bool] = bool) -> Grip | None:
        """Take hold of whoever has the victim's number now; None if nobody has.

        Raises:
            OSError: There are no descriptors left, and the victim has no handle.
        """
        try:
            return cls(victim, os.pidfd_open(victim.pid), held)
        except ProcessLookupError:
            return None
        except OSError as exc:
            if exc.errno != errno.EMFILE or victim.handle is None:
                raise
            return cls(victim, None, held)

    @property
    def alive(self) -> bool:
        """Whether the process has not ended. While this is so, or nobody has reaped it, its number is its own.

        It can be asked after the descriptor was closed too: with the time of its start the number names it for good.
        """
        if self._pidfd is not None:
            return not self._poll.poll(0)
        if self._started is not None:
            with suppress(OSError):  # as above
                return _proc.started(self.pid) == self._started and _proc.living(self.pid)
        return self._held()

    async def signal(self, number: int) -> None:
        """Send a signal, through the launcher's handle where there is one; a process that has ended ignores it."""
        if self.victim.handle is not None:
            await self.victim.handle.signal(number)
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            with suppress(ProcessLookupError):
                if self._pidfd is not None:
                    signal.pidfd_send_signal(self._pidfd, number)
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def stop(self) -> bool:
        """Stop the process; return whether it stands, and has not died instead."""
        await self.signal(signal.SIGSTOP)
        if not await until(lambda: not self.alive or _proc.state(self.pid) == _proc.STOPPED, STOP_LIMIT):
            raise FaultFailed(f"process {self.pid} did not stop within {STOP_LIMIT:g} s")
        return self.alive

    async def go_on(self) -> None:
        """Have a stopped process go on, and return when it does."""
        await self.signal(signal.SIGCONT)
        await until(lambda: not self.stopped, STOP_LIMIT)

    @property
    def stopped(self) -> bool:
        """Whether it lives and stands still."""
        return self.alive and _proc.state(self.pid) == _proc.STOPPED

    def limits(self, kind: int, limits: tuple[int, int] | None = None) -> tuple[int, int] | None:
        """Set a limit of the live process, if one is given, and return what it was; None if the process is gone.

        Raises:
            FaultUnavailable: That is not allowed.
        """
        try:
            # Whoever reaps the pool's workers does it in this thread, or in one that holds the interpreter's lock; the
            # look afterwards is for those.
            before = resource.prlimit(self.pid, kind) if limits is None else resource.prlimit(self.pid, kind, limits)
        except ProcessLookupError:
            return None
        except PermissionError as exc:
            raise FaultUnavailable(f"the limits of process {self.pid} cannot be set: {exc}") from exc
        return before if self.alive else None

    def close(self) -> None:
        """Let go; no signal and no limit is set through this any more."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


@asynccontextmanager
async def gripped(victims: Sequence[Victim], arena: Arena) -> AsyncGenerator[list[Grip], None]:
    """Take hold of those of the victims that are still there.

    Raises:
        FaultMissed: None is.
        FaultUnavailable: One is on another machine.
    """
    grips: list[Grip] = []
    try:
        for victim in victims:
            grip = _grip(victim, arena)
            if grip is not None:
                grips.append(grip)
        if not grips:
            gone = ", ".join(f"worker {victim.slot}.{victim.incarnation}" for victim in victims)
            raise FaultMissed(f"{gone or 'whoever was to be hit'} is gone")
        await trio.lowlevel.checkpoint()
        yield grips
    finally:
        for grip in grips:
            grip.close()


def _held(victim: Victim, arena: Arena) -> bool:
    """Return whether the launcher still has the victim's handle, as far as it can be asked: then nobody reaped it."""
    if victim.info is None or arena.launcher is None:
        return victim.handle is not None
    return arena.launcher.find(victim.info) is victim.handle


def _grip(victim: Victim, arena: Arena) -> Grip | None:
    handle = victim.handle
    if handle is not None:
        if handle.ident.node != os.uname().nodename:
            raise FaultUnavailable(f"worker {victim.slot} runs on {handle.ident.node}, out of reach of this kernel")
        if not _held(victim, arena):
            return None
    # Between the question above and this call nobody reaps: an unreaped child's number is its own.
    grip = Grip.of(victim, partial(_held, victim, arena))
    if grip is None:
        return None
    # Without a handle the number may have been anybody's; the descriptor is whoever's it was when it was opened, and if
    # that one lives and is of our making now, then it was so then.
    if (handle is None and not _proc.is_ours(victim.pid)) or not grip.alive:
        grip.close()
        return None
    return grip


async def order(grip: Grip, arena: Arena, deed: Deed) -> Order:
    """Give a live order to a worker, and return at once; it has been sent for.

    Raises:
        FaultUnavailable: The worker has no agent.
    """
    if not _proc.catches(grip.pid, SIGNAL):
        # Without a handler the signal would be its death.
        raise FaultUnavailable(f"process {grip.pid} takes no orders: it runs another program, or is not ready yet")
    given = Orders(arena.orders).live(grip.pid, deed)
    try:
        await grip.signal(SIGNAL)
    except BaseException:
        given.withdraw()
        raise
    return given


async def obeyed(grip: Grip, given: Order, limit: float) -> Mapping[str, object] | None:
    """Wait until a worker has carried out an order and return what it says; None if it died first, or had no time."""
    await until(lambda: bool(given.done()) or not grip.alive, limit)
    return given.result(grip.pid)
