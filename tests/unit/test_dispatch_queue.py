"""The dispatch queue, case by case; test_dispatch_queue_model.py walks it against a naive model."""

from __future__ import annotations

import gc
import weakref

import pytest

from trio_pool._core._dispatch_queue import DispatchQueue, Ticket
from trio_pool._core._errors import PoolSaturated
from trio_pool._core._session_table import SessionRecord

MAX_QUEUE = 8


class Request(Ticket):
    """A ticket that can be watched being dropped."""

    __slots__ = ("__weakref__",)


def filled(workers: int, max_queue: int = 100) -> DispatchQueue[Request]:
    queue: DispatchQueue[Request] = DispatchQueue(max_queue)
    for incarnation in range(1, workers + 1):
        queue.add_worker(incarnation)
    return queue


def test_the_most_recently_used_worker_is_taken() -> None:
    """A lone caller meets the same warm worker again and again."""
    queue = filled(3)
    assert queue.submit(Request()) == 3
    queue.release(3)
    assert queue.submit(Request()) == 3
    assert queue.submit(Request()) == 2


def test_a_new_session_goes_where_the_fewest_are() -> None:
    """Sessions spread, though requests without one do not."""
    queue = filled(3)
    homes = []
    for name in "abcdef":
        worker = queue.submit(Request(SessionRecord(name, 0.0)))
        assert worker is not None
        queue.release(worker)
        homes.append(worker)
    assert sorted(homes) == [1, 1, 2, 2, 3, 3]


def test_tickets_of_one_session_that_waits_run_one_at_a_time_in_order() -> None:
    """Two tickets of a session submitted before any worker is there never run at once, however many come."""
    queue = filled(0)
    session = SessionRecord("a", 0.0)
    first, second = Request(session), Request(session)
    assert queue.submit(first) is None
    assert queue.submit(second) is None
    assert queue.add_worker(1) is first
    assert queue.add_worker(2) is None
    assert queue.release(1) is second


def test_a_ticket_that_waits_behind_its_session_can_be_withdrawn() -> None:
    """Leaving from the middle of a session's line moves nobody else."""
    queue = filled(0)
    session = SessionRecord("a", 0.0)
    first, second, third = (Request(session) for _ in range(3))
    for ticket in (first, second, third):
        queue.submit(ticket)
    assert queue.withdraw(second)
    assert queue.withdraw(first)
    assert list(queue) == [third]
    assert queue.add_worker(1) is third


def test_a_dispatched_again_ticket_keeps_its_place() -> None:
    """Whoever lost their worker is served before all who came later, even beyond ``max_queue``."""
    queue = filled(1, max_queue=2)
    first, second, third = Request(), Request(), Request()
    for ticket in (first, second, third):
        queue.submit(ticket)
    assert queue.remove_worker(1, finished=False) is first
    assert queue.requeue(first) is None
    assert queue.waiting == 3
    with pytest.raises(PoolSaturated):
        queue.submit(Request())
    assert queue.add_worker(2) is first
    assert queue.release(2) is second


def test_a_pinned_ticket_does_not_lose_its_place_to_a_younger_one() -> None:
    """A worker takes the older of what only it may run and what anybody may."""
    queue = filled(1)
    session = SessionRecord("a", 0.0)
    tickets = [Request(session), Request(session), Request(), Request(session)]
    for ticket in tickets:
        queue.submit(ticket)
    assert [queue.release(1) for _ in range(4)] == [*tickets[1:], None]


def bereaved(*, workers: int) -> tuple[DispatchQueue[Request], SessionRecord, Request]:
    """Return a queue whose worker 1 has died while a session that lived there had one ticket waiting."""
    queue = filled(1)
    session = SessionRecord("a", 0.0)
    queue.submit(Request(session))
    waiting = Request(session)
    queue.submit(waiting)
    for incarnation in range(2, 2 + workers):
        queue.add_worker(incarnation)
    queue.remove_worker(1, finished=True)
    return queue, session, waiting


def test_a_session_set_free_moves_to_an_idle_worker() -> None:
    """What waited for a dead worker runs at once where there is room, and the session lives there from then on."""
    queue, session, waiting = bereaved(workers=1)
    assert queue.unbind(session) == 2
    assert queue.running(2) is waiting
    assert (queue.waiting, queue.sessions(1), queue.sessions(2)) == (0, 0, 1)


def test_a_session_set_free_waits_for_any_worker_if_none_is_idle() -> None:
    """What waited for a dead worker waits for the next to come."""
    queue, session, waiting = bereaved(workers=0)
    assert queue.unbind(session) is None
    assert list(queue) == [waiting]
    assert queue.add_worker(2) is waiting


def test_setting_a_session_free_that_has_no_worker_changes_nothing() -> None:
    """A session that is not bound, or has nothing waiting, needs no worker."""
    queue = filled(1)
    session = SessionRecord("a", 0.0)
    assert queue.unbind(session) is None
    queue.submit(Request(session))
    queue.release(1)
    assert queue.sessions(1) == 1
    assert queue.unbind(session) is None
    assert queue.sessions(1) == 0
    assert queue.idle == [1]


def test_ending_one_session_leaves_the_others_of_its_worker() -> None:
    """A worker's sessions are counted one by one."""
    queue = filled(1)
    first, second = SessionRecord("a", 0.0), SessionRecord("b", 0.0)
    for session in (first, second):
        queue.submit(Request(session))
        queue.release(1)
    assert queue.sessions(1) == 2
    assert queue.close_session(first) == []
    assert queue.sessions(1) == 1


@pytest.mark.parametrize("sticky", [False, True])
def test_withdrawn_tickets_are_let_go(sticky: bool) -> None:
    """However many come and leave while no worker is free, the queue keeps few of those that left."""
    queue = filled(1)
    session = SessionRecord("a", 0.0)
    queue.submit(Request(session))
    queue.submit(Request())
    seen: list[weakref.ref[Request]] = []
    for _ in range(500):
        ticket = Request(SessionRecord("b", 0.0) if sticky else None)
        seen.append(weakref.ref(ticket))
        queue.submit(ticket)
        assert queue.withdraw(ticket)
    del ticket
    gc.collect()
    assert sum(ref() is not None for ref in seen) < 100
    assert queue.waiting == 1
    assert queue.release(1) is not None


def test_tickets_of_ended_sessions_are_let_go() -> None:
    """However many sessions end while their requests wait, the queue keeps few of these."""
    queue = filled(1)
    queue.submit(Request())
    seen: list[weakref.ref[Request]] = []
    for _ in range(500):
        ticket = Request(SessionRecord("a", 0.0))
        seen.append(weakref.ref(ticket))
        queue.submit(ticket)
        assert queue.close_session(ticket.session) == [ticket]  # type: ignore[arg-type]  # it has one
    del ticket
    gc.collect()
    assert sum(ref() is not None for ref in seen) < 100
    assert queue.release(1) is None


def test_a_dispatched_again_ticket_runs_at_once_where_there_is_room() -> None:
    """A ticket whose worker died goes straight to an idle one."""
    queue = filled(2)
    ticket = Request()
    assert queue.submit(ticket) == 2
    assert queue.running(2) is ticket
    queue.remove_worker(2, finished=False)
    assert queue.requeue(ticket) == 1
    assert queue.running(1) is ticket
    assert queue.busy == 1
    assert not queue.withdraw(ticket)


def test_a_held_worker_gets_nothing_until_it_is_let_go() -> None:
    """Only an idle worker can be held, and meanwhile everything waits."""
    queue = filled(1)
    assert queue.hold(1)
    assert not queue.hold(1)
    session = SessionRecord("a", 0.0)
    tickets = [Request(session), Request(session), Request()]
    for ticket in tickets:
        assert queue.submit(ticket) is None
    assert sorted(ticket.number for ticket in queue) == [1, 2, 3]
    assert queue.add_worker(1) is tickets[0]
    assert sorted(ticket.number for ticket in queue) == [2, 3]
    assert queue.close_session(session) == [tickets[1]]
    assert queue.release(1) is tickets[2]


def test_a_session_returns_to_its_worker_though_others_were_used_later() -> None:
    """Once bound, a session's tickets run on its worker only, and wait for it while others are idle."""
    queue = filled(2)
    session = SessionRecord("a", 0.0)
    assert queue.submit(Request(session)) == 2
    assert queue.submit(Request()) == 1
    queue.release(2)
    queue.release(1)
    assert queue.submit(Request(session)) == 2
    assert queue.submit(Request()) == 1
    queue.release(1)
    waiting = Request(session)
    assert queue.submit(waiting) is None
    assert queue.idle == [1]
    assert list(queue) == [waiting]


def test_an_idle_worker_that_dies_leaves_nothing() -> None:
    """It ran nothing, and nothing is given to it any more."""
    queue = filled(1)
    assert queue.remove_worker(1, finished=True) is None
    assert queue.idle == []
    assert queue.submit(Request()) is None


def test_tickets_behind_anonymous_ones_are_listed() -> None:
    """Listing what waits does not stop at workers that run tickets without a session."""
    queue = filled(1)
    queue.submit(Request())
    waiting = Request()
    queue.submit(waiting)
    assert list(queue) == [waiting]


def test_an_errand_takes_its_turn_among_the_tickets_of_its_worker() -> None:
    """Older than what was submitted after its number was taken, younger than what was before, whenever it is pinned."""
    queue = filled(1)
    running, before, after, errand = (Request() for _ in range(4))
    queue.submit(running)
    queue.submit(before)
    number = queue.next_number()
    queue.submit(after)
    assert not queue.pin(errand, 1, number)
    assert [queue.release(1) for _ in range(4)] == [before, errand, after, None]


def test_an_errand_is_not_a_waiting_ticket() -> None:
    """It neither counts as waiting nor fills the queue, nor is it listed."""
    queue = filled(1, max_queue=1)
    queue.submit(Request())
    queue.pin(Request(), 1, queue.next_number())
    assert (queue.waiting, list(queue)) == (0, [])
    waiting = Request()
    queue.submit(waiting)
    assert list(queue) == [waiting]


def test_an_errand_waits_for_its_own_worker() -> None:
    """An idle worker runs it at once, no other takes it, and one that is held or not yet there gets it in time."""
    queue = filled(2)
    assert queue.hold(1)
    held, coming, now = (Request() for _ in range(3))
    assert not queue.pin(held, 1, queue.next_number())
    assert not queue.pin(coming, 3, queue.next_number())
    assert queue.pin(now, 2, queue.next_number())
    assert queue.release(2) is None
    assert queue.add_worker(3) is coming
    assert queue.add_worker(1) is held


def test_a_dead_workers_errands_are_given_back() -> None:
    """Whoever pinned them may pin them elsewhere, in their old place."""
    queue = filled(1)
    queue.submit(Request())
    errand, number = Request(), queue.next_number()
    queue.pin(errand, 1, number)
    queue.remove_worker(1, finished=True)
    assert not queue.unpin(errand)
    younger = Request()
    queue.submit(younger)
    assert not queue.pin(errand, 2, number)
    assert queue.add_worker(2) is errand
    assert queue.release(2) is younger
