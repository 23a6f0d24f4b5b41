"""Commands: results, errors, queueing and limits, over real workers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import _apps
import pytest
import trio
import trio.testing
from _pools import (
    APP,
    obeys_the_law,
    settled,
)
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.slow


@pytest.mark.document("F-024")
async def test_results_are_exactly_what_the_function_returned() -> None:
    """Every kind of value comes back equal; tuples as lists, large bytes as memoryview."""
    values: list[object] = [
        None, True, 0, -1, 2**63 - 1, -(2**63), 1.5, "", "é\0", b"", b"x" * 65535, [], [1, [2]], {}, {"a": {"b": None}},
    ]  # fmt: skip
    async with trio_pool.open_pool(size=1) as pool:
        for value in values:
            result = await pool.execute_anonymous("echo", {"value": value})
            assert result == value
            assert type(result) is type(value)
        assert await pool.execute_anonymous("echo", {"value": (1, 2)}) == [1, 2]
        large = await pool.execute_anonymous("echo", {"value": b"y" * 65536})
        assert isinstance(large, memoryview)
        assert large == b"y" * 65536
        many = [b"z" * 3_000_000, {"deep": [b"w" * 70_000]}]
        assert await pool.execute_anonymous("echo", {"value": many}) == many
        assert await pool.execute_anonymous("sleep", {"duration": 0.0}) is None


@pytest.mark.document("F-024")
async def test_anonymous_requests_run_on_any_worker_and_belong_to_no_session() -> None:
    """Whichever is free serves them, at once if need be; they make no session and see none."""
    async with trio_pool.open_pool(APP, size=2) as pool:
        async with pool.checkout() as leased:
            assert await pool.execute_anonymous("pid") != leased.pid
        await pool.execute_in_session("s", "remember", {"key": "a", "value": 1})
        for _ in range(2):
            with pytest.raises(trio_pool.InvalidArguments, match="session"):
                await pool.execute_anonymous("recall")
        assert list(pool.get_sessions()) == ["s"]
        assert sum(info.sessions for info in pool.get_pool_status().workers) == 1


async def test_sleeps_run_side_by_side_on_all_workers() -> None:
    """No request waits while a worker that may serve it is idle."""
    async with trio_pool.open_pool(size=4, timeout=PATIENCE) as pool, trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.2})
        await trio.testing.wait_all_tasks_blocked(0.05)
        status = pool.get_pool_status()
        assert (status.busy, status.queued, status.metrics.running) == (4, 0, 4)
        assert obeys_the_law(pool)


async def test_an_exhausted_pool_queues() -> None:
    """With one worker busy the next request waits its turn, and both succeed."""
    async with trio_pool.open_pool(size=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.execute_in_session, "session_1", "sleep", {"duration": 0.2})
        await trio.testing.wait_all_tasks_blocked()
        assert (await pool.execute_in_session("session_2", "ping"))["status"] == "ok"


async def test_the_checkout_timeout_is_a_pool_timeout_and_nothing_ran(tmp_path: Path) -> None:
    """Whoever waits too long for a worker gets PoolTimeout with the pool's state, and its command never runs."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.3})
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolTimeout, match="checkout_timeout") as caught:
            await pool.execute_in_session("waiter", "note_only", {"path": str(file), "token": 1}, checkout_timeout=0.05)
        error = caught.value
        assert isinstance(error, trio.TooSlowError)
        assert (error.outcome, error.size, error.busy) == ("not_executed", 1, 1)
        with pytest.raises(trio_pool.PoolTimeout, match="its timeout"):
            await pool.execute_anonymous("note_only", {"path": str(file), "token": 2}, timeout=0.05)
        assert await pool.execute_anonymous("quick", {"n": 1}) == 2
        assert obeys_the_law(pool)
    assert _apps.notes(file) == []


async def test_a_full_queue_refuses_at_once() -> None:
    """One request more than max_queue is PoolSaturated, without waiting."""
    async with trio_pool.open_pool(size=1, max_queue=2) as pool, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.1})
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolSaturated) as caught:
            await pool.execute_anonymous("ping")
        assert (caught.value.queued, caught.value.max_queue) == (2, 2)
        assert pool.get_pool_status().metrics.rejected == 1
        assert obeys_the_law(pool)


async def test_errors_of_a_command_are_typed_and_cost_no_worker() -> None:
    """Each way a command can fail has its error with its data; the worker is the same before and after."""
    async with trio_pool.open_pool(APP, size=1, max_frame=100_000) as pool:
        before = await pool.execute_anonymous("pid")
        with pytest.raises(trio_pool.RemoteError) as remote:
            await pool.execute_anonymous("fail", {"text": "no such row"})
        assert (remote.value.type_name, remote.value.message) == ("LookupError", "no such row")
        assert "in fail" in remote.value.remote_traceback
        assert remote.value.outcome == "executed"
        with pytest.raises(trio_pool.UnknownCommand) as unknown:
            await pool.execute_anonymous("nothing")
        assert "quick" in unknown.value.known
        assert "quick" in str(unknown.value)
        for args in ({}, {"n": "1"}, {"n": True}, {"n": 1, "m": 2}):
            with pytest.raises(trio_pool.InvalidArguments) as invalid:
                await pool.execute_anonymous("quick", args)
            assert invalid.value.outcome == "not_executed"
        with pytest.raises(trio_pool.Unserializable) as unserializable:
            await pool.execute_anonymous("unserializable")
        assert unserializable.value.outcome == "executed"
        with pytest.raises(trio_pool.FrameTooLarge) as large:
            await pool.execute_anonymous("produce", {"size": 100_001})
        assert large.value.outcome == "executed"
        with pytest.raises(trio_pool.FrameTooLarge) as mine:
            await pool.execute_anonymous("echo", {"value": b"x" * 100_001})
        assert (mine.value.outcome, mine.value.command) == ("not_executed", "echo")
        assert str(mine.value).startswith("echo: ")
        with pytest.raises(trio_pool.Unserializable, match=r"args\.value"):
            await pool.execute_anonymous("echo", {"value": {1: 2}})
        with pytest.raises(trio_pool.InvalidArguments, match="session"):
            await pool.execute_anonymous("recall")
        assert await pool.execute_anonymous("pid") == before
        assert obeys_the_law(pool)


@pytest.mark.parametrize("data", [b"\xff" * 16, b"\0\0\0\3abc", b"\0\0\0\4\x81\xa2id\x63", b"\0\0\0\2\x91\x01"])
async def test_garbage_from_a_worker_costs_that_worker_alone(data: bytes) -> None:
    """Bad bytes are a ProtocolError for the request there; the worker is killed and replaced, the others serve on."""
    async with trio_pool.open_pool(APP, size=2) as pool:
        before = {info.pid for info in pool.get_pool_status().workers}
        with trio.fail_after(PATIENCE), pytest.raises(trio_pool.ProtocolError) as caught:
            await pool.execute_anonymous("write_garbage", {"data": data})
        assert caught.value.outcome == "maybe_executed"
        assert caught.value.pid in before
        await settled(pool)
        after = {info.pid for info in pool.get_pool_status().workers}
        assert len(before & after) == 1


async def test_a_worker_may_print_as_it_likes(caplog: pytest.LogCaptureFixture) -> None:
    """Output never touches the protocol and becomes log records with the worker's id."""
    caplog.set_level("INFO", "trio_pool.worker")
    async with trio_pool.open_pool(APP, size=1, name="talk") as pool:
        assert await pool.execute_anonymous("chatter", {"lines": 20_000}) == 20_000
        assert await pool.execute_anonymous("quick", {"n": 1}) == 2
    messages = [record.getMessage() for record in caplog.records if record.name == "trio_pool.worker"]
    assert "talk-0: printed 0" in messages
    assert 0 < len(messages) < 10_000, "1 000 lines a second, the rest dropped"
    assert {getattr(record, "worker_id", "") for record in caplog.records if record.name == "trio_pool.worker"} == {
        "talk-0"
    }


async def test_run_sync_runs_importable_functions() -> None:
    """A function is found by name in the worker; what cannot be is refused before anything is sent."""
    async with trio_pool.open_pool(size=1) as pool:
        assert await pool.run_sync(_apps.add, 1, 2) == 3
        assert await pool.run_sync(math.hypot, 3.0, 4.0) == 5.0
        with pytest.raises(trio_pool.Unserializable, match="imported"):
            await pool.run_sync(lambda: None)
        with pytest.raises(trio_pool.RemoteError):
            await pool.run_sync(math.sqrt, -1.0)
