"""The dispatch queue with tickets of all kinds: sync, async, leases, and those beside their session's others."""

from __future__ import annotations

from itertools import count

import pytest
from _queues import Request, add, die, end, filled, started

from trio_pool._core._errors import PoolSaturated
from trio_pool._core._session_table import SessionRecord
from trio_pool._core._ticket import Kind, Phase

ASYNC, SYNC, LEASE = Kind.ASYNC, Kind.SYNC, Kind.LEASE
names = (f"s{number}" for number in count())


def session() -> SessionRecord:
    return SessionRecord(next(names), 0.0)


def test_a_worker_runs_one_sync_ticket_and_some_async_ones() -> None:
    """Each kind waits for room of its own, whatever there is of the other."""
    queue = filled(1, concurrency=2)
    tickets = [Request(kind=kind) for kind in (SYNC, ASYNC, ASYNC, ASYNC, SYNC)]
    assert [queue.submit(ticket) for ticket in tickets] == [1, 1, 1, None, None]
    assert queue.running(1) == tickets[:3]
    assert (queue.load(1), queue.busy, queue.waiting) == (3, 1, 2)
    assert end(queue, tickets[1]) == [tickets[3]]
    assert end(queue, tickets[0]) == [tickets[4]]
    assert queue.running(1) == tickets[2:]


def test_an_empty_worker_is_taken_before_one_that_runs_something() -> None:
    """Also by async tickets, and by sync ones: a death costs all that runs in one process."""
    queue = filled(3, concurrency=4)
    assert [queue.submit(Request(kind=kind)) for kind in (ASYNC, SYNC, ASYNC)] == [3, 2, 1]


def test_of_the_loaded_workers_the_one_with_the_fewest_is_taken() -> None:
    """And of equals the most recently used."""
    queue = filled(2, concurrency=4)
    tickets = [Request(kind=ASYNC) for _ in range(5)]
    assert [queue.submit(ticket) for ticket in tickets] == [2, 1, 1, 2, 2]
    end(queue, tickets[0])
    assert queue.submit(Request(kind=SYNC)) == 2
    assert queue.submit(Request(kind=SYNC)) == 1
    assert queue.submit(Request(kind=SYNC)) is None


def test_a_new_session_binds_to_a_loaded_worker_if_none_is_empty() -> None:
    """Where the fewest tickets run, then where the fewest sessions are."""
    queue = filled(2, concurrency=4)
    assert queue.submit(Request(session(), ASYNC)) == 2
    assert queue.submit(Request(kind=ASYNC)) == 1
    other = session()
    assert queue.submit(Request(other, ASYNC)) == 1
    assert other.incarnation == 1


def test_async_tickets_of_one_session_still_run_one_at_a_time() -> None:
    """Room alone does not let a session's next ticket run."""
    queue = filled(1, concurrency=4)
    mine = session()
    first, second = Request(mine, ASYNC), Request(mine, ASYNC)
    assert (queue.submit(first), queue.submit(second)) == (1, None)
    assert end(queue, first) == [second]


def test_a_ticket_beside_the_others_neither_waits_nor_holds_up() -> None:
    """It runs on the session's worker while others of the session run, and they while it runs."""
    queue = filled(2, concurrency=4)
    mine = session()
    beside, first, second = Request(mine, ASYNC, beside=True), Request(mine, ASYNC), Request(mine, ASYNC)
    assert queue.submit(beside) == 2
    assert queue.submit(first) == 2
    assert queue.submit(second) is None
    assert queue.submit(Request(mine, ASYNC, beside=True)) == 2
    assert end(queue, beside) == []
    assert end(queue, first) == [second]
    assert mine.in_use


def test_a_ticket_beside_the_others_waits_for_its_session_s_worker() -> None:
    """Room elsewhere is of no use to it."""
    queue = filled(2, concurrency=1)
    mine = session()
    first, beside = Request(mine, ASYNC), Request(mine, ASYNC, beside=True)
    assert queue.submit(first) == 2
    assert queue.submit(beside) is None
    assert queue.idle == [1]
    assert end(queue, first) == [beside]
    assert beside.incarnation == 2


def test_what_a_session_has_waiting_follows_it_home() -> None:
    """Tickets of a session that has no worker yet all run where the first of them runs."""
    queue = filled(0, concurrency=4)
    mine = session()
    tickets = [Request(mine, SYNC), Request(mine, ASYNC, beside=True), Request(mine, SYNC, beside=True)]
    for ticket in tickets:
        assert queue.submit(ticket) is None
    assert add(queue, 1) == tickets[:2]
    assert add(queue, 2) == []
    assert end(queue, tickets[0]) == [tickets[2]]
    assert mine.incarnation == 1


def test_a_lease_wants_an_empty_worker_and_has_it_alone() -> None:
    """Nothing runs beside it, whatever the room."""
    queue = filled(1, concurrency=4)
    lease, other = Request(kind=LEASE), Request(kind=ASYNC)
    assert queue.submit(lease) == 1
    assert queue.submit(other) is None
    assert end(queue, lease) == [other]


def test_a_waiting_lease_lets_nothing_younger_start_before_it() -> None:
    """Else it would starve: the worker runs empty, takes the lease, and then what came after."""
    queue = filled(1, concurrency=4)
    old = [Request(kind=SYNC), Request(kind=ASYNC), Request(kind=ASYNC)]
    for ticket in old:
        assert queue.submit(ticket) == 1
    lease = Request(kind=LEASE)
    young = [Request(kind=ASYNC), Request(kind=SYNC), Request(kind=ASYNC)]
    for ticket in (lease, *young):
        assert queue.submit(ticket) is None
    assert end(queue, *old[:2]) == []
    assert end(queue, old[2]) == [lease]
    assert end(queue, lease) == young


def test_what_is_older_than_a_lease_still_starts() -> None:
    """A lease keeps its place, it does not jump the line."""
    queue = filled(1, concurrency=1)
    running, older, lease, younger = (Request(kind=kind) for kind in (SYNC, SYNC, LEASE, ASYNC))
    assert queue.submit(running) == 1
    for ticket in (older, lease, younger):
        assert queue.submit(ticket) is None
    assert end(queue, running) == [older]
    assert end(queue, older) == [lease]


def loaded(*, workers: int) -> tuple[list[Request], Request, list[Request]]:
    """Return what runs, a lease, and what is younger, to be submitted to that many workers with room to spare."""
    running = [Request(kind=ASYNC) for _ in range(workers)]
    return running, Request(kind=LEASE), [Request(kind=kind) for kind in (SYNC, ASYNC, ASYNC)]


def test_a_lease_holds_back_others_only_until_the_first_worker_is_empty() -> None:
    """Then the other workers go on at once."""
    queue = filled(2, concurrency=4)
    running, lease, younger = loaded(workers=2)
    for ticket in running:
        queue.submit(ticket)
    for ticket in (lease, *younger):
        assert queue.submit(ticket) is None
    assert end(queue, running[0]) == [lease, *younger]
    assert {ticket.incarnation for ticket in younger} == {running[1].incarnation}


def test_a_lease_that_leaves_lets_the_others_go_on() -> None:
    """Withdrawn, it holds nobody back any more."""
    queue = filled(2, concurrency=4)
    running, lease, younger = loaded(workers=2)
    for ticket in (*running, lease, *younger):
        queue.submit(ticket)
    assert started(queue) == []
    assert queue.withdraw(lease)
    assert started(queue) == younger


def test_a_session_s_lease_holds_back_its_own_worker_alone() -> None:
    """No other worker could serve it."""
    queue = filled(2, concurrency=4)
    mine = session()
    running, lease, other = Request(mine, ASYNC, beside=True), Request(mine, LEASE), Request(kind=ASYNC)
    assert queue.submit(running) == 2
    assert queue.submit(other) == 1
    assert queue.submit(lease) is None
    assert queue.submit(Request(kind=ASYNC)) == 1
    assert end(queue, running) == [lease]
    assert lease.incarnation == 2


def test_a_lease_bound_by_its_session_s_other_ticket_sets_the_other_workers_free() -> None:
    """It waited for any worker; now it waits for one."""
    queue = filled(2, concurrency=2)
    mine = session()
    running = [Request(kind=ASYNC) for _ in range(4)]
    for ticket in running:
        queue.submit(ticket)
    beside, lease, young = Request(mine, ASYNC, beside=True), Request(mine, LEASE), Request(kind=SYNC)
    for ticket in (beside, lease, young):
        assert queue.submit(ticket) is None
    assert end(queue, running[0]) == [beside, young]
    assert young.incarnation != beside.incarnation


def test_the_end_of_a_session_takes_its_lease_along() -> None:
    """What it held back starts as soon as the queue may settle."""
    queue = filled(1, concurrency=4)
    mine = session()
    lease, beside, young = Request(mine, LEASE), Request(mine, ASYNC, beside=True), Request(kind=ASYNC)
    queue.submit(Request(kind=SYNC))
    for ticket in (lease, beside, young):
        queue.submit(ticket)
    assert queue.close_session(mine) == [lease, beside]
    assert not mine.in_use
    queue.settle()
    assert started(queue) == [young]


def test_the_next_of_a_session_may_start_when_the_one_before_it_leaves() -> None:
    """What kept the first waiting is nothing to a second of another kind."""
    queue = filled(1, concurrency=1)
    mine = session()
    first, second = Request(mine, SYNC), Request(mine, ASYNC)
    queue.submit(Request(kind=SYNC))
    assert (queue.submit(first), queue.submit(second)) == (None, None)
    assert queue.withdraw(first)
    assert started(queue) == [second]
    assert mine.incarnation == 1


def test_an_abandoned_ticket_keeps_its_worker_from_taking_anything() -> None:
    """Of any kind, until all that was abandoned has ended; what else runs there runs on."""
    queue = filled(1, concurrency=4)
    first, second, third = (Request(kind=kind) for kind in (ASYNC, ASYNC, SYNC))
    for ticket in (first, second, third):
        queue.submit(ticket)
    for ticket in (first, first, second):
        queue.abandon(ticket)
    waiting = [Request(kind=ASYNC), Request(kind=SYNC)]
    for ticket in waiting:
        assert queue.submit(ticket) is None
    assert not queue.pin(Request(), 1, queue.next_number())
    assert end(queue, third) == []
    assert end(queue, first) == []
    assert queue.idle == []
    assert end(queue, second)[:2] == waiting


def test_an_abandoned_worker_that_runs_nothing_else_is_free_when_that_has_ended() -> None:
    """It is as good as any other then."""
    queue = filled(1)
    ticket = Request()
    queue.submit(ticket)
    queue.abandon(ticket)
    assert queue.finish(ticket)
    queue.serve(1)
    assert (queue.idle, queue.submit(Request())) == ([1], 1)


def test_a_held_worker_ends_what_it_runs_and_takes_nothing() -> None:
    """One that is being lost may still answer."""
    queue = filled(1, concurrency=4)
    ticket, waiting = Request(kind=ASYNC), Request(kind=ASYNC)
    queue.submit(ticket)
    queue.hold(1)
    assert queue.submit(waiting) is None
    assert end(queue, ticket) == []
    assert queue.idle == []
    assert add(queue, 1) == [waiting]


def test_each_ticket_of_a_dead_worker_goes_its_own_way() -> None:
    """Some have ended with it, the others return to their places, the oldest first wherever there is room."""
    queue = filled(2, concurrency=3)
    running = [Request(kind=ASYNC) for _ in range(6)]
    waiting = [Request(kind=ASYNC) for _ in range(3)]
    for ticket in (*running, *waiting):
        queue.submit(ticket)
    dead = [ticket for ticket in running if ticket.incarnation == 1]
    again = (dead[0], dead[2])
    assert die(queue, 1, again) == []
    assert dead[1].phase is Phase.DONE
    assert queue.waiting == 5
    assert add(queue, 3) == [*again, waiting[0]]


def test_tickets_beside_the_others_move_with_their_session_when_its_worker_dies() -> None:
    """Waiting or running, all go to one worker."""
    queue = filled(2, concurrency=1)
    mine = session()
    ran, waits, head = Request(mine, ASYNC, beside=True), Request(mine, ASYNC, beside=True), Request(mine, SYNC)
    for ticket in (ran, waits, head):
        queue.submit(ticket)
    queue.remove_worker(2, (ran, head))
    queue.unbind(mine)
    queue.settle()
    assert started(queue) == [ran, head]
    assert {ran.incarnation, head.incarnation, mine.incarnation} == {1}
    assert end(queue, ran) == [waits]


def test_an_errand_is_a_sync_ticket_that_no_lease_starves() -> None:
    """Older than a lease it runs beside async tickets, younger it waits for it."""
    queue = filled(1, concurrency=4)
    running, lease = Request(kind=ASYNC), Request(kind=LEASE)
    old = queue.next_number()
    queue.submit(running)
    assert queue.submit(lease) is None
    errand, young = Request(), Request()
    assert queue.pin(errand, 1, old)
    assert not queue.pin(young, 1, queue.next_number())
    assert end(queue, errand) == []
    assert end(queue, running) == [lease]
    assert end(queue, lease) == [young]


def test_room_for_the_one_kind_does_not_excuse_a_full_queue() -> None:
    """Who would have to wait is refused; who need not is taken, however many wait."""
    queue = filled(1, max_queue=1, concurrency=1)
    queue.submit(Request(kind=SYNC))
    assert queue.submit(Request(kind=SYNC)) is None
    with pytest.raises(PoolSaturated):
        queue.submit(Request(kind=SYNC))
    assert queue.submit(Request(kind=ASYNC)) == 1


@pytest.mark.parametrize("kind", list(Kind))
def test_what_was_withdrawn_is_not_run_from_where_it_stood(kind: Kind) -> None:
    """Whatever heap it stood in."""
    queue = filled(1, concurrency=1)
    blocker = Request(kind=LEASE)
    queue.submit(blocker)
    gone, stays = Request(kind=kind), Request(kind=kind)
    queue.submit(gone)
    queue.submit(stays)
    assert queue.withdraw(gone)
    assert end(queue, blocker) == [stays]


def test_who_waited_for_a_lease_goes_before_what_stood_behind_it_in_its_session() -> None:
    """When the lease leaves, the older of the two starts, not the next of the session."""
    queue = filled(1, concurrency=1)
    mine = session()
    lease, older, younger = Request(mine, LEASE), Request(kind=ASYNC), Request(mine, ASYNC)
    queue.submit(Request(kind=SYNC))
    for ticket in (lease, older, younger):
        assert queue.submit(ticket) is None
    assert queue.withdraw(lease)
    assert started(queue) == [older]
