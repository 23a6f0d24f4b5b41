"""What each fault did: whom it hit, how soon the pool noticed, and how soon everything was as before.

Read off the history, once for each occurrence of a fault, which may have several victims; then a time is that of the
last of them. All are seconds since the strike. None means that it did not happen before the load ended, or that there
was nothing to happen: a worker that is merely slow is not detected.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, cast

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .._history import Record

_OVER = frozenset({"load_ended", "interrupted", "closing", "GaveUp"})
"""What ends the time in which the pool must recover: workers that go after it go because the pool closes."""

_NOTICED = frozenset({"WorkerKilled", "WorkerExited", "HealthMissed"})


@attrs.frozen(kw_only=True)
class Victim:
    """A worker that was hit.

    Args:
        slot: Its place; None of what has none, such as the application.
        worker_id: Its name.
        incarnation: Which of its lives.
        begun: Whether it was running a request.
        requests: How many it had.
        lost: Whether it was gone before the load ended.
    """

    slot: int | None
    worker_id: str | None
    incarnation: int | None
    begun: bool
    requests: int
    lost: bool


@attrs.frozen(kw_only=True)
class Occurrence:
    """One strike of a fault and its consequences.

    Args:
        fault: Its name in the scenario.
        kind: What was done.
        number: Which strike of this fault, from 0.
        seq: The record of the first injection.
        at: When, in the history's time.
        healed: When it was healed; None of what does not last, or was not.
        heal_failed: Whether something of it was left.
        victims: Whom it hit.
        detect: Until the pool noticed, of every victim.
        capacity: Until all workers were ready again.
        first_ok: Until each slot that was hit had answered a request again.
        steady: Until the steady state held again.
        frames: How many messages on a link it changed, moved or held.
        final: Whether nothing was left that could recover: it hit the application itself, for good, or a pool that was
            closing.
    """

    fault: str
    kind: str
    number: int
    seq: int
    at: float
    healed: float | None
    heal_failed: bool
    victims: tuple[Victim, ...]
    detect: float | None
    capacity: float | None
    first_ok: float | None
    steady: float | None
    frames: int
    final: bool

    @property
    def in_flight(self) -> int:
        """How many of its victims were running a request."""
        return sum(victim.begun for victim in self.victims)

    @property
    def several(self) -> int:
        """How many of its victims had several requests."""
        return sum(victim.requests > 1 for victim in self.victims)

    @property
    def lost(self) -> int:
        """How many of its victims the pool lost."""
        return sum(victim.lost for victim in self.victims)


@attrs.frozen(kw_only=True)
class Missed:
    """A strike that hit nobody.

    Args:
        fault: Its name in the scenario.
        number: Which strike of this fault, from 0.
        at: When that was certain, in the history's time.
        why: What stood in its way.
    """

    fault: str
    number: int
    at: float
    why: str


def find_missed(records: Iterable[Record]) -> tuple[Missed, ...]:
    """Return the strikes that hit nobody."""
    return tuple(
        Missed(fault=e["fault"], number=int(e.get("occurrence", 0)), at=float(e["t"]), why=str(e.get("why", "")))
        for e in records
        if e["src"] == "chaos" and e["type"] == "missed"
    )


def find_occurrences(
    records: Sequence[Record], *, workers: int, steady: Sequence[tuple[float, bool]] = (), hold: float = 0.0
) -> tuple[Occurrence, ...]:
    """Return what each strike did, in order.

    Args:
        records: The whole history.
        workers: The size of the pool.
        steady: At each sample's time, whether the steady state held.
        hold: For how long it must hold before it counts.
    """
    course = _Course(records, workers)
    strikes: dict[tuple[str, int], list[Record]] = {}
    healed: dict[tuple[str, int], Record] = {}
    frames: Counter[tuple[str, int]] = Counter()
    for entry in records:
        if entry["src"] == "chaos" and entry["type"] in ("inject", "effect", "heal"):
            key = (str(entry["fault"]), int(entry.get("occurrence", 0)))
            if entry["type"] == "inject":
                strikes.setdefault(key, []).append(entry)
            elif entry["type"] == "heal":
                healed.setdefault(key, entry)
            else:
                frames[key] += _frames(entry.get("effect"))
    return tuple(_follow(key, hit, healed.get(key), frames[key], course, steady, hold) for key, hit in strikes.items())


class _Course:
    """The pool's events, sorted so that each question about a fault looks at few of them."""

    def __init__(self, records: Sequence[Record], workers: int) -> None:
        self.slots: dict[int, int] = {}
        self.noticed: dict[int, list[Record]] = {}
        self.gone: dict[int, Record] = {}
        self.hits: dict[int, list[int]] = {}
        """By incarnation: the records of the injections that hit it."""
        self.replies: dict[int, list[Record]] = {}
        self.full: list[int] = []
        """Sequence numbers of the events after which all workers were ready."""
        self.times: list[float] = [float(entry["t"]) for entry in records]
        self.answers: list[int] = []
        self.over: float = math.inf
        """The record with which the time ends in which the pool must recover."""
        ready: set[int] = set()
        for entry in records:
            kind = entry["type"]
            if kind in _OVER and entry["src"] in ("run", "pool"):
                self.over = entry["seq"]
                break
            if entry["src"] == "client" and kind == "ok":
                self.answers.append(entry["seq"])
            incarnation = entry.get("incarnation")
            if entry["src"] == "chaos" and kind == "inject" and incarnation is not None:
                self.hits.setdefault(incarnation, []).append(entry["seq"])
            if entry["src"] != "pool" or incarnation is None:
                continue
            if kind in ("WorkerStarting", "WorkerReady"):
                self.slots[incarnation] = entry["slot"]
            if kind in _NOTICED or (kind == "RequestFinished" and entry["result"] == "timed_out"):
                self.noticed.setdefault(incarnation, []).append(entry)
            if kind == "RequestFinished" and entry["result"] == "ok" and incarnation in self.slots:
                self.replies.setdefault(self.slots[incarnation], []).append(entry)
            if kind == "WorkerReady":
                ready.add(incarnation)
            elif kind == "WorkerExited":
                ready.discard(incarnation)
                self.gone.setdefault(incarnation, entry)
            if kind in ("WorkerReady", "WorkerExited") and len(ready) >= workers:
                self.full.append(entry["seq"])

    def after(self, seqs: Sequence[int], seq: int) -> int | None:
        """Return the first of some sequence numbers that is larger than one."""
        place = bisect_left(seqs, seq + 1)
        return seqs[place] if place < len(seqs) else None


def _follow(
    key: tuple[str, int],
    hit: Sequence[Record],
    heal: Record | None,
    frames: int,
    course: _Course,
    steady: Sequence[tuple[float, bool]],
    hold: float,
) -> Occurrence:
    first = hit[0]
    at, seq = float(first["t"]), int(first["seq"])
    victims = tuple(_victim(entry, heal, course) for entry in hit)
    detect = _last(_detected(entry, course) for entry in hit)
    capacity = _restored(hit, heal, course)
    return Occurrence(
        fault=key[0],
        kind=str(first.get("kind", "")),
        number=key[1],
        seq=seq,
        at=at,
        healed=None if heal is None else float(heal["t"]),
        heal_failed=heal is not None and not heal.get("ok", True),
        victims=victims,
        detect=_since(detect, at),
        capacity=_since(capacity, at),
        first_ok=_since(_last(_replied(entry, heal, course) for entry in hit), at),
        steady=_since(_settled(_over(at, detect, heal, victims), steady, hold), at),
        frames=frames,
        final=seq > course.over or (heal is None and all(victim.slot is None for victim in victims)),
    )


def _victim(entry: Record, heal: Record | None, course: _Course) -> Victim:
    incarnation = entry.get("incarnation")
    return Victim(
        slot=entry.get("slot"),
        worker_id=entry.get("worker_id"),
        incarnation=incarnation,
        begun=bool(entry.get("begun")),
        requests=_counted(entry.get("requests")),
        lost=_exit(entry, heal, course) is not None,
    )


def _exit(entry: Record, heal: Record | None, course: _Course) -> Record | None:
    """Return the end of a worker if this fault brought it about.

    A damaged link may cost the worker long after it was mended. But once a fault is over, the end belongs to whatever
    hit the worker last.
    """
    incarnation = entry.get("incarnation")
    gone = None if incarnation is None else course.gone.get(incarnation)
    if incarnation is None or gone is None or gone["seq"] < entry["seq"] or gone.get("planned"):
        return None
    over = heal is not None and heal["seq"] < gone["seq"]
    hit_again = course.after(course.hits.get(incarnation, ()), entry["seq"])
    if over and hit_again is not None and hit_again < gone["seq"]:
        return None
    return gone


def _detected(entry: Record, course: _Course) -> float | None:
    noticed: Mapping[int, list[Record]] = course.noticed
    incarnation = entry.get("incarnation")
    events = [] if incarnation is None else noticed.get(incarnation, [])
    return next((float(event["t"]) for event in events if event["seq"] > entry["seq"]), None)


def _replied(entry: Record, heal: Record | None, course: _Course) -> float | None:
    slot, incarnation = entry.get("slot"), entry.get("incarnation")
    start = int(entry["seq"]) if heal is None else int(heal["seq"])
    if slot is None:
        seq = course.after(course.answers, start)
        return None if seq is None else course.times[seq]
    stays = _exit(entry, heal, course) is None

    def counts(event: Record) -> bool:
        if event["incarnation"] != incarnation:
            return bool(event["seq"] > entry["seq"])
        # The hit worker's own reply counts once the fault is over, and never if the worker died of it: what it had
        # written before is not the slot's return.
        return stays and bool(event["seq"] > start)

    return _first(course.replies.get(slot, []), int(entry["seq"]), counts)


def _first(events: Sequence[Record], seq: int, counts: Callable[[Record], bool]) -> float | None:
    place = bisect_left(events, seq, key=lambda event: int(event["seq"]))
    return next((float(event["t"]) for event in events[place:] if counts(event)), None)


def _restored(hit: Sequence[Record], heal: Record | None, course: _Course) -> float | None:
    """Return when all workers were ready again: with the last replacement after a death, else with the healing."""
    exits = [gone for entry in hit if (gone := _exit(entry, heal, course)) is not None]
    if not exits:
        return None if heal is None else float(heal["t"])
    seq = course.after(course.full, max(int(gone["seq"]) for gone in exits))
    return None if seq is None else course.times[seq]


def _over(at: float, detect: float | None, heal: Record | None, victims: Sequence[Victim]) -> float:
    """Return from when it counts that all looks well: until the pool knows of a fault, it looks well too."""
    known = at if detect is None else detect
    if heal is None or (victims and all(victim.lost for victim in victims)):
        return known
    return max(known, float(heal["t"]))


def _settled(since: float, steady: Sequence[tuple[float, bool]], hold: float) -> float | None:
    start: float | None = None
    for t, well in steady[bisect_left(steady, (since, False)) :]:
        if not well:
            start = None
        elif start is None:
            start = t
        if start is not None and t - start >= hold:
            return start
    return None


def _last(times: Iterable[float | None]) -> float | None:
    """Return the last of some times, or None if one of them never came."""
    found = list(times)
    known = [t for t in found if t is not None]
    return max(known) if known and len(known) == len(found) else None


def _frames(effect: object) -> int:
    """Return how many frames a fault of the wire counts in its effect."""
    return _counted(cast("dict[str, object]", effect).get("frames")) if isinstance(effect, dict) else 0


def _counted(value: object) -> int:
    return value if isinstance(value, int) else 0


def _since(t: float | None, at: float) -> float | None:
    return None if t is None else round(t - at, 6)
