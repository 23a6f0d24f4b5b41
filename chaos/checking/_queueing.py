"""How requests wait and who serves them: C10 to C12. Read off the pool's events, where it tells any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..workload._register import COMMANDS
from ._cases import TELLS_NOTHING, Cases, count, idle, unknown
from ._replies import PRECISION

if TYPE_CHECKING:
    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..evidence._ledger_reading import Execution
    from ..evidence._requests import Request
    from ._cases import Answer

FOREIGN: Final = "requests of the pool could not be told apart, so that its queue cannot be replayed"


def mutual_exclusion(evidence: Evidence) -> Answer:
    """A worker never holds or runs two requests at once, nor more than ``concurrency`` whose commands are async."""
    cases = Cases()
    concurrency = evidence.plan.scenario.pool.concurrency
    # By the command, which every event names: which of the client's requests it is about is not always certain.
    together = {
        COMMANDS.get(request.operation, request.operation)
        for request in evidence.requests.values()
        if request.asynchronous
    }
    holding: dict[tuple[int, bool], dict[int, Record]] = {}
    home: dict[int, tuple[int, bool]] = {}
    handed = 0
    for entry in evidence.records:
        if entry["src"] != "pool" or "request_id" not in entry:
            continue
        number = entry["request_id"]
        before = home.pop(number, None)
        if before is not None:
            del holding[before][number]
        if entry["type"] == "RequestDispatched":
            handed += 1
            place = (entry["incarnation"], entry["command"] in together)
            there = holding.setdefault(place, {})
            if len(there) >= (concurrency if place[1] else 1):
                others = ", ".join(str(other) for other in there)
                cases.add(
                    f"the pool's request {number} was handed to incarnation {entry['incarnation']}, which held"
                    f" {others}",
                    (*(other["seq"] for other in there.values()), entry["seq"]),
                )
            there[number] = entry
            home[number] = place
    ran = _overlaps(evidence, cases, concurrency)
    return cases.answer(
        f"{count(handed, 'request')} handed to workers and {ran} executions, never more at once than allowed",
        idle=None if handed or ran else f"{TELLS_NOTHING}, and the ledger shows no execution",
    )


def _overlaps(evidence: Evidence, cases: Cases, concurrency: int) -> int:
    """Find executions in one process that are too many at once; return how many were compared.

    One that nothing ended, because its process did, is not counted: how long it lasted is not on record.
    """
    running: dict[tuple[int, int, bool], list[Execution]] = {}
    for execution in sorted(evidence.executions, key=lambda each: each.begin or 0.0):
        request = evidence.requests.get(execution.request)
        together = request is not None and request.asynchronous
        where = (execution.pid, -1 if execution.life is None else execution.life.incarnation, together)
        begun = execution.begin or 0.0
        still = [each for each in running.get(where, ()) if each.over is not None and begun < each.over - PRECISION]
        if len(still) >= (concurrency if together else 1):
            others = ", ".join(str(each.request) for each in still)
            cases.add(f"{execution.where} began request {execution.request} while it ran {others}")
        running[where] = [*still, execution]
    return len(evidence.executions)


def bounded_queue(evidence: Evidence) -> Answer:
    """No more requests wait than the queue may hold, and one too many is refused at once."""
    if not evidence.tells:
        return idle(TELLS_NOTHING)
    if evidence.found.foreign:
        return unknown(FOREIGN)
    cases = Cases()
    limit = evidence.plan.scenario.pool.max_queue
    owner = {request.number: request for request in evidence.requests.values() if request.number is not None}
    arrivals = {request.invoke["seq"]: request for request in owner.values()}
    waiting: set[int] = set()
    arriving: Request | None = None
    deepest = 0
    for entry in evidence.records:
        number = entry["request_id"] if entry["src"] == "pool" and "request_id" in entry else None
        if arriving is not None:
            # What is sent is admitted before anything else happens: what then is not with a worker, or done, waits.
            if arriving.number is not None and number != arriving.number:
                waiting.add(arriving.number)
                deepest = max(deepest, len(waiting))
                if len(waiting) > limit:
                    text = f"{arriving.name} was let in as number {len(waiting)} of {limit} in the queue"
                    cases.add(text, arriving.seqs)
            arriving = None
        if number is not None and entry["type"] in ("RequestRedispatched", "RequestRetried"):
            # It has its place from before, also in a full queue; only nobody else is let in beside it.
            waiting.add(number)
        elif number is not None and entry["type"] in ("RequestDispatched", "RequestFinished"):
            waiting.discard(number)
        else:
            arriving = arrivals.get(entry["seq"]) if entry["src"] == "client" else None
    refused = 0
    for request in evidence.requests.values():
        if request.error == "PoolSaturated":
            refused += 1
            took = request.ended - request.sent
            if took > evidence.slack:
                cases.add(f"{request.name} was refused after {took:.3f} s, not at once", request.seqs)
    for sample in evidence.samples:
        if sample.get("queued", 0) > limit + len(evidence.lives) * evidence.plan.scenario.pool.concurrency:
            cases.add(f"a sample saw {sample['queued']} requests waiting, {limit} allowed", [sample["seq"]])
    return cases.answer(
        f"at most {deepest} of {limit} waited, {refused} refused",
        idle=None if refused else f"the queue was never full: at most {deepest} of {limit} waited",
    )


def first_come_first_served(evidence: Evidence) -> Answer:
    """Among requests that any worker may serve, and among those of one session, first come is first served."""
    if not evidence.tells:
        return idle(TELLS_NOTHING)
    cases = Cases()
    # Who has no session waits for a worker with room for its kind: what is async passes by what is not.
    queues: dict[str | bool, dict[int, Request]] = {}
    served: set[int] = set()
    owner = {request.number: request for request in evidence.requests.values() if request.number is not None}
    arrivals = {request.invoke["seq"]: request for request in owner.values()}
    contested = 0
    for entry in evidence.records:
        if entry["src"] == "client":
            request = arrivals.get(entry["seq"])
            if request is not None and request.number is not None:
                queues.setdefault(request.session or request.asynchronous, {})[request.number] = request
            continue
        if entry["src"] != "pool" or entry.get("request_id") not in owner:
            continue
        number = entry["request_id"]
        request = owner[number]
        queue = queues.setdefault(request.session or request.asynchronous, {})
        if entry["type"] in ("RequestRedispatched", "RequestRetried"):
            served.add(number)  # it may find its way back to the front; who overtakes it then is another matter
        elif entry["type"] in ("RequestDispatched", "RequestFinished"):
            first = next(iter(queue), number)
            if entry["type"] == "RequestDispatched" and number not in served and len(queue) > 1:
                contested += 1
                if number != first:
                    cases.add(
                        f"{request.name} was served before {queue[first].name}, which had waited since"
                        f" {queue[first].sent:.3f} s",
                        (queue[first].invoke["seq"], request.invoke["seq"], entry["seq"]),
                    )
            queue.pop(number, None)
    return cases.answer(
        f"{count(contested, 'request')} served while others waited, each in its turn",
        idle=None if contested else "no request ever waited behind another",
    )
