"""The tally: what a run has come to so far, kept up from its history for whoever watches it.

It reads records that are already written and nothing else, so a watched run does not differ from an unwatched one.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

import attrs

from ._stats import Summary, percentile, summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._history import Record
    from ._plan import Plan

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
        self.sha256 = plan.sha256  # once: it costs as much as a frame
        self.phase = "opening the pool"
        self.clock: float | None = None
        """When the plan's time began, in the history's."""
        self.sent = 0
        self.ok = 0
        self.dropped = 0
        self.errors: Counter[str] = Counter()
        self.slots = {number: Slot(number) for number in range(plan.workers)}
        self.faults: dict[str, str] = dict.fromkeys((fault.name for fault in plan.faults), "due")
        """What became of each fault: due, active, done or missed."""
        self._read = 0
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

    def follow(self, records: Sequence[Record]) -> None:
        """Take in what was recorded since the last call."""
        while self._read < len(records):
            entry = records[self._read]
            self._read += 1
            if entry["src"] == "client":
                self._client(entry)
            elif entry["src"] == "pool":
                self._pool(entry)
            elif entry["src"] == "chaos":
                self._chaos(entry)
            else:
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
        name = entry["fault"]
        if entry["type"] == "inject":
            lasting = entry["kind"] != "kill"
            self.faults[name] = "active" if lasting else "done"
            slot = self.slots.setdefault(entry["slot"], Slot(entry["slot"]))
            slot.hit = Hit(name, entry["kind"], entry["t"], entry["incarnation"])
        elif entry["type"] == "missed":
            self.faults[name] = "missed"
        elif entry["type"] == "heal":
            self.faults[name] = "done"
            for slot in self.slots.values():
                # A worker that is gone is not healed: its slot serves again with the next one.
                if slot.hit is not None and slot.hit.name == name and slot.incarnation == slot.hit.incarnation:
                    slot.hit.over = entry["t"] if slot.state != "gone" else None

    def _run(self, entry: Record) -> None:
        phases = {"load_ended": "closing the pool", "closing": "closing the pool", "end": "done"}
        if entry["type"] == "clock":
            self.clock, self.phase = entry["t"], "under load"
        elif entry["type"] == "interrupted":
            self.phase = f"{entry['signal']}: healing, closing"
        elif entry["type"] in phases and not self.phase.startswith("SIG"):
            self.phase = phases[entry["type"]]
