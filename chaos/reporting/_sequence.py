"""A sequence diagram of one request: what passed between its caller, the pool and the workers, message by message.

Rows follow each other in the order of time and are not to scale: of what happens within a millisecond, the order is
what one wants to see.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import attrs

from .._output import clean
from .._svg import element, number, words
from ..checking._finding import Judgement
from ._frame import picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._history import Record
    from ..checking._finding import Witness
    from ..checking._results import Results
    from ..evidence._evidence import Evidence

MAX_STEPS: Final = 24
"""Rows drawn; a request that was retried for ever has more than anybody reads."""

AFTER: Final = 0.5
"""Seconds after the request's end in which the end of its worker still belongs to the picture."""

_NAMED: Final = re.compile(r"(?<!pool's )\brequest (\d+)\b")
"""A request in a witness's sentence by the load's number; the pool counts its own differently."""

_CALLER, _POOL = 0, 1
_ROW: Final = 28.0


@attrs.frozen(kw_only=True)
class Step:
    """One thing that happened.

    Args:
        t: When.
        source: From which column it came.
        target: To which; the same for what happened in one place.
        text: What it was.
        bad: Whether it is what somebody should look at.
        seq: Its record, which decides between two of one moment.
    """

    t: float
    source: int
    target: int
    text: str
    bad: bool = False
    seq: int = 0


@attrs.frozen(kw_only=True)
class Diagram:
    """The course of one request.

    Args:
        title: Which, and what it is shown for.
        columns: Caller, pool, and the workers that had to do with it.
        steps: In order.
        left_out: How many more there were.
        violation: Whether it is a case against a checker, and not an example.
    """

    title: str
    columns: tuple[str, ...]
    steps: tuple[Step, ...]
    left_out: int
    violation: bool


def find_diagram(results: Results, evidence: Evidence) -> Diagram | None:
    """Return the course of the request worth looking at: that of the first violation, else of one that a fault hit."""
    for finding in results.findings:
        if finding.judgement is Judgement.FAIL:
            for witness in finding.witnesses:
                request = next(_requests(witness, evidence), None)
                if request is not None:
                    title = f"Request {request}, a case against {finding.checker} ({finding.name})"
                    return _Reader(evidence).read(request, title, violation=True)
    numbers = {request.number: request.id for request in evidence.requests.values() if request.number is not None}
    for entry in evidence.records:
        if entry["src"] == "chaos" and entry["type"] == "inject" and entry.get("begun"):
            hit = numbers.get(entry.get("request_id") or -1)
            if hit is not None:
                title = f"Request {hit}, which was running when {entry['fault']} struck"
                return _Reader(evidence).read(hit, title, violation=False)
    return None


def _requests(witness: Witness, evidence: Evidence) -> Iterator[int]:
    """Yield the requests that a witness is about: the one its sentence names first, which is the one gone wrong."""
    for name in _NAMED.findall(witness.text):
        if int(name) in evidence.requests:
            yield int(name)
    for seq in witness.seqs:
        entry: Record = evidence.records[seq] if seq < len(evidence.records) else {}
        if entry.get("src") == "client" and entry.get("id") in evidence.requests:
            yield int(entry["id"])


class _Reader:
    """Puts together what all three witnesses tell of one request."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._columns = ["caller", "pool"]
        self._workers: dict[int, int] = {}

    def read(self, number_: int, title: str, *, violation: bool) -> Diagram:
        request = self._evidence.requests[number_]
        steps = [Step(t=request.sent, source=_CALLER, target=_POOL, text=request.operation)]
        for entry in request.told:
            steps += self._told(entry)
        for execution in request.executions:
            place = _POOL if execution.life is None else self._column(execution.life.incarnation)
            for t, what in (
                (execution.begin, "begins"),
                (execution.effect, "has its effect"),
                (execution.end, "is about to return"),
                (execution.stopped, "stops without effect"),
            ):
                if t is not None:
                    steps.append(Step(t=t, source=place, target=place, text=what))
        last = request.ended + AFTER if request.outcomes else math.inf
        for entry in self._evidence.records:
            if request.sent <= float(entry["t"]) <= last:
                steps += self._around(entry)
        steps += [
            Step(
                t=float(entry["t"]),
                source=_POOL,
                target=_CALLER,
                text="ok" if entry["type"] == "ok" else str(entry["error"]),
                bad=entry["type"] != "ok",
                seq=int(entry["seq"]),
            )
            for entry in request.outcomes
        ]
        steps.sort(key=lambda step: (step.t, step.seq))
        return Diagram(
            title=title,
            columns=tuple(self._columns),
            steps=tuple(steps[:MAX_STEPS]),
            left_out=max(len(steps) - MAX_STEPS, 0),
            violation=violation,
        )

    def _column(self, incarnation: int) -> int:
        if incarnation not in self._workers:
            life = self._evidence.lives.get(incarnation)
            self._workers[incarnation] = len(self._columns)
            self._columns.append(f"worker #{incarnation}" if life is None else f"slot {life.slot}, #{incarnation}")
        return self._workers[incarnation]

    def _told(self, entry: Record) -> Iterator[Step]:
        t, seq, incarnation = float(entry["t"]), int(entry["seq"]), entry.get("incarnation")
        match entry["type"]:
            case "RequestDispatched":
                yield Step(t=t, source=_POOL, target=self._column(int(incarnation or 0)), text="handed over", seq=seq)
            case "RequestRedispatched":
                yield Step(t=t, source=_POOL, target=_POOL, text="not begun: back to the queue", seq=seq)
            case "RequestRetried":
                yield Step(t=t, source=_POOL, target=_POOL, text="idempotent: once more", seq=seq)
            case "RequestFinished" if incarnation is not None and entry["result"] == "ok":
                yield Step(t=t, source=self._column(int(incarnation)), target=_POOL, text="reply", seq=seq)
            case "RequestFinished":
                yield Step(t=t, source=_POOL, target=_POOL, text=f"finished: {entry['result']}", seq=seq)
            case _:
                pass

    def _around(self, entry: Record) -> Iterator[Step]:
        """Yield what happened to the request's workers meanwhile."""
        place = self._workers.get(entry.get("incarnation") or -1)
        if place is None:
            return
        t, seq = float(entry["t"]), int(entry["seq"])
        if entry["src"] == "chaos" and entry["type"] == "inject":
            yield Step(t=t, source=place, target=place, text=f"{entry['fault']}: {entry['kind']}", bad=True, seq=seq)
        elif entry["type"] == "WorkerKilled":
            yield Step(t=t, source=place, target=place, text="the pool has it killed", bad=True, seq=seq)
        elif entry["type"] == "WorkerExited":
            yield Step(t=t, source=place, target=place, text=f"gone: {entry.get('exit')}", bad=True, seq=seq)


def draw_diagram(diagram: Diagram, *, width: int, label: str) -> str:
    """Return the diagram; one arrow a row, with the time since the first at its left."""
    clock = 62.0
    step = (width - clock - 10.0) / len(diagram.columns)
    middles = [clock + step * (index + 0.5) for index in range(len(diagram.columns))]
    top = 30.0
    bottom = top + (len(diagram.steps) + 0.5) * _ROW
    parts: list[str] = []
    for middle, name in zip(middles, diagram.columns, strict=True):
        parts.append(words(middle, 14.0, name, class_="panel", text_anchor="middle"))
        parts.append(element("line", class_="lifeline", x1=middle, x2=middle, y1=20.0, y2=bottom))
    first = diagram.steps[0].t if diagram.steps else 0.0
    for row, each in enumerate(diagram.steps):
        y = top + (row + 0.7) * _ROW
        since = (each.t - first) * 1e3
        parts.append(words(clock - 8.0, y + 4.0, f"{since:.1f} ms", class_="tick", text_anchor="end"))
        parts += _arrow(each, middles, y)
    return picture(parts, width, bottom + 4.0, label)


def _arrow(step: Step, middles: list[float], y: float) -> Iterator[str]:
    bad = " bad-step" if step.bad else ""
    start, stop = middles[step.source], middles[step.target]
    text = f"✗ {clean(step.text)}" if step.bad else clean(step.text)
    if step.source == step.target:
        yield element("rect", class_=f"event{bad}", x=start - 4.0, y=y - 4.0, width=8, height=8)
        # To the side that has room.
        last = step.source == len(middles) - 1
        yield words(
            start + (-9.0 if last else 9.0), y + 4.0, text, class_=f"row{bad}", text_anchor="end" if last else None
        )
        return
    way = 1.0 if stop > start else -1.0
    head = (
        f"M{number(stop - way * 6)} {number(y - 4)}L{number(stop)} {number(y)}L{number(stop - way * 6)} {number(y + 4)}"
    )
    yield element("path", class_=f"arrow{bad}", d=f"M{number(start)} {number(y)}H{number(stop)}{head}")
    yield words((start + stop) / 2, y - 4.0, text, class_=f"row{bad}", text_anchor="middle")
