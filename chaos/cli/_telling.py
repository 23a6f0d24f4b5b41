"""The commands that tell and touch nothing: ``plan``, ``validate``, ``list``, ``explain``, ``new``, ``schema``,
``doctor``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .._exits import EXIT_PASS, EXIT_USAGE
from .._experiment import make_plan
from .._output import Console
from .._program import complain
from ..scenario._catalogue import explain as explain_fault
from ..scenario._catalogue import fault_kinds
from ..scenario._drawing import draw
from ..scenario._metrics import METRICS
from ..scenario._plan_file import to_json
from ..scenario._problems import ScenarioError, did_you_mean
from ..scenario._reading import read_file, read_toml
from ..scenario._schema import json_schema
from ..scenario._shipped import groups, resolve, shipped
from ..scenario._templates import TEMPLATES, template
from ..scenario._trace_points import HOLD_LIMIT, TRACE_POINTS, TracePoint, Waits
from ..scenario._warnings import warnings_of
from ..scenario._workloads import WORKLOADS
from ..workload._work import check_work
from ._selection import select

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    Rows = Iterator[tuple[str, str]]


def plan(arguments: argparse.Namespace) -> int:
    """Print what scenarios and a seed amount to."""
    console = Console(plain=True)
    for number, each in enumerate(select(arguments.scenarios, arguments.settings, seed=arguments.seed)):
        made = make_plan(each.scenario, each.seed, base=each.base)
        if arguments.json:
            console.write(to_json(made))
            continue
        if number:
            console.say()
        for line in draw(made, console.width):
            console.say(line)
    return EXIT_PASS


def validate(arguments: argparse.Namespace) -> int:
    """Print what is wrong with scenarios, and what is doubtful; return the code of wrong usage if anything is wrong."""
    console = Console(plain=True)
    code = EXIT_PASS
    for name in arguments.scenarios:
        for path in resolve(name):
            try:
                scenario = read_file(path)
                check_work(scenario)
            except ScenarioError as exc:
                code = EXIT_USAGE
                for error in exc.errors:
                    console.say(f"error    {path}: {error}")
                continue
            except OSError as exc:
                complain(f"cannot read {path}: {exc.strerror}")
                code = EXIT_USAGE
                continue
            doubts = warnings_of(scenario)
            for doubt in doubts:
                console.say(f"warning  {path}: {doubt}")
            if not doubts:
                console.say(f"ok       {path}")
    return code


def list_(arguments: argparse.Namespace) -> int:
    """Print what there is of one sort."""
    console = Console(plain=True)
    rows = list(_LISTS[arguments.what]())
    width = max(len(name) for name, _about in rows)
    for name, about in rows:
        console.say(f"{name:<{width}}  {about}".rstrip())
    return EXIT_PASS


def explain(arguments: argparse.Namespace) -> int:
    """Print all there is to know about a kind of fault, a checker or a trace point."""
    from ..checking._guarantees import GUARANTEES
    from ..checking._table import CHECKERS

    console = Console(plain=True)
    checker = next((each for each in CHECKERS if each.number == arguments.what.upper()), None)
    if checker is not None:
        console.say(f"{checker.number} {checker.name}: {checker.rule}")
        if checker.guarantee is not None:
            console.say(f"  Watches over guarantee {checker.guarantee}, {GUARANTEES[checker.guarantee]}")
        looked = [kind for kind, cls in fault_kinds().items() if checker.number in cls.checks]
        if looked:
            console.say(f"  Looks at what came of: {', '.join(looked)}")
        return EXIT_PASS
    if arguments.what in TRACE_POINTS:
        for line in _about(TRACE_POINTS[arguments.what]):
            console.say(line)
        return EXIT_PASS
    if arguments.what not in fault_kinds():
        known = (*fault_kinds(), *TRACE_POINTS, *(each.number for each in CHECKERS))
        told = did_you_mean(arguments.what, known)
        complain(f"there is no fault, no checker and no trace point {arguments.what!r:.80}; {told}")
        return EXIT_USAGE
    for line in explain_fault(arguments.what, console.width):
        console.say(line)
    return EXIT_PASS


def _about(point: TracePoint) -> Iterator[str]:
    yield f"{point.name}: {point.meaning}."
    if point.waits is Waits.NOTHING:
        yield "  Nothing stands still there: the fault strikes as soon as the harness has seen it."
    else:
        yield f"  Until the fault has struck, {point.waits} stands still, for {HOLD_LIMIT:g} s at the most."
    yield f"  A trigger may match: {', '.join(point.fields)}"
    yield f"  For a fault that hits who came to it (trigger = true), state must be {' or '.join(sorted(point.states))}"
    if point.window is not None:
        yield f"  The kill window {point.window} is a death at this moment."


def new(arguments: argparse.Namespace) -> int:
    """Print a scenario to begin with."""
    try:
        text = template(arguments.name, arguments.template)
        read_toml(text, arguments.name)
    except ScenarioError as exc:
        complain(f"{exc.errors[0]}")
        return EXIT_USAGE
    except ValueError as exc:
        complain(str(exc))
        return EXIT_USAGE
    Console(plain=True).write(text)
    return EXIT_PASS


def schema(_arguments: argparse.Namespace) -> int:
    """Print the JSON Schema of scenarios."""
    Console(plain=True).write(json.dumps(json_schema(), indent=2) + "\n")
    return EXIT_PASS


def doctor(arguments: argparse.Namespace) -> int:
    """Print which faults can be had here; return 6 if some cannot."""
    from ..faults._doctor import diagnose

    console = Console(plain=True)
    diagnosis = diagnose()
    if arguments.json:
        console.write(json.dumps(diagnosis.data(), indent=2) + "\n")
    else:
        for line in diagnosis.lines():
            console.say(line)
    return EXIT_PASS if diagnosis.ok else 6


def _scenarios() -> Rows:
    for name, path in shipped().items():
        scenario = read_file(path)
        yield name, f"{scenario.summary} ({scenario.duration:g} s; {', '.join(scenario.tags)})"
    for tag, names in groups().items():
        yield tag, f"the group of {', '.join(names)}"


def _faults() -> Rows:
    for kind, cls in fault_kinds().items():
        yield kind, cls.summary


def _checkers() -> Rows:
    from ..checking._table import CHECKERS

    for checker in CHECKERS:
        about = "" if checker.guarantee is None else f" (guarantee {checker.guarantee})"
        yield checker.number, f"{checker.name}: {checker.rule}{about}"


def _points() -> Rows:
    for point in TRACE_POINTS.values():
        yield point.name, point.meaning


def _metrics() -> Rows:
    for metric in METRICS:
        yield metric.name, metric.meaning


def _workloads() -> Rows:
    for kind, operations in WORKLOADS.items():
        for name, operation in operations.items():
            yield f"{kind} {name}", operation.meaning
    yield "python:MODULE:ATTRIBUTE", "your own: see the documentation of the harness"


def _targets() -> Rows:
    from ..targets._registry import TARGETS

    for target in TARGETS.values():
        yield target.name, target.version
    yield "python:MODULE:ATTRIBUTE", "your own: see the documentation of the harness"


def _templates() -> Rows:
    for name, (about, *_rest) in TEMPLATES.items():
        yield name, about


_LISTS: Mapping[str, Callable[[], Rows]] = {
    "scenarios": _scenarios,
    "faults": _faults,
    "checkers": _checkers,
    "points": _points,
    "metrics": _metrics,
    "workloads": _workloads,
    "targets": _targets,
    "templates": _templates,
}
