"""The world of the zoo: its time, which is a number, what may be wrong with a pool in it, and what such pools have."""

from __future__ import annotations

import heapq
from enum import StrEnum, auto
from itertools import count
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

WIRE = 0.002
"""Seconds a frame is under way to its worker."""

START = 0.02
"""Seconds a worker takes to get ready."""


COUNTS = (
    *("submitted", "ok", "failed", "timed_out", "cancelled", "rejected"),
    *("redispatched", "retries", "restarts", "stale_replies"),
)
"""What the pool counts, as a pool's metrics call it."""


class Bug(StrEnum):
    """What can be wrong with a pool."""

    NONE = auto()
    DROPS_ON_DEATH = auto()
    RETRIES_EVERYTHING = auto()
    RETRIES_FOR_EVER = auto()
    RESOLVES_BY_ARRIVAL = auto()
    GIVES_STALE_REPLIES = auto()
    SHARES_STATE = auto()
    REBINDS_SILENTLY = auto()
    LETS_ALL_IN = auto()
    HAS_NO_BACKOFF = auto()
    FORGIVES_AT_HANDSHAKE = auto()
    GIVES_UP_EARLY = auto()
    LEAKS_DESCRIPTORS = auto()
    FORGETS_TO_REAP = auto()
    WAITS_FOR_FROZEN = auto()
    BLOCKS_ON_FULL_PIPE = auto()
    DEFINITE_AFTER_WRITE = auto()
    CUTS_FRAMES = auto()
    LAST_IN_FIRST_OUT = auto()
    HAS_NO_GRACE = auto()
    COUNTS_TWICE = auto()
    LEAVES_ORPHANS = auto()
    RAISES_ANYTHING = auto()
    ANSWERS_TWICE = auto()
    STARTS_TOO_SOON = auto()
    GOES_SHORT = auto()
    NOTICES_LATE = auto()
    NEGLECTS_A_SESSION = auto()
    OVERLOADS_WORKERS = auto()
    KILLS_NEIGHBOURS = auto()
    READS_OUTPUT = auto()
    COMPLAINS = auto()
    HOLDS_CALLERS = auto()
    FORGETS_THE_TIME = auto()
    HURRIES = auto()
    RESTARTS_ALL = auto()
    RISES_AGAIN = auto()
    PASSES_OVER = auto()
    BOASTS = auto()
    LEAKS_TASKS = auto()
    STRANDS = auto()


class World:
    """Time, and what happens in it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()

    def at(self, when: float, do: Callable[[], object]) -> None:
        """Have something happen; of two at the same time the first to be asked for."""
        heapq.heappush(self._due, (max(when, self.now), next(self._order), do))

    def after(self, delay: float, do: Callable[[], object]) -> None:
        """Have something happen a while from now."""
        self.at(self.now + delay, do)

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._due and self._due[0][0] <= until:
            when, _, do = heapq.heappop(self._due)
            # What was due while everything stood still happens now.
            self.now = max(self.now, when)
            do()
        self.now = max(self.now, until)

    def stand(self, seconds: float) -> None:
        """Let time pass without anything happening."""
        self.now += seconds


@attrs.define(eq=False)
class Ticket:
    """A request in the pool."""

    number: int
    args: dict[str, Any]
    command: str
    session: str | None
    idempotent: bool
    deadline: float
    done: Callable[[str, dict[str, Any]], None]
    tries: int = 0
    worker: Worker | None = None
    waiting: bool = True
    finished: bool = False


@attrs.define(eq=False)
class Worker:
    """A worker and, as far as it matters, its process."""

    slot: int
    incarnation: int
    pid: int
    alive: bool = True
    ready: bool = False
    ready_at: float = 0.0
    current: Ticket | None = None
    """What the pool believes it runs."""
    begun: bool = False
    frozen: bool = False
    held: list[Callable[[], None]] = attrs.field(factory=list)
    """What it will do when it goes on."""
    inbox: list[Ticket] = attrs.field(factory=list)
    running: Ticket | None = None
    executions: int = 0
    states: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    abandoned: bool = False
    garbled: bool = False
    unwanted: str | None = None
    exit: str = "SIGKILL"


@attrs.define(eq=False)
class Session:
    """Where a session lives."""

    worker: Worker | None = None
    used: bool = False
    lost: bool = False
