"""A pool in an application of several tasks: opened outside the nursery whose tasks use it, watched by one of them."""

import os
import signal

import trio

import trio_pool


async def watch(pool: trio_pool.SessionPool, *, task_status: trio.TaskStatus[None]) -> None:
    with pool.events() as events:
        task_status.started()  # from here on no event is missed
        async for event in events:
            if isinstance(event, trio_pool.WorkerExited):
                print(f"{event.worker_id} ended with {event.exit}, planned: {event.planned}")
            elif isinstance(event, trio_pool.WorkerReady):
                print(f"{event.worker_id} is ready again")
                return


async def serve(pool: trio_pool.SessionPool) -> None:
    ping = await pool.execute_anonymous("ping")
    os.kill(ping["pid"], signal.SIGKILL)


async def main() -> None:
    # Left from the inside out: first the tasks end, then the pool closes.
    async with trio_pool.open_pool(size=1) as pool, trio.open_nursery() as nursery:
        await nursery.start(watch, pool)
        nursery.start_soon(serve, pool)


if __name__ == "__main__":
    trio.run(main)

# Prints:
# pool-0 ended with SIGKILL, planned: False
# pool-0 is ready again
