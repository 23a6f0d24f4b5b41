"""The checkers, in order: each with its number, its name and the rule it holds the run to."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

import attrs

from ._cancellation import cancellation
from ._cleanness import clean_protocol, complaints, vacuity
from ._coping import recovery, small_blast
from ._executions import at_most_once, definiteness
from ._fairness import fairness
from ._finding import Finding, Judgement
from ._liveness import liveness
from ._outcomes import conservation, deadlines, typed_errors
from ._queueing import bounded_queue, first_come_first_served, mutual_exclusion
from ._remains import graceful_stop, metrics_honest, no_leak, no_orphan
from ._replies import correlation, late_delivery
from ._restarts import restart_intensity
from ._sessions import affinity, isolation, order_and_state
from ._tree import supervision_tree

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
    _checker("C3", "definiteness", 1, definiteness),
    _checker("C4", "correlation", 2, correlation),
    _checker("C5", "at most once", 1, at_most_once),
    _checker("C6", "no late delivery", 2, late_delivery),
    _checker("C7", "session isolation", 5, isolation),
    _checker("C8", "affinity", 5, affinity),
    _checker("C9", "session order and state", 5, order_and_state),
    _checker("C10", "mutual exclusion", None, mutual_exclusion),
    _checker("C11", "bounded queue", 7, bounded_queue),
    _checker("C12", "first come, first served", None, first_come_first_served),
    _checker("C13", "deadlines", 7, deadlines),
    _checker("C14", "fairness", None, fairness),
    _checker("C15", "restart intensity", 7, restart_intensity),
    _checker("C16", "supervision tree", None, supervision_tree),
    _checker("C17", "recovery bound", None, recovery),
    _checker("C18", "liveness after heal", None, liveness),
    _checker("C19", "no orphan", 6, no_orphan),
    _checker("C20", "no leak", 4, no_leak),
    _checker("C21", "graceful stop", 7, graceful_stop),
    _checker("C22", "metrics honest", None, metrics_honest),
    _checker("C23", "small blast", 3, small_blast),
    _checker("C24", "cancellation", 4, cancellation),
    _checker("C25", "clean protocol", 8, clean_protocol),
    _checker("C26", "no complaints", None, complaints),
    _checker("C27", "something was tested", None, vacuity),
)
"""All of them, in the order of their numbers."""


def check_all(evidence: Evidence) -> list[Finding]:
    """Judge a run by every checker that its scenario has not disabled, in order."""
    disabled = evidence.plan.scenario.checks.disable
    return [checker.check(evidence) for checker in CHECKERS if checker.number not in disabled]
