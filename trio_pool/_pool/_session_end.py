"""The end of a session: its waiting requests fail, its state is dropped once what runs of it has ended.

The clean-up is sent at once, for the worker alone knows what it runs, in a lease too. It does what belongs to one
session in order: the clean-up after all that was sent before, async commands among it, and before anything sent later,
also before a new session of the same id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._core._events import RequestResult
from ._failures import session_ended

if TYPE_CHECKING:
    from .._core._session_table import SessionRecord
    from ._router import Router


# Protected, as all that changes the router's state is: a Ctrl-C between two lines would leave requests without outcome.
@trio.lowlevel.enable_ki_protection
def end_session(router: Router, session_id: str) -> None:
    """Forget a session.

    Raises:
        SessionNotFound: It is not tracked.
    """
    _end(router, router.sessions.end(session_id, trio.current_time()))


@trio.lowlevel.enable_ki_protection
def expire_session(router: Router, session_id: str) -> None:
    """Do what `end_session` does to a session whose time to live is over."""
    _end(router, router.sessions.expire(session_id))


def _end(router: Router, session: SessionRecord) -> None:
    slot = router.slots.get(session.incarnation or 0)
    for ticket in router.queue.close_session(session):
        router.finish(ticket, RequestResult.FAILED, None, session_ended(ticket))
    worker = None if slot is None else slot.serving
    if worker is not None:
        worker.cleanup_session(session.session_id)
    router.queue.settle()
    router.carry_out()
    if slot is not None and slot.passing:
        router.staff.dismiss_idle(slot)
