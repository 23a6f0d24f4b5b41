"""Memory pressure: a child process that holds memory until it is told to let go, and how much it may take.

Never the application's own memory, nor a worker's: what fills up must be something that can be thrown away, whatever
goes wrong. The child, `chaos._ballast`, dies with this process, cannot grow beyond its size, and is the first the
kernel kills should memory run out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import trio

from ._fault import FaultUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

USUAL_BUDGET = 256 * 2**20
"""Bytes of the budget where none is given, at the most: enough to be seen, far from hurting a machine of today."""

SHARE = 4
"""The usual budget is at most this part of what is available: three quarters stay free for the pool and all else."""

FILL_LIMIT = 30.0
"""Seconds the child has to fill its memory: a gigabyte takes half of one, unless the machine swaps."""

_END_LIMIT = 2.0
"""Seconds the child has to be gone after SIGKILL: giving back a gigabyte takes a tenth of one."""

_SAYING = 4096  # bytes of the child's words that are kept: a line, or the traceback of what went wrong


class Ballast:
    """Memory held by a child process. Got from `hold`, given back with `release`.

    Attributes:
        pid: The child.
        size: How many bytes it holds.
    """

    def __init__(self, process: trio.Process, size: int) -> None:
        self._process = process
        self.pid = process.pid
        self.size = size

    async def release(self) -> None:
        """End the child, which gives the memory back, and return when it is gone; once more does nothing.

        If this is cancelled, call it again.
        """
        await _end(self._process)


# Protected: a KeyboardInterrupt between the spawn and the `try` would leave a process nobody knows of.
@trio.lowlevel.enable_ki_protection
async def hold(size: int) -> Ballast:
    """Have a child process take so many bytes, and return when they are resident.

    Cancelled, it leaves no process behind.

    Raises:
        FaultUnavailable: There is not so much memory to be had, or the child failed to take it.
    """
    room = available_memory()
    if size > room:
        raise FaultUnavailable(f"{size} bytes are to be consumed and only {room} are available")
    script = Path(__file__).with_name("_ballast.py")
    try:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-S", str(script), str(size), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own: Ctrl-C at a terminal is this process's to handle, and ends the child through the pipe.
            start_new_session=True,
        )
    except OSError as exc:
        raise FaultUnavailable(f"the process that was to consume memory could not be started: {exc}") from exc
    # No checkpoint between the line above and this `try`: a process may be returned into a cancelled scope.
    try:
        said = await _first_words(process)
        word, _, number = said.partition(" ")
        if word != "holds":
            last = said.strip().splitlines()[-1:] or ["it said nothing"]
            raise FaultUnavailable(f"the process that was to hold {size} bytes failed: {last[0]}")
        if int(number) < size:
            raise FaultUnavailable(f"of {size} bytes that were filled only {number.strip()} stayed resident")
        return Ballast(process, size)
    except BaseException:
        # Cancelled or failed: the child must not outlive this call. Shielded for the one, bounded for both.
        with trio.move_on_after(_END_LIMIT, shield=True):
            await _end(process)
        raise


async def _first_words(process: trio.Process) -> str:
    """Return the child's first line, or all it said if it ended before one with a number."""
    assert process.stdout is not None  # noqa: S101  # narrows the type: it was opened with a pipe
    said = b""
    with trio.move_on_after(FILL_LIMIT) as limit:
        while True:
            piece = await process.stdout.receive_some()
            said = (said + piece)[-_SAYING:]
            if not piece or (said.startswith(b"holds ") and said.endswith(b"\n")):
                break
    await trio.lowlevel.checkpoint()
    return f"not done within {FILL_LIMIT:g} s" if limit.cancelled_caught else said.decode(errors="replace")


async def _end(process: trio.Process) -> None:
    process.kill()
    await process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            await trio.aclose_forcefully(stream)


def usual_budget() -> int:
    """Return how much memory may be consumed where nobody says: 256 MiB, or less on a machine that has little."""
    return min(USUAL_BUDGET, available_memory() // SHARE)


def available_memory(root: Path = Path("/")) -> int:
    """Return how many bytes this process could still use before anything is swapped out or killed.

    That is what the kernel calls available, or what is left to one of the control groups this process is in.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    found = [*_group_room(root)]
    for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            found.append(int(rest.split()[0]) * 1024)
    return max(0, min(found))


def _group_room(root: Path) -> Iterator[int]:
    """Yield what is left in this process's control group for memory and in each above it, in either version."""
    names = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
    for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if controller not in names:
                continue
            limit, usage = names[controller]
            group = PurePosixPath(path)
            # In a container the path may be the host's, of which only the container's own part is there: the top.
            for each in (group, *group.parents):
                folder = root / "sys/fs/cgroup" / controller / str(each).lstrip("/")
                # ValueError: the limit is "max", which is none.
                with suppress(OSError, ValueError):
                    yield int((folder / limit).read_text()) - int((folder / usage).read_text())
