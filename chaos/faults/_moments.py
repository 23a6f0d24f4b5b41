"""Toxics that have a worker die at one exact moment of a message's way, and change nothing else.

Everything happens in the call in which the pool sends or receives: the application's thread stands still until the
worker is dead. So the pool learns nothing earlier than it is meant to, and the bytes are where the window says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_pool.wire import HEADER_SIZE

from ..link._frames import Kind
from ..link._toxic import Toxic
from ..scenario._fault import Direction, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..link._frames import Message, Piece

SMALL = 256 * 1024
"""A message of more bytes is let pass where it must fit into a socket as a whole; that of a worker holds a megabyte."""

_STANDARD = frozenset(("ping", "shutdown", "cleanup_session"))


@attrs.frozen(kw_only=True)
class Hand:
    """What a moment does, and to whom.

    Args:
        comes: Told that a worker has come to the window; returns whether this is the time that counts.
        stop: Stops the worker, and returns when it stands.
        end: Has it die, and returns when it is dead.
    """

    comes: Callable[[], bool]
    stop: Callable[[], None]
    end: Callable[[Message], None]


class Moment(Toxic):
    """Waits for a message with which the window comes; this one is for what all windows share.

    Args:
        hand: What is done then.
        fits: Which messages count.
    """

    def __init__(self, hand: Hand, fits: Callable[[Message], bool]) -> None:
        super().__init__()
        self.hand = hand
        self._fits = fits
        self._message: Message | None = None
        self._done = False

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Look whether this is the message, and have `shape` see to its pieces if so."""
        frame = piece.frame
        if frame is None or self._done:
            return (piece,)
        if piece.begins_message:
            fits = self._fits(frame.message) and self.possible(piece)
            self._message = frame.message if fits and self.hand.comes() else None
        if frame.message is not self._message:
            return (piece,)
        if piece.begins_message:
            self.struck = 1
        self._done = piece.ends_message
        return self.shape(piece)

    def possible(self, piece: Piece) -> bool:
        """Return whether the window exists for a message; given its first piece."""
        return True

    def shape(self, piece: Piece) -> Iterable[Piece]:
        """Return what becomes of a piece of the message."""
        raise NotImplementedError

    def kill_before(self, piece: Piece) -> Piece:
        """Have the worker die before a piece is delivered."""
        message = self._message
        assert message is not None  # noqa: S101  # narrows the type: asked only for pieces of the message
        piece.owner, piece.before = self, lambda: self.hand.end(message)
        return piece

    def kill_after(self, piece: Piece) -> Piece:
        """Have the worker die once a piece is delivered."""
        message = self._message
        assert message is not None  # noqa: S101  # as above
        piece.owner, piece.after = self, lambda: self.hand.end(message)
        return piece


class BeforeFirstByte(Moment):
    """It dies before a byte of the message is written: W2, and W12 with the message that stops it."""

    def shape(self, piece: Piece) -> Iterable[Piece]:
        """Kill before the first piece."""
        return (self.kill_before(piece) if piece.begins_message else piece,)


class HalfWritten(Moment):
    """It dies when half of the message's first frame is written: W3."""

    def shape(self, piece: Piece) -> Iterable[Piece]:
        """Kill between the halves."""
        frame = piece.frame
        assert frame is not None  # noqa: S101  # as above
        half = (HEADER_SIZE + frame.size) // 2 - piece.offset
        if not frame.first or not 0 < half <= len(piece.data):
            return (piece,)
        first, rest = piece.split(half)
        if rest.data:
            return first, self.kill_before(rest)
        return (self.kill_after(first),)


class WrittenUnread(Moment):
    """It stands still before the first byte comes, and dies when the last is written: W4, and W11 with a ping."""

    def possible(self, piece: Piece) -> bool:
        """A worker that stands still reads nothing, so the message must fit into the socket."""
        return _small(piece)

    def shape(self, piece: Piece) -> Iterable[Piece]:
        """Stop it before the first piece, and kill it after the last."""
        if piece.begins_message:
            piece.owner, piece.before = self, self.hand.stop
        return (self.kill_after(piece) if piece.ends_message else piece,)


class HalfHeard(Moment):
    """It dies when half of its reply's first frame has been heard, and the rest is never: W7."""

    def shape(self, piece: Piece) -> Iterable[Piece]:
        """Kill after the first half, and end the stream there."""
        frame = piece.frame
        assert frame is not None  # noqa: S101  # as above
        half = max(1, (HEADER_SIZE + frame.size) // 2) - piece.offset
        if not frame.first or half > len(piece.data):
            return (piece,)
        first, rest = piece.split(half)
        return self.kill_after(first), attrs.evolve(rest, data=memoryview(b""), frame=None, end=True)


class InSocket(Moment):
    """It dies when it has written all of its reply and nobody has read any of it: W8."""

    def __init__(self, hand: Hand, fits: Callable[[Message], bool]) -> None:
        super().__init__(hand, fits)
        self._kept: list[Piece] = []

    def possible(self, piece: Piece) -> bool:
        """All of the reply is kept until it is complete."""
        return _small(piece)

    def shape(self, piece: Piece) -> Iterable[Piece]:
        """Keep the reply until all of it has left the worker, and kill before its first piece."""
        self._kept.append(piece)
        if not piece.ends_message:
            return ()
        self.kill_before(self._kept[0])
        return self.release()

    def release(self) -> Iterable[Piece]:
        """Return what has come of the reply."""
        kept, self._kept = self._kept, []
        return kept


class Heard(Moment):
    """It dies when the last byte of its reply has been read, which is before its checkin: W9."""

    def shape(self, piece: Piece) -> Iterable[Piece]:
        """Kill after the last piece."""
        return (self.kill_after(piece) if piece.ends_message else piece,)


class NeverReady(Moment):
    """It dies when it has said that it is ready, which is never heard: W10."""

    def shape(self, piece: Piece) -> Iterable[Piece]:
        """Kill, and end the stream in place of the ready frame."""
        if not piece.begins_message:
            return ()
        end = attrs.evolve(piece, data=memoryview(b""), frame=None, end=True)
        return (self.kill_before(end),)


def _small(piece: Piece) -> bool:
    frame = piece.frame
    return frame is not None and frame.last and frame.size <= SMALL


def _request(message: Message) -> bool:
    return message.kind is Kind.REQUEST and message.command not in _STANDARD


def _reply(message: Message) -> bool:
    return message.kind is Kind.REPLY and message.command not in _STANDARD


def _ping(message: Message) -> bool:
    return message.kind is Kind.REQUEST and message.command == "ping"


def _shutdown(message: Message) -> bool:
    return message.kind is Kind.REQUEST and message.command == "shutdown"


def _greeting(message: Message) -> bool:
    return message.kind is Kind.GREETING


MOMENTS: dict[Window, tuple[type[Moment], Direction, Callable[[Message], bool]]] = {
    Window.W2: (BeforeFirstByte, Direction.TO_WORKER, _request),
    Window.W3: (HalfWritten, Direction.TO_WORKER, _request),
    Window.W4: (WrittenUnread, Direction.TO_WORKER, _request),
    Window.W7: (HalfHeard, Direction.FROM_WORKER, _reply),
    Window.W8: (InSocket, Direction.FROM_WORKER, _reply),
    Window.W9: (Heard, Direction.FROM_WORKER, _reply),
    Window.W10: (NeverReady, Direction.FROM_WORKER, _greeting),
    Window.W11: (WrittenUnread, Direction.TO_WORKER, _ping),
    Window.W12: (BeforeFirstByte, Direction.TO_WORKER, _shutdown),
}
"""The windows that a link comes to: what happens there, in which direction, and at which messages."""
