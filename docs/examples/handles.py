"""A session for the length of a block, and a worker to oneself."""

import trio

import trio_pool
from trio_pool.bridge import Bridge, Session

bridge = Bridge()


@bridge.command
def add(session: Session, item: str) -> list[str]:
    basket: list[str] = session.state.setdefault("basket", [])
    basket.append(item)
    return basket


async def main() -> None:
    async with trio_pool.open_pool("__main__:bridge", size=2, sessions={"ttl": 600.0, "max_sessions": 500}) as pool:
        async with pool.session("ada") as session:  # without an id: one that is not in use
            await session.execute("add", {"item": "pears"})
            print(await session.execute("add", {"item": "plums"}))

            # The worker in which ada's session lives; without an id: any that is free.
            async with pool.checkout("ada") as worker:
                reply = await worker.send_command("add", {"item": "figs"})
                print(reply.success, reply.result)
                print(worker.session_id, worker.status)

            info = pool.get_sessions()["ada"]
            print(info.status, info.operations)
        print("ada" in pool.get_sessions())


if __name__ == "__main__":
    trio.run(main)

# Prints:
# ['pears', 'plums']
# True ['pears', 'plums', 'figs']
# ada busy
# bound 3
# False
