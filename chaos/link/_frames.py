"""Where frames and messages begin and end in a stream of bytes, and which request or reply each of them is.

A message is one frame, or an envelope and the frames of its large buffers. Which of the two shows in its first bytes,
and so do its kind and its id: those bytes, the message's *opening*, are all that is ever held back to know them.
Nothing of a frame's announced length is allocated here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from trio_pool.wire import HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from ._toxic import Toxic

    Errand: TypeAlias = tuple[Toxic, Callable[[], None]]

OPENING = 96
"""Bytes of a body that are read before the frame goes on: the id, the command's name, an envelope's first sizes."""

_ENVELOPE = 0x92
_ID = b"\xa2id\xcf"
_COMMAND = b"\xa7command"
_CANCEL = b"\xa4type\xa6cancel"
_LEAVING = b"\xa4type\xa7leaving"


class Kind(StrEnum):
    """What a message is."""

    GREETING = "greeting"
    """The hello or the ready frame."""
    REQUEST = "request"
    CANCEL = "cancel"
    REPLY = "reply"
    LEAVING = "leaving"


@attrs.frozen(eq=False)
class Message:
    """A message whose beginning was seen.

    Args:
        kind: What it is.
        wire_id: Its id, where it has one that could be read.
        command: Of a request the command's name, of a reply that of its request, where they could be read.
        owed: Of a reply, how many more the worker owes after it.
    """

    kind: Kind
    wire_id: int | None = None
    command: str | None = None
    owed: int = 0


@attrs.frozen(eq=False)
class Frame:
    """One frame of a message.

    Args:
        message: The message.
        size: The length its header announces.
        first: It is the message's first.
        last: It is the message's last.
    """

    message: Message
    size: int
    first: bool
    last: bool


@attrs.define(eq=False)
class Piece:
    """Bytes on their way, or the end of the stream.

    Args:
        data: The bytes; empty for an end.
        frame: The frame they are of; None for bytes of a message that had begun before anybody looked.
        offset: Where in the frame, counted from its header.
        at: When they came here.
        holds: How many seconds each of those who hold them back adds.
        slicer: Decides how many of them go at once, and when the next.
        before: What is to happen right before the first of them is delivered, and which toxics want it: nothing happens
            for one that is not in force any more.
        after: What is to happen once the last of them is delivered, likewise.
        end: This is the end: True for an orderly one, or the error.
    """

    data: memoryview
    frame: Frame | None = None
    offset: int = 0
    at: float = 0.0
    holds: dict[Toxic, float] = attrs.field(factory=dict["Toxic", float])
    slicer: Slicer | None = None
    before: tuple[Errand, ...] = ()
    after: tuple[Errand, ...] = ()
    end: bool | OSError = False

    @property
    def due(self) -> float:
        """When they may go on; what a toxic has put on them counts only while that is in force."""
        due = self.at
        for toxic, seconds in self.holds.items():
            if toxic.in_force:
                due += seconds
        return due if self.slice is None else max(due, self.slice.next_at)

    @property
    def slice(self) -> Slicer | None:
        """What decides how many of them go at once, if anything does."""
        return self.slicer if self.slicer is not None and self.slicer.in_force else None

    @property
    def begins_frame(self) -> bool:
        """Whether these are the first bytes of a frame."""
        return self.frame is not None and self.offset == 0

    @property
    def begins_message(self) -> bool:
        """Whether these are the first bytes of a message."""
        return self.frame is not None and self.frame.first and self.offset == 0

    @property
    def ends_message(self) -> bool:
        """Whether these are the last bytes of a message."""
        frame = self.frame
        return frame is not None and frame.last and self.offset + len(self.data) == HEADER_SIZE + frame.size

    def split(self, count: int) -> tuple[Piece, Piece]:
        """Return the first ``count`` bytes and the rest, both held back like the whole."""
        first = attrs.evolve(self, data=self.data[:count], holds=dict(self.holds), after=())
        rest = attrs.evolve(self, data=self.data[count:], offset=self.offset + count, holds=dict(self.holds), before=())
        return first, rest


class Slicer:
    """Decides how many bytes go at once.

    Args:
        size: Returns the size of the next slice, at least 1.
        pause: Seconds between two slices.
    """

    def __init__(self, size: Callable[[], int], pause: float) -> None:
        self._size = size
        self._pause = pause
        self.next_at = 0.0
        """When the next slice may go."""
        self.in_force = True
        """Whether anything is still to be cut."""
        self.slices = 0
        """How many there were."""

    def cut(self, now: float) -> int:
        """Return how many bytes may go now."""
        self.slices += 1
        self.next_at = now + self._pause
        return self._size()


class Cutter:
    """Follows one direction of a link from its first byte on.

    Args:
        in_flight: The commands of requests that were seen and not yet replied to, by id; shared by both directions.
        from_worker: Which direction this is.
    """

    def __init__(self, in_flight: dict[int, str], *, from_worker: bool) -> None:
        self._in_flight = in_flight
        self._from_worker = from_worker
        self._opening = bytearray()
        self._left = 0  # bytes of the current frame's body that are still to come after its opening
        self._buffers = 0  # frames of the current message that are still to come after the current one
        self._message: Message | None = None
        self._frame: Frame | None = None
        # The current message has begun before anybody looked, so its bytes belong to no frame for those who look now.
        self._passing = False
        self._offset = 0

    @property
    def between(self) -> bool:
        """Whether the last message is over and no other has begun."""
        return not self._opening and not self._left and not self._buffers

    def follow(self, data: memoryview) -> None:
        """Take note of bytes that go by."""
        self._walk(data, 0.0, None)

    def cut(self, data: memoryview, now: float) -> list[Piece]:
        """Take bytes that came now; return them cut at the ends of frames, all but the opening of the last."""
        pieces: list[Piece] = []
        self._walk(data, now, pieces)
        return pieces

    def release(self, now: float) -> list[Piece]:
        """Return the opening that `cut` kept, if there is one; the rest of its message then belongs to no frame."""
        kept = [] if self._passing or not self._opening else [Piece(memoryview(bytes(self._opening)), at=now)]
        self._passing = not self.between
        return kept

    def _walk(self, data: memoryview, now: float, pieces: list[Piece] | None) -> None:
        position, total = 0, len(data)
        while position < total:
            if pieces is None:
                self._passing = True
            if self._left:
                part = data[position : position + self._left]
                self._left -= len(part)
                if pieces is not None:
                    pieces.append(Piece(part, None if self._passing else self._frame, self._offset, now))
                self._offset += len(part)
            else:
                part = data[position : position + self._wanted() - len(self._opening)]
                self._opening += part
                if pieces is not None and self._passing:
                    pieces.append(Piece(part, at=now))
                if len(self._opening) == self._wanted():
                    self._begin_frame(now, pieces)
            position += len(part)
            if self.between:
                self._passing = False

    def _wanted(self) -> int:
        """Return how long the current frame's opening is, as far as that is known."""
        if len(self._opening) < HEADER_SIZE:
            return HEADER_SIZE
        if self._message is not None:
            return HEADER_SIZE
        return HEADER_SIZE + min(int.from_bytes(self._opening[:HEADER_SIZE], "big"), OPENING)

    def _begin_frame(self, now: float, pieces: list[Piece] | None) -> None:
        size = int.from_bytes(self._opening[:HEADER_SIZE], "big")
        first = self._message is None
        if first:
            body = bytes(self._opening[HEADER_SIZE:])
            self._buffers, start = _envelope(body)
            self._message = self._read(body[start:])
        else:
            self._buffers -= 1
        assert self._message is not None  # noqa: S101  # narrows the type
        self._frame = Frame(self._message, size, first, last=not self._buffers)
        if pieces is not None and not self._passing:
            pieces.append(Piece(memoryview(bytes(self._opening)), self._frame, at=now))
        self._offset = len(self._opening)
        self._left = HEADER_SIZE + size - self._offset
        self._opening.clear()
        if not self._buffers:
            self._message = None

    def _read(self, body: bytes) -> Message:
        """Tell what a message is by its first bytes; remember requests, and forget them when they are replied to."""
        if body[:1] == b"{":
            return Message(Kind.GREETING)
        if body[1 : 1 + len(_LEAVING)] == _LEAVING:
            return Message(Kind.LEAVING)
        wire_id: int | None = None
        rest = body[1 + len(_ID) + 8 :]
        if body[1 : 1 + len(_ID)] == _ID and len(body) >= 1 + len(_ID) + 8:
            wire_id = int.from_bytes(body[1 + len(_ID) : 1 + len(_ID) + 8], "big")
        if self._from_worker:
            command = None if wire_id is None else self._in_flight.pop(wire_id, None)
            return Message(Kind.REPLY, wire_id, command, len(self._in_flight))
        if rest.startswith(_CANCEL):
            return Message(Kind.CANCEL, wire_id)
        command = _string(rest[len(_COMMAND) :]) if rest.startswith(_COMMAND) else None
        if wire_id is not None and command is not None:
            self._in_flight[wire_id] = command
        return Message(Kind.REQUEST, wire_id, command)


class Uncut:
    """Takes the place of a `Cutter` where nobody asks for frames: bytes go on as they come."""

    def follow(self, data: memoryview) -> None:
        """Take note of nothing."""

    def cut(self, data: memoryview, now: float) -> list[Piece]:
        """Return bytes that came now in one piece, of no frame."""
        return [Piece(data, at=now)]

    def release(self, now: float) -> list[Piece]:
        """Return nothing: nothing is ever kept."""
        return []


def _envelope(body: bytes) -> tuple[int, int]:
    """Return how many buffers follow, and where the message's map begins; (0, 0) if this is no envelope.

    Of an envelope with so many buffers that its map begins beyond the opening, the map's place is the body's end: then
    the message's id is not known.
    """
    if len(body) < 2 or body[0] != _ENVELOPE:
        return 0, 0
    count, place = 0, 2
    if body[1] & 0xF0 == 0x90:
        count = body[1] & 0x0F
    elif body[1] in (0xDC, 0xDD):
        width = 2 if body[1] == 0xDC else 4
        count, place = int.from_bytes(body[2 : 2 + width], "big"), 2 + width
    for _ in range(count):
        if place >= len(body):
            return count, len(body)
        # An integer: one byte, or a byte that says how many follow.
        place += {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}.get(body[place], 1)
    if place >= len(body):
        return count, len(body)
    return count, place + {0xC4: 2, 0xC5: 3, 0xC6: 5}.get(body[place], 1)


def _string(body: bytes) -> str | None:
    """Return the string a packed value is, if all of it is there."""
    if not body:
        return None
    if body[0] & 0xE0 == 0xA0:
        start, size = 1, body[0] & 0x1F
    elif body[0] == 0xD9 and len(body) > 1:
        start, size = 2, body[1]
    else:
        return None
    text = body[start : start + size]
    return text.decode(errors="replace") if len(text) == size else None
