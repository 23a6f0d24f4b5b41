"""Whether the supervisor keeps its tree as it promises: C16.

Each slot has one worker at a time, each start has its end, and one worker's death restarts its slot and no other: as
soon as its delay is over and not before, under the next number, and never once the pool has given up.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import attrs

from trio_pool import Restart

from ..evidence._evidence import Ending
from ._cases import TELLS_NOTHING, Cases, count, idle, unknown

if TYPE_CHECKING:
    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..evidence._lives import Life
    from ._cases import Answer

EARLY: Final = 0.001
"""Seconds by which a start may seem to come before its delay was over: the two records are written by one clock, a few
hundredths of a millisecond after what they tell of."""

OVERDUE: Final = 1.0
"""Seconds beyond its delay by which a restart must have begun. It takes a millisecond; arbitrary, and far more."""

_BY_REQUESTS: Final = {"timeout": "timed_out", "cancelled": "cancelled"}
"""Reasons for which the pool ends a worker because of a request, and what became of the request."""


def supervision_tree(evidence: Evidence) -> Answer:
    """Every worker that was started is reaped, once; a death restarts its slot alone, when it is due."""
    if not evidence.tells:
        return idle(TELLS_NOTHING)
    if not evidence.lives:
        return unknown("the pool tells its events, and of no worker")
    cases = Cases()
    complete = evidence.ending is Ending.COMPLETE and "closed" in evidence.marks
    _judge_lives(evidence, cases, complete=complete)
    restarts = _Succession(evidence, cases).judge()
    ended = sum(1 for life in evidence.lives.values() if life.exits)
    unsaid = None
    if not complete and evidence.ending is not Ending.STRUCK:
        unsaid = f"the run is {evidence.ending}: nobody knows who was reaped in the end"
    return cases.answer(
        f"{count(len(evidence.lives), 'worker')} started, {ended} reaped once, never two that served in a slot;"
        f" {count(restarts, 'restart')}, each in the slot of an end and when it was due",
        unknown=unsaid,
    )


def _judge_lives(evidence: Evidence, cases: Cases, *, complete: bool) -> None:
    """Hold each life to one start and one end, and each slot to one that serves."""
    slots: dict[int, list[Life]] = {}
    for life in evidence.lives.values():
        name = f"incarnation {life.incarnation} of slot {life.slot}"
        if life.duplicates:
            cases.add(f"{name} was started or got ready twice", [entry["seq"] for entry in life.duplicates])
        if len(life.exits) > 1:
            cases.add(f"{name} was reaped {len(life.exits)} times", [entry["seq"] for entry in life.exits])
        if life.ready is not None and life.starting is None:
            cases.add(f"{name} got ready without having been started", [life.ready["seq"]])
        if complete and life.ready is not None and not life.exits:
            cases.add(f"{name} served and was never reaped", [life.ready["seq"]])
        if life.ready is not None:
            slots.setdefault(life.slot, []).append(life)
    for slot, lives in slots.items():
        lives.sort(key=lambda life: life.ready["seq"] if life.ready else 0)
        for before, after in pairwise(lives):
            ends = [entry["seq"] for entry in (*before.kills, *before.exits)]
            ready = after.ready["seq"] if after.ready else 0
            if not ends or min(ends) > ready:
                cases.add(
                    f"slot {slot} had two workers that served: incarnation {after.incarnation} got ready before"
                    f" {before.incarnation} had ended",
                    [ready, *ends[:1]],
                )


@attrs.define
class _Slot:
    """A slot, as far as the records have come."""

    life: Life | None = None
    """Its latest worker."""
    began: Record | None = None
    """The record of that one's start."""
    ended: bool = False
    """Whether that one is gone, or is being killed."""
    died: Record | None = None
    """Its end, if it died by itself and nothing has followed."""
    scheduled: Record | None = None
    """What was announced and has not happened."""


class _Succession:
    """Follows who comes after whom in each slot.

    Only what comes before the end of the run counts: then all are stopped, and nobody is restarted.
    """

    def __init__(self, evidence: Evidence, cases: Cases) -> None:
        self._evidence = evidence
        self._cases = cases
        pool = evidence.plan.scenario.pool
        # Workers beyond the pool's size come and go as they are needed.
        self._fixed = not pool.overflow
        self._follows = self._fixed and pool.restart.restart is Restart.PERMANENT
        self._never = pool.restart.restart is Restart.TEMPORARY
        self._slots: dict[int, _Slot] = {}
        self._latest = 0
        self._gave_up: Record | None = None
        over = [
            entry["seq"]
            for kind in ("closing", "interrupted", "not_started", "pool_failed", "limit")
            for entry in evidence.marks.get(kind, ())
        ]
        self._over: float = min(over, default=math.inf)
        if not over and evidence.ending is not Ending.COMPLETE:
            # Whoever was there to the end closed it, or was killed: what came last nobody announced.
            self._over = 0
        self._spoiled = {
            (entry.get("incarnation"), entry["result"])
            for entry in evidence.records
            if (entry["src"], entry["type"]) == ("pool", "RequestFinished")
        }

    def judge(self) -> int:
        """Find what breaks the promises; return how many restarts there were."""
        restarts = 0
        end: Record | None = None
        for entry in self._evidence.records:
            end = entry
            if entry["seq"] >= self._over:
                break
            if entry["src"] != "pool":
                continue
            slot = self._slots.setdefault(entry["slot"], _Slot()) if entry.get("slot") is not None else _Slot()
            match entry["type"]:
                case "WorkerStarting":
                    restarts += slot.life is not None
                    self._started(slot, entry)
                case "RestartScheduled":
                    self._scheduled(slot, entry)
                case "WorkerKilled" | "WorkerExited":
                    self._ended(slot, entry)
                case "GaveUp":
                    self._gave_up = self._gave_up or entry
                case _:
                    pass
        if end is not None and self._gave_up is None and self._over:
            self._missing(end)
        return restarts

    def _started(self, slot: _Slot, entry: Record) -> None:
        number = entry["incarnation"]
        name = f"incarnation {number} of slot {entry['slot']}"
        if number != self._latest + 1:
            self._cases.add(f"{name} was started after incarnation {self._latest} of the pool", [entry["seq"]])
        self._latest = max(self._latest, number)
        if self._gave_up is not None:
            self._cases.add(f"{name} was started after the pool had given up", [self._gave_up["seq"], entry["seq"]])
        before = slot.life
        if before is not None:
            due = slot.scheduled
            # The delay counts from the death, and between that and the announcement the process may lose its processor.
            # A start that came to nothing has no death of its own on record: it failed some time after it began.
            since = (slot.died or (due if slot.ended else slot.began) or entry)["t"]
            if not slot.ended and before.ready is not None:
                self._cases.add(f"{name} was started while incarnation {before.incarnation} served", [entry["seq"]])
            elif slot.died is not None and self._never:
                self._cases.add(f"{name} follows one that was not to be followed", [slot.died["seq"], entry["seq"]])
            elif slot.died is not None and due is None:
                self._cases.add(f"{name} was started without having been announced", [slot.died["seq"], entry["seq"]])
            elif due is not None and entry["t"] < since + due["delay"] - EARLY:
                self._cases.add(
                    f"{name} was started {entry['t'] - since:.3f} s later, and was announced for {due['delay']:.3f} s"
                    " later",
                    [due["seq"], entry["seq"]],
                )
        slot.life = self._evidence.lives[number]
        slot.began = entry
        slot.ended, slot.died, slot.scheduled = False, None, None

    def _scheduled(self, slot: _Slot, entry: Record) -> None:
        name = f"a restart of slot {entry['slot']}"
        life = slot.life
        if self._gave_up is not None:
            self._cases.add(f"{name} was announced after the pool had given up", [self._gave_up["seq"], entry["seq"]])
        if life is None:
            self._cases.add(f"{name} was announced, which never had a worker", [entry["seq"]])
        elif life.ready is not None and life.ready["seq"] < entry["seq"] and not slot.ended:
            self._cases.add(f"{name} was announced, whose incarnation {life.incarnation} served", [entry["seq"]])
        if slot.scheduled is not None:
            self._cases.add(f"{name} was announced twice", [slot.scheduled["seq"], entry["seq"]])
        slot.scheduled = entry

    def _ended(self, slot: _Slot, entry: Record) -> None:
        life = slot.life
        if life is None or life.incarnation != entry["incarnation"]:
            return  # whom it follows is there already, or it was never started, which is told of elsewhere
        slot.ended = True
        if entry["type"] == "WorkerExited" and not entry["planned"]:
            slot.died = entry
        elif entry["reason"] in _BY_REQUESTS:
            result = _BY_REQUESTS[entry["reason"]]
            if (entry["incarnation"], result) not in self._spoiled:
                self._cases.add(
                    f"incarnation {entry['incarnation']} of slot {entry['slot']} was ended for a request that was"
                    f" {result.replace('_', ' ')}, and it had none",
                    [entry["seq"]],
                )
        elif entry["reason"] == "shutdown" and self._fixed and self._gave_up is None:
            self._cases.add(
                f"incarnation {entry['incarnation']} of slot {entry['slot']} was shut down, which nobody had asked for",
                [entry["seq"]],
            )

    def _missing(self, end: Record) -> None:
        """Find restarts that were due and did not come."""
        for number, slot in self._slots.items():
            due = slot.scheduled
            late = end["t"] - OVERDUE
            if due is not None and due["t"] + due["delay"] < late:
                self._cases.add(
                    f"a restart of slot {number} was announced for {due['delay']:.3f} s later and did not come within"
                    f" {end['t'] - due['t']:.3f} s",
                    [due["seq"], end["seq"]],
                )
            elif due is None and slot.died is not None and slot.died["t"] < late and self._follows:
                self._cases.add(
                    f"slot {number} lost its worker, and nobody restarted it within {end['t'] - slot.died['t']:.3f} s",
                    [slot.died["seq"], end["seq"]],
                )
