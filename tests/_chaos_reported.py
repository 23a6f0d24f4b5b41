"""What reports are tested on: the runs that were made up, judged with findings of every kind, and hostile ones."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from functools import cache
from typing import TYPE_CHECKING, Any

from _chaos_made import SCENARIO, Model, made

from chaos.checking._finding import Finding, Judgement, Witness
from chaos.evidence._evidence import Evidence, make_evidence
from chaos.reporting._reports import Reports
from chaos.scenario._make_plan import make_plan
from chaos.scenario._plan_file import sha256, to_json
from chaos.scenario._reading import read_toml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOSTILE = "<script>alert(1)</script>\"'&]]>\x1b[2J\u202e\x00\ud800"
"""What a session's name or a worker's message may hold: markup, quotes, escape sequences, what no file may contain."""

_TEXTS = ("worker_id", "fault", "exit", "why", "replay", "python", "kernel", "started", "target", "error")

PASSED = Finding(
    checker="C1", name="conservation", judgement=Judgement.PASS, text="all requests, each with one outcome"
)
IDLE = Finding(
    checker="C11", name="bounded queue", judgement=Judgement.UNKNOWN, text="the queue was never full", weighs=False
)
UNKNOWN = Finding(checker="C3", name="definiteness honest", judgement=Judgement.UNKNOWN, text="there is no ledger")
BROKEN = Finding(
    checker="C4",
    name="correlation",
    guarantee=2,
    judgement=Judgement.FAIL,
    text="12 violations: a reply is its request's own",
    cases=12,
    witnesses=tuple(Witness(text=f"request {number} got another's reply", seqs=(30 + number,)) for number in range(8)),
)


def evidence(text: str = SCENARIO, *, hostile: bool = False, cut: int | None = None, **events: Any) -> Evidence:
    """Return the evidence of a run that was made up.

    Args:
        text: The scenario.
        hostile: Whether names and messages in it are such as do harm.
        cut: How many records of it there are, if not all.
        events: A record to add at the end.
    """
    plan = make_plan(read_toml(text), 7)
    records = Model(plan).run()[:cut]
    if events:
        records.append({"seq": len(records), "t": records[-1]["t"], "src": "run", **events})
    if hostile:
        for entry in records:
            for field in (
                "worker_id",
                "fault",
                "exit",
                "why",
                "replay",
                "python",
                "kernel",
                "started",
                "target",
                "error",
            ):
                if field in entry:
                    entry[field] = HOSTILE
            for field in ("session", "operation", "command"):
                if entry["src"] in ("client", "pool") and entry.get(field) is not None:
                    entry[field] = HOSTILE
    return make_evidence(plan, records)


def broken_witness(found: Evidence) -> Finding:
    """Return a violation by a request that failed."""
    seq = next(entry["seq"] for entry in found.records if entry["src"] == "client" and entry["type"] == "info")
    return Finding(
        checker="C2",
        name="typed errors",
        judgement=Judgement.FAIL,
        text=f"1 violation {HOSTILE}",
        cases=1,
        witnesses=(Witness(text=f"request {HOSTILE}", seqs=(seq,)),),
    )


def reports(found: Evidence, *findings: Finding) -> Reports:
    return Reports(found, findings or (PASSED, IDLE))


@cache
def run(name: str) -> Reports:
    """Return the reports of one of `RUNS`; made once, for none of them changes."""
    return RUNS[name]()


def _hostile() -> Reports:
    found = evidence(hostile=True)
    return reports(found, PASSED, broken_witness(found))


RUNS = {
    "passed": lambda: reports(made()),
    "broken": lambda: reports(made(), PASSED, BROKEN, UNKNOWN, IDLE),
    "unknown": lambda: reports(made(), PASSED, UNKNOWN),
    "missed": lambda: reports(evidence(SCENARIO.replace("success_rate >= 0.8", "success_rate >= 0.9999"))),
    "interrupted": lambda: reports(evidence(type="interrupted", signal="SIGINT")),
    "cut short": lambda: reports(evidence(cut=1000)),
    "not started": lambda: reports(evidence(cut=2, type="not_started", error="WorkerInitFailed: no")),
    "idle": lambda: reports(evidence(cut=11)),
    "hostile": _hostile,
}
"""Runs of every kind."""

CODES = {
    "passed": 0,
    "broken": 1,
    "unknown": 2,
    "missed": 3,
    "interrupted": 130,
    "cut short": 2,
    "not started": 4,
    "idle": 2,
    "hostile": 1,
}
"""The exit code of each."""


def parsed(markup: str) -> ET.Element:
    """Parse what was written as XML, which is stricter than any browser."""
    return ET.fromstring(markup)  # noqa: S314  # our own text


def text_of(element: ET.Element) -> str:
    """What a reader sees of an element, with single spaces between words."""
    shown = [part for part in element.iter() if part.tag not in ("style", "title") and not part.tag.endswith("}title")]
    words = " ".join((part.text or "") + " " + (part.tail or "") for part in shown)
    return " ".join(words.replace("\N{NO-BREAK SPACE}", " ").split())


def texts(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def store(found: Evidence, directory: Path) -> Path:
    """Write a run that was made up into a directory, as a real one would have left it."""
    directory.mkdir()
    (directory / "plan.json").write_text(to_json(found.plan), encoding="utf-8")
    records = [{**found.records[0], "plan": sha256(found.plan)}, *found.records[1:]]
    lines = (json.dumps(entry, separators=(",", ":")) for entry in records)
    (directory / "history.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return directory
