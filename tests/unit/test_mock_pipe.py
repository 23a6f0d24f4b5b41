"""The connection of a worker in memory behaves as the kernel's would: the same tests hold on a socket pair."""

from __future__ import annotations

import errno
import socket
from random import Random
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from trio_pool._process._transport import SocketTransport
from trio_pool.testing._mock_pipe import CAPACITY, MemoryTransport, open_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_pool import Transport

pytestmark = pytest.mark.document("F-070")

Pair = tuple["Transport", "Transport"]


@pytest.fixture(params=["memory", "socket"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Return two connected transports of one kind."""
    if request.param == "memory":
        yield open_pair(None, seeded(0))
        return
    one, other = socket.socketpair()
    # Closed by the sockets themselves: after the test there is no Trio left that the transports could tell.
    with one, other:
        yield SocketTransport(one), SocketTransport(other)


def seeded(seed: int) -> Random:
    """Return what decides how bytes are cut."""
    return Random(seed)  # noqa: S311  # nothing is guarded by it


def fill(end: Transport) -> int:
    """Send until nothing more fits; return how much did."""
    sent = 0
    while True:
        try:
            sent += end.send(b"x" * 100_000)
        except BlockingIOError:
            return sent


def received(end: Transport) -> bytes:
    """Return what is there."""
    buffer = bytearray(100)
    return bytes(buffer[: end.recv_into(buffer)])


def test_bytes_cross_in_order_and_in_both_directions(pair: Pair) -> None:
    """Pieces sent together arrive as their concatenation; nothing there is no end."""
    ours, theirs = pair
    with pytest.raises(BlockingIOError):
        received(ours)
    assert ours.send([b"ab", memoryview(b"cd")]) == 4
    assert ours.send(b"") == 0
    assert theirs.send(b"xy") == 2
    assert ours.send(b"ef") == 2
    small = bytearray(3)
    assert (theirs.recv_into(small), bytes(small)) == (3, b"abc")
    assert (received(theirs), received(ours)) == (b"def", b"xy")


async def test_the_end_comes_after_all_that_was_sent(pair: Pair) -> None:
    """A closed end has nothing unread: the other reads what it had sent, then the end, again and again."""
    ours, theirs = pair
    theirs.send(b"last words")
    theirs.close()
    await ours.wait_readable()
    assert [received(ours) for _ in range(3)] == [b"last words", b"", b""]
    with pytest.raises(BrokenPipeError):
        ours.send(b"x")


async def test_unread_bytes_turn_the_end_into_a_reset_told_once(pair: Pair) -> None:
    """What the closed end had sent comes first; then the sender learns that it was not read; then it is the end."""
    ours, theirs = pair
    ours.send(b"never read")
    theirs.send(b"last words")
    theirs.close()
    assert received(ours) == b"last words"
    await ours.wait_readable()
    with pytest.raises(ConnectionResetError):
        received(ours)
    assert received(ours) == b""


async def test_a_full_connection_takes_no_more_until_there_is_room(pair: Pair) -> None:
    """`send` says so, `wait_writable` waits for it, and no byte is lost or doubled."""
    ours, theirs = pair
    sent = fill(ours)
    came = 0
    buffer = bytearray(1 << 20)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.wait_writable)
            await trio.testing.wait_all_tasks_blocked()
            while came < sent:
                came += theirs.recv_into(buffer)
    assert came == sent
    assert ours.send(b"y") == 1
    assert received(theirs) == b"y"


async def test_a_reader_waits_for_bytes_and_for_the_end(pair: Pair) -> None:
    """It is woken by either; cancelling it loses nothing."""
    ours, theirs = pair
    with trio.move_on_after(0):
        await ours.wait_readable()
    with trio.fail_after(5):
        for act, expected in ((lambda: theirs.send(b"a"), b"a"), (theirs.close, b"")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.wait_readable)
                await trio.testing.wait_all_tasks_blocked()
                act()
            assert received(ours) == expected


async def test_a_writer_is_woken_when_the_other_end_is_gone(pair: Pair) -> None:
    """It would wait for room for ever."""
    ours, theirs = pair
    fill(ours)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.wait_writable)
            await trio.testing.wait_all_tasks_blocked()
            theirs.close()
    with pytest.raises(BrokenPipeError):
        ours.send(b"x")


@pytest.mark.parametrize("wait", ["wait_readable", "wait_writable"])
async def test_two_tasks_may_not_wait_for_the_same(pair: Pair, wait: str) -> None:
    """The second is told; the first is not disturbed."""
    ours, _ = pair
    if wait == "wait_writable":
        fill(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(getattr(ours, wait))
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(5), pytest.raises(trio.BusyResourceError):
            await getattr(ours, wait)()
        nursery.cancel_scope.cancel()


async def test_closing_wakes_who_waits_and_ends_all_use(pair: Pair) -> None:
    """Closing twice is closing once."""
    ours, _ = pair
    told: list[str] = []

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await ours.wait_readable()
        told.append("closed")

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            ours.close()
            ours.close()
    assert told == ["closed"]
    for use in (lambda: ours.send(b"x"), lambda: received(ours)):
        with pytest.raises(OSError) as caught:  # noqa: PT011  # its number is checked below
            use()
        assert caught.value.errno == errno.EBADF
    for wait_again in (ours.wait_readable, ours.wait_writable):
        with pytest.raises(trio.ClosedResourceError):
            await wait_again()


async def test_waiting_always_is_a_checkpoint(pair: Pair) -> None:
    """Also where there is nothing to wait for."""
    ours, theirs = pair
    theirs.send(b"x")
    for wait in (ours.wait_readable, ours.wait_writable):
        with trio.testing.assert_checkpoints():
            await wait()


def sizes(end: MemoryTransport, other: MemoryTransport, data: bytes) -> list[int]:
    """Send data and return in what pieces that went."""
    taken: list[int] = []
    while sum(taken) < len(data):
        taken.append(end.send(data[sum(taken) :]))
    buffer = bytearray(len(data))
    came = 0
    while came < len(data):
        came += other.recv_into(memoryview(buffer)[came:])
    assert buffer == data
    return taken


def test_bytes_may_travel_in_pieces_cut_by_a_seed() -> None:
    """None is larger than it may be, and the same seed cuts them the same way."""
    data = bytes(range(256)) * 4
    taken = sizes(*open_pair(50, seeded(1)), data)
    assert max(taken) <= 50
    assert len(set(taken)) > 10
    assert sizes(*open_pair(50, seeded(1)), data) == taken
    assert sizes(*open_pair(50, seeded(2)), data) != taken
    assert sizes(*open_pair(1, seeded(1)), data) == [1] * len(data)
    assert sizes(*open_pair(None, seeded(1)), data) == [len(data)]


def test_it_holds_as_much_as_the_buffers_of_a_worker_s_socket() -> None:
    """So that whoever sends a large value over it has to wait as it would elsewhere."""
    ours, _ = open_pair(None, seeded(0))
    assert ours.send(b"x" * (CAPACITY + 1)) == CAPACITY
