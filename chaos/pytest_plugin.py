"""A pytest plugin: whole runs of the harness as tests of your own.

It is loaded only where it is asked for, with ``-p chaos.pytest_plugin`` or, in the topmost ``conftest.py``::

    pytest_plugins = ["chaos.pytest_plugin"]

The fixture ``chaos_run`` carries a scenario out in processes of its own, so that neither your test's signal handlers
nor its children are touched, and returns what it came to::

    def test_my_workers_survive(chaos_run):
        chaos_run("scenarios/mine.toml", seed=7).require_pass()
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import attrs
import pytest

from .checking._finding import Judgement
from .checking._results import Results, read_results

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TOLD = 60
"""Lines of the summary that a failing test shows."""


@attrs.frozen(kw_only=True)
class ChaosRun:
    """What a run came to.

    Args:
        results: The verdict, and everything it rests on, as in ``results.json``.
        directory: Where the files of the run are, ``report.html`` among them.
        summary: What the command line printed below the run.
    """

    results: Results
    directory: Path
    summary: str

    @property
    def passed(self) -> bool:
        """Whether every guarantee was kept, every objective met, and the faults did hit."""
        return self.results.verdict is Judgement.PASS

    def require_pass(self) -> None:
        """Fail the test unless the run has passed.

        Raises:
            AssertionError: It has not: something was broken, or too little was tested to say. The message is the
                summary, with the command that does the same again.
        """
        if not self.passed:
            lines = self.summary.splitlines()
            raise AssertionError("\n".join([*lines[:_TOLD], f"the whole report: {self.directory / 'report.html'}"]))


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
        scenario: str | Path,
        *,
        seed: int | None = None,
        target: str = "trio_pool",
        settings: Mapping[str, object] | None = None,
    ) -> ChaosRun:
        """Carry a scenario out, and return what it came to, be it good or bad.

        Interrupted by Ctrl-C, it ends the run in an orderly way first.

        Args:
            scenario: The name of one that comes with the harness, or a file.
            seed: What decides everything that chance decides; None for the scenario's own, or one that is drawn.
            target: The kind of pool.
            settings: What to change in the scenario, by path: ``{"pool.size": 2, "phase[0].duration": "1s"}``.

        Raises:
            ValueError: There is no such scenario, or it has mistakes; the message has all of them.
            RuntimeError: The run did not take place, or the harness failed after it had judged it, as when it could
                not write a report; the message is what the harness said.
        """
        self._runs += 1
        directory = self._directory / f"chaos-{self._runs}"
        command = [
            sys.executable,
            "-m",
            __package__ or "chaos",
            "run",
            str(scenario),
            "--plain",
            "--out",
            str(directory),
        ]
        command += ["--target", target]
        if seed is not None:
            command += ["--seed", str(seed)]
        for path, value in (settings or {}).items():
            command += ["--set", f"{path}={str(value).lower() if isinstance(value, bool) else value}"]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "CI": "true"}
        with subprocess.Popen(  # noqa: S603  # this very program
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, start_new_session=True
        ) as process:
            try:
                output, _ = process.communicate()
            except BaseException:
                process.send_signal(signal.SIGINT)
                process.communicate()
                raise
        written = directory / "results.json"
        if not written.exists():
            raise (ValueError if process.returncode == 64 else RuntimeError)(output.strip())
        results = read_results(written)
        if process.returncode != results.exit_code:
            # The verdict is written first. Whatever failed after it, nobody is to take half a report for a pass.
            raise RuntimeError(output.strip())
        return ChaosRun(results=results, directory=directory, summary=output.partition("\n\n")[2] or output)


@pytest.fixture
def chaos_run(tmp_path: Path) -> ChaosRunner:
    """Carry scenarios out, each into a directory of this test's own."""
    return ChaosRunner(tmp_path)
