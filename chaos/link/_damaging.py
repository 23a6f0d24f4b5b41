"""Toxics after which not the same bytes arrive: fewer, other, more, or in another order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trio_pool.wire import HEADER_SIZE, encode, pieces

from ._frames import Frame, Kind, Message, Piece
from ._toxic import Selective

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from ._toxic import Choice

STRANGER = 2**63
"""The id of a request that nobody sent: ids count from 1, and no pool ever gets that far."""

_UNSOLICITED = b"".join(pieces(STRANGER, encode({"success": True, "result": None}, 1024)))


class Truncate(Selective):
    """The stream ends within a message: what comes behind is lost.

    Args:
        choice: Which message; the first that is chosen is the last that is heard of.
        size: How many of its bytes still arrive, header included; given the length of its first frame.
    """

    def __init__(self, choice: Choice, size: Callable[[int], int]) -> None:
        super().__init__(choice)
        self._size = size
        self._left = 0

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Let the beginning of a chosen message pass, then the end of the stream."""
        if not self.hits(piece):
            return (piece,)
        if piece.begins_message:
            assert piece.frame is not None  # noqa: S101  # narrows the type
            self.struck += 1
            self._left = self._size(HEADER_SIZE + piece.frame.size)
        if len(piece.data) < self._left and not piece.ends_message:
            self._left -= len(piece.data)
            return (piece,)
        first, rest = piece.split(min(self._left, len(piece.data)))
        return first, attrs.evolve(rest, data=memoryview(b""), frame=None, end=True)


class CorruptLength(Selective):
    """A message is announced with a wrong length.

    Args:
        choice: Which messages.
        chance: Draws the bit of the header that is flipped; None to set all of them, a length of four gigabytes.
    """

    def __init__(self, choice: Choice, chance: Random | None) -> None:
        super().__init__(choice)
        self._chance = chance

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Damage the header of a chosen message's first frame."""
        if self.hits(piece) and piece.begins_message:
            self.struck += 1
            data = bytearray(piece.data)
            if self._chance is None:
                data[:HEADER_SIZE] = b"\xff" * HEADER_SIZE
            else:
                _flip(data, self._chance.randrange(8 * HEADER_SIZE))
            piece.data = memoryview(data)
        return (piece,)


class CorruptPayload(Selective):
    """Bits of a message's body are flipped.

    Args:
        choice: Which messages.
        bits: Returns which bits of a body of so many bytes; bit 0 is the highest of the first byte, as on paper.
        buffers: Damage the first large buffer of a message that has any, in place of its first frame.
    """

    def __init__(self, choice: Choice, bits: Callable[[int], Iterable[int]], *, buffers: bool) -> None:
        super().__init__(choice)
        self._bits = bits
        self._buffers = buffers
        self._target: Frame | None = None
        self._waiting = False  # for the frame that is to be damaged
        self._places: list[int] = []

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Damage the chosen frame of a chosen message."""
        frame = piece.frame
        if not self.hits(piece) or frame is None:
            return (piece,)
        if piece.begins_message:
            self._waiting = True
        if self._waiting and piece.begins_frame and (frame.last or not (self._buffers and frame.first)):
            self._waiting = False
            if frame.size:
                self.struck += 1
                self._target = frame
                self._places = [place + 8 * HEADER_SIZE for place in self._bits(frame.size)]
        if frame is self._target:
            start, stop = 8 * piece.offset, 8 * (piece.offset + len(piece.data))
            here = [place - start for place in self._places if start <= place < stop]
            if here:
                data = bytearray(piece.data)
                for place in here:
                    _flip(data, place)
                piece.data = memoryview(data)
        return (piece,)


class Duplicate(Selective):
    """A message arrives twice.

    Args:
        choice: Which messages.
        limit: A message of more bytes arrives once all the same.
    """

    def __init__(self, choice: Choice, limit: int) -> None:
        super().__init__(choice)
        self._limit = limit
        self._copy: list[Piece] = []
        self._bytes = 0

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Let a chosen message pass, and then a copy of it."""
        if not self.hits(piece):
            return (piece,)
        if piece.begins_message:
            self._copy, self._bytes = [], 0
        self._bytes += len(piece.data)
        if self._bytes > self._limit:
            self._copy = []
            return (piece,)
        self._copy.append(attrs.evolve(piece, holds=dict(piece.holds)))
        if not piece.ends_message:
            return (piece,)
        self.struck += 1
        copy, self._copy = self._copy, []
        for again in copy:
            again.at = piece.at
        return [piece, *copy]


class Reorder(Selective):
    """A message arrives after the one behind it, if that is of its own kind and counts as well.

    A reply waits for another only if one is owed; who knows whether there will be another request. Neither waits for
    ever.

    Args:
        choice: Which messages are overtaken, and which count.
        wait: Seconds that a message waits to be overtaken.
        limit: Two messages of more bytes together keep their order.
    """

    def __init__(self, choice: Choice, wait: float, limit: int) -> None:
        super().__init__(choice)
        self._wait = wait
        self._limit = limit
        self._first: list[Piece] = []
        self._second: list[Piece] = []
        self._whole = False  # all of the first is here
        self._message: Message | None = None  # the first

    @property
    def deadline(self) -> float:
        """When the first has waited enough."""
        return self._first[0].due + self._wait if self._first else math.inf

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Keep a chosen message until the next has come."""
        frame = piece.frame
        if not self._first:
            if frame is None or not (self.hits(piece) and piece.begins_message and _others_come(frame.message)):
                return (piece,)
            self._whole = False
            self._message = frame.message
        elif self._whole and frame is not None and piece.begins_message and not self._pairs(frame.message):
            return [*self._go(piece.at), piece]
        (self._second if self._whole else self._first).append(piece)
        if self._whole and piece.ends_message:
            self.struck += 1
            self._first, self._second = self._second, self._first
            return self._go(piece.at)
        self._whole = self._whole or piece.ends_message
        kept = sum(len(piece.data) for piece in (*self._first, *self._second))
        if kept > self._limit or piece.end is not False:
            return self._go(piece.at)
        return ()

    def release(self) -> Iterable[Piece]:
        """Return what is kept, in the order in which it came."""
        kept = [*self._first, *self._second]
        self._first, self._second = [], []
        return kept

    def _pairs(self, message: Message) -> bool:
        """Return whether a message may overtake the first."""
        return self._message is not None and message.kind is self._message.kind and self.choice.fits(message)

    def _go(self, at: float) -> list[Piece]:
        kept = list(self.release())
        for piece in kept:
            piece.at = at
        return kept


class Drop(Selective):
    """A message never arrives.

    Args:
        choice: Which messages.
    """

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Swallow what is of a chosen message."""
        if not self.hits(piece):
            return (piece,)
        self.struck += piece.begins_message
        self.swallowing = not piece.ends_message
        return ()


class Unsolicited(Selective):
    """A well-formed reply to a request that nobody sent comes before a message.

    Args:
        choice: Before which messages.
    """

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Put the reply before a chosen message."""
        if not (self.hits(piece) and piece.begins_message):
            return (piece,)
        self.struck += 1
        frame = Frame(Message(Kind.REPLY, STRANGER), len(_UNSOLICITED) - HEADER_SIZE, first=True, last=True)
        return Piece(memoryview(_UNSOLICITED), frame, at=piece.at, holds=dict(piece.holds)), piece


def _others_come(message: Message) -> bool:
    return message.kind is Kind.REQUEST or message.owed > 0


def _flip(data: bytearray, bit: int) -> None:
    data[bit // 8] ^= 0x80 >> bit % 8
