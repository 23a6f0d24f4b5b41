"""The timeline of a run: its history as lives of workers, requests and faults, ready to be drawn.

A pure reading of records; times are the history's, in seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ._findings import Ending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ._findings import Findings
    from ._history import Record
    from ._incidents import Incident

OK = "ok"
CUT_OFF = "cut off"
"""What a request came to that the end of the run overtook."""
LOST = "no outcome"


@attrs.frozen(kw_only=True)
class Sample:
    """One request: when it was meant to leave, how long its outcome took from then on, and what it was.

    Args:
        index: Its number in the plan.
        at: Its intended send time.
        seconds: Until the outcome, or None if there was none.
        result: ``ok``, the name of the error, `CUT_OFF` or `LOST`.
        session: Whose it was.
    """

    index: int
    at: float
    seconds: float | None
    result: str
    session: str


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
        exit: How its process ended, as the pool saw it.
        busy: When it had a request, as pairs of times, in order.
    """

    slot: int
    incarnation: int
    pid: int | None
    starting: float
    ready: float | None
    ended: float
    exit: str | None
    busy: tuple[tuple[float, float], ...]


@attrs.frozen(kw_only=True)
class Strike:
    """A fault where it hit: the incident, its slot, and when its effect on that worker was over."""

    incident: Incident
    slot: int
    over: float
    restored: float | None
    """When every slot had a ready worker again."""


@attrs.frozen(kw_only=True)
class Timeline:
    """All there is to draw.

    Args:
        end: The last record's time; 0 if there is none.
        clock: When the plan's time began.
        stopped: When the run was interrupted or its load ended, whichever came first.
        slots: The slots there are.
        samples: The requests, by intended send time.
        in_flight: After each time, how many requests had no outcome.
        lives: The workers, by slot and time.
        strikes: The faults that hit, by time.
        missed: The faults that hit nobody: time, name, kind and why.
    """

    end: float
    clock: float
    stopped: float | None
    interrupted: bool
    slots: tuple[int, ...]
    samples: tuple[Sample, ...]
    in_flight: tuple[tuple[float, int], ...]
    lives: tuple[Life, ...]
    strikes: tuple[Strike, ...]
    missed: tuple[tuple[float, str, str, str], ...]


def make_timeline(records: Sequence[Record], findings: Findings, *, workers: int) -> Timeline:
    """Read a history as a timeline.

    Args:
        records: The whole history.
        findings: What the checks found in it.
        workers: The size of the pool.
    """
    end = float(records[-1]["t"]) if records else 0.0
    samples, in_flight = _requests(records, findings)
    lives = _lives(records, end)
    marks: dict[str, float] = {}
    for entry in records:
        if entry["src"] == "run":
            marks.setdefault(entry["type"], float(entry["t"]))
    stops = [marks[kind] for kind in ("load_ended", "interrupted") if kind in marks]
    return Timeline(
        end=end,
        clock=marks.get("clock", 0.0),
        stopped=min(stops, default=None),
        interrupted="interrupted" in marks,
        slots=tuple(sorted({*range(workers), *(life.slot for life in lives)})),
        samples=tuple(samples),
        in_flight=tuple(in_flight),
        lives=tuple(lives),
        strikes=tuple(_strikes(records, findings.incidents, lives, end)),
        missed=tuple(
            (float(entry["t"]), entry["fault"], entry["kind"], entry["why"])
            for entry in records
            if entry["src"] == "chaos" and entry["type"] == "missed"
        ),
    )


def _requests(records: Sequence[Record], findings: Findings) -> tuple[list[Sample], list[tuple[float, int]]]:
    sent: dict[int, Record] = {}
    outcomes: dict[int, Record] = {}
    in_flight: list[tuple[float, int]] = []
    seen: set[str] = set()
    cut: set[int] = set()
    for entry in records:
        if entry["src"] == "run":
            seen.add(entry["type"])
        if entry["src"] != "client":
            continue
        if entry["type"] == "invoke":
            sent.setdefault(entry["id"], entry)
        elif entry["type"] in ("ok", "fail", "info", "raised") and entry["id"] in sent:
            if entry["id"] not in outcomes and "interrupted" in seen and entry.get("error") == "Cancelled":
                cut.add(entry["id"])
            outcomes.setdefault(entry["id"], entry)
        else:
            continue
        in_flight.append((float(entry["t"]), len(sent) - len(outcomes)))
    overtaken = findings.ending is Ending.CUT_SHORT and "load_ended" not in seen
    unanswered = CUT_OFF if overtaken else LOST
    samples = [
        Sample(
            index=index,
            at=float(invoke["t_int"]),
            seconds=None if (outcome := outcomes.get(index)) is None else float(outcome["t"]) - float(invoke["t_int"]),
            result=_result(outcome, unanswered, cut_off=index in cut),
            session=invoke["session"],
        )
        for index, invoke in sent.items()
    ]
    return sorted(samples, key=lambda sample: (sample.at, sample.index)), in_flight


def _result(outcome: Record | None, unanswered: str, *, cut_off: bool) -> str:
    if outcome is None:
        return unanswered
    if cut_off:
        return CUT_OFF
    return OK if outcome["type"] == "ok" else str(outcome["error"])


def _lives(records: Iterable[Record], end: float) -> list[Life]:
    lives: dict[int, Life] = {}
    busy: dict[int, list[tuple[float, float]]] = {}
    begun: dict[int, float] = {}
    for entry in records:
        if entry["src"] != "pool" or entry.get("incarnation") is None:
            continue
        kind, incarnation, t = entry["type"], entry["incarnation"], float(entry["t"])
        if kind in ("WorkerStarting", "WorkerReady") and incarnation not in lives:
            lives[incarnation] = Life(
                slot=entry["slot"],
                incarnation=incarnation,
                pid=None,
                starting=t,
                ready=None,
                ended=end,
                exit=None,
                busy=(),
            )
        if kind == "WorkerReady":
            lives[incarnation] = attrs.evolve(lives[incarnation], ready=t, pid=entry.get("pid"))
        elif kind == "RequestDispatched":
            begun.setdefault(incarnation, t)
        elif kind in ("RequestFinished", "WorkerExited", "RequestRedispatched") and incarnation in begun:
            busy.setdefault(incarnation, []).append((begun.pop(incarnation), t))
        if kind == "WorkerExited" and incarnation in lives:
            lives[incarnation] = attrs.evolve(lives[incarnation], ended=t, exit=entry.get("exit"))
    for incarnation, since in begun.items():
        busy.setdefault(incarnation, []).append((since, end))
    found = (attrs.evolve(life, busy=tuple(busy.get(life.incarnation, ()))) for life in lives.values())
    return sorted(found, key=lambda life: (life.slot, life.starting))


def _strikes(
    records: Sequence[Record], incidents: Iterable[Incident], lives: Iterable[Life], end: float
) -> Iterable[Strike]:
    gone: Mapping[int, float] = {life.incarnation: life.ended for life in lives}
    healed: dict[str, float] = {}
    for entry in records:
        if entry["src"] == "chaos" and entry["type"] == "heal":
            healed.setdefault(entry["fault"], float(entry["t"]))
    for incident in incidents:
        # A fault's effect on a worker ends when it is taken back, and no later than the worker does.
        over = min(healed.get(incident.name, end), gone.get(incident.incarnation, end))
        yield Strike(
            incident=incident,
            slot=records[incident.seq]["slot"],
            over=max(over, incident.at),
            restored=None if incident.to_capacity is None else incident.at + incident.to_capacity,
        )
