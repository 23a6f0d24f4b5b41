"""Trace points in runs with a real pool: the fault strikes at just that moment, by the history and the ledger."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import trio
from _arenas import stage
from _chaos_processes import SCENARIO, Run, await_gone
from _workers import PATIENCE

from chaos._history import History
from chaos.running._observer import Observer
from chaos.running._sightings import sighting
from chaos.scenario._fault import Trigger
from chaos.scenario._trace_points import TRACE_POINTS, Waits
from chaos.workload._ledger import BEGIN, EFFECT, END, Entry, entries
from trio_pool import WorkerExited

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.running._sightings import Sighted

pytestmark = pytest.mark.slow

HEAD = """
schema = 1
name = "moments"
pool = { size = 2, timeout = "3s", abandon_grace = "0.1s", health = { interval = "0.1s" } }
steady_state = { require = ["pool.ready == pool.size"], before = { hold = "0.2s" }, after = { hold = "0.2s" } }
workload = { kind = "register", op = [{ name = "append", service_time = "5ms" }] }
phase = [
  PHASES
  { name = "heal", duration = "0.5s", heal = true, load = { model = "partly-open", session_rate = "10/s" } },
]
fault = [
  FAULTS
]
"""
PHASE = '{ name = "NAME", duration = "0.8s", load = { model = "partly-open", session_rate = "25/s" } },'
# Somebody must be started for these, and in the middle of the phase.
FELLED = '{ name = "felled-NAME", kind = "kill", at = { phase = "NAME", time = "0.2s" } },'
FAULT = (
    '{ name = "NAME", kind = "freeze", for = "50ms", at = { phase = "NAME", on = "POINT" },'
    ' target = { trigger = true, state = "any" } },'
)

POINTS = [point for point in TRACE_POINTS if point != "wire.stop.first-byte"]
"""All that come in a run in which no worker is replaced by plan."""

STEPS = {"worker.begin": BEGIN, "worker.effect": EFFECT, "worker.end": END}


def name_of(point: str) -> str:
    return point.replace(".", "-")


def scenario() -> str:
    phases, faults = [], []
    for point in POINTS:
        phases.append(PHASE.replace("NAME", name_of(point)))
        faults.append(FAULT.replace("NAME", name_of(point)).replace("POINT", point))
        if point.startswith("launcher"):
            faults.append(FELLED.replace("NAME", name_of(point)))
    return HEAD.replace("PHASES", "\n  ".join(phases)).replace("FAULTS", "\n  ".join(faults))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run in which a fault waits for each of the trace points, in a phase of its own."""
    run = Run(tmp_path_factory.mktemp("run"), edit=(SCENARIO.replace("SECONDS", "2.0s"), scenario()))
    try:
        assert "ended 0 None" in run.finish()
        yield run
    finally:
        run.end()
        await_gone(run.pids())


def struck(run: Run, point: str) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Return the record of a trace point, that of its fault, and all records."""
    records = run.records()
    mine = [record for record in records if record["src"] == "chaos" and record.get("fault") == name_of(point)]
    (trace,) = (record for record in mine if record["type"] == "trace")
    (inject,) = (record for record in mine if record["type"] == "inject")
    assert [record["ok"] for record in mine if record["type"] == "heal"] == [True]
    return trace, inject, records


@pytest.mark.parametrize("point", POINTS)
def test_a_fault_strikes_whoever_came_to_its_trace_point(run: Run, point: str) -> None:
    """Right after it came, and nobody else."""
    trace, inject, records = struck(run, point)
    assert trace["point"] == point
    assert trace["pid"] == inject["pid"]
    assert trace["seq"] < inject["seq"]
    # What stands still is let go after half a second at the latest, and it was not let go before it was struck.
    if TRACE_POINTS[point].waits is not Waits.NOTHING:
        between = records[trace["seq"] + 1 : inject["seq"]]
        mine = [
            record
            for record in between
            if record["src"] == "pool" and record.get("incarnation") == inject["incarnation"]
        ]
        assert [record["type"] for record in mine if record["type"] in ("RequestFinished", "WorkerReady")] == []


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("launcher")])
def test_a_start_is_struck_before_the_pool_has_a_worker(run: Run, point: str) -> None:
    """Its process is there, and the pool has not heard that it is ready."""
    _, inject, records = struck(run, point)
    mine = {
        record["type"]: record["seq"]
        for record in records
        if record["src"] == "pool" and record.get("incarnation") == inject["incarnation"]
    }
    assert mine["WorkerStarting"] < inject["seq"] < mine["WorkerReady"]


@pytest.mark.parametrize(
    ("point", "done"),
    [
        ("wire.request.first-byte", None),
        ("wire.request.half", None),
        ("worker.begin", BEGIN),
        ("worker.effect", EFFECT),
        ("worker.end", END),
        ("wire.reply.first-byte", END),
        ("wire.reply.half", END),
        ("wire.reply.written", END),
    ],
)
def test_a_request_is_struck_just_so_far(run: Run, point: str, done: int | None) -> None:
    """The ledger has what its worker had done of it by then and nothing more, and the pool has no answer yet."""
    _, inject, records = struck(run, point)
    before = [
        record
        for record in records[: inject["seq"]]
        if record["src"] == "pool" and record.get("incarnation") == inject["incarnation"]
    ]
    dispatched = [record for record in before if record["type"] == "RequestDispatched"][-1]
    assert not [
        record
        for record in before
        if record["type"] == "RequestFinished" and record["request_id"] == dispatched["request_id"]
    ]
    (start,) = (record for record in records if record["type"] == "start")
    ledger = [entry for entry in entries((run.directory / "ledger.bin").read_bytes()) if isinstance(entry, Entry)]
    steps = [
        entry.step
        for entry in ledger
        if entry.pid == inject["pid"] and (entry.nanoseconds - start["monotonic_ns"]) / 1e9 + start["t"] < inject["t"]
    ]
    # Those before it are all over.
    finished = [record for record in before if record["type"] == "RequestFinished"]
    assert len(steps) == 3 * len(finished) + (done or 0)
    assert steps[-1:] == ([done] if done else [END] if finished else [])


async def test_a_worker_that_is_told_to_stop_comes_to_a_trace_point(tmp_path: Path) -> None:
    """It stands before the message, for as long as whoever looked out for it likes; then it stops in peace."""
    history = History(tmp_path / "history.jsonl", trio.current_time)
    seen: list[Sighted] = []
    at = Trigger(on="wire.stop.first-byte")
    chance = random.Random(1)  # noqa: S311  # reproducible on purpose
    with history, trio.fail_after(PATIENCE):
        async with stage(tmp_path) as there:
            async with (
                sighting(at, chance, Observer(history), there.arena) as waiting,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(there.pool.resize, 1)
                seen.append(await waiting.next())
                assert there.seen(WorkerExited) == []
                seen[0].go_on()
            (exited,) = await there.saw(WorkerExited, 1)
    assert seen[0].detail is not None
    assert (seen[0].detail["command"], seen[0].detail["pid"]) == ("shutdown", exited.pid)
    assert str(exited.exit) == "exit code 0"
