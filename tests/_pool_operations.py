"""Everything a caller of a pool can wait for, to be struck at each of its checkpoints, and what may come of that.

The worker's commands are ``work`` and ``use``: they enter a token into a ledger and return it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio
import trio.testing
from _pools import obeys_the_law

from trio_pool import Outcome, TrioPoolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio_pool import SessionPool

TIMEOUT = 5.0
PATIENCE = 60.0
"""Seconds after which a pool that is not at rest never will be."""


class Ledger(Protocol):
    """What workers have run."""

    def token(self) -> int:
        """Return a number that names one request."""
        ...

    @property
    def begun(self) -> Sequence[int]:
        """The tokens of the commands that were entered, in order."""
        ...


async def at_rest(pool: SessionPool) -> None:
    """Wait until nobody wants anything of a pool and as many workers serve as are to."""
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(PATIENCE):
        while True:
            status = pool.get_pool_status()
            there = sum(info.pid is not None or info.status != "starting" for info in status.workers)
            if status.busy == status.queued == status.metrics.running == 0 and status.ready == status.size == there:
                return
            await trio.sleep(0.005)


def plus(one: int, other: int) -> int:
    """Add."""
    return one + other


# -- what callers wait for ---------------------------------------------------------------------------------------------


async def in_session(pool: SessionPool, token: int) -> None:
    """Run a command in a session."""
    assert await pool.execute_in_session("s", "use", {"token": token}) == token


async def anonymous(pool: SessionPool, token: int) -> None:
    """Run a command."""
    assert await pool.execute_anonymous("work", {"token": token}) == token


async def behind_others(pool: SessionPool, token: int) -> None:
    """Run a command that has to wait for two others, one of its own session and one of none."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.execute_anonymous, "echo", {"value": 1})
        nursery.start_soon(pool.execute_in_session, "s", "echo", {"value": 2})
        await trio.testing.wait_all_tasks_blocked()
        await in_session(pool, token)


async def function(pool: SessionPool, token: int) -> None:
    """Run a function."""
    assert await pool.run_sync(plus, token, 1) == token + 1


async def broadcast(pool: SessionPool, token: int) -> None:
    """Run a command everywhere."""
    assert await pool.broadcast("work", {"token": token}) == {"pool-0": token}


async def kept_broadcast(pool: SessionPool, token: int) -> None:
    """Run a command everywhere and keep it."""
    assert await pool.broadcast("echo", {"value": token}, key="k") == {"pool-0": token}


async def lease(pool: SessionPool, token: int) -> None:
    """Lease a worker, use it, and give it back."""
    async with pool.checkout("s") as worker:
        response = await worker.send_command("use", {"token": token}, TIMEOUT)
        assert response.result == token
        await trio.lowlevel.checkpoint()


async def lease_behind_another(pool: SessionPool, token: int) -> None:
    """Lease a worker that is leased."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lease, pool, token)
        await trio.testing.wait_all_tasks_blocked()
        async with pool.checkout():
            await trio.lowlevel.checkpoint()


async def terminate(pool: SessionPool, _: int) -> None:
    """End a leased worker."""
    async with pool.checkout() as worker:
        await worker.terminate()


async def ping(pool: SessionPool, _: int) -> None:
    """Ask a leased worker how it is."""
    async with pool.checkout() as worker:
        await worker.health_check()


async def session(pool: SessionPool, token: int) -> None:
    """Have a session for a while."""
    async with pool.session() as handle:
        assert await handle.execute("use", {"token": token}) == token
        assert await handle.execute("echo", {"value": token}) == token


async def end_session(pool: SessionPool, token: int) -> None:
    """End a session in which something waits and something runs."""
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(excused, pool.execute_in_session, "s", "use", {"token": token})
            token = -token
        await trio.testing.wait_all_tasks_blocked()
        await pool.end_session("s")


async def health_check(pool: SessionPool, _: int) -> None:
    """Ask the pool how it is."""
    await pool.health_check()


async def resize(pool: SessionPool, _: int) -> None:
    """Have one worker more, and then one less."""
    await pool.resize(2)
    await pool.resize(1)


async def excused(call: Callable[..., Awaitable[object]], *args: object) -> None:
    """Call, and let the errors of the library pass."""
    try:
        await call(*args)
    except TrioPoolError:
        return


OPERATIONS = (
    in_session, anonymous, behind_others, function, broadcast, kept_broadcast, lease, lease_behind_another, terminate,
    ping, session, end_session, health_check, resize,
)  # fmt: skip


# -- what may come of it -----------------------------------------------------------------------------------------------


def errors_in(error: BaseException) -> list[BaseException]:
    """Return the errors in a group, or the one there is."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in errors_in(each)]
    return [error]


async def attempt(call: Callable[[], Awaitable[object]], ledger: Ledger, token: int, *, kill: bool) -> bool:
    """Call, and check that it raises nothing but what a strike may cause, and that what that says of the token is true.

    Returns whether it was cancelled. Who was comes back all the same, and must not wait for anything.
    """
    cancelled = False
    try:
        await call()
    except BaseException as exc:  # noqa: ASYNC103  # all of it is looked at
        for error in errors_in(exc):
            if isinstance(error, trio.Cancelled):
                cancelled = True
                continue
            if not kill or not isinstance(error, TrioPoolError):
                raise
            if error.command in ("work", "use") and error.outcome is Outcome.NOT_EXECUTED:
                assert token not in ledger.begun
    assert len(ledger.begun) == len(set(ledger.begun)), "no command is entered twice"
    return cancelled


async def whole(pool: SessionPool, ledger: Ledger) -> None:
    """Check that a pool serves as ever, and leave no session in it."""
    await at_rest(pool)
    await pool.resize(1)
    await at_rest(pool)
    assert obeys_the_law(pool)
    for name in pool.get_sessions():
        await pool.end_session(name)
    await in_session(pool, ledger.token())
    await pool.end_session("s")
    await at_rest(pool)
