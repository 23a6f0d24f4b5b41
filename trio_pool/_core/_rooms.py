"""What each worker of the dispatch queue runs, and which of them have room for more."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

from ._staff import OVERFLOW, SERVING, WorkerRole
from ._ticket import ASYNC, LEASE, SYNC, Kind, Ticket

if TYPE_CHECKING:
    from ._heaps import Heap

T = TypeVar("T", bound=Ticket)

_number = attrgetter("number")


class WorkerLoad(Generic[T]):
    """What one worker runs, and what waits for it alone."""

    __slots__ = ("abandoned", "asyncs", "held", "incarnation", "main", "pinned", "places", "role", "sessions")

    def __init__(self, incarnation: int, role: WorkerRole) -> None:
        self.incarnation = incarnation
        self.role = role
        self.main: T | None = None
        """Its sync ticket, errand or lease."""
        self.asyncs: dict[T, None] = {}
        self.abandoned = 0
        self.held = False
        self.pinned: tuple[Heap[T], ...] = ([], [], [])
        self.sessions = 0
        """How many sessions are bound to it."""
        self.places: list[dict[int, WorkerLoad[T]]] = []
        """Where `Rooms` has put it."""

    @property
    def load(self) -> int:
        return len(self.asyncs) + (self.main is not None)

    def drop(self, ticket: T) -> None:
        """Take off a ticket that it runs."""
        if self.main is ticket:
            self.main = None
        else:
            del self.asyncs[ticket]
        if ticket.abandoned:
            ticket.abandoned = False
            self.abandoned -= 1

    def running(self) -> list[T]:
        """What it runs, the oldest first."""
        return sorted(self.asyncs if self.main is None else (self.main, *self.asyncs), key=_number)


class Rooms(Generic[T]):
    """Where to look for a worker with room, each by its incarnation and in order of use, the most recent last.

    Those that serve, and those of the overflow that run something; the others are never looked for, they look
    themselves.

    Args:
        concurrency: How many async tickets a worker may run at once.
    """

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.idle: dict[int, WorkerLoad[T]] = {}
        """Those that serve and run nothing."""
        # By kind, those that run something and have room for a ticket of that kind; for a lease that is none.
        self._beside: tuple[dict[int, WorkerLoad[T]], ...] = ({}, {}, {})
        self._beside_overflow: tuple[dict[int, WorkerLoad[T]], ...] = ({}, {}, {})

    def beside(self, kind: Kind, *, anonymous: bool) -> list[WorkerLoad[T]]:
        """Return those that run something and have room for a ticket of this kind, the most recently used first."""
        found = [*reversed(self._beside[kind].values())] if self._beside[kind] else []
        if anonymous and self._beside_overflow[kind]:
            found += reversed(self._beside_overflow[kind].values())
        return found

    def room(self, worker: WorkerLoad[T], kind: Kind) -> bool:
        """Tell whether a worker has room for a ticket of a kind, were there nobody else to wish for it."""
        main = worker.main
        if worker.held or worker.abandoned or (main is not None and main.kind is LEASE):
            return False
        if kind is ASYNC:
            return len(worker.asyncs) < self.concurrency
        return main is None and not (kind is LEASE and worker.asyncs)

    def file(self, worker: WorkerLoad[T]) -> None:
        """Put a worker, as the most recently used, where those with its room and its role are looked for."""
        self.drop(worker)
        if worker.role is SERVING:
            beside = self._beside
        elif worker.role is OVERFLOW:
            beside = self._beside_overflow
        else:
            return
        if worker.held or worker.abandoned:
            return
        main, places = worker.main, worker.places
        if main is not None and main.kind is LEASE:
            return
        if main is not None or worker.asyncs:
            if main is None:
                places.append(beside[SYNC])
            if len(worker.asyncs) < self.concurrency:
                places.append(beside[ASYNC])
        elif worker.role is SERVING:
            places.append(self.idle)
        for place in places:
            place[worker.incarnation] = worker

    def drop(self, worker: WorkerLoad[T]) -> None:
        """Look for a worker nowhere."""
        for place in worker.places:
            del place[worker.incarnation]
        worker.places.clear()
