"""The session as a command sees it: an id and a place to keep things."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Session:
    """State that belongs to one session and lives in this worker process until the session ends or the process does.

    A command gets it by annotating a parameter with this class. It is made when the first such command runs, and
    dropped by ``end_session`` after the `Bridge.on_session_end` hooks. When the worker dies it is gone; the pool
    reports that.

    Attributes:
        session_id: The id the caller used.
        state: Whatever the commands put there. Only this session's commands see it.
    """

    __slots__ = ("_check", "session_id", "state")

    def __init__(self, session_id: str, check: Callable[[], None] | None = None) -> None:
        self.session_id = session_id
        self.state: dict[str, Any] = {}
        self._check = check

    def __repr__(self) -> str:
        return f"<Session {self.session_id!r} with {len(self.state)} items>"

    def check(self) -> None:
        """Stop the command that calls this if its caller waits no longer: it timed out, or was cancelled.

        For a sync command that takes long, at points where it can be left: it costs a look at the socket, about 1 µs.
        What raises here passes through its ``finally`` blocks, and the worker serves on. Called from another thread
        than the worker's main thread, or in an async command, for which Trio's own cancellation does it, it does
        nothing.

        Raises:
            Interrupted: Nobody waits for the command any more.

        .. versionadded:: 0.1
        """
        if self._check is not None:
            self._check()
