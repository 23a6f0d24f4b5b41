"""How long children may take to stop, and waiting for that long."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio

from .._core._strategy import ChildType, StopOrder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._child import ChildTask


_LEAST: Final = 1.0
"""Seconds a supervisor has to stop though its children may take none, or it has none. It needs a few turns of the
scheduler on each of its levels; a second is far more than those take, and pretty arbitrary."""


def patience(child: ChildTask) -> float:
    """Return the seconds after which a child that was asked to stop is overdue.

    A supervisor that may take for ever is bounded by what its own children may take all together, so that a stuck leaf
    is reported on every level; nothing can bound what it does otherwise. A process is first given its ``shutdown``
    seconds and then killed, which takes a moment too.
    """
    seconds = child.spec.seconds_to_stop
    if math.isinf(seconds) and child.kind is ChildType.SUPERVISOR and child.inner:
        seconds = max(_LEAST, *(tree.budget() for tree in child.inner))
    grace = getattr(child.spec.start, "kill_grace", 0.0)
    return seconds + (grace if isinstance(grace, float) else 0.0)


def budget(children: Iterable[ChildTask], order: StopOrder) -> float:
    """Return the seconds that these children may take to stop, one after the other or together."""
    seconds = [patience(child) for child in children if child.alive]
    return max(seconds, default=0.0) if order is StopOrder.TOGETHER else math.fsum(seconds)


async def all_set(events: list[trio.Event]) -> None:
    """Wait for all of these events, in a shielded checkpoint at least."""
    # A turn for the children first: one that ends at its cancellation is not late, be the deadline now.
    await trio.lowlevel.cancel_shielded_checkpoint()
    for event in events:
        await event.wait()
