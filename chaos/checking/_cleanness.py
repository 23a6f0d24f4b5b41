"""What a run must not show (bad bytes, complaints), and that it tested something: C25 to C27."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ..evidence._evidence import Ending
from ..scenario._fault import Death
from ..scenario._process_faults import Kill
from ._cases import TELLS_NOTHING, Cases, count, idle
from ._explanations import Explanations, in_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..evidence._evidence import Evidence
    from ..evidence._occurrences import Occurrence
    from ._cases import Answer

COMPLAINTS: Final = re.compile(r"Traceback \(most recent call last\)|Fatal Python error|never awaited|ResourceWarning")
"""What Python writes when something went wrong that no caller was told."""

_OF_CRASHES: Final = ("Traceback", "Fatal")


def clean_protocol(evidence: Evidence) -> Answer:
    """Nothing that workers print, and nothing else save a disturbed link, makes the pool see bad bytes."""
    cases = Cases()
    explained = Explanations(evidence)
    for life in evidence.lives.values():
        gone = life.exit
        if gone is not None and gone["reason"] == "protocol" and not explained.wired(life.incarnation):
            cases.add(
                f"incarnation {life.incarnation} was killed for bad bytes, and nothing had disturbed its link",
                [gone["seq"]],
            )
    for request in evidence.requests.values():
        if request.error == "ProtocolError" and not any(
            explained.wired(entry["incarnation"]) for entry in request.dispatches
        ):
            cases.add(f"{request.name} failed with ProtocolError, and nothing had disturbed a link", request.seqs)
    return cases.answer(
        f"{count(len(evidence.requests), 'request')} and {count(len(evidence.lives), 'worker')}, no bad bytes",
        idle=None if evidence.tells else TELLS_NOTHING,
    )


def complaints(evidence: Evidence) -> Answer:
    """Neither the pool nor its workers print what Python prints when something went wrong unnoticed."""
    if evidence.log is None:
        return idle("nothing was kept of what was printed")
    cases = Cases()
    excused = any(_may_complain(occurrence) for occurrence in Explanations(evidence).struck)
    for number, line in enumerate(evidence.log, start=1):
        found = COMPLAINTS.search(line)
        if found is not None and not (excused and found.group().startswith(_OF_CRASHES)):
            cases.add(f"line {number} of pool.log: {line.strip():.200}")
    return cases.answer(f"{count(len(evidence.log), 'line')} printed, no complaint among them")


def _may_complain(occurrence: Occurrence) -> bool:
    """Whether a worker that was hit may well say so: all but SIGKILL leave Python the time."""
    if isinstance(occurrence.spec, Kill):
        return occurrence.spec.death is not Death.KILL
    return in_worker(occurrence)


def vacuity(evidence: Evidence) -> Answer:
    """The run did what it was for: it came to its end, requests were sent, and every planned fault hit something."""
    reasons: list[str] = []
    if evidence.ending in (Ending.CUT_SHORT, Ending.INTERRUPTED, Ending.NOT_STARTED):
        reasons.append(f"the run is {evidence.ending}")
    if evidence.plan.visits and not evidence.requests:
        reasons.append("no request was sent")
    strikes: dict[str, list[Occurrence]] = {}
    for occurrence in evidence.occurrences:
        strikes.setdefault(occurrence.fault, []).append(occurrence)
    for spec in evidence.plan.scenario.faults:
        why = _without_effect(strikes.get(spec.name, []))
        if why is not None:
            reasons.append(f"fault {spec.name} ({spec.kind}) {why}")
    struck = sum(1 for occurrence in evidence.occurrences if occurrence.injects)
    return Cases().answer(
        f"{count(len(evidence.requests), 'request')} sent, {count(struck, 'fault')} struck, each kind with effect",
        unknown="; ".join(reasons) or None,
    )


def _without_effect(occurrences: Sequence[Occurrence]) -> str | None:
    """Return why a fault has tested nothing; None if it has."""
    struck = [occurrence for occurrence in occurrences if occurrence.injects]
    if not struck:
        why = next((str(entry["why"]) for occurrence in occurrences for entry in occurrence.missed), None)
        return "never struck" if why is None else f"hit nothing: {why}"
    counts = [
        number
        for occurrence in struck
        for entry in occurrence.effects
        for name, number in entry.get("effect", {}).items()
        if name in _WORK and isinstance(number, (int, float))
    ]
    if counts and not any(counts):
        return "was in force and changed nothing"
    return None


_WORK: Final = frozenset({"struck", "hit", "stopped", "cancelled", "starts", "deaths", "seconds", "written", "frames"})
"""Counts of an effect that say how much a fault did, by the names injectors give them; if all are 0, it did nothing."""
