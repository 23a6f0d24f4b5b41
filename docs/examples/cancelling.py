"""Commands that nobody waits for any more: async ones, one that asks, one that is interrupted."""

import time

import trio

import trio_pool
from trio_pool.bridge import Bridge, Session

bridge = Bridge()


@bridge.command
async def watch(name: str) -> None:
    try:
        await trio.sleep_forever()
    finally:
        print(f"{name} is not watched any more", flush=True)  # a log record of the application


@bridge.command
def add_up(session: Session, numbers: int) -> int:
    total = 0
    for number in range(numbers):
        if number % 1000 == 0:
            session.check()
        total += number
    return total


@bridge.command(interruptible=True)
def brood() -> None:
    try:
        time.sleep(3600)
    finally:
        print("what was begun is put in order", flush=True)


async def main() -> None:
    async with trio_pool.open_pool("__main__:bridge", size=1, concurrency=2) as pool:
        first = (await pool.execute_anonymous("ping"))["pid"]

        with trio.move_on_after(0.2):
            await pool.execute_anonymous("watch", {"name": "the door"})
        with trio.move_on_after(0.2):
            await pool.execute_in_session("ada", "add_up", {"numbers": 10**12})
        print("the same worker:", (await pool.execute_anonymous("ping"))["pid"] == first)

        try:
            await pool.execute_anonymous("brood", timeout=0.2)
        except trio_pool.CommandTimeout as error:
            print(error.outcome)
        print("the same worker:", (await pool.execute_anonymous("ping"))["pid"] == first)


if __name__ == "__main__":
    trio.run(main)

# Prints:
# the same worker: True
# maybe_executed
# the same worker: False
