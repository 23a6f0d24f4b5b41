"""The checkers of queues and workers, C10 to C12 and C14, on histories written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from _chaos_story import Story

from chaos.checking._finding import Judgement
from chaos.scenario._fault import Trigger
from chaos.scenario._process_faults import Kill
from chaos.workload._ledger import BEGIN, END

NOTHING_TOLD = ["C11", "C12", "C14", "C15", "C16", "C17", "C23", "C25"]


@pytest.mark.parametrize("number", NOTHING_TOLD)
def test_of_a_pool_that_tells_nothing_its_inside_is_unknown(number: str) -> None:
    """What only events show is no failure of a pool that has none, and does not weigh."""
    story = Story(faults=[Kill(name="kill", at=Trigger(time=1.0))])
    story.served(0)
    assert story.says(number) == "idle"


# -- C10 ---------------------------------------------------------------------------------------------------------------


def test_workers_that_hold_one_request_at_a_time_exclude_each_other() -> None:
    """One after the other in one worker, two side by side in two."""
    story = Story()
    story.handed(1, 1)
    story.handed(2, 2)
    story.finished(1)
    story.handed(3, 1)
    story.finished(2, 2)
    story.finished(3)
    assert story.says("C10") == "pass"


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_worker_that_holds_two_requests_is_flagged(concurrency: int) -> None:
    """However many async ones it may hold: these are none."""
    story = Story(pool={"concurrency": concurrency})
    story.handed(1, 1)
    story.handed(2, 1)
    assert story.says("C10") == "fail"


def test_what_was_taken_back_is_held_no_more() -> None:
    """A request that goes back to the queue frees its worker's place."""
    story = Story()
    story.handed(1, 1)
    story.pool("RequestRedispatched", request_id=1, session_id=None, command="work", incarnation=1)
    story.handed(2, 1)
    assert story.says("C10") == "pass"


def test_executions_that_overlap_in_one_process_are_flagged() -> None:
    """Also of a pool that tells nothing: the ledger does."""
    story = Story()
    story.invoke(0)
    story.invoke(1)
    story.step(0, BEGIN, at=1.0, execution=1)
    story.step(1, BEGIN, at=1.1, execution=2)
    story.step(0, END, at=1.2, execution=1)
    story.step(1, END, at=1.3, execution=2)
    assert story.says("C10") == "fail"


def test_with_neither_events_nor_executions_exclusion_is_idle() -> None:
    """There is nothing to look at."""
    assert Story().says("C10") == "idle"


# -- C11 ---------------------------------------------------------------------------------------------------------------


def queued(story: Story, requests: int, refused: int = 0, took: float = 0.001) -> None:
    """Hand one request to a worker, have so many wait and so many refused."""
    story.invoke(0)
    story.handed(1)
    for number in range(1, requests + 1):
        story.invoke(number)
    for number in range(requests + 1, requests + 1 + refused):
        story.invoke(number)
        story.finished(number + 1, None, "rejected", at=story.now + 0.0001)
        story.failed(number, "PoolSaturated", "not_executed", request_id=number + 1, at=story.now + took)
    for number in range(requests + 1):
        if number:
            story.handed(number + 1)
        story.finished(number + 1)
        story.ok(number)


def test_a_queue_within_its_bound_that_refuses_the_rest_is_bounded() -> None:
    """Two of two wait, the third is refused at once."""
    story = Story(pool={"max_queue": 2})
    queued(story, 2, refused=1)
    assert story.says("C11") == "pass"


def test_a_queue_beyond_its_bound_is_flagged() -> None:
    """The third that waits is one too many, and so is the guarantee broken: the seventh."""
    story = Story(pool={"max_queue": 2})
    queued(story, 3, refused=1)
    finding = story.judged("C11")
    assert finding.judgement is Judgement.FAIL
    assert finding.guarantee == 7


def test_a_refusal_that_takes_its_time_is_flagged() -> None:
    """Who is refused is told at once."""
    story = Story(pool={"max_queue": 2})
    queued(story, 2, refused=1, took=0.3)
    assert story.says("C11") == "fail"


def test_what_goes_back_to_the_queue_takes_nobodys_place() -> None:
    """A request whose worker died before it began may stand beside a full queue."""
    story = Story(pool={"max_queue": 1})
    story.invoke(0)
    story.handed(1)
    story.invoke(1)
    story.pool("RequestRedispatched", request_id=1, session_id=None, command="work", incarnation=1)
    story.handed(1, 2)
    story.finished(1, 2)
    story.ok(0)
    story.handed(2, 2)
    story.finished(2, 2)
    story.ok(1)
    assert story.says("C11") == "idle"


def test_nobody_is_let_in_beside_what_fills_the_queue_again() -> None:
    """What came back counts for those who come after it."""
    story = Story(pool={"max_queue": 1})
    story.invoke(0)
    story.handed(1)
    story.pool("RequestRedispatched", request_id=1, session_id=None, command="work", incarnation=1)
    story.invoke(1)
    story.handed(1, 2)
    story.handed(2, 2)
    assert story.says("C11") == "fail"


def test_a_queue_that_was_never_full_is_idle() -> None:
    """Its bound was not tried."""
    story = Story(pool={"max_queue": 5})
    queued(story, 2)
    assert story.says("C11") == "idle"


def test_with_requests_of_others_the_queue_cannot_be_replayed() -> None:
    """Somebody else asks the same pool for the same: which is whose is not certain, and nothing is claimed."""
    story = Story(pool={"max_queue": 2})
    story.handed(1)
    story.invoke(0)
    story.handed(2)
    assert story.says("C11") == "unknown"


# -- C12 ---------------------------------------------------------------------------------------------------------------


def waiting(order: list[int], session: str | None = None) -> Story:
    """Have three requests wait and be served in an order."""
    story = Story()
    story.invoke(0)
    story.handed(1)
    for number in (1, 2, 3):
        story.invoke(number, session=session)
    story.finished(1)
    story.ok(0)
    for number in order:
        story.handed(number + 1, session=session)
        story.finished(number + 1, session_id=session)
        story.ok(number)
    return story


def test_who_comes_first_is_served_first() -> None:
    """In the order of the calls."""
    assert waiting([1, 2, 3]).says("C12") == "pass"


@pytest.mark.parametrize("session", [None, "s-0"])
def test_who_overtakes_is_flagged(session: str | None) -> None:
    """Among those without session, and among those of one."""
    assert waiting([2, 1, 3], session).says("C12") == "fail"


def test_a_session_overtakes_nobody_by_being_free() -> None:
    """What waits for a worker of its own does not hold up others, nor they it."""
    story = Story()
    story.invoke(0)
    story.handed(1)
    story.invoke(1, session="s-0")
    story.invoke(2, session="s-1")
    story.handed(3, session="s-1")
    story.finished(3, session_id="s-1")
    story.ok(2)
    story.handed(2, session="s-0")
    assert story.says("C12") == "idle"


# -- C14 ---------------------------------------------------------------------------------------------------------------


def sessions(waits: list[float], *, failing: int = 0, requests: int = 10, fault: bool = False) -> Story:
    """Have sessions make so many requests each, every one waiting so long; those of some fail."""
    story = Story(pool={"timeout": 60.0}, faults=[Kill(name="kill", at=Trigger(time=1.0))])
    story.run("phase", name="main", duration=10.0)
    if fault:
        story.injected("kill", 1)
    number = 0
    for _ in range(requests):
        for which, wait in enumerate(waits):
            session = f"s-{which}"
            sent = story.invoke(number, session=session)
            story.handed(number + 1, session=session, at=sent["t"] + wait)
            lost = which < failing
            story.finished(number + 1, session_id=session, result="failed" if lost else "ok")
            if lost:
                story.failed(number, "WorkerCrashed", request_id=number + 1)
            else:
                story.ok(number)
            number += 1
    return story


def test_sessions_that_wait_alike_are_treated_fairly() -> None:
    """Differences below what a client can tell do not count."""
    assert sessions([0.001, 0.02, 0.04]).says("C14") == "pass"


def test_a_session_that_waits_much_longer_is_flagged() -> None:
    """Five times as long as another, if the scenario says no other ratio."""
    assert sessions([0.001, 0.001, 0.5]).says("C14") == "fail"


def test_sessions_that_are_answered_unevenly_are_flagged() -> None:
    """Jain's index sees who gets nothing."""
    assert sessions([0.001, 0.001, 0.001, 0.001], failing=1).says("C14") == "fail"


@pytest.mark.parametrize("how", [{"requests": 5}, {"fault": True}])
def test_without_equal_load_fairness_is_idle(how: dict[str, Any]) -> None:
    """Too few requests say nothing, and a fault is a good reason to wait."""
    assert sessions([0.001, 0.001, 0.5], **how).says("C14") == "idle"


def passed_over(served: list[str | None], *, waits: str | None = "s-0", late: float = 0.0, home: int = 1) -> Story:
    """Have one request wait while later ones of these sessions are served by incarnation 1, amid faults."""
    story = Story(pool={"timeout": 60.0}, faults=[Kill(name="kill", at=Trigger(time=1.0))])
    story.run("phase", name="main", duration=10.0)
    story.started(1)
    story.started(2, 1)
    if waits is not None:
        story.pool("SessionBound", session_id=waits, incarnation=home)
    story.injected("kill", 2)
    story.invoke(0, session=waits, at=1.0, t_int=1.0 - late)
    for number, session in enumerate(served, start=1):
        story.invoke(number, session=session)
        story.handed(number + 1, session=session)
        story.finished(number + 1, session_id=session)
        story.ok(number, at=story.now + 0.1)
    story.handed(1, session=waits)
    story.finished(1, session_id=waits)
    story.ok(0)
    return story


@pytest.mark.parametrize("waits", [None, "s-0"])
@pytest.mark.parametrize(("served", "expected"), [(["s-1"], "pass"), (["s-1", "s-2"], "fail"), ([None, "s-1"], "fail")])
def test_who_is_passed_over_is_so_in_the_midst_of_faults_too(
    waits: str | None, served: list[str | None], expected: str
) -> None:
    """Two that came later were served where it could have been; one may slip in."""
    assert passed_over(served, waits=waits).says("C14") == expected


def test_who_waits_for_another_worker_is_passed_over_by_nobody() -> None:
    """A session's home alone may serve it."""
    assert passed_over(["s-1", "s-2"], home=2).says("C14") == "idle"


def test_who_waits_but_a_moment_is_not_passed_over() -> None:
    """Less than the client can tell is nothing."""
    assert passed_over(["s-1", "s-2"], late=0.5).says("C14") == "pass"


def test_who_is_passed_over_until_the_timeout_is_flagged() -> None:
    """Its wait ends without a worker."""
    story = passed_over(["s-1", "s-2"])
    del story.records[-3:]
    story.finished(1, None, "timed_out", session_id="s-0")
    story.failed(0, "PoolTimeout", "not_executed", request_id=1)
    assert story.says("C14") == "fail"


@pytest.mark.parametrize("how", ["forgotten", "busy", "again", "async"])
def test_what_must_wait_or_came_first_is_no_neglect(how: str) -> None:
    """A session whose last request runs, one that came back to the queue, and one of another kind."""
    story = Story(pool={"timeout": 60.0, "concurrency": 2})
    story.started(1)
    story.invoke(0, session="s-0")
    story.handed(1, session="s-0")
    story.pool("SessionBound", session_id="s-0", incarnation=1)
    if how != "busy":
        story.finished(1, session_id="s-0")
        story.ok(0)
    if how == "again":
        for number in (1, 2):
            story.invoke(number)
            story.handed(number + 1)
            story.pool("RequestRedispatched", request_id=number + 1, session_id=None, command="work", incarnation=1)
    story.invoke(3, session="s-0")
    if how == "forgotten":
        story.pool("SessionForgotten", session_id="s-0", incarnation=1, lost=False)
    if how == "again":
        for number in (1, 2):
            story.handed(number + 1, at=story.now + 0.1)
            story.finished(number + 1)
            story.ok(number)
    else:
        for number in (4, 5):
            operation = "fetch" if how == "async" else "work"
            story.invoke(number, operation, asynchronous=how == "async")
            story.handed(number - 1, command=operation)
            story.finished(number - 1, command=operation)
            story.ok(number, at=story.now + 0.1)
    if how == "busy":
        story.finished(1, session_id="s-0")
        story.ok(0)
    own = 4 if how == "again" else 2
    story.handed(own, session="s-0")
    story.finished(own, session_id="s-0")
    story.ok(3)
    assert story.says("C14") == ("fail" if how == "forgotten" else "idle")
