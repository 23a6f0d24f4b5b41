"""What one checker says: true, unknown or false, with the records that show it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from ._guarantees import GUARANTEES

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_WITNESSES = 8
"""Witnesses kept of one finding: enough to see a pattern, few enough to read."""


class Judgement(StrEnum):
    """The three values of a check, from good to bad."""

    PASS = "pass"  # noqa: S105  # a verdict, no password
    UNKNOWN = "unknown"
    """Nothing was broken, but too little happened to say that anything was proved."""
    FAIL = "fail"


@attrs.frozen(kw_only=True)
class Witness:
    """One case, with the records that show it.

    Args:
        text: What happened, in a sentence.
        seqs: The ``seq`` of those records of the history.
    """

    text: str
    seqs: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class Finding:
    """What one checker says of a run.

    Args:
        checker: Its number: ``C1`` to ``C22`` as the study counts them, and what was added after them.
        name: Its short name, ``conservation``.
        guarantee: The number of the guarantee of the pool it watches over, if it is one of those.
        judgement: Its verdict.
        text: One sentence: what was looked at and how much of it, or why nothing can be said.
        cases: How many violations there were.
        witnesses: The first of them.
        weighs: Whether it counts in the verdict of the run. An unknown does not where nothing happened that the checker
            watches for: a scenario that wants it to happen says so under ``sometimes``.
    """

    checker: str
    name: str
    guarantee: int | None = None
    judgement: Judgement
    text: str
    cases: int = 0
    witnesses: tuple[Witness, ...] = ()
    weighs: bool = True

    @property
    def title(self) -> str:
        """Its number and name, and the guarantee it watches over: ``C8 affinity (guarantee 5, honest sessions)``."""
        of = "" if self.guarantee is None else f" (guarantee {self.guarantee}, {GUARANTEES[self.guarantee]})"
        return f"{self.checker} {self.name}{of}"


def worst(judgements: Iterable[Judgement]) -> Judgement:
    """Return the worst of several verdicts: false before unknown before true."""
    order = [Judgement.PASS, Judgement.UNKNOWN, Judgement.FAIL]
    return max(judgements, key=order.index, default=Judgement.PASS)


def verdict(findings: Iterable[Finding]) -> Judgement:
    """Return what a run as a whole has shown: the worst of the findings that weigh."""
    return worst(finding.judgement for finding in findings if finding.weighs)
