"""The screen: a terminal taken over for a while and given back as it was.

A terminal may stop taking output at any moment, by Ctrl-S, a slow line, a suspended window manager, and a write to it
then blocks: with it would the event loop, the load and every measurement. So the screen opens the terminal anew. The
descriptor that comes of that is in non-blocking mode alone: the mode belongs to the open file, and standard output's is
shared with the shell, which would trip over it. A frame that does not fit waits, no other is drawn meanwhile, and the
run never notices.

The display uses the terminal's alternate screen, as editors do. What stood there before is untouched by any resizing,
and comes back with one escape sequence.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import TextIO

MIN_COLUMNS = 60
MIN_LINES = 16
"""The smallest terminal on which the display says more than the lines that take its place."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # alternate screen, no cursor, cleared
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"  # default colours, cursor, the screen as it was


class NoScreen(Exception):
    """Standard output is nothing to draw on; the message says why."""


class Screen:
    """A terminal to draw on, from entering it as a context manager to leaving that.

    Args:
        stream: Standard output, or None if there is none.
        environ: The environment, for what it says of the terminal.

    Raises:
        NoScreen: ``stream`` is no terminal, or one that cannot show the display.
    """

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str]) -> None:
        try:
            if stream is None or not stream.isatty():
                raise NoScreen("standard output is no terminal")
            self._output = stream.fileno()
            columns, lines = os.get_terminal_size(self._output)
        except (OSError, ValueError) as exc:
            raise NoScreen("standard output is no terminal") from exc
        if environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
            raise NoScreen("the terminal cannot move its cursor")
        if environ.get("CI", "").lower() not in ("", "0", "false"):
            raise NoScreen("nobody watches a terminal in CI")
        if (stream.encoding or "").lower().replace("-", "") != "utf8":
            raise NoScreen("the terminal does not speak UTF-8")
        if columns < MIN_COLUMNS or lines < MIN_LINES:
            raise NoScreen(f"the terminal is smaller than {MIN_COLUMNS} x {MIN_LINES}")
        self._descriptor = -1
        self._entered = False
        self._shown = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        return os.get_terminal_size(self._output)

    async def show(self, lines: Sequence[str]) -> None:
        """Draw a frame, one string a line, and return when the terminal has all of it.

        Cancelled, it leaves a frame unfinished; the next one starts over.

        Raises:
            OSError: The terminal is gone.
        """
        size = self.size
        frame = ""
        if not self._entered:
            self._entered = True
            frame = _ENTER
        elif size != self._shown:
            frame = "\x1b[0m\x1b[2J"  # nobody knows what the terminal did to the lines it had
        self._shown = size
        frame += "".join(f"\x1b[{row};1H\x1b[0m\x1b[K{line}" for row, line in enumerate(lines[: size[1]], start=1))
        await self._write(f"{frame}\x1b[0m\x1b[J".encode())

    def leave(self) -> None:
        """Give the terminal back; the next frame takes it over again."""
        if not self._entered:
            return
        self._entered = False
        with suppress(OSError):
            # Blocking, for it must not get lost. Whoever comes next writes to the same terminal and waits no less.
            os.set_blocking(self._descriptor, True)
            rest = _LEAVE.encode()
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.set_blocking(self._descriptor, False)

    def __enter__(self) -> Self:
        """Open the terminal; the first frame takes it over.

        Raises:
            NoScreen: It could not be opened anew.
        """
        try:
            self._descriptor = _opened_anew(self._output)
        except OSError as exc:
            raise NoScreen(f"the terminal cannot be opened anew: {exc.strerror}") from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.leave()
        finally:
            os.close(self._descriptor)

    async def _write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._descriptor)


def _opened_anew(descriptor: int) -> int:
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(os.ttyname(descriptor), flags)
    except OSError:
        # A terminal from outside this container has no name in here, but a descriptor still leads to it.
        return os.open(f"/proc/self/fd/{descriptor}", flags)
