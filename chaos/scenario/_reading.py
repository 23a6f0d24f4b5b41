"""Reading scenarios: from TOML or plain data to a `Scenario`, with everything that is wrong said at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, get_args

import attrs

from trio_pool import PoolConfig

from ._converter import NAMES, key_of, structure, unstructure
from ._model import SCHEMA, Scenario
from ._pool_table import pool_from, pool_to
from ._problems import Problem, ScenarioError, did_you_mean
from ._validation import Names, errors_of

if TYPE_CHECKING:
    from pathlib import Path

_LISTS = {"phases", "faults", "objectives"}
"""Read item by item: one that is wrong hides no mistake of the others."""

_EMPTY = Scenario(name="", phases=(), pool=PoolConfig())

_GIT_HASH = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)


def read_file(path: Path) -> Scenario:
    """Read a scenario from a file of TOML.

    Raises:
        OSError: It cannot be read.
        ScenarioError: It is not TOML, or no scenario; every mistake is in it.
    """
    return read_toml(path.read_text("utf-8"), str(path))


def read_toml(text: str, source: str = "scenario") -> Scenario:
    """Read a scenario from a text of TOML.

    Args:
        text: The TOML.
        source: What messages call it.

    Raises:
        ScenarioError: It is not TOML, or no scenario; every mistake is in it.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ScenarioError(source, [Problem("$", f"is not TOML: {exc}")]) from exc
    return read_mapping(data, source)


def read_mapping(data: Mapping[str, object], source: str = "scenario") -> Scenario:
    """Read a scenario from plain data, as TOML gives it.

    Args:
        data: The top level.
        source: What messages call it.

    Raises:
        ScenarioError: It is no scenario; every mistake is in it.
    """
    attrs.resolve_types(Scenario, None, {**NAMES, "PoolConfig": object})
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    places: dict[str, list[int]] = {}
    fields = attrs.fields_dict(Scenario)
    keys = {key_of(Scenario, name): name for name in fields}
    problems += [
        Problem(f"$.{key}", f"is not known here; {did_you_mean(key, keys)}") for key in data if key not in keys
    ]
    for key, name in keys.items():
        if key not in data:
            if key == "name":
                problems.append(Problem(f"$.{key}", "is missing"))
            continue
        if name in _LISTS:
            values[name], places[key], wrong = _list(fields[name].type, data[key], f"$.{key}")
        else:
            values[name], wrong = _field(name, fields[name].type, data[key], f"$.{key}")
        problems += wrong
    if values.get("schema", SCHEMA) not in {None, SCHEMA}:
        problems.append(Problem("$.schema", f"is {values['schema']}: this is a reader of schema {SCHEMA}"))
    # What could not be read is at its default, so that what could be is still looked at; only whole scenarios leave.
    scenario = attrs.evolve(_EMPTY, **{name: value for name, value in values.items() if value is not None})
    problems += errors_of(scenario, Names.of(data, places))
    if problems:
        raise ScenarioError(source, problems)
    return scenario


def checked(scenario: Scenario) -> Scenario:
    """Return a scenario that was built in Python as it would be read from its file, if it makes sense.

    A run is made from its files alone, so what is planned must be what they will say.

    Raises:
        ScenarioError: It does not; every mistake is in it.
    """
    try:
        mapping = to_mapping(scenario)
    except (AttributeError, TypeError) as exc:
        problem = Problem("$", f"holds what its classes have no place for: {exc}")
        raise ScenarioError(scenario.name, [problem]) from exc
    return read_mapping(mapping, scenario.name)


def to_mapping(scenario: Scenario) -> dict[str, object]:
    """Return plain data that `read_mapping` reads back as the same scenario; what is at its default is left out."""
    mapping: dict[str, object] = {}
    for field in attrs.fields(Scenario):
        value: object = getattr(scenario, field.name)
        if value == getattr(_EMPTY, field.name) and field.name not in {"schema", "name", "phases"}:
            continue
        if field.name == "pool":
            plain: object = pool_to(scenario.pool)
        elif field.name in _LISTS:
            plain = [unstructure(item) for item in cast("Sequence[object]", value)]
        elif field.name == "seed":
            # Beyond 64 bits an integer is not for every reader of TOML.
            plain = value if scenario.seed is None or scenario.seed < 2**63 else f"{scenario.seed:040x}"
        else:
            plain = unstructure(value)
        mapping[key_of(Scenario, field.name)] = plain
    # In the order people read: what it is, then the pool, the load and the faults.
    first = ("schema", "name", "summary", "tags", "seed", "pool", "workload", "phase", "fault")
    return {key: mapping[key] for key in (*first, *(key for key in mapping if key not in first)) if key in mapping}


def read_seed(value: object) -> int:
    """Return a seed: a whole number from 0 on, as number or text, or the 40 hex digits of a Git commit.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        if _GIT_HASH.fullmatch(value):
            return int(value, 16)
        if value.isascii() and value.isdecimal():
            return int(value)
    raise ValueError(f"must be a whole number from 0 on, or the 40 hex digits of a Git commit, not {value!r}")


def _field(name: str, kind: object, value: object, path: str) -> tuple[Any, list[Problem]]:
    """Read one field of the top level."""
    if name == "pool":
        return pool_from(value, path)
    if name == "seed":
        try:
            return read_seed(value), []
        except ValueError as exc:
            return None, [Problem(path, str(exc))]
    return structure(value, kind, path)


def _list(kind: object, value: object, path: str) -> tuple[Any, list[int], list[Problem]]:
    """Read a list of the top level: what could be read, where that stood, and what is wrong."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None, [], [Problem(path, f"must be a list of tables, [[{path.removeprefix('$.')}]], not {value!r}")]
    items: list[object] = []
    places: list[int] = []
    problems: list[Problem] = []
    for index, item in enumerate(cast("Sequence[object]", value)):
        read, wrong = structure(item, get_args(kind)[0], f"{path}[{index}]")
        problems += wrong
        if not wrong:
            items.append(read)
            places.append(index)
    return tuple(items), places, problems
