"""What the checks find: a verdict, the broken guarantees with their witnesses, and the numbers of the run."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._incidents import Incident

_WITNESSES = 8


class Verdict(StrEnum):
    """What a run says."""

    PASS = "pass"  # noqa: S105  # a verdict, no password
    FAIL = "fail"
    UNKNOWN = "unknown"


class Breach(StrEnum):
    """A guarantee that was broken."""

    LOST = "lost"
    """A request without an outcome, or with one the contract does not allow."""
    DOUBLED = "doubled"
    """A request with two outcomes, or executed twice."""
    CROSSED = "crossed"
    """A reply that belongs to another request."""
    WRONG = "wrong"
    """A reply whose counts are not those made before the clock started, or that nobody computed."""
    TOUCHED = "touched"
    """A session that was never faulted and still had a request fail."""
    DISHONEST = "dishonest"
    """A request that failed as never executed, and was executed."""
    UNRECOVERED = "unrecovered"
    """A worker was lost and the pool never came back to full strength."""
    GAVE_UP = "gave up"
    """The pool gave up, or something that is no error of its contract came out of it."""
    LEFTOVER = "leftover"
    """A worker process outlived the pool."""


@attrs.frozen(kw_only=True)
class Violation:
    """One broken guarantee, in a sentence, with the ``seq`` of the records that show it."""

    breach: Breach
    text: str
    seqs: tuple[int, ...] = ()


class Ending(StrEnum):
    """How a run came to its end."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    """By a signal: the faults were healed, the pool was closed, and requests under way were cut off."""
    CUT_SHORT = "cut short"
    """The history stops in the middle: the harness itself was killed, and what came then nobody knows."""
    NOT_STARTED = "not started"
    """The pool could not be opened."""


@attrs.frozen(kw_only=True)
class Findings:
    """Everything the checks found out."""

    verdict: Verdict
    ending: Ending
    violations: tuple[Violation, ...]
    reasons: tuple[str, ...]
    """Why the verdict is unknown, or would be had nothing been broken."""
    sent: int
    ok: int
    cut_off: int
    """Requests that ended with the run, not with the pool: the interruption cancelled them, or nobody lived to write
    their outcome down. The errors name none of them."""
    errors: Mapping[str, int]
    dropped: int
    sessions: int
    faulted_sessions: int
    untouched_sent: int
    untouched_ok: int
    untouched_cut_off: int
    redispatched: int
    stale: int
    incidents: tuple[Incident, ...]
    latencies: tuple[float, ...]
    services: tuple[float, ...]
    lags: tuple[float, ...]

    @property
    def settled(self) -> int:
        """How many requests were sent and came to an end of their own."""
        return self.sent - self.cut_off

    def count(self, breach: Breach) -> int:
        """Return how often a guarantee was broken."""
        return sum(1 for violation in self.violations if violation.breach is breach)


def witnesses(violations: Iterable[Violation]) -> list[Violation]:
    """Return at most eight violations, the first of every kind among them."""
    first: dict[Breach, Violation] = {}
    rest: list[Violation] = []
    for violation in violations:
        if violation.breach in first:
            rest.append(violation)
        else:
            first[violation.breach] = violation
    return [*first.values(), *rest][:_WITNESSES]
