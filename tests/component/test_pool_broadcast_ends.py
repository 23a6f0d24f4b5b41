"""How broadcasts end early: callers that leave, workers that are not free or too slow, a pool that closes."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import _apps
import pytest
import trio
import trio.testing
from _cancelling import cancel_at_each_checkpoint
from _pools import kill, noted, obeys_the_law, released, settled
from _workers import PATIENCE

import trio_pool
from trio_pool import BroadcastFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from trio_pool import PoolEvent, SessionPool

pytestmark = pytest.mark.slow

APP = "_broadcast_app:bridge"


class Failure:
    """The `BroadcastFailed` of a call made in a task of its own."""

    def __init__(self) -> None:
        self._error: BroadcastFailed | None = None
        self._ended = trio.Event()

    async def of(self, call: Callable[[], Awaitable[object]]) -> None:
        """Make the call."""
        with pytest.raises(BroadcastFailed) as caught:
            await call()
        self._error = caught.value
        self._ended.set()

    async def get(self) -> BroadcastFailed:
        """Wait for it."""
        with trio.fail_after(PATIENCE):
            await self._ended.wait()
        assert self._error is not None
        return self._error


async def until_busy(pool: SessionPool, count: int) -> None:
    """Wait until so many workers are busy, after what was started has been sent."""
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(PATIENCE):
        while pool.get_pool_status().busy != count:  # noqa: ASYNC110  # a worker that falls idle has no event of its own
            await trio.sleep(0.005)


async def restarted(pool: SessionPool, count: int) -> None:
    """Wait until so many workers have been replaced and all are idle."""
    with trio.fail_after(PATIENCE):
        while pool.get_pool_status().metrics.restarts < count:  # noqa: ASYNC110  # events may have come before the wait
            await trio.sleep(0.005)
    await settled(pool)


# ------------------------------------------------------------------------------------------------------- leaving


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("busy", [False, True])
async def test_cancelling_at_every_checkpoint_leaves_the_pool_whole(key: str | None, busy: bool) -> None:
    """Wherever the caller leaves, the workers are free again, and under a key they are all in the same state."""
    async with trio_pool.open_pool(APP, size=2, abandon_grace=PATIENCE) as pool, trio.open_nursery() as nursery:
        number = 0

        async def operate() -> None:
            nonlocal number
            number += 1
            if busy:
                nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.01})
            assert set((await pool.broadcast("put", {"value": number}, key=key)).values()) == {number}

        async def look() -> None:
            await settled(pool)
            assert obeys_the_law(pool)
            found = set((await pool.broadcast("get")).values())
            if key is not None:
                assert len(found) == 1

        with trio.fail_after(6 * PATIENCE):
            assert await cancel_at_each_checkpoint(operate, look) > 1


async def test_a_call_that_is_left_before_anything_was_sent_did_nothing(tmp_path: Path) -> None:
    """What waits for its turn is withdrawn, with a key as well."""
    notes = str(tmp_path / "notes")
    async with trio_pool.open_pool(APP, size=1) as pool:
        async with pool.checkout():
            for key in (None, "k"):
                with trio.move_on_after(0.05):
                    await pool.broadcast("put", {"value": 1, "note": notes}, key=key)
        await settled(pool)
        assert await pool.broadcast("get") == {"pool-0": "untold"}
    assert _apps.notes(tmp_path / "notes") == []


async def test_a_keyed_call_that_is_left_half_way_is_carried_through(tmp_path: Path) -> None:
    """The worker that runs it may finish and is not killed; then the one that had yet to run it gets it too."""
    gate, notes = tmp_path / "gate", tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=2, abandon_grace=0.0) as pool:
        pids = await pool.broadcast("pid")
        args = {"path": str(gate), "value": 1, "note": str(notes)}
        async with pool.checkout() as leased, trio.open_nursery() as nursery:
            nursery.start_soon(partial(pool.broadcast, "put_when", args, key="k"))
            await noted(notes, 1)
            nursery.cancel_scope.cancel()
        assert nursery.cancel_scope.cancelled_caught
        # The other worker is free by now, and has not been asked.
        assert (await pool.execute_anonymous("pid"), await pool.execute_anonymous("get")) == (leased.pid, "untold")
        gate.touch()
        await noted(notes, 2)
        await settled(pool)
        assert set((await pool.broadcast("get")).values()) == {1}
        assert await pool.broadcast("pid") == pids


async def test_a_call_without_a_key_that_is_left_is_abandoned(tmp_path: Path) -> None:
    """Like any command: a worker that does not end in time is killed, uncharged, and nothing is carried through."""
    events: list[PoolEvent] = []
    args = {"path": str(tmp_path / "never"), "value": 1, "note": str(tmp_path / "notes")}
    restart = {"max_restarts": 0}
    async with trio_pool.open_pool(APP, size=2, abandon_grace=0.05, restart=restart, on_event=events.append) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pool.broadcast, "put_when", args)
            await noted(tmp_path / "notes", 2)
            nursery.cancel_scope.cancel()
        await restarted(pool, 2)
        assert [event.reason for event in events if isinstance(event, trio_pool.WorkerKilled)] == ["cancelled"] * 2


async def test_a_worker_that_fails_in_a_carried_through_call_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits to be told, and no worker may serve without what is kept: it is killed, and the next is told."""
    obstacle = tmp_path / "obstacle"
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=2, on_event=events.append) as pool:
        async with pool.checkout(), trio.open_nursery() as nursery:
            # Left with the lease still on: one worker has accepted, the other is told later.
            args = {"path": str(obstacle), "value": 1}
            nursery.start_soon(partial(pool.broadcast, "put_unless", args, key="k"))
            await until_busy(pool, 1)
            nursery.cancel_scope.cancel()
            obstacle.touch()
        with trio.fail_after(PATIENCE):
            while not any(isinstance(event, trio_pool.WorkerExited) for event in events):  # noqa: ASYNC110  # as below
                await trio.sleep(0.005)
        obstacle.unlink()
        await restarted(pool, 1)
        assert [event.reason for event in events if isinstance(event, trio_pool.WorkerKilled)] == ["broadcast"]
        assert set((await pool.broadcast("get")).values()) == {1}
    (record,) = [record for record in caplog.records if record.name == "trio_pool.broadcast"]
    assert "is replaced, for it failed in the broadcast kept under key 'k'" in record.getMessage()


async def test_a_refusal_after_the_caller_left_is_asked_again_if_another_accepts(tmp_path: Path) -> None:
    """Whichever answers first, in the end no worker lacks what is kept."""
    notes = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=2) as pool:
        pids = await pool.broadcast("pid")
        accepting, refusing = (tmp_path / str(pid) for pid in pids.values())
        async with trio.open_nursery() as nursery:
            args = {"folder": str(tmp_path), "value": 1, "note": str(notes)}
            nursery.start_soon(partial(pool.broadcast, "put_as_told", args, key="k"))
            await noted(notes, 2)
            nursery.cancel_scope.cancel()
        refusing.write_text("raise")
        await until_busy(pool, 1)
        refusing.write_text("put")
        accepting.write_text("put")
        await noted(notes, 3)
        await settled(pool)
        assert await pool.broadcast("get") == {"pool-0": 1, "pool-1": 1}
        assert await pool.broadcast("pid") == pids


# ------------------------------------------------------------------------------------------------- limits of time


async def test_a_worker_that_runs_it_too_long_times_out_and_is_replaced(tmp_path: Path) -> None:
    """The pool's ``timeout`` bounds the run in each worker, and ``abandon_grace`` what comes after."""
    notes = tmp_path / "notes"
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=2, timeout=0.3, abandon_grace=0.0, on_event=events.append) as pool:
        args = {"path": str(tmp_path / "never"), "value": 1, "note": str(notes)}
        with trio.fail_after(PATIENCE), pytest.raises(BroadcastFailed) as caught:
            await pool.broadcast("put_when", args, key="k")
        assert [type(error) for error in caught.value.errors.values()] == [trio_pool.CommandTimeout] * 2
        error = caught.value.errors["pool-0"]
        assert isinstance(error, trio_pool.CommandTimeout)
        assert error.timeout == pytest.approx(0.3)
        assert (error.worker_id, error.request_id) == ("pool-0", None)
        await restarted(pool, 2)
        assert await pool.broadcast("get") == {"pool-0": "untold", "pool-1": "untold"}
        assert pool.get_pool_status().metrics.worker_errors == 0
    assert [event.reason for event in events if isinstance(event, trio_pool.WorkerKilled)] == ["timeout"] * 2


async def test_an_answer_that_came_while_the_loop_stood_still_beats_the_timeout() -> None:
    """An application that stalls beyond a broadcast's time loses no answer and no worker by it.

    Several times, for whether the timer or the readers get their turn first is chance.
    """
    answer = {"status": "ok", "duration": 0.03}
    async with trio_pool.open_pool(APP, size=2, timeout=0.4, abandon_grace=0.0) as pool:
        for _ in range(3):
            results: list[object] = []

            async def call(results: list[object]) -> None:
                results.append(await pool.broadcast("slow_op", {"duration": 0.03}))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(call, results)
                await trio.testing.wait_all_tasks_blocked(0.0)
                time.sleep(1.0)  # noqa: ASYNC200, ASYNC251  # the loop stands still, which is the point
            assert results == [{"pool-0": answer, "pool-1": answer}]
        assert pool.get_pool_status().metrics.restarts == 0


async def test_a_late_answer_in_the_grace_is_kept_and_the_worker_with_it(tmp_path: Path) -> None:
    """The call has failed by then, but the worker is in the new state: so is every later one."""
    gate, notes = tmp_path / "gate", tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=1, timeout=0.2, abandon_grace=PATIENCE) as pool:
        pids = await pool.broadcast("pid")
        args = {"path": str(gate), "value": 1, "note": str(notes)}
        with pytest.raises(BroadcastFailed):
            await pool.broadcast("put_when", args, key="k")
        gate.touch()
        await released(pool)
        assert await pool.broadcast("pid") == pids
        await replaced_by_plan(pool)
        assert await pool.broadcast("get") == {"pool-0": 1}


async def replaced_by_plan(pool: SessionPool) -> None:
    """Have the first worker leave and wait for the next."""
    with trio.fail_after(PATIENCE), pool.events() as events:
        kill(pool.get_pool_status().workers[0], signal.SIGTERM)
        while not isinstance(await events.receive(), trio_pool.WorkerReady):
            pass


async def test_a_worker_that_is_not_free_in_time_fails_its_part() -> None:
    """Waiting for a leased worker is bounded by ``timeout``; without a key the worker never runs it."""
    async with trio_pool.open_pool(APP, size=2, timeout=0.2) as pool:
        async with pool.checkout() as leased:
            with trio.fail_after(PATIENCE), pytest.raises(BroadcastFailed, match=r"was not free for 0\.2") as caught:
                await pool.broadcast("put", {"value": 1})
            assert caught.value.outcome == "maybe_executed"
            (error,) = caught.value.errors.values()
            assert isinstance(error, trio_pool.PoolTimeout)
            assert (error.outcome, error.worker_id, error.busy) == ("not_executed", leased.worker_id, 1)
        await released(pool)
        assert (await pool.broadcast("get"))[leased.worker_id] == "untold"
        assert pool.get_pool_status().metrics.pool_timeouts == 0


async def test_a_worker_that_was_not_free_in_time_gets_what_is_kept_before_its_next_request() -> None:
    """The lease ends, and the first request after it finds the worker as all others are."""
    async with trio_pool.open_pool(APP, size=2, timeout=0.2) as pool:
        async with pool.checkout("s"):
            with trio.fail_after(PATIENCE), pytest.raises(BroadcastFailed):
                await pool.broadcast("put", {"value": 1}, key="k")
            with trio.fail_after(PATIENCE), pytest.raises(BroadcastFailed, match="has not run yet") as caught:
                await pool.broadcast("put", {"value": 2}, key="k")
            # It will run there, so nobody may say that it does not.
            assert [error.outcome for error in caught.value.errors.values()] == ["maybe_executed"]
        assert await pool.execute_in_session("s", "get", timeout=PATIENCE) == 2
        await settled(pool)
        assert set((await pool.broadcast("get")).values()) == {2}
        stats = await pool.execute_in_session("s", "get_stats")
        assert stats["command_count"] == 4  # one put, for the older was overtaken; the asked and this


# --------------------------------------------------------------------------------------------------------- closing


async def test_a_closing_pool_lets_it_finish(tmp_path: Path) -> None:
    """A pool that is left normally drains broadcasts as it drains requests."""
    gate, notes = tmp_path / "gate", tmp_path / "notes"
    results: list[object] = []
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery, trio_pool.open_pool(APP, size=2, shutdown_grace=600.0) as pool:

            async def call() -> None:
                args = {"path": str(gate), "value": 1, "note": str(notes)}
                results.append(await pool.broadcast("put_when", args, key="k"))

            async def open_gate() -> None:
                while (await pool.health_check()).details["closed"] is not True:
                    await trio.lowlevel.checkpoint()
                await trio.testing.wait_all_tasks_blocked(0.02)
                assert {info.status for info in pool.get_pool_status().workers} == {"busy"}
                gate.touch()

            nursery.start_soon(call)
            await noted(notes, 2)
            nursery.start_soon(open_gate)
    assert results == [{"pool-0": 1, "pool-1": 1}]


async def test_a_pool_that_is_torn_down_fails_each_part_truthfully(tmp_path: Path) -> None:
    """What ran has crashed by shutdown, what waited was not executed; a call after that is refused."""
    notes = tmp_path / "notes"
    args = {"path": str(tmp_path / "never"), "value": 1, "note": str(notes)}
    failure = Failure()
    async with trio.open_nursery() as nursery:

        async def lease(*, task_status: trio.TaskStatus[None]) -> None:
            async with pool.checkout():
                task_status.started()
                await trio.sleep_forever()

        with pytest.raises(LookupError):  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, size=2) as pool:
                await nursery.start(lease)
                nursery.start_soon(failure.of, partial(pool.broadcast, "put_when", args, key="k"))  # noqa: ASYNC111  # it outlives the pool on purpose
                await noted(notes, 1)
                raise LookupError
        error = await failure.get()
        nursery.cancel_scope.cancel()
    by_type = {type(part): part for part in error.errors.values()}
    assert set(by_type) == {trio_pool.WorkerCrashed, trio_pool.PoolClosed}
    crash = by_type[trio_pool.WorkerCrashed]
    assert isinstance(crash, trio_pool.WorkerCrashed)
    assert (crash.reason, crash.outcome) == ("shutdown", "maybe_executed")
    assert by_type[trio_pool.PoolClosed].outcome == "not_executed"
    with pytest.raises(trio_pool.PoolClosed):
        await pool.broadcast("put", {"value": 1})


async def test_what_waits_is_told_at_once_when_the_pool_is_torn_down() -> None:
    """Before its workers are stopped, which takes the longer the less they like it."""
    told: list[int] = []
    events: list[PoolEvent] = []
    failure = Failure()
    async with trio.open_nursery() as nursery:

        async def lease(*, task_status: trio.TaskStatus[None]) -> None:
            async with pool.checkout():
                task_status.started()
                await trio.sleep_forever()

        async def call() -> None:
            await failure.of(partial(pool.broadcast, "put", {"value": 1}))
            told.append(sum(isinstance(event, trio_pool.WorkerExited) for event in events))

        with pytest.raises(LookupError):  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, size=1, on_event=events.append) as pool:
                await nursery.start(lease)
                nursery.start_soon(call)  # noqa: ASYNC111  # it outlives the pool on purpose
                await trio.testing.wait_all_tasks_blocked()
                raise LookupError
        await failure.get()
        nursery.cancel_scope.cancel()
    assert told == [0]


async def test_a_pool_that_gives_up_fails_what_waits_for_its_workers(tmp_path: Path) -> None:
    """Nobody waits for a worker that never comes; the cause is named."""
    failure = Failure()
    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE), pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, size=1, restart={"max_restarts": 0}) as pool:
                kill(pool.get_pool_status().workers[0], signal.SIGSTOP)
                nursery.start_soon(failure.of, partial(pool.broadcast, "pid"))  # noqa: ASYNC111  # it outlives the pool on purpose
                await trio.testing.wait_all_tasks_blocked()
                kill(pool.get_pool_status().workers[0])
                await trio.sleep_forever()
        error = await failure.get()
    part = error.errors["pool-0"]
    assert isinstance(part, trio_pool.PoolClosed)
    assert part.__cause__ is caught.value
    assert not _apps.notes(tmp_path / "notes")
