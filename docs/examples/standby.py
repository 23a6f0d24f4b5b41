"""A worker is killed; the standby serves at once, and the replacement becomes the next standby."""

import os
import signal

import trio

import trio_pool


async def main() -> None:
    async with trio_pool.open_pool(size=1, standby=1) as pool:
        with pool.events() as events:
            workers = pool.get_pool_status().workers
            (serving,) = [info for info in workers if info.role == "serving"]
            assert serving.pid is not None  # it runs on this machine
            os.kill(serving.pid, signal.SIGKILL)
            reply = await pool.execute_anonymous("ping")
            print("answered by the standby:", reply["pid"] != serving.pid)
            async for event in events:
                if isinstance(event, trio_pool.WorkerReady):
                    print("next standby:", event.worker_id == serving.worker_id)
                    break


if __name__ == "__main__":
    trio.run(main)

# Prints:
# answered by the standby: True
# next standby: True
