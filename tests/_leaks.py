"""What a test must not leave behind: child processes, threads, file descriptors, temporary files.

A snapshot before the test is compared with the state after it. The usual comparison costs some fifty microseconds and
finds nothing. Only when something is left does it look again for a while: a thread that is just returning, or a
descriptor that such a thread is about to close, is not a leak.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 2.0
"""Seconds for leftovers to vanish by themselves: twice the second in which all of a dead application must be gone."""

PAUSE = 0.005
"""Seconds between two looks: short beside the patience, long beside the cost of a look."""

THREAD_CACHE = "trio._core._thread_cache"
"""The module in which Trio's idle threads wait for work."""

CACHED_DESCRIPTORS = frozenset(
    (
        "/dev/urandom",  # where the kernel offers no getrandom(), the interpreter opens it once and keeps it for good
    )
)
"""Targets of descriptors that a test may be the first to cause and that stay for good; none is ever the library's.

What pytest itself holds (its capture files, the log of `faulthandler`) is open before the first test, so every snapshot
has it.
"""


class Snapshot(NamedTuple):
    """What exists at one moment, each thing with the words that tell it apart."""

    children: dict[int, str]
    threads: dict[int, str]
    descriptors: dict[int, str]
    files: frozenset[str]

    @classmethod
    def take(cls) -> Snapshot:
        """Look at this process."""
        return cls(children(), threads(), descriptors(), files())

    def since(self, before: Snapshot) -> list[str]:
        """Name everything that is here and was not there, one line each."""
        return [
            *(f"child process {pid}: {what}" for pid, what in self.children.items() if pid not in before.children),
            *(f"thread {name}" for ident, name in self.threads.items() if ident not in before.threads),
            *(
                f"file descriptor {number}: {target}"
                for number, target in sorted(self.descriptors.items())
                if before.descriptors.get(number) != target
            ),
            *(f"temporary file {name}" for name in sorted(self.files - before.files)),
        ]


def children() -> dict[int, str]:
    """Return this process's children, zombies included, by pid with their state and command."""
    try:
        # Answers in a microsecond whether there is any child at all, whichever thread started it, and reaps none.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return {}
    return {pid: describe_process(pid) for pid in child_pids()}


def child_pids() -> Iterator[int]:
    """Yield the pid of each child: the kernel lists them by the thread that started them."""
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread ended since
            yield from map(int, (thread / "children").read_text().split())


def describe_process(pid: int) -> str:
    """Return a process's state and command line; a zombie has no command line left, only its name."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return f"state {rest.split()[0]}, {command or name}"


def threads() -> dict[int, str]:
    """Return the running threads by ident with their names, without those that idle in Trio's cache.

    Trio keeps a thread for ten seconds after its work is done. Its name alone would not do, since work started without
    a name of its own runs under the same one; so a thread counts as idle only while its innermost frame is the cache's.
    """
    stacks = None
    found = {}
    for thread in threading.enumerate():
        ident = thread.ident or 0
        if thread.name.startswith("Trio thread "):
            stacks = stacks or sys._current_frames()
            frame = stacks.get(ident)
            if frame is not None and frame.f_globals.get("__name__") == THREAD_CACHE:
                continue
        found[ident] = thread.name
    return found


def descriptors() -> dict[int, str]:
    """Return the open file descriptors and their targets; sockets and pipes carry an inode, so none is mistaken."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor of this very listing
            target = os.readlink(f"/proc/self/fd/{entry}")
            if target not in CACHED_DESCRIPTORS:
                found[int(entry)] = target
    return found


def files() -> frozenset[str]:
    """Return the names in the temporary folder, which is the test run's own (see conftest.py)."""
    return frozenset(os.listdir(tempfile.gettempdir()))


def leaks(before: Snapshot, patience: float = PATIENCE) -> list[str]:
    """Return what the test left behind, one line each, once whatever was only late has had ``patience`` seconds."""
    left = Snapshot.take().since(before)
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline:
        time.sleep(PAUSE)
        left = Snapshot.take().since(before)
    return left


def kill_children(before: Snapshot) -> None:
    """Kill and reap the children that were not there before, so that one test's leak is not the next one's trouble."""
    for pid in children():
        if pid not in before.children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def processes_marked(name: str, value: str) -> dict[int, str]:
    """Return all living processes but this one that were started with this environment variable, whoever's they are.

    A child's child that outlives its parent belongs to init; its environment still tells where it came from. This reads
    every process's environment, so it is for the end of a run, not for each test.
    """
    found = {}
    needle = f"{name}={value}".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):  # it ended since, or is another user's
                if needle in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found[int(entry)] = describe_process(int(entry))
    return {pid: what for pid, what in found.items() if not what.startswith(("state Z", "gone"))}
