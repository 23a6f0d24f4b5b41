"""What all faults of a scenario have in common: when, to whom, for how long, and what is expected of the pool.

Faults are data here; nothing touches a process. The kinds are in the modules beside this one, and what carries them
out is in `chaos.faults`, an injector for each class.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._quantities import Rate, Seconds, Share


class Capability(StrEnum):
    """What a fault needs of the machine or of the pool under test; `doctor` says which are to be had."""

    PIDS = "pids"
    """The pool tells the process ids of its workers."""
    LAUNCHER = "launcher"
    """The pool starts its workers through a `ChaosLauncher`, so that their links can be reached."""
    EVENTS = "events"
    """The pool tells what it does, where it happens."""
    AGENT = "agent"
    """The workers run the harness's worker program, which takes orders."""
    APPLICATION = "application"
    """The application is a process of the harness's own, which may be stopped and killed."""
    PRLIMIT = "prlimit"
    """Limits of a live process can be set."""


class WorkerState(StrEnum):
    """Which workers a fault may choose from."""

    ANY = "any"
    """Every one that has a process."""
    STARTING = "starting"
    SERVING = "serving"
    """Ready or busy."""
    IDLE = "idle"
    BUSY = "busy"
    """Running a request that it has begun."""


class Window(StrEnum):
    """The twelve moments of a request's life at which a worker may die."""

    W1 = "W1"
    """Idle, before checkout."""
    W2 = "W2"
    """After checkout, before the first byte is written."""
    W3 = "W3"
    """In the middle of the request's frame."""
    W4 = "W4"
    """When the frame is written and not read."""
    W5 = "W5"
    """While the command runs, before its effect."""
    W6 = "W6"
    """After the effect, before the reply."""
    W7 = "W7"
    """In the middle of the reply's frame."""
    W8 = "W8"
    """When the whole reply is in the socket, unread."""
    W9 = "W9"
    """When the reply is read, before checkin."""
    W10 = "W10"
    """While it starts."""
    W11 = "W11"
    """During a health check."""
    W12 = "W12"
    """While the pool stops."""


class Death(StrEnum):
    """How a worker ends."""

    KILL = "KILL"
    SEGV = "SEGV"
    ABRT = "ABRT"
    BUS = "BUS"
    FPE = "FPE"
    TERM = "TERM"
    INT = "INT"
    HUP = "HUP"
    QUIT = "QUIT"
    EXIT_0 = "exit 0"
    """By ``os._exit(0)``, which no pool asked for."""
    EXIT_3 = "exit 3"


class Direction(StrEnum):
    """Which way bytes go."""

    TO_WORKER = "to_worker"
    FROM_WORKER = "from_worker"
    BOTH = "both"


class FramePart(StrEnum):
    """What of a frame is corrupted."""

    HEADER = "header"
    """One bit of the four bytes that announce the length, so that it is wrong."""
    LENGTH = "length"
    """All of them: a length that nobody should allocate."""
    PAYLOAD = "payload"
    """Bits of the message itself."""


@attrs.frozen(kw_only=True)
class Trigger:
    """When a fault strikes: by exactly one of ``time``, ``every``, ``poisson``, ``on`` and ``when``.

    Args:
        phase: In which phase; ``time`` and the rest count from its beginning. None for the whole run.
        time: So many seconds after the beginning.
        every: Again and again after so many seconds.
        jitter: With ``every``: each moment is moved by up to this share of the interval, either way.
        poisson: At so many moments a second, on average.
        on: At an event of the pool, by its class name (``WorkerReady``), or at a trace point of the harness.
        nth: With ``on``: at the nth that counts, counted from 1.
        probability: With ``on``: each that matches counts with this probability.
        match: With ``on``: what its fields must be.
        when: Once an expression over the live metrics has become true, such as ``queue.depth > 10``.
        count: How often at most; None for once with ``time``, ``on`` and ``when``, and without bound for the others.
    """

    phase: str | None = None
    time: Seconds | None = None
    every: Seconds | None = None
    jitter: Share = 0.0
    poisson: Rate | None = None
    on: str | None = None
    nth: int = 1
    probability: Share = 1.0
    match: Mapping[str, str | int | bool] = attrs.field(factory=dict[str, str | int | bool])
    when: str | None = None
    count: int | None = None


@attrs.frozen(kw_only=True)
class Selector:
    """Which workers are hit, resolved when the fault strikes; those that fit are drawn from by the plan's number.

    Args:
        state: What they must be doing; of other kinds of pool, by what their workers write down.
        slot: Only the worker in this slot.
        session: Only the worker that holds this session of the plan.
        count: So many of them.
        fraction: This share of them, rounded up; in place of ``count``.
        trigger: The one whose event struck the fault (with ``on``).
        unharmed: Prefer those that no fault has hit yet; a fault waits a while for one before it takes another.
    """

    state: WorkerState = attrs.field(default=WorkerState.SERVING, converter=WorkerState)
    slot: int | None = None
    session: int | None = None
    count: int = 1
    fraction: Share | None = None
    trigger: bool = False
    unharmed: bool = False


@attrs.frozen(kw_only=True)
class Expectation:
    """How soon the pool must cope; what is not given is not judged. Seconds since the fault.

    Args:
        detect_within: Until the pool noticed.
        recover_within: Until it had all its workers again.
        restarts: Whether the fault is expected to cost the worker: False makes any unplanned restart a violation.
    """

    detect_within: Seconds | None = None
    recover_within: Seconds | None = None
    restarts: bool | None = None


@attrs.frozen(kw_only=True)
class FaultSpec:
    """What every fault of a scenario has; its class is what is done.

    Args:
        name: Unique within the scenario.
        at: When.
        target: To whom; without meaning for what hits the application itself.
        hold: ``for`` in a file: seconds until it is healed. None where there is nothing to heal.
        expect: How soon the pool must cope.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]
    mechanism: ClassVar[str]
    """How it is done, for ``explain``."""
    good_pool: ClassVar[str]
    """What a good pool makes of it."""
    checks: ClassVar[tuple[str, ...]]
    """The checkers that look at what came of it."""
    needs: ClassVar[frozenset[Capability]]
    heals: ClassVar[bool]
    """Whether it lasts and is healed; if not, ``for`` is refused."""
    aims: ClassVar[bool] = True
    """Whether its selector chooses workers before it strikes; what hits the application or the requests has none, and
    a kill in a window finds its own."""

    name: str
    at: Trigger
    target: Selector = attrs.field(factory=Selector)
    hold: Seconds | None = None
    expect: Expectation | None = None
