"""Messages over frames: what parent and worker say to each other, and the values that may travel.

The first frame in each direction (hello, ready) is JSON, so that a foreign worker can be written in anything and
versions can be refused politely. All later ones are msgpack maps. Bytes of 64 KiB and more leave the map: an extension
value holds their number, an envelope around the map their sizes, and each follows as a frame of its own, so that both
ends move large data without copying it through the codec.

Hello      ``{type: hello, protocol, codec, worker_id, incarnation, app, sys_path, argv, main, max_frame,
           concurrency, now}``
Ready      ``{type: ready, protocol, codec, pid, begun: page | none, commands: […], flags?: {command: […]}}``, or
           ``{type: failed, error: {kind, type, message, traceback}}`` when the application cannot be loaded
Request    ``{id, command, args, session?, deadline?}``; the deadline is absolute and on the parent's clock, whose time
           the hello had in ``now``: so it is packed once and stays right however often the request is sent
Cancel     ``{id, type: cancel}``, from the parent, about the request of that id
Reply      ``{id, success: true, result, session_used?}`` or
           ``{id, success: false, error: {kind, type, message, traceback}, session_used?}``
Leaving    ``{type: leaving}``: the last message of a worker that ends by plan, told to by SIGTERM or ``shutdown``
Envelope   ``[[size of each buffer …], packed map]`` in place of a map, followed by the buffers

Imported by worker processes: no trio, attrs, typing or inspect here.
"""

from __future__ import annotations

import json

import msgpack

from ._errors import FrameTooLarge, ProtocolError, Unserializable
from ._frames import DIRECT_SIZE, FrameDecoder, encode_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final, TypeAlias

    from ._frames import Frame

    # Values are whatever the user or the other side sends: Any is their honest type. Who reads a field checks it.
    Message: TypeAlias = dict[str, Any]
    Piece: TypeAlias = bytes | memoryview

PROTOCOL: Final = 1
CODEC: Final = "msgpack"

_BUFFER_EXT: Final = 1  # msgpack extension type: the index of an out-of-band buffer, 4 bytes big-endian
_FLOAT_TIMESTAMP: Final = 1  # msgpack's own extension type reaches no hook; as a float it is one of our values
_ENVELOPE: Final = 0x92  # msgpack's first byte of a two-element array, which no plain message starts with
# Deeper nesting is refused by the sender: the C unpacker gives up at 1023 levels, and the receiver would pay for it
# with its life; the interpreter's own limit varies with the caller's stack. Far from both, else arbitrary.
_MAX_DEPTH: Final = 500
_SMALL_BUFFER: Final = 4096  # one page: most replies fit
_PLAIN: Final = frozenset((type(None), bool, int, float, str))
_BYTES: Final = (bytes, bytearray, memoryview)
_type_of: Callable[[object], type[object]] = type  # for type checkers, which say nothing of the type of an Any


class Encoded:
    """A message packed once, before its id is known: a request dispatched again gets a new id, not a new packing."""

    __slots__ = ("buffers", "fields", "size", "tail")

    def __init__(self, tail: bytes, fields: int, buffers: list[memoryview]) -> None:
        self.tail = tail
        self.fields = fields
        self.buffers = buffers
        self.size = len(tail) + 16 + sum(len(buffer) for buffer in buffers)

    def detached(self) -> Encoded:
        """Return the same message with copies of its large buffers, which are otherwise the sender's own memory."""
        return Encoded(self.tail, self.fields, [memoryview(bytes(buffer)) for buffer in self.buffers])


def encode(fields: Mapping[str, object], max_frame: int) -> Encoded:
    """Pack everything of a message but its id.

    Args:
        fields: The message without ``id``; at most 14 fields.
        max_frame: The largest message allowed, in bytes, buffers included.

    Raises:
        Unserializable: A value is not None, bool, 64-bit int, float, str, bytes-like, list, tuple or dict with str
            keys, or is nested too deeply; ``path`` names the place.
        FrameTooLarge: The message exceeds ``max_frame``.
    """
    buffers: list[memoryview] = []
    try:
        large = False
        for value in fields.values():
            if type(value) not in _PLAIN and _scan(value, 0):
                large = True
        packed = _pack(_lift(fields, buffers) if large else fields)
    except (TypeError, ValueError, OverflowError, RecursionError, BufferError) as exc:
        raise _explain(fields, exc) from exc
    # Without the map's header, which for so few fields is one byte: `pieces` writes another, for the id too.
    encoded = Encoded(packed[1:], len(fields), buffers)
    if encoded.size > max_frame:
        message = f"a message of {encoded.size} bytes exceeds max_frame = {max_frame}"
        raise FrameTooLarge(message, size=encoded.size, max_frame=max_frame)
    return encoded


def pieces(message_id: int, encoded: Encoded) -> list[Piece]:
    """Return the byte strings that carry an encoded message, in the order they go onto the wire."""
    body = b"%c\xa2id\xcf%b%b" % (0x81 + encoded.fields, message_id.to_bytes(8, "big"), encoded.tail)
    if not encoded.buffers:
        return [encode_header(len(body)) + body]
    body = _pack([[len(buffer) for buffer in encoded.buffers], body])
    parts: list[Piece] = [encode_header(len(body)) + body]
    for buffer in encoded.buffers:
        parts += (encode_header(len(buffer)), buffer)
    return parts


def encode_json(message: Mapping[str, object]) -> bytes:
    """Return the frame of a hello or ready message."""
    body = json.dumps(message).encode()
    return encode_header(len(body)) + body


def encode_leaving() -> bytes:
    """Return the frame with which a worker announces that it ends by plan."""
    body = _pack({"type": "leaving"})
    return encode_header(len(body)) + body


def _pack(value: object) -> bytes:
    try:
        return msgpack.packb(value)
    except MemoryError:
        # The packer takes a buffer of 256 KiB before it looks at the value. A worker whose command has just failed
        # for want of memory must not end for want of that; from a small one it grows as far as it needs.
        return msgpack.packb(value, buf_size=_SMALL_BUFFER)  # type: ignore[call-arg]  # it has had it since 1.1


class MessageDecoder:
    """Turns bytes into messages: the first from JSON, the others from msgpack.

    Bad bytes set `error`; messages that were complete before them are still returned.

    Args:
        max_frame: The largest message accepted, in bytes, buffers included.
    """

    __slots__ = ("_buffers", "_first", "_frames", "_packed", "_sizes")

    def __init__(self, max_frame: int) -> None:
        self._frames = FrameDecoder(max_frame)
        self._first = True
        self._packed = b""
        self._sizes: list[int] = []
        self._buffers: list[memoryview] = []

    @property
    def error(self) -> ProtocolError | None:
        """What was wrong with the bytes, or None; nothing is decoded after it."""
        return self._frames.error

    @property
    def pending(self) -> bool:
        """True in the middle of a message."""
        return self._frames.pending or bool(self._sizes)

    def direct(self) -> memoryview | None:
        """Return the memory the next bytes belong in, if a large frame has begun; then call `filled`, not `feed`."""
        return self._frames.direct()

    def filled(self, count: int) -> list[Message]:
        """Note that ``count`` bytes were written into `direct`."""
        return self._decode(self._frames.filled(count))

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Take bytes that arrived; return the messages they complete, in order."""
        return self._decode(self._frames.feed(data))

    def _decode(self, frames: list[Frame]) -> list[Message]:
        messages: list[Message] = []
        for frame in frames:
            try:
                message = self._message(frame)
            except ProtocolError as exc:
                self._frames.stop(exc)
                break
            except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as exc:
                excerpt = bytes(frame[:32])
                self._frames.stop(ProtocolError(f"undecodable frame starting {excerpt!r}: {exc}", reason="garbage"))
                break
            if message is not None:
                messages.append(message)
        return messages

    def _message(self, frame: Frame) -> Message | None:
        if self._first:
            message = json.loads(bytes(frame))
            self._first = False
        elif self._sizes:
            if len(frame) != self._sizes[len(self._buffers)]:
                raise ProtocolError("an out-of-band buffer has another size than announced", reason="garbage")
            self._buffers.append(memoryview(frame))
            if len(self._buffers) < len(self._sizes):
                return None
            buffers, self._sizes, self._buffers = self._buffers, [], []
            message = _unpack(self._packed, buffers)
        elif len(frame) and frame[0] == _ENVELOPE:
            sizes, packed = msgpack.unpackb(frame)
            self._announce(sizes, packed)
            return None
        else:
            message = _unpack(frame, ())
        if not isinstance(message, dict):
            kind = _type_of(message).__name__
            raise ProtocolError(f"a message must be a map, not {kind}", reason="garbage")
        return message  # pyright: ignore[reportUnknownVariableType]  # a Message is a map of whatever was sent

    def _announce(self, sizes: Any, packed: Any) -> None:
        kind = _type_of(sizes)
        if (
            kind is not list
            or type(packed) is not bytes
            or not sizes
            or not all(type(size) is int and size >= DIRECT_SIZE for size in sizes)
        ):
            raise ProtocolError("a malformed envelope", reason="garbage")
        limit = self._frames.max_frame
        if len(packed) + sum(sizes) > limit:
            raise ProtocolError(f"an envelope announces more than max_frame = {limit} bytes", reason="oversized")
        self._packed, self._sizes = packed, sizes


def _unpack(packed: Frame, buffers: Sequence[memoryview]) -> Any:
    def buffer(code: int, data: bytes) -> memoryview:
        index = int.from_bytes(data, "big")
        if code != _BUFFER_EXT or len(data) != 4 or index >= len(buffers):
            raise ProtocolError(f"an unknown extension value of type {code}", reason="garbage")
        return buffers[index]

    return msgpack.unpackb(packed, ext_hook=buffer, timestamp=_FLOAT_TIMESTAMP, strict_map_key=True)


# The walks below ask issubclass() of a value's type, as the packer does: isinstance() would believe proxies.


def _scan(value: Any, depth: int) -> bool:
    """Check the kinds of all values; return True if there is a buffer that `_lift` must see."""
    kind = _type_of(value)
    if kind in _PLAIN:
        return False
    if issubclass(kind, dict):
        if depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} levels")
        found = False
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key of type {type(key).__name__}")
            if type(item) not in _PLAIN and _scan(item, depth + 1):
                found = True
        return found
    if issubclass(kind, (list, tuple)):
        if depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} levels")
        if issubclass(kind, msgpack.ExtType):
            raise TypeError("a value of type ExtType")  # a tuple, but packed as one of the codec's own
        found = False
        for item in value:
            if type(item) not in _PLAIN and _scan(item, depth + 1):
                found = True
        return found
    if issubclass(kind, _BYTES):
        view = memoryview(value)
        return view.nbytes >= DIRECT_SIZE or not view.c_contiguous
    if issubclass(kind, (int, float, str)):
        return False
    raise TypeError(f"a value of type {kind.__name__}")


def _lift(value: Any, buffers: list[memoryview]) -> Any:
    """Return a copy of ``value`` with large buffers replaced by their numbers in ``buffers``, others by their bytes."""
    kind = _type_of(value)
    if issubclass(kind, dict):
        return {key: _lift(item, buffers) for key, item in value.items()}
    if issubclass(kind, (list, tuple)):
        return [_lift(item, buffers) for item in value]
    if issubclass(kind, _BYTES):
        view = memoryview(value)
        if view.nbytes < DIRECT_SIZE:
            return view.tobytes()
        buffers.append(_flat(view))
        return msgpack.ExtType(_BUFFER_EXT, (len(buffers) - 1).to_bytes(4, "big"))
    return value


def _flat(view: memoryview) -> memoryview:
    """Return a view of the same bytes one after the other; only what memoryview cannot flatten in place is copied."""
    try:
        return view.cast("B")
    except (TypeError, ValueError):  # strides, or a format that is not one of Python's own
        return memoryview(view.tobytes())


def _explain(fields: Mapping[str, object], cause: Exception) -> Unserializable:
    """Find the first value that does not travel. Slow and thorough: only failures come here."""
    try:
        for name, value in fields.items():
            found = _culprit(value, name, set())
            if found is not None:
                return found
    except RecursionError:
        pass
    return Unserializable(f"nested too deeply to be sent: {cause}")


def _culprit(value: Any, path: str, around: set[int]) -> Unserializable | None:
    """Return what to say of the first bad value in ``value``; ``around`` has the ids of the containers it stands in."""
    kind = _type_of(value)
    name = kind.__name__
    if issubclass(kind, (dict, list, tuple)) and not issubclass(kind, msgpack.ExtType):
        if id(value) in around:
            return Unserializable(f"{path} contains itself", path=path, type_name=name)
        around.add(id(value))
        keyed = issubclass(kind, dict)
        for key, item in value.items() if keyed else enumerate(value):
            if keyed and not isinstance(key, str):
                # Its type alone: the repr of a stranger's object may be long, or raise.
                name = type(key).__name__
                return Unserializable(f"{path} has a key of type {name}: keys must be str", path=path, type_name=name)
            step = f".{key}" if str(key).isidentifier() else f"[{key!r}]"
            found = _culprit(key, path, around) or _culprit(item, path + step, around)
            if found is not None:
                return found
        around.discard(id(value))
        return None
    try:
        _scan(value, 0)
        msgpack.packb(value)
    except (TypeError, ValueError, OverflowError, BufferError) as exc:
        return Unserializable(f"{path} cannot be sent: {exc} ({name})", path=path, type_name=name)
    return None
