"""The worker-state table: what may happen to a worker, and what it is afterwards.

One literal table says it all. The pool and `PoolWorker` advance through it, an event it does not list raises, and the
documentation's table is made from it (`table_markdown`), so that none of the three can drift from the others.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class WorkerStatus(StrEnum):
    """What a worker is doing."""

    STARTING = "starting"
    """Its process is spawned or about to be; it has not said ready."""
    READY = "ready"
    """Idle: it may be checked out."""
    BUSY = "busy"
    """Checked out: it serves a request or a lease."""
    DEGRADED = "degraded"
    """Idle, but its last ping went unanswered: it gets no work until it answers."""
    STOPPING = "stopping"
    """It was told to end; it gets no work any more."""
    DEAD = "dead"
    """Its process is gone. Final: a replacement is another worker."""


class WorkerEvent(StrEnum):
    """What happens to a worker."""

    STARTED = "started"
    """Its ready message arrived."""
    CHECKOUT = "checkout"
    """It was given to a request or a lease."""
    CHECKIN = "checkin"
    """It was given back."""
    MISSED = "missed"
    """A ping went unanswered."""
    RECOVERED = "recovered"
    """A ping was answered."""
    STOP = "stop"
    """It was told to end."""
    DIED = "died"
    """Its process ended, was killed, or is out of reach."""


_S = WorkerStatus
_E = WorkerEvent

TRANSITIONS: Final[Mapping[tuple[WorkerStatus, WorkerEvent], WorkerStatus]] = {
    (_S.STARTING, _E.STARTED): _S.READY,
    (_S.STARTING, _E.STOP): _S.STOPPING,  # a pool that closes does not wait for starts
    (_S.STARTING, _E.DIED): _S.DEAD,
    (_S.READY, _E.CHECKOUT): _S.BUSY,
    (_S.READY, _E.MISSED): _S.DEGRADED,
    (_S.READY, _E.RECOVERED): _S.READY,  # every answered ping says so, not only the first after a miss
    (_S.READY, _E.STOP): _S.STOPPING,
    (_S.READY, _E.DIED): _S.DEAD,
    # A busy worker is judged by its request's deadline alone: pings, answered or not, are no events of its.
    (_S.BUSY, _E.CHECKIN): _S.READY,
    (_S.BUSY, _E.STOP): _S.STOPPING,  # its request may finish; the checkin is then no event, for nothing follows it
    (_S.BUSY, _E.DIED): _S.DEAD,
    # No checkout here: a request given to a worker that does not answer would be the one to find out.
    (_S.DEGRADED, _E.MISSED): _S.DEGRADED,
    (_S.DEGRADED, _E.RECOVERED): _S.READY,
    (_S.DEGRADED, _E.STOP): _S.STOPPING,
    (_S.DEGRADED, _E.DIED): _S.DEAD,
    (_S.STOPPING, _E.STOP): _S.STOPPING,  # several may want its end: recycling, health, the closing pool
    (_S.STOPPING, _E.DIED): _S.DEAD,
}
"""Every legal transition. Whatever is not here is a bug of the caller's."""


class IllegalTransition(RuntimeError):
    """An event came that the worker's status rules out; the status is unchanged.

    Args:
        status: What the worker was.
        event: What was said to have happened.
    """

    def __init__(self, status: WorkerStatus, event: WorkerEvent) -> None:
        super().__init__(status, event)
        self.status = status
        self.event = event

    def __str__(self) -> str:
        return f"a worker that is {self.status} cannot have the event {self.event}"


def advance(status: WorkerStatus, event: WorkerEvent) -> WorkerStatus:
    """Return what a worker is after an event.

    Raises:
        IllegalTransition: The table does not list it.
    """
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None  # the KeyError says the same in worse words


def table_markdown() -> str:
    """Return the table in Markdown: a row for each status, a column for each event, a dash where there is none."""
    lines = [
        " | ".join(("| status", *WorkerEvent)) + " |",
        "|---" * (1 + len(WorkerEvent)) + "|",
    ]
    for status in WorkerStatus:
        cells = (TRANSITIONS.get((status, event), "-") for event in WorkerEvent)
        lines.append(" | ".join((f"| **{status}**", *cells)) + " |")
    return "\n".join(lines) + "\n"
