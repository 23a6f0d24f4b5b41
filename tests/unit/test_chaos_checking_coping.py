"""The checkers of how a pool copes with faults, C17, C18 and C23, on histories written by hand."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from _chaos_story import Story

from chaos.scenario._application_faults import AppFdExhaustion
from chaos.scenario._fault import Death, Expectation, Trigger, Window
from chaos.scenario._model import Phase
from chaos.scenario._process_faults import CancelStorm, CrashLoop, Freeze, Kill

AT = Trigger(time=1.0)
SOON = Expectation(detect_within=0.5, recover_within=1.0)


# -- C17 ---------------------------------------------------------------------------------------------------------------


def killed(noticed: float, restored: float | None, expect: Expectation | None = SOON, *, load: float = 20.0) -> Story:
    """Kill one of two workers at 1 s; it is noticed and replaced so much later."""
    story = Story(faults=[Kill(name="kill", at=AT, expect=expect)])
    story.started(1, 0)
    story.started(2, 1)
    story.injected("kill", 1, at=1.0)
    story.worker("WorkerExited", 1, at=1.0 + noticed)
    if restored is not None:
        story.worker("WorkerStarting", 3)
        story.worker("WorkerReady", 3, at=1.0 + restored)
    story.run("load_ended", at=load)
    return story


def test_a_fault_noticed_and_made_good_in_time_is_within_bounds() -> None:
    """Both bounds count from the fault."""
    assert killed(0.1, 0.9).says("C17") == "pass"


@pytest.mark.parametrize(("noticed", "restored"), [(0.6, 0.9), (0.1, 1.2), (0.1, None)])
def test_a_fault_noticed_or_made_good_too_late_is_flagged(noticed: float, restored: float | None) -> None:
    """Later than expected, or never."""
    assert killed(noticed, restored).says("C17") == "fail"


def test_a_bound_that_lies_beyond_the_load_is_unknown() -> None:
    """There was no time to make it good."""
    assert killed(0.1, None, load=1.5).says("C17") == "unknown"


def test_without_expectations_or_strikes_recovery_is_not_judged() -> None:
    """Nothing expected is idle; something expected of a fault that never struck is unknown."""
    assert killed(0.1, None, expect=None).says("C17") == "idle"
    story = Story(faults=[Kill(name="kill", at=AT, expect=SOON)])
    story.started(1)
    assert story.says("C17") == "unknown"


@pytest.mark.parametrize(("death", "expected"), [(Death.KILL, "fail"), (Death.TERM, "pass")])
def test_who_must_die_and_whose_end_nobody_told_is_not_made_good(death: Death, expected: str) -> None:
    """That nobody was seen to die is no recovery; who was only asked to may live on."""
    story = Story(faults=[Kill(name="kill", at=AT, death=death, expect=Expectation(recover_within=1.0))])
    story.started(1)
    story.injected("kill", 1, at=1.0)
    story.run("load_ended", at=20.0)
    assert story.says("C17") == expected


def test_a_fault_that_the_pool_survives_costs_nothing_though_all_are_stopped_in_the_end() -> None:
    """The end of the run is no end of its victim."""
    story = Story(faults=[Freeze(name="freeze", at=AT, expect=SOON, hold=0.1)])
    story.started(1)
    story.injected("freeze", 1, kind="freeze", at=1.0)
    story.worker("HealthMissed", 1, misses=1, at=1.2)
    story.run("load_ended", at=20.0)
    story.run("closing", at=20.1)
    story.worker("WorkerExited", 1, planned=True, reason="shutdown", at=20.2)
    assert story.says("C17") == "pass"


def test_whom_the_pool_never_told_of_is_not_made_good() -> None:
    """A victim without a life is no proof of anything."""
    story = Story(faults=[Kill(name="kill", at=AT, expect=Expectation(recover_within=1.0))])
    story.started(1)
    story.injected("kill", 7, at=1.0)
    story.run("load_ended", at=20.0)
    assert story.says("C17") == "fail"


@pytest.mark.parametrize(("back", "expected"), [(None, "fail"), (1.9, "pass"), (2.5, "fail")])
def test_what_hit_nobody_in_particular_is_made_good_when_all_are_back(back: float | None, expected: str) -> None:
    """Whoever was lost to it, and whenever."""
    story = Story(faults=[AppFdExhaustion(name="fds", at=AT, expect=SOON, hold=0.3)])
    story.started(1, 0)
    story.started(2, 1)
    story.injected("fds", None, kind="app-fd-exhaustion", slot=None, at=1.0)
    story.worker("WorkerExited", 2, 1, at=1.2)
    if back is not None:
        story.worker("WorkerStarting", 3, 1)
        story.worker("WorkerReady", 3, 1, at=back)
    story.run("load_ended", at=20.0)
    assert story.says("C17") == expected


@pytest.mark.parametrize(("dies", "expected"), [(True, "pass"), (False, "fail")])
def test_a_fault_that_should_cost_its_worker_and_does_not_is_flagged(dies: bool, expected: str) -> None:
    """A pool that lives with a worker that answers nobody has not noticed."""
    story = Story(faults=[Freeze(name="freeze", at=AT, expect=Expectation(restarts=True), hold=5.0)])
    story.started(1)
    story.injected("freeze", 1, kind="freeze", at=1.0)
    if dies:
        story.worker("WorkerExited", 1, reason="health", at=3.0)
    story.run("load_ended", at=20.0)
    story.run("closing")
    if not dies:
        story.worker("WorkerExited", 1, reason="shutdown", planned=True)
    assert story.says("C17") == expected


def test_an_expectation_of_nothing_is_none() -> None:
    """Nothing was judged, so nothing passed."""
    assert killed(0.1, None, expect=Expectation()).says("C17") == "idle"


def test_a_fault_that_should_cost_no_worker_and_does_is_flagged() -> None:
    """A brief freeze is no reason for a restart; a planned end has other reasons."""
    for planned, expected in ((False, "fail"), (True, "pass")):
        story = Story(faults=[Freeze(name="freeze", at=AT, expect=Expectation(restarts=False), hold=0.1)])
        story.started(1)
        story.injected("freeze", 1, kind="freeze", at=1.0)
        story.worker("WorkerExited", 1, reason="health", planned=planned, at=1.5)
        story.run("load_ended", at=20.0)
        assert story.says("C17") == expected


# -- C18 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ok", "expected"), [(True, "pass"), (False, "fail")])
def test_after_healing_the_pool_is_steady_or_it_is_not(ok: bool, expected: str) -> None:
    """The runner has looked; what failed is said."""
    story = Story()
    story.run("steady", after="before", ok=True, took=0.1, failing=[])
    story.run("steady", after="after", ok=ok, took=5.0, failing=["pool.ready == pool.size"])
    assert story.says("C18") == expected


def test_without_a_look_liveness_is_unknown_and_after_a_give_up_idle() -> None:
    """A pool that gave up does not come back, by design."""
    story = Story()
    assert story.says("C18") == "unknown"
    story.pool("GaveUp", error="RestartIntensityExceeded: too many")
    assert story.says("C18") == "idle"


def healed(error: str | None = None, *, before: bool = False, phase: str = "heal") -> Story:
    """Kill a worker, have another ready in its slot, and then ask once; or ask before that."""
    phases = (Phase(name="main", duration=5.0), Phase(name="heal", duration=5.0, heal=True))
    story = Story(faults=[Kill(name="kill", at=AT)])
    story.plan = attrs.evolve(story.plan, scenario=attrs.evolve(story.plan.scenario, phases=phases))
    story.started(1)
    story.injected("kill", 1)
    story.worker("WorkerExited", 1)
    story.worker("WorkerStarting", 2)
    if not before:
        story.worker("WorkerReady", 2)
    story.invoke(0, phase=phase)
    if before:
        story.worker("WorkerReady", 2)
    if error is None:
        story.ok(0)
    else:
        story.failed(0, error, "not_executed", request_id=1)
    story.run("steady", after="after", ok=True, took=5.0, failing=[])
    return story


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, "pass"),
        ({"error": "PoolTimeout"}, "fail"),
        ({"error": "WorkerCrashed"}, "fail"),
        ({"error": "PoolSaturated"}, "pass"),
        ({"error": "PoolTimeout", "before": True}, "pass"),
        ({"error": "PoolTimeout", "phase": "main"}, "pass"),
    ],
)
def test_once_all_is_healed_nobody_waits_in_vain(how: dict[str, Any], expected: str) -> None:
    """A pool that only looks well is not; what was asked before it was, or under faults, may fail."""
    assert healed(**how).says("C18") == expected


@pytest.mark.parametrize(("ready", "expected"), [(2, "pass"), (1, "fail")])
def test_without_conditions_all_workers_must_be_there_in_the_end(ready: int, expected: str) -> None:
    """A scenario that requires nothing is not steady with half a pool."""
    story = Story()
    story.sample(ready=ready)
    story.run("steady", after="after", ok=True, took=0.0, failing=[])
    assert story.says("C18") == expected


# -- C23 ---------------------------------------------------------------------------------------------------------------

WINDOWS = [
    (Window.W2, "ok", "pass"),
    (Window.W3, "fail", "pass"),
    (Window.W3, "info", "fail"),
    (Window.W4, "fail", "pass"),
    (Window.W4, "info", "fail"),
    (Window.W5, "info", "pass"),
    (Window.W5, "ok", "fail"),
    (Window.W5, "fail", "fail"),
    (Window.W6, "info", "pass"),
    (Window.W7, "ok", "fail"),
    (Window.W8, "ok", "pass"),
    (Window.W8, "info", "fail"),
    (Window.W9, "info", "fail"),
]


@pytest.mark.parametrize(("window", "outcome", "expected"), WINDOWS)
def test_a_kill_in_a_window_allows_what_the_contract_says(window: Window, outcome: str, expected: str) -> None:
    """Until a command has begun it is safe to send elsewhere; a reply in the socket wins."""
    story = Story(faults=[Kill(name="kill", at=AT, window=window)])
    story.started(1)
    story.invoke(0)
    story.handed(1)
    story.injected("kill", 1, request_id=1, begun=True)
    story.finished(1, result="ok" if outcome == "ok" else "failed")
    story.worker("WorkerExited", 1)
    if outcome == "ok":
        story.ok(0)
    else:
        story.failed(0, "WorkerCrashed", "not_executed" if outcome == "fail" else "maybe_executed", request_id=1)
    assert story.says("C23") == expected


@pytest.mark.parametrize(("request_", "verdict"), [(0, "fail"), (1, "pass")])
def test_of_several_requests_the_one_that_came_to_the_window_is_judged(request_: int, verdict: str) -> None:
    """The worker has said which, and the pool's number, of the oldest, does not count."""
    story = Story(faults=[Kill(name="kill", at=AT, window=Window.W5)], pool={"concurrency": 2})
    story.started(1)
    for number in (0, 1):
        story.invoke(number, "fetch", asynchronous=True)
        story.handed(number + 1, command="fetch")
    story.finished(1, command="fetch")
    story.injected("kill", 1, request_id=None, begun=True, detail={"request": request_})
    story.finished(2, result="failed", command="fetch")
    story.worker("WorkerExited", 1)
    story.ok(0)
    story.failed(1, "WorkerCrashed", request_id=2)
    assert story.says("C23") == verdict


def test_what_is_idempotent_may_succeed_whatever_the_window() -> None:
    """It is tried again."""
    story = Story(faults=[Kill(name="kill", at=AT, window=Window.W6)])
    story.started(1)
    story.invoke(0, idempotent=True)
    story.handed(1)
    story.injected("kill", 1, request_id=1)
    story.finished(1)
    story.ok(0)
    assert story.says("C23") == "pass"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, "fail"), ({"planned": True}, "pass"), ({"incarnation": 1}, "pass")],
)
def test_a_worker_that_dies_untouched_is_flagged(fields: dict[str, Any], expected: str) -> None:
    """Unless the pool itself ended it, or a fault had hit it."""
    story = Story(faults=[Kill(name="kill", at=AT)])
    story.started(1, 0)
    story.started(2, 1)
    story.injected("kill", 1)
    if fields.get("incarnation") == 1:
        story.worker("WorkerExited", 1, 0)
    else:
        story.worker("WorkerExited", 2, 1, **fields)
    finding = story.judged("C23")
    assert str(finding.judgement) == expected
    assert finding.guarantee == 3


def test_a_fault_without_a_victim_may_be_the_reason_of_every_death_after_it() -> None:
    """A crash on the next start hits nobody in particular; what died before it has another reason."""
    for before, expected in ((False, "pass"), (True, "fail")):
        story = Story(faults=[Kill(name="kill", at=AT)])
        story.started(1)
        if before:
            story.worker("WorkerExited", 1)
        story.injected("kill", None, slot=None)
        if not before:
            story.worker("WorkerExited", 1)
        assert story.says("C23") == expected


def test_a_fault_of_starts_hits_whoever_starts_while_it_lasts() -> None:
    """Each crash of the loop is its doing; what starts after it was healed has no excuse."""
    story = Story(faults=[CrashLoop(name="loop", at=AT, hold=5.0)])
    story.started(1)
    story.injected("loop", 1, kind="crash-loop", at=1.0)
    story.worker("WorkerExited", 1)
    story.started(2)
    story.worker("WorkerExited", 2)
    assert story.says("C23") == "pass"
    story.note("chaos", "heal", at=6.0, fault="loop", occurrence=0, ok=True, took=0.0)
    story.started(3)
    story.worker("WorkerExited", 3)
    assert story.says("C23") == "fail"


def test_callers_that_give_up_are_no_reason_for_a_death() -> None:
    """A storm of cancellations hits no worker, so none may die of it."""
    story = Story(faults=[CancelStorm(name="storm", at=AT)])
    story.started(1)
    story.injected("storm", None, kind="cancel-storm", slot=None)
    story.worker("WorkerExited", 1)
    assert story.says("C23") == "fail"


@pytest.mark.parametrize(("victim", "expected"), [(1, "pass"), (2, "fail")])
def test_an_error_that_blames_an_untouched_worker_is_flagged(victim: int, expected: str) -> None:
    """Only what ran where a fault hit, and the sessions that lived there, may pay."""
    story = Story(faults=[Kill(name="kill", at=AT)])
    story.started(1, 0)
    story.started(2, 1)
    story.invoke(0)
    story.handed(1)
    story.injected("kill", victim)
    story.finished(1, result="failed")
    story.failed(0, "WorkerCrashed", request_id=1)
    assert story.says("C23") == expected


@pytest.mark.parametrize(("victim", "expected"), [(1, "pass"), (2, "fail")])
def test_a_lost_session_must_have_lived_where_a_fault_hit(victim: int, expected: str) -> None:
    """The pool says where it lived when it was forgotten."""
    story = Story(faults=[Kill(name="kill", at=AT)])
    story.started(1, 0)
    story.started(2, 1)
    story.injected("kill", victim)
    story.pool("SessionForgotten", session_id="s-0", incarnation=1, lost=True)
    story.invoke(0, session="s-0")
    story.finished(1, None, "failed", session_id="s-0")
    story.failed(0, "SessionLost", "not_executed", request_id=1)
    assert story.says("C23") == expected
