"""The first-light scenario: index the standard library while workers are killed, frozen and slowed down.

Numbers are chosen together. Four workers take turns on the two cores of a small machine. 200 sessions of 100 users over
24 s are about 30 requests a second of 20 ms each, a load that leaves a core free, so that what goes wrong is the
faults' doing. About 17 sessions live at any moment, four on each worker: seven faults touch some 40 of them, and well
over half are never touched. The faults stop at 80 %, so that recovery is part of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._plan import FaultKind, FaultSpec, Scenario

if TYPE_CHECKING:
    from trio_pool import PoolConfig

FIRST_LIGHT = Scenario(
    name="first-light",
    summary="index the standard library in 4 workers; 5 kills, 1 freeze, 1 slow link; about 35 s with its set-up",
    workers=4,
    users=100,
    sessions=200,
    requests=(2, 5),
    think=0.7,
    duration=24.0,
    # Seven seconds' worth of arrivals: with more unanswered the pool has stopped answering.
    max_in_flight=200,
    faults=(
        FaultSpec(name="k1", kind=FaultKind.KILL, at=0.12),
        FaultSpec(name="k2", kind=FaultKind.KILL, at=0.22),
        # Held beyond the time at which the pool must have replaced the worker.
        FaultSpec(name="f1", kind=FaultKind.FREEZE, at=0.30, hold=8.0),
        FaultSpec(name="k3", kind=FaultKind.KILL, at=0.42),
        FaultSpec(name="l1", kind=FaultKind.LATENCY, at=0.56, hold=2.5, delay=0.5),
        FaultSpec(name="k4", kind=FaultKind.KILL, at=0.68),
        FaultSpec(name="k5", kind=FaultKind.KILL, at=0.79),
    ),
)

SCENARIOS: dict[str, Scenario] = {FIRST_LIGHT.name: FIRST_LIGHT}

SHORTEST = 8.0
"""Seconds a run must last at least: a freeze early on takes 4.5 s to be found out, and something must come after it."""


def pool_config(workers: int, seed: int) -> PoolConfig:
    """Return the settings of the pool under test, where they differ from the defaults."""
    from trio_pool import PoolConfig  # imported here: the plan of a scenario needs no pool

    return PoolConfig(
        size=workers,
        seed=seed,
        # A frozen worker that is busy is found out by its request's deadline, so the deadline must fit into the run
        # several times. Four seconds are a hundred times what a request takes.
        timeout=4.0,
        checkout_timeout=4.0,
        abandon_grace=0.5,
    )
