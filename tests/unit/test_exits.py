"""Exit values: how a process ended, readable in a log and safe to compare, keep and send."""

from __future__ import annotations

import copy
import pickle
import signal

import pytest

from trio_pool._core._exits import Exited, Lost, Signaled

ALL = [Exited(0), Exited(3), Signaled(signal.SIGKILL), Signaled(60), Lost("node unreachable")]


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        (Exited(3), "exit code 3", "Exited(3)"),
        (Signaled(9), "SIGKILL", "Signaled(9)"),
        (Signaled(60), "signal 60", "Signaled(60)"),
        (Lost("node unreachable"), "lost (node unreachable)", "Lost('node unreachable')"),
    ],
)
def test_text_is_what_a_log_reader_wants(value: object, text: str, shown: str) -> None:
    """str() names the signal or code in words, repr() is the expression that makes the value."""
    assert str(value) == text
    assert repr(value) == shown


def test_each_kind_has_its_own_attribute() -> None:
    """The data is reachable under the name that says what it is."""
    assert Exited(3).code == 3
    assert Signaled(15).sig == 15
    assert Signaled(15).name == "SIGTERM"
    assert Lost("gone").reason == "gone"


def test_equal_only_to_the_same_kind_with_the_same_value() -> None:
    """Exit code 9 is not signal 9 and no number, and equal values hash alike."""
    assert Exited(9) == Exited(9)
    assert hash(Exited(9)) == hash(Exited(9))
    assert Exited(9) != Signaled(9)
    assert Exited(9) != Exited(8)
    assert Exited(9) != 9
    assert len({*ALL, *ALL}) == len(ALL)


@pytest.mark.parametrize("value", ALL, ids=repr)
def test_survives_pickling_and_copying(value: object) -> None:
    """A value comes back equal and of the same kind."""
    for returned in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):  # noqa: S301  # our own bytes
        assert returned == value
        assert type(returned) is type(value)


def test_matches_as_a_class_pattern() -> None:
    """Code that must treat each kind apart can use match."""

    def told(value: object) -> str:
        match value:
            case Exited(code=code):
                return f"code {code}"
            case Signaled(name=name):
                return name
            case Lost(reason=reason):
                return reason
        return "unknown"

    assert [told(value) for value in ALL] == ["code 0", "code 3", "SIGKILL", "signal 60", "node unreachable"]
