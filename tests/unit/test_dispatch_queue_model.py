"""The dispatch queue, walked against a naive model: one list of waiting tickets, searched from the front."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_pool._core._dispatch_queue import DispatchQueue, Phase, Ticket
from trio_pool._core._errors import PoolSaturated
from trio_pool._core._session_table import SessionRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_QUEUE = 8


class QueueModel:
    """The rules in their plainest form: whoever is first in line and may run, runs.

    It never looks at what the queue keeps in a `SessionRecord`; records are names to it.
    """

    def __init__(self) -> None:
        self.waiting: list[Ticket] = []
        self.running: dict[int, Ticket] = {}
        self.idle: list[int] = []
        self.held: set[int] = set()
        self.errands: dict[Ticket, int] = {}
        self.bound: dict[SessionRecord, int] = {}

    def sessions(self, incarnation: int) -> int:
        return list(self.bound.values()).count(incarnation)

    def workers_for(self, ticket: Ticket) -> list[int]:
        """Return the idle workers that may run this ticket now."""
        if ticket in self.errands:
            return [worker for worker in self.idle if worker == self.errands[ticket]]
        session = ticket.session
        if session is None:
            return self.idle
        if any(other.session is session for other in self.running.values()):
            return []
        if next(other for other in self.waiting if other.session is session) is not ticket:
            return []
        home = self.bound.get(session)
        return [worker for worker in self.idle if home in (None, worker)]

    def choose(self, ticket: Ticket, workers: list[int]) -> int:
        """Return the most recently used one; for a session without a home, of those with the fewest sessions."""
        if ticket.session is None:
            return workers[-1]
        fewest = min(self.sessions(worker) for worker in workers)
        return [worker for worker in workers if self.sessions(worker) == fewest][-1]

    def settle(self) -> dict[Ticket, int]:
        """Start whatever can start, the first in line first; return who started where."""
        started: dict[Ticket, int] = {}
        while True:
            line = sorted([*self.waiting, *self.errands], key=lambda ticket: ticket.number or math.inf)
            able = ((ticket, self.workers_for(ticket)) for ticket in line)
            ticket, workers = next(((ticket, workers) for ticket, workers in able if workers), (None, []))
            if ticket is None:
                return started
            worker = started[ticket] = self.choose(ticket, workers)
            if ticket in self.errands:
                del self.errands[ticket]
            else:
                self.waiting.remove(ticket)
            self.idle.remove(worker)
            self.running[worker] = ticket
            if ticket.session is not None:
                self.bound[ticket.session] = worker


class DispatchQueues(RuleBasedStateMachine):
    """Any sequence of what may happen to tickets and workers has the same answers from queue and model."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: DispatchQueue[Ticket] = DispatchQueue(MAX_QUEUE)
        self.model = QueueModel()
        self.sessions = {name: SessionRecord(name, 0.0) for name in "abc"}
        self.ended: set[SessionRecord] = set()
        self.incarnations = 0
        self.done: list[Ticket] = []
        self.numbers: list[int] = []
        self.errands: set[Ticket] = set()
        self.given_back: list[Ticket] = []

    def agree_on(self, ticket: Ticket | None, worker: int | None) -> None:
        """Check that the one start the queue told of is the one the model finds."""
        expected = {} if ticket is None or worker is None else {ticket: worker}
        assert self.model.settle() == expected

    # -- workers ---------------------------------------------------------------------------------------------------

    @initialize(count=st.integers(1, 2))
    def begin(self, count: int) -> None:
        for _ in range(count):
            self.a_worker_is_ready()

    @precondition(lambda self: len(self.model.idle) + len(self.model.running) + len(self.model.held) < 3)
    @rule()
    def a_worker_is_ready(self) -> None:
        self.incarnations += 1
        ticket = self.queue.add_worker(self.incarnations)
        self.model.idle.append(self.incarnations)
        self.agree_on(ticket, self.incarnations)

    @precondition(lambda self: self.model.running)
    @rule(picks=st.lists(st.integers(0, 9), min_size=1, max_size=4))
    def tickets_end(self, picks: list[int]) -> None:
        for pick in picks:
            working = sorted(self.model.running)
            if not working:
                return
            worker = working[pick % len(working)]
            following = self.queue.release(worker)
            self.done.append(self.model.running.pop(worker))
            self.model.idle.append(worker)
            self.agree_on(following, worker)

    @precondition(lambda self: self.model.idle)
    @rule(data=st.data())
    def a_worker_is_held(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.model.idle))
        assert self.queue.hold(worker)
        self.model.idle.remove(worker)
        self.model.held.add(worker)
        assert not any(self.queue.hold(other) for other in (worker, *self.model.running, self.incarnations + 1))

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def a_held_worker_is_let_go(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.held)))
        self.model.held.remove(worker)
        ticket = self.queue.add_worker(worker)
        self.model.idle.append(worker)
        self.agree_on(ticket, worker)

    @precondition(lambda self: self.model.running)
    @rule(data=st.data(), begun=st.booleans(), keep=st.sampled_from(["abc", "ab", "c", ""]))
    def a_worker_dies(self, data: st.DataObject, begun: bool, keep: str) -> None:
        """Its request ends or is dispatched again; of its sessions some are lost, the others go elsewhere."""
        model = self.model
        worker = data.draw(st.sampled_from(sorted({*model.idle, *model.running, *model.held})))
        residents = [session for session, home in model.bound.items() if home == worker]
        lost = {session for session in residents if session.session_id not in keep}
        ticket = model.running.get(worker)
        # What had not begun runs again, unless there is nothing left for it to run in.
        again = ticket is not None and not begun and ticket.session not in lost and ticket.session not in self.ended
        again = again and ticket not in self.errands

        assert self.queue.remove_worker(worker, finished=not again) is ticket
        model.running.pop(worker, None)
        model.held.discard(worker)
        if worker in model.idle:
            model.idle.remove(worker)
        if ticket is not None and not again:
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
        if again and ticket is not None:
            model.waiting = sorted([*model.waiting, ticket], key=lambda other: other.number)
        # Who is first in line goes first, be it the ticket that ran or the next of a session that must move.
        moving: list[tuple[float, SessionRecord | None]] = [
            (min((other.number for other in model.waiting if other.session is session), default=math.inf), session)
            for session in residents
            if session not in lost
        ]
        if again and ticket is not None and ticket.session is None:
            moving.append((ticket.number, None))
        expected = {other.number: where for other, where in model.settle().items()}
        told: dict[float, int] = {}
        for first, resident in sorted(moving, key=itemgetter(0)):
            elsewhere = None if resident is None else self.queue.unbind(resident)
            if again and ticket is not None and ticket.session is resident:
                assert elsewhere is None
                elsewhere = self.queue.requeue(ticket)
            if elsewhere is not None:
                told[first] = elsewhere
        assert told == expected

    # -- tickets ---------------------------------------------------------------------------------------------------

    # Several at a time, for a queue that is mostly empty shows little.
    @rule(names=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=4))
    def tickets_are_submitted(self, names: list[str | None]) -> None:
        for name in names:
            self.submit(name)

    def submit(self, name: str | None) -> None:
        ticket = Ticket(None if name is None else self.sessions[name])
        before = len(self.model.waiting)
        self.model.waiting.append(ticket)
        started = self.model.settle()
        if not started and before >= MAX_QUEUE:
            self.model.waiting.remove(ticket)
            with pytest.raises(PoolSaturated) as caught:
                self.queue.submit(ticket)
            assert (caught.value.queued, caught.value.max_queue) == (before, MAX_QUEUE)
            assert ticket.phase is Phase.NEW
            return
        assert self.queue.submit(ticket) == started.get(ticket)

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def a_waiting_ticket_is_withdrawn(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.model.waiting))
        assert self.queue.withdraw(ticket)
        self.drop([ticket])
        self.agree_on(None, None)
        # Those that run or are done do not wait.
        assert not any(self.queue.withdraw(other) for other in (*self.model.running.values(), *self.done))

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
        self.agree_on(None, None)

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
        workers = sorted({*self.model.idle, *self.model.running, *self.model.held, self.incarnations + 1})
        worker = data.draw(st.sampled_from(workers))
        errand = data.draw(st.sampled_from([*self.given_back, *(Ticket() for _ in self.numbers[:1])]))
        if errand in self.given_back:
            self.given_back.remove(errand)
        else:
            errand.number = self.numbers.pop(0)
        self.errands.add(errand)
        self.model.errands[errand] = worker
        assert self.queue.pin(errand, worker, errand.number) == (errand in self.model.settle())

    @precondition(lambda self: self.model.errands)
    @rule(data=st.data())
    def an_errand_is_withdrawn(self, data: st.DataObject) -> None:
        errand = data.draw(st.sampled_from(sorted(self.model.errands, key=lambda errand: errand.number)))
        assert self.queue.unpin(errand)
        del self.model.errands[errand]
        self.done.append(errand)
        self.agree_on(None, None)
        # Those that run, are done, or were never pinned do not wait.
        others = (errand, *self.model.running.values(), *self.done, *self.given_back, *self.model.waiting, Ticket())
        assert not any(self.queue.unpin(other) for other in others)

    # -- promises --------------------------------------------------------------------------------------------------

    @invariant()
    def queue_and_model_agree(self) -> None:
        queue, model = self.queue, self.model
        assert queue.idle == model.idle
        assert queue.busy == len(model.running)
        assert queue.waiting == len(model.waiting)
        for worker in range(1, self.incarnations + 1):
            assert queue.running(worker) is model.running.get(worker)
            assert queue.sessions(worker) == model.sessions(worker)

    @invariant()
    def each_waiting_ticket_is_listed_once(self) -> None:
        assert sorted(ticket.number for ticket in self.queue) == [ticket.number for ticket in self.model.waiting]

    @invariant()
    def every_ticket_knows_its_phase(self) -> None:
        assert {ticket.phase for ticket in (*self.model.waiting, *self.model.errands)} <= {Phase.WAITING}
        assert {ticket.phase for ticket in self.model.running.values()} <= {Phase.RUNNING}
        assert {ticket.phase for ticket in self.done} <= {Phase.DONE}
        for worker, ticket in self.model.running.items():
            assert ticket.incarnation == worker

    @invariant()
    def nobody_waits_for_an_idle_worker(self) -> None:
        for ticket in (*self.model.waiting, *self.model.errands):
            assert not self.model.workers_for(ticket)

    @invariant()
    def a_session_runs_one_ticket_at_a_time_and_at_home(self) -> None:
        running = [
            (ticket.session, worker) for worker, ticket in self.model.running.items() if ticket.session is not None
        ]
        assert len({session for session, _ in running}) == len(running)
        for session, worker in running:
            assert session in self.ended or session.incarnation == worker


TestDispatchQueues = DispatchQueues.TestCase
TestDispatchQueues.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
