"""What the ledger proves: what a caller was told of an execution is true, and nothing ran once too often: C3, C5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..evidence._evidence import Ending
from ._cases import NO_LEDGER, Cases, count, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..evidence._evidence import Evidence
    from ..evidence._ledger_reading import Execution
    from ..evidence._requests import Request
    from ._cases import Answer


def definiteness(evidence: Evidence) -> Answer:
    """What failed as not executed never began, what succeeded has ended, and what failed as executed had begun."""
    if evidence.ledger is None:
        return unknown(NO_LEDGER)
    cases = Cases()
    definite = unproved = 0
    for request in evidence.requests.values():
        begun = [execution for execution in request.executions if execution.begin is not None]
        match request.type:
            case "fail":
                definite += 1
                if begun:
                    cases.add(
                        f"{request.name} failed with {request.error} as not executed, and began in {begun[0].where}",
                        request.seqs,
                    )
            case "ok":
                definite += 1
                if not any(each.end is not None and each.nonce == request.nonce for each in request.executions):
                    # A torn record may be the one that is missing.
                    unproved += evidence.damaged > 0
                    if not evidence.damaged:
                        cases.add(f"{request.name} succeeded, and no worker has ended it", request.seqs)
            case "raised" if request.outcome and request.outcome.get("outcome") == "executed":
                definite += 1
                if not begun:
                    unproved += evidence.damaged > 0
                    if not evidence.damaged:
                        cases.add(f"{request.name} failed as executed, and no worker has begun it", request.seqs)
            case _:
                pass
    for execution in _unasked(evidence):
        cases.add(f"{execution.where} executed request {execution.request}, which nobody had sent like that")
    torn = f"{count(evidence.damaged, 'stretch', 'stretches')} of the ledger torn, and {unproved} executions not in it"
    return cases.answer(
        f"{count(definite, 'definite outcome')} beside {count(len(evidence.executions), 'execution')}, none at odds",
        unknown=torn if unproved else None,
    )


def _unasked(evidence: Evidence) -> Iterable[Execution]:
    """Yield what was executed without having been asked, or with another's nonce."""
    # The last lines of a history whose writer was killed may be lost; the ledger's are not.
    lost = evidence.ending in (Ending.STRUCK, Ending.CUT_SHORT)
    for execution in evidence.executions:
        request = evidence.requests.get(execution.request)
        if request is None:
            if not lost:
                yield execution
        elif execution.nonce != request.nonce:
            yield execution


def at_most_once(evidence: Evidence) -> Answer:
    """What is not idempotent begins at most once; what is, at most once more for each retry it may have."""
    if evidence.ledger is None:
        return unknown(NO_LEDGER)
    cases = Cases()
    retries = evidence.plan.scenario.pool.retry.max_retries
    for request in evidence.requests.values():
        begun = [execution for execution in request.executions if execution.begin is not None]
        allowed = 1 + (retries if request.invoke["idempotent"] else 0)
        if len(begun) > allowed:
            effects = sum(1 for execution in begun if execution.effect is not None)
            where = "; ".join(execution.where for execution in begun)
            cases.add(
                f"{request.name} began {len(begun)} times and took effect {effects} times, {allowed} allowed: {where}",
                _told(request),
            )
        for execution in request.executions:
            if execution.repeated:
                cases.add(f"{request.name} noted a step twice in {execution.where}", _told(request))
    again = sum(1 for request in evidence.requests.values() if len(request.executions) > 1)
    return cases.answer(
        f"{count(len(evidence.requests), 'request')}, none executed more often than it may be; {again} retried"
    )


def _told(request: Request) -> tuple[int, ...]:
    return (*request.seqs, *(entry["seq"] for entry in request.told))
