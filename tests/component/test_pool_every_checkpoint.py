"""Everything a caller can wait for, struck at each of its checkpoints: cancelled, its worker killed, or both at once.

Over workers in memory, where a checkpoint more or less costs microseconds; `test_pool_every_checkpoint_real` does it
with processes. After each attempt the pool is whole: as many tasks and workers as before, every submission in its
place, and the next request is served.
"""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _cancelling import strike_at_each_checkpoint
from _pool_operations import OPERATIONS, PATIENCE, TIMEOUT, anonymous, attempt, excused, function, in_session, whole

import trio_pool
from trio_pool import PoolConfig, open_worker
from trio_pool.bridge import Session  # noqa: TC001  # a worker looks at the annotation
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from trio_pool import SessionPool

GRACE = 0.5
TAKES = 0.01
"""What a command takes: several times what may pass between any two checkpoints, which on this clock is nothing."""

STRIKES = pytest.mark.parametrize(
    ("kill", "cancel"), [(False, True), (True, False), (True, True)], ids=["cancelled", "killed", "both"]
)


class MemoryLedger:
    """What workers have run."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self._next = 0

    def token(self) -> int:
        """Return a number that names one request."""
        self._next += 1
        return self._next

    async def work(self, token: int) -> int:
        """Be a command."""
        self.begun.append(token)
        await trio.sleep(TAKES)
        return token

    async def use(self, session: Session, token: int) -> int:
        """Be a command of a session."""
        session.state["token"] = token
        return await self.work(token)


def settings(port: MockPort) -> PoolConfig:
    """Return the settings of a pool over a port: one worker, so that everybody needs the same."""
    return PoolConfig(
        launcher=port,
        size=1,
        timeout=TIMEOUT,
        checkout_timeout=TIMEOUT,
        abandon_grace=GRACE,
        restart={"max_restarts": math.inf, "backoff": {"initial": 0.1, "maximum": 0.1, "jitter": "none"}},
        health={"interval": 1e6},
    )


def new_port(ledger: MemoryLedger) -> MockPort:
    """Return a port whose workers write into a ledger."""
    port = MockPort()
    port.command("work", ledger.work)
    port.command("use", ledger.use)
    return port


def striking(port: MockPort, kill: bool) -> Callable[[], None]:
    """Return what strikes: it kills every worker there is, or does nothing."""

    def strike() -> None:
        for worker in port.workers if kill else ():
            worker.deliver(signal.SIGKILL)

    return strike


def tasks() -> int:
    """Return how many tasks there are."""
    return trio.lowlevel.current_statistics().tasks_living


@STRIKES
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__)
async def test_a_pool_is_whole_after_any_call_was_struck_anywhere(
    operation: Callable[[SessionPool, int], Awaitable[None]], kill: bool, cancel: bool, autojump_clock: MockClock
) -> None:
    """Nothing is lost, nothing runs twice, errors are typed and true, and the next caller is served."""
    ledger = MemoryLedger()
    port = new_port(ledger)
    async with trio_pool.open_pool(config=settings(port)) as pool:
        await whole(pool, ledger)
        before = tasks()

        async def operate() -> None:
            token = ledger.token()
            count = pool.get_pool_status().metrics.cancelled
            cancelled = await attempt(lambda: operation(pool, token), ledger, token, kill=kill)
            if cancelled and not kill and operation in (in_session, anonymous, function):
                assert pool.get_pool_status().metrics.cancelled == count + 1, "who leaves is counted at once"

        async def look() -> None:
            await whole(pool, ledger)
            assert (tasks(), len(port.workers)) == (before, 1)

        assert await strike_at_each_checkpoint(operate, striking(port, kill), look, cancel=cancel) > 1
    assert not port.workers


async def pool_from_its_opening(port: MockPort, ledger: MemoryLedger, token: int) -> None:
    """Open a pool of two, use it, and close it."""
    async with trio_pool.open_pool(config=settings(port).evolve(size=2, standby=1)) as pool:
        await in_session(pool, token)


async def pool_that_drains(port: MockPort, ledger: MemoryLedger, token: int) -> None:
    """Open a pool and drain it while something waits."""
    async with trio_pool.open_pool(config=settings(port)) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(excused, anonymous, pool, token)
        nursery.start_soon(excused, anonymous, pool, ledger.token())
        await trio.testing.wait_all_tasks_blocked()
        await pool.drain()


async def lone_worker(port: MockPort, ledger: MemoryLedger, token: int) -> None:
    """Start one worker, use it, and stop it."""
    async with open_worker(config=settings(port)) as worker:
        await worker.send_command("work", {"token": token}, TIMEOUT)
        await worker.health_check()
        if worker.status == "ready":  # a dead one cannot be checked out
            worker.checkout("s")
            await worker.send_command("echo", {"value": 1}, TIMEOUT)
        if worker.status == "busy":
            worker.checkin("session_cleanup")


async def lone_worker_that_is_terminated(port: MockPort, ledger: MemoryLedger, token: int) -> None:
    """Start one worker and end it in the middle of something."""
    async with open_worker(config=settings(port)) as worker, trio.open_nursery() as nursery:
        nursery.start_soon(excused, worker.send_command, "work", {"token": token})
        await worker.terminate()


@STRIKES
@pytest.mark.parametrize(
    "operation",
    [pool_from_its_opening, pool_that_drains, lone_worker, lone_worker_that_is_terminated],
    ids=lambda each: each.__name__,
)
async def test_nothing_is_left_of_what_was_struck_anywhere_between_opening_and_closing(
    operation: Callable[[MockPort, MemoryLedger, int], Awaitable[None]],
    kill: bool,
    cancel: bool,
    autojump_clock: MockClock,
) -> None:
    """No worker and no task, wherever it was struck; errors are typed and true."""
    ledger = MemoryLedger()
    port = new_port(ledger)
    before = tasks()

    async def operate() -> None:
        token = ledger.token()
        with trio.fail_after(PATIENCE):
            await attempt(lambda: operation(port, ledger, token), ledger, token, kill=kill)

    async def look() -> None:
        await trio.lowlevel.checkpoint()
        assert (tasks(), len(port.workers)) == (before, 0)

    assert await strike_at_each_checkpoint(operate, striking(port, kill), look, cancel=cancel) > 3
