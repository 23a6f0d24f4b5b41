"""Broadcasts: one run in every worker, whatever each is doing."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import _apps
import _broadcast_app
import pytest
import trio
import trio.testing
from _pools import kill, noted, obeys_the_law, pid_of, released, settled
from _workers import PATIENCE

import trio_pool
from trio_pool import BroadcastFailed

if TYPE_CHECKING:
    from pathlib import Path

    from trio_pool import PoolEvent

pytestmark = pytest.mark.slow

APP = "_broadcast_app:bridge"


async def test_every_worker_runs_it_once_and_it_is_no_submission() -> None:
    """The results are by worker id, in the order of the slots; no count and no event of a request tells of them."""
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=3, on_event=events.append) as pool:
        before = len(events)
        pids = await pool.broadcast("pid")
        status = pool.get_pool_status()
        assert list(pids.items()) == [(info.worker_id, info.pid) for info in status.workers]
        assert len(set(pids.values())) == 3
        assert (status.metrics.submitted, status.metrics.running, status.busy) == (0, 0, 0)
        assert len(events) == before


async def test_a_busy_worker_runs_it_in_its_turn(tmp_path: Path) -> None:
    """After what was submitted before the call, before what was submitted after it."""
    file = str(tmp_path / "notes")
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.execute_anonymous, "note_and_wait", {"path": file, "seconds": 0.1, "token": 1})
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pool.execute_in_session, "s", "note_only", {"path": file, "token": 2})
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pool.broadcast, "note_only", {"path": file, "token": 3})
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(pool.execute_anonymous, "note_only", {"path": file, "token": 4})
        await trio.testing.wait_all_tasks_blocked()
        assert pool.get_pool_status().queued == 2
    assert [line.split()[0] for line in _apps.notes(tmp_path / "notes")] == ["1", "2", "3", "4"]


async def test_a_worker_that_runs_one_shows_as_busy_with_no_request(tmp_path: Path) -> None:
    """`WorkerInfo` has no request to name; the law of the metrics holds all the while."""
    gate = tmp_path / "gate"
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        args = {"path": str(gate), "value": 1, "note": str(tmp_path / "notes")}
        nursery.start_soon(pool.broadcast, "put_when", args)
        await noted(tmp_path / "notes", 1)
        status = pool.get_pool_status()
        (info,) = status.workers
        assert (info.status, info.request_id, info.session_id, info.begun) == ("busy", None, None, True)
        assert (status.busy, status.queued, status.metrics.running) == (1, 0, 0)
        assert obeys_the_law(pool)
        gate.touch()


async def test_a_leased_worker_runs_it_when_it_is_back() -> None:
    """The lease is not disturbed; the broadcast waits for its end."""
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:
        results: list[object] = []

        async def call() -> None:
            results.append(await pool.broadcast("put", {"value": 1}))

        async with pool.checkout() as worker:
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert (await worker.send_command("get")).result == "untold"
            assert results == []
    assert results == [{"pool-0": 1, "pool-1": 1}]


async def test_a_starting_worker_runs_it_when_it_is_ready() -> None:
    """Also without a key a slot between two workers has its part, run by the next worker."""
    async with trio_pool.open_pool(APP, size=2) as pool:
        with pool.events() as events:
            kill(pool.get_pool_status().workers[0])
            while not isinstance(await events.receive(), trio_pool.WorkerExited):
                pass
            assert pool.get_pool_status().workers[0].status == "starting"
            pids = await pool.broadcast("pid")
        assert list(pids.values()) == [info.pid for info in pool.get_pool_status().workers]


async def test_a_worker_that_had_not_begun_it_is_replaced_without_notice(tmp_path: Path) -> None:
    """Sent to a frozen worker and never begun, it runs in the replacement, once, ahead of its requests."""
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:
        victim = pool.get_pool_status().workers[0]
        kill(victim, signal.SIGSTOP)
        results: list[dict[str, object]] = []

        async def call() -> None:
            results.append(await pool.broadcast("put", {"value": 1, "note": str(tmp_path / "notes")}))

        nursery.start_soon(call)
        await noted(tmp_path / "notes", 1)
        await trio.testing.wait_all_tasks_blocked()
        kill(victim)
    assert results == [{"pool-0": 1, "pool-1": 1}]
    assert len(_apps.notes(tmp_path / "notes")) == 2


async def test_a_worker_that_waited_to_run_it_and_died_is_replaced_without_notice(tmp_path: Path) -> None:
    """What only waited for a worker waits on for the next; nothing of it was lost with the first."""
    file = tmp_path / "notes"
    results: list[dict[str, object]] = []
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:

        async def call() -> None:
            results.append(await pool.broadcast("note_only", {"path": str(file), "token": 1}))

        async with pool.checkout() as worker:
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            kill(pool.get_pool_status().workers[0])
            await worker.dead.wait()
    assert results == [{"pool-0": 1}]
    assert len(_apps.notes(file)) == 1


async def test_a_worker_that_dies_running_it_fails_it_there(tmp_path: Path) -> None:
    """The others' results are kept; the one line says how many failed, where and why; each part has its outcome."""
    doomed = tmp_path / "doomed"
    async with trio_pool.open_pool(APP, size=3) as pool:
        doomed.write_text(str(pid_of(pool, 1)))
        with pytest.raises(BroadcastFailed) as caught:
            await pool.broadcast("put_or_die", {"path": str(doomed), "value": 1})
        error = caught.value
        assert error.results == {"pool-0": 1, "pool-2": 1}
        (crash,) = error.errors.values()
        assert isinstance(crash, trio_pool.WorkerCrashed)
        assert (list(error.errors), crash.outcome, crash.worker_id) == (["pool-1"], "maybe_executed", "pool-1")
        assert str(error).startswith("put_or_die failed in 1 of 3 workers: pool-1: put_or_die: worker pool-1 (pid")
        assert (error.outcome, error.command, error.key, error.__cause__) == (
            "maybe_executed",
            "put_or_die",
            None,
            crash,
        )
        await settled(pool)
        # Nothing is kept without a key.
        assert await pool.broadcast("get") == {"pool-0": 1, "pool-1": "untold", "pool-2": 1}


async def test_a_crash_without_a_key_is_told_though_the_replacement_is_not_ready(tmp_path: Path) -> None:
    """Nothing that a later worker does could change what came of it."""
    gate, doomed = tmp_path / "gate", tmp_path / "doomed"
    async with trio_pool.open_pool(APP, size=2, env={_broadcast_app.GATE: str(gate)}) as pool:
        gate.touch()
        doomed.write_text(str(pid_of(pool, 1)))
        with trio.fail_after(PATIENCE), pytest.raises(BroadcastFailed):
            await pool.broadcast("put_or_die", {"path": str(doomed), "value": 1})
        assert pool.get_pool_status().workers[1].status == "starting"


async def test_a_command_that_raises_fails_it_there_and_costs_no_worker() -> None:
    """Errors are those a request would have raised; of many, the line quotes a few."""
    async with trio_pool.open_pool(APP, size=4) as pool:
        pids = await pool.broadcast("pid")
        with pytest.raises(BroadcastFailed, match=r"fail failed in 4 of 4 workers: .*; and 1 more; it ran; ") as caught:
            await pool.broadcast("fail", {"text": "sorry"})
        assert caught.value.outcome == "executed"
        assert [type(error) for error in caught.value.errors.values()] == [trio_pool.RemoteError] * 4
        assert {error.request_id for error in caught.value.errors.values()} == {None}
        with pytest.raises(BroadcastFailed) as caught:
            await pool.broadcast("no_such_command")
        assert caught.value.outcome == "not_executed"
        assert {type(error) for error in caught.value.errors.values()} == {trio_pool.UnknownCommand}
        assert await pool.broadcast("pid") == pids


async def test_what_cannot_be_sent_reaches_no_worker() -> None:
    """Arguments are packed once, before any worker is asked, and errors found in that are raised as they are."""
    async with trio_pool.open_pool(APP, size=2, max_frame=100_000) as pool:
        with pytest.raises(trio_pool.Unserializable):
            await pool.broadcast("put", {"value": object()}, key="k")
        with pytest.raises(trio_pool.FrameTooLarge):
            await pool.broadcast("put", {"value": b"x" * 200_000}, key="k")
        assert await pool.broadcast("get") == {"pool-0": "untold", "pool-1": "untold"}


async def test_a_dead_slot_of_a_temporary_pool_is_not_waited_for() -> None:
    """A worker that by policy is not replaced is none of the pool's any more; one lost meanwhile fails its part."""
    async with (
        trio_pool.open_pool(APP, size=2, restart={"restart": "temporary"}) as pool,
        trio.open_nursery() as nursery,
    ):
        victim = pool.get_pool_status().workers[0]
        kill(victim, signal.SIGSTOP)
        errors: list[BroadcastFailed] = []

        async def call() -> None:
            with pytest.raises(BroadcastFailed) as caught:
                await pool.broadcast("pid")
            errors.append(caught.value)

        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        kill(victim)
        with trio.fail_after(PATIENCE):
            while not errors:  # noqa: ASYNC110  # the call ends with the slot, of which no event tells
                await trio.sleep(0.005)
        assert list(errors[0].errors) == ["pool-0"]
        assert "by policy, is not replaced" in str(errors[0])
        assert errors[0].errors["pool-0"].outcome == "not_executed"
        assert pool.get_pool_status().workers[0].status == "dead"
        with trio.fail_after(PATIENCE):
            assert await pool.broadcast("pid") == {"pool-1": pid_of(pool, 1)}
            kill(pool.get_pool_status().workers[1])
            while pool.get_pool_status().workers[1].status != "dead":  # noqa: ASYNC110  # as above
                await trio.sleep(0.005)
            assert await pool.broadcast("pid") == {}


async def test_there_may_be_so_many_broadcasts_and_no_more() -> None:
    """One beyond a hundred under way is refused at once; those go on."""
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        results: list[object] = []

        async def call(number: int) -> None:
            results.append(await pool.broadcast("put", {"value": number}))

        async with pool.checkout():
            for number in range(100):
                nursery.start_soon(call, number)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(trio_pool.PoolSaturated, match="100 broadcasts are under way already"):
                await pool.broadcast("put", {"value": 100})
    assert len(results) == 100
    await released(pool)
