"""The lives of workers, as the pool told them: from the decision to start one to the moment it was reaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._history import Record


@attrs.define(kw_only=True)
class Life:
    """One incarnation of a worker. Each field is the record that says so, or None if there is none.

    Args:
        incarnation: Its number, of which there is one in the pool.
        slot: Its place.
        starting: The pool is about to start it.
        ready: It serves.
        kills: The pool has it killed.
        exits: It is gone and reaped; more than one is a mistake.
        duplicates: Further records of a start or of readiness, which should not be.
    """

    incarnation: int
    slot: int
    starting: Record | None = None
    ready: Record | None = None
    kills: list[Record] = attrs.field(factory=list["Record"])
    exits: list[Record] = attrs.field(factory=list["Record"])
    duplicates: list[Record] = attrs.field(factory=list["Record"])

    @property
    def pid(self) -> int | None:
        """Its process, once it is known."""
        for entry in (self.ready, *self.exits):
            if entry is not None and entry["pid"] is not None:
                return int(entry["pid"])
        return None

    @property
    def exit(self) -> Record | None:
        """Its end."""
        return self.exits[0] if self.exits else None

    @property
    def since(self) -> float:
        """When it began."""
        first = self.starting or self.ready or self.exit
        return float(first["t"]) if first is not None else 0.0

    @property
    def until(self) -> float:
        """When it was over; infinite if that is not on record."""
        return float(self.exits[0]["t"]) if self.exits else float("inf")


def find_lives(records: Iterable[Record]) -> dict[int, Life]:
    """Return the lives of all workers by incarnation, in the order of their beginning."""
    lives: dict[int, Life] = {}
    for entry in records:
        if entry["src"] != "pool" or entry["type"] not in _TOLD:
            continue
        incarnation = entry["incarnation"]
        life = lives.setdefault(incarnation, Life(incarnation=incarnation, slot=entry["slot"]))
        match entry["type"]:
            case "WorkerStarting" if life.starting is None:
                life.starting = entry
            case "WorkerReady" if life.ready is None:
                life.ready = entry
            case "WorkerKilled":
                life.kills.append(entry)
            case "WorkerExited":
                life.exits.append(entry)
            case _:
                life.duplicates.append(entry)
    return lives


_TOLD = frozenset({"WorkerStarting", "WorkerReady", "WorkerKilled", "WorkerExited"})


class Processes:
    """Finds the life a process was, though the system gives its number to others later."""

    def __init__(self, lives: Mapping[int, Life]) -> None:
        self._by_pid: dict[int, list[Life]] = {}
        for life in lives.values():
            if life.pid is not None:
                self._by_pid.setdefault(life.pid, []).append(life)

    def life(self, pid: int, at: float) -> Life | None:
        """Return whose process it was at a moment; None if the pool never named it.

        With one candidate its times are not asked: a command may begin and its worker die before the pool learns of
        either.
        """
        candidates = self._by_pid.get(pid, [])
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        return max((life for life in candidates if life.since <= at), key=lambda life: life.since, default=None)
