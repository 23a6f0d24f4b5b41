"""The bridge: what it registers, and what its worker answers, kind by kind."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from _wire import MAX_FRAME, ask, error_of, executor_of, result_of
from hypothesis import given
from hypothesis import strategies as st

from trio_pool._core._errors import ProtocolError
from trio_pool.bridge import Bridge, Session
from trio_pool.bridge._replies import MESSAGE_LIMIT, TRACEBACK_LIMIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from trio_pool.bridge._executor import Executor

STANDARD = ["cleanup", "cleanup_session", "echo", "get_stats", "ping", "reset_state", "shutdown", "sleep", "slow_op"]


class Custom(Exception):
    """An error of the application's own."""


def answer(function: Callable[..., object]) -> Executor:
    """Return an executor with this one command."""
    bridge = Bridge()
    bridge.command(function)
    return executor_of(bridge)


def test_a_command_is_registered_with_and_without_parentheses() -> None:
    """Both spellings register the function under its name and return it unchanged."""
    bridge = Bridge()

    def one() -> int:
        return 1

    def two() -> int:
        return 2

    assert bridge.command(one) is one
    assert bridge.command()(two) is two
    assert bridge.commands == {"one": one, "two": two}
    assert result_of(executor_of(bridge), "two") == 2


def test_a_second_command_of_a_name_is_refused() -> None:
    """Which of two functions answers is never left to chance."""
    bridge = Bridge()

    @bridge.command
    def twice() -> None: ...

    with pytest.raises(ValueError, match="twice"):
        bridge.command(twice)


@pytest.mark.parametrize("name", [*STANDARD, "__call__"])
def test_a_name_every_worker_answers_cannot_be_taken(name: str) -> None:
    """What the pool itself relies on means the same in every application."""

    def function() -> None: ...

    function.__name__ = name
    with pytest.raises(ValueError, match=name):
        Bridge().command(function)


def generator() -> Iterator[int]:
    yield 1


async def asynchronous_generator() -> AsyncIterator[int]:  # noqa: ASYNC124  # it is what is refused
    yield 1


@pytest.mark.parametrize("function", [generator, asynchronous_generator, functools.partial(print), 3])
def test_what_cannot_be_run_to_its_end_by_a_call_is_refused(function: Any) -> None:
    """What a call would not run, and what has no name, is refused where it is registered."""
    with pytest.raises(TypeError):
        Bridge().command(function)


def test_a_command_is_flagged_as_it_was_declared() -> None:
    """An async function by what it is, the rest by what is said of it; what is plain has no flags."""
    bridge = Bridge()

    @bridge.command
    async def fetch() -> None: ...

    @bridge.command(concurrent=True, interruptible=True)
    def crunch() -> None: ...

    @bridge.command()
    def plain() -> None: ...

    assert bridge.flags == {"fetch": {"async"}, "crunch": {"concurrent", "interruptible"}}
    other = Bridge()
    other.include(bridge)
    assert other.flags == bridge.flags


def test_an_async_command_cannot_be_interruptible() -> None:
    """It is cancelled in any case, and a signal would be for the main thread, where it is not."""
    bridge = Bridge()
    with pytest.raises(TypeError, match="'fetch' is async"):

        @bridge.command(interruptible=True)
        async def fetch() -> None: ...


def test_including_a_bridge_takes_over_its_commands_and_hooks() -> None:
    """An included bridge works as if its functions had been registered here."""
    inner, outer = Bridge(), Bridge()
    seen: list[str] = []

    @inner.command
    def remember(session: Session) -> None:
        session.state["x"] = 1

    @inner.on_start
    def start() -> None:
        seen.append("start")

    @inner.on_session_end
    def end(session: Session) -> None:
        seen.append(session.session_id)

    outer.include(inner)
    executor = executor_of(outer)
    executor.start()
    result_of(executor, "remember", session="s")
    result_of(executor, "cleanup_session", {"session_id": "s"})
    assert seen == ["start", "s"]


def test_including_a_bridge_with_a_command_of_the_same_name_changes_nothing() -> None:
    """A refused include leaves no half of the other behind."""

    def same() -> None: ...

    def other() -> None: ...

    inner, outer = Bridge(), Bridge()
    outer.command(same)
    inner.command(other)
    inner.command(same)
    with pytest.raises(ValueError, match="same"):
        outer.include(inner)
    assert list(outer.commands) == ["same"]


def test_the_names_a_worker_announces_are_the_standard_ones_and_its_own() -> None:
    """The hidden command behind run_sync is not announced."""

    def mine() -> None: ...

    assert answer(mine).names() == sorted([*STANDARD, "mine"])


@given(st.none() | st.booleans() | st.text() | st.floats(allow_nan=False) | st.lists(st.integers(-5, 5)) | st.binary())
def test_echo_returns_its_value(value: object) -> None:
    """What a command returns is what the caller gets, bare."""
    assert result_of(executor_of(Bridge()), "echo", {"value": value}) == value


def test_ping_tells_who_answered() -> None:
    """A ping needs no arguments and no session."""
    reply = result_of(executor_of(Bridge()), "ping")
    assert reply["status"] == "ok"
    assert reply["worker_id"] == "w"
    assert reply["pid"] > 0
    assert reply["uptime"] >= 0
    assert isinstance(reply["dspy_available"], bool)


def test_sleep_returns_none_and_slow_op_says_ok() -> None:
    """An int will do for seconds."""
    executor = executor_of(Bridge())
    assert result_of(executor, "sleep", {"duration": 0}) is None
    assert result_of(executor, "slow_op", {"duration": 0.0})["status"] == "ok"


def test_stats_count_requests_and_errors_until_they_are_reset() -> None:
    """Resetting returns what was counted and starts anew."""
    executor = executor_of(Bridge())
    ask(executor, "nonsense")
    stats = result_of(executor, "get_stats")
    assert (stats["command_count"], stats["error_count"], stats["sessions_count"]) == (2, 1, 0)
    assert stats["memory_usage"]["rss"] > 2**20
    reset = result_of(executor, "reset_state")
    assert (reset["status"], reset["commands_reset"], reset["errors_reset"]) == ("reset", 3, 1)
    assert result_of(executor, "get_stats")["command_count"] == 1


def test_shutdown_replies_before_the_worker_stops() -> None:
    """The worker is asked to end, and the one who asked is told."""
    executor = executor_of(Bridge())
    assert result_of(executor, "shutdown")["status"] == "shutting_down"
    assert executor.stopping


def test_an_unknown_command_is_answered_with_the_known_ones() -> None:
    """The caller learns what would have worked."""
    error = error_of(executor_of(Bridge()), "pnig")
    assert error["kind"] == "unknown_command"
    assert error["known"] == STANDARD
    assert "pnig" in error["message"]


@pytest.mark.parametrize(
    ("command", "args"), [(None, {}), (3, {}), (["ping"], {}), ("ping", []), ("ping", "x"), ("ping", 0)]
)
def test_a_malformed_request_with_an_id_is_answered(command: object, args: dict[str, int]) -> None:
    """Whoever can be answered is answered."""
    assert error_of(executor_of(Bridge()), command, args)["kind"] == "invalid_arguments"


@pytest.mark.parametrize("request_id", [None, 0, -1, 1.0, "1", True, [], 2**64])
def test_a_request_without_a_usable_id_is_a_breach_of_the_protocol(request_id: object) -> None:
    """Nobody could be answered, and what follows cannot be trusted."""
    with pytest.raises(ProtocolError):
        executor_of(Bridge()).handle({"id": request_id, "command": "ping", "args": {}})


def test_the_request_is_marked_begun_before_its_function_runs() -> None:
    """Should the process die in the function, the parent knows that it was entered."""
    begun = [0]
    bridge = Bridge()

    @bridge.command
    def look() -> int:
        return begun[0]

    executor = executor_of(bridge, begun=begun)
    assert ask(executor, "look", request_id=77)["result"] == 77


def test_a_request_that_does_not_reach_its_function_is_not_marked_begun() -> None:
    """Bad arguments and unknown names are certainly not executed."""
    begun = [5]
    executor = executor_of(Bridge(), begun=begun)
    ask(executor, "echo", {"valeu": 1}, request_id=6)
    ask(executor, "nonsense", request_id=7)
    assert begun == [5]


def test_a_session_keeps_its_state_and_no_other_session_sees_it() -> None:
    """State is a session's own, made when the first command takes it."""

    def count(session: Session, by: int = 1) -> int:
        session.state["n"] = session.state.get("n", 0) + by
        return session.state["n"]

    executor = answer(count)
    assert [result_of(executor, "count", session="a") for _ in range(3)] == [1, 2, 3]
    assert result_of(executor, "count", {"by": 10}, session="b") == 10
    assert result_of(executor, "get_stats")["sessions_count"] == 2


def test_only_a_command_that_takes_its_session_uses_it() -> None:
    """The reply tells whether the session lives here now; a mere echo leaves no trace."""

    def fail(session: Session) -> None:
        raise Custom

    executor = answer(fail)
    assert "session_used" not in ask(executor, "echo", {"value": 1}, session="s")
    assert executor.sessions == {}
    assert "session_used" not in ask(executor, "fail", {"wrong": 1}, session="s")
    assert executor.sessions == {}
    reply = ask(executor, "fail", session="s")
    assert reply["success"] is False
    assert reply["session_used"] is True
    assert list(executor.sessions) == ["s"]


def test_a_command_that_needs_a_session_is_refused_without_one() -> None:
    """An anonymous request has no state to work with."""

    def need(session: Session) -> None: ...

    executor = answer(need)
    assert error_of(executor, "need")["kind"] == "invalid_arguments"
    assert error_of(executor, "need", session=3)["kind"] == "invalid_arguments"
    assert error_of(executor, "need", session="")["kind"] == "invalid_arguments"


def test_a_command_with_an_optional_session_works_without_one() -> None:
    """``Session | None`` gets None for an anonymous request."""

    def who(session: Session | None) -> str | None:
        return None if session is None else session.session_id

    executor = answer(who)
    assert result_of(executor, "who") is None
    assert result_of(executor, "who", session="s") == "s"


def test_ending_a_session_runs_all_hooks_and_forgets_it() -> None:
    """A hook that raises is the reply, after the others have run; the session is gone all the same."""
    bridge = Bridge()
    ended: list[str] = []

    @bridge.command
    def touch(session: Session) -> None: ...

    @bridge.on_session_end
    def bad(session: Session) -> None:
        raise Custom("in a hook")

    @bridge.on_session_end
    def good(session: Session) -> None:
        ended.append(session.session_id)

    executor = executor_of(bridge)
    result_of(executor, "touch", session="s")
    assert error_of(executor, "cleanup_session", {"session_id": "s"})["message"] == "in a hook"
    assert ended == ["s"]
    assert executor.sessions == {}
    assert result_of(executor, "cleanup_session", {"session_id": "s"})["status"] == "not_found"


def test_resetting_one_session_leaves_the_others_alone() -> None:
    """No session's state vanishes through another's command."""

    def put(session: Session) -> int:
        session.state["n"] = session.state.get("n", 0) + 1
        return session.state["n"]

    executor = answer(put)
    for session in ("a", "b"):
        result_of(executor, "put", session=session)
    result_of(executor, "reset_state", session="a")
    assert result_of(executor, "put", session="a") == 1
    assert result_of(executor, "put", session="b") == 2
    result_of(executor, "reset_state")
    assert result_of(executor, "put", session="b") == 3


def test_an_importable_function_is_called_by_its_name() -> None:
    """The command behind run_sync takes positional arguments."""
    executor = executor_of(Bridge())
    call = {"function": "operator:add", "args": [2, 3]}
    assert result_of(executor, "__call__", call) == 5
    assert error_of(executor, "__call__", {"function": "operator:truediv", "args": [1, 0]})["kind"] == "remote"


@pytest.mark.parametrize(
    "function", ["no_such_module:f", "operator:no_such", "operator", ":f", "operator:", "m:f.<locals>.g", "math:pi"]
)
def test_a_function_that_cannot_be_found_was_not_called(function: str) -> None:
    """What is wrong with a reference is told before anything runs."""
    error = error_of(executor_of(Bridge()), "__call__", {"function": function, "args": []})
    assert error["kind"] == "invalid_arguments"
    assert function in error["message"]


def test_a_function_whose_module_raises_is_refused_with_the_traceback_of_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the import failed is told as for any other error; a reference that is wrong by itself has no such place."""
    (tmp_path / "raises_at_import.py").write_text("def helper():\n    raise ValueError('x' * 2**17)\nhelper()\n")
    monkeypatch.syspath_prepend(tmp_path)
    error = error_of(executor_of(Bridge()), "__call__", {"function": "raises_at_import:f", "args": []})
    assert (error["kind"], error["type"]) == ("invalid_arguments", "trio_pool.errors.InvalidArguments")
    assert error["traceback"].startswith("Traceback (most recent call last):")
    assert 'raises_at_import.py", line 3, in <module>' in error["traceback"]
    assert "in helper" in error["traceback"]
    assert "in load" not in error["traceback"]
    assert len(error["traceback"]) <= TRACEBACK_LIMIT
    assert len(error["message"]) <= MESSAGE_LIMIT


def test_a_module_that_is_not_there_is_refused_with_a_traceback_too() -> None:
    """Which import was the one that failed may be the question."""
    error = error_of(executor_of(Bridge()), "__call__", {"function": "no_such_module:f", "args": []})
    assert "ModuleNotFoundError: No module named 'no_such_module'" in error["traceback"]


def test_an_import_error_that_cannot_be_shown_is_still_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile __str__ does not turn what never ran into something that may have."""
    source = "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E\n"
    (tmp_path / "hostile_at_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    error = error_of(executor_of(Bridge()), "__call__", {"function": "hostile_at_import:f", "args": []})
    assert error["kind"] == "invalid_arguments"
    assert "cannot be shown" in error["message"]


def test_a_large_buffer_goes_there_and_back_out_of_band() -> None:
    """Bytes of 64 KiB and more arrive as a memoryview, and a command may return what it was given."""
    value = memoryview(bytes(range(256)) * 512)
    assert value.nbytes < MAX_FRAME
    assert result_of(executor_of(Bridge()), "echo", {"value": [value]}) == [value]
