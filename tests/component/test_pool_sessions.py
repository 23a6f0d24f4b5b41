"""Sessions: their state, order, loss and end."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import _apps
import pytest
import trio
import trio.testing
from _pools import (
    APP,
    kill,
    noted,
    repeat,
)
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from pathlib import Path

    from trio_pool import SessionPool

pytestmark = pytest.mark.slow


async def test_ten_sessions_on_four_workers_keep_their_own_state() -> None:
    """Sessions share workers over time, and each sees its own state only, on one worker."""
    async with trio_pool.open_pool(APP, size=4) as pool, trio.open_nursery() as nursery:

        async def use(number: int) -> None:
            async with pool.session(f"concurrent_{number}") as session:
                homes = set()
                for step in range(5):
                    await session.execute("remember", {"key": f"k{step}", "value": number * 100 + step})
                    homes.add(await session.execute("pid"))
                assert await session.execute("recall") == {f"k{step}": number * 100 + step for step in range(5)}
                assert len(homes) == 1

        for number in range(10):
            nursery.start_soon(use, number)
    assert pool.get_sessions() == {}


async def test_an_empty_session_sees_nothing_of_the_others() -> None:
    """A session that has nothing lists nothing, on the worker of one that has."""
    async with trio_pool.open_pool(size=1) as pool:
        config = {"program_type": "python", "function": "_apps:add", "signature": {"inputs": [], "outputs": []}}
        del config["signature"]
        await pool.execute_in_session("empty", "ping")
        listed = await pool.execute_in_session("empty", "list_programs")
        assert (listed["programs"], listed["total_count"]) == ([], 0)
    async with trio_pool.open_pool(APP, size=1) as pool:
        await pool.execute_in_session("full", "remember", {"key": "a", "value": 1})
        assert await pool.execute_in_session("empty", "recall") == {}


@pytest.mark.document("F-033", "F-044")
async def test_sessions_are_tracked_listed_and_ended() -> None:
    """track_session is idempotent, get_sessions a snapshot by id, ending an unknown one SessionNotFound."""
    async with trio_pool.open_pool(APP, size=2) as pool:
        pool.track_session("session_1")
        pool.track_session("session_2")
        pool.track_session("session_2")
        assert set(pool.get_sessions()) == {"session_1", "session_2"}
        assert pool.get_sessions()["session_1"].status == "unbound"
        await pool.execute_in_session("session_1", "remember", {"key": "a", "value": 1})
        info = pool.get_sessions()["session_1"]
        assert (info.status, info.operations) == ("bound", 1)
        await pool.end_session("session_1")
        assert set(pool.get_sessions()) == {"session_2"}
        with pytest.raises(trio_pool.SessionNotFound):
            await pool.end_session("ghost_session")
        assert await pool.execute_in_session("session_1", "recall") == {}, "the id starts anew"


@pytest.mark.document("F-044")
async def test_a_session_without_a_name_gets_one_of_its_own_and_ends_with_its_block() -> None:
    """Ids are made where none is given, never one that is in use; an empty one is refused, not replaced."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        pool.track_session("pool-session-2")
        async with pool.session() as one, pool.session() as other, pool.session("named") as named:
            assert len({one.session_id, other.session_id, "pool-session-2"}) == 3
            assert named.session_id == "named"
            await one.execute("remember", {"key": "a", "value": 1})
            assert await other.execute("recall") == {}
            assert set(pool.get_sessions()) == {one.session_id, other.session_id, "named", "pool-session-2"}
        assert set(pool.get_sessions()) == {"pool-session-2"}
        with pytest.raises(ValueError, match="session id"):
            async with pool.session(""):
                pytest.fail("there is no such session")


async def test_a_session_runs_one_request_at_a_time_in_order(tmp_path: Path) -> None:
    """Requests of one session are entered in the order they were submitted, though other workers are idle."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=3) as pool, trio.open_nursery() as nursery:
        for token in range(8):
            args = {"path": str(file), "seconds": 0.01, "token": token}
            nursery.start_soon(pool.execute_in_session, "one", "note_and_wait", args)
            await trio.testing.wait_all_tasks_blocked()
    lines = [line.split() for line in _apps.notes(file)]
    assert [int(token) for token, _ in lines] == list(range(8))
    assert len({pid for _, pid in lines}) == 1


async def test_the_state_of_a_dead_worker_is_lost_not_silently_empty() -> None:
    """SessionLost for every call until the session is ended; then the id starts anew."""
    async with trio_pool.open_pool(APP, size=2) as pool:
        await pool.execute_in_session("s", "remember", {"key": "a", "value": 1})
        home = next(info for info in pool.get_pool_status().workers if info.sessions)
        kill(home)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with trio.fail_after(PATIENCE), pytest.raises(trio_pool.SessionLost) as caught:
                await repeat(pool.execute_in_session, "s", "recall")
            error = caught.value
            assert error.outcome == "not_executed"
            assert (error.worker_id, error.pid, error.incarnation) == (home.worker_id, home.pid, home.incarnation)
            assert str(error.exit) == "SIGKILL"
            assert "did not run" in str(error)
        assert pool.get_sessions()["s"].status == "lost"
        await pool.end_session("s")
        assert await pool.execute_in_session("s", "recall") == {}


async def test_a_session_that_never_used_its_state_moves_without_notice() -> None:
    """A worker's death is no loss to a session whose commands kept nothing there."""
    async with trio_pool.open_pool(APP, size=2) as pool:
        first = await pool.execute_in_session("s", "pid")
        kill(next(info for info in pool.get_pool_status().workers if info.pid == first))
        with trio.fail_after(PATIENCE):
            second = await pool.execute_in_session("s", "pid")
        assert second != first


async def test_a_request_that_had_begun_counts_as_use_of_its_session(tmp_path: Path) -> None:
    """Nobody can know what a dying command did to the session, so the session is lost, whatever the command takes."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=2) as pool:
        with pytest.raises(trio_pool.WorkerCrashed):
            await pool.execute_in_session("s", "die", {"path": str(file), "how": "kill"})
        with pytest.raises(trio_pool.SessionLost):
            await pool.execute_in_session("s", "pid")


async def test_a_reply_counts_though_its_worker_died_before_it_was_read() -> None:
    """The worker answers and is killed while the loop stands still: that is an answer, and who waits is served."""
    for _ in range(5):  # its exit and its reply are seen in the same moment, in either order
        async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
            values: list[object] = []

            async def ask(pool: SessionPool = pool, values: list[object] = values) -> None:
                values.append(await pool.execute_in_session("s", "pid"))

            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0)
            victim = pool.get_pool_status().workers[0]
            time.sleep(0.1)  # noqa: ASYNC200, ASYNC251  # the reply comes and the worker is killed unseen
            kill(victim)
            time.sleep(0.05)  # noqa: ASYNC200, ASYNC251  # as above
        assert len(values) == 2
        assert values[0] == victim.pid


async def test_waiting_requests_of_a_lost_session_fail_at_once(tmp_path: Path) -> None:
    """Those who wait for a worker that died are told so then, not at their timeout."""
    file = tmp_path / "notes"
    results: list[str] = []
    async with trio_pool.open_pool(APP, size=2) as pool, trio.open_nursery() as nursery:
        await pool.execute_in_session("s", "remember", {"key": "a", "value": 1})

        async def ask(command: str, args: dict[str, object]) -> None:
            try:
                await pool.execute_in_session("s", command, args)
            except trio_pool.TrioPoolError as exc:
                results.append(type(exc).__name__)

        nursery.start_soon(ask, "note_and_wait", {"path": str(file), "seconds": 60.0, "token": 1})
        _, pid = (await noted(file, 1))[0].split()
        nursery.start_soon(ask, "recall", {})
        await trio.testing.wait_all_tasks_blocked()
        os.kill(int(pid), signal.SIGKILL)
        with trio.fail_after(PATIENCE):
            while len(results) < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
    assert sorted(results) == ["SessionLost", "WorkerCrashed"]


async def test_ending_a_session_fails_what_waits_and_lets_run_what_runs(tmp_path: Path) -> None:
    """end_session: the running request finishes, the queued ones get SessionNotFound, the state is gone."""
    file = tmp_path / "notes"
    results: list[object] = []
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        await pool.execute_in_session("s", "remember", {"key": "a", "value": 1})

        async def ask(command: str, args: dict[str, object]) -> None:
            try:
                results.append(await pool.execute_in_session("s", command, args))
            except trio_pool.TrioPoolError as exc:
                results.append(type(exc).__name__)

        nursery.start_soon(ask, "note_and_wait", {"path": str(file), "seconds": 0.2, "token": 5})
        await noted(file, 1)
        nursery.start_soon(ask, "recall", {})
        await trio.testing.wait_all_tasks_blocked()
        await pool.end_session("s")
        assert await pool.execute_in_session("s", "recall") == {}
    assert results == ["SessionNotFound", 5]


async def test_session_ids_and_numbers_are_bounded() -> None:
    """Bad ids are ValueErrors; one session too many is SessionLimit; any valid id works."""
    async with trio_pool.open_pool(size=1, sessions={"max_sessions": 2}) as pool:
        for bad in ("", "x" * 256, "é" * 128, 7, None):
            with pytest.raises((ValueError, TypeError)):
                pool.track_session(bad)  # type: ignore[arg-type]  # the point
        await pool.execute_in_session("x" * 255, "ping")
        await pool.execute_in_session("\0 /é", "ping")
        with pytest.raises(trio_pool.SessionLimit):
            await pool.execute_in_session("third", "ping")
        await pool.end_session("x" * 255)
        await pool.execute_in_session("third", "ping")


@pytest.mark.document("F-032")
async def test_an_idle_session_expires_after_its_ttl() -> None:
    """A session unused for ``ttl`` seconds is ended and its state dropped in the worker."""
    async with trio_pool.open_pool(APP, size=1, sessions={"ttl": 0.1}) as pool:
        await pool.execute_in_session("s", "remember", {"key": "a", "value": 1})
        with trio.fail_after(PATIENCE):
            while pool.get_sessions():  # noqa: ASYNC110  # expiry has no event
                await trio.sleep(0.02)
        assert await pool.execute_in_session("s", "recall") == {}
