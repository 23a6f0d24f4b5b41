"""Whether every reply is the request's own: C4, C6."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, cast

from ._cases import Cases, count, idle
from ._outcomes import cut_off

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..evidence._requests import Request
    from ._cases import Answer

PRECISION: Final = 0.005
"""How far two clocks of one machine may seem to differ, in seconds: the history's is read once at its start beside the
machine's, and between the two readings this process may lose its processor."""


def reply_of(request: Request) -> Mapping[str, object] | None:
    """Return the reply a request got, if it is one of the built-in workload's."""
    outcome = request.outcome
    if outcome is None or outcome["type"] != "ok" or not isinstance(outcome["reply"], dict):
        return None
    return cast("Mapping[str, object]", outcome["reply"])


def correlation(evidence: Evidence) -> Answer:
    """A reply names the request it answers, carries its nonce, and holds what was known before it was sent."""
    cases = Cases()
    answered = 0
    for request in evidence.requests.values():
        if request.type == "ok":
            answered += 1
            wrong = _wrong(request, reply_of(request))
            if wrong is not None:
                cases.add(f"{request.name} {wrong}", request.seqs)
    return cases.answer(
        f"{count(answered, 'reply', 'replies')}, each its request's own",
        idle=None if answered else "no request was answered",
    )


def _wrong(request: Request, reply: Mapping[str, object] | None) -> str | None:
    """Return what is wrong with a reply, if anything is."""
    if reply is None:
        return "was answered with what no command of the workload returns"
    if reply.get("request") != request.id or reply.get("nonce") != request.invoke["nonce"]:
        return f"got the reply of request {reply.get('request')!r:.40}"
    for name, value in request.invoke["expect"].items():
        if reply.get(name) != value:
            return f"was answered with the {name} {reply.get(name)!r:.80}, where only {value!r:.80} is right"
    return None


def late_delivery(evidence: Evidence) -> Answer:
    """A reply that comes too late reaches nobody, and its worker takes nothing new until what it runs has ended."""
    abandoned = [request for request in evidence.requests.values() if _abandoned(evidence, request)]
    if not abandoned:
        return idle("no request was given up while a worker ran it")
    cases = Cases()
    late = {request.invoke["nonce"]: request for request in abandoned}
    for request in evidence.requests.values():
        reply = reply_of(request)
        nonce = None if reply is None else reply.get("nonce")
        other = late.get(nonce) if isinstance(nonce, str) else None
        if other is not None and other is not request:
            cases.add(
                f"{request.name} got the reply of {other.name}, given up {request.ended - other.ended:.3f} s before",
                (*other.seqs, *request.seqs),
            )
    for request, then in _reused(evidence, abandoned):
        cases.add(
            f"{then['command']} was sent to incarnation {then['incarnation']} while that still ran {request.name},"
            " which had been given up",
            (*request.seqs, then["seq"]),
        )
    return cases.answer(f"{count(len(abandoned), 'request')} given up while a worker ran them, no reply of theirs used")


def _abandoned(evidence: Evidence, request: Request) -> bool:
    """Whether nobody waited for a request any more when its worker may still have run it."""
    if not (request.cancelled or request.error in ("CommandTimeout", "Cancelled", "TimeoutError", "TooSlowError")):
        return False
    return not cut_off(evidence, request) and (bool(request.dispatches) or bool(request.executions))


def _reused(evidence: Evidence, abandoned: Sequence[Request]) -> Iterator[tuple[Request, Record]]:
    """Yield what was sent to a worker before it had ended a request that nobody waited for any more."""
    dispatches: dict[int, list[Record]] = {}
    for entry in evidence.records:
        if entry["src"] == "pool" and entry["type"] == "RequestDispatched":
            dispatches.setdefault(entry["incarnation"], []).append(entry)
    for request in abandoned:
        for execution in request.executions:
            if execution.life is None or execution.begin is None:
                continue
            there = dispatches.get(execution.life.incarnation, [])
            following = bisect_right(there, request.ended, key=lambda entry: float(entry["t"]))
            if following == len(there):
                continue
            then = there[following]
            if execution.begin < request.ended and (execution.over is None or execution.over > then["t"] + PRECISION):
                yield request, then
