"""Runs of the harness with a real pool: what they leave, how they are interrupted, and that nothing outlives them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from _chaos_processes import Run, await_gone, living

from chaos.checking._finding import Judgement
from chaos.checking._table import check_all
from chaos.faults import _proc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    """Runs that are ended whatever becomes of the test."""
    started: list[Run] = []
    yield started
    for run in started:
        run.end()
        await_gone(run.pids())


def test_a_run_leaves_its_evidence_and_nothing_else(tmp_path: Path, runs: list[Run]) -> None:
    """A history that begins and ends, a ledger that agrees with it, faults that struck, and no process."""
    run = Run(tmp_path)
    runs.append(run)
    assert "ended 0 None" in run.finish()
    kinds = Counter((record["src"], record["type"]) for record in run.records())
    once = ("start", "opened", "clock", "load_ended", "closed", "end", "application_ended", "checked")
    assert {kind: kinds["run", kind] for kind in once} == dict.fromkeys(once, 1)
    assert kinds["run", "steady"] == kinds["run", "phase"] == kinds["run", "phase_end"] == 2
    assert kinds["chaos", "inject"] >= 3
    assert kinds["chaos", "heal"] == 1
    assert [record["seq"] for record in run.records()] == list(range(len(run.records())))
    assert [record["t"] for record in run.records()] == sorted(record["t"] for record in run.records())
    findings = check_all(run.evidence())
    assert [finding for finding in findings if finding.judgement is Judgement.FAIL] == []
    assert any(record["type"] == "ok" for record in run.records())


def test_a_signal_that_whoever_started_the_run_ignores_kills_workers_all_the_same(
    tmp_path: Path, runs: list[Run]
) -> None:
    """As under nohup, or in the background of a shell: children inherit that, and workers shall not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        runs.append(run := Run(tmp_path, edit=('kind = "kill"', 'kind = "kill", death = "HUP"')))
    finally:
        signal.signal(signal.SIGHUP, before)
    run.finish()
    hit = {record["pid"] for record in run.records() if record.get("kind") == "kill"}
    dead = {record["pid"] for record in run.records() if record.get("exit") == "SIGHUP"}
    assert hit
    assert dead == hit


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_heals_and_closes(tmp_path: Path, runs: list[Run], number: signal.Signals) -> None:
    """The load ends, what lasts is healed, the pool is closed, and the history says who asked for it."""
    run = Run(tmp_path, seconds=60.0)
    runs.append(run)
    run.until("chaos", "inject")
    run.process.send_signal(number)
    assert f"ended 0 {number.value}" in run.finish()
    kinds = Counter((record["src"], record["type"]) for record in run.records())
    assert kinds["run", "interrupted"] == kinds["run", "closed"] == kinds["run", "end"] == 1
    freezes = {record["occurrence"] for record in run.records() if record.get("kind") == "freeze"}
    assert kinds["chaos", "heal"] == len(freezes)
    assert [record["leftovers"] for record in run.records() if record["type"] == "checked"] == [0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["register", "stdlib"])
def test_a_run_is_interrupted_while_it_is_set_up(
    tmp_path: Path, runs: list[Run], kind: str, number: signal.Signals
) -> None:
    """While the application still starts, or works out what must come back: it ends by itself, and says why."""
    run = Run(tmp_path, seconds=60.0, edit=("phase = [", f"workload = {{ kind = '{kind}' }}\nphase = ["))
    runs.append(run)
    # Before the watching process heeds signals they are its death, as of any program that has just been started.
    while not _proc.catches(run.process.pid, signal.SIGTERM):
        assert run.process.poll() is None
    run.process.send_signal(number)
    assert f"ended 0 {number.value}" in run.finish()
    kinds = Counter((record["src"], record["type"]) for record in run.records())
    assert kinds["run", "interrupted"] == kinds["run", "end"] == 1
    assert kinds["client", "invoke"] == 0


def test_a_run_ends_by_its_wall_clock(tmp_path: Path, runs: list[Run]) -> None:
    """Whatever it is doing; the history says so."""
    # Its phases fit in, by the scenario; opening the pool and waiting for its steady state do not.
    run = Run(tmp_path, seconds=1.0, edit=("schema = 1", "schema = 1\nlimits = { wall_clock = '1.6s' }"))
    runs.append(run)
    assert "ended 0 None" in run.finish()
    assert [record["what"] for record in run.records() if record["type"] == "limit"] == ["wall_clock"]
    assert not living(run.pids())


def test_a_pool_that_is_never_well_is_not_tested(tmp_path: Path, runs: list[Run]) -> None:
    """The method does not begin: no request is sent and nothing is struck."""
    never = '"pool.ready > 5"], before = { within = "1s", hold = "0.2s" }'
    run = Run(tmp_path, edit=('"pool.ready == pool.size"], before = { hold = "0.2s" }', never))
    text = (tmp_path / "scenario.toml").read_text(encoding="utf-8")
    assert "pool.ready > 5" in text
    runs.append(run)
    run.finish()
    kinds = Counter((record["src"], record["type"]) for record in run.records())
    assert kinds["client", "invoke"] == kinds["chaos", "inject"] == 0
    (gate,) = (record for record in run.records() if record["type"] == "steady")
    assert (gate["after"], gate["ok"], gate["failing"]) == ("before", False, ["pool.ready > 5"])


def test_an_application_that_is_killed_leaves_a_history(tmp_path: Path, runs: list[Run]) -> None:
    """The watching process sees it, looks for leftovers, and adds to the history what it saw."""
    run = Run(tmp_path, seconds=60.0)
    runs.append(run)
    run.until("chaos", "inject")
    (application,) = {record["pid"] for record in run.records() if record["type"] == "start"}
    os.kill(application, signal.SIGKILL)
    assert "ended -9 None" in run.finish()
    last = run.records()[-2:]
    assert [record["type"] for record in last] == ["application_ended", "checked"]
    assert (last[0]["exit"], last[1]["leftovers"]) == (-9, 0)
    assert [record["seq"] for record in run.records()] == list(range(len(run.records())))
    run.evidence()


@pytest.mark.parametrize("seed", range(4))
def test_a_harness_that_is_killed_leaves_no_process(tmp_path: Path, runs: list[Run], seed: int) -> None:
    """At whatever moment: application and workers, stopped ones too, go with it, and the history can be read."""
    run = Run(tmp_path, seconds=60.0, seed=seed)
    runs.append(run)
    run.until("run", "start")
    time.sleep(random.Random(seed).uniform(0.0, 2.0))  # noqa: S311  # any moment will do, and every one must
    run.end()
    await_gone(run.pids())
    assert run.records()[0]["type"] == "start"
    run.evidence()
