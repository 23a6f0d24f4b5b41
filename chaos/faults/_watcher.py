"""The line between a run's application and the process that watches over it, on which the one asks to be stopped.

A request is a line with a number, the seconds; the answer is a line with the state in which the watcher saw the process
meanwhile. The watcher alone holds what the application needs to go on: should it end, the application dies by its
lifeline, stopped or not.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from . import _proc
from ._grip import STOP_LIMIT, until
from ._injection import FaultFailed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

WATCHER = "TRIO_POOL_CHAOS_WATCHER"
"""The variable with the number of the application's end."""

_LINE = 64
"""Bytes of the longest line."""


class WatcherLine:
    """The application's end; a `Watcher`.

    Args:
        end: A socket, whose other end `obey` has.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end

    def stop_us(self, seconds: float, /) -> None:
        """Ask to be stopped; see `Watcher.stop_us`."""
        with suppress(OSError):  # the watcher is gone, as `answer` finds too
            self._end.send(b"%r\n" % seconds)

    async def answer(self) -> None:
        """Wait until it is over; see `Watcher.answer`."""
        await trio.lowlevel.wait_readable(self._end)
        try:
            said = self._end.recv(_LINE)
        except OSError:
            said = b""
        if said.strip() != _proc.STOPPED.encode():
            raise FaultFailed(f"the process that watches over this one answered {said!r} when asked to stop it")

    def close(self) -> None:
        """Close this end."""
        self._end.close()


async def obey(end: socket.socket, pid: int, send_signal: Callable[[int], object]) -> None:
    """Stop a process whenever it asks for it, until it hangs up. Cancelled while the process stands, it goes on.

    Args:
        end: The watcher's end of the line.
        pid: The process, a child of this one that is not reaped while this runs.
        send_signal: Sends it a signal.
    """
    async with trio.SocketStream(trio.socket.from_stdlib_socket(end)) as stream:
        while True:
            try:
                line = await stream.receive_some(_LINE)
            except trio.BrokenResourceError:
                return
            if not line:
                return
            send_signal(signal.SIGSTOP)
            try:
                await until(lambda: _proc.state(pid) == _proc.STOPPED, STOP_LIMIT)
                seen = _proc.state(pid)
                await trio.sleep(float(line))
            finally:
                send_signal(signal.SIGCONT)
            try:
                await stream.send_all(f"{seen}\n".encode())
            except trio.BrokenResourceError:
                return
