"""Workers that do on order what no signal makes them do: hog, flood, grow, leak, be deaf, and leave somebody behind.

What a worker was ordered to do it is ordered to undo. One that does not, because it hangs, is killed: of a dead process
nothing lasts.
"""

from __future__ import annotations

import resource
import signal
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._fault import FaultUnavailable
from ..scenario._process_faults import (
    FdExhaustion,
    GilHog,
    Grandchild,
    IgnoreSigterm,
    MemoryGrowth,
    StderrFlood,
    StdoutNoise,
)
from . import _proc
from ._grip import HEAL_LIMIT, OBEY_LIMIT, Grip, gripped, hold_of, obeyed, order, until
from ._injection import Victim
from ._orders import Deed, Orders

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injector
    from ._orders import Order

_UNDO_LIMIT = 2.0
"""Seconds a worker has to undo what it did, before it is killed: less than all of `HEAL_LIMIT`."""

_STDOUT, _STDERR = 1, 2


@attrs.define
class Ordered:
    """Workers that were given an order.

    Args:
        lasts: Tells of a worker that lives whether what it did still lasts.
        given: What each was ordered.
        killed: How many had to be killed to heal them.
        results: What those said who have done it.
    """

    lasts: Callable[[Grip], bool] = lambda _grip: False
    given: dict[Grip, Order] = attrs.field(factory=dict["Grip", "Order"])
    killed: int = 0
    results: dict[int, Mapping[str, object]] = attrs.field(factory=dict[int, "Mapping[str, object]"])

    @property
    def effect(self) -> Mapping[str, object]:
        """How many obeyed, what they say of it in sum, and how many are dead."""
        sums: dict[str, int] = {}
        for grip, given in self.given.items():
            for name, value in (given.result(grip.pid) or {}).items():
                if isinstance(value, int):
                    sums[name] = sums.get(name, 0) + value
        return {
            "hit": sum(bool(given.taken()) for given in self.given.values()),
            "died": sum(not grip.alive for grip in self.given),
            "killed_to_heal": self.killed,
            **sums,
        }

    def healed(self) -> bool:
        """Whether nothing of it lasts in any worker that lives."""
        return not any(grip.alive and self.lasts(grip) for grip in self.given) and not any(
            given.waits() for given in self.given.values()
        )

    async def give(self, grip: Grip, arena: Arena, deed: Deed) -> Order:
        """Order one worker to do something."""
        given = self.given[grip] = await order(grip, arena, deed)
        return given

    async def heal(self, arena: Arena, undo: Deed | None) -> None:
        """Have all that live undo it, or see it end by itself, and kill those that do not."""
        for given in self.given.values():
            given.withdraw()
        async with trio.open_nursery() as nursery:
            for grip in self.given:
                nursery.start_soon(self._heal, grip, arena, undo)

    async def _heal(self, grip: Grip, arena: Arena, undo: Deed | None) -> None:
        if undo is not None and grip.alive:
            # Without a handler any more it is on its way out.
            with suppress(FaultUnavailable):
                await obeyed(grip, await order(grip, arena, undo), _UNDO_LIMIT)
        if not await until(lambda: not (grip.alive and self.lasts(grip)), _UNDO_LIMIT):
            self.killed += 1
            await grip.signal(signal.SIGKILL)
            await until(lambda: not grip.alive, _UNDO_LIMIT)


@asynccontextmanager
async def hog(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Ordered, None]:
    """Have the victims hold the interpreter's lock; a worker that dies of it, or is killed for it, is healed."""
    assert isinstance(spec, GilHog)  # noqa: S101  # narrows the type: the registry is by kind
    seconds = hold_of(spec)
    async with gripped(victims, arena) as grips:
        flag = Orders(arena.orders).flag()
        arguments: dict[str, object] = {"seconds": seconds}
        if spec.spin:
            arguments["flag"] = str(flag)
        deed = Deed(do="spin" if spec.spin else "hold_gil", arguments=arguments)
        ordered = Ordered()
        # It lasts from when it is taken until it is done; who takes it later than this heals takes none.
        ordered.lasts = lambda grip: bool(ordered.given[grip].taken()) and not ordered.given[grip].done()
        try:
            for grip in grips:
                await ordered.give(grip, arena, deed)
            yield ordered
        finally:
            flag.unlink(missing_ok=True)
            with trio.move_on_after(HEAL_LIMIT, shield=True):
                await ordered.heal(arena, None)


@asynccontextmanager
async def ignore_sigterm(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Ordered, None]:
    """Have the victims ignore SIGTERM."""
    assert isinstance(spec, IgnoreSigterm)  # noqa: S101  # as above
    ordered = Ordered(lambda grip: _proc.ignores(grip.pid, signal.SIGTERM))
    deed = Deed(do="ignore_sigterm", arguments={"linger": spec.linger})
    async with _doing(ordered, victims, arena, deed, Deed(do="heed_sigterm")):
        yield ordered


@asynccontextmanager
async def grow(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Ordered, None]:
    """Have the victims take memory, in all no more than the budget allows."""
    assert isinstance(spec, MemoryGrowth)  # noqa: S101  # as above
    granted = arena.memory.take(spec.size * len(victims), arena.memory_budget)
    share = granted // max(1, len(victims))
    before = {victim.pid: _proc.memory(victim.pid, "VmData") for victim in victims}
    # Half of it is far more than a worker's memory varies by itself.
    ordered = Ordered(lambda grip: _proc.memory(grip.pid, "VmData") > before[grip.pid] + share // 2)
    deed = Deed(do="grow", arguments={"size": share, "budget": arena.memory_budget})
    try:
        async with _doing(ordered, victims, arena, deed, Deed(do="shrink")):
            yield ordered
    finally:
        arena.memory.give_back(granted)


@asynccontextmanager
async def exhaust_descriptors(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Ordered, None]:
    """Have the victims open files until they can open no more."""
    assert isinstance(spec, FdExhaustion)  # noqa: S101  # as above
    before: dict[Grip, Any] = {}
    ordered = Ordered(lambda grip: grip.limits(resource.RLIMIT_NOFILE) not in (None, before[grip]))
    deed = Deed(do="exhaust_descriptors", arguments={"spare": spec.spare})

    def look(grip: Grip) -> None:
        before[grip] = grip.limits(resource.RLIMIT_NOFILE)

    async with _doing(ordered, victims, arena, deed, Deed(do="release_descriptors"), look):
        yield ordered


@asynccontextmanager
async def _doing(
    ordered: Ordered,
    victims: Sequence[Victim],
    arena: Arena,
    deed: Deed,
    undo: Deed,
    look: Callable[[Grip], None] = lambda _grip: None,
) -> AsyncGenerator[None, None]:
    """Have the victims do something, and undo it at the end."""
    async with gripped(victims, arena) as grips:
        try:
            for grip in grips:
                look(grip)
                await obeyed(grip, await ordered.give(grip, arena, deed), OBEY_LIMIT)
            yield
        finally:
            with trio.move_on_after(HEAL_LIMIT, shield=True):
                await ordered.heal(arena, undo)


@asynccontextmanager
async def babble(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Ordered, None]:
    """Have the victims write; how much of it they could is known when this is left."""
    assert isinstance(spec, (StderrFlood, StdoutNoise))  # noqa: S101  # as above
    noise = isinstance(spec, StdoutNoise)
    deed = Deed(
        do="print",
        arguments={"descriptor": _STDOUT if noise else _STDERR, "size": spec.size, "binary": noise},
    )
    async with gripped(victims, arena) as grips:
        ordered = Ordered()
        try:
            for grip in grips:
                await ordered.give(grip, arena, deed)
            yield ordered
            for grip, given in ordered.given.items():
                await obeyed(grip, given, OBEY_LIMIT)
        finally:
            for given in ordered.given.values():
                given.withdraw()


@attrs.define
class Leaving:
    """Workers that died and left somebody behind."""

    ordered: Ordered
    left: list[Grip] = attrs.field(factory=list["Grip"])
    """Those left behind."""

    @property
    def effect(self) -> Mapping[str, object]:
        """How many died, how many they left behind, and how many of these live."""
        left = {"left": len(self.left), "alive": sum(grip.alive for grip in self.left)}
        return {**self.ordered.effect, **left, "pids": [grip.pid for grip in self.left]}

    def healed(self) -> bool:
        """Whether all who were left behind are gone."""
        return self.ordered.healed() and not any(grip.alive for grip in self.left)


@asynccontextmanager
async def leave_grandchild(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Leaving, None]:
    """Have each victim start a process that holds what it holds, and die."""
    assert isinstance(spec, Grandchild)  # noqa: S101  # as above
    async with gripped(victims, arena) as grips:
        orders = Orders(arena.orders)
        flags = {grip: orders.flag() for grip in grips}
        leaving = Leaving(Ordered())
        try:
            for grip, flag in flags.items():
                deed = Deed(
                    do="leave_grandchild",
                    arguments={
                        "flag": str(flag),
                        "how": spec.death.value,
                        # Should nobody be left to take the flag away.
                        "seconds": hold_of(spec) + HEAL_LIMIT,
                        "sockets": spec.socket,
                        "own_group": spec.own_group,
                    },
                )
                await leaving.ordered.give(grip, arena, deed)
                await until(partial(_dead, grip), OBEY_LIMIT)
                leaving.left += await left_behind(flag.read_text("ascii"), str(flag))
            yield leaving
        finally:
            for flag in flags.values():
                flag.unlink(missing_ok=True)
            with trio.move_on_after(HEAL_LIMIT, shield=True):
                await leaving.ordered.heal(arena, None)
                for grip in leaving.left:
                    if not await until(partial(_dead, grip), _UNDO_LIMIT):
                        await grip.signal(signal.SIGKILL)
                        await until(partial(_dead, grip), _UNDO_LIMIT)
            for grip in leaving.left:
                grip.close()


def _dead(grip: Grip) -> bool:
    return not grip.alive


async def left_behind(pid: str, flag: str) -> list[Grip]:
    """Take hold of the process of that number, if there is one and it was started with that flag."""
    await trio.lowlevel.checkpoint()
    grip = Grip.of(Victim(pid=int(pid), slot=-1, incarnation=-1)) if pid else None
    if grip is None:
        return []
    try:
        # Of a process that lives after this the words are the descriptor's. One that has just been started has none for
        # a moment: its memory is new and not yet filled.
        await until(lambda: bool(_proc.command(grip.pid)) or not grip.alive, OBEY_LIMIT)
        mine = flag in _proc.command(grip.pid) and grip.alive
    except BaseException:
        grip.close()
        raise
    if not mine:
        grip.close()
        return []
    return [grip]


INJECTORS: dict[str, Injector] = {
    GilHog.kind: hog,
    IgnoreSigterm.kind: ignore_sigterm,
    MemoryGrowth.kind: grow,
    FdExhaustion.kind: exhaust_descriptors,
    StderrFlood.kind: babble,
    StdoutNoise.kind: babble,
    Grandchild.kind: leave_grandchild,
}
