"""The built-in workload as an application of trio_pool: sessions that keep a list, and requests that keep nothing."""

from __future__ import annotations

from trio_pool.bridge import Bridge, Session

from ._joining import join_run
from ._operations import perform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

bridge = Bridge()

COMMANDS = {"append": "append", "read": "read", "work": "work", "echo": "mirror"}
"""The command of each operation; ``echo`` itself is one that every worker answers, and notes nothing."""


@bridge.command
def append(session: Session, args: dict[str, Any]) -> dict[str, Any]:
    """Append the request's nonce to the session's list, and return the list."""
    return perform("append", args, session.state)


@bridge.command
def read(session: Session, args: dict[str, Any]) -> dict[str, Any]:
    """Return the session's list."""
    return perform("read", args, session.state)


@bridge.command
def work(args: dict[str, Any]) -> dict[str, Any]:
    """Take the time that was asked for, and return a digest."""
    return perform("work", args, None)


@bridge.command
def mirror(args: dict[str, Any]) -> dict[str, Any]:
    """Return the bytes that came."""
    return perform("echo", args, None)


join_run()
