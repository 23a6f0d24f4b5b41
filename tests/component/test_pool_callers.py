"""Callers who ask for what cannot be, or at an awkward moment."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import _apps
import pytest
import trio
import trio.testing
from _pools import (
    APP,
    obeys_the_law,
    pid_of,
)

import trio_pool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("timeout", [float("nan"), -1.0, "5", True])
async def test_a_malformed_timeout_is_refused_and_counts_as_nothing(timeout: object) -> None:
    """A timeout that is none is the caller's ValueError, before anything is counted, sent or put on the timer."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        for option in ("timeout", "checkout_timeout"):
            with pytest.raises(ValueError, match=option):
                await pool.execute_anonymous("quick", {"n": 1}, **{option: timeout})  # type: ignore[arg-type]  # the point
        assert obeys_the_law(pool)
        assert pool.get_pool_status().metrics.submitted == 0


async def test_a_command_whose_budget_is_spent_is_not_sent(tmp_path: Path) -> None:
    """With no time left nothing is written, though a worker is idle, and that worker is not abandoned."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=1) as pool:
        with pytest.raises(trio_pool.PoolTimeout):
            await pool.execute_anonymous("note_only", {"path": str(file), "token": 1}, timeout=0.0)
        assert await pool.execute_anonymous("quick", {"n": 1}) == 2
    assert _apps.notes(file) == []


async def test_no_session_id_is_not_an_anonymous_request() -> None:
    """A session id of None is a bad id: the caller asked for isolation and must not go without it unnoticed."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        with pytest.raises(ValueError, match="session id"):
            await pool.execute_in_session(None, "quick", {"n": 1})  # type: ignore[arg-type]  # the point


async def test_a_refused_request_leaves_no_session() -> None:
    """Under overload every refused request of a new session would else fill the session table for an hour."""
    async with trio_pool.open_pool(APP, size=1, max_queue=1) as pool, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.1})
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolSaturated):
            await pool.execute_in_session("new", "ping")
        assert not pool.get_sessions()


async def test_an_id_that_cannot_travel_is_refused_everywhere() -> None:
    """An id the wire cannot carry is a ValueError for a lease too, not the end of the timer when it expires."""
    async with trio_pool.open_pool(APP, size=1, sessions={"ttl": 0.1}, restart={"max_restarts": 0}) as pool:
        with pytest.raises(ValueError, match="session id"):
            async with pool.checkout("\ud800"):
                pass
        await trio.sleep(0.2)  # it would expire meanwhile


async def test_giving_up_while_draining_is_the_cause_of_what_the_callers_get() -> None:
    """The PoolClosed of those who wait names the give-up as its cause also when the pool was closing already."""
    errors: list[BaseException | None] = []
    async with trio.open_nursery() as nursery:
        with pytest.raises(trio_pool.RestartIntensityExceeded):  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, size=1, restart={"max_restarts": 0}) as pool:

                async def ask(command: str, args: Mapping[str, object]) -> None:
                    try:
                        await pool.execute_anonymous(command, args)
                    except trio_pool.PoolClosed as exc:
                        errors.append(exc.__cause__)
                    except trio_pool.WorkerCrashed:
                        pass

                os.kill(pid_of(pool), signal.SIGSTOP)
                nursery.start_soon(ask, "die", {"path": os.devnull, "how": "3"})
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(ask, "quick", {"n": 1})
                await trio.testing.wait_all_tasks_blocked()
                os.kill(pid_of(pool), signal.SIGCONT)
    assert [type(error) for error in errors] == [trio_pool.RestartIntensityExceeded]


async def test_a_transient_worker_killed_by_the_pool_is_replaced() -> None:
    """A kill the pool itself decided on costs the pool no worker, whatever the restart policy."""
    restart = {"restart": "transient"}
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.0, restart=restart) as pool:
        with pytest.raises(trio_pool.CommandTimeout):
            await pool.execute_anonymous("sleep", {"duration": 60.0}, timeout=0.05)
        assert await pool.execute_anonymous("quick", {"n": 1}, checkout_timeout=3.0) == 2
