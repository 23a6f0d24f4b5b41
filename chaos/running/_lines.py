"""What there is to say of a run while it lasts, in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from .._stats import summarize

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._history import Record


class Viewer(Protocol):
    """Shows a run to somebody."""

    def take(self, record: Record) -> None:
        """Take one record of the history; they come in order."""
        ...

    async def run(self) -> None:
        """Do what is to be done beside that. Ends by being cancelled, or before."""
        ...


class Lines:
    """Says what happens, and once a second of the run how it stands.

    Args:
        say: Takes the lines.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._progress = Progress()
        self._told = 0.0

    def take(self, record: Record) -> None:
        """Take one record."""
        line = self._progress.take(record)
        if line is not None:
            self._say(line)
        if self._progress.at >= self._told + 1.0:
            self._told = self._progress.at
            self._say(self._progress.line())

    async def run(self) -> None:
        """Nothing is to be done."""
        await trio.lowlevel.checkpoint()


class Progress:
    """What a run has come to, from its records."""

    def __init__(self) -> None:
        self.phase = "opening"
        self.at = 0.0
        self.ok = 0
        self.failed = 0
        self.dropped = 0
        self.in_flight = 0
        self.queued = 0
        self.ready: int | None = None
        self.size: int | None = None
        self._intended: dict[int, float] = {}
        self._latencies: list[float] = []

    def take(self, record: Record) -> str | None:
        """Take one record; return a line for the user if it is worth one."""
        self.at = record["t"]
        match record["src"], record["type"]:
            case "run", "said":
                return f"{self.at:7.2f} s  {record['line']}"
            case "run", "phase":
                self.phase = record["name"]
                return f"{self.at:7.2f} s  phase {self.phase}, {record['duration']:g} s"
            case "run", "opened" | "load_ended" | "closed" as kind:
                self.phase = {"opened": "steady?", "load_ended": "closing", "closed": "closed"}[kind]
                return f"{self.at:7.2f} s  {kind.replace('_', ' ')}, after {record['took']:g} s"
            case "run", "not_started" | "pool_failed":
                return f"{self.at:7.2f} s  {record['error']}"
            case "client", "invoke":
                self._intended[record["id"]] = record["t_int"]
            case "client", "ok":
                self.ok += 1
                self._latencies.append(self.at - self._intended.pop(record["id"], self.at))
            case "client", "fail" | "info" | "raised":
                self.failed += 1
                self._intended.pop(record["id"], None)
            case "client", "drop":
                self.dropped += 1
            case "sampler", "sample":
                self.in_flight = record["in_flight"]
                self.queued = record.get("queued", 0)
                self.ready, self.size = record.get("ready"), record.get("size")
            case _:
                pass
        return None

    def line(self) -> str:
        """Return the state of the run in one line."""
        numbers = summarize(self._latencies)
        p95 = "-" if numbers is None else f"{numbers.p95 * 1e3:.0f} ms"
        ready = "" if self.ready is None else f"  ready {self.ready}/{self.size}"
        return (
            f"{self.at:7.2f} s  {self.phase}{ready}  in flight {self.in_flight}  ok {self.ok}  failed {self.failed}"
            f"  dropped {self.dropped}  p95 {p95}"
        )
