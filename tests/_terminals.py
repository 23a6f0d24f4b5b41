"""A terminal to run programs on: a pseudo terminal of a chosen size, and what a program wrote to it."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PATIENCE = 60.0
"""Seconds a program may take to write what is waited for: the longest here runs for a few."""

ENTER = b"\x1b[?1049h"
LEAVE = b"\x1b[?1049l"
HIDE = b"\x1b[?25l"
SHOW = b"\x1b[?25h"


class Terminal:
    """A pseudo terminal: ``slave`` is what a program gets, and what it wrote is read here."""

    def __init__(self, columns: int, lines: int) -> None:
        self.master, self.slave = os.openpty()
        self.written = b""
        self.resize(columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def settings(self) -> list[Any]:
        """How the terminal is set up: echo, line mode and the like."""
        return termios.tcgetattr(self.slave)

    def read(self, timeout: float = PATIENCE) -> bytes:
        """Return what is there, after waiting until something is; empty if nobody holds the other end any more."""
        if not select.select([self.master], [], [], timeout)[0]:
            raise TimeoutError(f"nothing written for {timeout:g} s; so far {self.written[-2000:]!r}")
        try:
            data = os.read(self.master, 65536)
        except OSError as exc:
            if exc.errno != errno.EIO:
                raise
            data = b""
        self.written += data
        return data

    def read_until(self, wanted: bytes, *, after: int = 0) -> int:
        """Read until it was written, at ``after`` or later; return where it ends."""
        deadline = time.monotonic() + PATIENCE
        while (at := self.written.find(wanted, after)) < 0:
            if not self.read(deadline - time.monotonic()):
                raise EOFError(f"{wanted!r} was never written; but {self.written[-4000:]!r}")
        return at + len(wanted)

    def read_to_end(self) -> None:
        """Read until the program, which must have the slave's only other descriptors, has ended."""
        self.close_slave()
        while self.read():
            pass

    def close_slave(self) -> None:
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def close(self) -> None:
        self.close_slave()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


@contextmanager
def terminal(columns: int, lines: int) -> Iterator[Terminal]:
    """Make a terminal and close it."""
    made = Terminal(columns, lines)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def on_terminal(
    made: Terminal, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on a terminal, in a session of its own."""
    running = subprocess.Popen(
        command, stdin=made.slave, stdout=made.slave, stderr=made.slave, cwd=cwd, env=env, start_new_session=True
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()
