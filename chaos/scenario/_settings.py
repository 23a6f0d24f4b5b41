"""Single values of a scenario changed, by their path: ``pool.size``, ``phase[0].duration``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from ._problems import Problem, ScenarioError
from ._reading import read_mapping, to_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._model import Scenario

_STEP = re.compile(r"([A-Za-z_][\w-]*)|\[(\d+)\]|\.")


def changed(scenario: Scenario, settings: Iterable[tuple[str, object]]) -> Scenario:
    """Return a scenario with some of its values changed; as in a file, a value may be text such as ``30s``.

    Args:
        scenario: What to change.
        settings: Paths, as a file calls its parts, and values.

    Raises:
        ScenarioError: A path leads nowhere, or the scenario has mistakes now.
    """
    pairs = list(settings)
    if not pairs:
        return scenario
    mapping: Any = to_mapping(scenario)
    for path, value in pairs:
        steps = _steps(path)
        if not steps or not _put(mapping, steps, _plain(value)):
            raise ScenarioError(scenario.name, [Problem(f"$.{path}", f"the scenario has no {path}")])
    return read_mapping(mapping, f"{scenario.name} with settings")


def _plain(value: object) -> object:
    """Return a value as TOML would give it."""
    return list(cast("Sequence[object]", value)) if isinstance(value, tuple) else value


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    position = 0
    for found in _STEP.finditer(path):
        if found.start() != position:
            return []
        position = found.end()
        if found[1] is not None:
            steps.append(found[1])
        elif found[2] is not None:
            steps.append(int(found[2]))
    return steps if position == len(path) else []


def _put(mapping: dict[str, Any], steps: Sequence[str | int], value: object) -> bool:
    """Put a value in its place; return whether there is one."""
    place: Any = mapping
    for step, following in pairwise(steps):
        if _is_table(place) and isinstance(step, str):
            # A table that the scenario leaves out may still be set; what it may hold, its reading says.
            place = place.setdefault(step, [] if isinstance(following, int) else {})
        elif _has(place, step):
            place = place[step]
        else:
            return False
    last = steps[-1]
    if not (_is_table(place) and isinstance(last, str)) and not _has(place, last):
        return False
    place[last] = value
    return True


def _is_table(place: Any) -> bool:
    return isinstance(place, Mapping)


def _has(place: Any, step: str | int) -> bool:
    if not isinstance(place, list) or not isinstance(step, int):
        return False
    return step < len(place)  # pyright: ignore[reportUnknownArgumentType]  # a list of whatever a scenario holds
