"""Carries out the faults of a link: puts toxics upon the links of the victims, and takes them away."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import attrs
import trio

from .._fault import FaultMissed, FaultUnavailable
from ..link import _damaging as damaging
from ..link import _delaying as delaying
from ..link._frames import Kind
from ..link._interposer import HELD_BYTES
from ..link._toxic import Choice
from ..scenario import _wire_faults as specs
from ..scenario._fault import Direction, FramePart
from ..scenario._streams import stream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
    from random import Random

    from ..link._frames import Message
    from ..link._interposer import Interposer
    from ..link._toxic import Selective
    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injected, Injector, Victim

    Placed: TypeAlias = tuple[Interposer, Selective]

_ANSWERS = frozenset((Kind.REQUEST, Kind.REPLY))
_IN_ORDER = frozenset(("cleanup_session", "cleanup", "reset_state", "shutdown"))
"""Commands that are about all that came before them, and nothing that comes behind."""


@attrs.frozen
class WireInjected:
    """Toxics that are in force.

    Args:
        placed: Each with the link it is on.
    """

    placed: Sequence[Placed]

    @property
    def effect(self) -> Mapping[str, object]:
        """How many messages came by that it was for, in how many of them frames were changed or held, and what is
        peculiar to the kind.
        """
        toxics = [toxic for _, toxic in self.placed]
        counts: dict[str, object] = {
            "seen": sum(toxic.choice.seen for toxic in toxics),
            "frames": sum(toxic.struck for toxic in toxics),
        }
        for toxic in toxics:
            match toxic:
                case delaying.Latency():
                    counts["longest"] = max(toxic.most, _float(counts.get("longest")))
                case delaying.Bandwidth():
                    counts["bytes"] = toxic.paid + int(_float(counts.get("bytes")))
                case delaying.Slice():
                    counts["slices"] = toxic.slices + int(_float(counts.get("slices")))
                case delaying.Coalesce():
                    counts["joined"] = toxic.joined + int(_float(counts.get("joined")))
                case _:
                    pass
        return counts

    def healed(self) -> bool:
        """Whether no toxic is left on a link, save one that is in the middle of swallowing a message."""
        return not any(link.in_force(toxic) for link, toxic in self.placed)


@asynccontextmanager
async def inject(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Injected, None]:
    """Put a fault of a link upon the victims' links; see `Injector`.

    Raises:
        FaultMissed: All victims are gone.
        FaultUnavailable: The pool was not opened with a `ChaosLauncher`.
    """
    if not isinstance(spec, specs.WireFault):
        raise TypeError(f"{spec.kind} is no fault of a link")
    if arena.launcher is None or any(victim.handle is None for victim in victims):
        raise FaultUnavailable("the workers' links are out of reach: open the pool with launcher=ChaosLauncher(...)")
    placed: list[Placed] = []
    for victim in victims:
        if victim.handle is not None and not victim.handle.interposer.closed:
            link = victim.handle.interposer
            for direction in _each(spec.direction):
                # Of each link and direction its own, so that what happens on one leaves the others' chances alone.
                chance = stream(int(strike.offset * 2**53), f"wire:{strike.fault}:{victim.slot}:{direction}")
                placed.append((link, _toxic(spec, chance)))
                link.add(placed[-1][1], direction)
    try:
        await trio.lowlevel.checkpoint()
        if not placed:
            raise FaultMissed("the worker was gone before its link was reached")
        yield WireInjected(placed)
    finally:
        for link, toxic in reversed(placed):
            link.remove(toxic)


def _toxic(spec: specs.WireFault, chance: Random) -> Selective:
    """Make the toxic that does what a fault says."""
    choice = Choice(
        chance,
        share=1.0 if spec.share is None else spec.share,
        nth=spec.nth,
        count=spec.count,
        fits=_fits(spec),
    )
    match spec:
        case specs.Latency():
            return delaying.Latency(choice, spec.delay, spec.jitter, chance)
        case specs.Bandwidth():
            return delaying.Bandwidth(choice, spec.rate, spec.burst)
        case specs.Slice():
            largest, vary = spec.size, spec.vary
            return delaying.Slice(choice, lambda: chance.randint(1, largest) if vary else largest, spec.pause)
        case specs.Coalesce():
            return delaying.Coalesce(choice, spec.batch, spec.wait, HELD_BYTES)
        case specs.Stall():
            return delaying.Stall(choice)
        case specs.Truncate():
            size = spec.size
            return damaging.Truncate(choice, lambda whole: chance.randrange(1, whole) if size is None else size)
        case specs.Corrupt():
            return _corrupt(spec, choice, chance)
        case specs.Duplicate():
            return damaging.Duplicate(choice, HELD_BYTES)
        case specs.Reorder():
            return damaging.Reorder(choice, spec.wait, HELD_BYTES)
        case specs.Drop():
            return damaging.Drop(choice)
        case specs.Unsolicited():
            return damaging.Unsolicited(choice)
        case _:
            raise TypeError(f"nothing carries out {spec.kind}")


def _corrupt(spec: specs.Corrupt, choice: Choice, chance: Random) -> Selective:
    match spec.where:
        case FramePart.HEADER:
            return damaging.CorruptLength(choice, chance)
        case FramePart.LENGTH:
            return damaging.CorruptLength(choice, None)
        case FramePart.PAYLOAD if spec.detectable:
            # A message begins with the byte of a map or an envelope. Without its highest bit that is a small number,
            # after which a message should end and does not; a greeting in JSON, which has no such bit, gets one and is
            # text no longer.
            return damaging.CorruptPayload(choice, lambda _: (0,), buffers=False)
        case FramePart.PAYLOAD:
            count = spec.bits

            def draw(size: int) -> Iterable[int]:
                return chance.sample(range(8 * size), min(count, 8 * size))

            return damaging.CorruptPayload(choice, draw, buffers=True)


def _fits(spec: specs.WireFault) -> Callable[[Message], bool] | None:
    match spec:
        case specs.Duplicate():
            return lambda message: message.kind is Kind.REPLY
        case specs.Reorder():
            return movable
        case specs.Drop():
            return lambda message: message.kind in _ANSWERS
        case _:
            return None


def movable(message: Message) -> bool:
    """Return whether a message may change places with another: not with one that is about all that came before it."""
    return message.kind is Kind.REPLY or (message.kind is Kind.REQUEST and message.command not in _IN_ORDER)


def _each(direction: Direction) -> tuple[Direction, ...]:
    return (Direction.TO_WORKER, Direction.FROM_WORKER) if direction is Direction.BOTH else (direction,)


def _float(value: object) -> float:
    return value if isinstance(value, (int, float)) else 0.0


INJECTORS: dict[str, Injector] = {
    spec.kind: inject
    for spec in (
        specs.Latency,
        specs.Bandwidth,
        specs.Slice,
        specs.Coalesce,
        specs.Stall,
        specs.Truncate,
        specs.Corrupt,
        specs.Duplicate,
        specs.Reorder,
        specs.Drop,
        specs.Unsolicited,
    )
}
"""What carries out each kind of fault of this module."""
