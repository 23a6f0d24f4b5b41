"""A connected pair of transports in memory, which behaves as a local worker's socket pair does.

Each direction holds as much as the kernel would. What one end sent before it closed is still there for the other; then
comes the end of the stream, or, where the closed end had bytes left unread, first a reset. All of it on Trio's clock
and without a descriptor.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from random import Random

    Piece: TypeAlias = bytes | memoryview

# As much as the buffers of a local worker's socket: whoever sends more has to wait for the other side.
CAPACITY: Final = 1 << 20


class _Direction:
    """Bytes under way from one end to the other."""

    __slots__ = ("data", "readers", "reset", "sender_open", "taker_open", "writers")

    def __init__(self) -> None:
        self.data = bytearray()
        self.sender_open = True
        self.taker_open = True
        self.reset = False
        self.readers = trio.lowlevel.ParkingLot()
        self.writers = trio.lowlevel.ParkingLot()

    def wake(self) -> None:
        self.readers.unpark_all()
        self.writers.unpark_all()


class MemoryTransport:
    """One end of a pair; see `trio_pool.Transport`, whose contract this fulfils. Made by `open_pair`.

    Args:
        incoming: What the other end sends.
        outgoing: What this end sends.
        chunk: The most that one call moves, and at random less; None for as much as there is.
        rng: The source of that randomness.
    """

    def __init__(self, incoming: _Direction, outgoing: _Direction, chunk: int | None, rng: Random) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._chunk = chunk
        self._rng = rng
        self._open = True
        self._waiting: set[str] = set()

    def send(self, data: Piece | Sequence[Piece], /) -> int:
        """Send what fits now; see `Transport.send`."""
        self._check_open()
        outgoing = self._outgoing
        if not outgoing.taker_open:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        pieces = [data] if isinstance(data, (bytes, memoryview)) else data
        wanted = sum(memoryview(piece).nbytes for piece in pieces)
        room = CAPACITY - len(outgoing.data)
        if wanted and room <= 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        count = self._some(min(wanted, room))
        left = count
        for piece in pieces:
            taken = memoryview(piece).cast("B")[:left]
            outgoing.data += taken
            left -= len(taken)
        if count:
            outgoing.readers.unpark_all()
        return count

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Receive what is there; see `Transport.recv_into`."""
        self._check_open()
        incoming = self._incoming
        if incoming.data:
            count = self._some(min(len(buffer), len(incoming.data)))
            memoryview(buffer)[:count] = incoming.data[:count]
            del incoming.data[:count]
            incoming.writers.unpark_all()
            return count
        if incoming.reset:
            incoming.reset = False  # as a socket does it: told once, after that it is the end
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if not incoming.sender_open:
            return 0
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    async def wait_readable(self) -> None:
        """Wait until there is something to receive; see `Transport.wait_readable`."""
        incoming = self._incoming
        with self._alone("readable"):
            await trio.lowlevel.checkpoint()
            while self._still_open() and not (incoming.data or incoming.reset) and incoming.sender_open:
                await incoming.readers.park()

    async def wait_writable(self) -> None:
        """Wait until there is room to send; see `Transport.wait_writable`."""
        outgoing = self._outgoing
        with self._alone("writable"):
            await trio.lowlevel.checkpoint()
            while self._still_open() and len(outgoing.data) >= CAPACITY and outgoing.taker_open:
                await outgoing.writers.park()

    def close(self) -> None:
        """Close this end; see `Transport.close`."""
        if not self._open:
            return
        self._open = False
        incoming, outgoing = self._incoming, self._outgoing
        # Unread bytes are lost, and their sender is told so, after it has read what this end had sent.
        outgoing.reset = bool(incoming.data)
        incoming.data.clear()
        incoming.taker_open = False
        outgoing.sender_open = False
        incoming.wake()
        outgoing.wake()

    def _some(self, most: int) -> int:
        return most if self._chunk is None or most <= 1 else self._rng.randint(1, min(self._chunk, most))

    def _check_open(self) -> None:
        if not self._open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _still_open(self) -> bool:
        if not self._open:
            raise trio.ClosedResourceError("this transport is closed")
        return True

    @contextmanager
    def _alone(self, purpose: str) -> Generator[None]:
        # Two tasks cannot wait for one descriptor either.
        if purpose in self._waiting:
            raise trio.BusyResourceError(f"another task waits for this transport to be {purpose}")
        self._waiting.add(purpose)
        try:
            yield
        finally:
            self._waiting.discard(purpose)


def open_pair(chunk: int | None, rng: Random) -> tuple[MemoryTransport, MemoryTransport]:
    """Make a connected pair."""
    there, back = _Direction(), _Direction()
    return MemoryTransport(back, there, chunk, rng), MemoryTransport(there, back, chunk, rng)
