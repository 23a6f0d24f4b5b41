"""The dispatch queue: who runs next, and where. Pure bookkeeping; the pool carries its answers out.

A worker runs at most one sync ticket and, beside it, up to ``concurrency`` async ones; or one *lease*, which wants a
worker that runs nothing and then has it alone. A ticket waits while no worker that may run it has room for its kind.

Tickets wait in the order they were submitted. A ticket without a session runs on any worker. A session's tickets run
one at a time, in order, and once its first has run, on the one incarnation that holds its state; those marked *beside*
neither wait for the session's others nor hold them up, but run on its worker all the same. So each worker has heaps of
tickets pinned to it and all share heaps of the others, one for each kind, all ordered by submission; of those of a
session that wait in line only the *head* is ever in a heap, the rest wait behind it in the session's record. A worker
that gets room takes the oldest of its candidates, again and again. This keeps two promises at once: nobody waits while
a worker that may serve it has room, and no pinned ticket loses its place to a younger one.

A lease would starve among tickets that each need only a part of a worker. So it counts as a candidate even where
something runs, and from the moment it is the oldest one, its worker takes nothing: it runs empty, and then takes the
lease. A lease that any worker may take holds all of them back until the first is empty, or the lease has left.

Not every worker takes everything, see `WorkerRole`: one that stands by takes errands alone, one of the overflow only
tickets without a session, if no other has room, and one that leaves only tickets of the sessions it has.

Workers that run nothing are taken most recently used first: their caches are warm (measured: 34 against 42 µs for a
lone request on two workers). A new session goes to the one with the fewest sessions instead. Only when there is none,
an async ticket runs beside others, or a sync one beside async ones: where the fewest run, for a death costs all of
them, and they share one interpreter.

Beside the queue there are *errands*: sync tickets for one certain worker each, by which the pool tells all something.
They take their turn by their number, but neither count as waiting nor fill the queue; who makes them bounds them.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from ._errors import PoolSaturated
from ._heaps import clean, exposed, older, waits_at
from ._rooms import Rooms, WorkerLoad
from ._staff import OVERFLOW, SERVING, WorkerRole
from ._ticket import ASYNC, DONE, LEASE, RUNNING, SYNC, WAITING, Phase, Ticket

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ._heaps import Heap
    from ._session_table import SessionRecord
    from ._ticket import Kind

_COMPACT_ABOVE: Final = 64  # arbitrary: below this many withdrawn tickets, rebuilding the heaps is not worth a thought

T = TypeVar("T", bound=Ticket)

_number, _load, _sessions = attrgetter("number"), attrgetter("load"), attrgetter("sessions")


class DispatchQueue(Generic[T]):
    """Decides which ticket runs on which worker. Workers are known by their incarnation number.

    `submit` and `pin` say whether their own ticket runs now. Whatever else an operation starts it appends to
    ``started``, which the caller empties: each ticket there knows its worker.

    Args:
        max_queue: How many tickets may wait; see `submit`.
        concurrency: How many async tickets a worker may run at once.
    """

    def __init__(self, max_queue: int, concurrency: int = 1) -> None:
        self._max_queue = max_queue
        self._workers: dict[int, WorkerLoad[T]] = {}
        self._rooms: Rooms[T] = Rooms(concurrency)
        # By kind, what waits for no certain worker: the tickets without a session, and those of unbound sessions.
        self._anonymous: tuple[Heap[T], ...] = ([], [], [])
        self._unbound: tuple[Heap[T], ...] = ([], [], [])
        self._errands: dict[int, Heap[T]] = {}
        self._submitted = 0
        self._waiting = 0
        self._waiting_anonymous = 0
        self._withdrawn = 0
        self._unsettled = False  # something may have become able to start that no worker's own turn would find
        self.started: deque[T] = deque()
        """What has been started and not yet carried out, in order."""

    @property
    def waiting(self) -> int:
        """How many tickets wait for a worker."""
        return self._waiting

    @property
    def anonymous(self) -> int:
        """How many of those that wait have no session."""
        return self._waiting_anonymous

    @property
    def busy(self) -> int:
        """How many workers run a ticket."""
        return sum(worker.load > 0 for worker in self._workers.values())

    @property
    def idle(self) -> list[int]:
        """The workers that serve and run nothing, the most recently used last."""
        return list(self._rooms.idle)

    def load(self, incarnation: int) -> int:
        """Return how many tickets this worker runs."""
        worker = self._workers.get(incarnation)
        return 0 if worker is None else worker.load

    def running(self, incarnation: int) -> list[T]:
        """Return the tickets this worker runs, the oldest first."""
        worker = self._workers.get(incarnation)
        return [] if worker is None else worker.running()

    def sessions(self, incarnation: int) -> int:
        """Return how many sessions are bound to this worker."""
        worker = self._workers.get(incarnation)
        return 0 if worker is None else worker.sessions

    # -- tickets -------------------------------------------------------------------------------------------------------

    def submit(self, ticket: T) -> int | None:
        """Take a new ticket; return the worker that runs it now, or None if it waits.

        Raises:
            PoolSaturated: It would have to wait and ``max_queue`` tickets wait already.
        """
        session = ticket.session
        in_line = session is not None and session.head is not None and not ticket.beside
        worker = None if in_line else self._choose(ticket, self._submitted + 1)
        if worker is None and self._waiting >= self._max_queue:
            message = f"{self._waiting} requests are waiting already (max_queue = {self._max_queue})"
            raise PoolSaturated(message, queued=self._waiting, max_queue=self._max_queue)
        self._submitted += 1
        ticket.number = self._submitted
        if session is not None:
            if ticket.beside:
                session.beside[ticket] = None
            elif session.head is None:
                session.head = ticket
        if worker is not None:
            self._start(ticket, worker)
            self._rooms.file(worker)
            return worker.incarnation
        self._wait(ticket)
        if session is None or session.head is ticket or ticket.beside:
            self._push(ticket)
        else:
            session.waiting.append(ticket)
        return None

    def withdraw(self, ticket: T) -> bool:
        """Take a waiting ticket out; False if it does not wait (any more)."""
        if ticket.phase is not WAITING:
            return False
        self._wait(ticket, -1)
        ticket.phase = DONE
        session = ticket.session
        if session is not None and session.head is not ticket and not ticket.beside:
            session.waiting.remove(ticket)
            return True
        # It stays in its heap, to be skipped when it comes up: taking it out would cost a search.
        self._withdrawn += 1
        self._unsettled = self._unsettled or ticket.kind is LEASE
        if session is not None:
            self._leave_session(session, ticket)
            # What kept the old head waiting may be nothing to the new one, if it is of another kind. But where a lease
            # leaves, somebody older may have waited for that.
            head: T | None = session.head
            worker = None if head is None or ticket.beside or self._unsettled else self._choose(head, head.number)
            if head is not None and worker is not None:
                self._start_waiting(head, worker)
                self._rooms.file(worker)
                self._withdrawn += 1
        self.settle()
        self._compact()
        return True

    def abandon(self, ticket: T) -> None:
        """Note that nobody waits for a running ticket: its worker takes nothing new until it has ended."""
        worker = self._workers[ticket.incarnation or 0]
        if not ticket.abandoned:
            ticket.abandoned = True
            worker.abandoned += 1
            self._rooms.file(worker)

    def finish(self, ticket: T) -> bool:
        """Note that a running ticket has ended; return whether its worker runs nothing now. `serve` must follow."""
        worker = self._workers[ticket.incarnation or 0]
        worker.drop(ticket)
        ticket.phase = DONE
        if ticket.session is not None:
            self._leave_session(ticket.session, ticket)
        return worker.main is None and not worker.asyncs

    def give_back(self, ticket: T) -> None:
        """Put a ticket that its worker is not going to begin back into its place; `settle` must follow."""
        worker = self._workers[ticket.incarnation or 0]
        worker.drop(ticket)
        self._rooms.file(worker)
        ticket.incarnation = None
        self._wait(ticket)
        self._push(ticket)
        self._unsettled = True

    # -- errands -------------------------------------------------------------------------------------------------------

    def next_number(self) -> int:
        """Take a place in the order of submission; errands pinned later, under this number, have it."""
        self._submitted += 1
        return self._submitted

    def pin(self, ticket: T, incarnation: int, number: int) -> bool:
        """Take an errand for this worker alone; return whether it runs now.

        Args:
            ticket: The errand; it is a sync one and has no session.
            incarnation: The worker. One that is not here yet, or is held, gets it with `add_worker`.
            number: Its place, from `next_number`; no other errand of this worker has the same.
        """
        ticket.number = number
        ticket.incarnation = incarnation
        worker = self._workers.get(incarnation)
        if worker is not None and self._rooms.room(worker, SYNC) and not self._is_kept_for_lease(worker, number):
            self._start(ticket, worker)
            self._rooms.file(worker)
            return True
        ticket.phase = WAITING
        heappush(self._errands.setdefault(incarnation, []), (number, ticket))
        return False

    def unpin(self, ticket: T) -> bool:
        """Take a waiting errand out; False if it does not wait (any more)."""
        if ticket.phase is not WAITING or ticket.incarnation is None:
            return False
        ticket.phase = DONE
        # At once, unlike `withdraw`: a worker has few errands, and one that is leased for long would keep them all.
        errands = self._errands[ticket.incarnation]
        errands.remove((ticket.number, ticket))
        heapify(errands)
        if not errands:
            del self._errands[ticket.incarnation]
        return True

    # -- workers -------------------------------------------------------------------------------------------------------

    def add_worker(self, incarnation: int, role: WorkerRole | None = None) -> None:
        """Take a worker that is ready, or one that was held, into use; with a role, only change what it takes."""
        worker = self._workers.get(incarnation)
        if worker is None:
            worker = self._workers[incarnation] = WorkerLoad(incarnation, role or WorkerRole.SERVING)
        worker.role = role or worker.role
        worker.held = worker.held and role is not None
        self.serve(incarnation)

    def serve(self, incarnation: int) -> None:
        """Start what a worker has room for, the oldest first."""
        worker = self._workers[incarnation]
        while self._waiting or self._errands:
            heap = self._next(worker)
            if heap is None:
                break
            self._start_first(heap, worker)
        self._rooms.file(worker)
        if self._unsettled:
            self.settle()

    def hold(self, incarnation: int) -> None:
        """Give a worker nothing new until `add_worker`; what it runs runs on."""
        worker = self._workers.get(incarnation)
        if worker is not None:
            worker.held = True
            self._rooms.file(worker)

    def remove_worker(self, incarnation: int, again: Collection[T] = ()) -> None:
        """Forget a worker that died. `settle` must follow.

        What waited for it alone is found again through the sessions bound to it, each of which must now be unbound or
        closed.

        Args:
            incarnation: The worker.
            again: Those of the tickets it ran that return to their old places. They may exceed ``max_queue``: they were
                admitted once. The others are done, so their sessions may go on.
        """
        worker = self._workers.pop(incarnation)
        self._rooms.drop(worker)
        for ticket in worker.running():
            ticket.abandoned = False
            if ticket in again:
                ticket.incarnation = None
                self._wait(ticket)
                self._push(ticket)
            else:
                ticket.phase = DONE
                if ticket.session is not None:
                    self._leave_session(ticket.session, ticket)
        for _, errand in self._errands.pop(incarnation, ()):
            errand.phase = Phase.NEW  # whoever pinned it may pin it elsewhere
        self._unsettled = True

    def settle(self) -> None:
        """Start whatever can start, the first in line first, each where it runs best.

        For what changes more than one worker's prospects: a death, a lease that has come to run, or left.
        """
        if not self._unsettled:
            return
        self._unsettled = False
        while True:
            first: Heap[T] | None = None
            where: WorkerLoad[T] | None = None
            for worker in self._workers.values():
                heap = self._next(worker)
                if heap is not None and (first is None or heap[0] < first[0]):
                    first, where = heap, worker
            if first is None or where is None:
                self._unsettled = False
                return
            if any(first is heap for heap in (*self._anonymous, *self._unbound)):
                # Any of the workers that have room for it takes it next: it is the oldest of all.
                where = self._choose(first[0][1], first[0][0]) or where
            self._start_first(first, where)
            self._rooms.file(where)

    # -- sessions ------------------------------------------------------------------------------------------------------

    def unbind(self, session: SessionRecord) -> None:
        """Set a session free from its worker; `settle` then finds its tickets another."""
        self._forget(session)
        waiting: list[T] = exposed(session)
        for ticket in waiting:
            self._push(ticket)
            self._unsettled = True

    def close_session(self, session: SessionRecord) -> list[T]:
        """Take all waiting tickets of a session out, in order; what runs runs on. The session is bound no more.

        `settle` must follow.
        """
        heads: list[T] = exposed(session)
        tickets: list[T] = sorted((*heads, *session.waiting), key=_number)
        session.waiting.clear()
        self._waiting -= len(tickets)
        self._withdrawn += len(heads)
        for ticket in tickets:
            ticket.phase = DONE
            self._leave_session(session, ticket)
            self._unsettled = self._unsettled or ticket.kind is LEASE
        self._forget(session)
        self._compact()
        return tickets

    # -- inside --------------------------------------------------------------------------------------------------------

    def _choose(self, ticket: T, number: int) -> WorkerLoad[T] | None:
        """Return the worker on which a ticket that is next of its session starts best, if there is room for it."""
        session, rooms = ticket.session, self._rooms
        if session is not None and session.incarnation is not None:
            home = self._workers.get(session.incarnation)
            able: Iterable[WorkerLoad[T]] = [home] if home is not None and rooms.room(home, ticket.kind) else []
        elif session is None:
            if rooms.idle:  # no lease waits then: it would have taken that worker
                return rooms.idle[next(reversed(rooms.idle))]
            able = rooms.beside(ticket.kind, anonymous=True)
            if not able:
                return None
        else:
            if rooms.idle:
                return rooms.idle[min(reversed(rooms.idle), key=self.sessions)]
            able = sorted(rooms.beside(ticket.kind, anonymous=False), key=_sessions)
        free = (worker for worker in able if not self._is_kept_for_lease(worker, number))
        return min(free, key=_load, default=None)

    def _next(self, worker: WorkerLoad[T]) -> Heap[T] | None:
        """Return the heap whose first ticket is the next this worker starts, if it has room."""
        main = worker.main
        if worker.held or worker.abandoned or (main is not None and main.kind is LEASE):
            return None
        lease = heap = self._oldest(worker, LEASE)
        if main is None:
            heap = older(heap, self._oldest(worker, SYNC))
            if self._errands:
                heap = older(heap, self._errands.get(worker.incarnation) or None)
        if len(worker.asyncs) < self._rooms.concurrency:
            heap = older(heap, self._oldest(worker, ASYNC))
        # A lease waits for the worker to run empty, and whoever is younger waits for the lease.
        return None if heap is lease and (main is not None or worker.asyncs) else heap

    def _oldest(self, worker: WorkerLoad[T], kind: Kind) -> Heap[T] | None:
        """Return the heap with the oldest ticket of a kind that this worker may run."""
        anonymous, unbound, pinned = self._anonymous[kind], self._unbound[kind], worker.pinned[kind]
        if not (anonymous or unbound or pinned):
            return None
        role, heap = worker.role, None
        if anonymous and (role is SERVING or role is OVERFLOW):
            heap = self._skimmed(anonymous, None)
        if unbound and role is SERVING:
            heap = older(heap, self._skimmed(unbound, None))
        if pinned:
            heap = older(heap, self._skimmed(pinned, worker.incarnation))
        return heap

    def _skimmed(self, heap: Heap[T], home: int | None) -> Heap[T] | None:
        """Return a heap with nothing on top that was left behind; None if it is empty."""
        while heap and not waits_at(heap[0][1], home):
            heappop(heap)
            self._withdrawn -= 1
        return heap or None

    def _is_kept_for_lease(self, worker: WorkerLoad[T], number: int) -> bool:
        """Tell whether a lease older than this number waits for the worker to run empty."""
        heap = self._oldest(worker, LEASE)
        return heap is not None and heap[0][0] < number

    def _start_first(self, heap: Heap[T], worker: WorkerLoad[T]) -> None:
        ticket = heappop(heap)[1]
        if ticket.incarnation is None:
            self._start_waiting(ticket, worker)
        else:  # an errand
            if not heap:
                del self._errands[worker.incarnation]
            self._start(ticket, worker)
            self.started.append(ticket)

    def _wait(self, ticket: T, change: int = 1) -> None:
        """Count a ticket that begins to wait, or one that ends to."""
        if change > 0:
            ticket.phase = WAITING
        self._waiting += change
        if ticket.session is None:
            self._waiting_anonymous += change

    def _start_waiting(self, ticket: T, worker: WorkerLoad[T]) -> None:
        self._wait(ticket, -1)
        self._start(ticket, worker)
        self.started.append(ticket)
        if ticket.kind is LEASE:
            self._unsettled = True  # whom it has held back elsewhere may start now

    def _start(self, ticket: T, worker: WorkerLoad[T]) -> None:
        """Have a worker run a ticket; whoever does so files the worker anew."""
        if ticket.kind is ASYNC:
            worker.asyncs[ticket] = None
        else:
            worker.main = ticket
        ticket.phase = RUNNING
        ticket.incarnation = worker.incarnation
        session = ticket.session
        if session is not None and session.incarnation is None:
            session.incarnation = worker.incarnation
            worker.sessions += 1
            others: list[T] = exposed(session)
            for other in others:
                # What any worker could have run is this one's from now on. A lease among it holds back the others no
                # more.
                self._push(other)
                self._withdrawn += 1
                self._unsettled = self._unsettled or other.kind is LEASE

    def _leave_session(self, session: SessionRecord, ticket: T) -> None:
        """Take a ticket that ended out of its session; the next in line becomes the head."""
        if ticket.beside:
            session.beside.pop(ticket, None)
        elif session.head is ticket:
            if session.waiting:
                session.head = session.waiting.popleft()
                self._push(session.head)
            else:
                session.head = None

    def _push(self, ticket: T) -> None:
        home = None if ticket.session is None else ticket.session.incarnation
        worker = None if home is None else self._workers.get(home)
        if home is None:
            heap = self._anonymous if ticket.session is None else self._unbound
            heappush(heap[ticket.kind], (ticket.number, ticket))
        elif worker is not None:  # else it died, and its sessions are about to be set free
            heappush(worker.pinned[ticket.kind], (ticket.number, ticket))

    def _forget(self, session: SessionRecord) -> None:
        worker = self._workers.get(session.incarnation or 0)
        session.incarnation = None
        if worker is not None:
            worker.sessions -= 1

    def _compact(self) -> None:
        """Rebuild the heaps once most of what is in them has been withdrawn."""
        if self._withdrawn <= _COMPACT_ABOVE or self._withdrawn <= self._waiting:
            return
        for worker in self._workers.values():
            for heap in worker.pinned:
                clean(heap, worker.incarnation)
        for heap in (*self._anonymous, *self._unbound):
            clean(heap, None)
        self._withdrawn = 0
