"""Whose turn it is in a worker in memory that runs several commands at once: the end of a session comes in order.

As in a real worker, a clean-up waits for what came before it in its session, and what comes behind it there for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._mock_job import Job

Turn: TypeAlias = tuple[bool, object]
"""Whether a command ends a session, and the session it ends or is in."""


def turn_of(message: Mapping[str, Any]) -> Turn:
    """Return the turn of a request."""
    if message.get("command") != "cleanup_session":
        return False, message.get("session")
    args = message.get("args")
    return True, cast("Mapping[str, object]", args).get("session_id") if isinstance(args, Mapping) else None


def turns_of(jobs: Iterable[Job | None]) -> list[Turn]:
    """Return the turns of what runs."""
    found = (job.received for job in jobs if job is not None)
    return [turn_of({"command": each.command, "args": each.args, "session": each.session}) for each in found]


def has_to_wait(turn: Turn, before: Iterable[Turn]) -> bool:
    """Tell whether a command has to wait for one of these, which run or came before it and wait."""
    ends, session = turn
    return session is not None and any(other == session and (ends or other_ends) for other_ends, other in before)
