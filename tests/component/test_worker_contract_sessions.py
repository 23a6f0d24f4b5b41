"""The contract of workers, second part: the state of sessions, and what is counted; see `test_worker_contract`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _contract import SUBJECTS, RealWorkers, subject
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from collections.abc import Mapping

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
