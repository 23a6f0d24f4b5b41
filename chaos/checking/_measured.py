"""The requests of a run, as their callers saw them: when each was meant to leave, left and ended, and how."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._history import Record

_ENDS = frozenset({"ok", "fail", "info", "raised"})


class Fate(StrEnum):
    """What became of a request."""

    OK = "ok"
    FAILED = "failed"
    GIVEN_UP = "given up"
    """Its own caller cancelled it: neither a success nor the pool's failure."""
    CUT_OFF = "cut off"
    """The run was interrupted, or its history ends, before it did: it counts for nobody."""
    LOST = "lost"
    """The run came to its end and it had none."""


@attrs.frozen(kw_only=True)
class Measured:
    """One request that was sent. Times are the history's, in seconds.

    Args:
        number: Its number in the plan, ``id`` in the records.
        operation: What was asked for.
        session: Of which session; None for one without.
        intended: When it was meant to be sent.
        sent: When it was.
        done: When its caller had an answer or an error; None if never.
        written: When it was first handed to a worker; None if it was not, or nobody knows.
        fate: What became of it.
        error: The class of its error.
        outcome: What that error says of its execution.
        timeout: The budget it was given; None for the pool's own.
        seqs: The records that tell all this.
    """

    number: int
    operation: str
    session: str | None
    intended: float
    sent: float
    done: float | None
    written: float | None
    fate: Fate
    error: str | None
    outcome: str | None
    timeout: float | None
    seqs: tuple[int, ...]

    @property
    def latency(self) -> float | None:
        """Seconds from the moment it was meant to be sent, so that a stall is not hidden by what it kept from being
        sent."""
        return None if self.done is None else _micro(self.done - self.intended)

    @property
    def service(self) -> float | None:
        """Seconds from the moment it was sent."""
        return None if self.done is None else _micro(self.done - self.sent)

    @property
    def lag(self) -> float:
        """Seconds its sender was behind the plan."""
        return _micro(self.sent - self.intended)

    @property
    def wait(self) -> float | None:
        """Seconds from being sent until a worker got it."""
        return None if self.written is None else _micro(self.written - self.sent)

    @property
    def settled(self) -> bool:
        """Whether it says anything about the pool."""
        return self.fate in (Fate.OK, Fate.FAILED, Fate.LOST)


@attrs.frozen(kw_only=True)
class Drop:
    """An arrival that was never sent, because too many requests were unanswered."""

    number: int
    intended: float


def read_measured(records: Sequence[Record], written: Mapping[int, float] | None = None) -> tuple[Measured, ...]:
    """Return the requests of a history, in the order of their sending.

    Args:
        records: The whole history.
        written: When each was handed to a worker, by its number, in the history's time.
    """
    invoked: dict[int, Record] = {}
    ended: dict[int, Record] = {}
    over: float | None = None
    complete = False
    for entry in records:
        if entry["src"] == "client":
            if entry["type"] == "invoke":
                invoked.setdefault(entry["id"], entry)
            elif entry["type"] in _ENDS:
                # A second outcome of the same request is a breach, which a checker finds; the first is what was served.
                ended.setdefault(entry["id"], entry)
        elif entry["src"] == "run" and entry["type"] == "interrupted" and over is None:
            over = float(entry["t"])
        elif entry["src"] == "run" and entry["type"] == "end":
            complete = True
    handed = written or {}
    return tuple(
        _request(entry, ended.get(number), handed.get(number), over, complete=complete)
        for number, entry in invoked.items()
    )


def read_drops(records: Iterable[Record]) -> tuple[Drop, ...]:
    """Return the arrivals that were never sent."""
    return tuple(
        Drop(number=entry["id"], intended=float(entry["t_int"]))
        for entry in records
        if entry["src"] == "client" and entry["type"] == "drop"
    )


def _request(
    invoke: Record, end: Record | None, written: float | None, over: float | None, *, complete: bool
) -> Measured:
    if end is None:
        fate = Fate.LOST if complete and over is None else Fate.CUT_OFF
    elif end["type"] == "ok":
        fate = Fate.OK
    elif over is not None and end["t"] >= over:
        # What fails once somebody interrupted the run fails because the pool is closed.
        fate = Fate.CUT_OFF
    else:
        fate = Fate.GIVEN_UP if end.get("cancelled") else Fate.FAILED
    return Measured(
        number=invoke["id"],
        operation=str(invoke.get("operation", "")),
        session=invoke.get("session"),
        intended=float(invoke["t_int"]),
        sent=float(invoke["t"]),
        done=None if end is None else float(end["t"]),
        written=written,
        fate=fate,
        error=None if end is None else end.get("error"),
        outcome=None if end is None else end.get("outcome"),
        timeout=invoke.get("timeout"),
        seqs=(invoke["seq"],) if end is None else (invoke["seq"], end["seq"]),
    )


def _micro(seconds: float) -> float:
    """Cut the noise of subtracting off: the history has microseconds. What lies below zero was rounded there."""
    return max(round(seconds, 6), 0.0)
