"""Programs in a worker: created, run, listed and dropped with their session, and never seen by another."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from _wire import error_of, executor_of, result_of

from trio_pool.bridge import builtin
from trio_pool.bridge._programs import SESSION_LIMIT, SHARED_LIMIT, make_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trio_pool.bridge._executor import Executor

QUERY = [{"name": "query", "type": "any", "description": ""}]
ANSWER = [{"name": "answer", "type": "any", "description": ""}]
SIGNATURE = {"inputs": QUERY, "outputs": ANSWER}


def shout(query: str) -> str:
    """Return the single output as it is."""
    return query.upper()


def mapping(query: object) -> dict[str, object]:
    """Return the outputs by name."""
    return {"answer": query}


def other_mapping(query: object) -> dict[str, object]:
    """Return a mapping that has other keys than the outputs."""
    return {"other": query}


def fail(query: object) -> object:
    """Raise."""
    raise LookupError(query)


async def later(query: str) -> str:  # noqa: ASYNC124  # what makes it unfit is all it is for
    """Give a coroutine."""
    return query


def bit_by_bit(query: str) -> Iterator[str]:
    """Give an iterator."""
    yield query


def config(function: Callable[..., object] = shout, **fields: object) -> dict[str, Any]:
    """Return a program's config."""
    reference = f"{function.__module__}:{function.__qualname__}"
    return {"program_type": "python", "function": reference, "signature": SIGNATURE, **fields}


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Executor:
    """A worker's executor with the program commands; this module can be imported by its name."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[shout.__module__])
    return executor_of(make_programs())


def create(executor: Executor, session: str = "s", **fields: Any) -> str:
    """Create a program and return its id."""
    created: dict[str, str] = result_of(executor, "create_program", {"config": config(**fields)}, session=session)
    return created["program_id"]


def test_a_program_lives_from_creation_to_deletion(executor: Executor) -> None:
    """The whole life of one program, with an id made for it."""
    created = result_of(executor, "create_program", {"config": config()}, session="s")
    program_id = created["program_id"]
    assert created == {
        "program_id": program_id,
        "status": "created",
        "program_type": "python",
        "signature": SIGNATURE,
    }
    run = {"program_id": program_id, "inputs": {"query": "hi"}}
    done = result_of(executor, "execute_program", run, session="s")
    assert done["program_id"] == program_id
    assert done["outputs"] == {"answer": "HI"}
    assert 0 <= done["execution_time"] < 1
    info = result_of(executor, "get_program_info", {"program_id": program_id}, session="s")
    assert info["execution_count"] == 1
    assert info["last_executed"] >= info["created_at"]
    assert result_of(executor, "delete_program", {"program_id": program_id}, session="s")["status"] == "deleted"
    for command, args in (
        ("execute_program", run),
        ("delete_program", {"program_id": program_id}),
        ("get_program_info", {"program_id": program_id}),
    ):
        error = error_of(executor, command, args, session="s")
        assert (error["kind"], error["program_id"]) == ("program_not_found", program_id)


def test_a_chosen_id_is_kept_and_taken_only_once(executor: Executor) -> None:
    """Generated ids keep out of the way of chosen ones."""
    assert create(executor, id="program_1") == "program_1"
    assert create(executor) != "program_1"
    error = error_of(executor, "create_program", {"config": config(id="program_1")}, session="s")
    assert error["kind"] == "invalid_arguments"


def test_programs_belong_to_their_session(executor: Executor) -> None:
    """An empty session lists nothing, and no session sees another's programs."""
    create(executor, session="a", id="p")
    assert result_of(executor, "list_programs", session="b") == {"programs": [], "total_count": 0}
    listed = result_of(executor, "list_programs", session="a")
    assert [program["id"] for program in listed["programs"]] == ["p"]
    run = {"program_id": "p", "inputs": {"query": "x"}}
    assert error_of(executor, "execute_program", run, session="b")["kind"] == "program_not_found"
    result_of(executor, "cleanup_session", {"session_id": "a"})
    assert error_of(executor, "execute_program", run, session="a")["kind"] == "program_not_found"


def test_cleanup_drops_the_programs_of_the_calling_session_alone(executor: Executor) -> None:
    """Without a session it drops the shared ones."""
    create(executor, session="a", id="p")
    create(executor, session="b", id="p")
    shared = {"key": "k", "inputs": {"query": "x"}, "program": config()}
    result_of(executor, "execute_shared_program", shared)
    assert result_of(executor, "get_stats")["programs_count"] == 3
    assert result_of(executor, "cleanup", session="a")["programs_removed"] == 1
    assert result_of(executor, "list_programs", session="b")["total_count"] == 1
    assert result_of(executor, "cleanup")["programs_removed"] == 1
    assert result_of(executor, "get_stats")["programs_count"] == 1
    assert result_of(executor, "reset_state", session="b")["programs_cleared"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"program_type": "prediction"},
        {"program_type": 5},
        {"function": None},
        {"function": "no_such_module:f"},
        {"function": "math:no_such"},
        {"function": "math:pi"},
        {"function": "no colon"},
        {"signature": None},
        {"signature": {"outputs": ANSWER}},
        {"signature": {"inputs": [{}], "outputs": ANSWER}},
        {"id": ""},
        {"id": 5},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_program_that_cannot_work_is_refused_at_creation(executor: Executor, wrong: dict[str, object]) -> None:
    """The reason is in the message, and nothing is kept."""
    error = error_of(executor, "create_program", {"config": {**config(), **wrong}}, session="s")
    assert error["kind"] == "invalid_arguments"
    assert error["message"]
    assert result_of(executor, "list_programs", session="s")["total_count"] == 0


def test_a_program_whose_module_raises_is_refused_with_the_traceback_of_that(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a session and shared, the caller learns where the import failed."""
    (tmp_path / "program_raises.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    wrong = {**config(), "function": "program_raises:f"}
    shared = {"key": "k", "inputs": {"query": "x"}, "program": wrong}
    for error in (
        error_of(executor, "create_program", {"config": wrong}, session="s"),
        error_of(executor, "execute_shared_program", shared),
    ):
        assert error["kind"] == "invalid_arguments"
        assert 'program_raises.py", line 1, in <module>' in error["traceback"]
        assert error["traceback"].endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("inputs", [{}, {"query": "a", "more": 1}, {"qurey": "a"}])
def test_inputs_must_be_those_of_the_signature(executor: Executor, inputs: dict[str, object]) -> None:
    """The function is not entered with other names."""
    create(executor, id="p")
    error = error_of(executor, "execute_program", {"program_id": "p", "inputs": inputs}, session="s")
    assert error["kind"] == "invalid_arguments"


@pytest.mark.parametrize("value", [None, 0, "", False, [], {}])
def test_falsy_values_are_values(executor: Executor, value: object) -> None:
    """Nothing is mistaken for missing."""
    create(executor, function=mapping, id="p")
    run = {"program_id": "p", "inputs": {"query": value}}
    assert result_of(executor, "execute_program", run, session="s")["outputs"] == {"answer": value}


def test_a_mapping_of_other_keys_is_the_value_of_a_single_output(executor: Executor) -> None:
    """An output may itself be a mapping."""
    create(executor, function=other_mapping, id="p")
    run = {"program_id": "p", "inputs": {"query": 1}}
    assert result_of(executor, "execute_program", run, session="s")["outputs"] == {"answer": {"other": 1}}


def test_several_outputs_must_all_be_returned(executor: Executor) -> None:
    """What the signature promises is checked; the program has run, so this is its own failure."""
    two = {"inputs": QUERY, "outputs": [{"name": "a"}, {"name": "b"}]}
    for function in (shout, other_mapping):
        program_id = create(executor, function=function, signature=two)
        run = {"program_id": program_id, "inputs": {"query": "x"}}
        error = error_of(executor, "execute_program", run, session="s")
        assert (error["kind"], error["type"]) == ("remote", "TypeError")
        assert "a, b" in error["message"]


def test_a_program_that_raises_is_a_remote_error(executor: Executor) -> None:
    """There is one channel for errors."""
    create(executor, function=fail, id="p")
    run = {"program_id": "p", "inputs": {"query": "why"}}
    error = error_of(executor, "execute_program", run, session="s")
    assert (error["kind"], error["type"]) == ("remote", "LookupError")


@pytest.mark.parametrize(("function", "kind"), [(later, "an async function"), (bit_by_bit, "a generator function")])
def test_a_function_whose_call_runs_nothing_yet_is_no_program(
    executor: Executor, function: Callable[..., object], kind: str
) -> None:
    """As with commands and tools it is refused where it is named, not when its result turns out to be unfit to send."""
    error = error_of(executor, "create_program", {"config": config(function=function)}, session="s")
    assert error["kind"] == "invalid_arguments"
    assert kind in error["message"]


def test_a_session_holds_a_bounded_number_of_programs(executor: Executor) -> None:
    """A caller that only ever creates is stopped."""
    for _ in range(SESSION_LIMIT):
        create(executor)
    assert error_of(executor, "create_program", {"config": config()}, session="s")["kind"] == "invalid_arguments"


def test_a_shared_program_is_sent_once_and_known_afterwards(executor: Executor) -> None:
    """A worker that does not know a key says so; one that was sent the definition knows it."""
    run = {"key": "k", "inputs": {"query": "x"}}
    assert error_of(executor, "execute_shared_program", run)["kind"] == "program_not_found"
    sent = result_of(executor, "execute_shared_program", {**run, "program": config(id="mine")})
    assert (sent["program_id"], sent["outputs"]) == ("mine", {"answer": "X"})
    assert result_of(executor, "execute_shared_program", run)["outputs"] == {"answer": "X"}


def test_the_shared_programs_used_least_recently_are_forgotten(executor: Executor) -> None:
    """The cache is bounded, and use keeps a program in it."""

    def run(key: str, **fields: object) -> dict[str, Any]:
        return {"key": key, "inputs": {"query": "x"}, **fields}

    for number in range(SHARED_LIMIT):
        result_of(executor, "execute_shared_program", run(str(number), program=config()))
    result_of(executor, "execute_shared_program", run("0"))
    result_of(executor, "execute_shared_program", run("new", program=config()))
    result_of(executor, "execute_shared_program", run("0"))
    assert error_of(executor, "execute_shared_program", run("1"))["kind"] == "program_not_found"


def test_the_builtin_application_has_the_program_commands() -> None:
    """A pool opened without an application can run programs."""
    assert {"create_program", "execute_program", "list_programs"} <= set(executor_of(builtin).names())
