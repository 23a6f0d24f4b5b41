"""Objectives: what service callers must get, judged window by window, and no better than the numbers allow.

A percentile meets its bound only if the upper end of its 95 % interval does. One that misses it was missed; what lies
between says too little, and so does a percentile of too few values. Where the load generator itself was late, nothing
that counts from the intended time can be held against the pool, or for it.
"""

from __future__ import annotations

import math
import operator
from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from .._stats import percentile
from ..scenario._expressions import Comparison, Metric
from ._finding import Judgement, worst
from ._metrics import GAUGES, LATENCIES
from ._quantiles import needed
from ._windows import ALL, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .._history import Record
    from ..scenario._expressions import Expression
    from ..scenario._model import Scenario
    from ._metrics import Measures, Reading

MIN_LAG = 0.002
"""A generator that is not further behind than this is on time: Trio's own sleep is 0.6 ms late, now and then 2 ms."""

LAG_SHARE = 0.1
"""Nor one that is behind by less than this share of the bound on a latency, in the same window."""

COMPARE: Mapping[Comparison, Callable[[float, float], bool]] = {
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.EQUAL: operator.eq,
    Comparison.UNEQUAL: operator.ne,
    Comparison.AT_LEAST: operator.ge,
    Comparison.MORE: operator.gt,
}


class Unit(StrEnum):
    """What a value is shown in."""

    SECONDS = "seconds"
    SHARE = "share"
    BYTES = "bytes"
    NUMBER = "number"


@attrs.frozen(kw_only=True)
class Judged:
    """One expression, judged in one window.

    Args:
        window: The window.
        text: The expression, as the scenario has it.
        judgement: Whether it was met.
        unit: What the values are in.
        value: What was measured; None if nothing was, or if it never came to be.
        low: The lower end of its 95 % interval, where it has one.
        high: The upper end.
        count: Of how many it was taken.
        why: One sentence: what was found, or why nothing can be said.
    """

    window: str
    text: str
    judgement: Judgement
    unit: Unit
    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    why: str = ""


def judge_objectives(scenario: Scenario, measures: Measures) -> tuple[Judged, ...]:
    """Judge every line of a scenario's objectives."""
    return tuple(
        judge(expression, measures, measures.windows[objective.window])
        for objective in scenario.objectives
        for expression in objective.require
    )


def judge(expression: Expression, measures: Measures, window: Window) -> Judged:
    """Judge one expression in one window.

    One over the last seconds, such as ``success_rate[2s] >= 0.9``, must hold in every stretch of that length: the worst
    of them is told.

    Args:
        expression: What must hold.
        measures: The run's.
        window: Where.
    """
    over = expression.left.over
    if over is None or not window.spans:
        return _judge(expression, measures, window)
    pieces = [_judge(expression, measures, piece) for piece in window.pieces(over)]
    # A stretch in which nobody asked for anything says nothing, unless all are like that.
    told = [each for each in pieces if each.count] or pieces
    verdict = worst(each.judgement for each in told)
    worth = next(each for each in told if each.judgement is verdict)
    failed = sum(each.judgement is Judgement.FAIL for each in told)
    why = f"in {failed} of {len(told)} stretches: {worth.why}" if failed else worth.why
    return attrs.evolve(worth, why=why)


def judge_sometimes(scenario: Scenario, measures: Measures) -> tuple[Judged, ...]:
    """Judge what must have been true at least once, anywhere in the measured phases: else the run is vacuous."""
    judged: list[Judged] = []
    for expression in scenario.checks.sometimes:
        found = _ever(expression, measures)
        if found.judgement is Judgement.FAIL:
            found = attrs.evolve(found, judgement=Judgement.UNKNOWN, why=f"never true: {found.why}")
        judged.append(found)
    return tuple(judged)


def unit_of(name: str) -> Unit:
    """Return what a metric is shown in."""
    head = name.partition(".")[0]
    if head in (*LATENCIES, "service", "queue_wait", "generator_lag", "lag") or head.startswith("time_to_"):
        return Unit.SECONDS
    if name == "success_rate":
        return Unit.SHARE
    return Unit.BYTES if head == "rss" else Unit.NUMBER


def _judge(expression: Expression, measures: Measures, window: Window) -> Judged:
    name = expression.left.name
    reading = measures.read(name, window)
    bound, why = _bound(expression, measures, window)
    told = Judged(
        window=window.name,
        text=expression.text,
        judgement=Judgement.UNKNOWN,
        unit=unit_of(name),
        value=reading.value if reading.value is not None and math.isfinite(reading.value) else None,
        low=reading.low,
        high=reading.high,
        count=reading.count,
    )
    if reading.value is None or bound is None:
        return attrs.evolve(told, why=reading.why or why)
    late = _late(expression, measures, window)
    if late is not None:
        return attrs.evolve(told, why=late)
    if reading.share is not None and reading.count < needed(reading.share):
        return attrs.evolve(
            told, why=f"{reading.count} values; this percentile needs {needed(reading.share)} to be judged by"
        )
    compare = COMPARE[expression.comparison]
    if not compare(reading.value, bound):
        never = math.isinf(reading.value)
        return attrs.evolve(told, judgement=Judgement.FAIL, why="at least one never came" if never else "")
    # What a threshold is held against is the end of the interval that speaks against it; a share is what it is: every
    # request of the window was counted.
    if reading.share is not None and not all(compare(end, bound) for end in _ends(reading)):
        return attrs.evolve(told, why="the 95 % interval of the measured value reaches beyond the bound")
    return attrs.evolve(told, judgement=Judgement.PASS)


def _ends(reading: Reading) -> Iterator[float]:
    for end in (reading.low, reading.high):
        if end is not None:
            yield end


def _bound(expression: Expression, measures: Measures, window: Window) -> tuple[float | None, str]:
    if not isinstance(expression.right, Metric):
        return expression.right, ""
    other = measures.read(expression.right.name, window)
    return other.value, other.why or ""


def _ever(expression: Expression, measures: Measures) -> Judged:
    whole = Window(name=ALL, spans=((0.0, math.inf),))
    name = expression.left.name
    told = Judged(
        window=ALL, text=expression.text, judgement=Judgement.UNKNOWN, unit=unit_of(name), value=None, why="no sample"
    )
    compare = COMPARE[expression.comparison]
    if name in GAUGES:
        # Right may be another gauge: both are of the same sample then.
        pairs = [
            (float(entry[GAUGES[name]]), right)
            for entry in measures.samples
            if entry.get(GAUGES[name]) is not None and (right := _beside(expression, entry)) is not None
        ]
        true = sum(compare(left, right) for left, right in pairs)
        if not pairs:
            return told
        return attrs.evolve(
            told,
            judgement=Judgement.PASS if true else Judgement.FAIL,
            count=len(pairs),
            why=f"in {true} of {len(pairs)} samples",
        )
    reading = measures.read(name, whole)
    bound, why = _bound(expression, measures, whole)
    if reading.value is None or bound is None:
        return attrs.evolve(told, why=reading.why or why)
    return attrs.evolve(
        told,
        judgement=Judgement.PASS if compare(reading.value, bound) else Judgement.FAIL,
        value=reading.value if math.isfinite(reading.value) else None,
        count=reading.count,
        why=f"it was {reading.value:g}",
    )


def _beside(expression: Expression, sample: Record) -> float | None:
    if not isinstance(expression.right, Metric):
        return expression.right
    value = sample.get(GAUGES.get(expression.right.name, ""))
    return None if value is None else float(value)


def _late(expression: Expression, measures: Measures, window: Window) -> str | None:
    """Return why a latency cannot be judged: the generator was further behind its plan than the bound allows."""
    if expression.left.name.partition(".")[0] not in LATENCIES or isinstance(expression.right, Metric):
        return None
    lags = measures.times("generator_lag", measures.within(window))
    allowed = max(MIN_LAG, LAG_SHARE * expression.right)
    if not lags or percentile(lags, 0.99) <= allowed:
        return None
    return (
        f"the load generator was {percentile(lags, 0.99) * 1e3:.1f} ms behind its plan at the 99th percentile, more"
        f" than the {allowed * 1e3:.1f} ms that this bound allows"
    )
