"""Every command of the testing strategy's worker, asked over the wire of a real one."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
import pytest
from _commands import KEY, Caller
from _wire import LIBRARY, raw_worker, ready_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _wire import RawWorker

DOUBLER = {"function": "_program_parts:double", "signature": "value: int -> value: int"}


@pytest.fixture(scope="module")
def standing() -> Iterator[RawWorker]:
    """One worker for all the tests that leave it as it was."""
    with ready_worker() as worker:
        yield worker


@pytest.fixture
def caller(standing: RawWorker) -> Caller:
    """The caller of the standing worker, which must still be alive, with all counts and sessions of its own test."""
    assert standing.process.poll() is None
    caller = Caller(standing)
    for session in ("a", "b", "empty"):
        caller.result("cleanup_session", session_id=session)
    caller.result("reset_state")
    return caller


@pytest.mark.document("C-01", "F-088")
def test_ping_says_who_answers_and_what_it_has(caller: Caller) -> None:
    """Needing no arguments and no session, it tells the time of day, how long the worker lives, and if it has DSPy."""
    before = time.time()
    reply = caller.result("ping")
    assert reply["status"] == "ok"
    assert reply["worker_id"] == "w-1"
    assert reply["pid"] == caller.worker.process.pid
    assert before <= reply["timestamp"] <= time.time()
    assert 0 < reply["uptime"] < 600
    assert reply["dspy_available"] is True


@pytest.mark.document("C-13")
def test_an_unknown_command_is_told_which_there_are(caller: Caller) -> None:
    """It is counted as an error and changes nothing else."""
    error = caller.error("think")
    assert error["kind"] == "unknown_command"
    assert "'think'" in error["message"]
    assert {"ping", "create_program", "configure_lm", "get_session_data"} <= set(error["known"])
    assert caller.result("get_stats")["error_count"] == 1


@pytest.mark.document("F-088")
def test_commands_for_tests_echo_and_take_their_time(caller: Caller) -> None:
    """A duration is in seconds, and the worker is occupied for at least that long."""
    assert caller.result("echo", value={"any": [1, None, b"x"]}) == {"any": [1, None, b"x"]}
    begun = time.perf_counter()
    assert caller.result("sleep", duration=0.02) is None
    assert caller.result("slow_op", duration=0.02)["status"] == "ok"
    assert time.perf_counter() - begun >= 0.04


@pytest.mark.document("C-03", "C-04", "C-05", "C-06", "C-07", "F-088")
def test_a_doubler_lives_from_creation_to_deletion(caller: Caller) -> None:
    """Created, executed, listed, looked at and deleted, under an id that was made for it."""
    created = caller.result("create_program", "a", config=DOUBLER)
    program_id = created["program_id"]
    signature = {side: [{"name": "value", "type": "int", "description": ""}] for side in ("inputs", "outputs")}
    assert isinstance(program_id, str)
    assert created == {
        "program_id": program_id,
        "status": "created",
        "program_type": "python",
        "signature": signature,
    }
    done = caller.result("execute_program", "a", program_id=program_id, inputs={"value": 21})
    assert (done["program_id"], done["outputs"]) == (program_id, {"value": 42})
    listed = caller.result("list_programs", "a")
    info = caller.result("get_program_info", "a", program_id=program_id)
    assert info["execution_count"] == 1
    assert info["created_at"] <= info["last_executed"]
    assert info["signature"] == signature
    del info["program_id"]
    assert listed == {"programs": [{"id": program_id, "session_id": "a", **info}], "total_count": 1}
    assert caller.result("delete_program", "a", program_id=program_id) == {
        "program_id": program_id,
        "status": "deleted",
    }
    for command, args in (
        ("execute_program", {"inputs": {"value": 1}}),
        ("get_program_info", {}),
        ("delete_program", {}),
    ):
        assert caller.error(command, "a", program_id=program_id, **args)["kind"] == "program_not_found"


@pytest.mark.document("C-03")
@pytest.mark.parametrize(
    "signature", ["value: int -> value: int", {"inputs": ["value"], "outputs": ["value"]}, ["value"]]
)
def test_a_signature_may_be_written_as_text_or_as_names(caller: Caller, signature: object) -> None:
    """A bare command need not be in the form the adapter sends."""
    program_id = caller.create("a", function="_program_parts:double", signature=signature)
    assert list(caller.run("a", program_id, value=4).values()) == [8]
    assert caller.error("execute_program", "a", program_id=program_id, inputs={})["kind"] == "invalid_arguments"


@pytest.mark.document("C-03")
def test_an_id_is_taken_once_and_made_if_there_is_none(caller: Caller) -> None:
    """What upstream's protocol demanded and ours makes up is never one that a caller chose."""
    assert caller.create("a", id="program_1", **DOUBLER) == "program_1"
    made = {caller.create("a", **DOUBLER) for _ in range(3)}
    assert len(made - {"program_1"}) == 3
    error = caller.error("create_program", "a", config={"id": "program_1", **DOUBLER})
    assert error["kind"] == "invalid_arguments"
    assert "session 'a' has a program 'program_1' already" in error["message"]
    assert caller.create("b", id="program_1", **DOUBLER) == "program_1"


@pytest.mark.document("C-03")
def test_an_unknown_program_type_is_refused_with_those_there_are(caller: Caller) -> None:
    """None is silently taken for another."""
    error = caller.error("create_program", "a", config={**DOUBLER, "program_type": "predictor"})
    assert error["kind"] == "invalid_arguments"
    assert all(name in error["message"] for name in ("python", "predict", "chain_of_thought", "react"))


@pytest.mark.document("C-03", "C-04", "C-05", "C-06", "C-07")
def test_program_commands_without_a_session_are_refused(caller: Caller) -> None:
    """There is no session for those who have none, and nobody sees everybody's programs."""
    for command, args in (
        ("create_program", {"config": DOUBLER}),
        ("execute_program", {"program_id": "p", "inputs": {}}),
        ("list_programs", {}),
        ("delete_program", {"program_id": "p"}),
        ("get_program_info", {"program_id": "p"}),
    ):
        error = caller.error(command, **args)
        assert (error["kind"], "session" in error["message"]) == ("invalid_arguments", True)


@pytest.mark.document("C-04")
def test_an_execution_time_is_a_duration(caller: Caller) -> None:
    """It is at least what the function took and at most what the caller waited."""
    program_id = caller.create("a", function="_program_parts:nap", signature="seconds: float -> slept: float")
    begun = time.perf_counter()
    done = caller.result("execute_program", "a", program_id=program_id, inputs={"seconds": 0.03})
    assert 0.03 <= done["execution_time"] <= time.perf_counter() - begun


@pytest.mark.document("C-04")
def test_a_program_that_fails_is_an_error_and_never_a_result(caller: Caller) -> None:
    """There is one channel for errors; a failed execution is not counted as one that was."""
    program_id = caller.create("a", function="_program_parts:fail", signature="query -> answer")
    error = caller.error("execute_program", "a", program_id=program_id, inputs={"query": "why"})
    assert (error["kind"], error["type"], error["message"]) == ("remote", "LookupError", "why")
    info = caller.result("get_program_info", "a", program_id=program_id)
    assert (info["execution_count"], info["last_executed"]) == (0, None)


@pytest.mark.document("C-05")
def test_an_empty_session_lists_nothing_whatever_others_have(caller: Caller) -> None:
    """Programs are seen in the session that made them."""
    for session in ("a", "b"):
        caller.create(session, id="p", **DOUBLER)
    assert caller.result("list_programs", "empty") == {"programs": [], "total_count": 0}
    assert [program["session_id"] for program in caller.result("list_programs", "a")["programs"]] == ["a"]
    error = caller.error("execute_program", "empty", program_id="p", inputs={"value": 1})
    assert error["kind"] == "program_not_found"


@pytest.mark.document("C-08")
def test_stats_count_what_this_worker_has_done_and_holds(caller: Caller) -> None:
    """In and outside of sessions, whatever mode a worker might have had elsewhere."""
    caller.create("a", **DOUBLER)
    caller.create("b", **DOUBLER)
    caller.result("execute_shared_program", key="k", inputs={"value": 1}, program=DOUBLER)
    caller.error("think")
    stats = caller.result("get_stats")
    assert stats["worker_id"] == "w-1"
    assert stats["pid"] == caller.worker.process.pid
    assert (stats["command_count"], stats["error_count"]) == (5, 1)
    assert (stats["sessions_count"], stats["programs_count"]) == (2, 3)
    assert stats["uptime"] > 0
    assert stats["dspy_available"] is True
    memory = stats["memory_usage"]
    assert 2**20 < memory["rss"] <= memory["vms"]
    share = 100 * memory["rss"] / (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    assert memory["percent"] == pytest.approx(share)


@pytest.mark.document("C-09")
def test_cleanup_drops_the_programs_of_the_caller_and_of_nobody_else(caller: Caller) -> None:
    """Without a session these are the shared ones."""
    for session in ("a", "a", "b"):
        caller.create(session, **DOUBLER)
    caller.result("execute_shared_program", key="k", inputs={"value": 1}, program=DOUBLER)
    caller.result("update_session_data", "a", operation="set", key="k", value=1)
    assert caller.result("cleanup", "a") == {"status": "cleaned", "programs_removed": 2}
    assert caller.result("list_programs", "a")["total_count"] == 0
    assert caller.result("get_session_data", "a")["data"] == {"k": 1}
    assert caller.result("cleanup") == {"status": "cleaned", "programs_removed": 1}
    assert caller.result("list_programs", "b")["total_count"] == 1


@pytest.mark.document("C-10")
def test_reset_state_empties_the_callers_session_and_counts_anew(caller: Caller) -> None:
    """It tells what it dropped, and other sessions keep what they have."""
    for session in ("a", "b"):
        caller.create(session, **DOUBLER)
        caller.result("update_session_data", session, operation="set", key="k", value=1)
    caller.error("think")
    reset = caller.result("reset_state", "a")
    assert reset == {"status": "reset", "programs_cleared": 1, "commands_reset": 6, "errors_reset": 1}
    assert caller.result("get_session_data", "a")["data"] == {}
    assert caller.result("get_session_data", "b")["data"] == {"k": 1}
    assert caller.result("list_programs", "b")["total_count"] == 1
    stats = caller.result("get_stats")
    assert (stats["command_count"], stats["error_count"]) == (4, 0)


@pytest.mark.document("C-11")
def test_cleanup_session_drops_a_session_with_all_it_has(caller: Caller) -> None:
    """It tells how many programs went with it, and whether there was such a session at all."""
    caller.create("a", **DOUBLER)
    caller.create("a", **DOUBLER)
    caller.result("update_session_data", "a", operation="set", key="k", value=1)
    cleaned = {"status": "cleaned", "session_id": "a", "programs_removed": 2}
    assert caller.result("cleanup_session", session_id="a") == cleaned
    assert caller.result("get_stats")["sessions_count"] == 0
    gone = {"status": "not_found", "session_id": "a", "programs_removed": 0}
    assert caller.result("cleanup_session", session_id="a") == gone
    assert caller.result("get_session_data", "a")["data"] == {}
    assert caller.result("list_programs", "a")["total_count"] == 0


@pytest.mark.document("C-12")
def test_shutdown_replies_and_really_ends_the_process() -> None:
    """The reply says what is lost with it, then comes the word that the end was planned, then the end."""
    with ready_worker() as worker:
        caller = Caller(worker)
        caller.create("a", **DOUBLER)
        assert caller.result("shutdown") == {"status": "shutting_down", "worker_id": "w-1", "sessions_lost": 1}
        assert worker.receive() == {"type": "leaving"}
        assert worker.at_end_of_stream()
        assert worker.exit_code() == 0


@pytest.mark.document("C-14")
def test_session_data_is_kept_and_given_back_within_its_session(caller: Caller) -> None:
    """Really kept, key by key, and nobody else's."""
    for key, value in (("name", "x"), ("empty", None), ("large", b"y" * 100_000)):
        reply = caller.result("update_session_data", "a", operation="set", key=key, value=value)
        assert reply == {"session_id": "a", "status": "updated", "operation": "set", "changed": 1}
    data = caller.result("get_session_data", "a")
    assert data == {"session_id": "a", "data": {"name": "x", "empty": None, "large": b"y" * 100_000}}
    assert caller.result("get_session_data", "a", key="empty")["data"] == {"empty": None}
    assert caller.result("get_session_data", "a", key="none")["data"] == {}
    assert caller.result("get_session_data", "b")["data"] == {}
    assert caller.result("update_session_data", "a", operation="delete", key="name")["changed"] == 1
    assert caller.result("update_session_data", "a", operation="delete", key="name")["changed"] == 0
    assert caller.result("update_session_data", "a", operation="clear")["changed"] == 2
    assert caller.result("get_session_data", "a")["data"] == {}
    assert caller.error("update_session_data", "a", operation="acknowledge")["kind"] == "invalid_arguments"


@pytest.fixture(scope="module")
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The path of an environment in which this library is installed without any extra."""
    site = tmp_path_factory.mktemp("site")
    (site / "msgpack").symlink_to(Path(msgpack.__file__).parent)
    paths = sysconfig.get_paths()
    return [LIBRARY, str(site), paths["stdlib"], *{path for path in sys.path if path.endswith("lib-dynload")}]


@pytest.mark.document("C-01", "C-02", "C-03")
def test_where_dspy_is_not_installed_a_worker_says_so_and_serves_all_else(bare_path: list[str]) -> None:
    """The refusal names what to install."""
    with raw_worker(hello={"sys_path": bare_path}) as worker:
        assert worker.receive()["type"] == "ready"
        caller = Caller(worker)
        assert caller.result("ping")["dspy_available"] is False
        assert caller.result("get_stats")["dspy_available"] is False
        config = {"program_type": "predict", "signature": "question -> answer"}
        for error in (
            caller.error("configure_lm", config={"model": "openai/x", "api_key": KEY}),
            caller.error("create_program", "a", config=config),
        ):
            assert error["kind"] == "invalid_arguments"
            assert "pip install trio_pool[dspy]" in error["message"]
        program_id = caller.create("a", function="operator:index", signature=[])
        assert caller.error("execute_program", "a", program_id=program_id, inputs={})["type"] == "TypeError"
