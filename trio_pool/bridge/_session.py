"""The session as a command sees it: an id and a place to keep things."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
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

    __slots__ = ("session_id", "state")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.state: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Session {self.session_id!r} with {len(self.state)} items>"
