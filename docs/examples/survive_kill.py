"""A worker is killed with SIGKILL in the middle of its work; the pool reports that one call and serves on."""

import os
import signal

import trio

import trio_pool


def square(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does to a worker when memory runs out
    return n * n


async def main() -> None:
    async with trio_pool.open_pool(size=2) as pool:
        for n in range(6):
            try:
                print(n, "->", await pool.run_sync(square, n))
            except trio_pool.WorkerCrashed as error:
                print(n, "->", error.exit, error.outcome)


if __name__ == "__main__":
    trio.run(main)

# Prints:
# 0 -> 0
# 1 -> 1
# 2 -> 4
# 3 -> SIGKILL maybe_executed
# 4 -> 16
# 5 -> 25
