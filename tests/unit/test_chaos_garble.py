"""A link on which nonsense is heard: between two frames, whole, and nowhere else."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgpack
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from chaos import Corruption
from chaos._garble import GarbledTransport
from trio_pool.wire import MessageDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence


class Wire:
    """A transport in memory that receives."""

    def __init__(self, *pieces: bytes) -> None:
        self.inbox = deque(pieces)
        self.sent = b""
        self.closed = False
        self.news = trio.lowlevel.ParkingLot()

    def send(self, data: bytes | memoryview | Sequence[bytes | memoryview], /) -> int:
        assert isinstance(data, bytes)
        self.sent += data
        return len(data)

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        if not self.inbox:
            raise BlockingIOError
        piece = self.inbox.popleft()
        count = min(len(piece), len(buffer))
        memoryview(buffer)[:count] = piece[:count]
        if piece[count:]:
            self.inbox.appendleft(piece[count:])
        return count

    async def wait_readable(self) -> None:
        while not self.inbox:
            await self.news.park()
        await trio.lowlevel.checkpoint()

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self.closed = True


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def read(transport: GarbledTransport, size: int = 1 << 16) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: transport.recv_into(buffer)])


def read_all(transport: GarbledTransport, sizes: Sequence[int] = (1 << 16,)) -> bytes:
    data = b""
    turn = 0
    while True:
        try:
            data += read(transport, sizes[turn % len(sizes)])
        except BlockingIOError:
            return data
        turn += 1


def garbage(how: Corruption) -> bytes:
    """Return what a silent worker is made to say."""
    transport = GarbledTransport(Wire())
    transport.garble(how)
    return read_all(transport)


GARBAGE = {how: garbage(how) for how in Corruption}


@given(
    bodies=st.lists(st.binary(max_size=30), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    before=st.integers(0, 30),
    how=st.sampled_from(Corruption),
)
def test_garbage_comes_between_frames_and_changes_nothing_else(
    bodies: list[bytes], cuts: list[int], sizes: list[int], before: int, how: Corruption
) -> None:
    """However the bytes arrive and are read: the garbage is where the next frame begins, and the rest is as sent."""
    frames = [frame(body) for body in bodies]
    stream = b"".join(frames)
    wire = Wire()
    position = turn = 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        wire.inbox.append(stream[position : position + size])
        position, turn = position + size, turn + 1
    transport = GarbledTransport(wire)
    heard = b""
    for number in range(before):
        try:
            heard += read(transport, sizes[number % len(sizes)])
        except BlockingIOError:
            break
    so_far = len(heard)
    transport.garble(how)
    heard += read_all(transport, sizes)
    boundaries = [sum(map(len, frames[:number])) for number in range(len(frames) + 1)]
    at = min(boundary for boundary in boundaries if boundary >= so_far)
    assert heard == stream[:at] + GARBAGE[how] + stream[at:]


@pytest.mark.parametrize("how", Corruption)
def test_no_reader_takes_the_garbage_for_a_message(how: Corruption) -> None:
    """Two are no messages at all; the third is one, and answers what nobody asked."""
    decoder = MessageDecoder(1 << 20)
    decoder.feed(frame(b"{}"))
    messages = decoder.feed(GARBAGE[how])
    if how is Corruption.UNASKED:
        assert messages == [{"id": 2**63, "success": True, "result": None}]
        assert msgpack.packb(messages[0]) == GARBAGE[how][4:]
    else:
        assert messages == []
        assert decoder.error is not None
        assert decoder.error.reason == {"undecodable": "garbage", "oversized": "oversized"}[how]


def test_cleaned_before_it_is_heard_nothing_was_said() -> None:
    """Healing takes the garbage back; of one that has begun nothing can be taken back, nor another one be put in."""
    transport = GarbledTransport(Wire(frame(b"abc")))
    transport.garble(Corruption.OVERSIZED)
    transport.clean()
    assert read_all(transport) == frame(b"abc")
    transport.garble(Corruption.OVERSIZED)
    assert read(transport, 1) == b"\xff"
    transport.clean()
    transport.garble(Corruption.UNASKED)
    assert read_all(transport) == b"\xff\xff\xff"


def test_the_other_direction_is_left_alone() -> None:
    """What the pool sends goes out as it is, and closing closes the transport below and says nothing more."""
    wire = Wire()
    transport = GarbledTransport(wire)
    transport.garble(Corruption.UNDECODABLE)
    assert transport.send(b"request") == 7
    assert wire.sent == b"request"
    transport.close()
    assert wire.closed
    assert read_all(transport) == b""


async def test_whoever_waits_is_woken_by_garbage_between_frames(nursery: trio.Nursery) -> None:
    """A reader that waits for a silent worker hears the garbage at once; in the middle of a frame it waits on."""
    wire = Wire()
    transport = GarbledTransport(wire)
    woken: list[bytes] = []

    async def wait() -> None:
        await transport.wait_readable()
        woken.append(read(transport))

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    assert woken == []
    transport.garble(Corruption.OVERSIZED)
    await wait_all_tasks_blocked()
    assert woken == [GARBAGE[Corruption.OVERSIZED]]
    # Not waiting when it comes is no reason not to hear it either.
    transport.garble(Corruption.OVERSIZED)
    await transport.wait_readable()
    assert read(transport) == GARBAGE[Corruption.OVERSIZED]


async def test_garbage_waits_for_the_end_of_a_frame(nursery: trio.Nursery) -> None:
    """A reader in the middle of a frame is not disturbed; the rest comes first, also when it comes late."""
    wire = Wire(frame(b"abcdef")[:6])
    transport = GarbledTransport(wire)
    heard = [read(transport)]

    async def wait() -> None:
        while len(heard) < 3:
            await transport.wait_readable()
            heard.append(read(transport))

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    transport.garble(Corruption.UNDECODABLE)
    await wait_all_tasks_blocked()
    assert len(heard) == 1
    wire.inbox.append(b"cdef" + frame(b"next"))
    wire.news.unpark_all()
    await wait_all_tasks_blocked()
    assert heard[1:] == [b"cdef", GARBAGE[Corruption.UNDECODABLE]]
    assert read(transport) == frame(b"next")
