"""On SIGTERM the application takes no more work, lets what runs end, and leaves; the pool closes behind it."""

import os
import signal

import trio

import trio_pool


async def stop_on_sigterm(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            print("told to stop")
            scope.cancel()
            return


async def job(pool: trio_pool.SessionPool, *, task_status: trio.TaskStatus[None]) -> None:
    print("the job begins")
    task_status.started()
    reply = await pool.execute_anonymous("slow_op", {"duration": 0.5})
    print("the job ends:", reply["status"])


async def main() -> None:
    async with trio_pool.open_pool(size=1, shutdown_grace=5.0) as pool, trio.open_nursery() as nursery:
        accepting = trio.CancelScope()
        await nursery.start(stop_on_sigterm, accepting)
        with accepting:  # where the application would take requests from outside
            await nursery.start(job, pool)
            os.kill(os.getpid(), signal.SIGTERM)  # as `systemctl stop` or `docker stop` do
            await trio.sleep_forever()
    print("no worker is left")


if __name__ == "__main__":
    trio.run(main)

# Prints:
# the job begins
# told to stop
# the job ends: ok
# no worker is left
