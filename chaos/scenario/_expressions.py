"""Expressions over metrics: ``latency.p99 < 2s``, ``success_rate[2s] >= 0.999``, ``pool.ready == pool.size``.

Read when a scenario is loaded, so that a misspelt metric is an error of the scenario and not of the run.
"""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from ._metrics import metric_kind
from ._quantities import Unit, quantity

if TYPE_CHECKING:
    from collections.abc import Iterable


class Comparison(StrEnum):
    """How two values are compared."""

    LESS = "<"
    AT_MOST = "<="
    EQUAL = "=="
    UNEQUAL = "!="
    AT_LEAST = ">="
    MORE = ">"


@attrs.frozen
class Metric:
    """A metric's name, such as ``latency.p99``, and over how many of the last seconds it is taken, if not over all.

    An objective is judged afterwards: its window is cut into stretches of so many seconds, and it must hold in each.
    """

    name: str
    over: float | None = None


@attrs.frozen
class Expression:
    """A comparison of a metric with a number, in seconds, bytes or plain, or with another metric.

    Args:
        left: The metric.
        comparison: How they are compared.
        right: What it is compared with.
        text: As it was written.
    """

    left: Metric
    comparison: Comparison
    right: Metric | float
    text: str = attrs.field(eq=False)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics it names, from left to right."""
        return (self.left, self.right) if isinstance(self.right, Metric) else (self.left,)


_SHAPE = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(?:\[([^\]]*)\])?\s*(<=|>=|==|!=|<|>)\s*(\S.*?)\s*")
_METRIC = re.compile(r"([A-Za-z_][\w.-]*)\s*(?:\[([^\]]*)\])?")


def parse_expression(text: object) -> Expression:
    """Read an expression: a metric, a comparison, and a number or another metric.

    A number is in the metric's own unit and may be written with it, as in ``latency.p99 < 250ms``.

    Raises:
        ValueError: It has another form, or a metric is unknown; the message says what was expected.
    """
    if not isinstance(text, str):
        raise ValueError(f'must be a text such as "latency.p99 < 2s", not {text!r}')
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ValueError(f'must be a metric, a comparison and a number, such as "latency.p99 < 2s", not {text!r}')
    name, over, comparison, right = shape.groups()
    left = _metric(name, over)
    unit = metric_kind(left.name).unit
    other = _METRIC.fullmatch(right)
    if other is None:
        try:
            value: Metric | float = quantity(right, unit)
        except ValueError as exc:
            raise ValueError(f"what {left.name} is compared with {exc}") from exc
    else:
        value = _metric(*other.groups())
        if (theirs := metric_kind(value.name).unit) is not unit:
            raise ValueError(f"{left.name} is in {unit}, {value.name} in {theirs}: they cannot be compared")
    return Expression(left, Comparison(comparison), value, text.strip())


def expressions(values: Iterable[str | Expression]) -> tuple[Expression, ...]:
    """Return expressions, some of which may be given as text.

    Raises:
        ValueError: A text is none; the message says what was expected.
    """
    return tuple(value if isinstance(value, Expression) else parse_expression(value) for value in values)


def _metric(name: str, over: str | None) -> Metric:
    metric_kind(name)
    if over is None:
        return Metric(name)
    try:
        seconds = quantity(over, Unit.SECONDS)
    except ValueError as exc:
        raise ValueError(f"what stands in brackets after {name} {exc}") from exc
    if not 0 < seconds < math.inf:
        raise ValueError(f"what stands in brackets after {name} must be a time above 0, not {over!r}")
    return Metric(name, seconds)
