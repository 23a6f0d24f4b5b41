"""Scenarios for tests: a strategy of all that are well-formed, and one plain one to change."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from chaos.scenario._catalogue import fault_kinds
from chaos.scenario._distribution import Distribution, Shape
from chaos.scenario._expressions import parse_expression
from chaos.scenario._fault import Expectation, FaultSpec, Selector, Trigger, WorkerState
from chaos.scenario._fault_validation import events
from chaos.scenario._model import (
    Arrivals,
    Checks,
    ClosedLoad,
    Hold,
    Limits,
    LoadModel,
    NoLoad,
    Objective,
    OpenLoad,
    Operation,
    PartlyOpenLoad,
    Phase,
    Scenario,
    SteadyState,
    Workload,
)
from trio_pool import PoolConfig

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(lambda name: name != "all")
positive = st.floats(min_value=0.001, max_value=1000, allow_nan=False).map(lambda value: round(value, 6))
"""In a decade that keeps plans small."""
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)


def distributions(least: float = 0.001, most: float = 10.0) -> st.SearchStrategy[Distribution]:
    values = st.floats(min_value=least, max_value=most).map(lambda value: max(least, round(value, 6)))
    pairs = st.tuples(values, values).map(sorted)
    return st.one_of(
        values.map(lambda mean: Distribution(dist=Shape.CONSTANT, mean=mean)),
        values.map(lambda mean: Distribution(dist=Shape.EXPONENTIAL, mean=mean)),
        pairs.map(lambda pair: Distribution(dist=Shape.UNIFORM, low=pair[0], high=pair[1])),
        pairs.map(lambda pair: Distribution(dist=Shape.LOGNORMAL, p50=pair[0], p99=pair[1])),
        values.map(lambda mean: Distribution(dist=Shape.GEOMETRIC, mean=1 + mean)),
    )


def loads() -> st.SearchStrategy[LoadModel]:
    rates = st.floats(min_value=0.1, max_value=20).map(lambda value: round(value, 3))
    return st.one_of(
        st.builds(OpenLoad, rate=rates, arrivals=st.sampled_from(Arrivals), max_in_flight=st.integers(1, 900)),
        st.builds(
            PartlyOpenLoad,
            session_rate=rates,
            arrivals=st.sampled_from(Arrivals),
            requests=distributions(1, 5),
            think=distributions(),
        ),
        st.builds(ClosedLoad, users=st.integers(1, 4), think=distributions(), sessions=st.booleans()),
        st.just(NoLoad()),
    )


def phases(name: str) -> st.SearchStrategy[Phase]:
    durations = st.floats(min_value=0.5, max_value=10).map(lambda value: round(value, 3))
    return st.builds(Phase, name=st.just(name), duration=durations, load=loads(), measure=st.booleans())


@st.composite
def operations(draw: st.DrawFn, name: str) -> Operation:
    cancel = draw(st.sampled_from([0.0, 0.25]))
    return Operation(
        name=name,
        weight=draw(positive),
        idempotent=name != "append" and draw(st.booleans()),
        service_time=draw(st.none() | distributions()),
        size=draw(st.none() | distributions(1, 5000)) if name in {"echo", "work"} else None,
        timeout=draw(st.none() | positive),
        cancel=cancel,
        patience=draw(distributions()) if cancel else None,
    )


@st.composite
def triggers(draw: st.DrawFn, phase: Phase) -> Trigger:
    inside = st.floats(min_value=phase.duration / 20, max_value=phase.duration * 0.99)
    times = inside.map(lambda value: max(0.001, round(value, 6)))
    count = draw(st.none() | st.integers(1, 3))
    match draw(st.sampled_from(["time", "every", "poisson", "on", "when"])):
        case "time":
            return Trigger(phase=phase.name, time=draw(times))
        case "every":
            return Trigger(phase=phase.name, every=draw(times), jitter=draw(st.sampled_from([0.0, 0.3])), count=count)
        case "poisson":
            return Trigger(phase=phase.name, poisson=draw(st.floats(0.01, 3)), count=count)
        case "on":
            name = draw(st.sampled_from(sorted(events())))
            field = draw(st.sampled_from([field.name for field in attrs.fields(events()[name])]))
            match = draw(st.dictionaries(st.just(field), st.integers(0, 9) | texts | st.booleans()))
            return Trigger(phase=phase.name, on=name, nth=draw(st.integers(1, 4)), match=match)
        case _:
            return Trigger(phase=phase.name, when=draw(st.sampled_from(["queue.depth > 3", "pool.ready < pool.size"])))


def _value(field: attrs.Attribute[Any]) -> st.SearchStrategy[Any]:
    """Return values for a field of one kind of fault: its default where it has one, which its own tests vary."""
    if field.default is not attrs.NOTHING:
        factory = getattr(field.default, "factory", None)
        return st.builds(factory) if factory is not None else st.just(field.default)
    return st.just(1.0)


@st.composite
def faults(draw: st.DrawFn, name: str, phase: Phase) -> FaultSpec:
    cls = fault_kinds()[draw(st.sampled_from(list(fault_kinds())))]
    at = draw(triggers(phase))
    common = {field.name for field in attrs.fields(FaultSpec)}
    own = {field.name: draw(_value(field)) for field in attrs.fields(cls) if field.name not in common}
    target = Selector(
        state=draw(st.sampled_from(WorkerState)),
        slot=draw(st.none() | st.integers(0, 1)),
        count=draw(st.integers(1, 2)),
        trigger=at.on is not None and draw(st.booleans()),
        unharmed=draw(st.booleans()),
    )
    default = attrs.fields(cls).expect.default
    expect = draw(
        st.just(default) | st.builds(Expectation, detect_within=positive, recover_within=st.none() | positive)
    )
    return cls(name=name, at=at, target=target, hold=draw(positive) if cls.heals else None, expect=expect, **own)


configs = st.builds(
    lambda size, timeout, queue, restart: PoolConfig(size=size, timeout=timeout, max_queue=queue, restart=restart),
    st.integers(2, 8),
    st.floats(0.5, 60) | st.just(float("inf")),
    st.integers(0, 500),
    st.sampled_from(
        [{}, {"within": 60.0, "backoff": {"initial": 0.05, "jitter": "none"}}, {"max_restarts": float("inf")}]
    ),
)

live = st.sampled_from(["pool.ready == pool.size", "success_rate[2s] >= 99%", "queue.depth < 8", "lag < 250ms"])
windowed = st.sampled_from(
    ["success_rate >= 0.97", "latency.p99 < 2s", "dropped == 0", "rss.max < 512MiB", "success_rate[2s] > 0.5"]
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Scenarios without a mistake."""
    phase_names = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    chosen = tuple(draw(phases(name)) for name in phase_names)
    fault_names = draw(st.lists(names, max_size=3, unique=True))
    struck = tuple(draw(faults(name, draw(st.sampled_from(chosen)))) for name in fault_names)
    ops = draw(st.lists(st.sampled_from(["append", "read", "echo"]), unique=True))
    windows = ["all", *phase_names, *(f"fault:{name}" for name in fault_names)]
    objective = st.builds(
        Objective,
        window=st.sampled_from(windows),
        require=st.lists(windowed.map(parse_expression), min_size=1, max_size=2).map(tuple),
    )
    return Scenario(
        name=draw(names),
        summary=draw(texts),
        tags=tuple(draw(st.lists(names, max_size=2))),
        seed=draw(st.none() | st.integers(0, 2**160 - 1)),
        pool=draw(configs),
        # One of them works without a session, which some loads need.
        workload=Workload(operations=tuple(draw(operations(name)) for name in [*ops, "work"]) if ops else ()),
        phases=chosen,
        faults=struck,
        steady_state=SteadyState(
            require=tuple(draw(st.lists(live.map(parse_expression), max_size=2))),
            sample_every=draw(positive),
            before=Hold(hold=draw(positive), within=draw(positive)),
        ),
        objectives=tuple(draw(st.lists(objective, max_size=2))),
        checks=Checks(disable=tuple(draw(st.lists(st.sampled_from(["C1", "C14"]), max_size=2)))),
        limits=Limits(min_live_workers=draw(st.integers(0, 1)), memory_budget=draw(st.integers(1, 2**40))),
    )


def plain(**changes: Any) -> Scenario:
    """Return a scenario of three phases and two faults, with some fields changed."""
    kinds = fault_kinds()
    scenario = Scenario(
        name="plain",
        pool=PoolConfig(size=2),
        phases=(
            Phase(name="first", duration=4.0, load=OpenLoad(rate=20.0)),
            Phase(name="second", duration=6.0, load=PartlyOpenLoad(session_rate=5.0)),
            Phase(name="third", duration=3.0, load=ClosedLoad(users=2), heal=True),
        ),
        faults=(
            kinds["kill"](name="k", at=Trigger(phase="second", every=1.0, jitter=0.2)),
            kinds["freeze"](name="f", at=Trigger(poisson=1.0), hold=0.5),
        ),
    )
    return attrs.evolve(scenario, **changes)
