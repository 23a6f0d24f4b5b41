"""An application that is hit by a fault of its own process, as a program: says what it sees, line by line.

Its arguments are the fault's kind, how long it is to last, and a folder.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import attrs
import trio
from _arenas import AT_ONCE, STRIKE, stage

from chaos.faults._application import INJECTORS
from chaos.faults._watcher import WATCHER, WatcherLine
from chaos.scenario._application_faults import AppKill, AppStop
from trio_pool import WorkerExited


def say(*words: object) -> None:
    """Print a line, at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(kind: str, hold: float, folder: Path) -> None:
    """Open a pool, be hit, and tell how it was."""
    spec = AppKill(name="fault", at=AT_ONCE) if kind == "app-kill" else AppStop(name="fault", at=AT_ONCE, hold=hold)
    async with stage(folder, health={"interval": 0.1, "timeout": 0.1, "misses": 1}) as there:
        pids = [worker.pid for worker in there.pool.get_pool_status().workers]
        say("workers", *pids)
        number = os.environ.get(WATCHER)
        line = None if number is None else WatcherLine(socket.socket(fileno=int(number)))
        arena = attrs.evolve(there.arena, watcher=line)
        before = trio.current_time()
        async with trio.open_nursery() as nursery:
            # Something that is under way meanwhile, and has its answer long before this process goes on.
            nursery.start_soon(there.work, 1)
            async with INJECTORS[kind](spec, STRIKE, [], arena) as injected:
                say("struck")
                await trio.sleep(hold)
        say("stood", trio.current_time() - before, injected.healed())
        await there.work(2)
        health = await there.pool.health_check()
        say("exits", len(there.seen(WorkerExited)), health.status)
        if line is not None:
            line.close()


if __name__ == "__main__":
    trio.run(main, sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
