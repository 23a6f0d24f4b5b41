"""Runs of the harness inside somebody's pytest."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from _demo import BRISK, environment

from chaos.pytest_plugin import ChaosRunner

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TESTS = """
def test_the_pool_survives(chaos_run):
    run = chaos_run("brisk.toml", seed=3, settings={"pool.size": 2})
    run.require_pass()
    assert run.results.seed == 3
    assert (run.directory / "report.html").exists()


def test_what_is_not_met_fails(chaos_run):
    chaos_run("demanding.toml", seed=3).require_pass()
"""


def test_a_scenario_is_a_test(tmp_path: Path) -> None:
    """One that passes passes, one that does not fails with the summary, and nothing of either is left."""
    (tmp_path / "brisk.toml").write_text(BRISK, encoding="utf-8")
    demanding = BRISK + '[[slo]]\nwindow = "main"\nrequire = ["ok >= 100000"]\n'
    (tmp_path / "demanding.toml").write_text(demanding, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(TESTS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "chaos.pytest_plugin", "-p", "no:cacheprovider", "-q", "test_it.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert "1 failed, 1 passed" in done.stdout
    assert "FAIL  brisk@3" in done.stdout
    assert "ok >= 100000" in done.stdout
    assert "the whole report: " in done.stdout


def test_a_scenario_with_mistakes_is_refused_with_all_of_them(tmp_path: Path) -> None:
    """As the command line tells them."""
    path = tmp_path / "wrong.toml"
    path.write_text(BRISK.replace('"freeze"', '"frezee"').replace("session_rate", "rat"), encoding="utf-8")
    with pytest.raises(ValueError, match="did you mean 'freeze'") as caught:
        ChaosRunner(tmp_path)(path)
    assert "$.phase[0].load" in str(caught.value)


def test_a_setting_reaches_the_run(tmp_path: Path) -> None:
    """And several runs of one test have directories of their own."""
    (tmp_path / "brisk.toml").write_text(BRISK, encoding="utf-8")
    run = ChaosRunner(tmp_path)
    sizes = []
    for size in (2, 3):
        done = run(tmp_path / "brisk.toml", seed=3, settings={"pool.size": size, "phase[0].duration": "1s"})
        plan = json.loads((done.directory / "plan.json").read_text(encoding="utf-8"))
        sizes.append(plan["scenario"]["pool"]["size"])
        assert done.passed
    assert sizes == [2, 3]


def test_a_harness_that_fails_after_its_verdict_has_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results are written first; a page that cannot be written must not be overlooked behind them."""
    (tmp_path / "brisk.toml").write_text(BRISK, encoding="utf-8")
    module = "import chaos.reporting._reports as reports\nfrom chaos._output import CannotWrite\n\n"
    module += "def make_page(*_arguments):\n    raise CannotWrite('report.html', OSError(28, 'no room'))\n\n"
    module += "reports.make_page = make_page\n"
    (tmp_path / "sitecustomize.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match=r"cannot write report\.html: no room"):
        ChaosRunner(tmp_path)(tmp_path / "brisk.toml", seed=3)
    results = json.loads((tmp_path / "chaos-1" / "results.json").read_text(encoding="utf-8"))
    assert results["verdict"] == "pass"
