"""How much a scenario will come to, on average, before chance has decided anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._distribution import Shape
from ._model import ClosedLoad, NoLoad, OpenLoad, PartlyOpenLoad

if TYPE_CHECKING:
    from ._distribution import Distribution
    from ._fault import FaultSpec
    from ._model import Phase, Scenario

_ROUND_TRIP = 0.001
"""Seconds that a request takes beside its command, about; it only keeps a user without a thought from being infinitely
fast."""


def expected_requests(phase: Phase, scenario: Scenario) -> float:
    """Return how many requests a phase has, about; infinity where nobody knows."""
    load = phase.load
    match load:
        case OpenLoad():
            return load.rate * phase.duration
        case PartlyOpenLoad():
            return load.session_rate * phase.duration * max(1.0, mean(load.requests))
        case ClosedLoad():
            return load.users * phase.duration / (mean(load.think) + _service(scenario) + _ROUND_TRIP)
        case NoLoad():
            return 0.0
        case _:
            return math.inf


def expected_strikes(fault: FaultSpec, scenario: Scenario) -> float:
    """Return how often a fault strikes, about; one stands for those that an event or a condition decides."""
    at = fault.at
    inside = [phase.duration for phase in scenario.phases if at.phase in {None, phase.name}]
    rate = at.poisson if at.poisson is not None else 0.0 if not at.every else 1.0 / at.every
    return max(1.0, rate * sum(inside)) if rate else 1.0


def mean(distribution: Distribution) -> float:
    """Return the mean of a distribution; of a lognormal one its median, which is less."""
    if distribution.dist is Shape.UNIFORM:
        return ((distribution.low or 0.0) + (distribution.high or 0.0)) / 2
    return distribution.mean or distribution.p50 or 0.0


def _service(scenario: Scenario) -> float:
    operations = scenario.workload.operations
    total = sum(operation.weight for operation in operations)
    if not total:
        return 0.0
    times = ((operation.weight, operation.service_time) for operation in operations)
    return sum(weight * mean(time) for weight, time in times if time is not None) / total
