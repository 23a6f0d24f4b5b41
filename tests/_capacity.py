"""What tests of a pool's capacity share: pools in virtual time over workers in memory, and who of them does what."""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING

import trio
import trio.testing

import trio_pool
from trio_pool import WorkerRole
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from trio_pool import PoolEvent, SessionPool, WorkerSpec
    from trio_pool.testing import MockWorker

SERVING, STANDBY = WorkerRole.SERVING, WorkerRole.STANDBY
OVERFLOW, LEAVING = WorkerRole.OVERFLOW, WorkerRole.LEAVING

START = 5.0
"""Seconds that a start takes on a `SlowPort`."""


class SlowPort(MockPort):
    """A port whose workers take their time to start."""

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> MockWorker:
        """Start a worker after `START` seconds."""
        await trio.sleep(START)
        return await super().open(spec, nursery)


def over(
    port: MockPort, *, size: int, standby: int = 0, overflow: int = 0, told: list[PoolEvent] | None = None
) -> AbstractAsyncContextManager[SessionPool]:
    """Open a pool of workers in memory which nothing disturbs and which never gives up."""
    return trio_pool.open_pool(
        launcher=port,
        size=size,
        standby=standby,
        overflow=overflow,
        checkout_timeout=1000.0,
        timeout=1000.0,
        restart={"max_restarts": math.inf},
        health={"interval": 10_000.0},
        on_event=None if told is None else told.append,
    )


def roles(pool: SessionPool) -> list[WorkerRole | None]:
    """Return the roles of all workers, by slot."""
    return [info.role for info in pool.get_pool_status().workers]


def named(pool: SessionPool, role: WorkerRole) -> list[str]:
    """Return the names of the workers with this role."""
    return [info.worker_id for info in pool.get_pool_status().workers if info.role is role]


async def work(pool: SessionPool, seconds: float = 1.0, session: str | None = None) -> None:
    """Occupy a worker."""
    if session is None:
        await pool.execute_anonymous("sleep", {"duration": seconds})
    else:
        await pool.execute_in_session(session, "sleep", {"duration": seconds})


async def kill(port: MockPort, worker_id: str) -> None:
    """Kill a worker."""
    (worker,) = [each for each in port.workers if each.worker_id == worker_id]
    await worker.signal(signal.SIGKILL)
    await trio.testing.wait_all_tasks_blocked()
