"""Runs of the harness from Python: planned, carried out in processes of their own, judged, interrupted, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from _chaos_files_page import documented
from _chaos_processes import await_gone
from _demo import BRISK, environment
from _workers import PATIENCE

import chaos
from chaos.results import Judgement
from chaos.scenario import ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.scenario import Plan

pytestmark = pytest.mark.slow

RICH = """\
schema = 1
name = "rich"
pool = { size = 3, timeout = "3s" }
steady_state = { require = ["pool.ready == pool.size"], before = { hold = "0.1s" }, after = { hold = "0.1s" } }
[workload]
op = [
  { name = "append" },
  { name = "read", idempotent = true },
  { name = "work", idempotent = true, alone = true, service_time = "20ms", cancel = 0.2, patience = "5ms" },
]
[[phase]]
name = "main"
duration = "1.5s"
load = { model = "partly-open", session_rate = "25/s", think = "10ms" }
[[phase]]
name = "heal"
duration = "0.5s"
heal = true
load = { model = "open", rate = "400/s", max_in_flight = 1 }
[[fault]]
name = "k"
kind = "kill"
at = { phase = "main", every = "0.3s" }
[[fault]]
name = "f"
kind = "freeze"
at = { phase = "main", time = "0.2s" }
for = "0.3s"
[[fault]]
name = "never"
kind = "freeze"
at = { phase = "main", time = "0.1s" }
target = { session = 9999 }
for = "0.1s"
"""
"""A scenario for the many records it writes."""

CALLER = """
import sys, chaos
plan = chaos.make_plan(chaos.read_scenario(sys.argv[1], {"phase[0].duration": "60s"}), 3)
chaos.run(plan, sys.argv[2], say=lambda line: print(line, flush=True))
"""


def plan_of(path: Path, text: str = BRISK, settings: dict[str, object] | None = None) -> Plan:
    """Return the plan of a scenario's text."""
    file = path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return chaos.make_plan(chaos.read_scenario(file, settings), 3)


def test_a_plan_is_carried_out_judged_and_judged_again(tmp_path: Path) -> None:
    """The result is that of the files; lines are told on the way; nothing of the caller's is touched."""
    told: list[str] = []
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    run = chaos.run(plan_of(tmp_path), tmp_path / "run", say=told.append)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    run.require_pass()
    assert run.results.verdict is Judgement.PASS
    assert any("f1" in line for line in told)
    assert chaos.analyze(run.directory).results == run.results
    assert "PASS  brisk@3" in run.summary()
    assert chaos.read_plan(run.directory) == plan_of(tmp_path)
    with pytest.raises(FileExistsError, match="there is something in"):
        chaos.run(plan_of(tmp_path), run.directory)


def test_every_record_of_a_run_is_as_the_page_says(tmp_path: Path) -> None:
    """With the fields that every record of its type has, and none that the page does not know."""
    run = chaos.run(plan_of(tmp_path, RICH), tmp_path / "run")
    page = documented()
    kinds = set()
    for line in (run.directory / "history.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        key = (record["src"], record["type"])
        kinds.add(key)
        fields = record.keys() - {"seq", "t", "src", "type"}
        assert page[key].always <= fields <= page[key].always | page[key].maybe, record
    rare = {("client", "info"), ("client", "drop"), ("client", "renew"), ("chaos", "missed"), ("chaos", "heal")}
    assert rare <= kinds
    assert len(kinds) > 25


def test_a_run_may_be_asked_for_in_a_thread(tmp_path: Path) -> None:
    """As `trio.to_thread.run_sync` does; and what `say` raises ends the run and comes through."""
    caught: list[BaseException] = []

    def stop(_line: str) -> None:
        raise LookupError("enough")

    def ask() -> None:
        try:
            chaos.run(plan_of(tmp_path, settings={"phase[0].duration": "60s"}), tmp_path / "run", say=stop)
        except LookupError as exc:
            caught.append(exc)

    thread = threading.Thread(target=ask)
    began = time.monotonic()
    thread.start()
    thread.join(PATIENCE)
    assert [str(exc) for exc in caught] == ["enough"]
    assert time.monotonic() - began < 60  # it did not wait for the plan's own end


def begun(process: subprocess.Popen[str]) -> None:
    """Wait until the run of a caller is in its first phase."""
    assert process.stdout is not None
    for line in process.stdout:
        if "phase main" in line:
            return
    pytest.fail("it never began")


def pids(directory: Path) -> set[int]:
    """Return the processes of the application and its workers."""
    lines = (directory / "history.jsonl").read_bytes().split(b"\n")[:-1]
    records = [json.loads(line) for line in lines]
    return {record["pid"] for record in records if record["type"] in ("start", "WorkerReady")}


def start(tmp_path: Path) -> subprocess.Popen[str]:
    """Start a program that carries a plan of a minute out."""
    (tmp_path / "brisk.toml").write_text(BRISK, encoding="utf-8")
    command = [sys.executable, "-c", CALLER, "./brisk.toml", "run"]
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_ends_a_run_in_an_orderly_way(tmp_path: Path) -> None:
    """It is healed, closed and reported on before the interrupt goes on."""
    with start(tmp_path) as process:
        begun(process)
        process.send_signal(signal.SIGINT)
        _output, complaint = process.communicate(timeout=PATIENCE)
    assert "KeyboardInterrupt" in complaint
    await_gone(pids(tmp_path / "run"))
    reports = chaos.analyze(tmp_path / "run")
    assert reports.results.exit_code == 130
    assert reports.results.ending == "interrupted"
    assert (tmp_path / "run" / "report.html").exists()


def test_a_run_dies_with_its_caller(tmp_path: Path) -> None:
    """SIGKILL of whoever asked for it leaves no process, and a history that can be judged."""
    with start(tmp_path) as process:
        begun(process)
        (watching,) = children_of(process.pid)
        process.kill()
        process.communicate(timeout=PATIENCE)
    await_gone({watching, *pids(tmp_path / "run")})
    assert chaos.analyze(tmp_path / "run").results.verdict is Judgement.UNKNOWN


def children_of(pid: int) -> list[int]:
    """Return a process's children."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def test_a_test_that_is_killed_takes_its_run_along(tmp_path: Path) -> None:
    """Pytest and the fixture are such a caller."""
    (tmp_path / "brisk.toml").write_text(BRISK, encoding="utf-8")
    test = 'def test_it(chaos_run):\n    chaos_run("./brisk.toml", settings={"phase[0].duration": "60s"})\n'
    (tmp_path / "test_it.py").write_text(test, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "chaos.pytest_plugin", "-p", "no:cacheprovider", "test_it.py"]
    with subprocess.Popen(
        [*command, "--basetemp", "made"], cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL
    ) as process:
        directory = tmp_path / "made" / "test_it0" / "chaos-1"
        deadline = time.monotonic() + PATIENCE
        while (
            not (directory / "history.jsonl").exists()
            or b"WorkerReady" not in (directory / "history.jsonl").read_bytes()
        ):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (watching,) = children_of(process.pid)
        process.kill()
    await_gone({watching, *pids(directory)})


def test_a_workload_that_cannot_be_had_is_refused_before_anything_begins(tmp_path: Path) -> None:
    """And nothing is made."""
    plan = plan_of(tmp_path, BRISK + '[workload]\nkind = "python:no_such:Work"\nop = [{ name = "x" }]\n')
    with pytest.raises(ScenarioError, match=r"\$\.workload\.kind: cannot import 'python:no_such:Work'"):
        chaos.run(plan, tmp_path / "run")
    with pytest.raises(ValueError, match="there is no target 'nothing'"):
        chaos.run(plan_of(tmp_path), tmp_path / "run", target="nothing")
    assert not (tmp_path / "run").exists()


TARGET = """
from contextlib import asynccontextmanager
from chaos.workload import perform


class Open:
    pool = None
    capabilities = frozenset()

    async def call(self, call):
        return perform(call.command, call.args, None)

    async def end_session(self, session):
        pass

    def pids(self):
        return []


class Here:
    name = "here"
    version = "1"
    sessions = False
    workloads = None

    @asynccontextmanager
    async def open(self, setup):
        yield Open()
"""


def test_a_kind_of_pool_of_ones_own_is_put_to_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is no pool at all answers, and what cannot be shown of it is unknown."""
    (tmp_path / "own_target.py").write_text(TARGET, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    text = BRISK.partition("fault =")[0].replace('"pool.ready == pool.size"', '"in_flight >= 0"')
    text += 'workload = { op = [{ name = "work", idempotent = true }] }\n'
    run = chaos.run(plan_of(tmp_path, text), tmp_path / "run", target="python:own_target:Here")
    assert run.results.target == "here"
    numbers = run.results.of("all")
    assert numbers is not None
    assert numbers.ok == numbers.sent > 0
    assert os.environ.get("TRIO_POOL_CHAOS_LIFELINE") is None
