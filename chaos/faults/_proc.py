"""What the kernel says of a process in ``/proc``. Whoever is gone is in state X, has no descriptors and no children."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ._room import room

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = "X"
ZOMBIE = "Z"
STOPPED = "T"

_STATE, _PARENT, _STARTED = 0, 1, 19
"""Fields of ``stat`` behind the name, which may hold anything and is skipped."""


@room()
def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def state(pid: int) -> str:
    """Return the letter of a process's state."""
    fields = _stat(pid)
    return fields[_STATE] if fields else GONE


def living(pid: int) -> bool:
    """Return whether a process runs, sleeps or is stopped; a zombie does nothing and holds nothing."""
    return state(pid) not in (GONE, ZOMBIE)


def started(pid: int) -> int | None:
    """Return when a process started, in the kernel's ticks: with its number this names it for good."""
    fields = _stat(pid)
    return int(fields[_STARTED]) if fields else None


def parent(pid: int) -> int | None:
    """Return a process's parent."""
    fields = _stat(pid)
    return int(fields[_PARENT]) if fields else None


def is_ours(pid: int) -> bool:
    """Return whether this process has started it, itself or through others that are still there."""
    at: int | None = pid
    while at is not None and at > 1:
        at = parent(at)
        if at == os.getpid():
            return True
    return False


@room()
def children(pid: int) -> list[int]:
    """Return the children of a process.

    By all processes' parents: the list that the kernel keeps by thread leaves some out while others come and go.
    """
    return [each for each in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent(each) == pid]


def descendants(pid: int) -> Iterator[int]:
    """Yield what a process has started, and what that has."""
    for child in children(pid):
        yield child
        yield from descendants(child)


@room()
def status(pid: int, field: str) -> str | None:
    """Return a line of ``status``, without its name."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return value.strip()
    return None


def catches(pid: int, number: int) -> bool:
    """Return whether a process has a handler of its own for a signal."""
    return _has_bit(status(pid, "SigCgt"), number)


def ignores(pid: int, number: int) -> bool:
    """Return whether a process ignores a signal."""
    return _has_bit(status(pid, "SigIgn"), number)


def _has_bit(mask: str | None, number: int) -> bool:
    return mask is not None and bool(int(mask, 16) >> (number - 1) & 1)


def memory(pid: int, field: str = "VmRSS") -> int:
    """Return a size in ``status`` in bytes: ``VmRSS`` is what is resident, ``VmSize`` all, ``VmData`` without files."""
    value = status(pid, field)
    return 0 if value is None else int(value.split()[0]) * 1024


@room()
def descriptors(pid: int) -> list[int]:
    """Return the numbers of its open descriptors, in order."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return sorted(map(int, os.listdir(f"/proc/{pid}/fd")))
    return []


@room()
def tasks(pid: int) -> list[int]:
    """Return its threads."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    return []


@room()
def command(pid: int) -> list[str]:
    """Return the words it was started with; none of a zombie, and none while it is only just being started."""
    with suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        return text.removesuffix("\0").split("\0") if text else []
    return []
