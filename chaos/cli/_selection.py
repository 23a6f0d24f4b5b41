"""Which scenarios a command is about: names, files and groups, with what the command line changes in them."""

from __future__ import annotations

import re
import secrets
import tomllib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs

from ..scenario._reading import read_file, read_mapping, to_mapping
from ..scenario._shipped import resolve, shipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..scenario._model import Scenario

_STEP = re.compile(r"([A-Za-z_][\w-]*)|\[(\d+)\]|\.")


class BadSetting(ValueError):
    """A ``--set`` that cannot be carried out; the message says why."""


@attrs.frozen(kw_only=True)
class Chosen:
    """One scenario to carry out.

    Args:
        given: How the command line called it.
        scenario: What it is, with all settings.
        base: What the names in it are relative to.
        seed: What decides the rest.
    """

    given: str
    scenario: Scenario
    base: Path
    seed: int


def select(
    names: Sequence[str], settings: Sequence[str] = (), *, seed: int | None = None, repeat: int = 1
) -> Iterator[Chosen]:
    """Yield the scenarios of the command line, each as often as is asked for.

    Args:
        names: Names, files and groups.
        settings: What to change in each, as ``path=value``.
        seed: The first run's; None for the scenario's own, or one that is drawn.
        repeat: How often; every run beyond the first has the next seed.

    Raises:
        ScenarioError: A scenario has mistakes, or there is none of that name.
        BadSetting: A setting names nothing that there is.
    """
    for name in names:
        for path in resolve(name):
            scenario = changed(read_file(path), settings)
            # 32 bits: short enough to be read out over the telephone.
            first = next(each for each in (seed, scenario.seed, secrets.randbits(32)) if each is not None)
            for number in range(repeat):
                given = path.stem if path == shipped().get(path.stem) else str(path)
                yield Chosen(given=given, scenario=scenario, base=path.parent, seed=first + number)


def changed(scenario: Scenario, settings: Sequence[str]) -> Scenario:
    """Return a scenario with some of its values changed; as in a file, a value may be text such as ``30s``."""
    if not settings:
        return scenario
    mapping: Any = to_mapping(scenario)
    for setting in settings:
        path, equals, text = setting.partition("=")
        steps = _steps(path)
        if not (equals and steps):
            raise BadSetting(f"--set: {setting!r:.80} is not of the form path=value, as in pool.size=8")
        _put(mapping, steps, _value(text), path)
    return read_mapping(mapping, f"{scenario.name} with --set")


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


def _put(mapping: dict[str, Any], steps: Sequence[str | int], value: object, path: str) -> None:
    place: Any = mapping
    for step, following in pairwise(steps):
        if _is_table(place) and isinstance(step, str):
            # A table that the scenario leaves out may still be set; what it may hold, its reading says.
            place = place.setdefault(step, [] if isinstance(following, int) else {})
        elif _has(place, step):
            place = place[step]
        else:
            raise BadSetting(f"--set: the scenario has no {path}")
    last = steps[-1]
    if not (_is_table(place) and isinstance(last, str)) and not _has(place, last):
        raise BadSetting(f"--set: the scenario has no {path}")
    place[last] = value


def _is_table(place: Any) -> bool:
    return isinstance(place, dict)


def _has(place: Any, step: str | int) -> bool:
    if not isinstance(place, list) or not isinstance(step, int):
        return False
    return step < len(place)  # pyright: ignore[reportUnknownArgumentType]  # a list of whatever a scenario holds


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
