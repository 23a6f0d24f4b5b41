"""The application of the workers that `component/test_bridge_wire.py` starts."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

from trio_pool.bridge import Bridge, Session

print("a banner at import")  # noqa: T201  # what many libraries do
os.write(1, b"and one that passes by sys.stdout\n")

bridge = Bridge()


@bridge.command
def meet(path: str) -> str:
    """Say through a named pipe that the function runs, and wait there for a word from the test."""
    with open(path, "w", encoding="utf-8") as pipe:
        pipe.write("here")
    with open(path, encoding="utf-8") as pipe:
        return pipe.read()


@bridge.command
def flood(size: int) -> int:
    """Print much, in all the ways there are."""
    for stream in (sys.stdout, sys.stderr):
        stream.write("x" * size + "\n")
    os.write(1, b"y" * size)
    os.write(2, b"\x00\x00\x00\x01z" * size)
    return size


@bridge.command
def say(text: str) -> None:
    """Print one line."""
    print(text)  # noqa: T201  # that is the test


@bridge.command
def bad_result() -> object:
    """Return what does not travel."""
    return object()


@bridge.command
def large(size: int) -> bytes:
    """Return so many bytes."""
    return bytes(size)


@bridge.command
def many(count: int, size: int) -> list[bytes]:
    """Return so many buffers."""
    return [bytes([index % 256]) * size for index in range(count)]


@bridge.command
def leave(code: int) -> None:
    """End the worker."""
    sys.exit(code)


@bridge.command
def abort() -> None:
    """Die of a fatal signal."""
    os.abort()


@bridge.command
def twice(how: str) -> int:
    """Fork and come back in both processes; return how the child ended."""
    # The C library's own fork runs none of the interpreter's hooks.
    child: int = ctypes.CDLL(None).fork() if how == "in C" else os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if how == "raising":
        raise LookupError("in the child")
    if how == "exiting":
        sys.exit(7)
    return 0


@bridge.command
def fork_on_signal() -> None:
    """Have SIGUSR1 fork a child that comes back from its handler."""
    signal.signal(signal.SIGUSR1, lambda *_: os.fork() and os.wait())


@bridge.command
def leave_child() -> int:
    """Fork a child that lives on, and come back."""
    child = os.fork()
    if child:
        return child
    signal.pause()
    os._exit(0)


@bridge.command
def spawned() -> list[str]:
    """Return what a program started from here inherits, though nothing is closed for it: C code starts them so."""
    code = "import os; print(*(k for k in os.environ if k.endswith('_FD')), *sorted(os.listdir('/proc/self/fd')))"
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, close_fds=False).stdout.split()


@bridge.command
def own_signals() -> list[object]:
    """Return how this process treats SIGINT, and how willing it is to be the kernel's victim."""
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return [signal.getsignal(signal.SIGINT) == signal.SIG_IGN, int(file.read())]


@bridge.command
def ask(session: Session, path: str) -> None:
    """Wait for a file, ask whether anybody waits for this, and leave in another file what came of it."""
    outcome = "went on"
    try:
        open(f"{path}-begun", "x", encoding="ascii").close()
        while not os.path.exists(path):
            time.sleep(0.002)
        for _ in range(3):
            session.check()
    except BaseException as exc:
        outcome = type(exc).__name__
        raise
    finally:
        with open(f"{path}-part", "x", encoding="ascii") as file:
            file.write(outcome)
        os.rename(f"{path}-part", f"{path}-outcome")


@bridge.command
def remember(session: Session, value: object) -> object:
    """Return what was said before."""
    before = session.state.get("value")
    session.state["value"] = value
    return before
