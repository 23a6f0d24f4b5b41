"""The contract of workers, second part: the state of sessions, and what is counted; see `test_worker_contract`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import _contract_cancel_app
import pytest
import trio
from _contract import SUBJECTS, MockWorkers, RealWorkers, hold, subject
from _workers import PATIENCE

import trio_pool
from trio_pool._process._commands import PendingCommand
from trio_pool._process._commands import request as packed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from trio.testing import MockClock

    from trio_pool import PoolWorker

pytestmark = pytest.mark.document("F-070")


@pytest.fixture(params=SUBJECTS)
def workers(request: pytest.FixtureRequest) -> RealWorkers:
    return subject(request.param)


@pytest.fixture
def clock(workers: RealWorkers) -> MockClock | None:
    """Return the clock of the test: workers in memory need no real time."""
    return workers.clock()


async def result_of(worker: PoolWorker, command: str, args: Mapping[str, object] | None = None) -> object:
    """Return the result of a command that must succeed."""
    response = await worker.send_command(command, args, PATIENCE)
    assert response.error is None
    return response.result


@pytest.mark.document("C-14")
async def test_a_session_s_state_is_its_own(workers: RealWorkers, clock: MockClock | None) -> None:
    """What one session keeps no other sees; it is kept over a check-in and gone when the session is cleaned up."""
    async with workers.worker() as worker:
        worker.checkout("one")
        await result_of(worker, "remember", {"key": "a", "value": 1})
        worker.checkin()
        worker.checkout("two")
        assert await result_of(worker, "recall") == {}
        await result_of(worker, "update_session_data", {"operation": "set", "key": "b", "value": 2})
        assert await result_of(worker, "recall") == {"b": 2}
        worker.checkin()
        worker.checkout("one")
        assert await result_of(worker, "recall") == {"a": 1}
        worker.checkin("session_cleanup")
        worker.checkout("one")
        assert await result_of(worker, "recall") == {}


@pytest.mark.document("C-14")
async def test_session_data_is_read_and_changed_key_by_key(workers: RealWorkers, clock: MockClock | None) -> None:
    """Set, delete and clear say how many keys they changed; what the library keeps there is out of reach."""
    steps: list[tuple[dict[str, object], object, object]] = [
        ({"operation": "set", "key": "a", "value": [1]}, 1, {"a": [1]}),
        ({"operation": "set", "key": "b", "value": None}, 1, {"a": [1], "b": None}),
        ({"operation": "delete", "key": "a"}, 1, {"b": None}),
        ({"operation": "delete", "key": "a"}, 0, {"b": None}),
        ({"operation": "clear"}, 1, {}),
    ]
    wrong: list[dict[str, object]] = [
        {"operation": "rename", "key": "a"},
        {"operation": "set", "key": "a"},
        {"operation": "delete"},
        {"operation": "delete", "key": "a", "value": 1},
        {"operation": "clear", "key": "a"},
        {"operation": "set", "key": "trio_pool.programs", "value": {}},
    ]
    async with workers.worker() as worker:
        worker.checkout("s")
        await result_of(worker, "list_programs")
        for args, changed, data in steps:
            answer = {"session_id": "s", "status": "updated", "operation": args["operation"], "changed": changed}
            assert await result_of(worker, "update_session_data", args) == answer
            assert await result_of(worker, "get_session_data") == {"session_id": "s", "data": data}
        await result_of(worker, "remember", {"key": "c", "value": 3})
        for key, data in (("c", {"c": 3}), ("d", {})):
            assert await result_of(worker, "get_session_data", {"key": key}) == {"session_id": "s", "data": data}
        for args in wrong:
            error = (await worker.send_command("update_session_data", args, PATIENCE)).error
            assert isinstance(error, trio_pool.InvalidArguments), args


@pytest.mark.document("C-08", "C-10", "C-11")
async def test_stats_count_until_they_are_reset(workers: RealWorkers, clock: MockClock | None) -> None:
    """Commands, errors and sessions are counted; a reset starts anew and touches no other session."""
    async with workers.worker() as worker:
        await worker.send_command("fail", {"text": "x"}, PATIENCE)
        worker.checkout("s")
        await result_of(worker, "remember", {"key": "a", "value": 1})
        stats = await result_of(worker, "get_stats")
        assert isinstance(stats, dict)
        counts = {"command_count": 3, "error_count": 1, "sessions_count": 1, "programs_count": 0}
        assert counts.items() <= stats.items()
        assert (stats["worker_id"], stats["pid"]) == ("contract", worker.pid)
        assert set(stats) - set(counts) == {"worker_id", "pid", "uptime", "memory_usage", "dspy_available"}
        assert set(stats["memory_usage"]) == {"rss", "vms", "percent"}
        worker.checkin()
        reset = {"status": "reset", "programs_cleared": 0, "commands_reset": 4, "errors_reset": 1}
        assert await result_of(worker, "reset_state") == reset
        worker.checkout("s")
        assert await result_of(worker, "recall") == {"a": 1}
        reset = {"status": "reset", "programs_cleared": 0, "commands_reset": 2, "errors_reset": 0}
        assert await result_of(worker, "reset_state") == reset
        assert await result_of(worker, "recall") == {}
        cleaned = {"session_id": "s", "programs_removed": 0}
        assert await result_of(worker, "cleanup_session", {"session_id": "s"}) == {"status": "cleaned", **cleaned}
        assert await result_of(worker, "cleanup_session", {"session_id": "s"}) == {"status": "not_found", **cleaned}


# -- the end of a session in a worker that runs several commands at once -----------------------------------------------

TOGETHER = "_contract_cancel_app:together"


@pytest.fixture
def together(workers: RealWorkers) -> RealWorkers:
    """Return workers whose application has async commands."""
    if isinstance(workers, MockWorkers):
        workers.port.include(_contract_cancel_app.together)
        workers.port.command("hold", hold)
    return workers


def sent(worker: PoolWorker, session: str | None, command: str, **args: object) -> PendingCommand:
    """Send a command without waiting for it."""
    call = PendingCommand(command)
    call.wire_id = worker.link.submit(packed(command, args, session, 2**20), call)
    return call


async def outcome(call: PendingCommand) -> object:
    """Return what came of a command: its result, or the kind of its error."""
    await call.done.wait()
    assert call.message is not None
    return call.message["result"] if call.message["success"] else call.message["error"]["kind"]


async def begun(path: Path) -> None:
    """Wait until a command has left its first trace."""
    while not path.with_name(f"{path.name}-begun").exists():  # noqa: ASYNC110  # of a file nobody tells
        await trio.sleep(0.002)


@pytest.mark.slow
async def test_a_clean_up_waits_for_the_session_s_async_commands_and_what_follows_for_it(
    together: RealWorkers, clock: MockClock | None, tmp_path: Path
) -> None:
    """Commands that run end with the state they began with, new ones find none of it; nobody else waits."""
    gates = [tmp_path / "one", tmp_path / "two"]
    async with together.worker(TOGETHER, concurrency=5) as worker:
        late = [sent(worker, "s", "remember_late", path=str(gate), value=n) for n, gate in enumerate(gates)]
        for gate in gates:
            await begun(gate)
        end = sent(worker, None, "cleanup_session", session_id="s")
        after = sent(worker, "s", "remember", value=7)
        again = sent(worker, None, "cleanup_session", session_id="s")
        taken_back = sent(worker, "s", "echo", value=9)
        last = sent(worker, "s", "remember", value=8)
        assert await outcome(sent(worker, None, "cleanup_session", session_id="t")) is not None
        assert await outcome(sent(worker, "t", "remember", value=5)) == [5]
        assert await outcome(sent(worker, "t", "echo", value=6)) == 6
        worker.link.cancel(taken_back.wire_id)
        assert await outcome(taken_back) == "cancelled"
        for n, gate in enumerate(gates):
            assert [call.done.is_set() for call in (late[n], end, after, again, last)] == [False] * 5
            assert await outcome(sent(worker, "t", "echo", value=1)) == 1
            gate.touch()
            await outcome(late[n])
        assert await outcome(late[1]) == [0, 1]
        results = [await outcome(call) for call in (end, after, again, last)]
        assert results[1::2] == [[7], [8]]
        assert [result["status"] for result in results[::2]] == ["cleaned"] * 2  # type: ignore[index]  # they are maps


@pytest.mark.slow
async def test_what_follows_a_clean_up_waits_while_that_waits_for_the_main_thread(
    together: RealWorkers, clock: MockClock | None, tmp_path: Path
) -> None:
    """An async command has room at once, but not the state of a session that has ended."""
    gate = tmp_path / "gate"
    async with together.worker(TOGETHER, concurrency=5) as worker:
        assert await outcome(sent(worker, "s", "remember", value=1)) == [1]
        held = sent(worker, None, "hold", path=str(gate))
        end = sent(worker, None, "cleanup_session", session_id="s")
        after = sent(worker, "s", "remember", value=2)
        assert await outcome(sent(worker, "t", "remember", value=3)) == [3]
        assert [call.done.is_set() for call in (held, end, after)] == [False] * 3
        gate.touch()
        assert await outcome(held) == "released"
        assert await outcome(after) == [2]
        assert end.done.is_set()


@pytest.mark.slow
async def test_a_clean_up_waits_for_a_command_that_is_cancelled(
    together: RealWorkers, clock: MockClock | None, tmp_path: Path
) -> None:
    """What it does in its `finally` blocks is done before."""
    path = tmp_path / "lingering"
    async with together.worker(TOGETHER, concurrency=5) as worker:
        lingering = sent(worker, "s", "linger", path=str(path))
        await begun(path)
        end = sent(worker, None, "cleanup_session", session_id="s")
        assert await outcome(sent(worker, "t", "echo", value=1)) == 1
        assert not end.done.is_set()
        worker.link.cancel(lingering.wire_id)
        await outcome(end)
        assert path.exists()
        assert await outcome(lingering) == "cancelled"
