"""The frame codec: 4-byte big-endian length, then that many bytes. No IO, no clock.

A frame of less than `DIRECT_SIZE` bytes is cut out of whatever arrived. A larger one is announced by its header, and
from then on the decoder offers the frame's own memory (`FrameDecoder.direct`), so that the socket writes it straight
into place: one copy instead of three (measured at 8 MiB: 2.9 ms against 7.6 ms).

The length is checked before anything is allocated: a header claiming 4 GiB costs four bytes.
"""

from __future__ import annotations

from ._errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeAlias

    Frame: TypeAlias = bytes | memoryview

HEADER_SIZE: Final = 4
# Below 64 KiB, in-band and out-of-band cost the same; above, out-of-band wins by up to 3.5 x (measured).
DIRECT_SIZE: Final = 64 * 1024


def encode_header(size: int) -> bytes:
    """Return the four bytes that go before a body of ``size`` bytes."""
    return size.to_bytes(HEADER_SIZE, "big")


class FrameDecoder:
    """Cuts a byte stream into frames, whatever the pieces it arrives in.

    Nothing here raises for bad bytes: `error` is set instead and all later bytes are ignored, so that the good frames
    which came in the same read as the bad header are still delivered.

    Args:
        max_frame: The largest body accepted, in bytes.
    """

    __slots__ = ("_direct", "_filled", "_partial", "error", "max_frame")

    def __init__(self, max_frame: int) -> None:
        self.max_frame = max_frame
        self.error: ProtocolError | None = None
        self._partial = bytearray()
        self._direct: memoryview | None = None
        self._filled = 0

    @property
    def pending(self) -> bool:
        """True in the middle of a frame: an end of stream here is a truncation."""
        return self._direct is not None or bool(self._partial)

    def direct(self) -> memoryview | None:
        """Return where the next bytes belong, if they belong to a large frame already begun; then call `filled`."""
        return None if self._direct is None else self._direct[self._filled :]

    def filled(self, count: int) -> list[Frame]:
        """Note that ``count`` bytes were written into `direct`; return the frame if that completed it."""
        direct = self._direct
        if direct is None or count > len(direct) - self._filled:
            raise ValueError(f"{count} bytes reported as filled, more than direct() offered")
        self._filled += count
        if self._filled < len(direct):
            return []
        self._direct = None
        return [direct]

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Take bytes that arrived and return the frames they complete; sets `error` at an oversized header."""
        view = memoryview(data)
        frames: list[Frame] = []
        position = 0
        end = len(view)
        while position < end and self.error is None:
            if self._direct is not None:
                count = min(end - position, len(self._direct) - self._filled)
                self._direct[self._filled : self._filled + count] = view[position : position + count]
                frames += self.filled(count)
                position += count
                continue
            partial = self._partial
            if not partial and end - position >= HEADER_SIZE:
                # The common case: whole frames in one read, cut without copying through the partial buffer.
                size = int.from_bytes(view[position : position + HEADER_SIZE], "big")
                if self._oversized(size):
                    break
                stop = position + HEADER_SIZE + size
                if stop <= end:
                    frames.append(bytes(view[position + HEADER_SIZE : stop]))
                    position = stop
                    continue
            if len(partial) < HEADER_SIZE:
                count = min(HEADER_SIZE - len(partial), end - position)
                partial += view[position : position + count]
                position += count
                if len(partial) < HEADER_SIZE:
                    break
            size = int.from_bytes(partial[:HEADER_SIZE], "big")
            if self._oversized(size):
                break
            if size >= DIRECT_SIZE:
                self._direct = memoryview(bytearray(size))
                self._filled = 0
                partial.clear()
                continue
            count = min(HEADER_SIZE + size - len(partial), end - position)
            partial += view[position : position + count]
            position += count
            if len(partial) == HEADER_SIZE + size:
                frames.append(bytes(partial[HEADER_SIZE:]))
                partial.clear()
        return frames

    def stop(self, error: ProtocolError) -> None:
        """Set `error`, let go of the frame in progress and ignore all later bytes."""
        self.error = error
        self._partial.clear()
        self._direct = None

    def _oversized(self, size: int) -> bool:
        if size <= self.max_frame:
            return False
        message = f"a frame header claims {size} bytes, more than max_frame = {self.max_frame}"
        self.stop(ProtocolError(message, reason="oversized"))
        return True
