"""A transport: the byte pipe between the pool and one worker, non-blocking first.

The five calls are synchronous where it matters: the pool sends and receives without a checkpoint as long as the kernel
agrees at once, and waits only when it does not. That is what lets a caller drive its own request without a task switch,
and what lets a simulator stand in for a socket. Frames are the business of whoever calls.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import trio

from ._lifeline import above_stdio, close_in_forked_children

if TYPE_CHECKING:
    from collections.abc import Sequence

    Piece: TypeAlias = bytes | memoryview

# A megabyte then takes one system call instead of many (measured 1.1-1.7 GB/s against 0.95-1.18). The kernel lowers it
# silently to net.core.wmem_max, which costs speed, never correctness.
BUFFER_SIZE: Final = 1 << 20
# What the kernel takes in one gathering send (UIO_MAXIOV); more would be EMSGSIZE, which reads like a broken socket.
MAX_PIECES: Final = 1024


class Transport(Protocol):
    """Bytes to and from one worker. One task reads and one writes at a time; nothing here frames, buffers, retries."""

    def send(self, data: Piece | Sequence[Piece], /) -> int:
        """Send what fits now and return how many bytes that were; a sequence of pieces counts as their concatenation.

        Raises:
            BlockingIOError: Nothing fits; use `wait_writable`.
            OSError: The worker's end is gone, or this one is closed.
        """
        ...

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Fill the beginning of ``buffer`` with what is there and return how many bytes that were; 0 is the end.

        Raises:
            BlockingIOError: Nothing is there; use `wait_readable`.
            OSError: The connection broke (a worker that dies with unread requests resets it, after its last reply was
                read: the same thing as an end), or this end is closed.
        """
        ...

    async def wait_readable(self) -> None:
        """Wait until `recv_into` has something to say. Cancelling it loses nothing.

        Raises:
            trio.ClosedResourceError: This end is, or was meanwhile, closed.
        """
        ...

    async def wait_writable(self) -> None:
        """Wait until `send` has room. Cancelling it loses nothing.

        Raises:
            trio.ClosedResourceError: This end is, or was meanwhile, closed.
        """
        ...

    def close(self) -> None:
        """Close this end and wake those waiting on it with `trio.ClosedResourceError`. Closing again does nothing."""
        ...


class SocketTransport:
    """The pool's end of a socket pair.

    Args:
        sock: A connected stream socket; the transport owns it from here on.
    """

    __slots__ = ("_sock",)

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock

    def send(self, data: Piece | Sequence[Piece], /) -> int:
        """Send what fits now; see `Transport.send`."""
        # MSG_NOSIGNAL: an application may have given SIGPIPE its deadly default back.
        if isinstance(data, (bytes, memoryview)):
            return self._sock.send(data, socket.MSG_NOSIGNAL)
        pieces = data if len(data) <= MAX_PIECES else data[:MAX_PIECES]
        return self._sock.sendmsg(pieces, (), socket.MSG_NOSIGNAL)

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Receive what is there; see `Transport.recv_into`."""
        return self._sock.recv_into(buffer)

    async def wait_readable(self) -> None:
        """Wait until there is something to receive; see `Transport.wait_readable`."""
        await trio.lowlevel.wait_readable(self._open_fd())

    async def wait_writable(self) -> None:
        """Wait until there is room to send; see `Transport.wait_writable`."""
        await trio.lowlevel.wait_writable(self._open_fd())

    def close(self) -> None:
        """Close this end; see `Transport.close`."""
        fd = self._sock.fileno()
        if fd < 0:
            return
        trio.lowlevel.notify_closing(fd)
        self._sock.close()

    def _open_fd(self) -> int:
        fd = self._sock.fileno()
        # Trio would complain about the descriptor -1 with a ValueError.
        if fd < 0:
            raise trio.ClosedResourceError("this transport is closed")
        return fd


def open_pair() -> tuple[SocketTransport, socket.socket]:
    """Make a connected pair: the pool's end, and the blocking socket whose descriptor a worker inherits.

    Both are closed in children this process forks; see `_lifeline`.
    """
    ours, theirs = (socket.socket(fileno=above_stdio(sock.detach())) for sock in socket.socketpair())
    for sock in (ours, theirs):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_SIZE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
        close_in_forked_children(sock)
    return SocketTransport(ours), theirs
