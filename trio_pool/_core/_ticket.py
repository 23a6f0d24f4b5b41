"""A ticket: one request's place in the dispatch queue."""

from __future__ import annotations

from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._session_table import SessionRecord


class Phase(Enum):
    """Where a ticket is."""

    NEW = auto()
    WAITING = auto()
    RUNNING = auto()
    DONE = auto()


class Kind(IntEnum):
    """What a ticket needs of a worker; the number is the place of its heap."""

    SYNC = 0
    """The worker's main thread, of which there is one."""
    ASYNC = 1
    """One of ``concurrency`` places."""
    LEASE = 2
    """All of a worker."""


# The same for where every request passes: naming a member by its class costs 0.2 µs, ten times a global's lookup.
WAITING: Final = Phase.WAITING
RUNNING: Final = Phase.RUNNING
DONE: Final = Phase.DONE
SYNC: Final = Kind.SYNC
ASYNC: Final = Kind.ASYNC
LEASE: Final = Kind.LEASE


class Ticket:
    """A request's place in the queue; the pool's requests derive from it.

    Args:
        session: The session it belongs to.
        kind: What it needs of a worker.
        beside: It neither waits for its session's others nor holds them up; a lease never is.
    """

    __slots__ = ("abandoned", "beside", "incarnation", "kind", "number", "phase", "session")

    def __init__(self, session: SessionRecord | None = None, kind: Kind = Kind.SYNC, *, beside: bool = False) -> None:
        self.session = session
        self.kind = kind
        self.beside = beside and session is not None
        self.phase = Phase.NEW
        self.number = 0
        """The order of submission; a ticket that is dispatched again keeps it."""
        self.incarnation: int | None = None
        """The worker that runs it; of an errand, also the one it waits for."""
        self.abandoned = False
        """True once its worker is to take nothing new until it has ended."""
