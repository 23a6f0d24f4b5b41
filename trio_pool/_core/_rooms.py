"""What each worker of the dispatch queue runs, and which of them have room for more."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

from ._ticket import Kind, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T", bound=Ticket)

_number = attrgetter("number")


class WorkerLoad(Generic[T]):
    """What one worker runs, and what waits for it alone."""

    __slots__ = ("abandoned", "asyncs", "held", "incarnation", "main", "pinned")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.main: T | None = None
        """Its sync ticket, errand or lease."""
        self.asyncs: dict[T, None] = {}
        self.abandoned = 0
        self.held = False
        self.pinned: tuple[list[tuple[int, T]], ...] = ([], [], [])

    @property
    def load(self) -> int:
        return len(self.asyncs) + (self.main is not None)

    def running(self) -> list[T]:
        """What it runs, the oldest first."""
        return sorted(self.asyncs if self.main is None else (self.main, *self.asyncs), key=_number)


class Rooms(Generic[T]):
    """The workers with room, each by its incarnation and in order of use, the most recent last.

    Args:
        concurrency: How many async tickets a worker may run at once.
    """

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.idle: dict[int, WorkerLoad[T]] = {}
        """Those that run nothing."""
        self.beside: tuple[dict[int, WorkerLoad[T]], ...] = ({}, {}, {})
        """By kind, those that run something and have room for a ticket of that kind; for a lease that is none."""

    def __iter__(self) -> Iterator[WorkerLoad[T]]:
        """Each worker with room of any kind, once."""
        return iter({**self.idle, **self.beside[Kind.SYNC], **self.beside[Kind.ASYNC]}.values())

    def file(self, worker: WorkerLoad[T]) -> None:
        """Put a worker, as the most recently used, where those with its room are looked for."""
        incarnation = worker.incarnation
        self.drop(incarnation)
        if worker.held or worker.abandoned:
            return
        if worker.main is None:
            if not worker.asyncs:
                self.idle[incarnation] = worker
                return
            self.beside[Kind.SYNC][incarnation] = worker
        elif worker.main.kind is Kind.LEASE:
            return
        if len(worker.asyncs) < self.concurrency:
            self.beside[Kind.ASYNC][incarnation] = worker

    def drop(self, incarnation: int) -> None:
        """Look for this worker nowhere."""
        self.idle.pop(incarnation, None)
        self.beside[Kind.SYNC].pop(incarnation, None)
        self.beside[Kind.ASYNC].pop(incarnation, None)
