"""The application of the workers that `component/test_bridge_side_thread.py` starts: async commands that misbehave."""

from __future__ import annotations

import ctypes
import os
import threading
import time

import attrs
import trio
from _contract_cancel_app import together, write

from trio_pool.bridge import Bridge, Session

bridge = Bridge()
bridge.include(together)


@attrs.frozen
class Gated:
    """An argument whose checking takes until there is a file."""

    path: str

    def __attrs_post_init__(self) -> None:
        write(f"{self.path}-begun")
        while not os.path.exists(self.path):
            time.sleep(0.002)


@bridge.command
async def pass_gate(gated: Gated) -> str:
    """Return what the argument was."""
    await trio.lowlevel.checkpoint()
    return gated.path


@bridge.command
def ask_once(session: Session, path: str) -> str:
    """Wait for a file, look for a cancel, leave a trace, and wait for another file."""
    write(f"{path}-begun")
    while not os.path.exists(path):
        time.sleep(0.002)
    session.check()
    write(f"{path}-asked")
    while not os.path.exists(f"{path}-end"):
        time.sleep(0.002)
    return "not cancelled"


@bridge.command
def ask_often(session: Session, times: int) -> int:
    """Ask so many times whether anybody waits; return how often the other thread was woken meanwhile."""
    [other] = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    before = waits(other.native_id)
    for _ in range(times):
        session.check()
    return waits(other.native_id) - before


def waits(thread: int | None) -> int:
    """Return how often a thread has gone to sleep to wait for something."""
    with open(f"/proc/self/task/{thread}/status", encoding="ascii") as file:
        [line] = [line for line in file if line.startswith("voluntary_ctxt_switches")]
    return int(line.split()[1])


@bridge.command
async def fork_in_c() -> int:  # noqa: ASYNC124  # it is to come back without a checkpoint
    """Fork as the C library does, without the interpreter's hooks, and come back in both processes."""
    child = ctypes.CDLL(None).fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # noqa: ASYNC200, ASYNC222  # that is the test
    return 0


@bridge.command
async def undermine() -> None:
    """Have Trio itself fail, as a system task of the application's own that raises does."""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("in a system task")

    trio.lowlevel.spawn_system_task(fail)
    await trio.sleep_forever()


@bridge.command
async def gather(path: str) -> None:
    """Wait in two tasks of its own, and have more than their cancellation to tell."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(complain)
        write(f"{path}-begun")


async def complain() -> None:
    """Wait, and answer cancellation with an error."""
    try:
        await trio.sleep_forever()
    finally:
        raise LookupError("cancelled in the middle")
