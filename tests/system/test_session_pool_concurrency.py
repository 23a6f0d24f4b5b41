"""The testing strategy's concurrent operation tests: real workers, sessions side by side."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

import trio_pool
from trio_pool.testing import TestSignatures

pytestmark = pytest.mark.slow

DOUBLER = TestSignatures.program("doubler")
LIMIT = 30.0  # the strategy's own


async def create(pool: trio_pool.SessionPool, session_id: str, config: dict[str, Any]) -> str:
    """Create a program by the bare command, as the strategy does, and return its id."""
    reply = await pool.execute_in_session(session_id, "create_program", {"config": config})
    assert reply["status"] == "created"
    return reply["program_id"]


async def programs_of(pool: trio_pool.SessionPool, session_id: str) -> list[str]:
    """Return the ids a session lists."""
    reply = await pool.execute_in_session(session_id, "list_programs")
    assert reply["total_count"] == len(reply["programs"])
    return [program["id"] for program in reply["programs"]]


async def sessions_kept(pool: trio_pool.SessionPool) -> list[int]:
    """Return how many sessions each worker holds, asked of all of them."""
    async with AsyncExitStack() as leases:
        workers = [await leases.enter_async_context(pool.checkout()) for _ in range(pool.get_pool_status().size)]
        replies = [await worker.send_command("get_stats", {}) for worker in workers]
    return [reply.result["sessions_count"] for reply in replies]


@pytest.mark.pool_size(4)
@pytest.mark.document("F-030", "T-18")
async def test_handles_concurrent_sessions_without_interference(pool_size: int) -> None:
    """Ten sessions at once: each finds its own program every time, and nothing had to be retried for it."""
    finished: dict[str, list[int]] = {}
    inside = most = 0

    async def use(pool: trio_pool.SessionPool, session_id: str) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        program_id = await create(pool, session_id, DOUBLER)
        values: list[int] = []
        for value in range(1, 6):
            args = {"program_id": program_id, "inputs": {"value": value}}
            reply = await pool.execute_in_session(session_id, "execute_program", args)
            values.append(reply["outputs"]["value"])
        await pool.end_session(session_id)
        finished[session_id] = values
        inside -= 1

    sessions = [f"concurrent_{number}" for number in range(1, 11)]
    with trio.fail_after(LIMIT):
        async with trio_pool.open_pool(size=pool_size) as pool:
            async with trio.open_nursery() as nursery:
                for session_id in sessions:
                    nursery.start_soon(use, pool, session_id)
            status = pool.get_pool_status()
            left = dict(pool.get_sessions())
            kept = await sessions_kept(pool)
    assert finished == {session_id: [2, 4, 6, 8, 10] for session_id in sessions}
    assert most == len(sessions)
    assert left == {}
    assert kept == [0] * pool_size
    assert (status.metrics.submitted, status.metrics.ok) == (60, 60)
    # A retry could hide a request sent to a worker without its session.
    assert (status.metrics.redispatched, status.metrics.restarts) == (0, 0)


@pytest.mark.pool_size(2)
@pytest.mark.document("F-031", "T-19")
async def test_session_isolation_prevents_cross_contamination(pool_size: int) -> None:
    """No session sees another's programs, not even one that has none of its own, also on the same worker."""
    async with trio_pool.open_pool(size=pool_size) as pool:
        first = await create(pool, "user_1", {"id": "prog_1", **TestSignatures.program("simple")})
        second = await create(pool, "user_2", {"id": "prog_2", **TestSignatures.program("complex")})
        # More sessions than workers: some share one.
        others = [f"other_{number}" for number in range(2 * pool_size)]
        for session_id in others:
            await create(pool, session_id, {"id": f"prog_of_{session_id}", **DOUBLER})
        assert (first, second) == ("prog_1", "prog_2")
        assert await programs_of(pool, "user_1") == ["prog_1"]
        assert await programs_of(pool, "user_2") == ["prog_2"]
        assert [await programs_of(pool, session_id) for session_id in others] == [
            [f"prog_of_{session_id}"] for session_id in others
        ]
        assert await programs_of(pool, "nobody") == []
        with pytest.raises(trio_pool.ProgramNotFound):
            await pool.execute_in_session("user_1", "execute_program", {"program_id": "prog_2", "inputs": {}})
        with pytest.raises(trio_pool.ProgramNotFound):
            await pool.execute_in_session("user_1", "delete_program", {"program_id": "prog_2"})
        assert await programs_of(pool, "user_2") == ["prog_2"]
