"""What a worker prints: read without end, logged within bounds, its last lines kept for the obituary.

Nothing a worker prints can reach the protocol, and nothing it prints can stall it: the pipe is read for as long as
anybody holds its other end. What exceeds the bounds is read all the same, dropped and counted.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from contextlib import suppress
from itertools import repeat
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

LINES_PER_SECOND: Final = 1000
MAX_LINE: Final = 8 * 1024
TAIL_LINES: Final = 50
# Fifty lines are meant to be a traceback and what led to it, 4 KiB; long lines should not make that 400 KiB a worker.
TAIL_SIZE: Final = 64 * 1024

_WINDOW: Final = 1.0  # the second of "lines per second"
_CUT: Final = b" [cut]"
# The capacity of a pipe: more is never there at once.
_READ_SIZE: Final = 64 * 1024

_logger = logging.getLogger("trio_pool.worker")


class PipeStream(trio.abc.ReceiveStream):
    """The read end of a pipe.

    `trio.lowlevel.FdStream` does the same and makes the pipe blocking again when it is closed or collected. In a child
    the application forked, that would be done to the very pipe the application goes on reading, and stop its loop.

    Args:
        file: The unbuffered read end; the stream owns it from here on.
    """

    def __init__(self, file: io.FileIO) -> None:
        os.set_blocking(file.fileno(), False)
        self._file = file

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait until there is something and return it; empty at the end, when nobody holds the write end any more.

        Raises:
            trio.ClosedResourceError: The stream is, or was meanwhile, closed.
        """
        await trio.lowlevel.checkpoint()
        while True:
            if self._file.closed:
                raise trio.ClosedResourceError("this pipe is closed")
            fd = self._file.fileno()
            with suppress(BlockingIOError):
                return os.read(fd, max_bytes or _READ_SIZE)
            await trio.lowlevel.wait_readable(fd)

    def close(self) -> None:
        """Close the pipe and wake its reader with `trio.ClosedResourceError`. Closing again does nothing."""
        if not self._file.closed:
            trio.lowlevel.notify_closing(self._file.fileno())
            self._file.close()

    async def aclose(self) -> None:
        """Close the pipe; see `close`."""
        self.close()
        await trio.lowlevel.checkpoint()


class OutputLines:
    """Cuts output into lines and decides which are shown: at most `LINES_PER_SECOND` in any second. No IO, no clock.

    However many lines arrive, the work is that of the shown ones and the tail: a worker printing nothing but line ends
    costs the application no more than one that talks.
    """

    __slots__ = ("_partial", "_shown", "cut", "dropped", "tail")

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.dropped = 0
        """Lines not shown."""
        self.cut = 0
        """Bytes beyond `MAX_LINE` of lines that were shown or kept."""
        self._partial = b""
        self._shown: deque[float] = deque()

    def feed(self, data: bytes, now: float) -> list[str]:
        """Take output that arrived and return the complete lines to show."""
        data = self._partial + data
        total = data.count(b"\n")
        shown = self._admit(total, now)
        *pieces, data = data.split(b"\n", shown)
        lines = [self._text(piece) for piece in pieces]
        self.tail.extend(lines)
        if total > shown:
            self.dropped += total - shown
            # One more than the tail: then the first piece is either a line of its own or all that nobody will see.
            *pieces, data = data.rsplit(b"\n", TAIL_LINES + 1)
            self.tail.extend(self._text(piece) for piece in pieces[-TAIL_LINES:])
        # One byte more than a line may have, as the sign that something was cut.
        self._partial = data[: MAX_LINE + 1]
        self.cut += len(data) - len(self._partial)
        self._trim()
        return lines

    def flush(self, now: float) -> list[str]:
        """End the line in the making, if there is one, and return it if it is to be shown."""
        return self.feed(b"\n", now) if self._partial else []

    def _admit(self, wanted: int, now: float) -> int:
        shown = self._shown
        while shown and now - shown[0] >= _WINDOW:
            shown.popleft()
        count = min(wanted, LINES_PER_SECOND - len(shown))
        shown.extend(repeat(now, count))
        return count

    def _text(self, piece: bytes) -> str:
        if len(piece) > MAX_LINE:
            self.cut += len(piece) - MAX_LINE + len(_CUT)
            piece = piece[: MAX_LINE - len(_CUT)] + _CUT
        return piece.removesuffix(b"\r").decode("utf-8", "replace")

    def _trim(self) -> None:
        size = sum(map(len, self.tail))
        while size > TAIL_SIZE:
            size -= len(self.tail.popleft())


class OutputPump:
    """Makes log records of what one worker prints.

    They go to the logger ``trio_pool.worker`` at level INFO, with the worker's id as ``worker_id``. A handler or filter
    that raises ends the logging of this worker, never the reading; see `error`.

    Run `run` as a task from the start of the worker, call `drain` once the worker is dead, then close the stream.

    Args:
        stream: What the worker prints; closing it is left to its owner. None: its output goes elsewhere.
        worker_id: Who prints.
        clock: The time in seconds, for the limit of lines per second.
    """

    def __init__(
        self, stream: trio.abc.ReceiveStream | None, worker_id: str, *, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self._stream = stream
        self._worker_id = worker_id
        self._extra = {"worker_id": worker_id}
        self._clock = clock
        self._lines = OutputLines()
        self._reading = trio.Lock()
        self._ended = False
        self._reported = 0
        self._next_report = -float("inf")
        self.error: Exception | None = None
        """What a log handler raised, if that ended the logging."""

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines printed, shown or not: at most `TAIL_LINES` and about `TAIL_SIZE` bytes."""
        return tuple(self._lines.tail)

    @property
    def dropped(self) -> int:
        """How many lines were printed and not logged."""
        return self._lines.dropped

    async def run(self) -> None:
        """Log what is printed until nobody holds the other end of the pipe, or the stream is closed.

        When cancelled, what was read has been logged and the rest is still in the pipe, for `drain` or another `run`.
        """
        async with self._reading:
            while self._stream is not None and not self._ended:
                try:
                    data = await self._stream.receive_some(_READ_SIZE)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    data = b""
                if data:
                    self._log(self._lines.feed(bytes(data), self._clock()))
                else:
                    self._ended = True
            self._flush()

    async def drain(self, seconds: float) -> None:
        """Log the last words of a worker that is dead: read to the end of the pipe, for at most ``seconds``.

        The bound is for a grandchild that left the group with the pipe in its hands. Whether `run` is still running or
        was cancelled makes no difference; the call may be shielded, and cancelling it cuts the reading short.
        """
        try:
            with trio.move_on_after(seconds):
                await self.run()
        finally:
            self._flush()

    def _flush(self) -> None:
        self._log(self._lines.flush(self._clock()))
        self._next_report = -float("inf")
        self._log([])

    def _log(self, lines: list[str]) -> None:
        # A handler of the application may raise. That must not stop the reading, or the worker would block in print;
        # and it would raise for the next line again, and the next.
        if self.error is not None:
            return
        try:
            for line in lines:
                _logger.info("%s: %s", self._worker_id, line, extra=self._extra)
            unreported = self._lines.dropped - self._reported
            now = self._clock()
            # Once a second: in a flood this record must not become one itself.
            if unreported and now >= self._next_report:
                self._reported += unreported
                self._next_report = now + _WINDOW
                _logger.warning("%s: %d lines of output dropped", self._worker_id, unreported, extra=self._extra)
        except Exception as exc:  # any handler of the application's may be behind this
            self.error = exc
