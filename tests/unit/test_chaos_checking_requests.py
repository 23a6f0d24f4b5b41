"""The checkers of requests, their executions and their replies: C1 to C6, on histories written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from _chaos_story import Story, nonce_of

from chaos.checking._finding import MAX_WITNESSES, Judgement
from chaos.scenario._fault import Capability, FaultSpec, Trigger
from chaos.workload._ledger import BEGIN, EFFECT, END


class Murder(FaultSpec):
    """The application's own death, for histories that end with it."""

    kind = "murder"
    needs = frozenset({Capability.APPLICATION})
    heals = False


# -- C1 ----------------------------------------------------------------------------------------------------------------


def test_every_request_with_one_outcome_is_conserved() -> None:
    """An answer, an error and a cancellation are one outcome each."""
    story = Story()
    story.served(0)
    story.invoke(1)
    story.failed(1, "PoolSaturated", "not_executed")
    story.invoke(2)
    story.cancelled(2)
    story.ends()
    assert story.says("C1") == "pass"


def test_a_request_without_outcome_is_lost() -> None:
    """A run that came to its end owes every request an outcome; the witness names its record."""
    story = Story()
    lost = story.invoke(0)
    story.ends()
    finding = story.judged("C1")
    assert finding.judgement is Judgement.FAIL
    assert finding.guarantee == 1
    assert finding.witnesses[0].seqs == (lost["seq"],)


@pytest.mark.parametrize("again", ["outcome", "stray", "invoke"])
def test_two_outcomes_or_one_without_a_request_are_flagged(again: str) -> None:
    """Nobody gets two answers, none to what he never asked, and no request is sent twice."""
    story = Story()
    story.served(0)
    if again == "outcome":
        story.ok(0)
    elif again == "stray":
        story.failed(7, "WorkerCrashed")
    else:
        story.invoke(0)
    story.ends()
    assert story.says("C1") == "fail"


def test_what_an_interruption_cut_off_is_unknown() -> None:
    """A run that was stopped from outside proves nothing about the requests under way then."""
    story = Story()
    story.invoke(0)
    story.run("interrupted", signal="SIGINT")
    assert story.says("C1") == "unknown"


def test_what_the_applications_death_cut_off_is_excused() -> None:
    """Killed as planned, the application leaves nobody to get an answer: the rest is judged."""
    story = Story(faults=[Murder(name="murder", at=Trigger(time=1.0))])
    story.served(0)
    story.invoke(1)
    story.injected("murder", None, kind="murder", slot=None)
    assert story.says("C1") == "pass"
    assert "1 under way" in story.judged("C1").text


def test_a_plan_with_requests_and_a_run_without_proves_nothing() -> None:
    """No request at all is no clean run."""
    story = Story(asked=True)
    story.ends()
    assert story.says("C1") == "unknown"


def test_of_many_cases_the_first_eight_are_shown() -> None:
    """All are counted; a reader needs the first few."""
    story = Story()
    for number in range(MAX_WITNESSES + 3):
        story.invoke(number)
    story.ends()
    finding = story.judged("C1")
    assert finding.cases == MAX_WITNESSES + 3
    assert len(finding.witnesses) == MAX_WITNESSES


# -- C2 ----------------------------------------------------------------------------------------------------------------


def test_public_errors_that_say_what_ran_are_typed() -> None:
    """Errors of the pool, each with an outcome that fits the record's type; cancellation is no error of it."""
    story = Story()
    for number, (error, outcome) in enumerate(
        [("PoolTimeout", "not_executed"), ("WorkerCrashed", "maybe_executed"), ("RemoteError", "executed")]
    ):
        story.invoke(number)
        story.failed(number, error, outcome)
    story.invoke(9)
    story.cancelled(9)
    story.ends()
    assert story.says("C2") == "pass"


@pytest.mark.parametrize(
    "fields",
    [
        {"error": "KeyError", "public": False},
        {"error": "WorkerCrashed", "group": True},
        {"error": "WorkerCrashed", "outcome": None, "type": "info"},
        {"error": "WorkerCrashed", "outcome": "executed", "type": "info"},
        {"error": "Cancelled", "public": False},
    ],
)
def test_errors_a_caller_cannot_work_with_are_flagged(fields: dict[str, Any]) -> None:
    """A stranger's class, a group, an error that does not say what ran, or a cancellation that leaked."""
    story = Story()
    story.invoke(0)
    error = str(fields.pop("error"))
    story.failed(0, error, **fields)
    story.ends()
    assert story.says("C2") == "fail"


def test_whatever_comes_out_of_the_pool_must_be_a_give_up() -> None:
    """A give-up that was announced may end the pool; anything else is a mistake."""
    story = Story()
    story.pool("GaveUp", error="RestartIntensityExceeded: too many")
    story.run("pool_failed", error="RestartIntensityExceeded: too many")
    assert story.says("C2") == "pass"
    for error in ("RestartIntensityExceeded: too many", "AssertionError: "):
        story = Story()
        story.run("pool_failed", error=error)
        assert story.says("C2") == "fail"


def test_a_closed_pool_says_that_it_gave_up() -> None:
    """After a give-up, PoolClosed without its cause leaves its caller in the dark."""
    for chain, verdict in ((["RestartIntensityExceeded"], "pass"), ([], "fail")):
        story = Story()
        story.invoke(0)
        story.pool("GaveUp", error="RestartIntensityExceeded: too many")
        story.failed(0, "PoolClosed", "not_executed", chain=chain)
        assert story.says("C2") == verdict


# -- C3 ----------------------------------------------------------------------------------------------------------------


def test_outcomes_that_agree_with_the_ledger_are_honest() -> None:
    """Answered and ended, failed and never begun, unknown and either."""
    story = Story()
    story.served(0)
    story.invoke(1)
    story.failed(1, "PoolTimeout", "not_executed")
    story.invoke(2)
    story.ran(2, steps=[BEGIN])
    story.failed(2, "WorkerCrashed")
    story.invoke(3)
    story.failed(3, "WorkerCrashed")
    story.invoke(4)
    story.ran(4, steps=[BEGIN])
    story.failed(4, "RemoteError", "executed")
    story.ends()
    assert story.says("C3") == "pass"


def test_not_executed_is_a_lie_once_it_began() -> None:
    """One BEGIN in the ledger is proof enough, and the guarantee it breaks is the first."""
    story = Story()
    story.invoke(0)
    story.ran(0, steps=[BEGIN])
    story.failed(0, "WorkerCrashed", "not_executed")
    story.ends()
    assert story.judged("C3").guarantee == 1
    assert story.says("C3") == "fail"


@pytest.mark.parametrize("steps", [[], [BEGIN], [BEGIN, EFFECT]])
def test_an_answer_nobody_computed_is_flagged(steps: list[int]) -> None:
    """What succeeded has ended in some worker."""
    story = Story()
    story.invoke(0)
    story.ran(0, steps=steps)
    story.ok(0)
    story.ends()
    assert story.says("C3") == "fail"


def test_executed_without_a_beginning_is_flagged() -> None:
    """What failed as executed had begun."""
    story = Story()
    story.invoke(0)
    story.failed(0, "RemoteError", "executed")
    story.ends()
    assert story.says("C3") == "fail"


def test_an_execution_nobody_asked_for_is_flagged_unless_the_history_is_cut() -> None:
    """The last lines of a history may be lost with its writer; those of a whole one are not."""
    story = Story()
    story.ran(5)
    assert story.says("C3") == "pass"
    story.ends()
    assert story.says("C3") == "fail"


def test_a_foreign_nonce_in_the_ledger_is_flagged() -> None:
    """A request executed with another's nonce was mixed up on its way there."""
    story = Story()
    story.served(0)
    story.step(0, BEGIN, at=story.now, execution=9, nonce="77")
    story.ends()
    assert story.says("C3") == "fail"


def test_without_a_ledger_or_with_a_torn_one_executions_are_unknown() -> None:
    """No ledger proves nothing; a missing end may be the record that was torn."""
    story = Story()
    story.ledger = None
    story.ends()
    assert story.says("C3") == "unknown"
    assert story.says("C5") == "unknown"
    story = Story()
    story.invoke(0)
    story.ran(0, steps=[BEGIN, EFFECT])
    assert story.ledger is not None
    story.ledger += b"tpL1 torn"
    story.ok(0)
    story.ends()
    assert story.says("C3") == "unknown"


# -- C4 ----------------------------------------------------------------------------------------------------------------


def test_replies_that_are_their_requests_own_pass() -> None:
    """The number, the nonce and what was known before it was sent."""
    story = Story()
    story.served(0)
    story.ends()
    assert story.says("C4") == "pass"


@pytest.mark.parametrize(
    "reply", [{"nonce": nonce_of(1)}, {"request": 1}, {"digest": "0" * 16}, {"nonce": None}, {"request": "0"}]
)
def test_a_reply_of_somebody_else_is_flagged(reply: dict[str, Any]) -> None:
    """A wrong number or nonce is another's reply; a wrong digest is nobody's."""
    story = Story()
    story.invoke(0)
    story.ok(0, **reply)
    story.ends()
    assert story.says("C4") == "fail"


def test_a_reply_that_is_no_reply_is_flagged() -> None:
    """What no command returns was not returned by one."""
    story = Story()
    story.invoke(0)
    story.note("client", "ok", id=0, reply="bytes")
    assert story.says("C4") == "fail"


def test_without_an_answer_correlation_is_idle() -> None:
    """It says that nothing was judged, and does not weigh."""
    story = Story()
    story.ends()
    assert story.says("C4") == "idle"


# -- C5 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("idempotent", "runs", "verdict"),
    [
        (False, 1, "pass"),
        (False, 2, "fail"),
        (True, 2, "pass"),
        (True, 3, "fail"),
    ],
)
def test_nothing_runs_more_often_than_it_may(idempotent: bool, runs: int, verdict: str) -> None:
    """Once, or once more for each retry of what is idempotent: one by default."""
    story = Story()
    story.invoke(0, idempotent=idempotent)
    for run in range(runs):
        story.ran(0, pid=101 + run)
    story.ok(0)
    story.ends()
    assert story.says("C5") == verdict


def test_a_beginning_counts_though_it_took_no_effect() -> None:
    """A worker that dies between the two had begun, and nobody may begin again."""
    story = Story()
    story.invoke(0)
    story.ran(0, pid=101, steps=[BEGIN])
    story.ran(0, pid=102)
    story.ok(0)
    story.ends()
    assert story.says("C5") == "fail"


def test_a_step_noted_twice_is_flagged() -> None:
    """One execution takes effect once."""
    story = Story()
    story.invoke(0)
    story.ran(0)
    story.step(0, EFFECT, at=story.now, execution=1)
    story.ok(0)
    assert story.says("C5") == "fail"


# -- C6 ----------------------------------------------------------------------------------------------------------------


def abandoned(then: float, end: float | None) -> Story:
    """A request is given up at 0.5 s and ends at some time, another is handed to its worker."""
    story = Story()
    story.started(1)
    story.invoke(0, at=0.1)
    story.handed(1, at=0.11)
    story.step(0, BEGIN, at=0.12, execution=1)
    if end is not None:
        story.step(0, END, at=end, execution=1)
    story.finished(1, result="cancelled", at=0.5)
    story.cancelled(0, at=0.5)
    story.invoke(1, at=0.6)
    story.handed(2, at=then)
    return story


def test_a_worker_is_used_again_once_it_has_ended_what_was_given_up() -> None:
    """The next request comes after the end of the abandoned one."""
    story = abandoned(then=0.8, end=0.7)
    story.ran(1)
    story.ok(1)
    assert story.says("C6") == "pass"


@pytest.mark.parametrize("end", [0.9, None])
def test_a_worker_that_still_runs_what_was_given_up_takes_nothing(end: float | None) -> None:
    """Neither before its end nor if it never ends."""
    story = abandoned(then=0.8, end=end)
    story.ok(1)
    assert story.says("C6") == "fail"


def test_a_late_reply_reaches_nobody() -> None:
    """The reply of a request that was given up must not be given to another."""
    story = abandoned(then=0.8, end=0.7)
    story.ok(1, nonce=nonce_of(0), request=0)
    finding = story.judged("C6")
    assert finding.judgement is Judgement.FAIL
    assert finding.guarantee == 2


def test_without_a_request_given_up_late_delivery_is_idle() -> None:
    """Nothing could come late."""
    story = Story()
    story.served(0)
    assert story.says("C6") == "idle"


def test_the_errors_of_another_kind_of_pool_are_its_own_affair() -> None:
    """What our pool promises of its errors, no other does."""
    story = Story()
    story.records[0]["target"] = "loky"
    story.invoke(0)
    story.failed(0, "BrokenProcessPool", public=False)
    assert story.says("C2") == "idle"
