"""Whether all are treated alike: C14."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from ._cases import TELLS_NOTHING, Cases, count, idle
from ._explanations import Explanations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..evidence._requests import Request
    from ._cases import Answer

MIN_REQUESTS: Final = 10
"""Requests a session must have made in a phase for its waits to be compared with those of others. Arbitrary."""

MIN_SESSIONS: Final = 3
"""Sessions there must be to compare."""

MIN_JAIN: Final = 0.9
"""Jain's index of fairness that shares of answered requests must reach: 1 if all are the same, 1/n if one has all."""

MAX_OVERTAKEN: Final = 1
"""How often a request may be overtaken at a worker that could have taken it: once, by one that was let in at the moment
in which the worker became free."""


def fairness(evidence: Evidence) -> Answer:
    """No request waits while later ones are served in its stead; under one load no session waits longer than another.

    How long sessions wait can be compared only where nothing makes a difference between them, which is in phases
    without faults: those whose worker dies wait for another, and should. Who is passed over, though, is so at any time:
    the worker is there and takes others.
    """
    if not evidence.tells:
        return idle(TELLS_NOTHING)
    cases = Cases()
    compared = _compare_sessions(evidence, cases)
    contested = _Overtaking(evidence, cases).judge()
    text = f"{count(contested, 'request')} served while others waited, and none of those passed over"
    if compared:
        text += f"; {count(compared, 'session')} under the same load, treated alike"
    return cases.answer(
        text,
        idle=None
        if compared or contested
        else "no request waited while others were served, and no phase without faults had sessions to compare",
    )


def _compare_sessions(evidence: Evidence, cases: Cases) -> int:
    """Compare the sessions of phases without faults; return how many were compared."""
    explained = Explanations(evidence)
    most = evidence.plan.scenario.checks.fairness
    phases: dict[str, dict[str, list[Request]]] = {}
    for request in evidence.requests.values():
        if request.session is not None and request.dispatches and not explained.fault_in(request.invoke["phase"]):
            phases.setdefault(request.invoke["phase"], {}).setdefault(request.session, []).append(request)
    compared = 0
    for phase, sessions in phases.items():
        regular = {name: requests for name, requests in sessions.items() if len(requests) >= MIN_REQUESTS}
        if len(regular) < MIN_SESSIONS:
            continue
        compared += len(regular)
        waits = {name: _longest_wait(requests) for name, requests in regular.items()}
        worst, best = max(waits, key=waits.__getitem__), min(waits, key=waits.__getitem__)
        # Below what the client can tell, a ratio says nothing.
        if waits[worst] > most * max(waits[best], evidence.calm_slack):
            cases.add(
                f"in phase {phase} session {worst} waited {waits[worst]:.3f} s, session {best} {waits[best]:.3f} s",
                [request.invoke["seq"] for request in regular[worst][:2]],
            )
        jain = _jain({name: sum(each.type == "ok" for each in found) / len(found) for name, found in regular.items()})
        if jain < MIN_JAIN:
            cases.add(f"in phase {phase} the sessions were answered unevenly: Jain's index is {jain:.3f}")
    return compared


@attrs.define
class _Waiting:
    """A request that waits for its first worker."""

    request: Request
    overtaken: list[Record] = attrs.field(factory=list["Record"])
    """Later ones that were handed to a worker which could have taken it."""


class _Overtaking:
    """Follows who waits and who is served meanwhile.

    A request may be served by any worker, one of a session that lives somewhere only there, and no session's requests
    run side by side. What is async has its own places in a worker, so it overtakes nothing that is not, nor the other
    way round. What was served before and came back finds its way to the front, and is no overtaker.
    """

    def __init__(self, evidence: Evidence, cases: Cases) -> None:
        self._evidence = evidence
        self._cases = cases
        self._waiting: dict[int, _Waiting] = {}
        self._served: set[int] = set()
        self._homes: dict[str, int] = {}
        self._busy: dict[str, int] = {}

    def judge(self) -> int:
        """Find who was passed over; return how many were served while others of their kind waited."""
        owner = {each.number: each for each in self._evidence.requests.values() if each.number is not None}
        arrivals = {request.invoke["seq"]: request for request in owner.values()}
        contested = 0
        for entry in self._evidence.records:
            if entry["src"] == "client":
                request = arrivals.get(entry["seq"])
                if request is not None and request.number is not None:
                    self._waiting[request.number] = _Waiting(request)
                continue
            if entry["src"] != "pool":
                continue
            match entry["type"]:
                case "SessionBound":
                    self._homes[entry["session_id"]] = entry["incarnation"]
                case "SessionForgotten":
                    self._homes.pop(entry["session_id"], None)
                case "RequestDispatched" if entry["request_id"] in owner:
                    contested += self._dispatched(entry, owner[entry["request_id"]])
                case "RequestFinished" | "RequestRedispatched" | "RequestRetried":
                    self._left(entry)
                case _:
                    pass
        return contested

    def _dispatched(self, entry: Record, request: Request) -> bool:
        number = entry["request_id"]
        own = self._waiting.pop(number, None)
        contested = False
        if own is not None and number not in self._served:
            self._end(own, entry)
            for other in self._waiting.values():
                if other.request.invoke["seq"] > request.invoke["seq"]:
                    contested = True  # it waits for its turn, which is after this one
                elif self._could_take(other.request, request, entry["incarnation"]):
                    contested = True
                    other.overtaken.append(entry)
        self._served.add(number)
        if request.session is not None:
            self._busy[request.session] = self._busy.get(request.session, 0) + 1
        return contested

    def _could_take(self, waiting: Request, served: Request, incarnation: int) -> bool:
        """Tell whether a worker could have taken one request when it was given another."""
        if waiting.asynchronous != served.asynchronous:
            return False
        if waiting.session is None:
            return True
        home = self._homes.get(waiting.session)
        return home in (None, incarnation) and not self._busy.get(waiting.session)

    def _left(self, entry: Record) -> None:
        number = entry["request_id"]
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            self._end(waiting, entry)
        session = entry.get("session_id")
        if number in self._served and session in self._busy:
            self._busy[session] -= 1
            if not self._busy[session]:
                del self._busy[session]

    def _end(self, waiting: _Waiting, entry: Record) -> None:
        """Judge one whose wait is over, by a worker or by its timeout."""
        passed = waiting.overtaken
        if len(passed) <= MAX_OVERTAKEN or entry["t"] - passed[0]["t"] <= self._evidence.calm_slack:
            return
        request = waiting.request
        self._cases.add(
            f"{request.name} waited for {entry['t'] - request.sent:.3f} s, while {len(passed)} that came later were"
            " served where it could have been",
            (request.invoke["seq"], *(each["seq"] for each in passed[:3]), entry["seq"]),
        )


def _longest_wait(requests: list[Request]) -> float:
    """Return the 99th percentile, by nearest rank, of the time from sending to the first worker."""
    waits = sorted(request.dispatches[0]["t"] - request.sent for request in requests)
    return float(waits[min(len(waits) - 1, int(0.99 * len(waits)))])


def _jain(shares: Mapping[str, float]) -> float:
    squares = sum(share * share for share in shares.values())
    return sum(shares.values()) ** 2 / (len(shares) * squares) if squares else 0.0
