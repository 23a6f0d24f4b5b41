"""What a scenario says that is no mistake, and yet probably not what was meant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio_pool

from ._expected import expected_requests
from ._expressions import Comparison
from ._make_plan import starts
from ._metrics import QUANTILES, metric_kind
from ._model import ClosedLoad, OpenLoad
from ._problems import Problem, did_you_mean
from ._quantities import Unit
from ._validation import has_sessions
from ._workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._expressions import Expression
    from ._model import Scenario


def warnings_of(scenario: Scenario) -> list[Problem]:
    """Return what somebody should look at again in a scenario without mistakes."""
    return [
        *_phases(scenario),
        *_faults(scenario),
        *_expressions(scenario),
    ]


def _phases(scenario: Scenario) -> Iterator[Problem]:
    if not any(phase.measure for phase in scenario.phases):
        yield Problem("$.phase", "no phase is measured, so that nothing is said of the window `all`")
    known = WORKLOADS.get(scenario.workload.kind, {})
    bound = [each.name for each in scenario.workload.operations if each.name in known and known[each.name].session]
    for index, phase in enumerate(scenario.phases):
        load = phase.load
        if bound and isinstance(load, (OpenLoad, ClosedLoad)) and not has_sessions(load):
            told = ", ".join(bound)
            yield Problem(f"$.phase[{index}].load", f"has no sessions, so that these are never asked for: {told}")


def _faults(scenario: Scenario) -> Iterator[Problem]:
    # Where the application is killed there is nobody left to come back.
    survivable = all(fault.kind != "app-kill" for fault in scenario.faults)
    if scenario.faults and survivable and not any(phase.heal for phase in scenario.phases):
        yield Problem("$.phase", "no phase has `heal = true`: nothing shows that the pool comes back by itself")
    begins = {phase.name: start for start, phase in starts(scenario)}
    for index, fault in enumerate(scenario.faults):
        expected = None if fault.expect is None else fault.expect.recover_within
        if fault.at.time is None or expected is None:
            continue
        last = begins.get(fault.at.phase or "", 0.0) + fault.at.time + expected
        if last > scenario.duration:
            text = f"the run is over after {scenario.duration:g} s, and the pool may take until {last:g} s to recover"
            yield Problem(f"$.fault[{index}].expect.recover_within", text)


def _expressions(scenario: Scenario) -> Iterator[Problem]:
    for index, objective in enumerate(scenario.objectives):
        for number, expression in enumerate(objective.require):
            path = f"$.slo[{index}].require[{number}]"
            yield from _sense(expression, path)
            if (count := _requests(scenario, objective.window)) is not None:
                yield from _sample(expression, count, path)
    for index, expression in enumerate(scenario.steady_state.require):
        yield from _sense(expression, f"$.steady_state.require[{index}]")
    for index, expression in enumerate(scenario.checks.sometimes):
        yield from _sense(expression, f"$.checkers.sometimes[{index}]")


def _requests(scenario: Scenario, window: str) -> float | None:
    """Return how many requests a window has, about; None where nobody knows."""
    if window.startswith("fault:"):
        return None
    phases = [phase for phase in scenario.phases if phase.name == window or (window == "all" and phase.measure)]
    count = sum(expected_requests(phase, scenario) for phase in phases)
    return count if math.isfinite(count) else None


def _sample(expression: Expression, count: float, path: str) -> Iterator[Problem]:
    for metric in expression.metrics:
        share = QUANTILES.get(metric.name.rpartition(".")[2])
        # Ten values beyond a percentile, or it is a matter of luck.
        if share is not None and count < (needed := round(10 / (1 - share))):
            text = f"about {count:.0f} requests are too few for {metric.name}, which needs {needed}: it will be unknown"
            yield Problem(path, text)


def _sense(expression: Expression, path: str) -> Iterator[Problem]:
    right = expression.right
    if metric_kind(expression.left.name).unit is Unit.SHARE and isinstance(right, float) and right > 1:
        always = expression.comparison in {Comparison.LESS, Comparison.AT_MOST, Comparison.UNEQUAL}
        told = f"{expression.left.name} is from 0 to 1, so that this is {'always' if always else 'never'} true"
        yield Problem(path, told)
    for metric in expression.metrics:
        head, _, name = metric.name.partition(".")
        if head == "error" and name not in dir(trio_pool):
            close = did_you_mean(name, [each for each in dir(trio_pool) if each[0].isupper()])
            if close.startswith("did"):
                yield Problem(path, f"the pool raises no {name}; {close}")
