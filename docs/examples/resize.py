"""A pool grows, and shrinks again without breaking a session."""

import trio

import trio_pool
from trio_pool.bridge import Bridge, Session

bridge = Bridge()


@bridge.command
def remember(session: Session, fruit: str) -> None:
    session.state["fruit"] = fruit


@bridge.command
def recall(session: Session) -> str:
    fruit: str = session.state["fruit"]
    return fruit


async def main() -> None:
    async with trio_pool.open_pool("__main__:bridge", size=1) as pool:
        await pool.execute_in_session("ann", "remember", {"fruit": "apples"})
        await pool.resize(3)
        await pool.execute_in_session("bob", "remember", {"fruit": "pears"})
        print("workers:", len(pool.get_pool_status().workers))

        await pool.resize(1)  # one of three may stay; the one with the other session leaves when that has ended
        for name in ("ann", "bob"):
            print(f"{name} has", await pool.execute_in_session(name, "recall"))

        await pool.end_session("bob")
        await pool.drain()
        print("drained")


if __name__ == "__main__":
    trio.run(main)

# Prints:
# workers: 3
# ann has apples
# bob has pears
# drained
