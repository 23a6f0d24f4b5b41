"""A scenario: what is to happen to a pool, without chance. One file of TOML, or the same classes built in Python.

All times are in seconds, all sizes in bytes; a file may write ``"250ms"``, ``"5/s"`` and ``"512MiB"``.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import attrs

from ._distribution import Distribution, Shape
from ._expressions import Expression, expressions
from ._quantities import Bytes, Rate, Seconds, Share, Unit

if TYPE_CHECKING:
    from trio_pool import PoolConfig

    from ._fault import FaultSpec

SCHEMA = 1

Times: TypeAlias = Annotated[Distribution, Unit.SECONDS]
Counts: TypeAlias = Annotated[Distribution, Unit.NUMBER]
Sizes: TypeAlias = Annotated[Distribution, Unit.BYTES]

# Frozen, so that all may share them.
_SESSION_LENGTH = Distribution(dist=Shape.GEOMETRIC, mean=5)
_THINK = Distribution(dist=Shape.EXPONENTIAL, mean=0.05)
_AT_ONCE = Distribution(dist=Shape.CONSTANT, mean=0.0)


class Arrivals(StrEnum):
    """How arrivals are spaced."""

    POISSON = "poisson"
    """As those of callers who know nothing of each other."""
    CONSTANT = "constant"
    """Evenly: it understates queueing, and makes two runs comparable."""


@attrs.frozen(kw_only=True)
class OpenLoad:
    """Single requests, without session, arrive at a rate whatever became of those before.

    Operations that need a session are not among them.

    Args:
        rate: Requests a second.
        arrivals: How they are spaced.
        max_in_flight: An arrival beyond so many unanswered is dropped and counted, never delayed.
    """

    model: ClassVar[str] = "open"

    rate: Rate
    arrivals: Arrivals = attrs.field(default=Arrivals.POISSON, converter=Arrivals)
    max_in_flight: int = 500


@attrs.frozen(kw_only=True)
class PartlyOpenLoad:
    """Sessions arrive at a rate whatever became of those before; within one, requests follow each other.

    The intended time of a session's next request is the end of its last plus the time to think: that it is late when
    the last was late is what a user does too. This is the realistic model of a pool with sessions (Schroeder and
    others, "Open Versus Closed", NSDI 2006).

    Args:
        session_rate: Sessions a second.
        arrivals: How they are spaced.
        requests: How many requests each makes.
        think: How long it waits between an answer and the next request.
        max_in_flight: A session that arrives beyond so many unanswered requests is dropped whole, and counted.
    """

    model: ClassVar[str] = "partly-open"

    session_rate: Rate
    arrivals: Arrivals = attrs.field(default=Arrivals.POISSON, converter=Arrivals)
    requests: Counts = _SESSION_LENGTH
    think: Times = _THINK
    max_in_flight: int = 500


@attrs.frozen(kw_only=True)
class ClosedLoad:
    """A fixed number of users, each of whom sends the next request when the last is answered.

    For worker farms and for measuring service time; it hides stalls, because who waits sends nothing.

    Args:
        users: How many; each has a session of its own if ``sessions`` is true.
        think: How long each waits between an answer and the next request.
        sessions: Whether users have sessions.
    """

    model: ClassVar[str] = "closed"

    users: int
    think: Times = _AT_ONCE
    sessions: bool = True


@attrs.frozen(kw_only=True)
class ReplayLoad:
    """The requests of an earlier run, at the times they were meant to be sent then.

    Args:
        run: The directory of that run, or its ``plan.json``.
        max_in_flight: As in the open models.
    """

    model: ClassVar[str] = "replay"

    run: str
    max_in_flight: int = 500


@attrs.frozen(kw_only=True)
class NoLoad:
    """No requests."""

    model: ClassVar[str] = "none"


LoadModel: TypeAlias = OpenLoad | PartlyOpenLoad | ClosedLoad | ReplayLoad | NoLoad


@attrs.frozen(kw_only=True)
class Phase:
    """A stretch of the run with one load.

    Args:
        name: Unique; windows of objectives and triggers of faults name it.
        duration: Seconds.
        load: What is asked of the pool meanwhile.
        measure: Whether its requests count in windows other than its own; a warm-up's do not.
        heal: Whether every fault that lasts is healed when it begins, and none may strike in it: the time in which the
            pool must come back to itself.
    """

    name: str
    duration: Seconds
    load: LoadModel = attrs.field(factory=NoLoad)
    measure: bool = True
    heal: bool = False


@attrs.frozen(kw_only=True)
class Operation:
    """One kind of request.

    Args:
        name: A command of the workload: ``append``, ``read``, ``work`` or ``echo`` of the built-in one, ``fetch`` of
            its async kind.
        weight: How often it is drawn, beside the others.
        idempotent: Whether the pool may run it again.
        alone: Whether it is asked without a session also in visits that have one.
        service_time: How long it runs in the worker; None for no longer than it must.
        size: Bytes that go there and back.
        timeout: Its whole budget; None for the pool's own.
        cancel: The share of such requests whose caller gives up.
        patience: When those do, after sending.
    """

    name: str
    weight: float = 1.0
    idempotent: bool = False
    alone: bool = False
    service_time: Times | None = None
    size: Sizes | None = None
    timeout: Seconds | None = None
    cancel: Share = 0.0
    patience: Times | None = None


@attrs.frozen(kw_only=True)
class Workload:
    """What the requests are.

    Args:
        kind: ``register`` (each session keeps a list in its worker, which shows every loss, doubling and mix-up),
            ``async`` (the same, and an operation of which a worker runs as many at once as the pool's ``concurrency``),
            ``stdlib`` (workers parse the standard library), or ``python:package.module:attribute`` for your own.
        operations: ``op`` in a file: the kinds of request and how often each is drawn.
    """

    kind: str = "register"
    operations: tuple[Operation, ...] = ()


@attrs.frozen(kw_only=True)
class Hold:
    """Conditions must hold for so long without a break, and begin to within so long.

    Args:
        hold: Seconds without a break.
        within: Seconds until they hold.
    """

    hold: Seconds = 1.0
    within: Seconds = 10.0


@attrs.frozen(kw_only=True)
class SteadyState:
    """How the pool is known to be well.

    Args:
        require: Expressions over the live metrics, such as ``pool.ready == pool.size``; in Python they may be texts.
        sample_every: Seconds between samples, on a fixed schedule: a sample that is late is missed, and counted.
        before: Without it the method never starts, and nothing was tested.
        after: Without it the pool has not come back.
    """

    require: tuple[Expression, ...] = attrs.field(default=(), converter=expressions)
    sample_every: Seconds = 0.25
    before: Hold = attrs.field(factory=Hold)
    after: Hold = attrs.field(factory=Hold)


@attrs.frozen(kw_only=True)
class Objective:
    """What service callers must get, in one window. ``[[slo]]`` in a file.

    Args:
        window: The name of a phase, ``fault:NAME`` (from each strike to its healing and the recovery after), or
            ``all`` (every measured phase).
        require: Expressions over the metrics of that window, such as ``latency.p99 < 2s``; in Python they may be texts.
    """

    window: str = "all"
    require: tuple[Expression, ...] = attrs.field(default=(), converter=expressions)


@attrs.frozen(kw_only=True)
class Checks:
    """Which checkers look at the history; all that apply unless they are disabled.

    Args:
        disable: Checkers left out, by number (``C14``).
        sometimes: Expressions that must have been true at least once, or the run has not tested what it was for.
        fairness: The largest ratio between the 99th percentiles of two sessions' waits.
    """

    disable: tuple[str, ...] = ()
    sometimes: tuple[Expression, ...] = attrs.field(default=(), converter=expressions)
    fairness: float = 5.0


@attrs.frozen(kw_only=True)
class Limits:
    """How far a run may go; the runner refuses or postpones what would go further, and writes it down.

    Args:
        min_live_workers: No fault strikes where fewer workers would be left serving.
        memory_budget: Bytes that faults may take, in all.
        wall_clock: Seconds after which the run is ended, whatever it is doing.
        max_concurrent_faults: Faults that may last at the same time.
    """

    min_live_workers: int = 0
    memory_budget: Bytes = 256 * 2**20
    wall_clock: Seconds = math.inf
    max_concurrent_faults: int = 8


@attrs.frozen(kw_only=True)
class Scenario:
    """What is to happen to a pool. With a seed it becomes a `Plan`.

    Args:
        name: How the command line calls it, and the name of its directory of runs.
        summary: One line.
        phases: ``phase`` in a file: at least one, in order.
        schema: The version of this format, 1.
        tags: Groups: ``smoke``, ``nightly``, ``soak``.
        seed: None to draw one, which is printed.
        pool: Settings of the pool under test, as `trio_pool.PoolConfig` takes them; its ``seed`` is the run's.
        workload: What the requests are.
        faults: ``fault`` in a file.
        steady_state: How the pool is known to be well; None for all workers ready, alone.
        objectives: ``slo`` in a file.
        checks: ``checkers`` in a file.
        limits: How far the run may go.
    """

    name: str
    summary: str = ""
    phases: tuple[Phase, ...]
    schema: int = SCHEMA
    tags: tuple[str, ...] = ()
    seed: int | None = None
    pool: PoolConfig
    workload: Workload = attrs.field(factory=Workload)
    faults: tuple[FaultSpec, ...] = ()
    steady_state: SteadyState = attrs.field(factory=SteadyState)
    objectives: tuple[Objective, ...] = ()
    checks: Checks = attrs.field(factory=Checks)
    limits: Limits = attrs.field(factory=Limits)

    @property
    def duration(self) -> float:
        """Seconds from the first to the last moment of its phases."""
        return sum(phase.duration for phase in self.phases)
