"""The requests: each with what was sent, what came of it, what the pool told of it and where it was executed."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

import attrs

from ..workload._register import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._history import Record
    from ._ledger_reading import Execution

OUTCOMES: Final = frozenset({"ok", "fail", "info", "raised"})
"""The types of record that end a request."""

_TOLD: Final = frozenset({"RequestDispatched", "RequestRedispatched", "RequestRetried", "RequestFinished"})


@attrs.define(kw_only=True)
class Request:
    """One request.

    Args:
        invoke: The record of its sending.
        outcomes: How it ended; one is right.
        executions: What the ledger has of its id, in the order of the ledger.
        told: The pool's events about it, where it is certain which they are.
    """

    invoke: Record
    outcomes: list[Record] = attrs.field(factory=list["Record"])
    executions: list[Execution] = attrs.field(factory=list["Execution"])
    told: list[Record] = attrs.field(factory=list["Record"])

    @property
    def id(self) -> int:
        """Its number in the plan."""
        return int(self.invoke["id"])

    @property
    def nonce(self) -> int:
        """The number its reply must carry."""
        return int(self.invoke["nonce"], 16)

    @property
    def session(self) -> str | None:
        """Its session."""
        session: str | None = self.invoke["session"]
        return session

    @property
    def operation(self) -> str:
        """What was asked."""
        return str(self.invoke["operation"])

    @property
    def touches(self) -> str | None:
        """What it does to its session's list: ``append``, ``read``, or None."""
        touches: str | None = self.invoke["touches"]
        return touches

    @property
    def asynchronous(self) -> bool:
        """Whether its command is async, so that others run beside it in its worker."""
        return self.invoke.get("asynchronous") is True

    @property
    def sent(self) -> float:
        """When it was sent."""
        return float(self.invoke["t"])

    @property
    def outcome(self) -> Record | None:
        """How it ended, first."""
        return self.outcomes[0] if self.outcomes else None

    @property
    def ended(self) -> float:
        """When it ended; infinite if that is not on record."""
        return float(self.outcomes[0]["t"]) if self.outcomes else float("inf")

    @property
    def type(self) -> str | None:
        """``ok``, ``fail``, ``info``, ``raised``, or None without an outcome."""
        return str(self.outcomes[0]["type"]) if self.outcomes else None

    @property
    def error(self) -> str | None:
        """The class of its error."""
        return None if not self.outcomes or self.type == "ok" else str(self.outcomes[0]["error"])

    @property
    def cancelled(self) -> bool:
        """Whether its own caller gave it up."""
        return bool(self.outcomes) and self.outcomes[0].get("cancelled") is True

    @property
    def number(self) -> int | None:
        """The pool's own number for it, where that is certain."""
        return int(self.told[0]["request_id"]) if self.told else None

    @property
    def dispatches(self) -> list[Record]:
        """When it was handed to a worker, each time."""
        return [entry for entry in self.told if entry["type"] == "RequestDispatched"]

    @property
    def finished(self) -> Record | None:
        """When the pool was done with it."""
        return next((entry for entry in self.told if entry["type"] == "RequestFinished"), None)

    @property
    def seqs(self) -> tuple[int, ...]:
        """The records of the client about it."""
        return (self.invoke["seq"], *(entry["seq"] for entry in self.outcomes))

    @property
    def name(self) -> str:
        """In words."""
        session = "" if self.session is None else f" of session {self.session}"
        return f"request {self.id} ({self.operation}{session})"


@attrs.frozen(kw_only=True)
class Requests:
    """All requests, and what belongs to none.

    Args:
        by_id: In the order of their sending.
        strays: Outcomes of ids that were never sent, or not yet.
        again: Records of a request being sent whose id was sent before.
        foreign: The numbers of the pool's requests that could not be assigned to one of the client's for certain.
    """

    by_id: dict[int, Request]
    strays: tuple[Record, ...]
    again: tuple[Record, ...]
    foreign: frozenset[int]


def find_requests(records: Iterable[Record], executions: Iterable[Execution]) -> Requests:
    """Put together what is on record of each request."""
    by_id: dict[int, Request] = {}
    strays: list[Record] = []
    again: list[Record] = []
    told: dict[int, list[Record]] = {}
    for entry in records:
        if entry["src"] == "client":
            if entry["type"] == "invoke":
                if entry["id"] in by_id:
                    again.append(entry)
                else:
                    by_id[entry["id"]] = Request(invoke=entry)
            elif entry["type"] in OUTCOMES:
                if entry["id"] in by_id:
                    by_id[entry["id"]].outcomes.append(entry)
                else:
                    strays.append(entry)
        elif entry["src"] == "pool" and entry["type"] in _TOLD:
            told.setdefault(entry["request_id"], []).append(entry)
    for execution in executions:
        if execution.request in by_id:
            by_id[execution.request].executions.append(execution)
    foreign = _assign(list(by_id.values()), told)
    return Requests(by_id=by_id, strays=tuple(strays), again=tuple(again), foreign=foreign)


def _assign(requests: Sequence[Request], told: dict[int, list[Record]]) -> frozenset[int]:
    """Find out which of the pool's requests is which of the client's.

    A pool numbers what it admits in the order of the calls, and nothing runs between the record of a sending and the
    admission. So among those of one session and command the orders are the same. What others send in between, or what
    was refused before it had a number, would shift them; therefore every pair must fit in time and in the number that
    an error carries, and where one does not, none of that session and command is believed.
    """
    ours: dict[tuple[str | None, str], list[Request]] = {}
    for request in requests:
        if _numbered(request):
            command = COMMANDS.get(request.operation, request.operation)
            ours.setdefault((request.session, command), []).append(request)
    theirs: dict[tuple[str | None, str], list[int]] = {}
    for number in sorted(told):
        # Whatever a request's first event is, it names the command.
        first = told[number][0]
        theirs.setdefault((first["session_id"], first.get("command", "")), []).append(number)
    foreign: set[int] = set()
    for key, numbers in theirs.items():
        candidates = ours.get(key, [])
        pairs = list(zip(candidates, numbers, strict=False))
        # Fewer numbers than requests: the history ends before the pool told of the last.
        alike = len(numbers) == len(candidates)
        if len(numbers) > len(candidates) or not all(_fits(request, told[number], alike) for request, number in pairs):
            foreign.update(numbers)
            continue
        for request, number in pairs:
            request.told = sorted(told[number], key=itemgetter("seq"))
    return frozenset(foreign)


def _numbered(request: Request) -> bool:
    """Whether the pool gave it a number: it did unless it refused the call as such, whose error then has none."""
    outcome = request.outcome
    if outcome is None or outcome["type"] == "ok" or request.cancelled:
        return True
    return outcome.get("request_id") is not None


def _fits(request: Request, told: Sequence[Record], alike: bool) -> bool:
    outcome = request.outcome
    if told[0]["seq"] < request.invoke["seq"]:
        return False
    if outcome is None:
        return True
    number = outcome.get("request_id")
    # A pool that does not notice who gives up tells of his request afterwards. That is for a checker to find, if there
    # are as many requests as numbers, so that no pair can be another's.
    in_time = told[-1]["seq"] < outcome["seq"] or (request.cancelled and alike)
    return in_time and (number is None or number == told[0]["request_id"])
