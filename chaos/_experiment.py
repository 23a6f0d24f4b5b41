"""An experiment: a scenario carried out in a directory of its own, and judged by what it left there.

Carrying out and judging are apart: `carry_out` leaves a directory, and `analyze` reads one, whoever made it and however
far it came.
"""

from __future__ import annotations

import json
import os
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
from .scenario._make_plan import make_plan
from .scenario._plan_file import read_earlier, to_json
from .scenario._toml import to_toml

if TYPE_CHECKING:
    from .running._lines import Viewer
    from .scenario._model import Scenario
    from .scenario._plan import Plan

RUNS = Path("chaos-runs")
"""Where runs go that are given no directory."""


def directory_for(scenario: str, seed: int, base: Path = RUNS) -> Path:
    """Return the directory of a run that begins now."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return base / scenario / f"{stamp}-{seed}"


def plan_of(scenario: Scenario, seed: int, base: Path = Path()) -> Plan:
    """Return the plan of a scenario and a seed.

    Args:
        scenario: What is to happen.
        seed: What decides the rest.
        base: What names of earlier runs are relative to, for loads that are replayed.
    """
    return make_plan(scenario, seed, read_earlier(scenario, base))


def carry_out(plan: Plan, directory: Path, *, target: str = "trio_pool", replay: str = "", viewer: Viewer) -> None:
    """Carry out a plan, and leave what it came to in a directory.

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


def analyze(directory: Path) -> Reports:
    """Read a run back and judge it.

    Raises:
        NoEvidence: The directory holds no run that can be read.
    """
    evidence = read_evidence(directory)
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
