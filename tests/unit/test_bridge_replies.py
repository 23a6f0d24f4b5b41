"""Replies: what a command returned or raised, in words that travel, and nothing that costs the worker more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from _wire import ask, error_of, executor_of, result_of
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import errors
from trio_pool._core._errors import ProtocolError
from trio_pool.bridge import Bridge
from trio_pool.bridge._replies import MESSAGE_LIMIT, TRACEBACK_LIMIT, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_pool.bridge._executor import Executor

STANDARD = ["cleanup", "cleanup_session", "echo", "get_stats", "ping", "reset_state", "shutdown", "sleep", "slow_op"]


class Custom(Exception):
    """An error of the application's own."""


class Unprintable(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def answer(function: Callable[..., object]) -> Executor:
    """Return an executor with this one command."""
    bridge = Bridge()
    bridge.command(function)
    return executor_of(bridge)


def test_an_error_carries_type_message_and_traceback() -> None:
    """The caller reads what a local caller would have read, without our own frames on top."""

    def fail() -> None:
        raise Custom("the reason")

    error = error_of(answer(fail), "fail")
    assert error["kind"] == "remote"
    assert error["type"].endswith("test_bridge_replies.Custom")
    assert error["message"] == "the reason"
    assert error["traceback"].startswith("Traceback (most recent call last):")
    assert "in fail" in error["traceback"]
    assert "in handle" not in error["traceback"]


def test_builtin_errors_go_by_their_bare_name() -> None:
    """No one writes builtins.ValueError."""

    def fail() -> None:
        raise KeyError("key")

    assert error_of(answer(fail), "fail")["type"] == "KeyError"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError, RecursionError, GeneratorExit, BaseExceptionGroup])
def test_whatever_a_command_raises_is_its_answer(kind: type[BaseException]) -> None:
    """No exception of a command costs more than its own request."""

    def fail() -> None:
        raise BaseExceptionGroup("x", [ValueError()]) if kind is BaseExceptionGroup else kind("x")

    assert error_of(answer(fail), "fail")["kind"] == "remote"


def test_endless_recursion_costs_its_own_request_only() -> None:
    """A real RecursionError leaves enough stack for the reply."""

    def fail() -> None:
        fail()

    executor = answer(fail)
    error = error_of(executor, "fail")
    assert error["type"] == "RecursionError"
    assert len(error["traceback"]) <= TRACEBACK_LIMIT
    assert result_of(executor, "echo", {"value": 1}) == 1


def test_sys_exit_ends_the_worker() -> None:
    """SystemExit alone is not answered: the command wants the process to end."""

    def leave() -> None:
        sys.exit(3)

    with pytest.raises(SystemExit) as info:
        ask(answer(leave), "leave")
    assert info.value.code == 3


def test_an_exception_that_cannot_be_shown_is_still_an_answer() -> None:
    """A hostile __str__ does not take the worker with it."""

    def fail() -> None:
        raise Unprintable

    error = error_of(answer(fail), "fail")
    assert error["type"].endswith("Unprintable")
    assert "RuntimeError" in error["message"]


def test_long_messages_and_tracebacks_are_cut() -> None:
    """An error reply is bounded, whatever was raised."""

    def fail() -> None:
        raise ValueError("x" * 2**20)

    error = error_of(answer(fail), "fail")
    assert len(error["message"]) <= MESSAGE_LIMIT
    assert len(error["traceback"]) <= TRACEBACK_LIMIT
    assert error["traceback"].startswith("Traceback")


@given(st.text(alphabet=st.characters()), st.integers(64, 200))
def test_printable_text_fits_and_is_valid(text: str, limit: int) -> None:
    """Any string, lone surrogates included, becomes valid UTF-8 of at most the limit."""
    assert len(printable(text, limit).encode()) <= limit


def test_a_message_with_lone_surrogates_travels() -> None:
    """What msgpack refuses to pack is escaped."""

    def fail() -> None:
        raise ValueError("\udcff")

    assert error_of(answer(fail), "fail")["message"] == "\\udcff"


def test_a_result_that_does_not_travel_is_named() -> None:
    """The command ran; its answer tells where in the result the trouble was."""

    def fail() -> object:
        return {"rows": [1, {2}]}

    error = error_of(answer(fail), "fail")
    assert error["kind"] == "unserializable"
    assert error["path"] == "result.rows[1]"
    assert error["type_name"] == "set"


def test_an_oversized_result_is_an_error_and_the_worker_lives() -> None:
    """The worker checks its own reply, and says how large it would have been."""
    bridge = Bridge()

    @bridge.command
    def much() -> bytes:
        return bytes(5000)

    executor = executor_of(bridge, max_frame=4096)
    error = error_of(executor, "much")
    assert error["kind"] == "frame_too_large"
    assert error["size"] > error["max_frame"] == 4096
    assert result_of(executor, "echo", {"value": 1}) == 1


def test_an_error_larger_than_a_frame_is_cut_to_fit() -> None:
    """Frames may be smaller than tracebacks."""
    bridge = Bridge()

    @bridge.command
    def fail() -> None:
        raise ValueError("x" * 5000)

    executor = executor_of(bridge, max_frame=1024)
    error = error_of(executor, "fail")
    assert error["type"] == "ValueError"
    assert set(error["message"]) == {"x"}
    assert len(b"".join(executor.handle({"id": 1, "command": "fail", "args": {}}))) <= 1024


@pytest.mark.parametrize("error", [errors.Unserializable("mine"), errors.FrameTooLarge("mine"), ProtocolError("mine")])
def test_an_error_of_this_library_raised_by_a_command_is_a_remote_error(error: Exception) -> None:
    """A command that has run cannot claim that it has not."""

    def fail() -> None:
        raise error

    reply = error_of(answer(fail), "fail")
    assert reply["kind"] == "remote"
    assert reply["message"] == "mine"


class HostileDict(dict):
    """A dict that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("no items")


def test_a_result_that_raises_when_it_is_packed_is_a_remote_error() -> None:
    """Even a hostile subclass of dict costs its own request only."""

    def fail() -> object:
        return HostileDict()

    assert error_of(answer(fail), "fail")["type"] == "RuntimeError"
