"""Plans as files: JSON, one visit or strike a line, the same bytes for the same plan; its SHA-256 is its name."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from ._converter import structure, unstructure
from ._model import ReplayLoad
from ._plan import Plan, Strike, Visit
from ._problems import Problem, ScenarioError, did_you_mean
from ._reading import read_mapping, to_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ._model import Scenario

_T = TypeVar("_T")

SCHEMA = 1

_KEYS = ("schema", "seed", "scenario", "strikes", "visits")


def to_json(plan: Plan) -> str:
    """Return the plan as JSON."""
    head = {"schema": SCHEMA, "seed": plan.seed, "scenario": to_mapping(plan.scenario)}
    lines = [f'"{key}": {_canonical(value)}' for key, value in head.items()]
    for key, items in (("strikes", plan.strikes), ("visits", plan.visits)):
        rows = ",\n".join(f"  {_canonical(unstructure(item))}" for item in items)
        lines.append(f'"{key}": [\n{rows}\n]' if rows else f'"{key}": []')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def sha256(plan: Plan) -> str:
    """Return the plan's name: the SHA-256 of `to_json`, in hex."""
    return hashlib.sha256(to_json(plan).encode()).hexdigest()


def read_plan(text: str, source: str = "plan") -> Plan:
    """Read a plan back; it may have been cut down or edited meanwhile.

    Args:
        text: The JSON.
        source: What messages call it.

    Raises:
        ScenarioError: It is not JSON, or no plan; every mistake is in it.
    """
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise ScenarioError(source, [Problem("$", f"is not JSON: {exc}")]) from exc
    if not isinstance(data, dict):
        raise ScenarioError(source, [Problem("$", "is no plan: it must be an object")])
    table = cast("dict[str, object]", data)
    problems = [Problem(f"$.{key}", "is missing") for key in _KEYS if key not in table]
    problems += [Problem(f"$.{key}", f"is not known here; {did_you_mean(key, _KEYS)}") for key in table.keys() - _KEYS]
    if table.get("schema", SCHEMA) != SCHEMA:
        problems.append(Problem("$.schema", f"is {table['schema']}: this is a reader of schema {SCHEMA}"))
    if problems:
        raise ScenarioError(source, problems)
    seed, wrong = structure(table["seed"], int, "$.seed")
    problems += wrong
    scenario: Scenario | None = None
    if isinstance(table["scenario"], Mapping):
        try:
            scenario = read_mapping(cast("Mapping[str, object]", table["scenario"]), source)
        except ScenarioError as exc:
            problems += [Problem(f"$.scenario{error.path.removeprefix('$')}", error.text) for error in exc.errors]
    else:
        problems.append(Problem("$.scenario", "must be an object"))
    visits = _items(table["visits"], Visit, "$.visits", problems)
    strikes = _items(table["strikes"], Strike, "$.strikes", problems)
    if scenario is not None and not problems:
        plan = Plan(scenario=scenario, seed=seed, visits=visits, strikes=strikes)
        problems += _inconsistencies(plan)
        if not problems:
            return plan
    raise ScenarioError(source, problems)


def read_earlier(scenario: Scenario, base: Path) -> dict[str, Plan]:
    """Read the plans that a scenario's replay loads name, for `make_plan`.

    Args:
        scenario: Whose.
        base: The directory that relative names are relative to: the scenario's.

    Raises:
        ScenarioError: One cannot be read, or is no plan.
    """
    plans: dict[str, Plan] = {}
    for index, phase in enumerate(scenario.phases):
        if isinstance(phase.load, ReplayLoad):
            path = base / phase.load.run
            path = path / "plan.json" if path.is_dir() else path
            try:
                plans[phase.load.run] = read_plan(path.read_text("utf-8"), str(path))
            except (OSError, UnicodeDecodeError) as exc:
                problem = Problem(f"$.phase[{index}].load.run", f"cannot be read: {exc}")
                raise ScenarioError(scenario.name, [problem]) from exc
    return plans


def _items(data: object, kind: type[_T], path: str, problems: list[Problem]) -> tuple[_T, ...]:
    if not isinstance(data, Sequence) or isinstance(data, str):
        problems.append(Problem(path, "must be a list"))
        return ()
    items: list[_T] = []
    for index, item in enumerate(cast("Sequence[object]", data)):
        read, wrong = structure(item, kind, f"{path}[{index}]")
        items.append(read)
        problems += wrong
    return tuple(items)


def _inconsistencies(plan: Plan) -> Iterator[Problem]:
    """Yield what contradicts itself; a plan that was cut down has gaps in its numbers, and that is all right."""
    phases = {phase.name for phase in plan.scenario.phases}
    faults = {fault.name for fault in plan.scenario.faults}
    requests = Counter(request.index for visit in plan.visits for request in visit.requests)
    for index, times in requests.items():
        if times > 1:
            yield Problem("$.visits", f"{times} requests have the index {index}")
    for number, visit in enumerate(plan.visits):
        path = f"$.visits[{number}]"
        if visit.phase not in phases:
            yield Problem(f"{path}.phase", f"there is no phase {visit.phase!r}")
        if not visit.requests:
            yield Problem(f"{path}.requests", "is empty: a visit has at least one request")
        for place, request in enumerate(visit.requests):
            if not _is_nonce(request.nonce):
                here = f"{path}.requests[{place}].nonce"
                yield Problem(here, f"must be 16 hex digits, not {request.nonce!r}")
    for number, strike in enumerate(plan.strikes):
        path = f"$.strikes[{number}]"
        if strike.fault not in faults:
            yield Problem(f"{path}.fault", f"there is no fault {strike.fault!r}; {did_you_mean(strike.fault, faults)}")
        for name in ("choice", "offset"):
            value: float = getattr(strike, name)
            if value >= 1:
                yield Problem(f"{path}.{name}", f"must be below 1, not {value:g}")


def _is_nonce(text: str) -> bool:
    return len(text) == 16 and all(digit in "0123456789abcdef" for digit in text)


def _canonical(value: object) -> str:
    return json.dumps(_plain(value), sort_keys=True, separators=(", ", ": "), allow_nan=False)


def _plain(value: object) -> object:
    """Make one of what is equal: whole numbers lose their point; infinity, which JSON has not, becomes a text."""
    if isinstance(value, float):
        return "inf" if math.isinf(value) else int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast("Mapping[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    return value
