"""A pytest plugin: whole runs of the harness as tests of your own.

It is loaded only where it is asked for, with ``-p chaos.pytest_plugin`` or, in the topmost ``conftest.py``::

    pytest_plugins = ["chaos.pytest_plugin"]

The fixture ``chaos_run`` carries a scenario out and returns what it came to; it is `chaos.run` with a directory of the
test's own::

    def test_my_workers_survive(chaos_run):
        chaos_run("scenarios/mine.toml", seed=7).require_pass()
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ._experiment import make_plan
from ._run import run
from .scenario._model import Scenario
from .scenario._settings import changed
from .scenario._shipped import read_scenario, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from ._run import Run


class ChaosRunner:
    """Carries scenarios out; what the fixture ``chaos_run`` gives.

    Args:
        directory: Where runs go, each into a directory of its own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs = 0

    def __call__(
        self,
        scenario: str | PathLike[str] | Scenario,
        *,
        seed: int | None = None,
        target: str = "trio_pool",
        settings: Mapping[str, object] | None = None,
    ) -> Run:
        """Carry a scenario out, and return what it came to, be it good or bad.

        Interrupted by Ctrl-C, it ends the run in an orderly way first. If pytest is killed, the run dies with it.

        Args:
            scenario: The name of one that comes with the harness, a file, or one that was built in Python.
            seed: What decides everything that chance decides; None for the scenario's own, or one that is drawn.
            target: The kind of pool, as for `chaos.run`.
            settings: What to change in the scenario, by path: ``{"pool.size": 2, "phase[0].duration": "1s"}``.

        Raises:
            ScenarioError: There is no such scenario, or it has mistakes; the message has all of them.
            ValueError: There is no such target, or the seed is none.
            OSError: The file cannot be read.
            CannotWrite: The directory of the run could not be written.
            HarnessError: The harness itself failed; the message is what it said.
        """
        base: Path = Path()
        if isinstance(scenario, Scenario):
            found = changed(scenario, (settings or {}).items())
        else:
            found = read_scenario(scenario, settings)
            base = (resolve(scenario)[0] if isinstance(scenario, str) else Path(scenario)).parent
        plan = make_plan(found, seed, base=base)
        self._runs += 1
        return run(plan, self._directory / f"chaos-{self._runs}", target=target)


@pytest.fixture
def chaos_run(tmp_path: Path) -> ChaosRunner:
    """Carry scenarios out, each into a directory of this test's own."""
    return ChaosRunner(tmp_path)
