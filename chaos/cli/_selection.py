"""Which scenarios a command is about: names, files and groups, with what the command line changes in them."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import attrs

from .._experiment import choose_seed
from ..scenario._reading import read_file
from ..scenario._settings import changed
from ..scenario._shipped import resolve, shipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ..scenario._model import Scenario


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
        BadSetting: A setting is not of the form that it must have.
    """
    for name in names:
        for path in resolve(name):
            scenario = changed(read_file(path), _pairs(settings))
            first = choose_seed(scenario, seed)
            for number in range(repeat):
                given = path.stem if path == shipped().get(path.stem) else str(path)
                yield Chosen(given=given, scenario=scenario, base=path.parent, seed=first + number)


def _pairs(settings: Sequence[str]) -> Iterator[tuple[str, object]]:
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not (equals and path):
            raise BadSetting(f"--set: {setting!r:.80} is not of the form path=value, as in pool.size=8")
        yield path, _value(text)


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
