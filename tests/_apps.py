"""Applications the tests' workers run, and what is told to them through files."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from trio_pool.bridge import Bridge, Session

if TYPE_CHECKING:
    from pathlib import Path

bridge = Bridge()


@bridge.command
def remember(session: Session, key: str, value: int) -> None:
    """Keep a value in the session."""
    session.state[key] = value


@bridge.command
def recall(session: Session) -> dict[str, object]:
    """Return all the session keeps."""
    return dict(session.state)


@bridge.command
def pid() -> int:
    """Tell which process this is."""
    return os.getpid()


@bridge.command
def note_and_wait(path: str, seconds: float, token: int) -> int:
    """Record that the command was entered, then occupy the worker."""
    note(path, f"{token} {os.getpid()}")
    time.sleep(seconds)
    return token


@bridge.command
def note_and_fail(path: str, seconds: float, token: int) -> None:
    """Record that the command was entered, occupy the worker, and raise."""
    note_and_wait(path, seconds, token)
    raise LookupError(f"token {token}")


@bridge.command
def note_only(path: str, token: int) -> int:
    """Record that the command was entered."""
    note(path, f"{token} {os.getpid()}")
    return token


@bridge.command
def die(path: str, how: str) -> None:
    """Record the call, then end the process while the command runs."""
    note(path, str(os.getpid()))
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    else:
        os._exit(int(how))


@bridge.command
def fail(text: str) -> None:
    """Raise."""
    raise LookupError(text)


@bridge.command
def unserializable() -> object:
    """Return what cannot travel."""
    return {"rows": [1, object()]}


@bridge.command
def produce(size: int) -> bytes:
    """Return that many bytes."""
    return b"x" * size


@bridge.command
def chatter(lines: int) -> int:
    """Write to stdout and stderr in every way there is."""
    for number in range(lines):
        print("printed", number)  # noqa: T201  # the thing tested
        print("complained", number, file=sys.stderr)  # noqa: T201  # the thing tested
    os.write(1, b"raw write\n")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    subprocess.run(["/bin/echo", "from a child"], check=True)  # a worker is synchronous
    return lines


@bridge.command
def write_garbage(data: bytes) -> None:
    """Send bytes of one's own over the worker's socket, as a broken extension might."""
    for entry in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{entry}").startswith("socket:"):
                os.write(int(entry), data)
        except OSError:
            continue


@bridge.command
def quick(n: int) -> int:
    """Return the argument plus one."""
    return n + 1


def note(path: str, text: str) -> None:
    """Append a line to a file so that it survives this process."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, text.encode() + b"\n")
    finally:
        os.close(fd)


def notes(path: Path) -> list[str]:
    """Return the lines noted so far."""
    return path.read_text().splitlines() if path.exists() else []


def add(a: int, b: int) -> int:
    """For `run_sync`."""
    return a + b


@bridge.command
def occupy(path: str, how: str) -> None:
    """Note this process and what it starts, then be busy in the given way for longer than any test."""
    if how == "with a child":
        child = subprocess.Popen(["sleep", "100"])
        note(path, f"{how} {child.pid}")
    note(path, f"{how} {os.getpid()}")
    if how == "in a Python loop":
        end = time.monotonic() + 100
        while time.monotonic() < end:
            pass
    elif how == "in C holding the GIL":
        re.match("(a+)+$", "a" * 32 + "b")
    elif how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        time.sleep(100)


@bridge.command
def leave_a_child(path: str) -> int:
    """Start a process that leaves the group and keeps this one's output open; return this process's id."""
    child = subprocess.Popen(["sleep", "100"], start_new_session=True)
    note(path, str(child.pid))
    return os.getpid()


@bridge.command
def produce_late(size: int, seconds: float) -> bytes:
    """Occupy the worker, then return that many bytes."""
    time.sleep(seconds)
    return b"x" * size


@bridge.command
def hang_up() -> None:
    """Close the connection to the application, and live on."""
    os.closerange(3, 64)
    time.sleep(100)
