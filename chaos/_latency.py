"""A link with latency: a transport whose bytes arrive later, in both directions, without loss or reordering.

With no delay set and nothing held, every call goes straight to the transport below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .link._interposer import Interposer
from .link._toxic import Toxic
from .scenario._fault import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable

    import trio

    from trio_pool import Transport

    from .link._frames import Piece


class DelayedTransport(Interposer):
    """Wraps a transport; `set_delay` may be called at any time, and lowering it releases what is held too long.

    Args:
        inner: The transport below; closed with this one.
        nursery: Where the delivering task runs.
    """

    def __init__(self, inner: Transport, nursery: trio.Nursery) -> None:
        # What a worker can be made to say has no frames to follow, and is to be as late as all the rest.
        super().__init__(inner, nursery, frames=False)
        self._late = {direction: _Late() for direction in (Direction.TO_WORKER, Direction.FROM_WORKER)}

    def set_delay(self, seconds: float) -> None:
        """Hold bytes back for so long from now on, and those already held no longer than that."""
        for direction, late in self._late.items():
            late.seconds = seconds
            self.hurry(late, seconds)
            if seconds and not self.in_force(late):
                self.add(late, direction)
            elif not seconds:
                self.remove(late)


class _Late(Toxic):
    """All bytes arrive later, and so does the end of the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Hold it back."""
        piece.holds[self] = self.seconds
        return (piece,)
