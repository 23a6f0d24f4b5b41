"""Messages: every value that may travel arrives, every other is named, and bad bytes never raise."""

from __future__ import annotations

import ctypes
import json
import math
from collections import OrderedDict, namedtuple
from datetime import datetime
from enum import IntEnum, StrEnum

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool._core._errors import FrameTooLarge, ProtocolError, Unserializable
from trio_pool._core._frames import DIRECT_SIZE, encode_header
from trio_pool._core._messages import MessageDecoder, encode, encode_json, encode_leaving, pieces

MAX_FRAME = 1 << 21
HELLO = {"type": "hello", "protocol": 1}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.binary(max_size=20),
)
# Few sizes and patterns: the boundary matters, not the content.
large = st.tuples(st.sampled_from([DIRECT_SIZE - 1, DIRECT_SIZE, DIRECT_SIZE + 1]), st.integers(0, 255)).map(
    lambda pair: bytes([pair[1]]) * pair[0]
)
values = st.recursive(
    scalars | large,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
messages = st.dictionaries(st.sampled_from(["command", "args", "result", "session", "success"]), values, max_size=4)
cuts = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 2 * DIRECT_SIZE)), min_size=1, max_size=8)


def wire(message: dict[str, object], message_id: int = 1) -> bytes:
    return b"".join(pieces(message_id, encode(message, MAX_FRAME)))


def frame(body: bytes) -> bytes:
    return encode_header(len(body)) + body


def started(max_frame: int = MAX_FRAME) -> MessageDecoder:
    """Return a decoder that has had its hello."""
    decoder = MessageDecoder(max_frame)
    assert decoder.feed(encode_json(HELLO)) == [HELLO]
    return decoder


def deliver(decoder: MessageDecoder, stream: bytes, cuts: list[int], *, direct: bool) -> list[dict[str, object]]:
    """Pass a stream on in pieces, as a reader would: into the memory a large frame offers, if ``direct``."""
    messages: list[dict[str, object]] = []
    position = turn = 0
    while position < len(stream):
        cut = cuts[turn % len(cuts)]
        turn += 1
        # A cut of a byte or two through megabytes would test patience only.
        if len(stream) - position > 1000 and turn > 50:
            cut = max(cut, 4096)
        target = decoder.direct() if direct else None
        if target is None:
            piece = stream[position : position + cut]
            messages += decoder.feed(piece)
        else:
            piece = stream[position : position + min(cut, len(target))]
            target[: len(piece)] = piece
            messages += decoder.filled(len(piece))
        position += len(piece)
    return messages


def plain(value: object) -> object:
    """Return the value with buffers as bytes, to compare; the kind of bytes is tested apart."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return bytes(value) if isinstance(value, memoryview) else value


def roundtrip(value: object) -> object:
    (message,) = started().feed(wire({"result": value}))
    return message["result"]


# -- values that travel ------------------------------------------------------------------------------------------------


@given(sent=st.lists(messages, max_size=4), cuts=cuts, direct=st.booleans())
@settings(max_examples=80, deadline=None)
def test_any_cut_gives_the_same_messages(sent: list[dict[str, object]], cuts: list[int], direct: bool) -> None:
    """However the stream is cut and large buffers are received, all messages arrive whole, with their ids, in order."""
    stream = encode_json(HELLO) + b"".join(wire(message, number) for number, message in enumerate(sent, 1))
    decoder = MessageDecoder(MAX_FRAME)
    arrived = deliver(decoder, stream, cuts, direct=direct)
    assert plain(arrived) == [HELLO, *({"id": number, **message} for number, message in enumerate(sent, 1))]
    assert decoder.error is None
    assert not decoder.pending


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**63,
        2**64 - 1,
        -(2**63),
        0.1,
        -0.0,
        math.inf,
        "",
        "grüß\u2028\0",
        b"",
        b"\xff",
        [],
        {},
        [[]],
    ],
    ids=repr,
)
def test_each_kind_of_value_arrives_as_itself(value: object) -> None:
    """Value and type survive, at the edges of their range too."""
    arrived = roundtrip(value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_nan_arrives() -> None:
    """NaN is a float like any other."""
    arrived = roundtrip(math.nan)
    assert isinstance(arrived, float)
    assert math.isnan(arrived)


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")  # noqa: PYI024  # the untyped kind is as common in what users send


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, 2), [1, 2]),
        (Point(1, (2, 3)), [1, [2, 3]]),
        (OrderedDict(a=1), {"a": 1}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ({Colour.RED: 1}, {"red": 1}),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview((ctypes.c_int16 * 2)(1, 2)), b"\1\0\2\0"),
    ],
    ids=repr,
)
def test_relatives_of_a_kind_arrive_as_the_kind(value: object, arrives: object) -> None:
    """Tuples, subclasses and other bytes-like objects arrive as list, the base kind and bytes."""
    assert roundtrip(value) == arrives


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("size", [DIRECT_SIZE - 1, DIRECT_SIZE])
def test_large_bytes_arrive_as_memoryview_and_small_ones_as_bytes(kind: type, size: int) -> None:
    """64 KiB is the border, whatever was sent."""
    arrived = roundtrip(kind(b"x" * size))
    assert type(arrived) is (memoryview if size >= DIRECT_SIZE else bytes)
    assert bytes(arrived) == b"x" * size


@pytest.mark.parametrize(
    "view",
    [
        memoryview(bytes(range(256)) * 1024)[::2],
        memoryview(bytes(range(256)) * 1024).cast("B", (512, 512)),
        memoryview(bytes(range(256)) * 1024).cast("d"),
        memoryview((ctypes.c_int16 * DIRECT_SIZE)(*range(1000))),
    ],
    ids=["strided", "two dimensions", "doubles", "a format of its own"],
)
def test_large_views_of_every_shape_arrive_as_their_bytes(view: memoryview) -> None:
    """Stride, dimensions and format are the sender's; what travels is what ``tobytes()`` gives."""
    assert plain(roundtrip([view])) == [view.tobytes()]


def test_contiguous_large_buffers_are_not_copied() -> None:
    """The piece that goes to the socket is a view of the sender's own memory."""
    data = bytearray(DIRECT_SIZE)
    _, _, piece = pieces(1, encode({"result": data}, MAX_FRAME))
    assert isinstance(piece, memoryview)
    assert piece.obj is data


def test_a_detached_message_keeps_what_its_buffers_held() -> None:
    """What the sender writes into a large buffer later does not reach a message that is kept."""
    data = bytearray(b"a" * DIRECT_SIZE)
    lent = encode({"result": data, "session": "s"}, MAX_FRAME)
    kept = lent.detached()
    data[:] = b"b" * DIRECT_SIZE
    assert started().feed(b"".join(pieces(1, kept))) == [{"id": 1, "result": b"a" * DIRECT_SIZE, "session": "s"}]
    assert started().feed(b"".join(pieces(1, lent))) == [{"id": 1, "result": b"b" * DIRECT_SIZE, "session": "s"}]
    assert kept.size == lent.size


def test_one_message_may_be_sent_under_several_ids() -> None:
    """A message is packed once; each dispatch gives it a new id."""
    encoded = encode({"command": "ping", "args": {"data": b"x" * DIRECT_SIZE}}, MAX_FRAME)
    decoder = started()
    arrived = [decoder.feed(b"".join(pieces(number, encoded)))[0]["id"] for number in (1, 2**64 - 1)]
    assert arrived == [1, 2**64 - 1]


# -- values that do not ------------------------------------------------------------------------------------------------


def cyclic_list() -> list[object]:
    value: list[object] = [1]
    value.append({"again": value})
    return value


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr for you")

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("value", "path", "type_name", "said"),
    [
        (object(), "args", "object", "a value of type object"),
        ({"rows": [1, {"when": datetime(2020, 1, 1)}]}, "args.rows[1].when", "datetime", "datetime"),
        ({"a": (1, {2})}, "args.a[1]", "set", "set"),
        (2**64, "args", "int", "out of range"),
        ([-(2**63) - 1], "args[0]", "int", "out of range"),
        ({"n": 10**5000}, "args.n", "int", "int"),
        ("\ud800", "args", "str", "surrogates"),
        ({"a": {"\ud800": 1}}, "args.a", "str", "surrogates"),
        ({"a": {1: 2}}, "args.a", "int", "keys must be str"),
        ({"a": {b"k": 2}}, "args.a", "bytes", "keys must be str"),
        ({Unprintable(): 1}, "args", "Unprintable", "keys must be str"),
        ([Unprintable()], "args[0]", "Unprintable", "a value of type Unprintable"),
        (cyclic_list(), "args[1].again", "list", "contains itself"),
        ({"a b\nc": {"\ud801": object()}}, "args['a b\\nc']", "str", "surrogates"),
        ({"a b\nc": [object()]}, "args['a b\\nc'][0]", "object", "object"),
        (msgpack.ExtType(1, b"\0\0\0\0"), "args", "ExtType", "ExtType"),
        (msgpack.Timestamp(1), "args", "Timestamp", "Timestamp"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else "",
)
def test_the_first_value_that_cannot_travel_is_named(value: object, path: str, type_name: str, said: str) -> None:
    """`Unserializable` says in one line where the value stands and what it is, whatever it is."""
    with pytest.raises(Unserializable) as caught:
        encode({"command": "greet", "args": value}, MAX_FRAME)
    assert caught.value.path == path
    assert caught.value.type_name == type_name
    assert said in str(caught.value)
    assert path in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    str(caught.value).encode()  # a log file must be able to take it


def test_a_released_buffer_cannot_travel() -> None:
    """A view whose memory is gone is refused like any other value that has no bytes."""
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(Unserializable, match=r"args\[0\]"):
        encode({"args": [view]}, MAX_FRAME)


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [600, 100_000])
def test_too_deep_a_nesting_cannot_travel(depth: int) -> None:
    """Neither the packer's limit nor the interpreter's ends in anything but `Unserializable`."""
    value = nested(depth)
    with pytest.raises(Unserializable, match="too deeply"):
        encode({"args": value}, MAX_FRAME)
    while value:  # taken apart from outside: nested deallocation of this depth is slow
        value = value.pop()  # type: ignore[assignment]


def test_what_can_be_packed_can_be_unpacked_at_any_depth() -> None:
    """The receiver's limit lies beyond the sender's, for the whole message too."""
    value = nested(400)
    assert roundtrip({"deep": value}) == {"deep": value}


def test_the_same_value_twice_is_no_cycle() -> None:
    """A value may stand in several places; it arrives once for each."""
    shared = {"n": 1}
    assert roundtrip([shared, [shared]]) == [{"n": 1}, [{"n": 1}]]
    with pytest.raises(Unserializable, match=r"args\[2\]"):
        encode({"args": [shared, shared, object()]}, MAX_FRAME)


@given(
    value=st.recursive(
        scalars | st.just(object()) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
@settings(max_examples=100, deadline=None)
def test_encode_either_packs_or_names_the_path(value: object) -> None:
    """There is no third way out."""
    try:
        encoded = encode({"args": value}, MAX_FRAME)
    except Unserializable as exc:
        path = exc.path
    else:
        (message,) = started().feed(b"".join(pieces(7, encoded)))
        assert plain(message) == {"id": 7, "args": value}
        return
    assert path.startswith("args")


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["x" * 5000, b"x" * (2 * DIRECT_SIZE)], ids=["in the message", "beside it"])
def test_too_large_a_message_is_refused(value: object) -> None:
    """`FrameTooLarge` names both sizes."""
    with pytest.raises(FrameTooLarge) as caught:
        encode({"args": value}, 5000)
    assert caught.value.max_frame == 5000
    assert caught.value.size > 5000


@given(message=messages, spare=st.integers(-3, 40))
@settings(max_examples=100, deadline=None)
def test_whatever_encode_accepts_the_decoder_accepts(message: dict[str, object], spare: int) -> None:
    """Both ends apply the same limit: no message passes the sender only to condemn the receiver."""
    limit = encode(message, MAX_FRAME).size + spare
    try:
        encoded = encode(message, limit)
    except FrameTooLarge:
        assert spare < 0
        return
    decoder = MessageDecoder(max(limit, 100))
    decoder.feed(encode_json(HELLO))
    (arrived,) = decoder.feed(b"".join(pieces(1, encoded)))
    assert plain(arrived) == {"id": 1, **message}


# -- bad bytes ---------------------------------------------------------------------------------------------------------


def envelope(sizes: object, packed: object) -> bytes:
    return frame(msgpack.packb([sizes, packed]))


BUFFER = b"x" * DIRECT_SIZE

BAD = {
    "not msgpack": frame(b"\xc1"),
    "empty": frame(b""),
    "cut short": frame(b"\x82\xa2id"),
    "too long": frame(b"\x80\x80"),
    "no map": frame(b"\x01"),
    "a list of one": frame(b"\x91\x80"),
    "a list of two": frame(b"\x92\x01\x02"),
    "half an envelope": frame(b"\x92\x01"),
    "bad text": frame(msgpack.packb({"a": b"\xff"}, use_bin_type=False)),
    "a number as key": frame(msgpack.packb({1: 2})),
    "a list as key": frame(b"\x81\x91\x01\x01"),
    "too deep": frame(b"\x81\xa1a" + b"\x91" * 2000 + b"\x01"),
    "an unknown extension": frame(msgpack.packb({"a": msgpack.ExtType(5, b"abcd")})),
    "a buffer that was not sent": frame(msgpack.packb({"a": msgpack.ExtType(1, b"\0\0\0\0")})),
    "a bad timestamp": frame(b"\x81\xa1a\xd4\xff\x01"),
    "an envelope without buffers": envelope([], b"\x80"),
    "an envelope without sizes": envelope(7, b"\x80"),
    "an envelope without map": envelope([DIRECT_SIZE], {}),
    "small buffers": envelope([DIRECT_SIZE - 1], b"\x80"),
    "negative buffers": envelope([-1], b"\x80"),
    "truth in place of sizes": envelope([True], b"\x80"),
    "more than max_frame": envelope([2**40], b"\x80"),
    "another size than announced": envelope([DIRECT_SIZE + 1], b"\x80") + frame(BUFFER),
    "an index too high": envelope([DIRECT_SIZE], msgpack.packb({"a": msgpack.ExtType(1, b"\0\0\0\1")})) + frame(BUFFER),
    "a malformed index": envelope([DIRECT_SIZE], msgpack.packb({"a": msgpack.ExtType(1, b"\0")})) + frame(BUFFER),
    "an envelope around an envelope": envelope([DIRECT_SIZE], msgpack.packb([[], b"\x80"])) + frame(BUFFER),
    "an oversized header": encode_header(2**32 - 1),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("cut", [3, 1 << 30], ids=["in pieces", "at once"])
@pytest.mark.parametrize("direct", [True, False], ids=["in place", "fed"])
def test_bad_bytes_set_error_and_cost_nothing_that_came_before(bad: bytes, cut: int, direct: bool) -> None:
    """Messages before the bad bytes are delivered, none after them is, and nothing raises."""
    good = {"id": 5, "result": BUFFER}
    decoder = started()
    stream = wire({"result": BUFFER}, 5) + bad + wire({"result": "late"}, 6) + frame(BUFFER)
    assert plain(deliver(decoder, stream, [cut], direct=direct)) == [good]
    assert isinstance(decoder.error, ProtocolError)
    assert decoder.error.reason in ("garbage", "oversized")
    assert len(str(decoder.error).splitlines()) == 1
    assert decoder.direct() is None
    assert decoder.feed(wire({"result": "later"}, 7)) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[]", b"7", b"[" * 100_000, b"9" * 10_000, b'"' + b"x" * 50 + b"\n"]
)
def test_a_bad_first_frame_sets_error(body: bytes) -> None:
    """A process that prints instead of saying hello is a protocol error, not an exception."""
    decoder = MessageDecoder(MAX_FRAME)
    assert decoder.feed(frame(body)) == []
    assert decoder.error is not None
    assert decoder.error.reason == "garbage"


@given(noise=st.binary(max_size=60), framed=st.booleans(), greeted=st.booleans(), cuts=cuts)
@settings(max_examples=100, deadline=None)
def test_noise_never_raises(noise: bytes, framed: bool, greeted: bool, cuts: list[int]) -> None:
    """Whatever bytes arrive, framed or not, before or after hello, feed() returns messages or sets ``error``."""
    decoder = started(1000) if greeted else MessageDecoder(1000)
    for message in deliver(decoder, frame(noise) if framed else noise, cuts, direct=True):
        assert isinstance(message, dict)


def test_the_first_error_stays() -> None:
    """What was wrong first is what is reported, though worse followed in the same read."""
    decoder = started()
    decoder.feed(frame(b"\xc1") + encode_header(2**32 - 1))
    first = decoder.error
    assert first is not None
    assert first.reason == "garbage"
    decoder.feed(encode_header(2**32 - 1))
    assert decoder.error is first


def test_a_foreign_timestamp_arrives_as_seconds() -> None:
    """msgpack's own timestamps are no kind of ours; a foreign worker's become the float they stand for."""
    (message,) = started().feed(frame(msgpack.packb({"result": msgpack.Timestamp(7, 500_000_000)})))
    assert message == {"result": 7.5}
    assert type(message["result"]) is float


@pytest.mark.parametrize("upto", [1, 2, 3])
def test_pending_until_the_last_buffer_is_there(upto: int) -> None:
    """An end of stream between a message and its buffers is a truncation, and ``pending`` says so."""
    parts = pieces(1, encode({"a": BUFFER, "b": BUFFER}, MAX_FRAME))
    decoder = started()
    assert not decoder.pending
    for part in parts[: upto + 1]:
        assert decoder.feed(part) == []
        assert decoder.pending
    rest = b"".join(parts[upto + 1 :])
    if upto < 3:
        (message,) = decoder.feed(rest)
    else:
        (message,) = decoder.feed(parts[-1])
    assert plain(message) == {"id": 1, "a": BUFFER, "b": BUFFER}
    assert not decoder.pending


def test_hello_is_readable_json() -> None:
    """The first frame is JSON behind a length, so that a worker can be written in anything."""
    data = encode_json(HELLO)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert json.loads(data[4:]) == HELLO


def test_the_leave_of_a_worker_is_a_message_of_its_own() -> None:
    """A worker that ends by plan says so after everything else; the decoder gives it like any message."""
    decoder = MessageDecoder(1 << 20)
    assert decoder.feed(encode_json({"type": "ready"}) + encode_leaving()) == [{"type": "ready"}, {"type": "leaving"}]
    assert decoder.error is None
