"""What makes no sense in a scenario whose every part is well-formed: the mistakes."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import attrs

from ._expected import expected_requests, expected_strikes
from ._fault_validation import Context, fault_errors
from ._metrics import metric_kind
from ._model import ClosedLoad, NoLoad, OpenLoad, PartlyOpenLoad, ReplayLoad
from ._pool_table import REFUSED
from ._problems import Problem, did_you_mean
from ._workloads import CUSTOM, WORKLOADS, operations_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._expressions import Expression
    from ._model import Operation, Phase, Scenario

CHECKERS = tuple(f"C{number}" for number in range(1, 28))

MOST_REQUESTS = 2_000_000
"""In one plan: it is kept in memory, and a million requests take half a gigabyte."""

MOST_STRIKES = 100_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@attrs.frozen
class Names:
    """The names that a scenario's source gives, also to what could not be read, so that one mistake makes no second.

    Args:
        phases: Of phases.
        faults: Of faults.
        places: Where, among those of the source, the phases, faults and objectives stand that could be read, by the
            source's word for them; where it is missing, all could be read.
        whole: Whether all phases could be read, so that it is known how long the run is.
    """

    phases: tuple[str, ...]
    faults: tuple[str, ...]
    places: Mapping[str, Sequence[int]] = attrs.field(factory=dict[str, "Sequence[int]"])
    whole: bool = True

    @classmethod
    def of(cls, data: Mapping[str, object], places: Mapping[str, Sequence[int]] | None = None) -> Names:
        """Collect them from plain data."""
        phases = _tables(data.get("phase", []))
        whole = phases is not None and len((places or {}).get("phase", phases)) == len(phases)
        return cls(_names(phases), _names(_tables(data.get("fault"))), places or {}, whole)

    def path(self, word: str, index: int) -> str:
        """Return the path of one of the parts that could be read."""
        places = self.places.get(word)
        return f"$.{word}[{index if places is None else places[index]}]"


def errors_of(scenario: Scenario, names: Names) -> list[Problem]:
    """Return all mistakes of what could be read."""
    return [
        *_head(scenario),
        *_phases(scenario, names),
        *_workload(scenario),
        *_faults(scenario, names),
        *_steady(scenario, names),
        *_objectives(scenario, names),
        *_checks(scenario, names),
        *_limits(scenario, names),
        *_volume(scenario, names),
    ]


def _tables(data: object) -> Sequence[object] | None:
    return cast("Sequence[object]", data) if isinstance(data, Sequence) and not isinstance(data, str) else None


def _names(items: Sequence[object] | None) -> tuple[str, ...]:
    tables = [cast("Mapping[str, object]", item) for item in items or () if isinstance(item, Mapping)]
    return tuple(str(table["name"]) for table in tables if "name" in table)


def _head(scenario: Scenario) -> Iterator[Problem]:
    # Empty stands for a name that could not be read.
    if scenario.name and not _NAME.fullmatch(scenario.name):
        yield Problem("$.name", f"must be letters, digits, - and _, as of a directory, not {scenario.name!r}")
    for index, tag in enumerate(scenario.tags):
        if not _NAME.fullmatch(tag):
            yield Problem(f"$.tags[{index}]", f"must be letters, digits, - and _, not {tag!r}")
    for name, why in REFUSED.items():
        if getattr(scenario.pool, name) is not None:
            yield Problem(f"$.pool.{name}", f"cannot be set here: {why}")
    if scenario.seed is not None and scenario.seed < 0:
        yield Problem("$.seed", f"must be a whole number from 0 on, not {scenario.seed}")


def _phases(scenario: Scenario, names: Names) -> Iterator[Problem]:
    if not scenario.phases and names.whole:
        yield Problem("$.phase", "is empty: a run has at least one phase")
    for name, count in Counter(names.phases).items():
        if count > 1:
            yield Problem("$.phase", f"{count} phases are called {name!r}: names are unique")
    for index, phase in enumerate(scenario.phases):
        path = names.path("phase", index)
        if not _NAME.fullmatch(phase.name) or phase.name == "all":
            yield Problem(f"{path}.name", f"must be letters, digits, - and _, and not `all`, not {phase.name!r}")
        yield from _above(path, phase, "duration")
        yield from _load(phase, scenario, f"{path}.load")


def _load(phase: Phase, scenario: Scenario, path: str) -> Iterator[Problem]:
    load = phase.load
    match load:
        case OpenLoad():
            yield from _above(path, load, "rate", "max_in_flight")
        case PartlyOpenLoad():
            yield from _above(path, load, "session_rate", "max_in_flight")
        case ClosedLoad():
            yield from _above(path, load, "users")
        case ReplayLoad():
            yield from _above(path, load, "max_in_flight")
        case NoLoad():
            pass
    if isinstance(load, (OpenLoad, PartlyOpenLoad, ClosedLoad)):
        sessions = has_sessions(load)
        if not operations_of(scenario.workload, sessions=sessions):
            why = "" if sessions else " that works without a session, and this load has none"
            yield Problem(path, f"has nothing to send: there is no operation{why}")


def has_sessions(load: OpenLoad | PartlyOpenLoad | ClosedLoad) -> bool:
    """Tell whether the requests of a load have sessions."""
    return isinstance(load, PartlyOpenLoad) or (isinstance(load, ClosedLoad) and load.sessions)


def _workload(scenario: Scenario) -> Iterator[Problem]:
    workload, path = scenario.workload, "$.workload"
    known = WORKLOADS.get(workload.kind)
    if known is None:
        own = re.fullmatch(rf"{CUSTOM}[A-Za-z_][\w.]*:[A-Za-z_]\w*", workload.kind)
        if own is None:
            told = did_you_mean(workload.kind, [*WORKLOADS, "python:package.module:attribute"])
            yield Problem(f"{path}.kind", f"there is no workload {workload.kind!r}; {told}")
        elif not workload.operations:
            yield Problem(f"{path}.op", "is missing: the operations of a workload of your own must be named")
    for name, count in Counter(operation.name for operation in workload.operations).items():
        if count > 1:
            yield Problem(f"{path}.op", f"{count} operations are called {name!r}: names are unique")
    for index, operation in enumerate(workload.operations):
        here = f"{path}.op[{index}]"
        yield from _operation(operation, here)
        if known is None:
            continue
        kind = known.get(operation.name)
        if kind is None:
            told = did_you_mean(operation.name, known)
            yield Problem(f"{here}.name", f"{workload.kind} has no operation {operation.name!r}; {told}")
            continue
        if operation.idempotent and not kind.repeatable:
            yield Problem(f"{here}.idempotent", f"{operation.name} is not: running it twice changes the state twice")
        if operation.size is not None and not kind.sized:
            yield Problem(f"{here}.size", f"{operation.name} takes no size")


def _operation(operation: Operation, path: str) -> Iterator[Problem]:
    if not operation.name:
        yield Problem(f"{path}.name", "must not be empty")
    if not 0 <= operation.weight < math.inf:
        yield Problem(f"{path}.weight", f"must be finite and not below 0, not {operation.weight:g}")
    if operation.timeout is not None:
        yield from _above(path, operation, "timeout")
    if not 0 <= operation.cancel <= 1:
        yield Problem(f"{path}.cancel", f"must be from 0 to 1, not {operation.cancel:g}")
    if operation.cancel and operation.patience is None:
        yield Problem(f"{path}.patience", "is missing: when do those callers give up?")
    if operation.patience is not None and not operation.cancel:
        yield Problem(f"{path}.patience", "is never used: `cancel` says that nobody gives up")


def _faults(scenario: Scenario, names: Names) -> Iterator[Problem]:
    for name, count in Counter(names.faults).items():
        if count > 1:
            yield Problem("$.fault", f"{count} faults are called {name!r}: names are unique")
    context = Context(scenario.phases, names.phases, names.whole, scenario.pool.size, names.faults)
    for index, fault in enumerate(scenario.faults):
        path = names.path("fault", index)
        if not _NAME.fullmatch(fault.name):
            yield Problem(f"{path}.name", f"must be letters, digits, - and _, not {fault.name!r}")
        yield from fault_errors(fault, context, path)


def _steady(scenario: Scenario, names: Names) -> Iterator[Problem]:
    steady, path = scenario.steady_state, "$.steady_state"
    yield from _above(path, steady, "sample_every")
    for name in ("before", "after"):
        yield from _above(f"{path}.{name}", getattr(steady, name), "within")
    for index, expression in enumerate(steady.require):
        yield from expression_errors(expression, names.faults, f"{path}.require[{index}]", live=True)


def _objectives(scenario: Scenario, names: Names) -> Iterator[Problem]:
    windows = ["all", *names.phases, *(f"fault:{name}" for name in names.faults)]
    for index, objective in enumerate(scenario.objectives):
        path = names.path("slo", index)
        if objective.window not in windows:
            told = did_you_mean(objective.window, windows)
            yield Problem(f"{path}.window", f"there is no window {objective.window!r}; {told}")
        if not objective.require:
            yield Problem(f"{path}.require", "is empty: an objective requires something")
        for number, expression in enumerate(objective.require):
            yield from expression_errors(expression, names.faults, f"{path}.require[{number}]", live=False)


def _checks(scenario: Scenario, names: Names) -> Iterator[Problem]:
    checks = scenario.checks
    for index, checker in enumerate(checks.disable):
        if checker not in CHECKERS:
            path = f"$.checkers.disable[{index}]"
            yield Problem(path, f"there is no checker {checker!r}; they are C1 to {CHECKERS[-1]}")
    for index, expression in enumerate(checks.sometimes):
        path = f"$.checkers.sometimes[{index}]"
        yield from expression_errors(expression, names.faults, path, live=None)
    if not checks.fairness >= 1:
        yield Problem("$.checkers.fairness", f"is a ratio of the larger to the smaller, not {checks.fairness:g}")


def _limits(scenario: Scenario, names: Names) -> Iterator[Problem]:
    limits, size = scenario.limits, scenario.pool.size
    if size is not None and scenario.faults and limits.min_live_workers >= size:
        text = f"no fault may ever strike: {limits.min_live_workers} of {size} workers must be left"
        yield Problem("$.limits.min_live_workers", text)
    if limits.max_concurrent_faults < 1:
        yield Problem("$.limits.max_concurrent_faults", "must be at least 1")
    if names.whole and limits.wall_clock <= scenario.duration:
        text = f"{limits.wall_clock:g} s are over before the phases are, which take {scenario.duration:g} s"
        yield Problem("$.limits.wall_clock", text)


def _volume(scenario: Scenario, names: Names) -> Iterator[Problem]:
    """Yield what would make a plan that nobody could hold."""
    for index, phase in enumerate(scenario.phases):
        # Users of the closed model go round what is planned for them.
        count = 0.0 if isinstance(phase.load, (ClosedLoad, ReplayLoad)) else expected_requests(phase, scenario)
        if math.isfinite(count) and count > MOST_REQUESTS:
            text = f"comes to about {count:.3g} requests: a plan holds {MOST_REQUESTS:,}"
            yield Problem(f"{names.path('phase', index)}.load", text)
    for index, fault in enumerate(scenario.faults):
        strikes = expected_strikes(fault, scenario)
        if math.isfinite(strikes) and strikes > MOST_STRIKES:
            text = f"comes to about {strikes:.3g} strikes: a plan holds {MOST_STRIKES:,}"
            yield Problem(f"{names.path('fault', index)}.at", text)


def expression_errors(
    expression: Expression, faults: Sequence[str], path: str, *, live: bool | None
) -> Iterator[Problem]:
    """Yield what is wrong with an expression at its place.

    Args:
        expression: Which.
        faults: The names of all faults.
        path: Its place.
        live: Whether it must be known while the run goes on, or of a whole window; None for either.
    """
    for metric in expression.metrics:
        kind = metric_kind(metric.name)
        if live is True and not kind.live:
            yield Problem(path, f"{metric.name} is known only afterwards")
        if live is False and not kind.windowed:
            yield Problem(path, f"{metric.name} changes from moment to moment: ask for {metric.name}.max or the like")
        start, _, rest = metric.name.partition(".")
        fault = rest.rpartition(".")[0]
        if start == "fault" and fault not in faults:
            yield Problem(path, f"there is no fault {fault!r}; {did_you_mean(fault, faults)}")


def _above(path: str, part: object, *names: str) -> Iterator[Problem]:
    """Yield a problem for each field that is not a finite number above 0."""
    for name in names:
        value: float = getattr(part, name)
        if not 0 < value < math.inf:
            yield Problem(f"{path}.{name}", f"must be above 0 and finite, not {value:g}")
