"""The tally: what a run has come to so far, kept up from its history for whoever watches it.

It reads records that are already written and nothing else, so a watched run does not differ from an unwatched one.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

import attrs

from .._stats import Summary, percentile, summarize
from ..scenario._plan_file import sha256

if TYPE_CHECKING:
    from .._history import Record
    from ..scenario._plan import Plan

WINDOW = 5.0
"""Seconds the percentiles look back: long enough for a sample, short enough to see a fault come and go."""

SERIES = 600
"""Seconds of which the course is kept: more than the widest terminal has columns."""


@attrs.define
class Hit:
    """The last fault that hit a slot."""

    name: str
    kind: str
    at: float
    incarnation: int
    over: float | None = None
    """When the slot served as before again; None while it does not."""


@attrs.define
class Slot:
    """A place in the pool and the worker in it."""

    number: int
    incarnation: int | None = None
    pid: int | None = None
    state: str = "none yet"
    starts: int = 0
    hit: Hit | None = None

    @property
    def restarts(self) -> int:
        """How many workers came after the first."""
        return max(0, self.starts - 1)


@attrs.define
class Strikes:
    """What became of a fault so far: how often it is due to strike, has struck, has missed and lasts now.

    Args:
        due: None for a fault that waits for something and strikes whenever it happens.
    """

    due: int | None
    struck: int = 0
    missed: int = 0
    active: int = 0

    @property
    def status(self) -> str:
        """``due``, ``active``, ``done``, or ``missed`` if it never struck."""
        if self.active:
            return "active"
        if self.due is not None and self.struck + self.missed < self.due:
            return "due"
        if self.struck:
            return "done"
        return "missed" if self.missed else "due"


@attrs.define
class Second:
    """What became of the requests that ended in one second."""

    seconds: list[float] = attrs.field(factory=list[float])
    failed: int = 0

    @property
    def p95(self) -> float | None:
        """The 95th percentile of the successes' latency."""
        return percentile(sorted(self.seconds), 0.95) if self.seconds else None


class Tally:
    """Counts what the history tells.

    Args:
        plan: Whose run it is.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sha256 = sha256(plan)  # once: it costs as much as a frame
        self.now = 0.0
        """The time of the last record."""
        self.phase = "opening the pool"
        self.clock: float | None = None
        """When the plan's time began, in the history's."""
        self.sent = 0
        self.ok = 0
        self.dropped = 0
        self.errors: Counter[str] = Counter()
        self.slots: dict[int, Slot] = {number: Slot(number) for number in range(plan.scenario.pool.size or 0)}
        self.faults: dict[str, Strikes] = {}
        """What became of each fault."""
        for strike in plan.strikes:
            known = self.faults.setdefault(strike.fault, Strikes(due=0))
            known.due = None if strike.at is None or known.due is None else known.due + 1
        self._heals = {fault.name: fault.heals for fault in plan.scenario.faults}
        self._struck: set[tuple[str, int]] = set()
        self._homes: dict[int, Slot] = {}
        self._intended: dict[int, float] = {}
        self._recent: deque[tuple[float, float]] = deque()
        self._course: dict[int, Second] = {}

    @property
    def in_flight(self) -> int:
        """Requests that have no outcome yet."""
        return len(self._intended)

    @property
    def failed(self) -> int:
        """Requests that ended with an error."""
        return self.errors.total()

    def elapsed(self, now: float) -> float:
        """Return how much of the plan's time has gone by."""
        return 0.0 if self.clock is None else max(0.0, now - self.clock)

    def recent(self, now: float) -> Summary | None:
        """Return the latency of what was answered in the last seconds, or None if nothing was."""
        while self._recent and self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
        return summarize(seconds for _, seconds in self._recent)

    def course(self, now: float, seconds: int) -> list[Second]:
        """Return the last whole seconds up to now, oldest first, at most as many as asked for."""
        last = int(self.elapsed(now))
        return [self._course.get(second, Second()) for second in range(max(0, last - seconds), last)]

    def take(self, entry: Record) -> None:
        """Take in one record."""
        self.now = entry["t"]
        if entry["src"] == "client":
            self._client(entry)
        elif entry["src"] == "pool":
            self._pool(entry)
        elif entry["src"] == "chaos":
            self._chaos(entry)
        elif entry["src"] == "run":
            self._run(entry)

    def _client(self, entry: Record) -> None:
        kind = entry["type"]
        if kind == "invoke":
            self.sent += 1
            self._intended[entry["id"]] = entry["t_int"]
        elif kind == "drop":
            self.dropped += 1
        elif kind in ("ok", "fail", "info", "raised"):
            intended = self._intended.pop(entry["id"], None)
            second = self._second(entry["t"])
            if kind != "ok":
                self.errors[entry["error"]] += 1
                second.failed += 1
                return
            self.ok += 1
            if intended is not None:
                self._recent.append((entry["t"], entry["t"] - intended))
                second.seconds.append(entry["t"] - intended)

    def _second(self, t: float) -> Second:
        number = int(self.elapsed(t))
        if number not in self._course:
            self._course[number] = Second()
            self._course.pop(number - SERIES, None)
        return self._course[number]

    def _pool(self, entry: Record) -> None:
        if entry["type"] == "RequestFinished":
            home = self._homes.get(entry["incarnation"])
            if home is not None and home.incarnation == entry["incarnation"] and home.state == "busy":
                home.state = "ready"
        if "slot" not in entry:
            return
        slot = self.slots.setdefault(entry["slot"], Slot(entry["slot"]))
        kind = entry["type"]
        if kind == "WorkerStarting":
            slot.incarnation, slot.pid, slot.state = entry["incarnation"], None, "starting"
            slot.starts += 1
            self._homes[entry["incarnation"]] = slot
        elif kind == "WorkerReady":
            slot.pid, slot.state = entry.get("pid"), "ready"
            if slot.hit is not None and slot.hit.over is None and entry["incarnation"] > slot.hit.incarnation:
                slot.hit.over = entry["t"]
        elif kind == "WorkerKilled":
            slot.state = "killed"
        elif kind == "WorkerExited":
            slot.pid, slot.state = None, "gone"
            self._homes.pop(entry["incarnation"], None)
        elif kind == "RequestDispatched":
            slot.state = "busy"

    def _chaos(self, entry: Record) -> None:
        fault = self.faults.setdefault(entry["fault"], Strikes(due=None))
        if entry["type"] == "inject":
            if (entry["fault"], entry["occurrence"]) not in self._struck:
                self._struck.add((entry["fault"], entry["occurrence"]))
                fault.struck += 1
                # What heals is over when it is healed; the rest, when it has struck.
                fault.active += self._heals.get(entry["fault"], False)
            if entry["slot"] is not None:
                slot = self.slots.setdefault(entry["slot"], Slot(entry["slot"]))
                slot.hit = Hit(entry["fault"], entry["kind"], entry["t"], entry["incarnation"])
        elif entry["type"] == "missed":
            fault.missed += 1
        elif entry["type"] == "heal":
            fault.active = max(0, fault.active - 1)
            for slot in self.slots.values():
                # A worker that is gone is not healed: its slot serves again with the next one.
                if (
                    slot.hit is not None
                    and slot.hit.name == entry["fault"]
                    and slot.incarnation == slot.hit.incarnation
                ):
                    slot.hit.over = entry["t"] if slot.state != "gone" else None

    def _run(self, entry: Record) -> None:
        phases = {"opened": "steady?", "load_ended": "steady again?", "closing": "closing the pool", "end": "done"}
        if entry["type"] == "clock":
            self.clock = entry["t"]
        elif entry["type"] == "interrupted":
            self.phase = f"{entry['signal']}: healing, closing"
        elif self.phase.startswith("SIG"):
            return
        elif entry["type"] == "phase":
            self.phase = entry["name"]
        elif entry["type"] in phases:
            self.phase = phases[entry["type"]]
