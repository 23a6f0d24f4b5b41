"""The dispatch queue, case by case; see test_dispatch_queue_kinds.py for async tickets and leases.

test_dispatch_queue_model.py walks it against a naive model.
"""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from _queues import Request, add, die, filled, release, started

from trio_pool import WorkerRole
from trio_pool._core._errors import PoolSaturated
from trio_pool._core._session_table import SessionRecord
from trio_pool._core._ticket import Kind

if TYPE_CHECKING:
    from trio_pool._core._dispatch_queue import DispatchQueue


def test_the_most_recently_used_worker_is_taken() -> None:
    """A lone caller meets the same warm worker again and again."""
    queue = filled(3)
    assert queue.submit(Request()) == 3
    release(queue, 3)
    assert queue.submit(Request()) == 3
    assert queue.submit(Request()) == 2


def test_a_new_session_goes_where_the_fewest_are() -> None:
    """Sessions spread, though requests without one do not."""
    queue = filled(3)
    homes = []
    for name in "abcdef":
        worker = queue.submit(Request(SessionRecord(name, 0.0)))
        assert worker is not None
        release(queue, worker)
        homes.append(worker)
    assert sorted(homes) == [1, 1, 2, 2, 3, 3]


def test_tickets_of_one_session_that_waits_run_one_at_a_time_in_order() -> None:
    """Two tickets of a session submitted before any worker is there never run at once, however many come."""
    queue = filled(0)
    session = SessionRecord("a", 0.0)
    first, second = Request(session), Request(session)
    assert queue.submit(first) is None
    assert queue.submit(second) is None
    assert add(queue, 1) == [first]
    assert add(queue, 2) == []
    assert release(queue, 1) is second


def test_a_ticket_that_waits_behind_its_session_can_be_withdrawn() -> None:
    """Leaving from the middle of a session's line moves nobody else."""
    queue = filled(0)
    session = SessionRecord("a", 0.0)
    first, second, third = (Request(session) for _ in range(3))
    for ticket in (first, second, third):
        queue.submit(ticket)
    assert queue.withdraw(second)
    assert queue.withdraw(first)
    assert queue.waiting == 1
    assert add(queue, 1) == [third]


def test_a_dispatched_again_ticket_keeps_its_place() -> None:
    """Whoever lost their worker is served before all who came later, even beyond ``max_queue``."""
    queue = filled(1, max_queue=2)
    first, second, third = Request(), Request(), Request()
    for ticket in (first, second, third):
        queue.submit(ticket)
    assert die(queue, 1, (first,)) == []
    assert queue.waiting == 3
    with pytest.raises(PoolSaturated):
        queue.submit(Request())
    assert add(queue, 2) == [first]
    assert release(queue, 2) is second


def test_a_pinned_ticket_does_not_lose_its_place_to_a_younger_one() -> None:
    """A worker takes the older of what only it may run and what anybody may."""
    queue = filled(1)
    session = SessionRecord("a", 0.0)
    tickets = [Request(session), Request(session), Request(), Request(session)]
    for ticket in tickets:
        queue.submit(ticket)
    assert [release(queue, 1) for _ in range(4)] == [*tickets[1:], None]


def bereaved(*, workers: int) -> tuple[DispatchQueue[Request], SessionRecord, Request]:
    """Return a queue whose worker 1 has died while a session that lived there had one ticket waiting."""
    queue = filled(1)
    session = SessionRecord("a", 0.0)
    queue.submit(Request(session))
    waiting = Request(session)
    queue.submit(waiting)
    for incarnation in range(2, 2 + workers):
        queue.add_worker(incarnation)
    queue.remove_worker(1)
    return queue, session, waiting


def test_a_session_set_free_moves_to_an_idle_worker() -> None:
    """What waited for a dead worker runs at once where there is room, and the session lives there from then on."""
    queue, session, waiting = bereaved(workers=1)
    queue.unbind(session)
    queue.settle()
    assert started(queue) == [waiting]
    assert queue.running(2) == [waiting]
    assert (queue.waiting, queue.sessions(1), queue.sessions(2)) == (0, 0, 1)


def test_a_session_set_free_waits_for_any_worker_if_none_is_idle() -> None:
    """What waited for a dead worker waits for the next to come."""
    queue, session, waiting = bereaved(workers=0)
    queue.unbind(session)
    queue.settle()
    assert (started(queue), queue.waiting) == ([], 1)
    assert add(queue, 2) == [waiting]


def test_setting_a_session_free_that_has_no_worker_changes_nothing() -> None:
    """A session that is not bound, or has nothing waiting, needs no worker."""
    queue = filled(1)
    session = SessionRecord("a", 0.0)
    queue.unbind(session)
    queue.submit(Request(session))
    release(queue, 1)
    assert queue.sessions(1) == 1
    queue.unbind(session)
    queue.settle()
    assert (started(queue), queue.sessions(1)) == ([], 0)
    assert queue.idle == [1]


def test_ending_one_session_leaves_the_others_of_its_worker() -> None:
    """A worker's sessions are counted one by one."""
    queue = filled(1)
    first, second = SessionRecord("a", 0.0), SessionRecord("b", 0.0)
    for session in (first, second):
        queue.submit(Request(session))
        release(queue, 1)
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
    assert release(queue, 1) is not None


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
    assert release(queue, 1) is None


def test_a_dispatched_again_ticket_runs_at_once_where_there_is_room() -> None:
    """A ticket whose worker died goes straight to an idle one."""
    queue = filled(2)
    ticket = Request()
    assert queue.submit(ticket) == 2
    assert queue.running(2) == [ticket]
    assert die(queue, 2, (ticket,)) == [ticket]
    assert queue.running(1) == [ticket]
    assert queue.busy == 1
    assert not queue.withdraw(ticket)


def test_a_held_worker_gets_nothing_until_it_is_let_go() -> None:
    """Meanwhile everything waits."""
    queue = filled(1)
    queue.hold(1)
    queue.hold(1)
    session = SessionRecord("a", 0.0)
    tickets = [Request(session), Request(session), Request()]
    for ticket in tickets:
        assert queue.submit(ticket) is None
    assert queue.waiting == 3
    assert add(queue, 1) == [tickets[0]]
    assert queue.waiting == 2
    assert queue.close_session(session) == [tickets[1]]
    assert release(queue, 1) is tickets[2]


def test_a_session_returns_to_its_worker_though_others_were_used_later() -> None:
    """Once bound, a session's tickets run on its worker only, and wait for it while others are idle."""
    queue = filled(2)
    session = SessionRecord("a", 0.0)
    assert queue.submit(Request(session)) == 2
    assert queue.submit(Request()) == 1
    release(queue, 2)
    release(queue, 1)
    assert queue.submit(Request(session)) == 2
    assert queue.submit(Request()) == 1
    release(queue, 1)
    waiting = Request(session)
    assert queue.submit(waiting) is None
    assert queue.idle == [1]
    assert queue.waiting == 1


def test_an_idle_worker_that_dies_leaves_nothing() -> None:
    """It ran nothing, and nothing is given to it any more."""
    queue = filled(1)
    assert die(queue, 1) == []
    assert queue.idle == []
    assert queue.submit(Request()) is None


def test_an_errand_takes_its_turn_among_the_tickets_of_its_worker() -> None:
    """Older than what was submitted after its number was taken, younger than what was before, whenever it is pinned."""
    queue = filled(1)
    running, before, after, errand = (Request() for _ in range(4))
    queue.submit(running)
    queue.submit(before)
    number = queue.next_number()
    queue.submit(after)
    assert not queue.pin(errand, 1, number)
    assert [release(queue, 1) for _ in range(4)] == [before, errand, after, None]


def test_an_errand_is_not_a_waiting_ticket() -> None:
    """It neither counts as waiting nor fills the queue."""
    queue = filled(1, max_queue=1)
    queue.submit(Request())
    queue.pin(Request(), 1, queue.next_number())
    assert queue.waiting == 0
    queue.submit(Request())
    assert queue.waiting == 1


def test_an_errand_waits_for_its_own_worker() -> None:
    """An idle worker runs it at once, no other takes it, and one that is held or not yet there gets it in time."""
    queue = filled(2)
    queue.hold(1)
    held, coming, now = (Request() for _ in range(3))
    assert not queue.pin(held, 1, queue.next_number())
    assert not queue.pin(coming, 3, queue.next_number())
    assert queue.pin(now, 2, queue.next_number())
    assert release(queue, 2) is None
    assert add(queue, 3) == [coming]
    assert add(queue, 1) == [held]


def test_a_dead_workers_errands_are_given_back() -> None:
    """Whoever pinned them may pin them elsewhere, in their old place."""
    queue = filled(1)
    queue.submit(Request())
    errand, number = Request(), queue.next_number()
    queue.pin(errand, 1, number)
    assert die(queue, 1) == []
    assert not queue.unpin(errand)
    younger = Request()
    queue.submit(younger)
    assert not queue.pin(errand, 2, number)
    assert add(queue, 2) == [errand]
    assert release(queue, 2) is younger


def test_a_change_of_role_does_not_bring_a_held_worker_back() -> None:
    """It was held for a reason, and `add_worker` alone, without a role, says that this is over."""
    queue = filled(0)
    queue.add_worker(1, WorkerRole.LEAVING)
    queue.hold(1)
    queue.add_worker(1, WorkerRole.SERVING)
    request = Request()
    assert queue.submit(request) is None
    queue.add_worker(1)
    assert list(queue.started) == [request]


def test_several_errands_of_one_worker_come_one_after_the_other() -> None:
    """In the order of their numbers, whatever the order they were pinned in."""
    queue = filled(1)
    running, first, second = (Request() for _ in range(3))
    assert queue.submit(running) == 1
    numbers = [queue.next_number(), queue.next_number()]
    assert not queue.pin(second, 1, numbers[1])
    assert not queue.pin(first, 1, numbers[0])
    assert [release(queue, 1) for _ in range(3)] == [first, second, None]


def test_async_work_without_a_session_runs_beside_other_on_an_overflow_worker() -> None:
    """As long as it is there it is used; what has a session waits for a worker that stays."""
    queue = filled(0, concurrency=2)
    queue.add_worker(1, WorkerRole.OVERFLOW)
    waiting = Request(kind=Kind.ASYNC)
    queue.submit(waiting)
    queue.add_worker(2, WorkerRole.OVERFLOW)
    assert started(queue) == [waiting]
    assert queue.submit(Request(kind=Kind.ASYNC)) == 2
    assert queue.submit(Request(kind=Kind.ASYNC)) is None
    assert queue.submit(Request(SessionRecord("s", 0.0), kind=Kind.ASYNC)) is None


def test_a_ticket_that_is_given_back_has_its_old_place() -> None:
    """The worker that would not have it is held; another takes it before what was submitted later."""
    queue = filled(1, concurrency=2)
    sync, beside, later = Request(), Request(kind=Kind.ASYNC), Request()
    assert [queue.submit(ticket) for ticket in (sync, beside, later)] == [1, 1, None]
    queue.hold(1)
    queue.give_back(beside)
    queue.give_back(sync)
    queue.settle()
    assert queue.waiting == 3
    queue.add_worker(2)
    assert started(queue) == [sync, beside]
    assert [ticket.incarnation for ticket in (sync, beside, later)] == [2, 2, None]


def test_a_ticket_of_a_bound_session_that_is_given_back_waits_for_its_worker() -> None:
    """As head of its session, before the others; unbound it is anybody's."""
    queue = filled(2)
    session = SessionRecord("s", 0.0)
    first, second = Request(session), Request(session)
    home = queue.submit(first)
    queue.submit(second)
    assert home is not None
    queue.hold(home)
    queue.give_back(first)
    queue.settle()
    assert started(queue) == []
    queue.unbind(session)
    queue.settle()
    assert started(queue) == [first]
    assert first.incarnation not in (None, home)
    assert release(queue, first.incarnation or 0) is second
