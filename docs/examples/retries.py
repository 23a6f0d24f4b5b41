"""A worker is killed in the middle of a request that may run twice: the pool runs it again, its caller never knows."""

import os
import signal
from pathlib import Path

import trio

import trio_pool


def word_count(path: str) -> int:
    """Read a file: to do it twice does no harm."""
    text = Path(path).read_text()
    mark = Path("killed-once")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does to a worker when memory runs out
    return len(text.split())


def poison(path: str) -> None:
    """Kill every worker that runs it."""
    os.kill(os.getpid(), signal.SIGKILL)


async def main(path: str) -> None:
    async with trio_pool.open_pool(size=2, retry={"max_retries": 5, "poison_after": 2}) as pool:
        print("words:", await pool.run_sync(word_count, path, idempotent=True))
        print("retries:", pool.get_pool_status().metrics.retries)
        try:
            await pool.run_sync(poison, path, idempotent=True)
        except trio_pool.PoisonRequest as error:
            print("poison:", len(error.workers), "workers,", error.outcome)


if __name__ == "__main__":
    Path("words.txt").write_text("a worker is killed and nobody notices")
    trio.run(main, "words.txt")

# Prints:
# words: 7
# retries: 1
# poison: 2 workers, maybe_executed
