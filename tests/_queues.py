"""A dispatch queue for tests: filled with workers, and asked in the words of one who carries its answers out."""

from __future__ import annotations

from trio_pool._core._dispatch_queue import DispatchQueue
from trio_pool._core._ticket import Ticket


class Request(Ticket):
    """A ticket that can be watched being dropped."""

    __slots__ = ("__weakref__",)


def filled(workers: int, max_queue: int = 100, concurrency: int = 1) -> DispatchQueue[Request]:
    queue: DispatchQueue[Request] = DispatchQueue(max_queue, concurrency)
    for incarnation in range(1, workers + 1):
        queue.add_worker(incarnation)
    return queue


def started(queue: DispatchQueue[Request]) -> list[Request]:
    """Return what was started since last time, in order, as the pool would carry it out."""
    tickets = list(queue.started)
    queue.started.clear()
    return tickets


def add(queue: DispatchQueue[Request], incarnation: int) -> list[Request]:
    queue.add_worker(incarnation)
    return started(queue)


def end(queue: DispatchQueue[Request], *tickets: Request) -> list[Request]:
    """End running tickets one after the other; return what started in their places."""
    for ticket in tickets:
        queue.finish(ticket)
        queue.serve(ticket.incarnation or 0)
    return started(queue)


def only(queue: DispatchQueue[Request], incarnation: int) -> Request:
    (ticket,) = queue.running(incarnation)
    return ticket


def release(queue: DispatchQueue[Request], incarnation: int) -> Request | None:
    """End the one ticket a worker runs; return the one that it runs next."""
    following = end(queue, only(queue, incarnation))
    assert all(ticket.incarnation == incarnation for ticket in following)
    assert len(following) <= 1
    return following[0] if following else None


def die(queue: DispatchQueue[Request], incarnation: int, again: tuple[Request, ...] = ()) -> list[Request]:
    queue.remove_worker(incarnation, again)
    queue.settle()
    return started(queue)
