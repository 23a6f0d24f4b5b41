"""A supervisor over plain async functions: a child that crashes is restarted, until it crashes too often."""

import trio

import trio_pool
from trio_pool import ChildSpec


async def listen(name: str, *, task_status: trio.TaskStatus[str]) -> None:
    task_status.started(f"{name} listens")
    await trio.sleep_forever()


crashes = iter(range(1, 100))


async def flaky() -> None:
    await trio.lowlevel.checkpoint()
    raise OSError(f"crash {next(crashes)}")


async def main() -> None:
    try:
        async with trio_pool.open_supervisor(max_restarts=2, within=5.0) as supervisor:
            child = await supervisor.start_child(ChildSpec(id="listener", start=listen, args=("one",)))
            print(child.value, child.status)
            await supervisor.start_child(ChildSpec(id="flaky", start=flaky))
            await supervisor.wait()
    except trio_pool.RestartIntensityExceeded as error:
        print(error)
        print([str(crash) for crash in error.errors])
    print(child.status)


if __name__ == "__main__":
    trio.run(main)

# Prints:
# one listens running
# supervisor 'supervisor' gave up: child 'flaky' needed restart 3 within 5 s, 2 allowed; last error: OSError('crash 3')
# ['crash 1', 'crash 2', 'crash 3']
# stopped
