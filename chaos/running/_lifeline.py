"""The lifeline between the processes of a run: the application ends when the process that watches over it does.

The write end of a pipe is held by the watcher alone. When it closes, however its holder ended, the kernel sends SIGKILL
to whoever asked for it on the read end. A stopped process dies of it too. (`PR_SET_PDEATHSIG` would not do: it goes
by the thread that spawned, and Trio's threads come and go.)
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import sys

LIFELINE = "TRIO_POOL_CHAOS_LIFELINE"
"""The variable with the number of the read end."""

_F_SETSIG = 10  # from <fcntl.h>; Python's fcntl has no name for it before 3.13
_PR_SET_CHILD_SUBREAPER = 36


def hold_on(descriptor: int) -> None:
    """Have this process killed when the other end of the pipe closes; at once if that has happened.

    Args:
        descriptor: The read end.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)
    os.set_inheritable(descriptor, False)
    # What closed before the signal was asked for sends none.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if any(events & select.POLLHUP for _fd, events in poll.poll(0)):
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none can hide behind process 1."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def children() -> list[int]:
    """Return the process ids of this process's children, dead ones that were not waited for included."""
    own = os.getpid()
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # After the name in parentheses, which may hold anything, come the state and the parent.
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue  # it ended while we looked
            if parent == own:
                found.append(int(name))
    return found


def command_of(pid: int) -> str:
    """Return the command line of a process, or nothing if it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(sys.getfilesystemencoding(), "replace").strip()
    except OSError:
        return ""


def state_of(pid: int) -> str | None:
    """Return the state of a process as /proc has it (``R``, ``S``, ``T``, ``Z``), None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return None
