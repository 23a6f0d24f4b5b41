"""The ends of sessions in a worker that runs several commands at once: what has to wait for which.

A worker of one thread does everything in order. In one of two, a clean-up would run beside async commands of the
session it ends, and a new session of the same id could begin with the old one's state while the clean-up still waits
for the main thread. So a clean-up waits until all has ended that came before it in its session, and what comes behind
it in the same session waits until it is done.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._core._messages import Message


def session_of(request: Message) -> object:
    """Return the id of the session a request is in, or, of a clean-up, of the one it ends."""
    if request.get("command") != "cleanup_session":
        return request.get("session")
    args = request.get("args")
    return args.get("session_id") if type(args) is dict else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # narrowed from Any


class SessionEnds:
    """One look over the requests that wait, in the order they came.

    Args:
        job: What the main thread runs, if it runs something.
    """

    def __init__(self, job: Message | None) -> None:
        self._ending: set[object] = set()
        if job is not None:
            self.passed(job)

    def holds(self, request: Message, before: Iterable[Message]) -> bool:
        """Tell whether a request has to wait for others of its session.

        Args:
            request: The next in order.
            before: What runs, and what came before and waits.
        """
        if request.get("command") != "cleanup_session" and not self._ending:
            return False
        session = session_of(request)
        if type(session) is not str:
            return False
        if session in self._ending:
            return True
        return request.get("command") == "cleanup_session" and any(session_of(each) == session for each in before)

    def passed(self, request: Message) -> None:
        """Take note of a request that begins or goes on waiting."""
        if request.get("command") == "cleanup_session":
            session = session_of(request)
            if type(session) is str:
                self._ending.add(session)
