"""Expressions over metrics: ``latency.p99 < 2s``, ``success_rate[2s] >= 0.999``, ``pool.ready == pool.size``.

Read when a scenario is loaded, so that a misspelt metric is an error of the scenario and not of the run.
"""

from __future__ import annotations

from enum import StrEnum

import attrs


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
    """A metric's name, such as ``latency.p99``, and over how many of the last seconds it is taken, if not over all."""

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
