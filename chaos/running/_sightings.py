"""What triggers by event wait for: events of the pool, and trace points on links and in workers."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._fault import FaultUnavailable
from ..faults._grip import PAUSE
from ..faults._link_watch import LinkWatch, slot_of
from ..faults._moments import SPOTS, Halting
from ..faults._orders import Deed, Orders
from ..scenario._trace_points import HOLD_LIMIT, TRACE_POINTS
from ..workload._ledger import BEGIN, EFFECT, END

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from random import Random

    from trio_pool import PoolEvent

    from .._launcher import ChaosHandle, ChaosLauncher
    from ..faults._injection import Arena
    from ..link._frames import Message
    from ..scenario._fault import Direction, Trigger
    from ._observer import Observer

_STEPS = {"worker.begin": BEGIN, "worker.effect": EFFECT, "worker.end": END}


def _nothing() -> None:
    """Where nothing stands still."""


@attrs.frozen(kw_only=True)
class Sighted:
    """What was waited for, once.

    Args:
        incarnation: Whose it was, if a worker's that is known by that.
        pid: Its process, if it is known by that.
        detail: Of a trace point, what the history is to say of it.
        go_on: Lets go what stands still there; once more does nothing.
    """

    incarnation: int | None = None
    pid: int | None = None
    detail: Mapping[str, object] | None = None
    go_on: Callable[[], None] = _nothing


class Sighting:
    """Waits for a trigger's moment, again and again.

    Args:
        at: The trigger.
        chance: Draws for its probability.
    """

    def __init__(self, at: Trigger, chance: Random) -> None:
        self._at = at
        self._chance = chance
        self._left = at.nth
        self._seen: deque[Sighted] = deque()
        self._arrived = trio.Event()
        self.over = False
        """Whether nothing counts any more."""

    def counts(self) -> bool:
        """Count one that matches; return whether it is the one."""
        if self.over or (self._at.probability < 1 and self._chance.random() >= self._at.probability):
            return False
        self._left -= 1
        if self._left:
            return False
        self._left = self._at.nth
        return True

    def came(self, sighted: Sighted) -> None:
        """Take note of the one."""
        self._seen.append(sighted)
        self._arrived.set()

    async def next(self) -> Sighted:
        """Return the next one, when it has come."""
        await trio.lowlevel.checkpoint()
        while not self._seen:
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._seen.popleft()

    def take(self, event: PoolEvent) -> None:
        """Look at an event of the pool."""
        fits = type(event).__name__ == self._at.on and self._fits(lambda field: getattr(event, field, None))
        if fits and self.counts():
            self.came(Sighted(incarnation=getattr(event, "incarnation", None)))

    def spawned(self, handle: ChaosHandle) -> None:
        """Look at a worker that was started."""
        if self._fits(_of(handle).get) and self.counts():
            self.came(Sighted(incarnation=handle.ident.incarnation, detail=_of(handle)))

    def halting(self, handle: ChaosHandle) -> tuple[Halting, Direction]:
        """Return what looks at the messages of a link."""
        assert self._at.on is not None  # noqa: S101  # narrows the type
        spot = SPOTS[self._at.on]

        def counts(message: Message) -> bool:
            return self._fits({**_of(handle), "command": message.command}.get) and self.counts()

        def come(message: Message, let_go: Callable[[], None]) -> None:
            detail = {**_of(handle), "command": message.command, "wire_id": message.wire_id}
            self.came(Sighted(incarnation=handle.ident.incarnation, detail=detail, go_on=let_go))

        return Halting(spot, counts, come, handle.interposer.look_again), spot.direction

    def _fits(self, value: Callable[[str], object]) -> bool:
        return all(value(field) == wanted for field, wanted in self._at.match.items())


def _of(handle: ChaosHandle) -> dict[str, object]:
    slot = slot_of(handle)
    return {
        "worker_id": handle.worker_id,
        "slot": int(slot) if slot.isdigit() else slot,
        "incarnation": handle.ident.incarnation,
        "pid": handle.ident.pid,
    }


@asynccontextmanager
async def sighting(at: Trigger, chance: Random, observer: Observer, arena: Arena) -> AsyncGenerator[Sighting, None]:
    """Look out for a trigger's moment, for the block; what still stands still at its end goes on.

    Raises:
        FaultUnavailable: There are no links to be watched.
    """
    await trio.lowlevel.checkpoint()
    waiting = Sighting(at, chance)
    point = TRACE_POINTS.get(at.on or "")
    async with trio.open_nursery() as nursery:
        with ExitStack() as watching:
            if point is None:
                watching.enter_context(observer.telling(waiting.take))
            elif point.name in _STEPS:
                nursery.start_soon(_watch_steps, waiting, at, arena)
            elif point.name in SPOTS:
                watch = LinkWatch(_launcher(arena), waiting.halting)
                watching.callback(watch.end)
                watch.watch_starts()
                if point.name != "launcher.ready":
                    # A greeting that has come already does not come again.
                    watch.watch_all(_launcher(arena).handles)
            else:
                starts = _launcher(arena).on_open
                starts.append(waiting.spawned)
                watching.callback(starts.remove, waiting.spawned)
            try:
                yield waiting
            finally:
                waiting.over = True
        nursery.cancel_scope.cancel()


def _launcher(arena: Arena) -> ChaosLauncher:
    if arena.launcher is None:
        raise FaultUnavailable("links are reached through a ChaosLauncher alone")
    return arena.launcher


async def _watch_steps(waiting: Sighting, at: Trigger, arena: Arena) -> None:
    """Have a worker stand still at a step of the request that counts, one after the other.

    Between one and the next, requests may come that are not counted: as many as begin in two looks at the orders.
    """
    assert at.on is not None  # noqa: S101  # narrows the type
    orders = Orders(arena.orders)
    operation: Any = at.match.get("operation")
    while not waiting.over:
        nth = 1
        while not waiting.counts():
            nth += 1
        flag = orders.flag()
        deed = Deed(do="wait", arguments={"flag": str(flag), "seconds": HOLD_LIMIT})
        given = orders.at_step(_STEPS[at.on], deed, nth=nth, operation=operation)
        try:
            while not (pids := given.pids()):  # noqa: ASYNC110  # what another process does nobody tells of
                await trio.sleep(PAUSE)
            detail = {"pid": pids[0], "operation": operation}

            def go_on(flag: Any = flag) -> None:
                flag.unlink(missing_ok=True)

            waiting.came(Sighted(pid=pids[0], detail=detail, go_on=go_on))
        except trio.Cancelled:
            flag.unlink(missing_ok=True)
            raise
        finally:
            given.withdraw()
    await trio.lowlevel.checkpoint()
