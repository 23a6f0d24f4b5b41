"""The frame codec: any cut of any stream gives the same frames, and bad lengths cost nothing."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool._core._errors import ProtocolError
from trio_pool._core._frames import DIRECT_SIZE, HEADER_SIZE, FrameDecoder, encode_header

MAX_FRAME = 1 << 20

# Sizes on both sides of each threshold, where cutting could go wrong; bodies are patterns, for random ones cost
# Hypothesis more time than the codec.
sizes = st.one_of(
    st.integers(0, 40),
    st.sampled_from([DIRECT_SIZE - 1, DIRECT_SIZE, DIRECT_SIZE + 1, 2 * DIRECT_SIZE + 3]),
)
bodies = st.tuples(sizes, st.integers(0, 250)).map(
    lambda pair: (bytes(range(pair[1], pair[1] + 5)) * (pair[0] // 5 + 1))[: pair[0]]
)
streams = st.lists(bodies, max_size=8)
# How much arrives at once; repeated for as long as the stream lasts.
cuts = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 3 * DIRECT_SIZE)), min_size=1, max_size=10)


def framed(frames: list[bytes]) -> bytes:
    return b"".join(encode_header(len(frame)) + frame for frame in frames)


def deliver(decoder: FrameDecoder, stream: bytes, cuts: list[int], *, direct: bool) -> list[bytes]:
    """Pass a stream on in pieces, as a reader would: into the memory a large frame offers, if ``direct``."""
    frames: list[bytes] = []
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
            frames += map(bytes, decoder.feed(piece))
        else:
            piece = stream[position : position + min(cut, len(target))]
            target[: len(piece)] = piece
            frames += map(bytes, decoder.filled(len(piece)))
        position += len(piece)
    return frames


@given(frames=streams, cuts=cuts, direct=st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_cut_gives_the_same_frames(frames: list[bytes], cuts: list[int], direct: bool) -> None:
    """However a stream is cut and whichever way large frames are received, the frames are the same, in order."""
    decoder = FrameDecoder(MAX_FRAME)
    assert deliver(decoder, framed(frames), cuts, direct=direct) == frames
    assert decoder.error is None
    assert not decoder.pending


@given(frames=streams, cuts=cuts, end=st.integers(0, 3 * DIRECT_SIZE))
@settings(max_examples=100, deadline=None)
def test_pending_tells_a_truncated_stream_from_a_whole_one(frames: list[bytes], cuts: list[int], end: int) -> None:
    """After any beginning of a stream, ``pending`` is true exactly if it ends inside a frame."""
    stream = framed(frames)[:end]
    boundaries = {0}
    for frame in frames:
        boundaries.add(max(boundaries) + HEADER_SIZE + len(frame))
    decoder = FrameDecoder(MAX_FRAME)
    deliver(decoder, stream, cuts, direct=False)
    assert decoder.pending == (len(stream) not in boundaries)


@given(frames=st.lists(st.binary(max_size=20), max_size=5), cuts=cuts, excess=st.integers(1, 2**32 - 1 - MAX_FRAME))
@settings(max_examples=100, deadline=None)
def test_good_frames_before_an_oversized_header_are_delivered(
    frames: list[bytes], cuts: list[int], excess: int
) -> None:
    """An oversized header sets ``error``, never raises, and takes nothing from the frames before it."""
    size = MAX_FRAME + excess
    decoder = FrameDecoder(MAX_FRAME)
    stream = framed(frames) + encode_header(size) + b"whatever follows"
    assert deliver(decoder, stream, cuts, direct=True) == frames
    assert isinstance(decoder.error, ProtocolError)
    assert decoder.error.reason == "oversized"
    assert str(size) in str(decoder.error)
    assert decoder.feed(framed([b"good again"])) == []


@given(noise=st.binary(max_size=200), cuts=cuts)
@settings(max_examples=100, deadline=None)
def test_noise_never_raises(noise: bytes, cuts: list[int]) -> None:
    """Whatever bytes arrive, feed() returns; at worst there is an error."""
    deliver(FrameDecoder(64), noise, cuts, direct=True)


def test_the_largest_frame_is_accepted_and_one_byte_more_is_not() -> None:
    """``max_frame`` is inclusive."""
    decoder = FrameDecoder(100)
    assert decoder.feed(encode_header(100) + b"x" * 100) == [b"x" * 100]
    assert decoder.error is None
    assert decoder.feed(encode_header(101)) == []
    assert decoder.error is not None


@pytest.mark.parametrize("cut", [HEADER_SIZE, 2])
def test_an_oversized_header_allocates_nothing(cut: int) -> None:
    """A header that claims gigabytes is refused before memory is taken for it, whether it arrives whole or in parts."""
    header = encode_header(2**32 - 1)
    decoder = FrameDecoder(64 * 2**20)
    tracemalloc.start()
    try:
        decoder.feed(header[:cut])
        decoder.feed(header[cut:])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert decoder.error is not None
    assert peak < 16 * 1024  # the error and its message


def test_large_frames_are_received_in_place() -> None:
    """The memory offered by direct() is the frame's own: what comes back is a view of it, not a copy."""
    decoder = FrameDecoder(MAX_FRAME)
    decoder.feed(encode_header(DIRECT_SIZE) + b"ab")
    target = decoder.direct()
    assert target is not None
    assert len(target) == DIRECT_SIZE - 2
    target[:] = b"x" * len(target)
    (frame,) = decoder.filled(len(target))
    assert isinstance(frame, memoryview)
    assert frame.obj is target.obj
    assert bytes(frame) == b"ab" + b"x" * (DIRECT_SIZE - 2)
    assert decoder.direct() is None


def test_small_frames_offer_no_memory() -> None:
    """Below the threshold bytes go through feed(): direct() is None even in the middle of a frame."""
    decoder = FrameDecoder(MAX_FRAME)
    decoder.feed(encode_header(10) + b"abc")
    assert decoder.direct() is None
    assert decoder.pending


def test_filling_more_than_was_offered_is_refused() -> None:
    """filled() without direct(), or beyond its end, is a bug of the caller's and raises."""
    decoder = FrameDecoder(MAX_FRAME)
    with pytest.raises(ValueError, match="more than direct"):
        decoder.filled(1)
    decoder.feed(encode_header(DIRECT_SIZE))
    with pytest.raises(ValueError, match="more than direct"):
        decoder.filled(DIRECT_SIZE + 1)


def test_stop_ends_decoding_for_good() -> None:
    """After stop() the decoder keeps the error it was given, holds no memory, and ignores whatever comes."""
    decoder = FrameDecoder(MAX_FRAME)
    decoder.feed(encode_header(DIRECT_SIZE) + b"ab")
    error = ProtocolError("enough")
    decoder.stop(error)
    assert decoder.error is error
    assert decoder.direct() is None
    assert decoder.feed(framed([b"good"])) == []
