"""One direction of a link: the toxics that bytes pass, and the queue they wait in.

Everything here is synchronous and takes the time as an argument. Toxics change and hold back; what they let go is
queued with the time at which it is due. Nothing in the queue ever overtakes: a piece that is due waits for those before
it. So taking a toxic away can only make pieces due earlier, never lose or move one.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from ._frames import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._frames import Cutter, Errand, Uncut
    from ._toxic import Toxic


class Lane:
    """Bytes on their way in one direction.

    Args:
        cutter: Follows them.
    """

    def __init__(self, cutter: Cutter | Uncut) -> None:
        self.cutter = cutter
        self.toxics: list[Toxic] = []
        self.held = 0
        """How many bytes are here, those that toxics keep not counted."""
        self.ended = False
        """Whether the end has been taken in; nothing comes after it."""
        self._queue: deque[Piece] = deque()
        self._delivered: Piece | None = None

    @property
    def active(self) -> bool:
        """Whether bytes must come through here, because toxics are in force or others before them still wait."""
        return bool(self.toxics or self._queue)

    @property
    def empty(self) -> bool:
        """Whether nothing waits here to be delivered."""
        return not self._queue

    def add(self, toxic: Toxic) -> None:
        """Put a toxic in force, behind those that are; it looks at messages that begin from now on."""
        self.toxics.append(toxic)
        self._enforce(toxic, True)

    def remove(self, toxic: Toxic, now: float) -> None:
        """Take a toxic out of force: what it kept goes on at once, in its place, and nothing waits for it any more."""
        if toxic not in self.toxics:
            return
        if toxic.swallowing:
            # The rest of a message whose beginning is gone would be nonsense: it stays for that long.
            toxic.retired = True
            return
        if len(self.toxics) == 1:
            self._pass(self.cutter.release(now), 0)
        place = self.toxics.index(toxic)
        self._pass(_from(toxic.release(), now), place + 1)
        self.toxics.remove(toxic)
        self._enforce(toxic, False)

    def hurry(self, toxic: Toxic, latest: float) -> None:
        """Have nothing that waits here wait for a toxic longer than until then."""
        for piece in self._queue:
            if toxic in piece.holds:
                piece.holds[toxic] = min(piece.holds[toxic], max(0.0, latest - piece.at))

    def take(self, data: bytes, now: float) -> None:
        """Take bytes in; after the end they are lost, as on a line that is cut."""
        self._pass(self.cutter.cut(memoryview(data), now), 0)
        if any(toxic.retired and not toxic.swallowing for toxic in self.toxics):
            # They hold nothing back, so there is nothing else to take away.
            self.toxics = [toxic for toxic in self.toxics if toxic.swallowing or not toxic.retired]
            if not self.toxics:
                self._pass(self.cutter.release(now), 0)

    def finish(self, end: bool | OSError, now: float) -> None:
        """Take in the end of the stream: it comes behind all that came before it."""
        self._pass(self.cutter.release(now), 0)
        for place, toxic in enumerate(self.toxics):
            self._pass(_from(toxic.release(), now), place + 1)
        self._pass([Piece(memoryview(b""), at=now, end=end)], 0)

    def tick(self, now: float) -> None:
        """Let go what toxics keep no longer than until now."""
        for place, toxic in enumerate(self.toxics):
            if toxic.deadline <= now:
                self._pass(_from(toxic.release(), now), place + 1)

    def due(self) -> float:
        """Return when there is something to deliver, or to look after; infinity for not before more comes."""
        head = self._queue[0].due if self._queue else math.inf
        return min([head, *(toxic.deadline for toxic in self.toxics)])

    def deliver(self, buffer: memoryview, now: float) -> int:
        """Fill the beginning of a buffer with what is due; return how many bytes that were, 0 if there was nothing.

        Call `delivered` or `give_back` next.
        """
        self.tick(now)
        filled = 0
        while self._queue and filled < len(buffer):
            head = self._queue[0]
            slicer = head.slice
            # A slice goes by itself, and what is to happen before a piece happens when all before it is delivered.
            if head.end is not False or head.due > now or (filled and (head.before or slicer is not None)):
                break
            self._begin(head)
            count = min(len(head.data), len(buffer) - filled)
            if slicer is not None:
                count = min(count, slicer.cut(now))
            buffer[filled : filled + count] = head.data[:count]
            filled += count
            self.held -= count
            if count == len(head.data):
                self._queue.popleft()
                if head.after:
                    self._delivered = head
                    break
            else:
                head.data = head.data[count:]
                head.offset += count
            if slicer is not None:
                break
        return filled

    def delivered(self) -> None:
        """Take note that all that was delivered has reached whom it was for."""
        piece, self._delivered = self._delivered, None
        if piece is not None:
            _run(piece.after)

    def give_back(self, data: memoryview, now: float) -> None:
        """Put bytes back that were delivered and not taken; they go first, and at once."""
        piece = Piece(data, at=now)
        if self._delivered is not None:
            piece.after = self._delivered.after
            self._delivered = None
        self._queue.appendleft(piece)
        self.held += len(data)

    def end_due(self, now: float) -> bool | OSError:
        """Return the end if all before it is delivered and it is due itself, else False."""
        if not self._queue:
            return False
        head = self._queue[0]
        if head.end is False or head.due > now:
            return False
        self._begin(head)
        return head.end

    def clear(self) -> None:
        """Drop all that waits here."""
        self._queue.clear()
        self.held = 0

    def _begin(self, piece: Piece) -> None:
        before, piece.before = piece.before, ()
        _run(before)

    def _enforce(self, toxic: Toxic, in_force: bool) -> None:
        toxic.in_force = in_force
        if toxic.slicer is not None:
            toxic.slicer.in_force = in_force

    def _pass(self, pieces: Iterable[Piece], place: int) -> None:
        for toxic in self.toxics[place:]:
            pieces = [changed for piece in pieces for changed in toxic.take(piece)]
        for piece in pieces:
            if self.ended:
                break
            if piece.end is not False:
                self.ended = True
            elif not piece.data:
                continue
            self._queue.append(piece)
            self.held += len(piece.data)


def _run(errands: Iterable[Errand]) -> None:
    for owner, errand in errands:
        if owner.in_force:
            errand()


def _from(pieces: Iterable[Piece], now: float) -> list[Piece]:
    """Return pieces that were kept, as if they had come now."""
    kept = list(pieces)
    for piece in kept:
        piece.at = now
    return kept
