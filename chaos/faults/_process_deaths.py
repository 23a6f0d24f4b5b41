"""Workers that die or stand still: `kill` without a window, `freeze` and `brief-freeze`."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from .._fault import FaultUnavailable
from ..scenario._process_faults import BriefFreeze, Freeze, Kill
from ..workload._agent import EXIT
from ._grip import HEAL_LIMIT, Grip, gripped, order
from ._orders import dying

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ..scenario._fault import Death, FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injector, Victim


@attrs.define
class Killing:
    """Workers that were killed."""

    grips: list[Grip]

    @property
    def effect(self) -> Mapping[str, object]:
        """How many were hit, and how many of them have died since."""
        return {"hit": len(self.grips), "died": sum(not grip.alive for grip in self.grips)}

    def healed(self) -> bool:
        """Nothing lasts: that there is another worker in its place is the pool's affair."""
        return True


async def end(grip: Grip, arena: Arena, death: Death) -> None:
    """Have a worker die so: by a signal from outside, or by its own exit, for which it must have an agent.

    Its death is not awaited. A worker that handles the signal takes it in its own way: ours leave in good order at
    SIGTERM, and are deaf to SIGINT.
    """
    if death.value.startswith(EXIT):
        await order(grip, arena, dying(death))
    else:
        await grip.signal(signal.Signals[f"SIG{death.value}"])


@asynccontextmanager
async def kill(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Killing, None]:
    """Kill the victims, all in one go."""
    assert isinstance(spec, Kill)  # noqa: S101  # narrows the type: the registry is by kind
    if spec.window is not None:
        raise FaultUnavailable(f"window {spec.window} is reached through the worker's link, not from here")
    async with gripped(victims, arena) as grips:
        for grip in grips:
            await end(grip, arena, spec.death)
        yield Killing(grips)


@attrs.define
class Freezing:
    """Workers that stand still."""

    grips: list[Grip]
    stopped: int = 0
    """How many stood."""

    @property
    def effect(self) -> Mapping[str, object]:
        """How many stood, and how many of them did not live to go on."""
        return {"stopped": self.stopped, "died": sum(not grip.alive for grip in self.grips)}

    def healed(self) -> bool:
        """Whether none of them stands still."""
        return not any(grip.stopped for grip in self.grips)


@asynccontextmanager
async def freeze(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Freezing, None]:
    """Stop the victims, and have those that still live go on afterwards."""
    async with gripped(victims, arena) as grips:
        freezing = Freezing(grips)
        try:
            for grip in grips:
                freezing.stopped += await grip.stop()
            yield freezing
        finally:
            # Shielded: whatever ends this, nobody else would have them go on. Bounded: the caller waits.
            with trio.move_on_after(HEAL_LIMIT, shield=True):
                for grip in grips:
                    await grip.go_on()


INJECTORS: dict[str, Injector] = {Kill.kind: kill, Freeze.kind: freeze, BriefFreeze.kind: freeze}
