"""The plan of a run: everything chance decides, decided before the clock starts.

``make_plan(scenario, seed)`` is a pure function. It depends on no machine, interpreter or clock, so the same seed gives
the same plan byte for byte, and its SHA-256 names it. What can only be known later stays out as a *selector*: a fault
holds a number that chooses among the workers that qualify when it fires, and a request holds the number of its session
and step, which the job maps to source files.

Every quantity has its own stream of chance, named after what it decides. Adding or removing a fault therefore moves no
request, which is what lets a failing plan be cut down later.
"""

from __future__ import annotations

import hashlib
import json
import random
from enum import StrEnum

import attrs

SCHEMA = 1


class FaultKind(StrEnum):
    """What is done to a worker, or to the machine it runs on."""

    KILL = "kill"
    """SIGKILL to the worker's process alone."""
    FREEZE = "freeze"
    """SIGSTOP, until healed by SIGCONT or until the worker is gone."""
    LATENCY = "latency"
    """Bytes on the worker's link arrive later by a fixed time, in both directions, until healed."""
    CORRUPTION = "corruption"
    """The worker says something that is not the protocol, once."""
    MEMORY = "memory"
    """Another process holds memory, until healed."""


@attrs.frozen(kw_only=True)
class FaultSpec:
    """One fault as a scenario asks for it: about when, what and for how long.

    Args:
        name: Unique within the scenario.
        kind: What happens.
        at: When, as a share of the scenario's duration; the plan adds jitter.
        hold: Seconds until it is healed; 0 for faults that cannot be.
        delay: Seconds each byte is held back, for latency.
    """

    name: str
    kind: FaultKind = attrs.field(converter=FaultKind)
    at: float
    hold: float = 0.0
    delay: float = 0.0


@attrs.frozen(kw_only=True)
class Scenario:
    """What is to happen, without chance: the input of `make_plan` beside the seed.

    Args:
        name: How the command line calls it.
        summary: One line for ``list``.
        workers: Size of the pool.
        users: How many users arrive; each visits with several sessions, one after the other.
        sessions: How many sessions all users open together.
        requests: Smallest and largest number of requests of a session.
        think: Mean seconds between two requests of a session; the waits are exponential: people do not look at each
            other's clocks.
        duration: Seconds from the first to the last arrival, at most.
        max_in_flight: Arrivals beyond this many unanswered requests are dropped and counted, never delayed.
        faults: What is done to the workers meanwhile.
    """

    name: str
    summary: str
    workers: int
    users: int
    sessions: int
    requests: tuple[int, int]
    think: float
    duration: float
    max_in_flight: int
    faults: tuple[FaultSpec, ...]

    def scaled(self, duration: float) -> Scenario:
        """Return the same scenario over another duration, at the same rate of arrivals and with the same faults."""
        sessions = max(1, round(self.sessions * duration / self.duration))
        return attrs.evolve(self, duration=duration, sessions=sessions)


@attrs.frozen(kw_only=True)
class PlannedRequest:
    """One request: when it is meant to be sent, for which session, and the nonce its reply must carry."""

    index: int
    at: float
    user: int
    session: int
    step: int
    nonce: str


@attrs.frozen(kw_only=True)
class PlannedFault:
    """One fault: when it is due, and the numbers that resolve what is open until then.

    ``choice`` in [0, 1) picks among the workers that qualify; ``offset`` is how long after its dispatch the aimed-at
    request is hit, so that kills do not all fall on a request's first instant.
    """

    name: str
    kind: FaultKind
    at: float
    hold: float
    delay: float
    choice: float
    offset: float


@attrs.frozen(kw_only=True)
class Plan:
    """A run, decided. Plain data; `to_json` is canonical, `sha256` its name."""

    schema: int
    scenario: str
    seed: int
    workers: int
    users: int
    sessions: int
    duration: float
    max_in_flight: int
    requests: tuple[PlannedRequest, ...]
    faults: tuple[PlannedFault, ...]

    def to_json(self) -> str:
        """Return the plan as JSON, one request or fault a line, the same bytes for the same plan."""
        head = attrs.asdict(self, filter=attrs.filters.exclude("requests", "faults"))
        lines = [f"{_canonical(name)}: {_canonical(value)}" for name, value in head.items()]
        for name, items in (("faults", self.faults), ("requests", self.requests)):
            rows = ",\n".join(f"  {_canonical(attrs.asdict(item))}" for item in items)
            lines.append(f'"{name}": [\n{rows}\n]')
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @property
    def sha256(self) -> str:
        """The SHA-256 of `to_json`, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def stream(seed: int, name: str, index: int = 0) -> random.Random:
    """Return the source of chance for one quantity of one run; equal arguments give equal sources on every machine."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311  # reproducible on purpose; nothing here is secret


def make_plan(scenario: Scenario, seed: int) -> Plan:
    """Decide everything chance decides for this scenario and seed."""
    return Plan(
        schema=SCHEMA,
        scenario=scenario.name,
        seed=seed,
        workers=scenario.workers,
        users=scenario.users,
        sessions=scenario.sessions,
        duration=scenario.duration,
        max_in_flight=scenario.max_in_flight,
        requests=_requests(scenario, seed),
        faults=tuple(sorted((_fault(scenario, spec, seed) for spec in scenario.faults), key=lambda fault: fault.at)),
    )


def _requests(scenario: Scenario, seed: int) -> tuple[PlannedRequest, ...]:
    arrivals = stream(seed, "arrivals")
    # Uniform instants in sorted order are what a Poisson process looks like once the number of its arrivals is given.
    starts = sorted(arrivals.uniform(0.0, scenario.duration) for _ in range(scenario.sessions))
    unordered: list[tuple[float, int, int]] = []
    for session, start in enumerate(starts):
        think = stream(seed, "think", session)
        at = start
        for step in range(think.randint(*scenario.requests)):
            # The end cuts a session short rather than moving its requests together.
            if at > scenario.duration:
                break
            unordered.append((_rounded(at), session, step))
            at += think.expovariate(1.0 / scenario.think)
    return tuple(
        PlannedRequest(
            index=index,
            at=at,
            user=session % scenario.users,
            session=session,
            step=step,
            nonce=f"{stream(seed, 'nonce', index).getrandbits(64):016x}",
        )
        for index, (at, session, step) in enumerate(sorted(unordered))
    )


def _fault(scenario: Scenario, spec: FaultSpec, seed: int) -> PlannedFault:
    chance = stream(seed, f"fault:{spec.name}")
    # 1.5 % of the duration either way: enough that no two seeds hit the same instant, too little to reorder the faults.
    at = (spec.at + chance.uniform(-0.015, 0.015)) * scenario.duration
    return PlannedFault(
        name=spec.name,
        kind=spec.kind,
        at=_rounded(at),
        hold=spec.hold,
        delay=spec.delay,
        choice=_rounded(chance.random() * 0.999999),  # rounding must not reach 1.0, which would pick beyond the last
        # A request of the job runs for 1 to 100 ms; 8 ms leaves most of them still running.
        offset=_rounded(chance.uniform(0.0, 0.008)),
    )


def _rounded(value: float) -> float:
    """Cut to microseconds: the last bits of a logarithm differ between C libraries, and plans must not."""
    return round(value, 6)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(", ", ": "))
