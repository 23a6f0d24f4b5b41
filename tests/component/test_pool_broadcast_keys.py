"""Keyed broadcasts: the state all workers of a pool are in, those to come included."""

from __future__ import annotations

import math
import signal
from contextlib import suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import _apps
import _broadcast_app
import pytest
import trio
import trio.testing
from _pools import exited, kill, noted, obeys_the_law, pid_of, settled
from _workers import PATIENCE

import trio_pool
from trio_pool import Backoff, BroadcastFailed, RestartPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from trio_pool import SessionPool

pytestmark = pytest.mark.slow

APP = "_broadcast_app:bridge"
RESTLESS = RestartPolicy(max_restarts=math.inf, backoff=Backoff(initial=0.0))
"""For tests of what many restarts do, not of who stops them."""


async def replaced(pool: SessionPool, slot: int) -> None:
    """Kill a worker and wait for the next."""
    with trio.fail_after(PATIENCE), pool.events() as events:
        kill(pool.get_pool_status().workers[slot])
        async for event in events:
            if isinstance(event, trio_pool.WorkerReady) and event.slot == slot:
                return


async def until(pool: SessionPool, value: object) -> None:
    """Wait until all workers hold a value, which some get when nobody waits for that."""
    with trio.fail_after(PATIENCE):
        while set((await pool.broadcast("get")).values()) != {value}:  # noqa: ASYNC110  # no event tells of it
            await trio.sleep(0.005)


@pytest.mark.document("F-046")
async def test_all_workers_answer_as_configured_whichever_were_killed() -> None:
    """Configure, kill a worker, kill them all: all of them still answer as configured."""
    async with trio_pool.open_pool(APP, size=4, restart=RESTLESS) as pool:
        assert await pool.broadcast("put", {"value": "told"}, key="k") == {f"pool-{slot}": "told" for slot in range(4)}
        await replaced(pool, 2)
        assert await pool.broadcast("get") == {f"pool-{slot}": "told" for slot in range(4)}
        for slot in range(4):
            await replaced(pool, slot)
        assert await pool.broadcast("get") == {f"pool-{slot}": "told" for slot in range(4)}


async def test_no_request_ever_finds_a_worker_without_it() -> None:
    """Requests that wait for a restart are served by a worker that has been told, after its start hook."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        await pool.broadcast("put", {"value": "told"}, key="k")
        for _ in range(3):
            found: list[object] = []

            async def ask(found: list[object]) -> None:
                found.append(await pool.execute_anonymous("get"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.execute_anonymous, "ping")
                await exited(pool, 0)
                for _ in range(10):
                    nursery.start_soon(ask, found)
            assert found == ["told"] * 10


async def test_the_latest_of_each_key_is_replayed() -> None:
    """Keys are apart from each other, and an earlier call under one is forgotten for a later."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        for value in (1, 2, 3):
            await pool.broadcast("put", {"key": "a", "value": value}, key="a")
            await pool.broadcast("put", {"key": "b", "value": -value}, key="b")
        await replaced(pool, 0)
        assert await pool.execute_anonymous("get", {"key": "a"}) == 3
        assert await pool.execute_anonymous("get", {"key": "b"}) == -3
        stats = await pool.execute_anonymous("get_stats")
        assert stats["command_count"] == 6  # two puts, a ping, two gets and this


async def test_what_is_kept_is_what_was_sent() -> None:
    """What the caller does to a buffer afterwards does not reach later workers."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        data = bytearray(b"a" * 200_000)
        await pool.broadcast("measure", {"data": data}, key="k")
        data[:] = b"b" * 200_000
        await replaced(pool, 0)
        assert await pool.execute_anonymous("get") == ord("a")


async def test_what_failed_everywhere_is_not_kept(tmp_path: Path) -> None:
    """A command no worker accepts is no poison for later workers, and what was kept before stays."""
    obstacle = tmp_path / "obstacle"
    obstacle.touch()
    async with trio_pool.open_pool(APP, size=2) as pool:
        await pool.broadcast("put", {"value": "before"}, key="k")
        with pytest.raises(BroadcastFailed) as caught:
            await pool.broadcast("put_unless", {"path": str(obstacle), "value": "after"}, key="k")
        assert (caught.value.key, caught.value.results, len(caught.value.errors)) == ("k", {}, 2)
        await replaced(pool, 0)
        assert await pool.broadcast("get") == {"pool-0": "before", "pool-1": "before"}


async def test_what_one_worker_accepted_is_kept(tmp_path: Path) -> None:
    """Both halves are told; the workers that refused stay as they are, and later ones must accept it."""
    first = tmp_path / "first"
    async with trio_pool.open_pool(APP, size=3) as pool:
        pids = await pool.broadcast("pid")
        with pytest.raises(BroadcastFailed) as caught:
            await pool.broadcast("put_if_first", {"path": str(first), "value": 1}, key="k")
        assert (len(caught.value.results), len(caught.value.errors)) == (1, 2)
        assert await pool.broadcast("pid") == pids
        assert sorted((await pool.broadcast("get")).values(), key=str) == [1, "untold", "untold"]
        refused = next(iter(caught.value.errors))
        slot = int(refused[-1])
        first.unlink()
        await replaced(pool, slot)
        assert (await pool.broadcast("get"))[refused] == 1


async def test_a_replay_that_fails_is_a_failed_start_and_the_restart_policy_takes_over(tmp_path: Path) -> None:
    """The errors of the pool that gives up name key, command and reason, with the worker's traceback."""
    obstacle = tmp_path / "obstacle"
    restart = {"max_restarts": 2, "backoff": {"initial": 0.01}}
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
        async with trio_pool.open_pool(APP, size=1, restart=restart) as pool:
            await pool.broadcast("put_unless", {"path": str(obstacle), "value": 1}, key="model")
            obstacle.touch()
            kill(pool.get_pool_status().workers[0])
            await trio.sleep_forever()
    failed = [error for error in caught.value.errors if isinstance(error, trio_pool.WorkerInitFailed)]
    assert len(failed) == 2
    for error in failed:
        assert "failed in the broadcast 'put_unless' kept under key 'model': LookupError: not with" in str(error)
        assert (error.reason, error.command, error.outcome) == ("broadcast", "put_unless", "not_executed")
        assert "put_unless" in (error.remote_traceback or "")


async def test_a_replay_that_succeeds_at_last_brings_the_worker_back(tmp_path: Path) -> None:
    """Nothing but the restart policy limits the attempts, and no request meets the attempts that failed."""
    obstacle = tmp_path / "obstacle"
    async with trio_pool.open_pool(APP, size=1, restart=RESTLESS) as pool:
        await pool.broadcast("put_unless", {"path": str(obstacle), "value": 1}, key="k")
        obstacle.touch()
        await exited(pool, 0)
        async with trio.open_nursery() as nursery:

            async def remove() -> None:
                with pool.events() as events:
                    async for event in events:
                        if isinstance(event, trio_pool.WorkerExited):
                            assert event.reason == "init"
                            obstacle.unlink()
                            return

            nursery.start_soon(remove)
            assert await pool.execute_anonymous("get", checkout_timeout=PATIENCE) == 1
        assert pool.get_pool_status().metrics.worker_errors >= 2


@pytest.mark.parametrize(("how", "reason"), [("dies", "exit"), ("hangs", "timeout")])
async def test_a_worker_that_dies_or_hangs_in_a_replay_is_a_failed_start(tmp_path: Path, how: str, reason: str) -> None:
    """A start is bounded and honest whatever the kept command does in it; what hung is gone (the fixture looks)."""
    file = tmp_path / "file"
    file.touch()
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
        async with trio_pool.open_pool(APP, size=1, restart={"max_restarts": 0}, timeout=0.5) as pool:
            if how == "dies":
                await pool.broadcast("put_or_die", {"path": str(file), "value": 1}, key="k")
                file.write_text("anybody")
            else:
                args = {"path": str(file), "value": 1, "note": str(tmp_path / "notes")}
                await pool.broadcast("put_when", args, key="k")
                file.unlink()
            # By plan, so that the start is the first thing charged.
            kill(pool.get_pool_status().workers[0], signal.SIGTERM)
            await trio.sleep_forever()
    (error,) = caught.value.errors
    assert isinstance(error, trio_pool.WorkerInitFailed)
    assert (error.reason, str(error.exit)) == (reason, "SIGKILL")
    assert "kept under key 'k'" in str(error)


async def test_the_replacements_replay_counts_for_a_worker_that_died_running_it(tmp_path: Path) -> None:
    """If others accept it, the call succeeds in all: the dead worker's part is its replacement's."""
    doomed = tmp_path / "doomed"
    async with trio_pool.open_pool(APP, size=3) as pool:
        doomed.write_text(str(pid_of(pool, 1)))
        results = await pool.broadcast("put_or_die", {"path": str(doomed), "value": 1}, key="k")
        assert results == {"pool-0": 1, "pool-1": 1, "pool-2": 1}
        assert pool.get_pool_status().metrics.restarts == 1
        assert await pool.broadcast("get") == results


async def test_what_kills_every_worker_fails_and_is_not_kept(tmp_path: Path) -> None:
    """Nobody accepted it, so the dead are told as such, their replacements do not run it, and the pool recovers."""
    doomed = tmp_path / "doomed"
    doomed.write_text("anybody")
    async with trio_pool.open_pool(APP, size=2) as pool:
        with trio.fail_after(PATIENCE), pytest.raises(BroadcastFailed) as caught:
            await pool.broadcast("put_or_die", {"path": str(doomed), "value": 1}, key="k")
        assert [type(error) for error in caught.value.errors.values()] == [trio_pool.WorkerCrashed] * 2
        await settled(pool)
        assert await pool.broadcast("get") == {"pool-0": "untold", "pool-1": "untold"}


async def test_a_dead_worker_is_told_as_such_if_nobody_accepts_it(tmp_path: Path) -> None:
    """Its part waits for the others' answers, and theirs was no: the replacement runs nothing."""
    doomed = tmp_path / "doomed"
    errors: list[BroadcastFailed] = []
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:

        async def call() -> None:
            with pytest.raises(BroadcastFailed) as caught:
                await pool.broadcast("die_or_raise", {"path": str(doomed)}, key="k")
            errors.append(caught.value)

        async with pool.checkout() as leased:
            dying = next(info for info in pool.get_pool_status().workers if info.pid != leased.pid)
            doomed.write_text(str(dying.pid))
            with trio.fail_after(PATIENCE), pool.events() as events:
                nursery.start_soon(call)
                while not isinstance(await events.receive(), trio_pool.WorkerReady):
                    pass
                assert errors == []
        with trio.fail_after(PATIENCE):
            while not errors:  # noqa: ASYNC110  # the call ends in a task of its own
                await trio.sleep(0.005)
        found = {name: type(error) for name, error in errors[0].errors.items()}
        assert found == {dying.worker_id: trio_pool.WorkerCrashed, leased.worker_id: trio_pool.RemoteError}
        await settled(pool)
        assert pool.get_pool_status().metrics.restarts == 1


async def test_an_older_call_accepted_later_is_not_kept(tmp_path: Path) -> None:
    """The latest call wins, though a slow worker accepts the one before when that is kept already."""
    notes = tmp_path / "notes"
    older, latest = tmp_path / "older", tmp_path / "latest"
    for folder in (older, latest):
        folder.mkdir()
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:
        slow, fast = (str(pid) for pid in (await pool.broadcast("pid")).values())

        async def call(folder: Path) -> None:
            args = {"folder": str(folder), "value": folder.name, "note": str(notes)}
            with pytest.raises(BroadcastFailed):
                await pool.broadcast("put_as_told", args, key="k")

        for folder in (older, latest):
            nursery.start_soon(call, folder)
            await trio.testing.wait_all_tasks_blocked()
        (older / fast).write_text("raise")
        (latest / fast).write_text("put")
        await settled_but(pool, busy=1)
        (older / slow).write_text("put")
        (latest / slow).write_text("raise")
        await settled(pool)
        for folder in (older, latest):
            (folder / "anybody").write_text("put")
        await replaced(pool, 1)
        assert await pool.broadcast("get") == {"pool-0": "older", "pool-1": "latest"}


async def settled_but(pool: SessionPool, *, busy: int) -> None:
    """Wait until all workers are ready, so many of them busy."""
    with trio.fail_after(PATIENCE):
        while pool.get_pool_status().busy != busy:  # noqa: ASYNC110  # a worker that falls idle has no event of its own
            await trio.sleep(0.005)


async def test_calls_under_one_key_run_in_order_in_every_worker(tmp_path: Path) -> None:
    """Made at once, on workers idle, busy or leased, they leave each worker and each later one with the last."""
    notes = str(tmp_path / "notes")
    async with trio_pool.open_pool(APP, size=3) as pool:
        async with pool.checkout(), trio.open_nursery() as nursery:
            nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.05})
            for number in range(5):
                nursery.start_soon(partial(pool.broadcast, "put", {"value": number, "note": notes}, key="k"))
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.deadline = trio.current_time() + 0.2
        await until(pool, 4)
        await replaced(pool, 0)
        assert set((await pool.broadcast("get")).values()) == {4}
        runs: dict[str, list[int]] = {}
        for line in _apps.notes(tmp_path / "notes"):
            value, pid = line.split()
            runs.setdefault(pid, []).append(int(value))
        assert all(values == sorted(values) for values in runs.values())


async def test_a_starting_worker_runs_what_it_is_waited_for_in_order(tmp_path: Path) -> None:
    """Two calls of one key while a worker starts: it runs both before it is ready, the older first; both succeed."""
    gate, notes = tmp_path / "gate", tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=2, env={_broadcast_app.GATE: str(gate)}) as pool:
        await pool.broadcast("put", {"value": 0}, key="k")
        gate.touch()
        await exited(pool, 0)
        results: dict[object, dict[str, object]] = {}

        async def call(value: object, key: str | None) -> None:
            results[value] = await pool.broadcast("put", {"value": value, "note": str(notes)}, key=key)

        async with trio.open_nursery() as nursery:
            for value, key in ((1, "k"), (2, "k"), (3, None)):
                nursery.start_soon(call, value, key)
                await trio.testing.wait_all_tasks_blocked()
            await noted(notes, 3)
            assert results == {}
            with pool.events() as events:
                gate.unlink()
                while not isinstance(await events.receive(), trio_pool.WorkerReady):
                    pass
                # What is kept was run before ready; the one without a key comes after.
                assert len(_apps.notes(notes)) >= 5
        assert results == {value: {"pool-0": value, "pool-1": value} for value in (1, 2, 3)}
        assert [line.split()[0] for line in _apps.notes(notes)] == ["1", "2", "3"] * 2


async def test_keys_are_checked_and_bounded() -> None:
    """A key is a name: a non-empty str of up to 255 bytes, and there are a hundred of them at the most."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        for key in ("", "x" * 256, "\ud800", 7, b"k"):
            with pytest.raises(ValueError, match="a key is a non-empty str of up to 255 bytes"):
                await pool.broadcast("put", {"value": 1}, key=key)  # type: ignore[arg-type]  # untyped callers exist
        for number in range(100):
            await pool.broadcast("put", {"value": number}, key=str(number))
        with pytest.raises(trio_pool.InvalidArguments, match="there are 100 keys already"):
            await pool.broadcast("put", {"value": -1}, key="one more")
        assert await pool.execute_anonymous("get") == 99
        await pool.broadcast("put", {"value": -1}, key="0")
        assert await pool.execute_anonymous("get") == -1


async def test_a_storm_of_deaths_and_calls_leaves_all_workers_with_the_last(tmp_path: Path) -> None:
    """Whatever dies in whatever moment, calls of a key run in order in each worker, and the last of them stays."""
    random = Random(7)  # noqa: S311  # it chooses whom to kill, it guards nothing
    notes = str(tmp_path / "notes")
    async with trio_pool.open_pool(APP, size=3, restart=RESTLESS) as pool:
        await pool.broadcast("put", {"value": -1, "note": notes}, key="k")
        found: list[int] = []

        async def ask() -> None:
            while True:
                with suppress(trio_pool.WorkerCrashed):
                    found.append(await pool.execute_anonymous("get"))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
            for number in range(25):
                async with trio.open_nursery() as calls:
                    calls.start_soon(partial(pool.broadcast, "put", {"value": number, "note": notes}, key="k"))
                    await trio.sleep(random.uniform(0, 0.01))
                    alive = [info for info in pool.get_pool_status().workers if info.pid is not None]
                    victim = random.choice(alive)
                    if victim.status in ("ready", "busy"):
                        kill(victim)
            nursery.cancel_scope.cancel()
        await settled(pool)
        assert await pool.broadcast("get") == {f"pool-{slot}": 24 for slot in range(3)}
        assert obeys_the_law(pool)
    # "untold" would be a str: no request ever found a worker that had not been told.
    assert {type(value) for value in found} == {int}
    runs: dict[str, list[int]] = {}
    for line in _apps.notes(tmp_path / "notes"):
        value, pid = line.split()
        runs.setdefault(pid, []).append(int(value))
    assert all(values == sorted(set(values)) for values in runs.values())
