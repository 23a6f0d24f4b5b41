"""Expressions over metrics, read when a scenario is."""

from __future__ import annotations

import pytest

from chaos.scenario._expressions import Comparison, Expression, Metric, parse_expression
from chaos.scenario._metrics import METRICS, metric_kind
from chaos.scenario._quantities import Unit


@pytest.mark.parametrize(
    ("text", "left", "comparison", "right"),
    [
        ("latency.p99 < 2s", Metric("latency.p99"), Comparison.LESS, 2.0),
        ("latency.p99<250ms", Metric("latency.p99"), Comparison.LESS, 0.25),
        ("success_rate[2s] >= 99.9%", Metric("success_rate", 2.0), Comparison.AT_LEAST, 0.999),
        ("pool.ready == pool.size", Metric("pool.ready"), Comparison.EQUAL, Metric("pool.size")),
        ("ok[1s] != ok[2s]", Metric("ok", 1.0), Comparison.UNEQUAL, Metric("ok", 2.0)),
        ("rss.max <= 512MiB", Metric("rss.max"), Comparison.AT_MOST, 2.0**29),
        ("fault.k-1.hit_in_flight >= 1", Metric("fault.k-1.hit_in_flight"), Comparison.AT_LEAST, 1.0),
        ("error.WorkerCrashed > 0", Metric("error.WorkerCrashed"), Comparison.MORE, 0.0),
    ],
)
def test_an_expression_compares_a_metric_with_a_number_or_another(
    text: str, left: Metric, comparison: Comparison, right: Metric | float
) -> None:
    """Numbers are read in the metric's own unit; a window of seconds may stand in brackets."""
    expression = parse_expression(text)
    assert expression == Expression(left, comparison, right, text)
    assert expression.text == text
    assert expression.metrics == ((left, right) if isinstance(right, Metric) else (left,))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("latnecy.p99 < 2s", "did you mean 'latency.p99'"),
        ("latency.p98 < 2s", "there are latency.p50, latency.p90"),
        ("latency.p99 < 2MB", "duration such as"),
        ("latency.p99 < pool.size", "cannot be compared"),
        ("latency.p99", "must be a metric, a comparison and a number"),
        ("2s > latency.p99", "must be a metric, a comparison and a number"),
        ("latency.p99 < 2s and ok > 1", "duration such as"),
        ("success_rate[] > 1%", "brackets after success_rate"),
        ("success_rate[0s] > 1%", "must be a time above 0"),
        ("success_rate[inf] > 1%", "must be a time above 0"),
        ("fault.k.hit > 1", "of a fault there are fault.NAME.strikes"),
        ("fault.NAME > 1", "of a fault there are"),
        ("whatever > 1", "`list metrics` shows them"),
        (3, "must be a text such as"),
    ],
)
def test_what_is_no_expression_is_refused_with_what_was_meant(text: object, complaint: str) -> None:
    """A misspelt metric is a mistake of the scenario, found when it is read."""
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        parse_expression(text)


def test_every_metric_can_be_asked_for_by_its_name() -> None:
    """Each entry of the table is found under its own name, has a meaning, and can be asked for somewhere."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        name = metric.name.replace("NAME", "f1").replace("CLASS", "PoolTimeout")
        assert metric_kind(name) is metric
        assert metric.meaning
        assert metric.live or metric.windowed
        assert metric.unit in Unit
