"""Whether the pool comes back when everything is healed: C18."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..evidence._evidence import Ending
from ._cases import Cases, count, idle, unknown
from ._coping import over_at

if TYPE_CHECKING:
    from .._history import Record
    from ..evidence._evidence import Evidence
    from ._cases import Answer

_LOST: Final = frozenset({"PoolTimeout", "WorkerCrashed", "ProtocolError"})
"""Errors that nothing explains when all is healed. A command may take longer than it was given, and a
session have been lost before."""


def liveness(evidence: Evidence) -> Answer:
    """After everything is healed the pool comes back to its steady state."""
    after = [entry for entry in evidence.marks.get("steady", ()) if entry["after"] == "after"]
    if any((entry["src"], entry["type"]) == ("pool", "GaveUp") for entry in evidence.records):
        return idle("the pool gave up, and by design does not come back")
    if evidence.ending is Ending.STRUCK:
        return idle("the application was killed, and its pool with it")
    if not after:
        return unknown(f"the run is {evidence.ending}, and nobody looked whether the pool came back")
    cases = Cases()
    for entry in after:
        if not entry["ok"]:
            failing = "; ".join(str(each) for each in entry.get("failing", ()))
            cases.add(f"after {entry['took']:.1f} s the pool was not steady: {failing}", [entry["seq"]])
    if not evidence.plan.scenario.steady_state.require:
        _judge_size(evidence, cases, after[-1])
    asked = _judge_healed(evidence, cases)
    return cases.answer(
        f"steady again after {after[-1]['took']:.1f} s, and {count(asked, 'request')} answered once all was healed"
    )


def _judge_size(evidence: Evidence, cases: Cases, after: Record) -> None:
    """Find a pool that lacks workers at the end, where no condition would have noticed."""
    seen = [sample for sample in evidence.samples if sample["seq"] < after["seq"] and sample.get("size") is not None]
    if seen and seen[-1]["ready"] < seen[-1]["size"]:
        cases.add(f"{seen[-1]['ready']} of {seen[-1]['size']} workers were ready in the end", [seen[-1]["seq"]])


def _judge_healed(evidence: Evidence, cases: Cases) -> int:
    """Find requests that fail for no reason: sent in a phase of healing, with all workers there and no fault in force.

    Nothing explains that a worker is lost then, or that somebody waits for one in vain. Who is refused because too much
    is asked is told so, and may be.
    """
    healing = {phase.name for phase in evidence.plan.scenario.phases if phase.heal}
    calm, over = _calm(evidence), over_at(evidence)
    answered = 0
    for request in evidence.requests.values():
        if request.invoke["phase"] not in healing or request.invoke["seq"] < calm:
            continue
        if request.outcome is None or request.outcome["seq"] > over:
            continue
        answered += request.type == "ok"
        if request.error in _LOST and not request.cancelled:
            cases.add(f"{request.name} failed with {request.error} when all was healed", request.seqs)
    return answered


def _calm(evidence: Evidence) -> float:
    """Return the number of the record from which on no fault was in force and no worker was missing."""
    over = over_at(evidence)
    struck: list[int] = [
        entry["seq"]
        for occurrence in evidence.occurrences
        for entry in (*occurrence.injects, *occurrence.effects, *occurrence.heals)
    ]
    # Each worker that was lost, until another got ready in its slot.
    lost: dict[int, int] = {}
    back = 0
    for life in evidence.lives.values():
        if life.exit is not None and life.exit["seq"] < over:
            lost[life.slot] = life.exit["seq"]
    for slot, gone in lost.items():
        ready = [
            life.ready["seq"]
            for life in evidence.lives.values()
            if life.slot == slot and life.ready is not None and life.ready["seq"] > gone
        ]
        back = max(back, min(ready, default=len(evidence.records)))
    return float(max([back, *struck]))
