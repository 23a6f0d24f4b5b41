"""A run as it is drawn: phases, faults, lives of workers and requests, ready to be given places."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from ..checking._finding import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._history import Record
    from ..checking._measured import Drop, Measured
    from ..checking._metrics import Measures
    from ..checking._recovery import Occurrence
    from ..checking._results import Results
    from ..evidence._evidence import Evidence

SUDDEN, FREEZE, WIRE, OTHER = "sudden", "freeze", "wire", "other"
"""How faults look: a moment, or a stretch with one of three patterns."""

_STILL = frozenset({"freeze", "brief-freeze", "gil-hog", "app-stop", "app-stall", "cpu-starvation"})


@attrs.frozen(kw_only=True)
class PhaseSpan:
    """A phase and when it was."""

    name: str
    start: float
    end: float
    measure: bool
    heal: bool


@attrs.frozen(kw_only=True)
class Life:
    """One worker process, from the start of its spawning to its burial.

    Args:
        slot: Its place.
        incarnation: Its number.
        pid: Its process, if it lived to say so.
        starting: When its spawning began.
        ready: When it could serve, or None if it never could.
        ended: When it was gone; the last record's time if it outlived the history.
        exit: How its process ended, as the pool saw it; None while it lived.
        planned: Whether the pool meant it to.
        busy: When it had a request, as pairs of times, in order.
    """

    slot: int
    incarnation: int
    pid: int | None
    starting: float
    ready: float | None
    ended: float
    exit: str | None
    planned: bool
    busy: tuple[tuple[float, float], ...]


@attrs.frozen(kw_only=True)
class Stroke:
    """One strike of a fault, as it is drawn.

    Args:
        occurrence: What it did.
        look: `SUDDEN`, `FREEZE`, `WIRE` or `OTHER`.
        over: When its effect was over: at its healing, else at once.
    """

    occurrence: Occurrence
    look: str
    over: float

    @property
    def at(self) -> float:
        """When it struck."""
        return self.occurrence.at

    @property
    def name(self) -> str:
        """The fault's name."""
        return self.occurrence.fault


@attrs.frozen(kw_only=True, eq=False)
class Scene:
    """All there is to draw.

    Args:
        results: What the run came to.
        measures: What its numbers are of.
        start: When the picture begins.
        end: When it ends.
        phases: In order.
        strokes: The faults that hit, by time.
        slots: The slots there are; none of a pool that tells no events.
        lives: The workers, by slot and time.
    """

    results: Results
    measures: Measures
    start: float
    end: float
    phases: tuple[PhaseSpan, ...]
    strokes: tuple[Stroke, ...]
    slots: tuple[int, ...]
    lives: tuple[Life, ...]

    @property
    def requests(self) -> Sequence[Measured]:
        """Those that were sent."""
        return self.measures.requests

    @property
    def drops(self) -> Sequence[Drop]:
        """Those that were not."""
        return self.measures.drops

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return self.results.verdict is Judgement.PASS


def make_scene(results: Results, measures: Measures, evidence: Evidence) -> Scene:
    """Read a run as a scene."""
    records = measures.records
    end = float(records[-1]["t"]) if records else 1.0
    marks = {str(e["type"]): float(e["t"]) for e in reversed(records) if e["src"] == "run"}
    # What the watching process adds after the application's end is no part of the picture.
    end = marks.get("closed", end)
    lives = tuple(_lives(evidence, end))
    return Scene(
        results=results,
        measures=measures,
        start=0.0,
        end=max(end, 1e-3),
        phases=tuple(_phases(evidence, measures, end)),
        strokes=tuple(
            sorted((_stroke(each, end) for each in measures.occurrences), key=lambda stroke: (stroke.at, stroke.name))
        ),
        slots=tuple(sorted({life.slot for life in lives})),
        lives=lives,
    )


def _phases(evidence: Evidence, measures: Measures, end: float) -> Iterator[PhaseSpan]:
    for phase in evidence.plan.scenario.phases:
        window = measures.windows[phase.name]
        start, stop = window.spans[0]
        if start < end:
            yield PhaseSpan(name=phase.name, start=start, end=min(stop, end), measure=phase.measure, heal=phase.heal)


def look_of(kind: str, *, lasts: bool) -> str:
    """Return how a kind of fault looks."""
    if kind.startswith("wire"):
        return WIRE
    if kind in _STILL:
        return FREEZE
    return OTHER if lasts else SUDDEN


def _stroke(occurrence: Occurrence, end: float) -> Stroke:
    lasts = occurrence.healed is not None
    look = look_of(occurrence.kind, lasts=lasts)
    over = occurrence.at if occurrence.healed is None else occurrence.healed
    if occurrence.healed is None and look == FREEZE:
        over = end
    return Stroke(occurrence=occurrence, look=look, over=over)


def _lives(evidence: Evidence, end: float) -> Iterator[Life]:
    busy = _busy(evidence.records, end)
    for incarnation, life in sorted(evidence.lives.items(), key=lambda item: (item[1].slot, item[1].since)):
        gone = life.exit
        yield Life(
            slot=life.slot,
            incarnation=incarnation,
            pid=life.pid,
            starting=life.since,
            ready=None if life.ready is None else float(life.ready["t"]),
            ended=end if math.isinf(life.until) else min(life.until, end),
            exit=None if gone is None else str(gone.get("exit") or gone.get("reason") or "gone"),
            planned=gone is not None and bool(gone.get("planned")),
            busy=tuple(busy.get(incarnation, ())),
        )


def _busy(records: Sequence[Record], end: float) -> Mapping[int, list[tuple[float, float]]]:
    """Return when each worker had at least one request, by incarnation."""
    found: dict[int, list[tuple[float, float]]] = {}
    since: dict[int, float] = {}
    held: dict[int, set[int]] = {}
    for entry in records:
        if entry["src"] != "pool" or entry.get("incarnation") is None:
            continue
        incarnation, t = int(entry["incarnation"]), float(entry["t"])
        mine = held.setdefault(incarnation, set())
        if entry["type"] == "RequestDispatched":
            if not mine:
                since[incarnation] = t
            mine.add(entry["request_id"])
        elif entry["type"] in ("RequestFinished", "RequestRedispatched", "RequestRetried"):
            mine.discard(entry["request_id"])
        elif entry["type"] == "WorkerExited":
            mine.clear()
        if not mine and incarnation in since:
            found.setdefault(incarnation, []).append((since.pop(incarnation), t))
    for incarnation, t in since.items():
        found.setdefault(incarnation, []).append((t, end))
    return found
