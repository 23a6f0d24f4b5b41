"""A load of one's own: a command of the application, under a rate with a spike."""

import trio

import trio_pool
from chaos import LoadConfig, LoadRunner
from trio_pool.bridge import Bridge
from trio_pool.testing import Workload

bridge = Bridge()


@bridge.command
def look_up(key: str) -> dict[str, str]:
    return {"key": key, "value": key.upper()}


async def operation(pool: trio_pool.SessionPool, session_id: str, token: str) -> object:
    reply = await pool.execute_in_session(session_id, "look_up", {"key": token})
    return reply["key"]  # must be the token, which no other operation has


async def main() -> None:
    load = LoadConfig(duration_seconds=1.5, concurrent_users=10, workload=Workload.spike(base=50.0, peak=300.0))
    async with trio_pool.open_pool("__main__:bridge", size=2) as pool:
        result = await LoadRunner.run(load, pool=pool, operation=operation)
    print(result.sent, "sent,", result.ok, "answered with what they had asked for")


if __name__ == "__main__":
    trio.run(main)

# Prints:
# 138 sent, 138 answered with what they had asked for
