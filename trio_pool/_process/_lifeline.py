"""The lifeline: what makes a worker, and all it started, die with the application, however that dies.

A lifeline is a pipe. The application alone holds the write end; nobody ever writes. The worker holds the read end,
which is armed: when the last write end closes, which the kernel does for a process killed with SIGKILL too, the pipe
becomes readable and the kernel sends the armed signal, SIGKILL, to the armed owner, the worker's process group.

Why this and nothing else:

- ``PR_SET_PDEATHSIG`` watches the *thread* that forked. Trio forks in a cached thread which ends after ten idle
  seconds, and healthy workers end with it.
- A thread in the worker that reads the pipe needs the GIL, and C code may hold that for ever; a stopped worker runs
  nothing at all.
- Owner and signal belong to the open file description, not to a process. So the application can arm the read end after
  the spawn, on its own copy, and any executable is covered; and a forked grandchild that kept the description keeps the
  lifeline alive even when the worker is gone. The kernel holds a reference to the group itself, so a recycled number
  is never hit.

What remains: between the fork and the arming (a thread hop, well under a millisecond) a foreign executable is not
covered; our own workers arm once more in their first lines and then look whether the pipe is closed already. A process
that left the group is out of reach, and so is what a worker exec'd if worker and application die in the same instant.
"""

from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from typing import Final

_STDERR: Final = 2


class Closable(Protocol):
    """A socket or raw file: once closed it forgets its descriptor, so no finaliser can close somebody else's later."""

    def close(self) -> None:
        """Close the descriptor."""
        ...


def arm(read_end: int, pgid: int) -> None:
    """Have the kernel kill the process group ``pgid`` once the last write end of the pipe is closed.

    Args:
        read_end: A descriptor of the pipe's read end; others made from it by fork or exec are armed with it.
        pgid: The group, which must exist: its leader must not have been reaped yet.
    """
    fcntl.fcntl(read_end, fcntl.F_SETOWN, -pgid)
    fcntl.fcntl(read_end, fcntl.F_SETSIG, signal.SIGKILL)
    # Last: from here on the signal above is what is sent, never the default SIGIO.
    fcntl.fcntl(read_end, fcntl.F_SETFL, fcntl.fcntl(read_end, fcntl.F_GETFL) | os.O_ASYNC)


def above_stdio(fd: int) -> int:
    """Return ``fd``, moved if it is one of the first three numbers.

    An application whose standard streams are closed gets these numbers for its next descriptors. What it prints then
    would go into the lifeline, which is deadly, or the protocol; and a worker's standard streams would replace them.
    """
    if fd > _STDERR:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _STDERR + 1)
    finally:
        os.close(fd)


# A forked child of the application (multiprocessing with "fork") inherits every descriptor, close-on-exec or not. With
# a write end in its hands the workers would outlive the application for as long as the child does; with a socket end,
# no worker would see the end of the stream. This set and the one hook below are the only global state of the library:
# os.register_at_fork cannot be undone, so it is done once, and the set keeps nothing alive.
#
# A fork by C code runs no hooks and is not covered, nor is one in another thread in the few microseconds between a
# descriptor's creation and its entry here.
_ENDS: Final[WeakSet[Closable]] = WeakSet()


def close_in_forked_children(end: Closable) -> None:
    """Have ``end`` closed in every child this process forks from now on without exec."""
    _ENDS.add(end)


def _close_ends() -> None:
    # Plain close(), without telling Trio: the child shares the parent's epoll instance, and telling Trio would remove
    # the descriptor from the parent's interest list.
    for end in list(_ENDS):
        with suppress(OSError):
            end.close()


os.register_at_fork(after_in_child=_close_ends)
