"""An application whose worker dies at a chosen line: in a command, in its reply, at a signal, or while it starts.

A death from outside must be able to end in ``exit(0)`` too, and nobody can call that but the process itself. So the
worker has two handlers that do nothing else, for real-time signals that no one here uses otherwise; sent to a stopped
process they run before its next instruction, so that it is still exactly where it was.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from _apps import note, notes

from trio_pool.bridge import Bridge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Buffer = bytes | bytearray | memoryview

DEATHS: dict[str, int] = {
    "SIGKILL": signal.SIGKILL,
    "SIGSEGV": signal.SIGSEGV,
    "exit code 0": signal.SIGRTMIN,
    "exit code 3": signal.SIGRTMIN + 3,
}
"""By what the pool reports as the exit: the signal that a worker of this application dies of so."""

HANDSHAKE = "TRIO_POOL_TEST_HANDSHAKE"
"""The variable with the name of a file: a worker that starts and finds it takes it away and dies of what it says."""

bridge = Bridge()


def die(how: str) -> None:
    """End this process here."""
    if how.startswith("exit code"):
        os._exit(int(how.rpartition(" ")[2]))
    os.kill(os.getpid(), DEATHS[how])
    # A thread other than this one may have been chosen to take the signal: this one goes no further.
    time.sleep(100)


@bridge.command
def record(path: str, token: int) -> int:
    """Have an effect."""
    note(path, f"{token} {os.getpid()}")
    return token


@bridge.command
def record_and_die(path: str, token: int, how: str) -> int:
    """Have an effect; the first time, die before the command is over."""
    before = notes(Path(path))
    note(path, f"{token} {os.getpid()}")
    if not before:
        die(how)
    return token


@bridge.command
def die_in_the_reply(path: str, token: int, how: str, sent: float) -> int:
    """Have an effect; the first time, die when that share of the reply's bytes is written."""
    before = notes(Path(path))
    note(path, f"{token} {os.getpid()}")
    if not before:
        _next_write.append(lambda whole: (whole[: int(len(whole) * sent)], how))
    return token


# The bridge writes its frames with these two functions of the operating system. In between stands what a test wants to
# happen at exactly this system call; with nothing wanted they are what they were.
_next_write: list[Callable[[bytes], tuple[bytes, str]]] = []
_write = os.write
_writev = os.writev


def _at_write(fd: int, whole: bytes) -> None:
    if _next_write and stat.S_ISSOCK(os.fstat(fd).st_mode):
        part, how = _next_write.pop()(whole)
        while part:
            part = part[_write(fd, part) :]
        die(how)


def write(fd: int, data: Buffer, /) -> int:
    """Do as `os.write` does, unless this is where to die."""
    _at_write(fd, bytes(data))
    return _write(fd, data)


def writev(fd: int, pieces: Sequence[Buffer], /) -> int:
    """Do as `os.writev` does, unless this is where to die."""
    _at_write(fd, b"".join(pieces))
    return _writev(fd, pieces)


os.write = write  # type: ignore[assignment]  # of the buffers there are, those the bridge writes
os.writev = writev  # type: ignore[assignment]  # as above
signal.signal(DEATHS["exit code 0"], lambda *_: os._exit(0))
signal.signal(DEATHS["exit code 3"], lambda *_: os._exit(3))

if (plan := Path(os.environ.get(HANDSHAKE, os.devnull))).is_file():
    sentence = plan.read_text()
    plan.unlink()
    die(sentence)
