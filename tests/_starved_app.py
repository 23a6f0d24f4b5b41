"""An application with async commands whose start leaves no descriptor for the epoll that Trio needs."""

from __future__ import annotations

import os
import resource

import trio

from trio_pool.bridge import Bridge, _serve_async

IMPORTED = _serve_async  # what is needed later: to import takes descriptors

bridge = Bridge()


@bridge.on_start
def starve() -> None:
    """Leave two descriptors: the side thread's pipe takes both."""
    free = [os.dup(2) for _ in range(3)]
    for fd in free:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[2], free[2]))


@bridge.command
async def nothing() -> None:
    """Make this an application that needs Trio."""
    await trio.lowlevel.checkpoint()
