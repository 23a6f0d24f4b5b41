"""The checkers, in order: each with its number, its name and the rule it holds the run to."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

import attrs

from ._executions import at_most_once, definiteness
from ._finding import Finding, Judgement
from ._outcomes import conservation, deadlines, typed_errors
from ._replies import correlation, late_delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..evidence._evidence import Evidence
    from ._cases import Answer


@attrs.frozen(kw_only=True)
class Checker:
    """One rule a run is held to.

    Args:
        number: ``C1`` and so on: those up to C22 as the study of chaos tools counts them.
        name: In a word or two.
        guarantee: The number of the guarantee of the pool it watches over, or None.
        rule: In one line.
        function: Reads the answer off the evidence.
    """

    number: str
    name: str
    guarantee: int | None
    rule: str
    function: Callable[[Evidence], Answer]

    def check(self, evidence: Evidence) -> Finding:
        """Judge a run. A checker that fails at it says that it knows nothing, and why: never that all is well."""
        try:
            answer = self.function(evidence)
        except Exception:  # whatever it is: it must not hide what the others found
            return Finding(
                checker=self.number,
                name=self.name,
                guarantee=self.guarantee,
                judgement=Judgement.UNKNOWN,
                text=f"the checker itself failed: {traceback.format_exc()}",
            )
        return Finding(
            checker=self.number,
            name=self.name,
            guarantee=self.guarantee,
            judgement=answer.judgement,
            text=answer.text,
            cases=answer.cases,
            witnesses=answer.witnesses,
            weighs=answer.weighs,
        )


def _checker(number: str, name: str, guarantee: int | None, function: Callable[[Evidence], Answer]) -> Checker:
    rule = (function.__doc__ or "").splitlines()[0]
    return Checker(number=number, name=name, guarantee=guarantee, rule=rule, function=function)


CHECKERS: Final = (
    _checker("C1", "conservation", 1, conservation),
    _checker("C2", "typed errors", None, typed_errors),
    _checker("C3", "definiteness honest", 1, definiteness),
    _checker("C4", "correlation", 2, correlation),
    _checker("C5", "at most once", 1, at_most_once),
    _checker("C6", "no late delivery", 2, late_delivery),
    _checker("C13", "deadlines", 7, deadlines),
)
"""All of them, in the order of their numbers."""


def check_all(evidence: Evidence) -> list[Finding]:
    """Judge a run by every checker that its scenario has not disabled, in order."""
    disabled = evidence.plan.scenario.checks.disable
    return [checker.check(evidence) for checker in CHECKERS if checker.number not in disabled]
