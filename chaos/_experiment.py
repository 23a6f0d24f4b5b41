"""An experiment: a scenario carried out in a directory of its own, and judged by what it left there.

Carrying out and judging are apart: `carry_out` leaves a directory, and `analyze` reads one, whoever made it and however
far it came.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from ._about import environment
from ._output import writing
from .checking._table import check_all
from .evidence._evidence import read_evidence
from .reporting._reports import Reports
from .running._control import watch_over
from .scenario._make_plan import make_plan as plan_from
from .scenario._plan_file import read_earlier, to_json
from .scenario._plan_file import read_plan as plan_from_json
from .scenario._reading import checked, read_seed
from .scenario._toml import to_toml

if TYPE_CHECKING:
    from os import PathLike

    from .running._lines import Viewer
    from .scenario._model import Scenario
    from .scenario._plan import Plan

RUNS = Path("chaos-runs")
"""Where runs go that are given no directory."""


def directory_for(scenario: str, seed: int, base: Path = RUNS) -> Path:
    """Return the directory of a run that begins now."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return base / scenario / f"{stamp}-{seed}"


def make_plan(scenario: Scenario, seed: int | str | None = None, *, base: str | PathLike[str] = ".") -> Plan:
    """Decide everything that chance decides: the same plan for the same scenario and seed, on any machine.

    Nothing is started and nothing is written. The plan is plain data, which may be looked at, cut down with
    `attrs.evolve`, and carried out again and again.

    Args:
        scenario: What is to happen; read, or built in Python.
        seed: The source of all chance: a whole number from 0 on, or the 40 hex digits of a Git commit. None for the
            scenario's own, or if it has none, one that is drawn; `Plan.seed` has it.
        base: The directory that names of earlier runs are relative to, for loads that are replayed.

    Raises:
        ScenarioError: The scenario has mistakes, all of which are in it; or an earlier run that it names cannot be
            read.
        ValueError: The seed is none.
    """
    sound = checked(scenario)
    return plan_from(sound, choose_seed(sound, seed), read_earlier(sound, Path(base)))


def choose_seed(scenario: Scenario, seed: int | str | None = None) -> int:
    """Return the seed of a run: what is given, else the scenario's own, else one that is drawn.

    Raises:
        ValueError: What is given is no seed.
    """
    if seed is not None:
        return read_seed(seed)
    # 32 bits: short enough to be read out over the telephone.
    return secrets.randbits(32) if scenario.seed is None else scenario.seed


def read_plan(path: str | PathLike[str]) -> Plan:
    """Read the plan of an earlier run, to carry it out again; it may have been edited meanwhile.

    Args:
        path: The run's directory, or its ``plan.json``.

    Raises:
        OSError: It cannot be read.
        ScenarioError: It is no plan, or contradicts itself; all mistakes are in it.
    """
    place = Path(path)
    file = place / "plan.json" if place.is_dir() else place
    return plan_from_json(file.read_text(encoding="utf-8"), str(file))


def carry_out(plan: Plan, directory: Path, *, target: str = "trio_pool", replay: str = "", viewer: Viewer) -> None:
    """Carry out a plan, and leave what it came to in a directory; this process is then the one that watches over it.

    Ctrl-C and SIGTERM end the load, heal, drain and close, and what there is until then stays in the directory.

    Args:
        plan: What to do.
        directory: An empty one, or one that is made.
        target: The kind of pool.
        replay: The command that does the same again, for the record.
        viewer: Shows the run.

    Raises:
        CannotWrite: A file could not be written.
    """
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("scenario.toml", to_toml(plan.scenario)),
        ("plan.json", to_json(plan)),
        ("env.json", json.dumps(dict(environment()), indent=2) + "\n"),
    ):
        path = directory / name
        with writing(path):
            path.write_text(text, encoding="utf-8")
    _name_latest(directory)
    trio.run(partial(watch_over, plan, directory, target=target, replay=replay, viewer=viewer))
    shutil.rmtree(directory / "orders", ignore_errors=True)


def analyze(directory: str | PathLike[str]) -> Reports:
    """Judge a run by the files in its directory, as far as they go; nothing is written.

    Whoever made the run and however it ended: one that was interrupted, whose application crashed, or whose harness was
    killed has left files too. What they do not prove is unknown, never a pass. It may take as long as the history is
    large: about a second for ten thousand requests.

    Args:
        directory: Of the run.

    Raises:
        NoEvidence: The directory holds no run that can be read.
    """
    evidence = read_evidence(Path(directory))
    return Reports(evidence, check_all(evidence))


def _name_latest(directory: Path) -> None:
    """Point ``latest`` beside the directory to it; where links cannot be had, there is none."""
    link = directory.parent / "latest"
    if directory.parent.parent.name != RUNS.name:
        return
    fresh = link.with_name(f".latest-{os.getpid()}")
    with suppress(OSError):
        fresh.symlink_to(directory.name)
        fresh.replace(link)
