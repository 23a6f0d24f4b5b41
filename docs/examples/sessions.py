"""A session's state lives in one worker, is seen by that session alone, and is reported lost when that worker dies."""

import os
import signal

import trio

import trio_pool
from trio_pool.bridge import Bridge, Session

bridge = Bridge()


@bridge.command
def remember(session: Session, key: str, value: int) -> None:
    session.state[key] = value


@bridge.command
def recall(session: Session) -> dict[str, int]:
    return session.state


async def main() -> None:
    async with trio_pool.open_pool("__main__:bridge", size=2) as pool:
        await pool.execute_in_session("ada", "remember", {"key": "a", "value": 1})
        await pool.execute_in_session("bob", "remember", {"key": "b", "value": 2})
        print("ada has", await pool.execute_in_session("ada", "recall"))
        print("bob has", await pool.execute_in_session("bob", "recall"))

        # The worker that ada's state lives in is killed, as the kernel does when memory runs out.
        ping = await pool.execute_in_session("ada", "ping")
        os.kill(ping["pid"], signal.SIGKILL)
        try:
            await pool.execute_in_session("ada", "recall")
        except trio_pool.SessionLost as error:
            print("ada's state is lost, its worker ended with", error.exit)
        print("bob still has", await pool.execute_in_session("bob", "recall"))

        await pool.end_session("ada")
        print("ada begins anew with", await pool.execute_in_session("ada", "recall"))


if __name__ == "__main__":
    trio.run(main)

# Prints:
# ada has {'a': 1}
# bob has {'b': 2}
# ada's state is lost, its worker ended with SIGKILL
# bob still has {'b': 2}
# ada begins anew with {}
