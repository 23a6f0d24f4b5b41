"""Finding scenarios: those that come with the harness, by name or by group, and files of one's own."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ._problems import Problem, ScenarioError, did_you_mean
from ._reading import read_file
from ._settings import changed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from ._model import Scenario

_HOME = Path(__file__).parent.parent / "scenarios"


def shipped() -> Mapping[str, Path]:
    """Return the files of the scenarios that come with the harness, by name."""
    return {path.stem: path for path in sorted(_HOME.glob("*.toml"), key=lambda path: _natural(path.stem))}


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which kill-w2 comes before kill-w10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def groups() -> Mapping[str, tuple[str, ...]]:
    """Return the names of the shipped scenarios by their tags, as ``smoke`` and ``nightly``."""
    found: dict[str, list[str]] = {}
    for name, path in shipped().items():
        # Not read as scenarios: one that is wrong must not hide the others.
        head: Mapping[str, Any] = tomllib.loads(path.read_text("utf-8"))
        for tag in cast("list[str]", head.get("tags", [])):
            found.setdefault(tag, []).append(name)
    return {tag: tuple(names) for tag, names in sorted(found.items())}


def resolve(name: str) -> tuple[Path, ...]:
    """Return the files that a word of the command line means.

    Args:
        name: A file's path, if it has a slash or ends in ``.toml``; else a shipped scenario's name, or a group's.

    Raises:
        ScenarioError: There is none; the message says what was probably meant.
    """
    if "/" in name or name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise ScenarioError(name, [Problem("$", "there is no such file")])
        return (path,)
    known, tags = shipped(), groups()
    if name in known:
        return (known[name],)
    if name in tags:
        return tuple(known[each] for each in tags[name])
    # Half a hundred names in a line help nobody.
    there_are = "`list scenarios` tells which there are; a file's name has a slash or ends in .toml"
    told = did_you_mean(name, [*known, *tags], otherwise=there_are)
    raise ScenarioError(name, [Problem("$", f"there is no scenario and no group of that name; {told}")])


def shipped_scenarios() -> Mapping[str, Scenario]:
    """Return the scenarios that come with the harness, by name.

    The files are read anew at each call: a fraction of a second.
    """
    return {name: read_file(path) for name, path in shipped().items()}


def read_scenario(source: str | PathLike[str], settings: Mapping[str, object] | None = None) -> Scenario:
    """Return one scenario, by its name or from its file.

    Args:
        source: The name of one that comes with the harness; or a file of TOML, as a path, or as text that has a slash
            or ends in ``.toml``.
        settings: What to change in it, by path, and as a file would say it: ``{"pool.size": 2,
            "phase[0].duration": "1s"}``.

    Raises:
        ScenarioError: There is none of that name, it is a group of several, a setting leads nowhere, or the scenario
            has mistakes: all of them are in it, each with its place.
        OSError: The file cannot be read.
    """
    if isinstance(source, str):
        path, *others = resolve(source)
        if others:
            told = ", ".join(each.stem for each in (path, *others))
            raise ScenarioError(source, [Problem("$", f"is a group of scenarios; name one of them: {told}")])
    else:
        path = Path(source)
    return changed(read_file(path), (settings or {}).items())
