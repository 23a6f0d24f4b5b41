"""The workers that the contract of workers is checked on, real ones and those of a `MockPort`, behind one face."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import _contract_app
import trio
from trio.testing import MockClock

import trio_pool
from trio_pool import PoolConfig
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_pool import PoolWorker, SessionPool, WorkerInfo

APP = "_contract_app:bridge"
BUILTIN = "trio_pool.bridge:builtin"
# Beyond the five seconds and the minute that commands of these tests may take: a hang is to be told from a failure.
LIMIT = 90.0
MISSING = ["/nonexistent/program"]


class RealWorkers:
    """Workers in processes of their own."""

    def clock(self) -> MockClock | None:
        """Return the clock to run under: None, for processes know no other than the real one."""
        return None

    def config(self, **options: Any) -> PoolConfig:
        """Return the settings under which these workers run."""
        return PoolConfig(**options)

    async def signal(self, info: WorkerInfo, sig: int) -> None:
        """Signal a worker of a pool."""
        assert info.pid is not None
        os.kill(info.pid, sig)

    @asynccontextmanager
    async def worker(self, app: str = APP, **options: Any) -> AsyncIterator[PoolWorker]:
        """Open a worker for the length of a block, which may take `LIMIT` seconds."""
        with trio.fail_after(LIMIT):
            async with trio_pool.open_worker(app, "contract", self.config(**options)) as worker:
                yield worker

    @asynccontextmanager
    async def pool(self, app: str = APP, *, size: int, **options: Any) -> AsyncIterator[SessionPool]:
        """Open a pool for the length of a block, which may take `LIMIT` seconds."""
        with trio.fail_after(LIMIT):
            async with trio_pool.open_pool(app, self.config(**options), size=size, name="contract") as pool:
                yield pool

    def that_cannot_start(self, reason: str) -> tuple[str | list[str], PoolConfig]:
        """Return an application, and settings, with which no worker gets ready."""
        app: str | list[str] = MISSING if reason == "spawn" else "_contract_app:nothing"
        return app, self.config()


class MockWorkers(RealWorkers):
    """Workers in memory, with the same application."""

    def __init__(self, **options: Any) -> None:
        self.port = MockPort(**options)
        self.port.include(_contract_app.bridge)
        self.port.command("hold", hold)

    def clock(self) -> MockClock | None:
        """Return the clock to run under: it jumps to whatever is waited for."""
        return MockClock(autojump_threshold=0)

    def config(self, **options: Any) -> PoolConfig:
        """Return the settings under which these workers run."""
        return PoolConfig(launcher=self.port, **options)

    async def signal(self, info: WorkerInfo, sig: int) -> None:
        """Signal a worker of a pool."""
        [worker] = [each for each in self.port.workers if each.ident.incarnation == info.incarnation]
        await worker.signal(sig)

    def that_cannot_start(self, reason: str) -> tuple[str | list[str], PoolConfig]:
        """Return an application, and settings, with which no worker gets ready."""
        if reason == "spawn":
            self.port.simulate_spawn_failure()
        else:
            self.port.simulate_init_failure("module '_contract_app' has no attribute 'nothing'")
        return APP, self.config()


async def hold(path: str) -> str:
    """Do as the command of the application does, without holding up the loop in which this worker lives."""
    while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240  # of a file nobody tells; looking at it takes no time
        await trio.sleep(0.002)
    return "released"


def subject(name: str) -> RealWorkers:
    """Return the workers of one of the names in `SUBJECTS`."""
    if name == "real":
        return RealWorkers()
    return MockWorkers(chunk=1000) if name == "mock in pieces" else MockWorkers()


SUBJECTS = ("mock", "mock in pieces", "real")
