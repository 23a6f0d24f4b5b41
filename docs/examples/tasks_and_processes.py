"""A tree of tasks and processes: a database process is killed, and all that stands on it is started anew with it."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

import trio_pool
from trio_pool import ChildSpec, CommandLine, HeldOpen, open_supervisor, supervisor_spec


@asynccontextmanager
async def session() -> AsyncIterator[str]:
    """Stand in for a client library's context manager."""
    await trio.lowlevel.checkpoint()
    yield "a session"


back = trio.Event()


async def report() -> None:
    await trio.sleep_forever()


def tell(event: trio_pool.SupervisorEvent) -> None:
    match event:
        case trio_pool.ChildStarted():
            print("up  ", event.child_id)
            if event.child_id == "session" and event.restarts:
                back.set()
        case trio_pool.ChildStopped():
            print("down", event.child_id)
        case trio_pool.ChildExited(error=trio_pool.ProcessFailed() as error):
            print("lost", event.child_id, "by", error.exit)


async def main() -> None:
    storage = supervisor_spec(
        "storage",
        [
            ChildSpec(id="database", start=CommandLine(["sleep", "1000"]), shutdown=2.0),
            ChildSpec(id="session", start=HeldOpen(session)),
        ],
        "one_for_all",
    )
    async with open_supervisor(children=[storage, ChildSpec(id="report", start=report)], on_event=tell) as app:
        inner = app.which_children()[-1].value
        assert isinstance(inner, trio_pool.Supervisor)
        _, database = inner.which_children()
        assert isinstance(database.value, trio_pool.RunningProcess)
        os.kill(database.value.pid, signal.SIGKILL)
        await back.wait()
        print(app.tree())


if __name__ == "__main__":
    trio.run(main)

# Prints:
# up   database
# up   session
# up   storage
# up   report
# lost database by SIGKILL
# down session
# up   database
# up   session
# supervisor [one_for_one, 0 of 3 restarts in 5 s]
# ├─ storage running (permanent) [one_for_all, 1 of 3 restarts in 5 s]
# │  ├─ database running (permanent, restarted 1 x)
# │  └─ session running (permanent, restarted 1 x)
# └─ report running (permanent)
# down report
# down session
# down database
# down storage
