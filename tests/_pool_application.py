"""An application whose pool's workers are busy in every way there is; it tells their pids and waits to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

import _apps
import trio

import trio_pool

WAYS = ("sleeping", "in a Python loop", "in C holding the GIL", "stopped", "with a child")


async def main(path: str) -> None:
    """Keep all but one worker busy, and say so."""
    async with trio_pool.open_pool("_apps:bridge", size=len(WAYS) + 1) as pool, trio.open_nursery() as nursery:
        for how in WAYS:
            nursery.start_soon(pool.execute_anonymous, "occupy", {"path": path, "how": how})
        while len(_apps.notes(Path(path))) < len(WAYS) + 1:  # noqa: ASYNC110  # nobody tells of a file's growth
            await trio.sleep(0.01)
        idle = [info.pid for info in pool.get_pool_status().workers if info.status == "ready"]
        assert len(idle) == 1
        _apps.note(path, f"idle {idle[0]}")
        print("ready", flush=True)  # noqa: T201  # it speaks to the test
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
