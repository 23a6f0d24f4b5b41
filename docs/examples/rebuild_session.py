"""What a session's loss is for: the application knows what is needed to begin anew, and does it, once."""

import os
import signal
from collections.abc import Mapping

import trio

import trio_pool
from trio_pool.bridge import Bridge, Session

bridge = Bridge()


@bridge.command
def open_document(session: Session, name: str) -> None:
    session.state["document"] = f"the text of {name}"


@bridge.command
def length(session: Session) -> int:
    return len(session.state["document"])


async def ask(
    pool: trio_pool.SessionPool, user: str, document: str, command: str, args: Mapping[str, object] | None = None
) -> object:
    """Run a command in the user's session, which has that document open."""
    try:
        return await pool.execute_in_session(user, command, args)
    except trio_pool.SessionLost as error:
        print("lost with", error.exit, "- opening", document, "again")
    await pool.end_session(user)
    await pool.execute_in_session(user, "open_document", {"name": document})
    return await pool.execute_in_session(user, command, args)


async def main() -> None:
    async with trio_pool.open_pool("__main__:bridge", size=2) as pool:
        await pool.execute_in_session("ada", "open_document", {"name": "notes"})
        print(await ask(pool, "ada", "notes", "length"))
        ping = await pool.execute_in_session("ada", "ping")
        os.kill(ping["pid"], signal.SIGKILL)
        print(await ask(pool, "ada", "notes", "length"))


if __name__ == "__main__":
    trio.run(main)

# Prints:
# 17
# lost with SIGKILL - opening notes again
# 17
