"""The pool over real workers: routing, sessions, leases, limits, and what a death costs."""

from __future__ import annotations

import math
import os
import signal
import time
from typing import TYPE_CHECKING

import _apps
import pytest
import trio
import trio.testing
from _cancelling import cancel_at_each_checkpoint
from _workers import PATIENCE

import trio_pool
from trio_pool import PoolConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from trio_pool import PoolEvent, SessionPool, WorkerInfo

pytestmark = pytest.mark.slow

APP = "_apps:bridge"


def obeys_the_law(pool: SessionPool) -> bool:
    """submitted = queued + running + ok + failed + timed_out + cancelled + rejected."""
    m = pool.get_pool_status().metrics
    return m.submitted == m.queued + m.running + m.ok + m.failed + m.timed_out + m.cancelled + m.rejected


async def settled(pool: SessionPool) -> None:
    """Wait until every slot has an idle worker and nothing is queued or running."""
    with trio.fail_after(PATIENCE), pool.events() as events:
        while True:
            status = pool.get_pool_status()
            if status.busy == status.queued == 0 and status.ready == status.size:
                return
            with trio.move_on_after(
                0.2
            ):  # a worker that falls idle without finishing a request has no event of its own
                await events.receive()


async def noted(path: Path, count: int) -> list[str]:
    """Wait until commands have noted that many lines."""
    with trio.fail_after(PATIENCE):
        while len(_apps.notes(path)) < count:  # noqa: ASYNC110  # as below
            await trio.sleep(0.005)  # another process writes the file; nobody tells of it
    return _apps.notes(path)


async def repeat(call: Callable[..., Awaitable[object]], *args: object) -> None:
    """Call again and again, until it raises."""
    while True:
        await call(*args)


def kill(info: WorkerInfo, sig: signal.Signals = signal.SIGKILL) -> None:
    """Signal a worker of ours."""
    assert info.pid is not None
    os.kill(info.pid, sig)


# -- routing -----------------------------------------------------------------------------------------------------------


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
        assert mine.value.outcome == "not_executed"
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
    assert "printed 0" in messages
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


# -- sessions ----------------------------------------------------------------------------------------------------------


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
            assert caught.value.outcome == "not_executed"
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


async def test_an_idle_session_expires_after_its_ttl() -> None:
    """A session unused for ``ttl`` seconds is ended and its state dropped in the worker."""
    async with trio_pool.open_pool(APP, size=1, sessions={"ttl": 0.1}) as pool:
        await pool.execute_in_session("s", "remember", {"key": "a", "value": 1})
        with trio.fail_after(PATIENCE):
            while pool.get_sessions():  # noqa: ASYNC110  # expiry has no event
                await trio.sleep(0.02)
        assert await pool.execute_in_session("s", "recall") == {}


# -- deaths ------------------------------------------------------------------------------------------------------------


async def test_killing_an_idle_worker_costs_no_request_and_it_is_replaced() -> None:
    """Requests right after the kill succeed, and the pool is soon at full strength with another pid."""
    async with trio_pool.open_pool(APP, size=2) as pool:
        victim = pool.get_pool_status().workers[0]
        kill(victim)
        for n in range(50):
            assert await pool.execute_anonymous("quick", {"n": n}) == n + 1
        with trio.fail_after(PATIENCE):
            await settled(pool)
        assert victim.pid not in {info.pid for info in pool.get_pool_status().workers}
        assert pool.get_pool_status().metrics.failed == 0


async def test_a_worker_that_is_being_buried_is_given_nothing(tmp_path: Path) -> None:
    """From the moment its death is noticed a worker gets no request, however long its last words take."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=2) as pool:
        victim = await pool.execute_anonymous("leave_a_child", {"path": str(file)})
        child = int(_apps.notes(file)[0])
        try:
            os.kill(victim, signal.SIGKILL)
            with trio.fail_after(PATIENCE):
                while victim in {info.pid for info in pool.get_pool_status().workers if info.status == "ready"}:
                    await trio.testing.wait_all_tasks_blocked(0.001)
                while victim in {info.pid for info in pool.get_pool_status().workers}:
                    assert await pool.execute_anonymous("pid") != victim
        finally:
            os.kill(child, signal.SIGKILL)
        assert pool.get_pool_status().metrics.redispatched == 0


@pytest.mark.parametrize(
    ("how", "exit_"), [("kill", "SIGKILL"), ("segv", "SIGSEGV"), ("0", "exit code 0"), ("3", "exit code 3")]
)
async def test_a_death_costs_the_request_begun_there_and_no_other(tmp_path: Path, how: str, exit_: str) -> None:
    """The one running request is WorkerCrashed, maybe executed; those queued all succeed."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        errors: list[trio_pool.WorkerCrashed] = []
        values: list[int] = []

        async def crash() -> None:
            try:
                await pool.execute_anonymous("die", {"path": str(file), "how": how})
            except trio_pool.WorkerCrashed as exc:
                errors.append(exc)

        async def ask(n: int) -> None:
            values.append(await pool.execute_anonymous("quick", {"n": n}))

        nursery.start_soon(crash)
        await trio.testing.wait_all_tasks_blocked()
        for n in range(5):
            nursery.start_soon(ask, n)
    assert [(str(error.exit), error.outcome) for error in errors] == [(exit_, "maybe_executed")]
    assert sorted(values) == [1, 2, 3, 4, 5]


async def test_a_request_that_was_not_begun_is_dispatched_again(tmp_path: Path) -> None:
    """Written to a frozen worker and never begun, a request moves to another when that worker dies, and runs once."""
    file = tmp_path / "notes"
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        victim = pool.get_pool_status().workers[0]
        kill(victim, signal.SIGSTOP)
        answers: list[int] = []

        async def ask() -> None:
            answers.append(await pool.execute_anonymous("note_only", {"path": str(file), "token": 9}))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        (info,) = pool.get_pool_status().workers
        assert (info.status, info.begun) == ("busy", False)
        kill(victim)
    assert answers == [9]
    assert len(_apps.notes(file)) == 1
    assert pool.get_pool_status().metrics.redispatched == 1


async def test_a_worker_sent_sigterm_leaves_by_plan(caplog: pytest.LogCaptureFixture) -> None:
    """SIGTERM from outside: the running command ends well, the worker is replaced, nothing is charged."""
    events: list[PoolEvent] = []
    config = PoolConfig(size=1, restart={"max_restarts": 0}, on_event=events.append)
    async with trio_pool.open_pool(APP, config) as pool, trio.open_nursery() as nursery:
        values: list[object] = []

        async def ask() -> None:
            values.append(await pool.execute_anonymous("sleep", {"duration": 0.2}))

        for _ in range(3):
            victim = pool.get_pool_status().workers[0]
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.05)
            kill(victim, signal.SIGTERM)
            with trio.fail_after(PATIENCE):
                await pool.execute_anonymous("ping", checkout_timeout=PATIENCE)
    assert values == [None] * 3
    exits = [event for event in events if isinstance(event, trio_pool.WorkerExited)]
    assert [(event.reason, event.planned) for event in exits] == [("leaving", True)] * 3 + [("shutdown", True)]
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_the_pool_gives_up_out_of_the_async_with() -> None:
    """More deaths than the policy allows: the body is cancelled, RestartIntensityExceeded leaves it bare."""
    told: list[trio_pool.PoolClosed] = []
    config = PoolConfig(size=1, restart={"max_restarts": 1, "within": 30.0, "backoff": {"initial": 0.01}})

    async def wait_in_vain(pool: SessionPool) -> None:
        with pytest.raises(trio_pool.PoolClosed) as caught:
            await repeat(pool.execute_anonymous, "ping")
        told.append(caught.value)

    async with trio.open_nursery() as nursery:
        with trio.fail_after(PATIENCE), pytest.raises(trio_pool.RestartIntensityExceeded) as caught:  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, config) as pool:
                for _ in range(2):
                    with pytest.raises(trio_pool.WorkerCrashed):
                        await pool.execute_anonymous("die", {"path": os.devnull, "how": "3"})
                nursery.start_soon(wait_in_vain, pool)  # noqa: ASYNC111  # it outlives the pool on purpose
                await trio.sleep_forever()
    assert [str(error.exit) for error in caught.value.errors] == ["exit code 3"] * 2  # type: ignore[attr-defined]  # crashes
    assert [type(error.__cause__) for error in told] == [trio_pool.RestartIntensityExceeded]


async def test_the_first_worker_that_does_not_start_stops_the_others() -> None:
    """open_pool raises that worker's WorkerInitFailed, bare, with its traceback."""
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerInitFailed, match="broken on purpose") as caught:
        async with trio_pool.open_pool("_broken_app:bridge", size=3):
            pytest.fail("it cannot be open")
    assert "_broken_app.py" in (caught.value.remote_traceback or "")


# -- time --------------------------------------------------------------------------------------------------------------


async def test_a_command_beyond_its_budget_times_out_and_its_worker_is_replaced() -> None:
    """CommandTimeout at the deadline; the worker is killed after abandon_grace, uncharged, and nothing else suffers."""
    events: list[PoolEvent] = []
    config = PoolConfig(size=1, abandon_grace=0.05, restart={"max_restarts": 0}, on_event=events.append)
    async with trio_pool.open_pool(APP, config) as pool:
        with pytest.raises(trio_pool.CommandTimeout) as caught:
            await pool.execute_anonymous("sleep", {"duration": 60.0}, timeout=0.1)
        assert caught.value.outcome == "maybe_executed"
        assert caught.value.timeout == pytest.approx(0.1)
        assert pool.get_pool_status().busy == 1, "an abandoned worker takes nothing new"
        with trio.fail_after(PATIENCE):
            assert await pool.execute_anonymous("quick", {"n": 1}) == 2
    assert [event.reason for event in events if isinstance(event, trio_pool.WorkerKilled)] == ["timeout"]


async def test_an_abandoned_worker_that_ends_in_time_is_kept_and_its_late_reply_reaches_nobody() -> None:
    """Within abandon_grace the command ends, the worker serves on, and the next caller gets its own reply."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool:
        before = await pool.execute_anonymous("pid")
        with trio.move_on_after(0.05) as scope:
            await pool.execute_anonymous("sleep", {"duration": 0.3})
        assert scope.cancelled_caught
        assert await pool.execute_anonymous("echo", {"value": "mine"}) == "mine"
        assert await pool.execute_anonymous("pid") == before
        assert pool.get_pool_status().metrics.cancelled == 1
        assert obeys_the_law(pool)


async def test_a_blocked_loop_loses_no_reply_and_kills_no_worker() -> None:
    """The application's loop stands still for two seconds, beyond every limit: replies in the sockets still count.

    Those that waited for a worker are served too, if their budget is not spent; the one whose budget is never runs.
    """
    health = {"interval": 0.2, "timeout": 0.2, "misses": 1}
    config = PoolConfig(size=2, checkout_timeout=0.5, abandon_grace=0.0, health=health)
    async with trio_pool.open_pool(APP, config) as pool, trio.open_nursery() as nursery:
        before = {info.pid for info in pool.get_pool_status().workers}
        values: list[object] = []

        async def ask(seconds: float) -> None:
            try:
                values.append(await pool.execute_anonymous("sleep", {"duration": 0.1}, timeout=seconds))
            except trio_pool.PoolTimeout:
                values.append("too late")

        for seconds in (1.0, 1.0, 1.5, 30.0, 30.0):
            nursery.start_soon(ask, seconds)
            await trio.testing.wait_all_tasks_blocked()
        time.sleep(2.0)  # noqa: ASYNC200, ASYNC251  # the stall itself
        await trio.sleep(0.5)  # what would go wrong then goes wrong within the health interval
        assert {info.pid for info in pool.get_pool_status().workers} == before
    assert sorted(map(str, values)) == ["None"] * 4 + ["too late"]


async def test_a_frozen_idle_worker_is_found_and_replaced() -> None:
    """Idle workers are pinged; one that does not answer is taken out of service, then killed and charged."""
    events: list[PoolEvent] = []
    health = {"interval": 0.05, "timeout": 0.1, "misses": 2}
    async with trio_pool.open_pool(APP, size=2, health=health, on_event=events.append) as pool:
        victim = pool.get_pool_status().workers[0]
        with pool.events() as stream:
            kill(victim, signal.SIGSTOP)
            with trio.fail_after(PATIENCE):
                async for event in stream:
                    if isinstance(event, trio_pool.HealthMissed):
                        assert event.slot == 0
                        assert pool.get_pool_status().workers[0].status in ("degraded", "stopping")
                    if isinstance(event, trio_pool.WorkerReady):
                        break
        assert pool.get_pool_status().workers[0].pid != victim.pid
    killed = [event for event in events if isinstance(event, trio_pool.WorkerKilled)]
    assert [(event.slot, event.reason) for event in killed] == [(0, "health")]


async def test_a_worker_that_thaws_is_in_service_again() -> None:
    """One missed ping degrades a worker; an answer restores it, and no caller paid for it."""
    health = {"interval": 0.05, "timeout": 0.1, "misses": 1000}
    async with trio_pool.open_pool(APP, size=1, health=health) as pool:
        victim = pool.get_pool_status().workers[0]
        with trio.fail_after(PATIENCE), pool.events() as stream:
            kill(victim, signal.SIGSTOP)
            async for event in stream:
                if isinstance(event, trio_pool.HealthMissed):
                    break
            assert (await pool.health_check()).status == "unhealthy"
            kill(victim, signal.SIGCONT)
            assert await pool.execute_anonymous("pid", checkout_timeout=PATIENCE) == victim.pid
            assert (await pool.health_check()).status == "healthy"


# -- leases ------------------------------------------------------------------------------------------------------------


async def test_a_lease_is_exclusive_and_given_back() -> None:
    """While a worker is leased nobody else uses it; afterwards the oldest waiter gets it."""
    async with trio_pool.open_pool(APP, size=1) as pool, trio.open_nursery() as nursery:
        values: list[int] = []

        async def ask() -> None:
            values.append(await pool.execute_anonymous("quick", {"n": 1}))

        async with pool.checkout("s") as worker:
            assert (worker.status, worker.session_id) == ("busy", "s")
            await worker.send_command("remember", {"key": "a", "value": 1})
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert values == []
            assert pool.get_pool_status().busy == 1
            assert obeys_the_law(pool)
        assert await pool.execute_in_session("s", "recall") == {"a": 1}
        with pytest.raises(KeyError):
            async with pool.checkout():
                raise KeyError("mine")
        assert obeys_the_law(pool)
        assert pool.get_pool_status().metrics.failed == 1
    assert values == [2]


async def test_a_lease_whose_worker_dies_ends_well() -> None:
    """The commands of the lease say so; leaving it gives back nothing that is not there."""
    async with trio_pool.open_pool(APP, size=1) as pool:
        async with pool.checkout() as worker:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            with pytest.raises(trio_pool.WorkerCrashed):
                await worker.send_command("ping", timeout=PATIENCE)
        await settled(pool)
        assert await pool.execute_anonymous("quick", {"n": 1}) == 2
        assert obeys_the_law(pool)


async def test_a_lease_left_with_a_command_in_flight_does_not_hand_on_a_busy_worker() -> None:
    """The worker is free when its command has ended, or killed after abandon_grace."""
    events: list[PoolEvent] = []
    async with trio_pool.open_pool(APP, size=1, abandon_grace=0.3, on_event=events.append) as pool:
        for duration, kills in ((0.1, 0), (60.0, 1)):
            async with pool.checkout() as worker:
                with pytest.raises(trio_pool.CommandTimeout):
                    await worker.send_command("sleep", {"duration": duration}, timeout=0.02)
            with trio.fail_after(PATIENCE):
                assert await pool.execute_anonymous("echo", {"value": "mine"}) == "mine"
            assert sum(isinstance(event, trio_pool.WorkerKilled) for event in events) == kills


# -- cancellation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [False, True])
async def test_cancelling_a_command_at_every_checkpoint_loses_nothing(busy: bool) -> None:
    """Wherever execute_* is cancelled, with a free worker or in the queue, the pool is whole afterwards."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool, trio.open_nursery() as nursery:

        async def operate() -> None:
            if busy:
                nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.01})
            assert await pool.execute_in_session("s", "echo", {"value": "mine"}) == "mine"

        async def look() -> None:
            await settled(pool)
            assert obeys_the_law(pool)
            assert await pool.execute_anonymous("echo", {"value": "next"}) == "next"

        with trio.fail_after(6 * PATIENCE):
            assert await cancel_at_each_checkpoint(operate, look) > 1


@pytest.mark.parametrize("large", [b"x" * 5_000_000, list(range(10**9, 10**9 + 600_000))], ids=["buffer", "in band"])
async def test_cancelling_a_large_command_at_every_checkpoint_leaves_no_half_frame(large: object) -> None:
    """A caller that leaves in the middle of megabytes on their way costs neither the worker nor the next request.

    Both are several times what the socket takes at once.
    """
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool:
        before = await pool.execute_anonymous("pid")

        async def operate() -> None:
            assert await pool.execute_anonymous("echo", {"value": large}) == large

        async def look() -> None:
            await settled(pool)
            assert await pool.execute_anonymous("echo", {"value": "next"}) == "next"

        with trio.fail_after(6 * PATIENCE):
            assert await cancel_at_each_checkpoint(operate, look) > 1
        assert await pool.execute_anonymous("pid") == before
        assert obeys_the_law(pool)


async def test_a_worker_that_reads_nothing_holds_up_nobody_else() -> None:
    """Megabytes for a frozen worker wait for that worker alone; it is killed at the deadline of its request."""
    async with trio_pool.open_pool(APP, size=2, abandon_grace=0.0) as pool, trio.open_nursery() as nursery:
        victim = pool.get_pool_status().workers[1]
        kill(victim, signal.SIGSTOP)
        errors: list[type[Exception]] = []

        async def ask() -> None:
            async with pool.session() as session:
                try:
                    await session.execute("echo", {"value": b"x" * 20_000_000}, timeout=2.0)
                except trio_pool.CommandTimeout as exc:
                    errors.append(type(exc))

        for _ in range(2):  # one of the two sessions goes to each worker
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0)
        with trio.fail_after(PATIENCE):
            while not errors:
                assert await pool.execute_anonymous("quick", {"n": 1}, timeout=PATIENCE) == 2
        await settled(pool)
    assert errors == [trio_pool.CommandTimeout]


@pytest.mark.parametrize("busy", [False, True])
async def test_cancelling_a_checkout_at_every_checkpoint_loses_no_worker(busy: bool) -> None:
    """Wherever checkout() is cancelled, also in the moment the lease is granted, the worker is back."""
    async with trio_pool.open_pool(APP, size=1, abandon_grace=PATIENCE) as pool, trio.open_nursery() as nursery:

        async def operate() -> None:
            if busy:
                nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 0.01})
            async with pool.checkout("s") as worker:
                await worker.send_command("echo", {"value": 1}, PATIENCE)

        async def look() -> None:
            await settled(pool)
            assert obeys_the_law(pool)
            assert await pool.execute_anonymous("echo", {"value": "next"}) == "next"

        with trio.fail_after(6 * PATIENCE):
            assert await cancel_at_each_checkpoint(operate, look) > 1


async def test_cancelling_the_opening_at_every_checkpoint_leaves_nothing() -> None:
    """Wherever open_pool is cancelled, while starting, serving or closing, no process is left (the fixture looks)."""

    async def operate() -> None:
        async with trio_pool.open_pool(APP, size=2) as pool:
            assert await pool.execute_anonymous("quick", {"n": 1}) == 2

    with trio.fail_after(12 * PATIENCE):
        assert await cancel_at_each_checkpoint(operate) > 3


# -- closing -----------------------------------------------------------------------------------------------------------


async def test_leaving_normally_lets_what_is_there_end() -> None:
    """Within shutdown_grace running and queued requests finish; new ones are refused."""
    values: list[object] = []
    async with trio.open_nursery() as nursery:
        async with trio_pool.open_pool(APP, size=1) as pool:

            async def ask(n: int) -> None:
                await pool.execute_anonymous("sleep", {"duration": 0.1})
                values.append(n)

            for n in range(3):
                nursery.start_soon(ask, n)
            await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio_pool.PoolClosed):
            await pool.execute_anonymous("ping")
        assert (await pool.health_check()).status == "unhealthy"
    assert sorted(values) == [0, 1, 2]  # type: ignore[type-var]  # they are ints


async def test_closing_is_bounded_whatever_the_workers_do() -> None:
    """Frozen and busy workers: running requests crash with reason shutdown, waiting ones get PoolClosed, in two
    seconds.
    """
    results: list[tuple[str, object]] = []
    async with trio.open_nursery() as nursery:
        began = 0.0
        with pytest.raises(KeyError):  # noqa: PT012  # the body is the point
            async with trio_pool.open_pool(APP, size=3) as pool:

                async def ask() -> None:
                    try:
                        await pool.execute_anonymous("sleep", {"duration": 60.0})
                    except trio_pool.TrioPoolError as exc:
                        results.append((type(exc).__name__, getattr(exc, "reason", None)))

                for _ in range(5):
                    nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked(0.05)
                for info in pool.get_pool_status().workers[:2]:
                    kill(info, signal.SIGSTOP)
                began = trio.current_time()
                raise KeyError("leave")
        took = trio.current_time() - began
    assert sorted(results) == [("PoolClosed", None)] * 2 + [("WorkerCrashed", "shutdown")] * 3
    assert took < 2.0


async def test_the_body_error_leaves_open_pool_unchanged() -> None:
    """No group, no copy; and a cancellation from outside is a plain one."""
    mistake = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with trio_pool.open_pool(size=1):
            raise mistake
    assert caught.value is mistake
    with trio.CancelScope() as scope:
        async with trio_pool.open_pool(size=1):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


# -- what it says ------------------------------------------------------------------------------------------------------


async def test_metrics_start_at_zero_and_count_operations() -> None:
    """total_operations is 0 at first and 2 after two pings; pools side by side count for themselves."""
    async with trio_pool.open_pool(size=1, name="a") as a, trio_pool.open_pool(size=1, name="b") as b:
        assert a.get_pool_status().metrics.total_operations == 0
        await a.execute_in_session("metric_test", "ping")
        await a.execute_in_session("metric_test", "ping")
        assert a.get_pool_status().metrics.total_operations == 2
        assert a.get_pool_status().metrics.ok == 2
        assert b.get_pool_status().metrics.total_operations == 0
        assert [info.worker_id for info in b.get_pool_status().workers] == ["b-0"]


async def test_events_are_heard_from_the_subscription_on() -> None:
    """An event between subscribing and the first look is not missed; overflow is counted; the stream ends with the
    pool.
    """
    async with trio_pool.open_pool(APP, size=1) as pool:
        with pool.events(max_buffer=3) as events:
            await pool.execute_in_session("s", "quick", {"n": 1})
            first = [await events.receive() for _ in range(3)]
            assert [type(event).__name__ for event in first] == ["RequestDispatched", "SessionBound", "RequestFinished"]
            for n in range(3):
                await pool.execute_anonymous("quick", {"n": n})
            assert events.dropped == 3
        with pool.events() as late:
            pass
    with pytest.raises(trio.ClosedResourceError):
        await late.receive()


async def test_a_hook_that_raises_is_disabled_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """An observer's mistake is logged once; the pool goes on and tells its streams."""
    calls: list[PoolEvent] = []

    def hook(event: PoolEvent) -> None:
        calls.append(event)
        raise RuntimeError("observer")

    async with trio_pool.open_pool(APP, size=1, on_event=hook) as pool:
        assert await pool.execute_anonymous("quick", {"n": 1}) == 2
    assert len(calls) == 1
    assert sum("on_event" in record.getMessage() for record in caplog.records) == 1
