"""From a scenario and a seed to a plan: a pure function, the same on every machine and in every process.

Each quantity of each phase and each fault has its own stream of chance, so that changing one moves no other: without a
fault the requests are the same, with another load in one phase those of the others are.
"""

from __future__ import annotations

from itertools import accumulate, count, takewhile
from typing import TYPE_CHECKING

import attrs

from ._model import Arrivals, ClosedLoad, OpenLoad, PartlyOpenLoad, ReplayLoad
from ._plan import Plan, PlannedRequest, Strike, Visit
from ._problems import Problem, ScenarioError
from ._streams import rounded, stream
from ._workloads import operations_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from random import Random

    from ._fault import FaultSpec
    from ._model import Operation, Phase, Scenario

ROUND = 64
"""Requests of a user of the closed model before he begins again: enough that every operation of a usual mix is among
them about as often as its weight says, few enough that a plan of a hundred users stays small."""

_BELOW_ONE = 0.999999
"""Rounding must not make 1 of a number in [0, 1): it would choose beyond the last."""


def make_plan(scenario: Scenario, seed: int, earlier: Mapping[str, Plan] | None = None) -> Plan:
    """Decide everything chance decides for this scenario and seed.

    Args:
        scenario: It must be free of mistakes, as all are that were read.
        seed: The seed; that of the scenario is not looked at.
        earlier: The plans that its replay loads name, by the name they have there.

    Raises:
        ScenarioError: A replay load names a plan that is not in ``earlier``, or one with other operations.
    """
    drafts: list[Visit] = []
    for start, phase in starts(scenario):
        drafts += _visits(scenario, phase, start, seed, earlier or {})
    strikes = [strike for fault in scenario.faults for strike in _strikes(fault, scenario, seed)]
    return Plan(
        scenario=attrs.evolve(scenario, seed=seed),
        seed=seed,
        # Both sorts are stable: what falls on one moment keeps the order of the file.
        visits=_numbered(sorted(drafts, key=lambda visit: visit.at)),
        strikes=tuple(sorted(strikes, key=lambda strike: (strike.at is None, strike.at or 0.0))),
    )


def starts(scenario: Scenario) -> Iterator[tuple[float, Phase]]:
    """Yield each phase with the moment it begins, in seconds after the first does."""
    begins = accumulate((phase.duration for phase in scenario.phases), initial=0.0)
    yield from ((rounded(begin), phase) for begin, phase in zip(begins, scenario.phases, strict=False))


def _numbered(drafts: list[Visit]) -> tuple[Visit, ...]:
    """Give requests and sessions their numbers, in the order of their times."""
    index, session = count(), count()
    return tuple(
        attrs.evolve(
            visit,
            session=None if visit.session is None else next(session),
            requests=tuple(attrs.evolve(request, index=next(index)) for request in visit.requests),
        )
        for visit in drafts
    )


# ------------------------------------------------------------------------------------------------------------- requests


class _Requests:
    """Draws the requests of one phase."""

    def __init__(self, operations: tuple[Operation, ...], seed: int, phase: str) -> None:
        self._operations = operations
        self._weights = list(accumulate(operation.weight for operation in operations))
        self._seed, self._phase = seed, phase
        self._streams: dict[str, Random] = {}

    def chance(self, name: str) -> Random:
        """Return the phase's stream for one quantity."""
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = stream(self._seed, f"{name}:{self._phase}")
        return found

    def nonce(self) -> str:
        """Return 64 bits, in hex."""
        return f"{self.chance('nonce').getrandbits(64):016x}"

    def draw(self, think: float = 0.0) -> PlannedRequest:
        """Return the next request; its number is given later."""
        operation = self.chance("op").choices(self._operations, cum_weights=self._weights)[0]
        service, size, patience = operation.service_time, operation.size, operation.patience
        cancelled = bool(operation.cancel) and self.chance("cancel").random() < operation.cancel
        return PlannedRequest(
            index=0,
            operation=operation.name,
            nonce=self.nonce(),
            think=rounded(think),
            service=0.0 if service is None else rounded(service.draw(self.chance("service"))),
            size=0 if size is None else round(size.draw(self.chance("size"))),
            cancel_after=rounded(patience.draw(self.chance("patience"))) if cancelled and patience else None,
        )


def _visits(scenario: Scenario, phase: Phase, start: float, seed: int, earlier: Mapping[str, Plan]) -> Iterator[Visit]:
    """Yield the visits of one phase, all requests and sessions numbered 0."""
    load, end = phase.load, start + phase.duration
    if isinstance(load, ReplayLoad):
        yield from _replayed(scenario, phase, load, start, seed, earlier)
        return
    if not isinstance(load, (OpenLoad, PartlyOpenLoad, ClosedLoad)):
        return
    sessions = isinstance(load, PartlyOpenLoad) or (isinstance(load, ClosedLoad) and load.sessions)
    requests = _Requests(operations_of(scenario.workload, sessions=sessions), seed, phase.name)
    think = requests.chance("think")
    if isinstance(load, ClosedLoad):
        for user in range(load.users):
            # The first request of each comes after a first thought, so that they do not all come at once.
            at = min(rounded(start + load.think.draw(think)), rounded(end))
            planned = tuple(requests.draw(load.think.draw(think)) for _ in range(ROUND))
            yield Visit(at=at, phase=phase.name, session=0 if sessions else None, requests=planned, user=user)
        return
    rate = load.rate if isinstance(load, OpenLoad) else load.session_rate
    for moment in _moments(rate, load.arrivals, phase.duration, requests.chance("arrivals")):
        at = rounded(start + moment)
        if at >= end:  # by rounding
            break
        if isinstance(load, OpenLoad):
            yield Visit(at=at, phase=phase.name, session=None, requests=(requests.draw(),))
        else:
            many = max(1, round(load.requests.draw(requests.chance("requests"))))
            first = requests.draw()
            rest = tuple(requests.draw(load.think.draw(think)) for _ in range(many - 1))
            yield Visit(at=at, phase=phase.name, session=0, requests=(first, *rest))


def _moments(rate: float, arrivals: Arrivals, duration: float, chance: Random) -> Iterator[float]:
    if arrivals is Arrivals.CONSTANT:
        yield from takewhile(lambda moment: moment < duration, (number / rate for number in count()))
    else:
        moment = chance.expovariate(rate)
        while moment < duration:
            yield moment
            moment += chance.expovariate(rate)


def _replayed(
    scenario: Scenario, phase: Phase, load: ReplayLoad, start: float, seed: int, earlier: Mapping[str, Plan]
) -> Iterator[Visit]:
    """Yield the visits of an earlier plan, as many as begin within the phase, with new nonces."""
    path = f"$.phase[{scenario.phases.index(phase)}].load.run"
    plan = earlier.get(load.run)
    if plan is None:
        raise ScenarioError(scenario.name, [Problem(path, f"there is no plan of {load.run!r}")])
    known = {operation.name for operation in operations_of(scenario.workload, sessions=True)}
    strange = {request.operation for visit in plan.visits for request in visit.requests} - known
    if strange:
        told = ", ".join(sorted(strange))
        raise ScenarioError(scenario.name, [Problem(path, f"asks for operations this scenario has not: {told}")])
    requests = _Requests((), seed, phase.name)
    for visit in plan.visits:
        if visit.at < phase.duration:
            fresh = tuple(attrs.evolve(request, nonce=requests.nonce()) for request in visit.requests)
            yield attrs.evolve(visit, at=rounded(start + visit.at), phase=phase.name, requests=fresh)


# --------------------------------------------------------------------------------------------------------------- faults


def _strikes(fault: FaultSpec, scenario: Scenario, seed: int) -> Iterator[Strike]:
    target = stream(seed, f"target:{fault.name}")
    for occurrence, at in enumerate(_times(fault, scenario, stream(seed, f"fault:{fault.name}"))):
        yield Strike(
            fault=fault.name,
            occurrence=occurrence,
            at=at,
            choice=rounded(target.random() * _BELOW_ONE),
            offset=rounded(target.random() * _BELOW_ONE),
        )


def _times(fault: FaultSpec, scenario: Scenario, chance: Random) -> list[float] | list[None]:
    """Return the moments at which a fault strikes; one None where the run decides."""
    at = fault.at
    if at.on is not None or at.when is not None:
        return [None]
    begin, duration = 0.0, scenario.duration
    for start, phase in starts(scenario):
        if phase.name == at.phase:
            begin, duration = start, phase.duration
    if at.time is not None:
        moments = [at.time]
    elif at.every is not None:
        steps = takewhile(lambda moment: moment < duration, (number * at.every for number in count(1)))
        # All are drawn before any is left out, so that a longer phase only adds to them.
        moments = sorted(moment + chance.uniform(-at.jitter, at.jitter) * at.every for moment in steps)
    else:
        moments = list(_moments(at.poisson or 1.0, Arrivals.POISSON, duration, chance))
    healing = [(start, start + phase.duration) for start, phase in starts(scenario) if phase.heal]
    times = [
        rounded(begin + moment)
        for moment in moments
        if moment < duration and not any(start <= begin + moment < end for start, end in healing)
    ]
    return times[: at.count]
