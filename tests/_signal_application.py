"""An application on a terminal: a pool whose workers would note a SIGINT, and a handler of its own that notes one.

It says ``ready`` when all workers run a command and are free to be interrupted. After the first SIGINT it has them
finish, asks each once more, and says what came of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

from _apps import note, notes

from trio_pool.bridge import Bridge

bridge = Bridge()
SIZE = 2


@bridge.command
def wait_to_be_interrupted(path: str) -> list[str]:
    """Note every SIGINT from now on, wait until the application has had its own, and return what was noted here."""
    heard: list[str] = []
    # In the worker's place a program would be here that knows nothing of us and treats SIGINT in a way of its own.
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("SIGINT"))
    note(path, f"waiting {os.getpid()}")
    while "interrupted" not in notes(Path(path)):
        time.sleep(0.002)
    signal.signal(signal.SIGINT, before)
    return heard


async def main(path: str) -> None:
    """Run the pool."""
    import trio

    import trio_pool

    answers: list[list[str]] = []
    events: list[trio_pool.PoolEvent] = []

    async def ask(pool: trio_pool.SessionPool) -> None:
        answers.append(await pool.execute_anonymous("wait_to_be_interrupted", {"path": path}))

    async with trio_pool.open_pool("_signal_application:bridge", size=SIZE, on_event=events.append) as pool:
        before = [info.pid for info in pool.get_pool_status().workers]
        async with trio.open_nursery() as nursery:
            for _ in range(SIZE):
                nursery.start_soon(ask, pool)
            while len(notes(Path(path))) < SIZE:  # noqa: ASYNC110  # nobody tells of a file's growth
                await trio.sleep(0.002)
            print("ready", flush=True)  # noqa: T201  # it speaks to the test
        after = [info.pid for info in pool.get_pool_status().workers]
        exits = sum(isinstance(event, trio_pool.WorkerExited) for event in events)
    print(json.dumps({"heard": answers, "same": before == after, "exits": exits}), flush=True)  # noqa: T201  # as above


def interrupted(path: str, _number: int, _frame: FrameType | None) -> None:
    """Note the SIGINT of the application."""
    note(path, "interrupted")


if __name__ == "__main__":
    import trio

    signal.signal(signal.SIGINT, partial(interrupted, sys.argv[1]))
    trio.run(main, sys.argv[1])
