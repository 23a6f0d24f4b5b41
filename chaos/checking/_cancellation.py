"""What giving up must not cost, whoever does it and whenever: C24.

Three things are promised. The caller is free at once. What runs for nobody ends, or its worker is ended, when the grace
for it is over; what waits for nobody is run by none. And the worker, or the one in its place, serves on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ..scenario._process_faults import CancelStorm
from ._cases import Cases, count
from ._explanations import Explanations
from ._outcomes import cut_off, stalls

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..evidence._ledger_reading import Execution
    from ..evidence._lives import Life
    from ..evidence._requests import Request
    from ._cases import Answer


def cancellation(evidence: Evidence) -> Answer:
    """Whoever gives up is free at once; what runs for nobody has its grace, and neither worker nor place is lost."""
    cases = Cases()
    told = _told_to_go(evidence)
    given_up = [each for each in evidence.requests.values() if each.cancelled and not cut_off(evidence, each)]
    _callers(evidence, told, cases)
    _commands(evidence, given_up, cases)
    _deaths(evidence, given_up, cases)
    _places(evidence, given_up, cases)
    if given_up:
        _remains(evidence, cases)
    nobody = None if given_up else "no caller gave up"
    return cases.answer(
        f"{count(len(given_up), 'caller')} gave up, each free at once and at nobody's cost", idle=nobody
    )


def _told_to_go(evidence: Evidence) -> Mapping[int, float]:
    """Return when callers gave up, by request: their patience was over, or a storm swept them away."""
    found: dict[int, float] = {}
    for request in evidence.requests.values():
        after = request.invoke["cancel_after"]
        if after is not None and request.ended > request.sent + after:
            found[request.id] = request.sent + after
    for occurrence in evidence.occurrences:
        if occurrence.kind != CancelStorm.kind:
            continue
        for entry in occurrence.effects:
            for number in entry.get("effect", {}).get("requests", ()):
                found[number] = min(found.get(number, math.inf), occurrence.begin)
    return found


def _callers(evidence: Evidence, told: Mapping[int, float], cases: Cases) -> None:
    """Find who was not free at once, or not as one is who was cancelled."""
    stalled = stalls(evidence)
    ours = evidence.tells or evidence.start.get("target", "trio_pool") == "trio_pool"
    for number, since in told.items():
        request = evidence.requests.get(number)
        if request is None or request.outcome is None:
            continue  # who never got an outcome is the first checker's affair
        took = request.ended - since
        if took > evidence.slack + stalled(since, request.ended):
            after = f"{request.name} gave up after {since - request.sent:.3f} s"
            cases.add(f"{after}, and was held for {took:.3f} s more", request.seqs)
        # Its answer, or an error of the pool, may have come in that very moment.
        if ours and request.type == "raised" and request.outcome.get("public") is not True:
            cases.add(f"{request.name} was given up, and failed with {request.error}", request.seqs)


def _commands(evidence: Evidence, given_up: Sequence[Request], cases: Cases) -> None:
    """Find what goes on though nobody waits for it."""
    if not evidence.tells:
        return  # the grace is a setting of ours
    stalled = stalls(evidence)
    grace = evidence.plan.scenario.pool.abandon_grace
    for request in given_up:
        later = [entry for entry in request.told if request.outcome and entry["seq"] > request.outcome["seq"]]
        if later:
            after = later[0]["t"] - request.ended
            cases.add(
                f"{request.name} was given up, and {after:.3f} s later the pool still tells {later[0]['type']} of it",
                (*request.seqs, later[0]["seq"]),
            )
        for execution in request.executions:
            last = _seen_running(evidence, request, execution)
            after = last - request.ended
            if after > grace + evidence.slack + stalled(request.ended, last):
                cases.add(
                    f"{request.name} ran on in {execution.where} for {after:.3f} s after its caller had given up,"
                    f" {grace:g} s allowed",
                    request.seqs,
                )


def _seen_running(evidence: Evidence, request: Request, execution: Execution) -> float:
    """Return until when an execution went on for certain: to its last step in the ledger, or for as long as it was to
    take, if its worker did nothing else meanwhile, was not ended, and was not idle as far as samples tell."""
    steps = [step for step in (execution.begin, execution.effect, execution.over) if step is not None]
    last = max(steps, default=-math.inf)
    if execution.over is not None or execution.life is None:
        return last
    for dispatched in request.dispatches:
        if dispatched["incarnation"] == execution.life.incarnation:
            until = _serves_until(evidence, execution.life, dispatched)
            # An async command of somebody's own that was cancelled as it should be may leave no step.
            idle = [each["t"] for each in evidence.samples if each["t"] > request.ended and each.get("busy") == 0]
            until = min([until, *idle[:1]])
            last = max(last, min(until, last + (request.invoke["service"] or 0.0)))
    return last


def _deaths(evidence: Evidence, given_up: Sequence[Request], cases: Cases) -> None:
    """Find workers that died of it: half a message is the end of whoever reads the next."""
    explained = Explanations(evidence)
    sent: dict[int, list[int]] = {}
    for entry in evidence.records:
        if (entry["src"], entry["type"]) == ("pool", "RequestDispatched"):
            sent.setdefault(entry["incarnation"], []).append(entry["seq"])
    for request in given_up:
        for dispatched in request.dispatches:
            life = evidence.lives.get(dispatched["incarnation"])
            if life is None or life.exit is None or explained.explains_death(life):
                continue
            # What a cancelled write leaves behind shows with the next frame; what came later has other reasons.
            if sum(1 for seq in sent[life.incarnation] if request.outcome and seq > request.outcome["seq"]) <= 1:
                cases.add(
                    f"incarnation {life.incarnation} died ({life.exit['reason']}) after {request.name} had been given"
                    " up there, and no fault had touched it",
                    (*request.seqs, life.exit["seq"]),
                )


def _places(evidence: Evidence, given_up: Sequence[Request], cases: Cases) -> None:
    """Find workers that serve nobody any more since somebody gave up there, while others wait for one.

    When the grace is over, a worker whose command was abandoned has been killed or runs nothing, if it has not other
    commands beside it. From then on it takes what waits without a session, for that may go to any worker that serves;
    and in a run no pool is made smaller, so that no worker but those that end has left its service.
    """
    if evidence.found.foreign:
        return  # what else a worker runs is not known for certain
    hit = Explanations(evidence).hit
    stalled = stalls(evidence)
    grace = evidence.plan.scenario.pool.abandon_grace
    waits = [
        (each, each.sent, min([each.ended, *(float(entry["t"]) for entry in each.dispatches[:1])]))
        for each in evidence.requests.values()
        if each.session is None and each.told and each.ended - each.sent > evidence.slack
    ]
    held: dict[int, list[tuple[int, float]]] = {}
    for each in evidence.requests.values():
        for entry in each.dispatches:
            held.setdefault(entry["incarnation"], []).append((entry["seq"], each.ended))
    for request in given_up:
        for dispatched in request.dispatches[-1:]:
            life = evidence.lives.get(dispatched["incarnation"])
            if life is None or life.incarnation in hit:
                continue
            begin = grace + max(ended for seq, ended in held[life.incarnation] if seq <= dispatched["seq"])
            end = _serves_until(evidence, life, dispatched)
            for other, since, until in waits:
                first, last = max(begin, since), min(end, until)
                if last - first > evidence.slack + stalled(first, last):
                    cases.add(
                        f"incarnation {life.incarnation} took nothing more after {request.name} had been given up"
                        f" there, and {other.name} waited for {last - first:.3f} s meanwhile",
                        (*request.seqs, *other.seqs),
                    )
                    break


def _serves_until(evidence: Evidence, life: Life, dispatched: Record) -> float:
    """Return until when a worker was free to take something after a request it took: until it took the next, or left.

    One that died by itself had perhaps been dead for a while when the pool was done with it: of that nothing is said.
    """
    if life.exit is not None and not life.kills and not life.exit["planned"]:
        return -math.inf
    ends = [life.until, *(float(entry["t"]) for entry in life.kills)]
    for entry in evidence.records[dispatched["seq"] + 1 :]:
        next_one = entry["type"] == "RequestDispatched" and entry["incarnation"] == life.incarnation
        if next_one or (entry["src"], entry["type"]) in _OVER:
            ends.append(float(entry["t"]))
            break
    return min(ends)


_OVER: Final = frozenset({("run", "closing"), ("run", "interrupted"), ("pool", "GaveUp")})


def _remains(evidence: Evidence, cases: Cases) -> None:
    """Find what the pool still holds when nobody asks for anything any more."""
    ended = min((entry["seq"] for entry in evidence.marks.get("load_ended", ())), default=math.inf)
    closing = min((entry["seq"] for entry in evidence.marks.get("closing", ())), default=math.inf)
    last = [sample for sample in evidence.samples if ended < sample["seq"] < closing and "metrics" in sample]
    grace = evidence.plan.scenario.pool.abandon_grace
    for sample in last[-1:]:
        idle_since = max((each.ended for each in evidence.requests.values()), default=0.0)
        left = sample["metrics"]["queued"] + sample["metrics"]["running"]
        if left and not sample["in_flight"] and sample["t"] - idle_since > grace + evidence.slack:
            cases.add(f"nobody asks for anything any more, and the pool holds {left} requests", [sample["seq"]])
