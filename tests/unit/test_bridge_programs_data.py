"""Session data: what a caller keeps in a session by bare commands, and what of it is not his to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _wire import error_of, executor_of, result_of
from hypothesis import given
from hypothesis import strategies as st

from trio_pool.bridge import Bridge, Session, builtin
from trio_pool.bridge._session_data import DATA_LIMIT, make_session_data

if TYPE_CHECKING:
    from trio_pool.bridge._executor import Executor

VALUES = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.lists(st.integers(0, 1), max_size=2)


def data(executor: Executor, session: str = "s", **args: object) -> Any:
    """Return what the session keeps."""
    reply = result_of(executor, "get_session_data", args, session=session)
    assert reply["session_id"] == session
    return reply["data"]


def update(executor: Executor, operation: str, session: str = "s", **args: object) -> int:
    """Change what the session keeps; return how many keys it said have changed."""
    reply = result_of(executor, "update_session_data", {"operation": operation, **args}, session=session)
    changed: int = reply.pop("changed")
    assert reply == {"session_id": session, "status": "updated", "operation": operation}
    return changed


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["set", "delete", "clear"]), st.sampled_from("xyz"), VALUES)
    )
)
def test_session_data_is_a_dict_of_its_own_for_each_session(steps: list[tuple[str, str, str, object]]) -> None:
    """Whatever is set, deleted and cleared in whatever order, each session reads back what it was told."""
    executor = executor_of(make_session_data())
    expected: dict[str, dict[str, object]] = {"a": {}, "b": {}}
    for session, operation, key, value in steps:
        kept = expected[session]
        if operation == "set":
            assert update(executor, "set", session, key=key, value=value) == 1
            kept[key] = value
        elif operation == "delete":
            assert update(executor, "delete", session, key=key) == (key in kept)
            kept.pop(key, None)
        else:
            assert update(executor, "clear", session) == len(kept)
            kept.clear()
        for name, items in expected.items():
            assert data(executor, name) == items
            assert data(executor, name, key=key) == ({key: items[key]} if key in items else {})


@pytest.mark.parametrize(
    "args",
    [
        {"operation": "set", "key": "a"},
        {"operation": "set", "value": 1},
        {"operation": "set"},
        {"operation": "delete"},
        {"operation": "delete", "key": "a", "value": 1},
        {"operation": "clear", "key": "a"},
        {"operation": "clear", "value": None},
        {"operation": "merge", "key": "a", "value": {}},
        {"operation": ""},
        {},
        {"operation": "set", "key": 5, "value": 1},
    ],
    ids=str,
)
def test_an_operation_with_an_argument_too_few_or_too_many_is_refused(args: dict[str, object]) -> None:
    """Nothing that was given is ignored, and nothing is guessed."""
    executor = executor_of(make_session_data())
    update(executor, "set", key="a", value=0)
    error = error_of(executor, "update_session_data", args, session="s")
    assert error["kind"] == "invalid_arguments"
    assert data(executor) == {"a": 0}


def test_both_commands_need_a_session() -> None:
    """There is no data outside of one."""
    executor = executor_of(make_session_data())
    for command, args in (("get_session_data", {}), ("update_session_data", {"operation": "clear"})):
        error = error_of(executor, command, args)
        assert error["kind"] == "invalid_arguments"
        assert "session" in error["message"]


def test_what_the_library_keeps_in_a_session_is_not_seen_and_not_changed() -> None:
    """Programs are made and dropped by their own commands only."""
    executor = executor_of(builtin)
    config = {"id": "p", "function": "operator:neg", "signature": ["a"]}
    result_of(executor, "create_program", {"config": config}, session="s")
    [private] = executor.sessions["s"].state
    update(executor, "set", key="mine", value=1)
    assert data(executor) == {"mine": 1}
    assert data(executor, key=private) == {}
    for args in ({"operation": "set", "key": private, "value": 1}, {"operation": "delete", "key": private}):
        assert error_of(executor, "update_session_data", args, session="s")["kind"] == "invalid_arguments"
    assert update(executor, "clear") == 1
    assert result_of(executor, "list_programs", session="s")["total_count"] == 1


def test_an_application_that_includes_the_commands_shares_its_session_state_with_callers() -> None:
    """What its own commands keep is what callers read and write."""
    application = Bridge()

    @application.command
    def count(session: Session) -> int:
        session.state["n"] = session.state.get("n", 0) + 1
        n: int = session.state["n"]
        return n

    application.include(make_session_data())
    executor = executor_of(application)
    result_of(executor, "count", session="s")
    assert data(executor) == {"n": 1}
    update(executor, "set", key="n", value=41)
    assert result_of(executor, "count", session="s") == 42


def test_what_cannot_travel_is_said_to_be_so() -> None:
    """A value, or a key, that an application's own commands keep may be anything."""
    application = Bridge()

    @application.command
    def keep(session: Session, how: str) -> None:
        session.state.update({"value": object()} if how == "value" else {5: "x"})  # type: ignore[dict-item]  # the thing tested

    application.include(make_session_data())
    executor = executor_of(application)
    for how in ("value", "key"):
        result_of(executor, "keep", {"how": how}, session=how)
        assert error_of(executor, "get_session_data", session=how)["kind"] == "unserializable"
        assert update(executor, "clear", how) == 1


def test_a_session_keeps_a_bounded_number_of_keys() -> None:
    """A caller that only ever adds is stopped; what is there can still be changed."""
    executor = executor_of(make_session_data())
    for number in range(DATA_LIMIT):
        update(executor, "set", key=str(number), value=number)
    more = {"operation": "set", "key": "more", "value": 1}
    assert error_of(executor, "update_session_data", more, session="s")["kind"] == "invalid_arguments"
    assert update(executor, "set", key="0", value="new") == 1
    assert update(executor, "set", "another", key="more", value=1) == 1
