"""Whether every request ended, once, in time, and with an error a caller can work with: C1, C2, C13."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final

from ..evidence._evidence import Ending
from ..evidence._standstills import overlap
from ._cases import Cases, count, idle

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..evidence._evidence import Evidence
    from ..evidence._requests import Request
    from ._cases import Answer

OUTCOME_OF: Final = {"fail": "not_executed", "info": "maybe_executed", "raised": "executed"}
"""What an error must say of the execution, by the type of its record."""

MAX_SLACK: Final = 0.5
"""Slack beyond this share of a timeout says nothing about it any more: the client was too late to tell. Arbitrary."""

MAX_PAUSE: Final = 0.5
"""Seconds for which a process may stand still because others have the processor. Arbitrary."""


def cut_off(evidence: Evidence, request: Request) -> bool:
    """Tell whether a request ended with the run and not with the pool."""
    if request.outcome is None:
        open_end = evidence.ending in (Ending.STRUCK, Ending.CUT_SHORT, Ending.INTERRUPTED)
        return open_end and "load_ended" not in evidence.marks
    interrupted = evidence.marks.get("interrupted")
    return interrupted is not None and request.error == "Cancelled" and request.outcome["seq"] > interrupted[0]["seq"]


def conservation(evidence: Evidence) -> Answer:
    """Every request that was sent has exactly one outcome, and nothing has one that was never sent."""
    cases = Cases()
    for entry in evidence.found.strays:
        cases.add(f"request {entry['id']} has an outcome and had not been sent", [entry["seq"]])
    for entry in evidence.found.again:
        cases.add(f"request {entry['id']} was sent twice", [entry["seq"]])
    cut = 0
    for request in evidence.requests.values():
        if len(request.outcomes) > 1:
            kinds = ", ".join(entry["type"] for entry in request.outcomes)
            cases.add(f"{request.name} got {len(request.outcomes)} outcomes: {kinds}", request.seqs)
        elif cut_off(evidence, request):
            cut += 1
        elif request.outcome is None:
            cases.add(f"{request.name} never got an outcome", request.seqs)
    text = f"{count(len(evidence.requests), 'request')}, each with one outcome"
    if evidence.ending is Ending.STRUCK:
        text += f", save {cut} under way when the application was killed, whom nobody was left to tell"
    missing = None
    if evidence.ending in (Ending.INTERRUPTED, Ending.CUT_SHORT, Ending.NOT_STARTED):
        missing = f"the run is {evidence.ending}: {count(cut, 'request')} ended with it"
    elif not evidence.requests and evidence.plan.visits:
        missing = "no request was sent"
    return cases.answer(text, unknown=missing)


def typed_errors(evidence: Evidence) -> Answer:
    """Every error is a public one, says what is known of the execution, and is no group."""
    if not evidence.tells and evidence.start.get("target", "trio_pool") != "trio_pool":
        return idle("what errors there are of another pool's is its own affair")
    cases = Cases()
    errors = 0
    gave_up: int | None = None
    for entry in evidence.records:
        if (entry["src"], entry["type"]) == ("pool", "GaveUp"):
            gave_up = entry["seq"]
        elif (entry["src"], entry["type"]) == ("run", "pool_failed") and (
            gave_up is None or not entry["error"].startswith("RestartIntensityExceeded")
        ):
            cases.add(f"out of the pool came {entry['error']}", [entry["seq"]])
    for request in evidence.requests.values():
        outcome = request.outcome
        if outcome is None or outcome["type"] == "ok" or request.cancelled or cut_off(evidence, request):
            continue
        errors += 1
        error = outcome["error"]
        if outcome.get("public") is not True:
            cases.add(f"{request.name} failed with {error}, which is no public error of the pool", request.seqs)
        elif outcome.get("group") is not False:
            cases.add(f"{request.name} failed with a group where one error is promised: {error}", request.seqs)
        elif outcome.get("outcome") != OUTCOME_OF[outcome["type"]]:
            cases.add(f"{request.name} failed with {error}, whose outcome is {outcome.get('outcome')!r}", request.seqs)
        elif error == "PoolClosed" and gave_up is not None and outcome["seq"] > gave_up and not outcome.get("chain"):
            cases.add(f"{request.name} failed with PoolClosed, which does not say that the pool gave up", request.seqs)
    return cases.answer(f"{count(errors, 'error')}, all of them public, definite and single")


def deadlines(evidence: Evidence) -> Answer:
    """No request outlives its timeout, whatever the workers do.

    While the application itself stood still nobody could end a request, so one that overlapped it may take that much
    longer, and all others not. A standstill that no fault explains is excused as long as a busy machine may be its
    reason. One that is longer may be the pool's own doing, and what it delayed proves nothing.
    """
    cases = Cases()
    slack = evidence.calm_slack
    still = evidence.standstills
    judged = timed = paused = 0
    loose: list[float] = []
    doubtful: list[Request] = []
    for request in evidence.requests.values():
        timeout = request.invoke["timeout"]
        if timeout is None:
            timeout = evidence.plan.scenario.pool.timeout
        if request.outcome is None or math.isinf(timeout):
            continue
        timed += 1
        took = request.ended - request.sent
        stood = overlap(still.planned, request.sent, request.ended)
        paused += stood > 0
        unexplained = overlap(still.all, request.sent, request.ended) - stood
        if took > timeout + slack + stood + unexplained:
            cases.add(
                f"{request.name} took {took:.3f} s with a timeout of {timeout:g} s, {slack:.3f} s of slack and"
                f" {stood + unexplained:.3f} s in which the application stood still",
                request.seqs,
            )
        elif took > timeout + slack + stood + min(unexplained, MAX_PAUSE):
            doubtful.append(request)
        elif slack > MAX_SLACK * timeout:
            loose.append(timeout)
        else:
            judged += 1
    unsaid = None
    if doubtful:
        unsaid = (
            f"{count(len(doubtful), 'request')} outlived the timeout while the application stood still for longer than"
            f" {MAX_PAUSE:g} s and no fault had it stand, the first: {doubtful[0].name}"
        )
    elif loose and not judged:
        unsaid = f"the client itself was late by {slack:.3f} s, too much to judge a timeout of {min(loose):g} s"
    text = f"{count(judged, 'request')}, all within their timeouts"
    if paused:
        text += f", {paused} of them allowed the time for which the application stood still"
    if loose:
        text += f"; {len(loose)} more had timeouts too short to judge with {slack:.3f} s of slack"
    return cases.answer(text, unknown=unsaid, idle=None if timed else "no request had a timeout and an outcome")


def stalls(evidence: Evidence) -> Callable[[float, float], float]:
    """Return a function that says for how long the application itself stood still within an interval."""
    return partial(overlap, evidence.standstills.all)
