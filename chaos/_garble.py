"""A link on which a worker can be made to talk nonsense: a transport that slips a bad frame in between good ones.

The frame comes between two frames of the worker's, never within one. Bytes changed within a frame may decode to another
value of the right kind; no pool whose wire has no checksum could tell, and a fault that cannot be detected tests
nothing. A frame that is no reply to anything is what a worker with damaged memory sends first, if it still sends.

Nothing is read ahead and nothing held back. With no garbage waiting every call goes straight to the transport below.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import trio

from trio_pool.wire import HEADER_SIZE, encode, encode_header, pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_pool import Transport


class Corruption(StrEnum):
    """What a corrupted worker says."""

    UNDECODABLE = "undecodable"
    """A frame of a proper length whose body is no message."""
    OVERSIZED = "oversized"
    """A header that announces four gigabytes: a reader that believed it would allocate them, and wait for ever."""
    UNASKED = "unasked"
    """A well-formed reply to a request that nobody sent."""


_WORDS = {
    # 0xc1 is the one byte with which no msgpack value begins.
    Corruption.UNDECODABLE: encode_header(16) + b"\xc1" * 16,
    Corruption.OVERSIZED: b"\xff" * HEADER_SIZE,
    # Ids count from 1, and no pool ever gets that far.
    Corruption.UNASKED: b"".join(pieces(2**63, encode({"success": True, "result": None}, 1024))),
}


class GarbledTransport:
    """Wraps a transport; `garble` may be called at any time.

    Args:
        inner: The transport below; closed with this one.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._garbage: memoryview | None = None
        self._begun = False  # some of the garbage has been read: it is a whole frame or none
        # Where the reader is in the worker's stream: so many bytes of a header, so many left of a body.
        self._header = bytearray()
        self._left = 0
        self._waiting: trio.CancelScope | None = None

    def garble(self, how: Corruption) -> None:
        """Have the worker say this next, once the frame it is sending has ended; what waited to be said is replaced."""
        if not self._begun:
            self._garbage = memoryview(_WORDS[how])
            if self._waiting is not None and self._between_frames():
                self._waiting.cancel()

    def clean(self) -> None:
        """Take back what was not yet heard."""
        if not self._begun:
            self._garbage = None

    def send(self, data: bytes | memoryview | Sequence[bytes | memoryview], /) -> int:
        """Send to the worker, as `trio_pool.Transport` says: only what comes from it can be garbled."""
        return self._inner.send(data)

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Hand over what the worker sent, and garbage at its place, as `trio_pool.Transport` says."""
        view = memoryview(buffer)
        if self._garbage is not None:
            if self._begun or self._between_frames():
                return self._speak(view)
            # Only to the end of this frame, or of its header: that is where the garbage belongs.
            view = view[: self._left or HEADER_SIZE - len(self._header)]
        count = self._inner.recv_into(view)
        self._follow(view[:count])
        return count

    async def wait_readable(self) -> None:
        """Wait until there is something to read, garbage included, as `trio_pool.Transport` says."""
        if self._garbage is not None and (self._begun or self._between_frames()):
            await trio.lowlevel.checkpoint()
            return
        with trio.CancelScope() as self._waiting:
            await self._inner.wait_readable()
        self._waiting = None

    async def wait_writable(self) -> None:
        """Wait until the worker takes bytes, as `trio_pool.Transport` says."""
        await self._inner.wait_writable()

    def close(self) -> None:
        """Close the link and the transport below."""
        self._garbage = None
        self._inner.close()

    def _between_frames(self) -> bool:
        return not self._left and not self._header

    def _speak(self, view: memoryview) -> int:
        assert self._garbage is not None  # noqa: S101  # narrows the type; the only caller has looked
        count = min(len(view), len(self._garbage))
        view[:count] = self._garbage[:count]
        self._garbage = self._garbage[count:] or None
        self._begun = self._garbage is not None
        return count

    def _follow(self, data: memoryview) -> None:
        """Take note of how far into which frame the reader has come."""
        position = 0
        while position < len(data):
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
            else:
                step = min(HEADER_SIZE - len(self._header), len(data) - position)
                self._header += data[position : position + step]
                if len(self._header) == HEADER_SIZE:
                    self._left = int.from_bytes(self._header, "big")
                    self._header.clear()
            position += step
