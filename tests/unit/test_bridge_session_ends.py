"""What waits for which in a worker of two threads, where sessions end while commands of theirs run."""

from __future__ import annotations

from typing import Any

import pytest

from trio_pool.bridge._session_ends import SessionEnds, session_of


def request(session: object = None, command: object = "x", args: object = None) -> dict[str, Any]:
    """Return a request."""
    return {"id": 1, "command": command, "args": {} if args is None else args, "session": session}


def end_of(session: object) -> dict[str, Any]:
    """Return the clean-up of a session."""
    return request(command="cleanup_session", args={"session_id": session})


def test_a_clean_up_waits_for_all_of_its_session_and_for_no_other() -> None:
    """Whether they run or came before it and wait."""
    ends = SessionEnds(None)
    assert ends.holds(end_of("s"), [request("t"), request("s")])
    assert not ends.holds(end_of("s"), [request("t"), request(None)])
    assert not ends.holds(end_of("s"), [])


@pytest.mark.parametrize("how", ["runs", "waits"])
def test_what_follows_waits_for_the_clean_up(how: str) -> None:
    """As long as that runs or waits; another clean-up of the same session does, too."""
    ends = SessionEnds(end_of("s") if how == "runs" else None)
    if how == "waits":
        ends.passed(end_of("s"))
    assert ends.holds(request("s"), [])
    assert ends.holds(end_of("s"), [])
    assert not ends.holds(request("t"), [])
    assert not ends.holds(end_of("t"), [])
    assert not ends.holds(request(None), [])


def test_commands_of_a_session_wait_for_no_other_commands_of_it() -> None:
    """That is the pool's business: some may run at once."""
    ends = SessionEnds(request("s"))
    ends.passed(request("s"))
    assert not ends.holds(request("s"), [request("s")])


@pytest.mark.parametrize("bad", [None, 5, ["s"], {"s": 1}])
def test_what_is_no_session_id_is_the_command_s_own_affair(bad: object) -> None:
    """It is refused when its turn comes, and holds up nobody."""
    ends = SessionEnds(end_of(bad))
    ends.passed(end_of("s"))
    assert not ends.holds(request(bad), [request(bad)])
    assert not ends.holds(end_of(bad), [request(bad)])
    assert session_of(request(command="cleanup_session", args=["s"])) is None
