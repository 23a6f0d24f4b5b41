"""Toxics that wait for one exact moment of a message's way: to have a worker die, or to let something else strike.

A *trace point* of a link is a place in messages of one sort that go in one direction. What is there for each of them:

- `Fatal` has the worker die. Everything happens in the call in which the pool sends or receives: the application's
  thread stands still until the worker is dead. So the pool learns nothing earlier than it is meant to, and the bytes
  are where the window says.
- `Halting` tells that the moment has come and keeps the message there, with all that follows it, until it is told to
  let go. Meanwhile everything else goes on, and what strikes has as long as it needs.
"""

from __future__ import annotations

import math
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from trio_pool.wire import HEADER_SIZE

from ..link._frames import Kind
from ..link._toxic import Toxic
from ..scenario._fault import Direction, Window
from ..scenario._trace_points import HOLD_LIMIT, TRACE_POINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..link._frames import Message, Piece

SMALL = 256 * 1024
"""A message of more bytes is let pass where it must fit into a socket as a whole; that of a worker holds a megabyte."""

_STANDARD = frozenset(("ping", "shutdown", "cleanup_session"))


class Place(Enum):
    """Where in a message the moment is."""

    FIRST = "first"
    """Before its first byte goes on."""
    HALF = "half"
    """When half of its first frame has gone on."""
    WHOLE = "whole"
    """When all of it has come, and none of it has gone on."""
    LAST = "last"
    """When its last byte has gone on."""


@attrs.frozen
class Spot:
    """A trace point as a link sees it.

    Args:
        place: Where in a message.
        direction: Of messages that go there.
        fits: Which of them count.
    """

    place: Place
    direction: Direction
    fits: Callable[[Message], bool]


class Moment(Toxic):
    """Finds the place in the messages that count.

    Args:
        spot: Where, and in which messages.
    """

    def __init__(self, spot: Spot) -> None:
        super().__init__()
        self._spot = spot
        self._message: Message | None = None
        self._gathered: list[Piece] = []

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Look whether this is a message that counts, and see to its pieces if so."""
        frame = piece.frame
        if frame is None:
            return (piece,)
        if piece.begins_message:
            fits = self._spot.fits(frame.message) and self.possible(piece)
            self._message = frame.message if fits and self.counts(frame.message) else None
            self.struck += self._message is not None
        return (piece,) if frame.message is not self._message else self._shape(piece)

    def release(self) -> Iterable[Piece]:
        """Return what has come of a message that was to be whole first."""
        gathered, self._gathered = self._gathered, []
        return gathered

    def possible(self, piece: Piece) -> bool:
        """Return whether the moment can come in a message; given its first piece."""
        return True

    def counts(self, message: Message) -> bool:
        """Return whether this is the message; asked once of each that fits."""
        raise NotImplementedError

    def reach(self, passed: list[Piece], coming: list[Piece]) -> Iterable[Piece]:
        """Return what goes on at the moment.

        Args:
            passed: What has gone on when the moment comes.
            coming: What has come and is to go on after it.
        """
        raise NotImplementedError

    def _shape(self, piece: Piece) -> Iterable[Piece]:
        match self._spot.place:
            case Place.FIRST:
                return self.reach([], [piece]) if piece.begins_message else (piece,)
            case Place.LAST:
                return self.reach([piece], []) if piece.ends_message else (piece,)
            case Place.WHOLE:
                self._gathered.append(piece)
                return self.reach([], list(self.release())) if piece.ends_message else ()
            case Place.HALF:
                frame = piece.frame
                assert frame is not None  # noqa: S101  # narrows the type: bytes of no frame are of no message
                half = (HEADER_SIZE + frame.size) // 2 - piece.offset
                if not frame.first or not 0 < half <= len(piece.data):
                    return (piece,)
                first, rest = piece.split(half)
                return self.reach([first], [rest] if rest.data else [])


@attrs.frozen(kw_only=True)
class Hand:
    """What a death needs.

    Args:
        comes: Told that a worker has come to the window; returns whether this is the time that counts.
        stop: Stops the worker, and returns when it stands.
        end: Has it die, and returns when it is dead.
    """

    comes: Callable[[], bool]
    stop: Callable[[], None]
    end: Callable[[Message], None]


class Fatal(Moment):
    """Has the worker die at the moment.

    Args:
        spot: When.
        hand: How.
        unread: The worker is stopped before the first byte comes, so that it reads nothing of what is written.
        cut: What has not gone on by then never does: the stream ends there.
    """

    def __init__(self, spot: Spot, hand: Hand, *, unread: bool = False, cut: bool = False) -> None:
        super().__init__(spot)
        self._hand = hand
        self._unread = unread
        self._cut = cut
        self._over = False

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Have a worker that is to read nothing stand still before the message's first byte."""
        taken = super().take(piece)
        if self._unread and piece.begins_message and self._message is not None:
            piece.before += ((self, self._hand.stop),)
        return taken

    def possible(self, piece: Piece) -> bool:
        """A worker that stands still reads nothing, and one whose reply is kept is read from by nobody: it must fit."""
        frame = piece.frame
        fits = frame is not None and frame.last and frame.size <= SMALL
        return fits or not (self._unread or self._spot.place is Place.WHOLE)

    def counts(self, message: Message) -> bool:
        """As the hand says, until it has said yes."""
        if self._over:
            return False
        self._over = self._hand.comes()
        return self._over

    def reach(self, passed: list[Piece], coming: list[Piece]) -> Iterable[Piece]:
        """Kill after what has gone on, or else before what is to come, and end the stream there if it is to be cut."""
        message = self._message
        assert message is not None  # noqa: S101  # narrows the type: there is no moment without a message
        deed = ((self, lambda: self._hand.end(message)),)
        if self._cut:
            # Of what comes after the end nothing is delivered.
            coming = [
                attrs.evolve((passed + coming)[-1], data=memoryview(b""), frame=None, before=(), after=(), end=True)
            ]
        if passed:
            passed[-1].after += deed
        else:
            coming[0].before += deed
        return (*passed, *coming)


class Halting(Moment):
    """Tells that the moment has come, and keeps what is to come after it for a while.

    Args:
        spot: When.
        counts: Returns whether a message is one whose moment is to be told.
        come: Told when the moment has come, and how to let go what is kept there.
        look_again: Has the link look at what it holds.
    """

    def __init__(
        self,
        spot: Spot,
        counts: Callable[[Message], bool],
        come: Callable[[Message, Callable[[], None]], None],
        look_again: Callable[[], None],
    ) -> None:
        super().__init__(spot)
        self._counts = counts
        self._come = come
        self._look_again = look_again
        self._over = False
        # How many moments there were, and until when the last one lasts.
        self._number = 0
        self._until = math.inf
        self._keeping = False
        # What was kept since then: what is to go on as it is, and what was not looked at yet.
        self._kept: list[Piece] = []
        self._unseen: list[Piece] = []

    @property
    def deadline(self) -> float:
        """Nothing is kept for ever: what strikes may have nobody to strike."""
        return self._until

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Have nothing overtake a message that is kept."""
        if not self._keeping:
            return super().take(piece)
        self._unseen.append(piece)
        return ()

    def release(self) -> Iterable[Piece]:
        """Return what was kept, up to the next moment."""
        out, unseen = [*super().release(), *self._kept], self._unseen
        self._keeping, self._until, self._kept, self._unseen = False, math.inf, [], []
        for piece in unseen:
            out += self.take(piece)
        return out

    def counts(self, message: Message) -> bool:
        """As was asked for, as long as it is."""
        return not self._over and self._counts(message)

    def reach(self, passed: list[Piece], coming: list[Piece]) -> Iterable[Piece]:
        """Tell of it; keep what is to come, if anything does."""
        message = self._message
        assert message is not None  # noqa: S101  # as above
        if self._spot.place is Place.LAST:
            passed[-1].after += ((self, lambda: self._come(message, _nothing)),)
            return passed
        self._number += 1
        self._keeping, self._until, self._kept = True, trio.current_time() + HOLD_LIMIT, coming
        self._come(message, partial(self._let_go, self._number))
        return passed

    def stop(self) -> None:
        """Tell of no further moment; what is kept still is."""
        self._over = True

    def _let_go(self, number: int) -> None:
        if self._keeping and number == self._number:
            self._until = -math.inf
            self._look_again()


def _nothing() -> None:
    """Where nothing is kept."""


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


SPOTS: Mapping[str, Spot] = {
    "launcher.ready": Spot(Place.FIRST, Direction.FROM_WORKER, _greeting),
    "wire.request.first-byte": Spot(Place.FIRST, Direction.TO_WORKER, _request),
    "wire.request.half": Spot(Place.HALF, Direction.TO_WORKER, _request),
    "wire.request.written": Spot(Place.LAST, Direction.TO_WORKER, _request),
    "wire.reply.first-byte": Spot(Place.FIRST, Direction.FROM_WORKER, _reply),
    "wire.reply.half": Spot(Place.HALF, Direction.FROM_WORKER, _reply),
    "wire.reply.written": Spot(Place.WHOLE, Direction.FROM_WORKER, _reply),
    "wire.reply.read": Spot(Place.LAST, Direction.FROM_WORKER, _reply),
    "wire.ping.written": Spot(Place.LAST, Direction.TO_WORKER, _ping),
    "wire.stop.first-byte": Spot(Place.FIRST, Direction.TO_WORKER, _shutdown),
}
"""The trace points that a link comes to, by name."""

_UNREAD = frozenset({Window.W4, Window.W11})
_CUT = frozenset({Window.W7, Window.W10})


def fatal(window: Window, hand: Hand) -> tuple[Fatal, Direction]:
    """Return what kills in a window that a link comes to, and in which direction."""
    spot = SPOTS[next(point.name for point in TRACE_POINTS.values() if point.window is window)]
    return Fatal(spot, hand, unread=window in _UNREAD, cut=window in _CUT), spot.direction
