"""The checks: from the history alone, what was broken, what was proved, and what was not even tested.

The verdict has three values. *fail*: a guarantee was broken, with the records that show it. *unknown*: nothing was
broken, but the run did not try hard enough to say that anything was proved. *pass*: neither.

A session counts as *faulted* when a worker that held its state or ran its request was hit, by whatever fault. What the
contract allows to happen to a request depends on that alone: a session that was never faulted must not notice anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ._findings import Breach, Ending, Findings, Verdict, Violation
from ._incidents import find_incidents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ._history import Record
    from ._incidents import Incident

OUTCOMES = frozenset({"ok", "fail", "info", "raised"})

FAULTED_ERRORS = frozenset({"WorkerCrashed", "SessionLost", "SessionNotFound", "CommandTimeout", "PoolTimeout"})
"""What a request of a faulted session may end with beside a right answer."""

INTERRUPTED_ERRORS = frozenset({"Cancelled"})
"""What any request may end with once the run was interrupted: it was cut off, and says nothing about the pool."""

MIN_KILLS = 3
"""Kills that must have hit a running request: with fewer, luck explains a good result as well as the pool does."""

MIN_UNTOUCHED = 0.5
"""The share of sessions that must never have been faulted: the promise is as much about them as about the others."""


@attrs.frozen(kw_only=True)
class _End:
    """How the run ended, and since which record its end, not the pool, may be to blame for a missing outcome."""

    ending: Ending
    reason: str | None = None
    interrupted: int | None = None
    """The record of the interruption."""
    open_requests: bool = False
    """Whether requests may have been under way at the last record."""


@attrs.define
class _Request:
    session: str
    nonce: str
    t_int: float
    t_send: float
    expect: list[int]
    seq: int
    outcomes: list[Record] = attrs.field(factory=list["Record"])

    def cut_off(self, end: _End) -> bool:
        """Whether the end of the run is what it ended with."""
        if not self.outcomes:
            return end.open_requests
        outcome = self.outcomes[0]
        return (
            end.interrupted is not None
            and outcome.get("error") in INTERRUPTED_ERRORS
            and outcome["seq"] > end.interrupted
        )


def check(records: Sequence[Record], executions: Mapping[str, int], *, workers: int) -> Findings:
    """Judge a run.

    Args:
        records: The whole history.
        executions: How often the workers' ledger names each nonce.
        workers: The size of the pool.
    """
    violations: list[Violation] = []
    requests = _collect(records, violations)
    end = _find_end(records)
    incidents = find_incidents(records, workers=workers)
    faulted = {session for incident in incidents for session in incident.sessions}
    for request in requests.values():
        violations += _judge(request, executions, faulted=request.session in faulted, end=end)
    for incident in incidents:
        unrecovered = incident.costs_worker and incident.to_capacity is None
        if unrecovered and end.interrupted is None and not end.open_requests:
            fault = f"{incident.name} ({incident.kind} of {incident.worker_id})"
            text = f"after {fault} the pool never had {workers} workers again"
            violations.append(Violation(breach=Breach.UNRECOVERED, text=text, seqs=(incident.seq,)))
    violations += _judge_run(records)

    sessions = {request.session for request in requests.values()}
    untouched = [request for request in requests.values() if request.session not in faulted]
    cut_off = [request for request in requests.values() if request.cut_off(end)]
    succeeded = [request for request in requests.values() if request.outcomes and request.outcomes[0]["type"] == "ok"]
    dropped = sum(1 for entry in records if entry["src"] == "client" and entry["type"] == "drop")
    reasons = _vacuous(incidents, sessions=len(sessions), faulted=len(sessions & faulted), dropped=dropped)
    if not requests:
        reasons.insert(0, "no request was sent")
    if end.reason is not None:
        reasons.insert(0, end.reason)
    return Findings(
        verdict=Verdict.FAIL if violations else Verdict.UNKNOWN if reasons else Verdict.PASS,
        ending=end.ending,
        violations=tuple(violations),
        reasons=tuple(reasons),
        sent=len(requests),
        ok=len(succeeded),
        cut_off=len(cut_off),
        errors=_errors(requests.values(), end),
        dropped=dropped,
        sessions=len(sessions),
        faulted_sessions=len(sessions & faulted),
        untouched_sent=len(untouched),
        untouched_ok=sum(1 for request in untouched if request.outcomes and request.outcomes[0]["type"] == "ok"),
        untouched_cut_off=sum(1 for request in cut_off if request.session not in faulted),
        redispatched=sum(1 for entry in records if entry["type"] == "RequestRedispatched"),
        stale=sum(1 for entry in records if entry["type"] == "StaleReply"),
        incidents=tuple(incidents),
        latencies=tuple(request.outcomes[0]["t"] - request.t_int for request in succeeded),
        services=tuple(request.outcomes[0]["t"] - request.t_send for request in succeeded),
        lags=tuple(request.t_send - request.t_int for request in requests.values()),
    )


def _find_end(records: Sequence[Record]) -> _End:
    marks: dict[str, Record] = {}
    for entry in records:
        if entry["src"] == "run":
            marks.setdefault(entry["type"], entry)
    if "not_started" in marks:
        error = marks["not_started"]["error"]
        return _End(ending=Ending.NOT_STARTED, reason=f"the pool did not start, so nothing was tested: {error}")
    interrupted = marks["interrupted"]["seq"] if "interrupted" in marks else None
    if "end" not in marks:
        # Between the load's end and the run's, every request has its outcome, but nobody looked for processes left.
        return _End(
            ending=Ending.CUT_SHORT,
            reason="the history stops before the run's end: the harness was killed, or could write no more",
            interrupted=interrupted,
            open_requests="load_ended" not in marks,
        )
    if interrupted is not None:
        return _End(ending=Ending.INTERRUPTED, reason="the run was interrupted", interrupted=interrupted)
    return _End(ending=Ending.COMPLETE)


def _errors(requests: Iterable[_Request], end: _End) -> dict[str, int]:
    errors: dict[str, int] = {}
    for request in requests:
        if request.outcomes and request.outcomes[0]["type"] != "ok" and not request.cut_off(end):
            name = str(request.outcomes[0]["error"])
            errors[name] = errors.get(name, 0) + 1
    return dict(sorted(errors.items()))


def _collect(records: Sequence[Record], violations: list[Violation]) -> dict[int, _Request]:
    requests: dict[int, _Request] = {}
    for entry in records:
        if entry["src"] != "client":
            continue
        if entry["type"] == "invoke":
            requests[entry["id"]] = _Request(
                session=entry["session"],
                nonce=entry["nonce"],
                t_int=entry["t_int"],
                t_send=entry["t"],
                expect=entry["expect"],
                seq=entry["seq"],
            )
        elif entry["type"] in OUTCOMES:
            request = requests.get(entry["id"])
            if request is None:
                text = f"request {entry['id']} has an outcome and was never sent"
                violations.append(Violation(breach=Breach.CROSSED, text=text, seqs=(entry["seq"],)))
            else:
                request.outcomes.append(entry)
        elif entry["type"] == "crossed":
            text = f"creating program {entry['wanted']} was answered with {entry['got']}"
            violations.append(Violation(breach=Breach.CROSSED, text=text, seqs=(entry["seq"],)))
    return requests


def _judge(request: _Request, executions: Mapping[str, int], *, faulted: bool, end: _End) -> Iterable[Violation]:
    name = f"request {request.nonce} of {request.session}"
    seqs = (request.seq, *(outcome["seq"] for outcome in request.outcomes))
    executed = executions.get(request.nonce, 0)

    def breach(kind: Breach, text: str) -> Violation:
        return Violation(breach=kind, text=f"{name} {text}", seqs=seqs)

    if executed > 1:
        yield breach(Breach.DOUBLED, f"was executed {executed} times")
    if not request.outcomes:
        if not request.cut_off(end):
            yield breach(Breach.LOST, "never got an outcome")
        return
    if len(request.outcomes) > 1:
        yield breach(Breach.DOUBLED, f"got {len(request.outcomes)} outcomes")
    outcome = request.outcomes[0]
    if outcome["type"] == "ok":
        if outcome["nonce"] != request.nonce:
            yield breach(Breach.CROSSED, f"got the reply of {outcome['nonce']}")
        elif outcome["value"] != request.expect:
            yield breach(Breach.WRONG, f"counted {outcome['value']}, not {request.expect}")
        elif not executed:
            yield breach(Breach.WRONG, "was answered, and no worker executed it")
        return
    error = outcome["error"]
    if outcome["type"] == "fail" and executed:
        yield breach(Breach.DISHONEST, f"failed with {error} as never executed, and was executed")
    if request.cut_off(end):
        return
    if error not in FAULTED_ERRORS:
        message = outcome.get("message", "")
        yield breach(Breach.LOST, f"ended with {error}, which the contract does not allow: {message}")
    elif not faulted:
        yield breach(Breach.TOUCHED, f"ended with {error}, and no fault ever touched its session")


def _judge_run(records: Sequence[Record]) -> Iterable[Violation]:
    for entry in records:
        seqs = (entry["seq"],)
        if entry["src"] == "run" and entry["type"] == "pool_failed":
            yield Violation(breach=Breach.GAVE_UP, text=f"the pool ended with {entry['error']}", seqs=seqs)
        elif entry["src"] == "run" and entry["type"] == "leftover":
            text = f"process {entry['pid']} (incarnation {entry['incarnation']}) outlived the pool"
            yield Violation(breach=Breach.LEFTOVER, text=text, seqs=seqs)
        elif entry["src"] == "client" and entry["type"] == "end_failed":
            text = f"ending session {entry['session']} failed with {entry['error']}"
            yield Violation(breach=Breach.LOST, text=text, seqs=seqs)


def _vacuous(incidents: Sequence[Incident], *, sessions: int, faulted: int, dropped: int) -> list[str]:
    """Say what the run did not try."""
    reasons: list[str] = []
    kills = sum(1 for incident in incidents if incident.kind == "kill" and incident.hit)
    if kills < MIN_KILLS:
        reasons.append(f"only {kills} kills hit a running request, at least {MIN_KILLS} must")
    reasons += [
        f"no {kind} touched a request"
        for kind in ("freeze", "latency")
        if not any(incident.kind == kind and incident.hit for incident in incidents)
    ]
    if sessions and sessions - faulted < MIN_UNTOUCHED * sessions:
        reasons.append(f"only {sessions - faulted} of {sessions} sessions were never faulted, at least half must be")
    if dropped:
        reasons.append(f"{dropped} requests were dropped unsent: the load was not the planned one")
    return reasons
