"""Runs of the chaos harness that never took place: their evidence, written record by record as a real one's."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from chaos._check import check
from chaos._evidence import Evidence
from chaos._first_light import FIRST_LIGHT
from chaos._plan import make_plan

if TYPE_CHECKING:
    from pathlib import Path

    from chaos._findings import Findings

WORKERS = 2
PLAN = make_plan(attrs.evolve(FIRST_LIGHT, workers=WORKERS, duration=8.0, sessions=20), 7)
REPLAY = "python -m chaos run first-light --seed 7"

HOSTILE = "<script>alert(1)</script>\"'&]]>\x1b[2J\u202e\x00\ud800"
"""What a session's name or a worker's message may hold: markup, quotes, escape sequences, what no file may contain."""


class Telling:
    """A history in the making; time goes by as it is told."""

    def __init__(self, *, workers: int = WORKERS) -> None:
        self.records: list[dict[str, Any]] = []
        self.executions: Counter[str] = Counter()
        self.t = 0.0
        self.asked = 0
        self.alive: dict[int, int] = {}
        self.incarnations = 0
        self.note(
            "run",
            "start",
            plan=PLAN.sha256,
            replay=REPLAY,
            started="2026-01-02T03:04:05Z",
            files=1731,
            packages=137,
            python="3.11.7",
            trio="0.35.0",
            trio_pool="0.1.0",
            machine="x86_64",
            kernel="6.1",
            cpus=2,
        )
        for slot in range(workers):
            self.born(slot)
        self.note("run", "clock")

    def note(self, src: str, kind: str, /, *, after: float = 0.001, **fields: Any) -> dict[str, Any]:
        self.t = round(self.t + after, 6)
        entry = {"seq": len(self.records), "t": self.t, "src": src, "type": kind, **fields}
        self.records.append(entry)
        return entry

    def about(self, slot: int) -> dict[str, Any]:
        return {"slot": slot, "worker_id": f"demo-{slot}", "incarnation": self.alive[slot]}

    def born(self, slot: int) -> None:
        self.incarnations += 1
        self.alive[slot] = self.incarnations
        self.note("pool", "WorkerStarting", **self.about(slot))
        self.note("pool", "WorkerReady", after=0.03, pid=1000 + self.incarnations, startup=0.03, **self.about(slot))

    def gone(self, slot: int, reason: str = "crash") -> None:
        self.note(
            "pool", "WorkerExited", pid=1000 + self.alive[slot], exit="SIGKILL", reason=reason, **self.about(slot)
        )

    def asks(self, session: str, slot: int = 1) -> int:
        number = self.asked
        self.asked += 1
        self.note(
            "client",
            "invoke",
            after=0.05,
            id=number,
            session=session,
            nonce=f"nonce-{number}",
            t_int=round(self.t + 0.049, 6),
            expect=[1, 2, 3],
            package="json",
        )
        request: dict[str, Any] = {"request_id": number + 100, "session_id": session, "command": "execute_program"}
        self.note("pool", "RequestDispatched", slot=slot, incarnation=self.alive[slot], **request)
        self.note("pool", "SessionBound", session_id=session, incarnation=self.alive[slot])
        self.executions[f"nonce-{number}"] += 1
        return number

    def finished(self, number: int, slot: int, result: str) -> None:
        request: dict[str, Any] = {"request_id": number + 100, "session_id": None, "command": "execute_program"}
        self.note("pool", "RequestFinished", incarnation=self.alive[slot], result=result, **request)

    def answered(self, number: int, slot: int = 1, *, after: float = 0.02) -> dict[str, Any]:
        self.t += after
        self.finished(number, slot, "ok")
        return self.note("client", "ok", id=number, value=[1, 2, 3], nonce=f"nonce-{number}")

    def served(self, session: str, slot: int = 1, *, after: float = 0.02) -> int:
        number = self.asks(session, slot)
        self.answered(number, slot, after=after)
        self.note("client", "ended", session=session)
        return number

    def failed(self, number: int, error: str, kind: str = "info", message: str = "it had begun") -> None:
        self.note(
            "client", kind, id=number, error=error, outcome="maybe_executed", message=message, request_id=number + 100
        )

    def struck(self, name: str, kind: str, slot: int, number: int | None) -> None:
        self.note(
            "chaos",
            "inject",
            fault=name,
            kind=kind,
            pid=1000 + self.alive[slot],
            id=number,
            request_id=None if number is None else number + 100,
            session_id="hurt",
            begun=number is not None,
            **self.about(slot),
        )

    def killed(self, name: str, slot: int = 0) -> None:
        number = self.asks(f"hurt-{name}", slot)
        self.struck(name, "kill", slot, number)
        self.finished(number, slot, "failed")
        self.gone(slot)
        self.failed(number, "WorkerCrashed")
        self.born(slot)

    def frozen(self, name: str = "f1", slot: int = 0, *, seconds: float = 1.0) -> None:
        number = self.asks(f"hurt-{name}", slot)
        self.struck(name, "freeze", slot, number)
        self.t += seconds
        self.finished(number, slot, "timed_out")
        self.failed(number, "CommandTimeout")
        self.note("pool", "WorkerKilled", pid=1000 + self.alive[slot], reason="timeout", **self.about(slot))
        self.gone(slot, "timeout")
        self.note("chaos", "heal", fault=name)
        self.born(slot)

    def slowed(self, name: str = "l1", slot: int = 1) -> None:
        number = self.asks("slow", slot)
        self.struck(name, "latency", slot, number)
        self.answered(number, slot, after=0.5)
        self.note("chaos", "heal", fault=name)

    def ended(self) -> None:
        self.note("run", "load_ended", took=8.0)
        self.note("run", "closing")
        for slot in self.alive:
            self.gone(slot, "close")
        self.note("run", "end")

    def evidence(self) -> Evidence:
        return Evidence(plan=PLAN, records=self.records, executions=self.executions)


def good(*, more: int = 10) -> Telling:
    """A run up to its last request, in which every fault hit and every promise was kept."""
    told = Telling()
    for number in range(more):
        told.served(f"calm-{number}")
    for name in ("k1", "k2", "k3"):
        told.killed(name)
    told.frozen()
    told.slowed()
    told.served("late", slot=0)
    return told


def passed() -> Telling:
    told = good()
    told.ended()
    return told


def broken() -> Telling:
    """Two wrong answers, a lost request and a process left, all of somebody with a hostile name."""
    told = good()
    for _ in range(2):
        number = told.asks(HOSTILE)
        told.answered(number)["value"] = [HOSTILE]
    told.asks(HOSTILE)
    told.failed(told.asks(HOSTILE), HOSTILE, "raised", HOSTILE)
    told.ended()
    told.records.insert(-1, {**told.records[-1], "type": "leftover", "pid": 42, "incarnation": 1})
    told.records[-1] = {**told.records[-1], "seq": told.records[-1]["seq"] + 1}
    return told


def interrupted() -> Telling:
    told = good()
    number = told.asks("cut-off")
    told.note("run", "interrupted", signal="SIGINT")
    told.failed(number, "Cancelled")
    told.ended()
    return told


def cut_short() -> Telling:
    """Its harness was killed while a worker was frozen."""
    told = Telling()
    told.served("calm")
    told.struck("f1", "freeze", 0, told.asks("hurt", 0))
    return told


def idle() -> Telling:
    told = Telling()
    told.note("chaos", "missed", fault="k1", kind="kill", why="no worker ran a request for 3 s")
    told.ended()
    return told


def not_started() -> Telling:
    told = Telling(workers=0)
    told.note("run", "not_started", error="WorkerInitFailed: no such application")
    told.note("run", "end")
    return told


def nothing() -> Telling:
    """Its harness was killed before it wrote a line."""
    told = Telling()
    told.records.clear()
    return told


RUNS = {
    "passed": passed,
    "broken": broken,
    "interrupted": interrupted,
    "cut short": cut_short,
    "idle": idle,
    "not started": not_started,
    "nothing": nothing,
}
VERDICTS = {"passed": "pass", "broken": "fail"}
"""The verdict of each run; unknown for those that are not here."""


def parsed(markup: str) -> ET.Element:
    """Parse what the harness wrote as XML, which is stricter than any browser."""
    return ET.fromstring(markup)  # noqa: S314  # our own text


def judged(told: Telling) -> Findings:
    return check(told.records, told.executions, workers=WORKERS)


def store(told: Telling, directory: Path) -> None:
    """Write a run's files as the harness does."""
    (directory / "plan.json").write_text(PLAN.to_json())
    lines = (json.dumps(entry, separators=(",", ":")) for entry in told.records)
    (directory / "history.jsonl").write_text("".join(f"{line}\n" for line in lines))
    ledger = (f"{nonce} 1001\n" * times for nonce, times in told.executions.items())
    (directory / "executions.log").write_text("".join(ledger))
