"""What makes no sense in a fault whose every field is well-formed: the mistakes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

import trio_pool
from trio_pool import PoolEvent

from ._expressions import parse_expression
from ._metrics import metric_kind
from ._problems import Problem, did_you_mean
from ._trace_points import MOST_ORDERS, TRACE_POINTS, Waits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ._fault import FaultSpec, Selector, Trigger
    from ._model import Phase

_TRIGGERS = ("time", "every", "poisson", "on", "when")


@attrs.frozen
class Context:
    """What a fault is judged by.

    Args:
        phases: Those that could be read.
        phase_names: Of all.
        whole: Whether all phases could be read, so that it is known how long the run is.
        size: Of the pool, if it is given.
        faults: The names of all faults.
    """

    phases: tuple[Phase, ...]
    phase_names: tuple[str, ...]
    whole: bool
    size: int | None
    faults: tuple[str, ...]


def fault_errors(fault: FaultSpec, context: Context, path: str) -> Iterator[Problem]:
    """Yield what is wrong with a fault."""
    yield from _trigger(fault.at, context, f"{path}.at")
    yield from _selector(fault.target, fault.at, context, f"{path}.target")
    if not fault.heals and fault.hold is not None:
        yield Problem(f"{path}.for", f"a {fault.kind} is over at once: there is nothing to heal")
    elif fault.heals and fault.hold is None:
        yield Problem(f"{path}.for", f"is missing: a {fault.kind} lasts until it is healed")
    elif fault.hold is not None and not 0 < fault.hold < math.inf:
        yield Problem(f"{path}.for", f"must be above 0 and finite, not {fault.hold:g}")


def events() -> Mapping[str, type[PoolEvent]]:
    """Return the pool's events by their names."""
    found: dict[str, type[PoolEvent]] = {}
    ahead = [PoolEvent]
    while ahead:
        cls = ahead.pop()
        ahead += cls.__subclasses__()
        # By name, for attrs leaves a class of the same name behind where it makes one with slots.
        public = getattr(trio_pool, cls.__name__, None)
        if public is not None and public is not PoolEvent:
            found[cls.__name__] = public
    return found


def _trigger(at: Trigger, context: Context, path: str) -> Iterator[Problem]:
    given = [name for name in _TRIGGERS if getattr(at, name) is not None]
    if len(given) != 1:
        told = f"has {' and '.join(given)}" if given else "does not say when"
        yield Problem(path, f"{told}: give exactly one of {', '.join(_TRIGGERS)}")
    yield from _moments(at, context, path)
    if at.on is not None:
        yield from _event(at, at.on, path)
    if at.when is not None:
        yield from _condition(at.when, context, f"{path}.when")
    for name, value, unused, needed in (
        ("jitter", at.jitter, 0.0, "every"),
        ("nth", at.nth, 1, "on"),
        ("probability", at.probability, 1.0, "on"),
        ("match", len(at.match), 0, "on"),
    ):
        if value != unused and getattr(at, needed) is None:
            yield Problem(f"{path}.{name}", f"goes with {needed} alone")
    if at.jitter >= 1:
        yield Problem(f"{path}.jitter", "must be below 1, or moments change places")
    if at.nth < 1:
        yield Problem(f"{path}.nth", f"counts from 1, and is {at.nth}")
    if not 0 < at.probability <= 1:
        yield Problem(f"{path}.probability", f"must be above 0 and at most 1, not {at.probability:g}")
    if at.count is not None and at.count < 1:
        yield Problem(f"{path}.count", "must be at least 1")
    if at.time is not None and at.count not in {None, 1}:
        yield Problem(f"{path}.count", f"one moment strikes once, not {at.count} times: use every")


def _moments(at: Trigger, context: Context, path: str) -> Iterator[Problem]:
    """Yield what is wrong with where its moments lie."""
    for name in ("every", "poisson"):
        value = getattr(at, name)
        if value is not None and not 0 < value < math.inf:
            yield Problem(f"{path}.{name}", f"must be above 0 and finite, not {value:g}")
    if at.phase is not None and at.phase not in context.phase_names:
        told = did_you_mean(at.phase, context.phase_names)
        yield Problem(f"{path}.phase", f"there is no phase {at.phase!r}; {told}")
        return
    phase = next((phase for phase in context.phases if phase.name == at.phase), None)
    if phase is not None:
        if phase.heal:
            yield Problem(f"{path}.phase", f"{phase.name} is there to heal: nothing strikes in it")
        yield from _within(at, phase.duration, f"phase {phase.name}", path)
    elif at.phase is None and context.whole:
        yield from _within(at, sum(phase.duration for phase in context.phases), "run", path)
        if at.time is not None and (healing := _heals(at.time, context.phases)) is not None:
            yield Problem(f"{path}.time", f"lies in {healing}, which is there to heal: nothing strikes in it")


def _within(at: Trigger, duration: float, what: str, path: str) -> Iterator[Problem]:
    for name in ("time", "every"):
        value = getattr(at, name)
        if value is not None and value >= duration:
            yield Problem(f"{path}.{name}", f"is {value:g} s, and the {what} is over after {duration:g} s")


def _heals(time: float, phases: tuple[Phase, ...]) -> str | None:
    end = 0.0
    for phase in phases:
        end += phase.duration
        if time < end:
            return phase.name if phase.heal else None
    return None


def _event(at: Trigger, name: str, path: str) -> Iterator[Problem]:
    known = events()
    point = TRACE_POINTS.get(name)
    if point is None and name not in known:
        told = did_you_mean(name, [*known, *TRACE_POINTS])
        yield Problem(f"{path}.on", f"there is no event of the pool and no trace point {name!r}; {told}")
        return
    fields = [field.name for field in attrs.fields(known[name])] if point is None else list(point.fields)
    for key in at.match:
        if key not in fields:
            yield Problem(f"{path}.match.{key}", f"{name} has no field {key!r}; {did_you_mean(key, fields)}")
    if point is not None and point.waits is Waits.WORKER and at.nth > MOST_ORDERS * at.probability > 0:
        text = f"is one in {at.nth / at.probability:.0f}, and each takes a file: {name} goes up to {MOST_ORDERS}"
        yield Problem(f"{path}.nth", text)


def _condition(text: str, context: Context, path: str) -> Iterator[Problem]:
    try:
        expression = parse_expression(text)
    except ValueError as exc:
        yield Problem(path, str(exc))
        return
    for metric in expression.metrics:
        if not metric_kind(metric.name).live:
            yield Problem(path, f"{metric.name} is known only afterwards")
        start, _, rest = metric.name.partition(".")
        fault = rest.rpartition(".")[0]
        if start == "fault" and fault not in context.faults:
            yield Problem(path, f"there is no fault {fault!r}; {did_you_mean(fault, context.faults)}")


def _selector(target: Selector, at: Trigger, context: Context, path: str) -> Iterator[Problem]:
    if target.slot is not None and context.size is not None and target.slot >= context.size:
        text = f"never matches: slots of a pool of {context.size} are 0 to {context.size - 1}"
        yield Problem(f"{path}.slot", text)
    if target.count < 1:
        yield Problem(f"{path}.count", "must be at least 1")
    if target.fraction is not None:
        if not 0 < target.fraction <= 1:
            yield Problem(f"{path}.fraction", f"must be above 0 and at most 1, not {target.fraction:g}")
        if target.count != 1:
            yield Problem(f"{path}.fraction", "stands in place of count: give one of them")
    if target.trigger and at.on is None:
        yield Problem(f"{path}.trigger", "goes with a trigger by event (`on`) alone: no other worker struck anything")
    point = TRACE_POINTS.get(at.on or "")
    if target.trigger and point is not None and target.state not in point.states:
        told = " or ".join(sorted(point.states))
        yield Problem(f"{path}.state", f"never matches: who comes to {point.name} is not {target.state}, but {told}")
