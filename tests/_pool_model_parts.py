"""What a pool's model is made of: calls, sessions, workers, and what was seen of the real pool."""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from trio_pool import WorkerRole

GRACE: Final = 0.53
TTL: Final = 7.39
DELAY: Final = 0.217
"""The delay of the second restart in a row; the first is immediate, each further one takes twice as long."""
STEP: Final = 0.4
"""Seconds that a worker which is stopped has to hear of it, and once more to obey a signal."""
RESET_AFTER: Final = 5.0
"""After how long a worker counts as stable."""
MAX_SESSIONS: Final = 3


class Kind(StrEnum):
    """What somebody asked for."""

    COMMAND = "command"
    LEASE = "lease"
    INNER = "inner"
    """A command of a lease's holder: not a submission."""
    MANAGEMENT = "management"
    """Something about a session or the size, which is done at once, or the wait for the end of all that is there."""
    CLEANUP = "cleanup"
    """What tells a worker that a session has ended; it is done as soon as the worker reads it."""


class State(StrEnum):
    """Where a call is, whatever its caller was told."""

    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


COUNTED: Final = {
    "ok": "ok",
    "cancelled": "cancelled",
    "PoolTimeout not_executed": "timed_out",
    "CommandTimeout maybe_executed": "timed_out",
    "CommandTimeout not_executed": "timed_out",
    "PoolSaturated not_executed": "rejected",
}
"""Where the metrics count a result; any other has failed."""


@attrs.define
class Seen:
    """What the real pool was seen to do in the step that is being modelled."""

    results: dict[int, str | None] = attrs.Factory(dict)
    """What callers were told so far."""
    dispatched: dict[int, list[int]] = attrs.Factory(dict)
    """The workers that took a request, one after the other, by the request's number."""
    incarnations: dict[int, int] = attrs.Factory(dict)
    """The latest worker of each slot."""
    serving: frozenset[int] = frozenset()
    """The workers that serve."""
    promoted: list[int] = attrs.Factory(list)
    """Those that came to serve when others were lost or too few, in this order."""
    began: Counter[int] = attrs.Factory(Counter)
    """How often each command was entered so far."""
    called_off: frozenset[int] = frozenset()
    """Those that left before they were told to."""


@attrs.define(eq=False)
class Session:
    """One session, from its first use to its end; after that another of the same name is another session."""

    name: str
    last_used: float
    home: Worker | None = None
    used: bool = False
    lost: bool = False


@attrs.define(eq=False)
class Worker:
    """One incarnation."""

    slot: int
    incarnation: int
    started_at: float
    role: WorkerRole | None
    """What it is there for; None once it is being stopped, which only takes time if it is frozen."""
    frozen: bool = False
    holds: Call | None = None
    wire: list[Call] = attrs.Factory(list)
    """What was sent to it and is not answered, in order; only the first can have begun."""
    left: bool = False
    """Its lease was left with replies due."""
    kill_at: float = math.inf
    stops: int = 0
    """On which step of being stopped it is."""


@attrs.define(eq=False)
class Slot:
    """A place for a worker."""

    worker: Worker | None = None
    attempts: int = 0
    restart_at: float = math.inf


@attrs.define(eq=False)
class Call:
    """Whatever somebody waits for, and what they were told."""

    key: int
    kind: Kind
    uses: bool = False
    """The command takes its session."""
    session: Session | None = None
    number: int = 0
    patience: float = math.inf
    wait_until: float = math.inf
    deadline: float = math.inf
    state: State = State.WAITING
    worker: Worker | None = None
    begun: bool = False
    sent_at: float = math.nan
    entries: int = 0
    """How often it has begun."""
    idempotent: bool = False
    ran: bool = False
    """A worker that is dead had begun it."""
    deaths: int = 0
    """Of how many workers that was the end, as far as is known."""
    retries: int = 0
    written: bool | None = False
    """A worker that is dead was written a byte of it; None if that worker died in the very moment."""
    granted_at: float = math.nan
    result: str | None = None

    @property
    def due(self) -> float:
        """Return when the caller's patience ends."""
        if self.result is not None or self.kind not in (Kind.COMMAND, Kind.LEASE) or self.state is State.OVER:
            return math.inf
        if self.state is State.WAITING:
            return min(self.wait_until, self.deadline)
        return self.deadline if self.kind is Kind.COMMAND else math.inf
