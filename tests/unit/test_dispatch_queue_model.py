"""The dispatch queue, walked against a naive model: one list of waiting tickets, searched from the front."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_pool._core._dispatch_queue import DispatchQueue
from trio_pool._core._errors import PoolSaturated
from trio_pool._core._session_table import SessionRecord
from trio_pool._core._ticket import Kind, Phase, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_QUEUE = 8
CONCURRENCY = 2


class QueueModel:
    """The rules in their plainest form: whoever is first in line and may run, runs.

    It never looks at what the queue keeps in a `SessionRecord`; records are names to it.
    """

    def __init__(self) -> None:
        self.waiting: list[Ticket] = []
        self.workers: list[int] = []
        """In order of use, the most recently used last."""
        self.running: dict[Ticket, int] = {}
        self.abandoned: set[Ticket] = set()
        self.held: set[int] = set()
        self.errands: dict[Ticket, int] = {}
        self.bound: dict[SessionRecord, int] = {}

    @property
    def line(self) -> list[Ticket]:
        """All who wait, the first in line first; one that is just being submitted has no number yet."""
        return sorted([*self.waiting, *self.errands], key=lambda ticket: ticket.number or math.inf)

    def sessions(self, incarnation: int) -> int:
        return list(self.bound.values()).count(incarnation)

    def load(self, worker: int) -> list[Ticket]:
        tickets = [ticket for ticket, where in self.running.items() if where == worker]
        return sorted(tickets, key=lambda ticket: ticket.number)

    @property
    def idle(self) -> list[int]:
        return [worker for worker in self.workers if not self.load(worker) and worker not in self.held]

    def has_room(self, worker: int, kind: Kind) -> bool:
        tickets = self.load(worker)
        kinds = [ticket.kind for ticket in tickets]
        if worker in self.held or Kind.LEASE in kinds or self.abandoned.intersection(tickets):
            return False
        if kind is Kind.LEASE:
            return not tickets
        return kinds.count(kind) < (1 if kind is Kind.SYNC else CONCURRENCY)

    def is_next(self, ticket: Ticket) -> bool:
        """Tell whether nothing of its own session keeps a waiting ticket from running."""
        session = ticket.session
        if session is None or ticket.beside:
            return True
        others = [other for other in (*self.running, *self.waiting) if other.session is session and not other.beside]
        return others[0] is ticket

    def homes(self, ticket: Ticket) -> list[int]:
        """Return the workers that may run a ticket, be there room or not."""
        if ticket in self.errands:
            only: int | None = self.errands[ticket]
        else:
            only = None if ticket.session is None else self.bound.get(ticket.session)
        return [worker for worker in self.workers if only in (None, worker)]

    def workers_for(self, ticket: Ticket) -> list[int]:
        """Return the workers that may run this waiting ticket now; none younger than a lease that waits for them."""
        if not self.is_next(ticket):
            return []
        older = self.line[: self.line.index(ticket)]
        leases = [lease for lease in older if lease.kind is Kind.LEASE and self.is_next(lease)]
        kept = {worker for lease in leases for worker in self.homes(lease)}
        return [worker for worker in self.homes(ticket) if worker not in kept and self.has_room(worker, ticket.kind)]

    def choose(self, ticket: Ticket, workers: list[int]) -> int:
        """Return the worker with the fewest tickets, for a session then the fewest sessions, then the last used."""

        def cost(worker: int) -> tuple[int, int]:
            return len(self.load(worker)), 0 if ticket.session is None else self.sessions(worker)

        return min(reversed(workers), key=cost)

    def settle(self) -> dict[Ticket, int]:
        """Start whatever can start, the first in line first; return who started where."""
        started: dict[Ticket, int] = {}
        while True:
            able = ((ticket, self.workers_for(ticket)) for ticket in self.line)
            ticket, workers = next(((ticket, workers) for ticket, workers in able if workers), (None, []))
            if ticket is None:
                return started
            worker = started[ticket] = self.choose(ticket, workers)
            if ticket in self.errands:
                del self.errands[ticket]
            else:
                self.waiting.remove(ticket)
            self.running[ticket] = worker
            self.used(worker)
            if ticket.session is not None:
                self.bound[ticket.session] = worker

    def used(self, worker: int) -> None:
        self.workers.remove(worker)
        self.workers.append(worker)


class DispatchQueues(RuleBasedStateMachine):
    """Any sequence of what may happen to tickets and workers has the same answers from queue and model."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: DispatchQueue[Ticket] = DispatchQueue(MAX_QUEUE, CONCURRENCY)
        self.model = QueueModel()
        self.sessions = {name: SessionRecord(name, 0.0) for name in "abc"}
        self.ended: set[SessionRecord] = set()
        self.incarnations = 0
        self.done: list[Ticket] = []
        self.numbers: list[int] = []
        self.errands: set[Ticket] = set()
        self.given_back: list[Ticket] = []

    def agree(self, own: dict[Ticket, int] | None = None) -> None:
        """Check that what the queue has started, beside what it told at once, is what the model starts."""
        started = {ticket: ticket.incarnation for ticket in self.queue.started}
        assert len(started) == len(self.queue.started)
        self.queue.started.clear()
        assert self.model.settle() == {**started, **(own or {})}

    # -- workers ---------------------------------------------------------------------------------------------------

    @initialize(count=st.integers(1, 2))
    def begin(self, count: int) -> None:
        for _ in range(count):
            self.a_worker_is_ready()

    @precondition(lambda self: len(self.model.workers) < 3)
    @rule()
    def a_worker_is_ready(self) -> None:
        self.incarnations += 1
        self.queue.add_worker(self.incarnations)
        self.model.workers.append(self.incarnations)
        self.agree()

    @precondition(lambda self: self.model.running)
    @rule(picks=st.lists(st.integers(0, 9), min_size=1, max_size=4))
    def tickets_end(self, picks: list[int]) -> None:
        for pick in picks:
            running = sorted(self.model.running, key=lambda ticket: (ticket.number, ticket.incarnation))
            if not running:
                return
            ticket = running[pick % len(running)]
            worker = self.model.running.pop(ticket)
            self.model.abandoned.discard(ticket)
            self.model.used(worker)
            assert self.queue.finish(ticket) == (not self.model.load(worker))
            self.queue.serve(worker)
            self.done.append(ticket)
            self.agree()

    @precondition(lambda self: self.model.running)
    @rule(data=st.data())
    def a_ticket_is_abandoned(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.model.running, key=lambda ticket: ticket.number)))
        self.queue.abandon(ticket)
        self.model.abandoned.add(ticket)
        self.agree()

    @precondition(lambda self: self.model.workers)
    @rule(data=st.data())
    def a_worker_is_held(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.workers)))
        self.queue.hold(worker)
        self.queue.hold(self.incarnations + 1)  # one that is not here is nothing to it
        self.model.held.add(worker)
        self.agree()

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def a_held_worker_is_let_go(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.held)))
        self.model.held.remove(worker)
        self.queue.add_worker(worker)
        self.model.used(worker)
        self.agree()

    @precondition(lambda self: self.model.workers)
    @rule(data=st.data(), keep=st.sampled_from(["abc", "ab", "c", ""]))
    def a_worker_dies(self, data: st.DataObject, keep: str) -> None:
        """Its tickets end or are dispatched again; of its sessions some are lost, the others go elsewhere."""
        model = self.model
        worker = data.draw(st.sampled_from(sorted(model.workers)))
        residents = [session for session, home in model.bound.items() if home == worker]
        lost = {session for session in residents if session.session_id not in keep}
        tickets = model.load(worker)
        # What had not begun runs again, unless there is nothing left for it to run in.
        again = {
            ticket
            for ticket in tickets
            if data.draw(st.booleans())
            and ticket.session not in lost
            and ticket.session not in self.ended
            and ticket not in self.errands
        }
        self.queue.remove_worker(worker, again)
        model.workers.remove(worker)
        model.held.discard(worker)
        for ticket in tickets:
            del model.running[ticket]
            model.abandoned.discard(ticket)
            if ticket not in again:
                self.done.append(ticket)
        for errand in [errand for errand, home in model.errands.items() if home == worker]:
            assert errand.phase is Phase.NEW
            del model.errands[errand]
            self.given_back.append(errand)
        for session in residents:
            del model.bound[session]
        for session in lost:
            failed = self.queue.close_session(session)
            assert failed == [other for other in model.waiting if other.session is session]
            self.drop(failed)
            self.sessions[session.session_id] = SessionRecord(session.session_id, 0.0)
        for session in residents:
            if session not in lost:
                self.queue.unbind(session)
        model.waiting = sorted([*model.waiting, *again], key=lambda other: other.number)
        self.queue.settle()
        self.agree()

    # -- tickets ---------------------------------------------------------------------------------------------------

    # Several at a time, for a queue that is mostly empty shows little.
    @rule(
        wanted=st.lists(
            st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from(Kind), st.booleans()),
            min_size=1,
            max_size=4,
        )
    )
    def tickets_are_submitted(self, wanted: list[tuple[str | None, Kind, bool]]) -> None:
        for name, kind, beside in wanted:
            session = None if name is None else self.sessions[name]
            self.submit(Ticket(session, kind, beside=beside and kind is not Kind.LEASE))

    def submit(self, ticket: Ticket) -> None:
        before = len(self.model.waiting)
        self.model.waiting.append(ticket)
        if before >= MAX_QUEUE and not self.model.workers_for(ticket):
            self.model.waiting.remove(ticket)
            with pytest.raises(PoolSaturated) as caught:
                self.queue.submit(ticket)
            assert (caught.value.queued, caught.value.max_queue) == (before, MAX_QUEUE)
            assert ticket.phase is Phase.NEW
            return
        worker = self.queue.submit(ticket)
        self.agree(None if worker is None else {ticket: worker})

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def a_waiting_ticket_is_withdrawn(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.model.waiting))
        assert self.queue.withdraw(ticket)
        self.drop([ticket])
        self.agree()
        # Those that run or are done do not wait.
        assert not any(self.queue.withdraw(other) for other in (*self.model.running, *self.done))

    @precondition(lambda self: self.model.bound)
    @rule(data=st.data())
    def a_session_is_ended(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted({session.session_id for session in self.model.bound})))
        session = self.sessions[name]
        failed = self.queue.close_session(session)
        assert failed == [ticket for ticket in self.model.waiting if ticket.session is session]
        self.drop(failed)
        self.model.bound.pop(session, None)
        self.ended.add(session)
        self.sessions[name] = SessionRecord(name, 0.0)
        self.queue.settle()
        self.agree()

    def drop(self, tickets: Iterable[Ticket]) -> None:
        for ticket in tickets:
            self.model.waiting.remove(ticket)
            self.done.append(ticket)

    # -- errands ---------------------------------------------------------------------------------------------------

    @rule()
    def a_number_is_taken(self) -> None:
        """Its errands are pinned whenever their worker is there, when many a younger ticket may wait."""
        self.numbers.append(self.queue.next_number())

    @precondition(lambda self: self.numbers or self.given_back)
    @rule(data=st.data())
    def an_errand_is_pinned(self, data: st.DataObject) -> None:
        workers = sorted({*self.model.workers, self.incarnations + 1})
        worker = data.draw(st.sampled_from(workers))
        errand = data.draw(st.sampled_from([*self.given_back, *(Ticket() for _ in self.numbers[:1])]))
        if errand in self.given_back:
            self.given_back.remove(errand)
        else:
            errand.number = self.numbers.pop(0)
        self.errands.add(errand)
        self.model.errands[errand] = worker
        now = self.queue.pin(errand, worker, errand.number)
        self.agree({errand: worker} if now else None)

    @precondition(lambda self: self.model.errands)
    @rule(data=st.data())
    def an_errand_is_withdrawn(self, data: st.DataObject) -> None:
        errand = data.draw(st.sampled_from(sorted(self.model.errands, key=lambda errand: errand.number)))
        assert self.queue.unpin(errand)
        del self.model.errands[errand]
        self.done.append(errand)
        self.agree()
        # Those that run, are done, or were never pinned do not wait.
        others = (errand, *self.model.running, *self.done, *self.given_back, *self.model.waiting, Ticket())
        assert not any(self.queue.unpin(other) for other in others)

    # -- promises --------------------------------------------------------------------------------------------------

    @invariant()
    def queue_and_model_agree(self) -> None:
        queue, model = self.queue, self.model
        assert queue.idle == model.idle
        assert queue.busy == len(set(model.running.values()))
        assert queue.waiting == len(model.waiting)
        for worker in range(1, self.incarnations + 1):
            assert queue.running(worker) == model.load(worker)
            assert queue.load(worker) == len(model.load(worker))
            assert queue.sessions(worker) == model.sessions(worker)
        for session in self.sessions.values():
            assert session.in_use == any(ticket.session is session for ticket in (*model.waiting, *model.running))

    @invariant()
    def every_ticket_knows_its_phase(self) -> None:
        assert {ticket.phase for ticket in (*self.model.waiting, *self.model.errands)} <= {Phase.WAITING}
        assert {ticket.phase for ticket in self.model.running} <= {Phase.RUNNING}
        assert {ticket.phase for ticket in self.done} <= {Phase.DONE}
        for ticket, worker in self.model.running.items():
            assert ticket.incarnation == worker

    @invariant()
    def nobody_waits_for_a_worker_with_room(self) -> None:
        for ticket in (*self.model.waiting, *self.model.errands):
            assert not self.model.workers_for(ticket)

    @invariant()
    def a_worker_runs_no_more_than_it_may(self) -> None:
        for worker in range(1, self.incarnations + 1):
            kinds = [ticket.kind for ticket in self.queue.running(worker)]
            assert kinds.count(Kind.SYNC) <= 1
            assert kinds.count(Kind.ASYNC) <= CONCURRENCY
            assert kinds == [Kind.LEASE] or Kind.LEASE not in kinds

    @invariant()
    def a_session_runs_one_ticket_at_a_time_and_at_home(self) -> None:
        running = [(ticket, worker) for ticket, worker in self.model.running.items() if ticket.session is not None]
        in_line = [ticket.session for ticket, _ in running if not ticket.beside]
        assert len(set(in_line)) == len(in_line)
        for ticket, worker in running:
            assert ticket.session in self.ended or ticket.session.incarnation == worker  # type: ignore[union-attr]  # it has one


TestDispatchQueues = DispatchQueues.TestCase
TestDispatchQueues.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
