"""The checker of what giving up must not cost, C24, on histories written by hand."""

from __future__ import annotations

import pytest
from _chaos_story import Story

from chaos.scenario._fault import Trigger
from chaos.scenario._process_faults import CancelStorm, Kill, Poison
from chaos.workload._ledger import BEGIN, END, STOPPED

STORM = CancelStorm(name="storm", at=Trigger(time=1.0))


def given_up(after: float, took: float) -> Story:
    """Have a caller give up."""
    story = Story()
    story.started(1)
    story.invoke(0, cancel_after=after, at=1.0)
    story.handed(1, at=1.001)
    story.finished(1, result="cancelled", at=1.0 + took)
    story.cancelled(0, at=1.0 + took)
    return story


@pytest.mark.parametrize(("took", "expected"), [(0.2, "pass"), (0.4, "fail")])
def test_who_gives_up_is_free_at_once(took: float, expected: str) -> None:
    """Whatever its worker does."""
    assert given_up(0.2, took).says("C24") == expected


@pytest.mark.parametrize(("later", "expected"), [(1, "fail"), (2, "pass")])
def test_a_worker_that_dies_of_the_next_frame_shows_half_a_one(later: int, expected: str) -> None:
    """After a cancellation the next request must be unharmed; what dies long after it has other reasons."""
    story = given_up(0.2, 0.2)
    for number in range(1, later + 1):
        story.invoke(number)
        story.handed(number + 1)
        story.finished(number + 1, result="failed")
        story.failed(number, "WorkerCrashed", request_id=number + 1)
    story.worker("WorkerExited", 1)
    assert story.says("C24") == expected


def test_a_place_that_stays_taken_after_a_cancellation_is_flagged() -> None:
    """When nobody asks for anything any more, the pool holds nothing."""
    for running, expected in ((1, "fail"), (0, "pass")):
        story = given_up(0.2, 0.2)
        story.run("load_ended", at=2.0)
        story.sample({"submitted": 1, "running": running, "cancelled": 1 - running}, at=4.0)
        assert story.says("C24") == expected


def test_without_a_cancelled_caller_cancellation_is_idle() -> None:
    """One that an interruption cut off is none."""
    story = Story()
    story.served(0)
    story.invoke(1)
    story.run("interrupted", signal="SIGINT")
    story.cancelled(1)
    assert story.says("C24") == "idle"


def swept(*numbers: int, at: float = 1.0) -> Story:
    """Have a storm sweep callers away, who have had no end to their patience."""
    story = Story(faults=[STORM])
    story.started(1)
    for number in numbers:
        story.invoke(number, at=at - 0.1)
        story.handed(number + 1, at=at - 0.1)
    effect = {"cancelled": len(numbers), "requests": list(numbers)}
    story.injected("storm", None, kind="cancel-storm", slot=None, detail=effect, at=at)
    story.note("chaos", "effect", fault="storm", occurrence=0, effect=effect, at=at)
    return story


@pytest.mark.parametrize(("took", "expected"), [(0.01, "pass"), (0.2, "fail")])
def test_who_is_swept_away_is_free_at_once(took: float, expected: str) -> None:
    """The storm says when each gave up, for his own patience does not."""
    story = swept(0)
    story.finished(1, result="cancelled", at=1.0 + took)
    story.cancelled(0, at=1.0 + took)
    assert story.says("C24") == expected


def test_who_gave_up_and_is_kept_until_the_answer_was_held() -> None:
    """However his request ended: it was not cancelled, and should have been."""
    for after, expected in ((0.5, "pass"), (0.2, "fail")):
        story = given_up(0.2, 0.2)
        story.invoke(1, cancel_after=after, at=2.0)
        story.handed(2, at=2.0)
        story.finished(2, at=2.4)
        story.ok(1, at=2.4)
        assert story.says("C24") == expected


@pytest.mark.parametrize(("public", "expected"), [(True, "pass"), (False, "fail")])
def test_who_gave_up_gets_no_error_of_nobody(public: bool, expected: str) -> None:
    """The request's own error may come in that very moment; any other is what giving up did."""
    story = swept(0, 1)
    for number in range(2):
        story.finished(number + 1, result="cancelled", at=1.01)
    story.cancelled(0, at=1.01)
    story.failed(1, "KeyError", "executed", public=public, at=1.01)
    assert story.says("C24") == expected


def test_a_pool_that_does_not_notice_who_left_is_flagged() -> None:
    """It tells of a request that was over: of its worker, or of an end."""
    story = given_up(0.2, 0.2)
    assert story.says("C24") == "pass"
    story.invoke(1, cancel_after=0.1, at=2.0)
    story.cancelled(1, at=2.1)
    story.handed(2, at=2.2)
    story.finished(2, at=2.3)
    assert not story.evidence().found.foreign
    assert story.judged("C24").cases == 1


def long_one(*, end: float | None = None, service: float = 1.0) -> Story:
    """Have a caller give up on a long command at 1.2 s."""
    faults = [Kill(name="kill", at=Trigger(time=1.0)), Poison(name="poison", at=Trigger(time=1.0))]
    story = Story(pool={"abandon_grace": 0.3}, faults=faults)
    story.started(1)
    story.invoke(0, cancel_after=0.2, service=service, at=1.0)
    story.handed(1, at=1.001)
    story.step(0, BEGIN, at=1.002, execution=1)
    if end is not None:
        story.step(0, END, at=end, execution=1)
    story.finished(1, result="cancelled", at=1.2)
    story.cancelled(0, at=1.2)
    return story


@pytest.mark.parametrize(("end", "expected"), [(1.4, "pass"), (1.5, "pass"), (1.6, "fail")])
def test_what_runs_for_nobody_has_its_grace_and_no_more(end: float, expected: str) -> None:
    """What the ledger has of it later shows that its worker was not ended."""
    story = long_one(end=end)
    story.ends()
    assert story.says("C24") == expected


def test_what_runs_for_nobody_to_the_end_of_the_run_is_flagged() -> None:
    """It has no end in the ledger, and its worker none either; one that was killed, or took another command, has."""
    story = long_one(service=100.0)
    story.sample(at=3.0)
    story.run("closing", at=3.1)
    assert story.says("C24") == "fail"
    for kind in ("WorkerKilled", "WorkerExited"):
        story = long_one(service=100.0)
        story.worker(kind, 1, planned=True, reason="cancelled", at=1.51)
        story.run("closing", at=3.1)
        assert story.says("C24") == "pass"
    story = long_one(service=100.0)
    story.invoke(1, at=1.51)
    story.handed(2, at=1.51)
    story.run("closing", at=3.1)
    assert story.says("C24") == "pass"


@pytest.mark.parametrize(("busy", "expected"), [(0, "pass"), (1, "fail")])
def test_a_command_that_was_cancelled_leaves_no_step_and_no_busy_worker(busy: int, expected: str) -> None:
    """An async one ends where it stands; that it has ended, a sample shows in which nobody is busy."""
    story = long_one(service=100.0)
    story.sample(busy=busy, at=1.25)
    story.run("closing", at=3.1)
    assert story.says("C24") == expected


@pytest.mark.parametrize(("stopped", "expected"), [(1.25, "pass"), (1.5, "pass"), (1.6, "fail")])
def test_a_command_that_was_cancelled_ran_until_it_was_stopped(stopped: float, expected: str) -> None:
    """By its own word, however long it was to take and however busy others keep its worker."""
    story = long_one(service=100.0)
    story.step(0, STOPPED, at=stopped, execution=1)
    story.sample(busy=1, at=1.7)
    story.run("closing", at=3.1)
    assert story.says("C24") == expected


def test_until_the_pool_closes_is_all_that_is_asked() -> None:
    """What is given up when the pool is about to close has no grace of which the run could tell."""
    story = long_one(service=100.0)
    story.run("closing", at=1.3)
    story.worker("WorkerExited", 1, planned=True, reason="shutdown", at=3.0)
    assert story.says("C24") == "pass"


def test_time_in_which_the_application_stood_still_is_no_lateness() -> None:
    """The pool can end nobody meanwhile."""
    story = long_one(end=1.9)
    story.sample(lag=0.6, at=1.8)
    story.ends()
    assert story.says("C24") == "pass"


def forgotten(*, taken: float | None, session: str | None = None, hit: int | None = None) -> Story:
    """Have a worker end in time what was given up, while another request waits, and take it at some time or never."""
    story = long_one(end=1.3)
    if hit is not None:
        story.injected("kill", hit, at=1.35)
    story.invoke(1, session=session, at=1.4)
    if taken is not None:
        story.handed(2, session=session, at=taken)
    story.finished(2, 1 if taken else None, "ok" if taken else "timed_out", session_id=session, at=2.4)
    if taken is None:
        story.failed(1, "PoolTimeout", "not_executed", request_id=2, at=2.4)
    else:
        story.ok(1, at=2.4)
    story.run("closing", at=3.0)
    return story


@pytest.mark.parametrize(("taken", "expected"), [(1.45, "pass"), (1.54, "pass"), (1.6, "fail"), (None, "fail")])
def test_a_worker_that_nobody_gets_any_more_is_a_place_lost(taken: float | None, expected: str) -> None:
    """When the grace is over it is free, and whoever waits has it at once."""
    assert forgotten(taken=taken).says("C24") == expected


def test_who_may_not_go_there_has_lost_no_place() -> None:
    """A session waits for its own worker, and one that a fault has hit may be unable to serve."""
    assert forgotten(taken=None, session="s-1").says("C24") == "pass"
    assert forgotten(taken=None, hit=1).says("C24") == "pass"
    assert forgotten(taken=None, hit=2).says("C24") == "fail"


def test_a_worker_that_runs_something_else_is_not_free() -> None:
    """It runs several at once, and has no room for another before one of them has ended."""
    for ended, expected in ((2.0, "pass"), (1.3, "fail")):
        story = Story(pool={"abandon_grace": 0.3, "concurrency": 2})
        story.started(1)
        story.invoke(1, at=0.9)
        story.handed(1, at=0.91)
        story.invoke(0, cancel_after=0.2, at=1.0)
        story.handed(2, at=1.001)
        story.finished(2, result="cancelled", at=1.2)
        story.cancelled(0, at=1.2)
        story.invoke(2, at=1.21)
        story.finished(1, at=ended)
        story.ok(1, at=ended)
        story.handed(3, at=2.01)
        story.finished(3, at=2.02)
        story.ok(2, at=2.02)
        assert story.says("C24") == expected


@pytest.mark.parametrize(("planned", "expected"), [(False, "pass"), (True, "fail")])
def test_a_worker_that_died_by_itself_was_not_free(planned: bool, expected: str) -> None:
    """It may have been dead for a while before the pool was done with it, of a poison for instance."""
    story = long_one(end=1.3)
    story.injected("poison", None, kind="poison", slot=None, at=1.35)
    story.invoke(1, at=1.4)
    story.worker("WorkerExited", 1, planned=planned, at=2.3)
    story.handed(2, 2, at=2.31)
    story.finished(2, 2, at=2.32)
    story.ok(1, at=2.33)
    assert story.says("C24") == expected


def test_where_others_ask_as_well_nobody_knows_who_is_free() -> None:
    """A worker may run what none of the run's callers has sent."""
    for stranger, expected in ((True, "pass"), (False, "fail")):
        story = Story(pool={"abandon_grace": 0.3, "concurrency": 2})
        story.started(1)
        if stranger:
            story.handed(1, command="stranger", at=0.9)
        story.invoke(0, cancel_after=0.2, at=1.0)
        story.handed(2, at=1.001)
        story.finished(2, result="cancelled", at=1.2)
        story.cancelled(0, at=1.2)
        story.invoke(1, at=1.21)
        story.handed(3, at=2.01)
        story.finished(3, at=2.02)
        story.ok(1, at=2.02)
        assert story.says("C24") == expected


def test_of_other_pools_no_more_is_asked_than_to_let_go() -> None:
    """Whether they end what nobody waits for, and with which errors, is their own affair."""
    for held, expected in ((0.0, "pass"), (0.2, "fail")):
        story = Story(pool={"abandon_grace": 0.3})
        story.records[0]["target"] = "another"
        story.invoke(0, cancel_after=0.2, service=5.0, at=1.0)
        story.step(0, BEGIN, at=1.1, execution=1)
        story.cancelled(0, at=1.2 + held)
        story.invoke(1, cancel_after=0.2, at=2.0)
        story.failed(1, "CancelledError", "executed", public=False, at=2.21)
        story.step(0, END, at=6.1, execution=1)
        assert story.says("C24") == expected
