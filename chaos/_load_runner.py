"""The load runner: users that send their operations in time, on a pool, every reply compared with what was asked for.

The load is open: an operation is sent when its time has come, also while the user's last one is unanswered. The pool
runs the operations of one session in order, so such a user's requests queue there, as they would in an application.
Latency counts from the moment an operation was meant to be sent. A stall therefore shows in every operation that was
due while it lasted, and not only in the one it caught.

Each operation is a task of its own. That costs little: at a thousand operations a second the generator takes 7 % of a
core of a slow machine, and the pool's side of them 13 %.
"""

from __future__ import annotations

import reprlib
import secrets
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio

from trio_pool import SessionNotFound, open_pool

from ._load import Load
from ._load_config import plan_operations, session_of
from ._load_result import DROPPED, UNANSWERED, WRONG_REPLY, LoadTally

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from trio_pool import SessionPool

    from ._load_config import LoadConfig, PlannedOperation
    from ._load_result import LoadResult

    # Carries out one operation in a session of a pool and returns its token.
    Ask: TypeAlias = Callable[[SessionPool, str, str], Awaitable[object]]

_CLEAN_UP_LIMIT = 5.0
"""Seconds the ending of the users' sessions may take. It waits for nobody; this is for a machine that stands still."""


async def echo(pool: SessionPool, session_id: str, token: str) -> object:
    """Have a worker send the token back: the usual operation, which costs little more than its way there and back."""
    return await pool.execute_in_session(session_id, "echo", {"value": token})


class LoadRunner:
    """Puts a load on a pool."""

    @staticmethod
    async def run(config: LoadConfig, *, pool: SessionPool | None = None, operation: Ask = echo) -> LoadResult:
        """Carry out a load and return what came of it.

        The sessions ``user_1`` and so on are the run's own and are ended with it. What fails is counted, whatever it
        is, and stops nothing. Cancelled, it takes the operations under way with it and returns nothing.

        Args:
            config: The load.
            pool: An open pool to use; None opens one of ``config.pool_size`` workers for the run alone.
            operation: Called with the pool, the user's session id and a token no other operation has. It must return
                that token, from the worker, when all went well. What it raises is counted as a failure.

        Raises:
            ValueError: ``config.pool_size`` and the given pool's size differ.
            WorkerInitFailed, RestartIntensityExceeded: The pool opened here did not start, or gave up; a pool that was
                given tells this where it was opened, and its operations fail.
        """
        if pool is not None and config.pool_size not in (None, size := pool.get_pool_status().size):
            raise ValueError(f"pool_size: is {config.pool_size}, but the given pool has {size} workers")
        async with _opened(config) if pool is None else _borrowed(pool, config) as ready:
            return await measure(config, partial(operation, ready))


async def measure(config: LoadConfig, operation: Callable[[str, str], Awaitable[object]]) -> LoadResult:
    """Send a load's operations to whatever ``operation`` is, given session id and token, and return what came of it."""
    tally = LoadTally(config)
    # Not from the seed: a reply left over from an earlier run, even of the same plan, must not look like one of this.
    run = secrets.token_hex(4)
    plan = plan_operations(config)
    start = trio.current_time()

    async def perform(planned: PlannedOperation) -> None:  # noqa: ASYNC910  # a task of the load's; what it is for has them
        token = f"{run}-{planned.index}"
        intended = start + planned.at
        began = trio.current_time()
        tally.sent(began - intended)
        try:
            reply = await operation(planned.session_id, token)
        except trio.Cancelled:
            # The overtime is over. If it is the caller who leaves, there will be no result to tell this in.
            waited = trio.current_time() - intended
            tally.failed(UNANSWERED, planned.at, f"no outcome after {waited:.2f} s", waited)
            raise
        except Exception as exc:  # whatever it is, it is an outcome: what counts is that there was no right answer
            tally.failed(type(exc).__name__, planned.at, str(exc), trio.current_time() - intended)
        else:
            now = trio.current_time()
            if reply == token:
                tally.ok(now - intended, now - began)
            else:
                tally.failed(WRONG_REPLY, planned.at, f"asked for {token!r}, got {reprlib.repr(reply)}", now - intended)

    def drop(planned: PlannedOperation) -> None:
        tally.failed(DROPPED, planned.at, f"{config.max_in_flight} operations were unanswered")

    load = Load(
        plan,
        perform,
        drop,
        max_in_flight=config.max_in_flight,
        overtime=config.overtime_seconds,
    )
    cpu = time.process_time()
    await load.run(start)
    await trio.lowlevel.checkpoint()  # of a load without operations, too
    duration = trio.current_time() - start
    return tally.result(
        dropped=load.dropped,
        most_in_flight=load.most_in_flight,
        duration=duration,
        cpu=(time.process_time() - cpu) / duration,
    )


@asynccontextmanager
async def _opened(config: LoadConfig) -> AsyncGenerator[SessionPool, None]:
    async with open_pool(size=config.pool_size, seed=config.seed, name="load") as pool:
        yield pool


@asynccontextmanager
async def _borrowed(pool: SessionPool, config: LoadConfig) -> AsyncGenerator[SessionPool, None]:
    """Give a pool that is the caller's, and end the users' sessions in it afterwards."""
    try:
        yield pool
    finally:
        # Shielded, so that a run that is cancelled leaves nothing in a pool that goes on.
        with trio.move_on_after(_CLEAN_UP_LIMIT, shield=True):
            for user in range(1, config.concurrent_users + 1):
                with suppress(SessionNotFound):  # of a user who never got as far as the pool
                    await pool.end_session(session_of(user))
            await trio.lowlevel.checkpoint()
