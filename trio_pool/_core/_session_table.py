"""The session table: which sessions exist, where their state lives, and which have lost it.

A session's state lives in one worker *incarnation*. When that dies, a session whose commands used its state is lost
until it is ended, and one whose commands never did is forgotten by the worker without anybody noticing: it binds anew.
No
clock: every call that needs the time is given it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from ._errors import SessionLimit, SessionNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ID_BYTES: Final = 255  # what a file name or an index key commonly allows, so ids stay usable outside


class SessionStatus(StrEnum):
    """Where a session's state is."""

    UNBOUND = "unbound"
    """No worker has taken a request of it yet, or the one that had died before any state was used."""
    BOUND = "bound"
    """Its state lives in one worker incarnation."""
    LOST = "lost"
    """The incarnation that held its state is gone."""


@attrs.frozen(kw_only=True)
class SessionInfo:
    """A snapshot of one session; times are seconds on the pool's clock."""

    session_id: str
    status: SessionStatus
    incarnation: int | None
    created_at: float
    last_used: float
    operations: int
    waiting: int


class SessionRecord:
    """One session as the pool keeps it. `DispatchQueue` owns ``head``, ``waiting``, ``beside`` and ``incarnation``."""

    __slots__ = (
        "announced",
        "beside",
        "created_at",
        "head",
        "incarnation",
        "last_used",
        "lost",
        "lost_with",
        "operations",
        "session_id",
        "used",
        "waiting",
    )

    def __init__(self, session_id: str, now: float) -> None:
        self.session_id = session_id
        self.created_at = now
        self.last_used = now
        self.operations = 0
        self.incarnation: int | None = None
        self.announced: int | None = None  # the worker its binding to which was told
        self.lost = False
        self.lost_with: Any = None
        """The error that tells of the death of the worker its state died with."""
        self.used = False
        """True once a command of it may have touched its state in the worker."""
        # The one ticket that is running or next to run, and those behind it. Tickets are the queue's; Any breaks the
        # cycle.
        self.head: Any = None
        self.waiting: deque[Any] = deque()
        # Those that neither wait for these nor hold them up, waiting or running.
        self.beside: dict[Any, None] = {}

    @property
    def in_use(self) -> bool:
        """Whether it has a request, waiting or running."""
        return self.head is not None or bool(self.beside)

    @property
    def status(self) -> SessionStatus:
        """Where the state is."""
        if self.lost:
            return SessionStatus.LOST
        return SessionStatus.UNBOUND if self.incarnation is None else SessionStatus.BOUND

    def info(self) -> SessionInfo:
        """Return a snapshot."""
        return SessionInfo(
            session_id=self.session_id,
            status=self.status,
            incarnation=self.incarnation,
            created_at=self.created_at,
            last_used=self.last_used,
            operations=self.operations,
            waiting=len(self.waiting),
        )


class SessionTable:
    """All sessions of a pool, least recently used first.

    Args:
        ttl: Seconds after its last use at which an idle session expires.
        max_sessions: The most sessions tracked at once.
    """

    def __init__(self, ttl: float, max_sessions: int) -> None:
        self._ttl = ttl
        self._max_sessions = max_sessions
        self._records: OrderedDict[str, SessionRecord] = OrderedDict()
        self.created = 0
        """How many sessions there ever were."""
        self.ended = 0
        """How many of them have ended, by request or by expiry."""
        self.expired = 0
        """How many of those that ended expired."""
        self._lifetimes = 0.0

    @property
    def average_lifetime(self) -> float | None:
        """The mean time, in seconds, from creation to end of the sessions that have ended; None before the first.

        One that expired ended with its last use: nobody had it in the time until that was noticed.
        """
        return self._lifetimes / self.ended if self.ended else None

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[SessionRecord]:
        return iter(self._records.values())

    def get(self, session_id: str) -> SessionRecord | None:
        """Return the record of a tracked session, without counting it as a use."""
        return self._records.get(session_id)

    def use(self, session_id: str, now: float) -> SessionRecord:
        """Return the session's record, made if need be, and note that it was used.

        Raises:
            ValueError: The id is not a non-empty str of up to 255 bytes.
            SessionLimit: The id is new and ``max_sessions`` are tracked already.
        """
        record = self._records.get(session_id) if isinstance(cast("object", session_id), str) else None
        if record is None:
            _check_id(session_id)
            if len(self._records) >= self._max_sessions:
                message = f"{len(self._records)} sessions are tracked already (max_sessions = {self._max_sessions})"
                raise SessionLimit(message, session_id=session_id)
            record = self._records[session_id] = SessionRecord(session_id, now)
            self.created += 1
        else:
            self.touch(record, now)
        return record

    def touch(self, record: SessionRecord, now: float) -> None:
        """Note that a session is in use; does nothing for one that was ended."""
        if self._records.get(record.session_id) is record:
            record.last_used = now
            self._records.move_to_end(record.session_id)

    def end(self, session_id: str, now: float) -> SessionRecord:
        """Forget a session and return its record.

        Raises:
            SessionNotFound: It is not tracked.
        """
        record = self._records.pop(session_id, None)
        if record is None:
            raise SessionNotFound(f"no session {session_id!r} is tracked", session_id=session_id)
        self.ended += 1
        self._lifetimes += now - record.created_at
        return record

    def expire(self, session_id: str) -> SessionRecord:
        """Forget a session named by `stale` and return its record."""
        self.expired += 1
        return self.end(session_id, self._records[session_id].last_used)

    def undo(self, session_id: str) -> None:
        """Forget a session just made, for what it was made for has been refused: it never was."""
        del self._records[session_id]
        self.created -= 1

    def next_expiry(self) -> float:
        """Return when to call `stale` next; infinity while there is no session."""
        for record in self._records.values():
            return record.last_used + self._ttl
        return float("inf")

    def stale(self, now: float) -> list[str]:
        """Return the ids of idle sessions past their time to live. A session with a request in it is in use: it is
        touched.
        """
        ids: list[str] = []
        busy: list[SessionRecord] = []
        for record in self._records.values():
            if record.last_used + self._ttl > now:
                break
            if not record.in_use:
                ids.append(record.session_id)
            else:
                busy.append(record)
        for record in busy:
            self.touch(record, now)
        return ids


def is_id(value: object) -> bool:
    """Return whether ``value`` is a non-empty str of up to 255 bytes, which is what sessions and the like go by."""
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= MAX_ID_BYTES
    except UnicodeEncodeError:  # a lone surrogate, which cannot travel
        return False


def _check_id(session_id: object) -> None:
    if not is_id(session_id):
        raise ValueError(f"a session id is a non-empty str of up to {MAX_ID_BYTES} bytes, not {session_id!r:.80}")
