"""An application to be killed: starts workers with the local launcher, tells their process ids, and waits for its end.

Run as a script with a JSON object: ``{"workers": [argv …], "silent": bool, "fork": descriptor or null}``. Each worker
prints one line, the process ids of its children, unless they are all ``silent``. With ``fork``, the application forks a
child without exec after the workers have started, which lives until that descriptor reads as ended. Then it prints
``{"workers": [pid …], "forked": pid}``, the workers' children included. Told ``close``, it closes the workers'
transports and prints how each worker ended.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import trio

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _workers import read_line, spec

from trio_pool._process._local import LocalLauncher


async def main(workers: list[list[str]], silent: bool, fork: int | None) -> None:
    """Start the workers, print all process ids, and wait for the end, or first for the word to close."""
    async with trio.open_nursery() as nursery:
        handles = [await LocalLauncher().open(spec(*argv), nursery) for argv in workers]
        pids = [handle.ident.pid for handle in handles]
        for handle in [] if silent else handles:
            pids += map(int, (await read_line(handle)).split())
        forked = None
        if fork is not None:
            told, tell_parent = os.pipe()
            forked = os.fork()
            if forked == 0:
                os.write(tell_parent, b"x")
                os.read(fork, 1)
                os._exit(0)
            os.read(told, 1)
        tell({"workers": pids, "forked": forked})
        if await trio.to_thread.run_sync(sys.stdin.readline) == "close\n":
            for handle in handles:
                handle.transport.close()
            tell([str(await handle.wait()) for handle in handles])
        await trio.sleep_forever()


def tell(what: object) -> None:
    """Print it for the test to read."""
    print(json.dumps(what), flush=True)  # noqa: T201  # the one way out


if __name__ == "__main__":
    trio.run(lambda: main(**json.loads(sys.argv[1])))
