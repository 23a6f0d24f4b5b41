"""The checkers of queues and workers, C10 to C12 and C14 to C16, on histories written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from _chaos_story import Story

from chaos.checking._finding import Judgement
from chaos.scenario._fault import Trigger
from chaos.scenario._process_faults import Kill
from chaos.workload._ledger import BEGIN, EFFECT, END

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


# -- C15 ---------------------------------------------------------------------------------------------------------------

BACKOFF = {"initial": 0.1, "factor": 2, "maximum": 1.0, "jitter": "none", "reset_after": 5.0}


def dying(
    delays: list[float], *, gave_up: bool = True, planned: bool = False, spacing: float = 0.2, **restart: Any
) -> Story:
    """Have a worker die and be restarted after each delay, then die a last time, and the pool give up."""
    policy = {"max_restarts": 3, "within": 30.0, "backoff": BACKOFF, **restart}
    story = Story(pool={"restart": policy})
    story.started(1)
    for number, delay in enumerate(delays, start=1):
        story.worker("WorkerExited", number, planned=planned, at=story.now + spacing)
        story.pool("RestartScheduled", slot=0, delay=delay)
        story.worker("WorkerStarting", number + 1, at=story.now + delay)
        story.worker("WorkerReady", number + 1)
    story.worker("WorkerExited", len(delays) + 1, planned=planned, at=story.now + spacing)
    if gave_up:
        story.pool("GaveUp", error="RestartIntensityExceeded: too many")
    return story


def test_restarts_up_to_the_limit_and_then_a_give_up_are_as_configured() -> None:
    """Three are allowed, the first at once, the others after delays that double; the fourth death is one too many."""
    assert dying([0.0, 0.1, 0.2]).says("C15") == "pass"


def test_a_pool_that_goes_on_beyond_the_limit_is_flagged() -> None:
    """Four deaths within the window, and no give-up."""
    assert dying([0.0, 0.1, 0.2], gave_up=False).says("C15") == "fail"


def test_a_pool_that_gives_up_too_early_is_flagged() -> None:
    """Two restarts are within the limit."""
    assert dying([0.0]).says("C15") == "fail"


def test_deaths_outside_the_window_count_no_more() -> None:
    """Only so many within the time."""
    story = dying([0.0, 0.0, 0.0, 0.0], gave_up=False, spacing=6.0, within=10.0)
    assert story.says("C15") == "idle"


def test_deaths_the_pool_caused_are_not_charged() -> None:
    """Kills for a timeout or a cancellation are no crash loop."""
    assert dying([0.0] * 6, gave_up=False, planned=True).says("C15") == "idle"


@pytest.mark.parametrize("delays", [[0.0, 0.0, 0.2], [0.0, 0.05, 0.2], [0.0, 0.1, 0.5], [0.3, 0.1, 0.2]])
def test_a_delay_other_than_the_backoffs_is_flagged(delays: list[float]) -> None:
    """None at all, too short or too long."""
    assert dying(delays).says("C15") == "fail"


def test_with_jitter_a_delay_may_be_shorter_but_not_nothing() -> None:
    """A draw between 0 and the delay is never 0."""
    full = {**BACKOFF, "jitter": "full"}
    assert dying([0.0, 0.03, 0.2], backoff=full).says("C15") == "pass"
    assert dying([0.0, 0.03, 0.0], backoff=full).says("C15") == "fail"


def test_a_worker_that_ran_long_enough_starts_the_backoff_anew() -> None:
    """After five seconds it counts as stable, and its next restart is immediate again."""
    story = dying([0.0, 0.0, 0.0], gave_up=False, spacing=6.0)
    assert story.says("C15") == "fail"  # four deaths in thirty seconds all the same
    assert "the pool went on" in story.judged("C15").text
    assert dying([0.0, 0.1, 0.0], spacing=6.0).says("C15") == "fail"


def test_a_start_earlier_than_scheduled_is_flagged() -> None:
    """A delay that is announced is kept."""
    story = dying([0.0, 0.1], gave_up=False)
    story.pool("RestartScheduled", slot=0, delay=0.2)
    story.worker("WorkerStarting", 4, at=story.now + 0.01)
    assert story.says("C15") == "fail"


def test_after_a_give_up_nothing_starts_and_nobody_gives_up_again() -> None:
    """It is the end."""
    story = dying([0.0, 0.1, 0.2])
    story.worker("WorkerStarting", 5)
    assert story.says("C15") == "fail"
    story = dying([0.0, 0.1, 0.2])
    story.pool("GaveUp", error="RestartIntensityExceeded: too many")
    assert story.says("C15") == "fail"


def test_a_limit_that_was_never_reached_is_idle() -> None:
    """One restart of three proves no limit."""
    assert dying([0.0], gave_up=False).says("C15") == "idle"


def test_workers_that_are_not_always_restarted_are_another_matter() -> None:
    """The rule is about permanent ones."""
    assert dying([0.0, 0.1, 0.2], restart="temporary").says("C15") == "idle"


# -- C16 ---------------------------------------------------------------------------------------------------------------


def test_every_worker_started_and_reaped_once_is_a_tree() -> None:
    """Two lives of one slot, one after the other."""
    story = Story()
    story.started(1)
    story.worker("WorkerExited", 1)
    story.pool("RestartScheduled", slot=0, delay=0.0)
    story.started(2)
    story.run("closing")
    story.worker("WorkerExited", 2, planned=True)
    story.ends()
    assert story.says("C16") == "pass"


@pytest.mark.parametrize("mistake", ["not reaped", "reaped twice", "two serving", "ready twice", "never started"])
def test_a_worker_nobody_reaps_and_two_in_a_slot_are_flagged(mistake: str) -> None:
    """Each start has its end, once, before the next one in the slot serves."""
    story = Story()
    story.started(1)
    if mistake == "reaped twice":
        story.worker("WorkerExited", 1)
    elif mistake == "two serving":
        story.started(2)
        story.worker("WorkerExited", 2)
    elif mistake == "ready twice":
        story.worker("WorkerReady", 1)
    elif mistake == "never started":
        story.worker("WorkerReady", 3, slot=1)
        story.worker("WorkerExited", 3, slot=1)
    if mistake != "not reaped":
        story.worker("WorkerExited", 1)
    story.ends()
    assert story.says("C16") == "fail"


def test_a_worker_that_is_being_killed_serves_no_more() -> None:
    """Its replacement may be ready before it is reaped."""
    story = Story()
    story.started(1)
    story.handed(1)
    story.finished(1, result="timed_out")
    story.worker("WorkerKilled", 1, reason="timeout")
    story.started(2)
    story.run("closing")
    story.worker("WorkerExited", 1, planned=True)
    story.worker("WorkerExited", 2, planned=True)
    story.ends()
    assert story.says("C16") == "pass"


def test_a_start_that_never_came_to_a_process_leaves_nothing_to_reap() -> None:
    """Only who served must be reaped."""
    story = Story()
    story.worker("WorkerStarting", 1)
    story.ends()
    assert story.says("C16") == "pass"


def followed(story: Story, *, delay: float = 0.0, after: float | None = None, number: int = 3) -> None:
    """Have the worker of slot 0 die, and another follow it."""
    story.worker("WorkerExited", 1)
    story.pool("RestartScheduled", slot=0, delay=delay)
    story.started(number, at=story.now + (delay if after is None else after))


def two() -> Story:
    """Two slots, each with a worker."""
    story = Story()
    story.started(1, 0)
    story.started(2, 1)
    return story


def closed(story: Story) -> str:
    """Close the pool, all workers with it, and return what is said of its tree."""
    story.run("load_ended")
    story.run("closing")
    for life in list(story.evidence().lives.values()):
        if life.ready is not None and not life.exits:
            story.worker("WorkerExited", life.incarnation, life.slot, planned=True, reason="shutdown")
    story.run("closed", took=0.1)
    story.run("end")
    return story.says("C16")


@pytest.mark.parametrize(("after", "expected"), [(0.05, "pass"), (0.04, "pass"), (0.03, "fail"), (0.0, "fail")])
def test_a_restart_comes_when_its_delay_is_over_and_not_before(after: float, expected: str) -> None:
    """However short the delay, which counts from the death: that is announced ten milliseconds later here."""
    story = two()
    followed(story, delay=0.05, after=after)
    assert closed(story) == expected


@pytest.mark.parametrize(("waited", "expected"), [(0.5, "pass"), (2.0, "fail")])
@pytest.mark.parametrize("announced", [True, False])
def test_a_death_is_followed_by_a_restart(waited: float, expected: str, announced: bool) -> None:
    """One that was announced, and one that was forgotten: unless the end of the run came first."""
    story = two()
    story.worker("WorkerExited", 1)
    if announced:
        story.pool("RestartScheduled", slot=0, delay=0.1)
    story.sample(at=story.now + waited)
    assert closed(story) == expected


def test_a_death_restarts_no_other_slot() -> None:
    """Neither beside the dead one nor in its stead; and nobody who lives is shut down for it."""
    for mistake in ("announced", "started", "shut down", "first"):
        story = two()
        story.worker("WorkerExited", 1)
        story.pool("RestartScheduled", slot=0, delay=0.0)
        if mistake == "announced":
            story.pool("RestartScheduled", slot=1, delay=0.0)
        elif mistake == "started":
            story.started(3, 1)
        elif mistake == "shut down":
            story.worker("WorkerExited", 2, 1, reason="shutdown", planned=True)
        else:
            story.pool("RestartScheduled", slot=5, delay=0.0)
        assert closed(story) == "fail", mistake


@pytest.mark.parametrize("mistake", ["unannounced", "announced twice", "skipped", "again"])
def test_restarts_are_announced_once_and_numbered_in_order(mistake: str) -> None:
    """Each under the number that follows the pool's latest."""
    story = two()
    if mistake == "unannounced":
        story.worker("WorkerExited", 1)
        story.started(3)
    elif mistake == "announced twice":
        story.worker("WorkerExited", 1)
        story.pool("RestartScheduled", slot=0, delay=0.0)
        story.pool("RestartScheduled", slot=0, delay=0.0)
        story.started(3)
    else:
        followed(story, number=5 if mistake == "skipped" else 2)
    assert closed(story) == "fail"


@pytest.mark.parametrize("kind", ["WorkerStarting", "RestartScheduled"])
def test_a_slot_that_was_given_up_is_never_started_again(kind: str) -> None:
    """Nor is it announced, whatever the policy of restarts: this one has no limit that was broken."""
    story = Story(pool={"restart": {"restart": "transient"}})
    story.started(1)
    story.worker("WorkerExited", 1)
    story.pool("GaveUp", error="RestartIntensityExceeded: too many")
    if kind == "WorkerStarting":
        story.worker(kind, 2)
    else:
        story.pool(kind, slot=0, delay=0.0)
    assert closed(story) == "fail"


def test_after_a_give_up_nobody_is_missed() -> None:
    """And all are shut down."""
    story = two()
    story.worker("WorkerExited", 1)
    story.pool("GaveUp", error="RestartIntensityExceeded: too many")
    story.worker("WorkerExited", 2, 1, reason="shutdown", planned=True)
    story.sample(at=story.now + 5.0)
    assert closed(story) == "pass"


@pytest.mark.parametrize("restart", ["temporary", "transient"])
def test_workers_that_are_not_permanent_need_no_successor(restart: str) -> None:
    """A temporary one must not have any."""
    story = Story(pool={"restart": {"restart": restart}})
    story.started(1)
    story.worker("WorkerExited", 1)
    story.sample(at=story.now + 5.0)
    assert closed(story) == "pass"
    story = Story(pool={"restart": {"restart": restart}})
    story.started(1)
    followed(story, number=2)
    assert closed(story) == ("fail" if restart == "temporary" else "pass")


@pytest.mark.parametrize("reason", ["timeout", "cancelled"])
def test_a_worker_is_ended_for_a_request_only_if_it_had_such_a_one(reason: str) -> None:
    """An end that the pool planned needs a reason that is on record."""
    for incarnation, expected in ((1, "pass"), (2, "fail")):
        story = two()
        story.handed(1, incarnation)
        story.finished(1, incarnation, "timed_out" if reason == "timeout" else "cancelled")
        story.worker("WorkerKilled", 1, reason=reason)
        story.worker("WorkerExited", 1, reason=reason, planned=True)
        story.pool("RestartScheduled", slot=0, delay=0.0)
        story.started(3)
        assert closed(story) == expected


def test_of_a_run_that_was_cut_short_nobody_knows_who_was_reaped() -> None:
    """The last ends are not on record."""
    story = Story()
    story.started(1)
    assert story.says("C16") == "unknown"


def test_executions_are_noted_by_their_steps() -> None:
    """What the other tests call an execution: begun, in effect and ended, in one process."""
    story = Story()
    story.invoke(0)
    story.ran(0, steps=[BEGIN, EFFECT])
    (execution,) = story.evidence().executions
    assert (execution.begin is None, execution.effect is None, execution.end) == (False, False, None)
