"""A run that loses what it writes to: it heals, closes the pool, and only then says so."""

from __future__ import annotations

import json
import logging
import sysconfig
from pathlib import Path

import attrs
import pytest

from chaos import _run
from chaos._evidence import read_evidence
from chaos._findings import Ending, Verdict
from chaos._first_light import FIRST_LIGHT
from chaos._history import read_history
from chaos._output import CannotWrite
from chaos._plan import make_plan
from chaos._report import judge
from chaos._run import run
from chaos._stdlib_job import make_catalogue
from trio_pool import PoolConfig

pytestmark = pytest.mark.slow

BRISK = attrs.evolve(
    FIRST_LIGHT, duration=2.0, sessions=16, faults=(attrs.evolve(FIRST_LIGHT.faults[2], at=0.2, hold=60.0),)
)
"""A freeze that nobody would heal in time."""

CATALOGUE = make_catalogue(str(Path(sysconfig.get_path("stdlib")) / "json"))


async def test_a_run_is_judged_by_what_is_in_its_files(tmp_path: Path) -> None:
    """Whoever has the files and the run itself have the same evidence, so the same report."""
    kill = attrs.evolve(FIRST_LIGHT.faults[0], at=0.2)
    plan = make_plan(attrs.evolve(BRISK, duration=1.0, sessions=10, faults=(kill,)), 3)
    finished = await run(plan, CATALOGUE, tmp_path, lambda _line: None, replay="do it again")
    assert finished.signal is None
    assert finished.evidence == read_evidence(tmp_path)
    assert finished.evidence.replay == "do it again"
    assert finished.evidence.start["files"] == CATALOGUE.files
    assert finished.findings == judge(finished.evidence)


async def test_a_pool_that_cannot_start_is_on_record_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends in order, and what there is says that nothing was tested, not that a promise was broken."""

    def broken_config(workers: int, seed: int) -> PoolConfig:
        return PoolConfig(size=workers, seed=seed, python="/bin/false")

    monkeypatch.setattr(_run, "pool_config", broken_config)
    finished = await run(make_plan(BRISK, 3), CATALOGUE, tmp_path, lambda _line: None)
    assert (finished.findings.ending, finished.findings.verdict) == (Ending.NOT_STARTED, Verdict.UNKNOWN)
    assert "WorkerInitFailed" in finished.findings.reasons[0]
    assert [entry["type"] for entry in read_history(tmp_path / "history.jsonl")][-2:] == ["not_started", "end"]


async def test_a_console_that_fails_during_a_fault_ends_the_run_in_order(tmp_path: Path) -> None:
    """The frozen worker is thawed and the pool closed before the error arrives, alone and in no group."""

    def say(line: str) -> None:
        if "SIGSTOP" in line:
            raise CannotWrite("standard output", OSError(28, "No space left on device"))

    with pytest.raises(CannotWrite, match=r"^cannot write standard output: No space left on device$"):
        await run(make_plan(BRISK, 3), CATALOGUE, tmp_path, say)
    records = read_history(tmp_path / "history.jsonl")
    kinds = [entry["type"] for entry in records]
    assert kinds.index("inject") < kinds.index("heal") < kinds.index("closing")
    assert "leftover" not in kinds
    assert json.loads((tmp_path / "plan.json").read_text())["seed"] == 3


async def test_a_log_that_cannot_be_written_ends_the_run_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pool's own log counts as much as the history, and logging's complaint about itself stays away."""
    (tmp_path / "pool.log").symlink_to("/dev/full")

    def say(line: str) -> None:
        if "SIGSTOP" in line:
            logging.getLogger("trio_pool").warning("something happened")

    with pytest.raises(CannotWrite, match=r"pool\.log: No space left on device$"):
        await run(make_plan(BRISK, 3), CATALOGUE, tmp_path, say)
    assert "closing" in [entry["type"] for entry in read_history(tmp_path / "history.jsonl")]
    assert capsys.readouterr().err == ""
