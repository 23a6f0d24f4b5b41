"""A run that loses what it writes to: it heals, closes the pool, and only then says so."""

from __future__ import annotations

import json
import logging
import sysconfig
from pathlib import Path

import attrs
import pytest

from chaos._first_light import FIRST_LIGHT
from chaos._history import read_history
from chaos._output import CannotWrite
from chaos._plan import make_plan
from chaos._run import run
from chaos._stdlib_job import make_catalogue

pytestmark = pytest.mark.slow

BRISK = attrs.evolve(
    FIRST_LIGHT, duration=2.0, sessions=16, faults=(attrs.evolve(FIRST_LIGHT.faults[2], at=0.2, hold=60.0),)
)
"""A freeze that nobody would heal in time."""

CATALOGUE = make_catalogue(str(Path(sysconfig.get_path("stdlib")) / "json"))


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
