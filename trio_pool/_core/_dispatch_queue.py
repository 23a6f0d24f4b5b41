"""The dispatch queue: who runs next, and where. Pure bookkeeping; the pool carries its answers out.

Tickets wait in the order they were submitted. A ticket without a session runs on any worker. A session's tickets run
one at a time, in order, and once its first has run, on the one incarnation that holds its state. So each worker has a
heap of tickets pinned to it and all share one heap of the others, both ordered by submission; only a session's
*head* is ever in a heap, the rest wait behind it in the session's record. A worker that falls idle takes the older of
its two candidates. This keeps two promises at once: nobody waits while a worker that may serve it is idle, and no
pinned ticket loses its place to a younger one.

Idle workers are taken most recently used first: their caches are warm (measured: 34 against 42 µs for a lone request on
two workers). A new session goes to the idle worker with the fewest sessions instead.

Beside the queue there are *errands*: tickets for one certain worker each, by which the pool tells something to all its
workers. They take their turn by their number like the others, but they are not waiting requests: they neither count as
such nor fill the queue, and whoever makes them bounds how many there are.
"""

from __future__ import annotations

from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ._errors import PoolSaturated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._session_table import SessionRecord

_COMPACT_ABOVE: Final = 64  # arbitrary: below this many withdrawn tickets, rebuilding the heaps is not worth a thought


class Phase(Enum):
    """Where a ticket is."""

    NEW = auto()
    WAITING = auto()
    RUNNING = auto()
    DONE = auto()


class Ticket:
    """A request's place in the queue; the pool's requests derive from it."""

    __slots__ = ("incarnation", "number", "phase", "session")

    def __init__(self, session: SessionRecord | None = None) -> None:
        self.session = session
        self.phase = Phase.NEW
        self.number = 0
        """The order of submission; a ticket that is dispatched again keeps it."""
        self.incarnation: int | None = None
        """The worker that runs it; of an errand, also the one it waits for."""


T = TypeVar("T", bound=Ticket)


class DispatchQueue(Generic[T]):
    """Decides which ticket runs on which worker. Workers are known by their incarnation number.

    Args:
        max_queue: How many tickets may wait; see `submit`.
    """

    def __init__(self, max_queue: int) -> None:
        self._max_queue = max_queue
        self._idle: dict[int, None] = {}  # in order of use, the most recent last
        self._running: dict[int, T] = {}
        self._sessions: dict[int, int] = {}  # incarnation -> number of sessions bound to it
        self._shared: list[tuple[int, T]] = []
        self._pinned: dict[int, list[tuple[int, T]]] = {}
        self._errands: dict[int, list[tuple[int, T]]] = {}
        self._submitted = 0
        self._waiting = 0
        self._withdrawn = 0

    @property
    def waiting(self) -> int:
        """How many tickets wait for a worker."""
        return self._waiting

    @property
    def busy(self) -> int:
        """How many workers run a ticket."""
        return len(self._running)

    @property
    def idle(self) -> list[int]:
        """The idle workers, the most recently used last."""
        return list(self._idle)

    def running(self, incarnation: int) -> T | None:
        """Return the ticket this worker runs."""
        return self._running.get(incarnation)

    def sessions(self, incarnation: int) -> int:
        """Return how many sessions are bound to this worker."""
        return self._sessions.get(incarnation, 0)

    def __iter__(self) -> Iterator[T]:
        """All waiting tickets but errands, in no promised order."""
        for heap in (self._shared, *self._pinned.values()):
            for _, ticket in heap:
                if ticket.phase is Phase.WAITING:
                    yield ticket
                    if ticket.session is not None:
                        yield from ticket.session.waiting
        for ticket in self._running.values():
            if ticket.session is not None:
                yield from ticket.session.waiting

    # -- tickets -------------------------------------------------------------------------------------------------------

    def submit(self, ticket: T) -> int | None:
        """Take a new ticket; return the worker that runs it now, or None if it waits.

        Raises:
            PoolSaturated: It would have to wait and ``max_queue`` tickets wait already.
        """
        session = ticket.session
        if session is None:
            incarnation = next(reversed(self._idle), None)
        elif session.head is not None:
            incarnation = None
        else:
            incarnation = self._idle_for(session)
        if incarnation is None and self._waiting >= self._max_queue:
            message = f"{self._waiting} requests are waiting already (max_queue = {self._max_queue})"
            raise PoolSaturated(message, queued=self._waiting, max_queue=self._max_queue)
        self._submitted += 1
        ticket.number = self._submitted
        if incarnation is not None:
            if session is not None:
                session.head = ticket
            self._start(ticket, incarnation)
            return incarnation
        self._waiting += 1
        ticket.phase = Phase.WAITING
        if session is not None and session.head is not None:
            session.waiting.append(ticket)
        else:
            if session is not None:
                session.head = ticket
            self._push(ticket)
        return None

    def withdraw(self, ticket: T) -> bool:
        """Take a waiting ticket out; False if it does not wait (any more)."""
        if ticket.phase is not Phase.WAITING:
            return False
        self._waiting -= 1
        ticket.phase = Phase.DONE
        session = ticket.session
        if session is not None and session.head is not ticket:
            session.waiting.remove(ticket)
            return True
        # It stays in its heap, to be skipped when it comes up: taking it out would cost a search.
        self._withdrawn += 1
        if session is not None:
            # The next of the session cannot run either: what kept the head waiting keeps it too.
            self._advance(session)
        self._compact()
        return True

    def requeue(self, ticket: T) -> int | None:
        """Return a ticket that was running, on a worker now removed, to its old place; return the worker that runs it
        now.

        It may exceed ``max_queue``, by no more than the number of workers: it was admitted once.
        """
        ticket.incarnation = None
        session = ticket.session
        incarnation = next(reversed(self._idle), None) if session is None else self._idle_for(session)
        if incarnation is not None:
            self._start(ticket, incarnation)
            return incarnation
        self._waiting += 1
        ticket.phase = Phase.WAITING
        self._push(ticket)
        return None

    # -- errands -------------------------------------------------------------------------------------------------------

    def next_number(self) -> int:
        """Take a place in the order of submission; errands pinned later, under this number, have it."""
        self._submitted += 1
        return self._submitted

    def pin(self, ticket: T, incarnation: int, number: int) -> bool:
        """Take an errand for this worker alone; return whether it runs now.

        Args:
            ticket: The errand; it has no session.
            incarnation: The worker. One that is not here yet, or is held, gets it with `add_worker`.
            number: Its place, from `next_number`; no other errand of this worker has the same.
        """
        ticket.number = number
        ticket.incarnation = incarnation
        if incarnation in self._idle:
            self._start(ticket, incarnation)
            return True
        ticket.phase = Phase.WAITING
        heappush(self._errands.setdefault(incarnation, []), (number, ticket))
        return False

    def unpin(self, ticket: T) -> bool:
        """Take a waiting errand out; False if it does not wait (any more)."""
        if ticket.phase is not Phase.WAITING or ticket.incarnation is None:
            return False
        ticket.phase = Phase.DONE
        # At once, unlike `withdraw`: a worker has few errands, and one that is leased for long would keep them all.
        errands = self._errands[ticket.incarnation]
        errands.remove((ticket.number, ticket))
        heapify(errands)
        return True

    # -- workers -------------------------------------------------------------------------------------------------------

    def add_worker(self, incarnation: int) -> T | None:
        """Take a worker that is ready (again); return the ticket it runs now, or None if it is idle."""
        ticket = self._take(incarnation)
        if ticket is None:
            self._idle[incarnation] = None
        else:
            self._start(ticket, incarnation)
        return ticket

    def release(self, incarnation: int) -> T | None:
        """Note that a worker's ticket has ended; return the ticket it runs next, or None if it is idle now."""
        self._finish(incarnation)
        return self.add_worker(incarnation)

    def hold(self, incarnation: int) -> bool:
        """Take an idle worker out of use until `add_worker`; False if it is not idle."""
        if incarnation not in self._idle:
            return False
        del self._idle[incarnation]
        return True

    def remove_worker(self, incarnation: int, *, finished: bool) -> T | None:
        """Forget a worker that died; return the ticket it ran.

        Args:
            incarnation: The worker.
            finished: The ticket has had its outcome, so its session may go on; otherwise `requeue` it.
        """
        self._idle.pop(incarnation, None)
        ticket = self._running.get(incarnation)
        if ticket is not None:
            if finished:
                self._finish(incarnation)
            else:
                del self._running[incarnation]
        # Those pinned to it are found again through their sessions, each of which must now be unbound or closed.
        self._pinned.pop(incarnation, None)
        for _, errand in self._errands.pop(incarnation, ()):
            errand.phase = Phase.NEW  # whoever pinned it may pin it elsewhere
        return ticket

    # -- sessions ------------------------------------------------------------------------------------------------------

    def unbind(self, session: SessionRecord) -> int | None:
        """Set a session free from its worker; return the worker that runs its head now, if one could take it."""
        self._forget(session)
        head: T | None = session.head
        if head is None or head.phase is not Phase.WAITING:
            return None
        incarnation = self._idle_for(session)
        if incarnation is not None:
            self._waiting -= 1
            self._start(head, incarnation)
        else:
            heappush(self._shared, (head.number, head))
        return incarnation

    def close_session(self, session: SessionRecord) -> list[T]:
        """Take all waiting tickets of a session out, in order; a running one runs on. The session is bound no more."""
        tickets: list[T] = list(session.waiting)
        session.waiting.clear()
        self._waiting -= len(tickets)
        head: T | None = session.head
        if head is not None and head.phase is Phase.WAITING:
            self._waiting -= 1
            self._withdrawn += 1
            session.head = None
            tickets.insert(0, head)
        for ticket in tickets:
            ticket.phase = Phase.DONE
        self._forget(session)
        self._compact()
        return tickets

    # -- inside --------------------------------------------------------------------------------------------------------

    def _idle_for(self, session: SessionRecord) -> int | None:
        if session.incarnation is not None:
            return session.incarnation if session.incarnation in self._idle else None
        return min(reversed(self._idle), key=self.sessions, default=None)

    def _start(self, ticket: T, incarnation: int) -> None:
        self._idle.pop(incarnation, None)
        self._running[incarnation] = ticket
        ticket.phase = Phase.RUNNING
        ticket.incarnation = incarnation
        session = ticket.session
        if session is not None and session.incarnation is None:
            session.incarnation = incarnation
            self._sessions[incarnation] = self._sessions.get(incarnation, 0) + 1

    def _finish(self, incarnation: int) -> None:
        ticket = self._running.pop(incarnation)
        ticket.phase = Phase.DONE
        if ticket.session is not None and ticket.session.head is ticket:
            self._advance(ticket.session)

    def _advance(self, session: SessionRecord) -> None:
        """Make the next ticket of a session its head."""
        if session.waiting:
            session.head = session.waiting.popleft()
            self._push(session.head)
        else:
            session.head = None

    def _push(self, ticket: T) -> None:
        session = ticket.session
        if session is None or session.incarnation is None:
            heappush(self._shared, (ticket.number, ticket))
        else:
            heappush(self._pinned.setdefault(session.incarnation, []), (ticket.number, ticket))

    def _take(self, incarnation: int) -> T | None:
        """Pop the oldest waiting ticket this worker may run."""
        pinned = self._pinned.get(incarnation)
        for heap in (self._shared, pinned):
            while heap and heap[0][1].phase is not Phase.WAITING:
                heappop(heap)
                self._withdrawn -= 1
        heap = pinned if pinned and (not self._shared or pinned[0] < self._shared[0]) else self._shared
        errands = self._errands.get(incarnation)
        if errands and (not heap or errands[0] < heap[0]):
            return heappop(errands)[1]
        if not heap:
            return None
        self._waiting -= 1
        return heappop(heap)[1]

    def _forget(self, session: SessionRecord) -> None:
        incarnation = session.incarnation
        if incarnation is None:
            return
        session.incarnation = None
        left = self._sessions[incarnation] - 1
        if left:
            self._sessions[incarnation] = left
        else:
            del self._sessions[incarnation]

    def _compact(self) -> None:
        """Rebuild the heaps once most of what is in them has been withdrawn."""
        if self._withdrawn <= _COMPACT_ABOVE or self._withdrawn <= self._waiting:
            return
        for heap in (self._shared, *self._pinned.values()):
            heap[:] = [entry for entry in heap if entry[1].phase is Phase.WAITING]
            heapify(heap)
        self._withdrawn = 0
