"""The checkers of restarts and of the supervision tree, C15 and C16, on histories written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from _chaos_story import Story

from chaos.workload._ledger import BEGIN, EFFECT

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


@pytest.mark.parametrize(("after", "expected"), [(0.05, "pass"), (0.045, "pass"), (0.02, "fail"), (0.0, "fail")])
def test_the_delay_after_a_start_that_came_to_nothing_counts_from_within_it(after: float, expected: str) -> None:
    """No death of it is on record: it failed before it was announced, ten milliseconds after it had begun."""
    story = two()
    story.worker("WorkerExited", 1)
    story.pool("RestartScheduled", slot=0, delay=0.0)
    story.pool("WorkerStarting", slot=0, worker_id="w-0", incarnation=3)
    story.now += 0.01
    story.pool("RestartScheduled", slot=0, delay=0.05)
    story.started(4, at=story.now + after)
    assert closed(story) == expected


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
