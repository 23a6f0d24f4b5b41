"""What a transport promises: what fits goes at once, what does not is left, and closing wakes whoever waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from _workers import PATIENCE

from trio_pool._process._transport import MAX_PIECES, SocketTransport, open_pair

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator


@pytest.fixture
async def pair() -> AsyncIterator[tuple[SocketTransport, socket.socket]]:
    transport, theirs = open_pair()
    with theirs:
        await transport.wait_writable()
        yield transport, theirs
    transport.close()


def fill(transport: SocketTransport) -> int:
    """Send until nothing fits any more, and return how much did."""
    sent = 0
    while True:
        try:
            sent += transport.send(bytes(1 << 20))
        except BlockingIOError:
            return sent


async def test_pieces_are_sent_as_their_concatenation(pair: tuple[SocketTransport, socket.socket]) -> None:
    """A header and its body go in one call, without being joined first."""
    transport, theirs = pair
    await transport.wait_writable()
    assert transport.send([b"ab", memoryview(b"cde"), b""]) == 5
    assert theirs.recv(16) == b"abcde"


async def test_more_pieces_than_the_kernel_takes_are_sent_in_part(pair: tuple[SocketTransport, socket.socket]) -> None:
    """A long list is a short write, not an error that looks like a broken socket."""
    transport, theirs = pair
    await transport.wait_writable()
    assert transport.send([b"x"] * (MAX_PIECES + 1)) == MAX_PIECES
    assert theirs.recv(2 * MAX_PIECES) == b"x" * MAX_PIECES


async def test_a_full_transport_takes_part_and_then_says_so(pair: tuple[SocketTransport, socket.socket]) -> None:
    """What fits is sent and counted, then comes BlockingIOError, and `wait_writable` returns once there is room."""
    transport, theirs = pair
    large = memoryview(bytes(8 << 20))
    sent = transport.send(large)
    assert 0 < sent < len(large)
    sent += fill(transport)
    with pytest.raises(BlockingIOError):
        transport.send(b"more")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_writable)
        await trio.testing.wait_all_tasks_blocked()
        while sent:
            sent -= len(theirs.recv(sent))
    assert transport.send(b"more") == 4


async def test_an_empty_transport_says_so(pair: tuple[SocketTransport, socket.socket]) -> None:
    """Nothing there is BlockingIOError, not 0, which would be the end."""
    transport, theirs = pair
    buffer = bytearray(8)
    with pytest.raises(BlockingIOError):
        transport.recv_into(buffer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_readable)
        await trio.testing.wait_all_tasks_blocked()
        theirs.send(b"now")
    assert transport.recv_into(memoryview(buffer)) == 3
    assert buffer[:3] == b"now"


async def test_the_other_s_end_is_read_as_zero(pair: tuple[SocketTransport, socket.socket]) -> None:
    """What was sent before it is read first; writing to the dead raises OSError and no SIGPIPE."""
    transport, theirs = pair
    theirs.send(b"last")
    theirs.close()
    await transport.wait_readable()
    buffer = bytearray(8)
    assert transport.recv_into(buffer) == 4
    assert transport.recv_into(buffer) == 0
    with pytest.raises(BrokenPipeError):
        transport.send(b"x")


async def test_a_peer_that_dies_with_unread_requests_resets_after_its_last_reply(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    """Replies survive their sender; then comes ECONNRESET instead of an end, which means the same."""
    transport, theirs = pair
    transport.send(b"never read")
    theirs.send(b"reply")
    theirs.close()
    await transport.wait_readable()
    buffer = bytearray(8)
    assert transport.recv_into(buffer) == 5
    with pytest.raises(ConnectionResetError):
        transport.recv_into(buffer)


async def test_closing_wakes_whoever_waits(pair: tuple[SocketTransport, socket.socket]) -> None:
    """Reader and writer are told with ClosedResourceError, and so is whoever comes later; closing twice is fine."""
    transport, _ = pair
    fill(transport)
    told: list[str] = []

    async def wait(what: str) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await (transport.wait_readable() if what == "readable" else transport.wait_writable())
        told.append(what)

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "readable")
            nursery.start_soon(wait, "writable")
            await trio.testing.wait_all_tasks_blocked()
            transport.close()
    transport.close()
    assert sorted(told) == ["readable", "writable"]
    await wait("readable")
    with pytest.raises(OSError, match="Bad file descriptor"):
        transport.send(b"x")
    with pytest.raises(OSError, match="Bad file descriptor"):
        transport.recv_into(bytearray(1))


async def test_waiting_can_be_cancelled(pair: tuple[SocketTransport, socket.socket]) -> None:
    """A cancelled wait leaves the transport as it was."""
    transport, theirs = pair
    with trio.CancelScope() as scope:
        scope.cancel()
        await transport.wait_readable()
    assert scope.cancelled_caught
    theirs.send(b"x")
    await transport.wait_readable()
    assert transport.recv_into(bytearray(1)) == 1


async def test_the_worker_s_socket_blocks(pair: tuple[SocketTransport, socket.socket]) -> None:
    """The worker's side is read with plain blocking calls; making ours non-blocking does not touch it."""
    transport, theirs = pair
    await transport.wait_writable()
    assert theirs.getblocking()
