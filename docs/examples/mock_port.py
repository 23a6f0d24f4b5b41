"""Testing an application without a process: what its workers answer, what goes wrong, and half a minute in no time."""

import trio
import trio.testing

import trio_pool
from trio_pool.testing import MockPort


async def greeting(pool: trio_pool.SessionPool, user: int) -> str:
    """What is to be tested: the name is worth one more try, if that can do no harm, and then a default."""
    for _ in range(2):
        try:
            return f"Hello {await pool.execute_anonymous('name_of', {'user': user})}"
        except (trio_pool.WorkerCrashed, trio_pool.CommandTimeout) as error:
            print("  ", type(error).__name__, error.outcome)
    return "Hello"


async def main() -> None:
    with MockPort() as port:  # at the end: did all that was expected come?
        port.expect_command("name_of", "Ada", args={"user": 7})
        async with trio_pool.open_pool(size=2, launcher=port) as pool:
            print(await greeting(pool, 7))

    with MockPort() as port:
        port.command("name_of", lambda user: f"user {user}")
        port.simulate_crash(command="name_of")  # the first worker that runs it dies
        async with trio_pool.open_pool(size=1, launcher=port) as pool:
            print(await greeting(pool, 7))
            print("on incarnations", [each.incarnation for each in port.history if each.command == "name_of"])

    with MockPort() as port:
        port.command("name_of", lambda user: f"user {user}")
        port.simulate_timeout("name_of")
        began = trio.current_time()
        async with trio_pool.open_pool(size=2, launcher=port, timeout=15.0) as pool:
            print(await greeting(pool, 7))
        print(trio.current_time() - began >= 30.0)


if __name__ == "__main__":
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

# Prints:
# Hello Ada
#    WorkerCrashed maybe_executed
# Hello user 7
# on incarnations [1, 2]
#    CommandTimeout maybe_executed
#    CommandTimeout maybe_executed
# Hello
# True
