"""Heaps of waiting tickets, the oldest on top. Who leaves early is skipped later: taking it out would cost a search."""

from __future__ import annotations

from heapq import heapify
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ._ticket import WAITING, Ticket

T = TypeVar("T", bound=Ticket)

_number = attrgetter("number")

if TYPE_CHECKING:
    from ._session_table import SessionRecord

    Heap: TypeAlias = list[tuple[int, T]]


def waits_at(ticket: Ticket, home: int | None) -> bool:
    """Tell whether a ticket found in a heap, a worker's or a shared one, is there by right and not left behind."""
    session = ticket.session
    return ticket.phase is WAITING and (None if session is None else session.incarnation) == home


def exposed(session: SessionRecord) -> list[Any]:  # of whatever kind the queue's tickets are
    """Return a session's waiting tickets that stand in heaps, in order."""
    tickets = [ticket for ticket in session.beside if ticket.phase is WAITING]
    if session.head is not None and session.head.phase is WAITING:
        tickets.append(session.head)
    return sorted(tickets, key=_number)


def older(one: Heap[T] | None, other: Heap[T] | None) -> Heap[T] | None:
    """Return the heap whose first ticket is the older; None stands for an empty one."""
    return one if other is None or (one is not None and one[0] < other[0]) else other


def clean(heap: Heap[T], home: int | None) -> None:
    """Take out what was left behind."""
    # Each ticket once: one that left a heap and came back may stand in it twice.
    heap[:] = {entry[1]: entry for entry in heap if waits_at(entry[1], home)}.values()
    heapify(heap)
