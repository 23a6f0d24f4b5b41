"""What the tests of pools share: waiting for a state, signalling its workers, and workers that speak for themselves."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import _apps
import trio
import trio.testing
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from trio_pool import SessionPool, WorkerInfo

APP = "_apps:bridge"


def obeys_the_law(pool: SessionPool) -> bool:
    """submitted = queued + running + ok + failed + timed_out + cancelled + rejected."""
    m = pool.get_pool_status().metrics
    return m.submitted == m.queued + m.running + m.ok + m.failed + m.timed_out + m.cancelled + m.rejected


async def settled(pool: SessionPool) -> None:
    """Wait until every slot has an idle worker and nothing is queued or running."""
    with trio.fail_after(PATIENCE), pool.events() as events:
        while True:
            status = pool.get_pool_status()
            if status.busy == status.queued == 0 and status.ready == status.size:
                return
            # A worker that falls idle without finishing a request has no event of its own.
            with trio.move_on_after(0.2):
                await events.receive()


async def noted(path: Path, count: int) -> list[str]:
    """Wait until commands have noted that many lines."""
    with trio.fail_after(PATIENCE):
        while len(_apps.notes(path)) < count:  # noqa: ASYNC110  # as below
            await trio.sleep(0.005)  # another process writes the file; nobody tells of it
    return _apps.notes(path)


async def repeat(call: Callable[..., Awaitable[object]], *args: object) -> None:
    """Call again and again, until it raises."""
    while True:
        await call(*args)


def kill(info: WorkerInfo, sig: signal.Signals = signal.SIGKILL) -> None:
    """Signal a worker of ours."""
    assert info.pid is not None
    os.kill(info.pid, sig)


async def exited(pool: SessionPool, slot: int, sig: signal.Signals = signal.SIGKILL) -> None:
    """Kill a worker and wait until it is gone."""
    with trio.fail_after(PATIENCE), pool.events() as events:
        kill(pool.get_pool_status().workers[slot], sig)
        async for event in events:
            if isinstance(event, trio_pool.WorkerExited) and event.slot == slot:
                return


def pid_of(pool: SessionPool, index: int = 0) -> int:
    """Return the process id of a worker."""
    pid = pool.get_pool_status().workers[index].pid
    assert pid is not None
    return pid


async def released(pool: SessionPool) -> None:
    """Wait until no worker is busy."""
    with trio.fail_after(PATIENCE):
        while pool.get_pool_status().busy:  # noqa: ASYNC110  # a worker that falls idle has no event of its own
            await trio.sleep(0.005)


FOREIGN = """
import json, os, time
fd = int(os.environ["TRIO_POOL_FD"])
def read():
    size = int.from_bytes(os.read(fd, 4), "big")
    while size:
        size -= len(os.read(fd, size))
def say(data):
    while data:
        data = data[os.write(fd, data):]
read()
ready = json.dumps({"type": "ready", "protocol": 1, "codec": "msgpack", "begun": None, "commands": []}).encode()
say(len(ready).to_bytes(4, "big") + ready)
"""


def foreign(code: str) -> list[str]:
    """Return the argv of a worker that gets ready and then runs ``code``, which may use ``read`` and ``say``."""
    return [sys.executable, "-c", FOREIGN + code]


def frame(body: bytes) -> bytes:
    """Return a frame."""
    return len(body).to_bytes(4, "big") + body


# A well-formed message that is neither a reply nor anything else, nested more deeply than repr() can follow.
DEEP = frame(b"\x81\xa1x" + b"\x91" * 1015 + b"\xc0")
