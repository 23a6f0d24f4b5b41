"""The checkers of what is left and of what must not show, C19 to C27 but C24, and their table, on histories by hand."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from _chaos_story import Story

from chaos.checking import _table
from chaos.checking._cases import Cases
from chaos.checking._finding import Finding, Judgement, verdict
from chaos.checking._table import CHECKERS, Checker, check_all
from chaos.scenario._fault import Capability, Death, FaultSpec, Trigger
from chaos.scenario._process_faults import Kill

AT = Trigger(time=1.0)


class WireFault(FaultSpec):
    """A fault of a link, for histories that have one."""

    kind = "wire.corrupt"
    needs = frozenset({Capability.LAUNCHER})
    heals = True


# -- C19 ---------------------------------------------------------------------------------------------------------------


def test_a_process_that_outlives_the_application_is_an_orphan() -> None:
    """One that is dead, and only not yet waited for, is none; and somebody must have looked."""
    story = Story()
    assert story.says("C19") == "unknown"
    story.run("checked", leftovers=1)
    story.run("leftover", pid=7, cmdline="python", state="Z")
    assert story.says("C19") == "pass"
    story.run("leftover", pid=8, cmdline="python", state="T")
    assert story.judged("C19").guarantee == 6
    assert story.says("C19") == "fail"


# -- C20 ---------------------------------------------------------------------------------------------------------------


def sampled(
    restarts: int, *, fds: float = 0.0, tasks: float = 0.0, rss: float = 0.0, tags: tuple[str, ...] = ()
) -> Story:
    """Take a sample after each restart, with so much left behind by each."""
    story = Story(tags=tags)
    for restart in range(restarts + 1):
        left = {"fds": 20 + int(fds * restart), "tasks": 10 + int(tasks * restart), "rss": 10**7 + int(rss * restart)}
        story.sample({"restarts": restart}, **left)
    return story


def test_restarts_that_leave_nothing_behind_do_not_leak() -> None:
    """Also if something was opened once, in the middle."""
    story = sampled(40)
    for sample in story.records[20:]:
        sample["fds"] = 21
    assert story.says("C20") == "pass"


@pytest.mark.parametrize("left", [{"fds": 1.0}, {"tasks": 1.0}, {"fds": 0.1}])
def test_restarts_that_leave_something_behind_are_flagged(left: dict[str, Any]) -> None:
    """One for each, or one for each ten."""
    assert sampled(40, **left).says("C20") == "fail"


@pytest.mark.parametrize("given_up", ["cancelled", "timed_out"])
def test_requests_that_are_given_up_leave_nothing_behind_either(given_up: str) -> None:
    """Though nobody is restarted: a task for each is flagged."""
    for leaves, expected in ((0, "pass"), (1, "fail")):
        story = Story()
        for number in range(30):
            story.sample({given_up: number}, tasks=10 + leaves * number)
        assert story.says("C20") == expected


def test_what_was_never_seen_at_rest_is_not_said_to_be_well() -> None:
    """With requests under way in every sample nothing is known of threads and tasks."""
    story = Story()
    for number in range(30):
        story.sample({"restarts": number}, in_flight=1, tasks=10 + number)
    assert story.says("C20") == "pass"
    assert "of tasks and threads nothing is known" in story.judged("C20").text
    story = Story()
    for number in range(30):
        del story.sample({"restarts": number}, in_flight=1)["fds"]
    assert story.says("C20") == "idle"


def test_too_few_restarts_show_no_leak() -> None:
    """And without a sample of a whole pool nothing is seen at all."""
    assert sampled(5, fds=1.0).says("C20") == "idle"
    assert Story().says("C20") == "idle"


def test_samples_of_a_pool_that_lacks_a_worker_do_not_count() -> None:
    """While one starts, descriptors come and go."""
    story = sampled(40, fds=1.0)
    for sample in story.records[1:]:
        sample["ready"] = 1
    assert story.says("C20") == "idle"


def test_memory_that_grows_over_a_soak_is_flagged() -> None:
    """Only there: a short run grows into its memory."""
    assert sampled(40, rss=10**6, tags=("soak",)).says("C20") == "fail"
    assert sampled(40, rss=10**6).says("C20") == "pass"
    assert sampled(40, tags=("soak",)).says("C20") == "pass"


# -- C21 ---------------------------------------------------------------------------------------------------------------


def closed(took: float) -> Story:
    """Close a pool with two seconds of grace."""
    story = Story(pool={"shutdown_grace": 2.0, "timeout": 30.0})
    story.started(1)
    story.invoke(0)
    story.handed(1)
    story.run("closing", at=1.0)
    story.ok(0, at=1.5)
    story.run("closed", took=took, at=1.0 + took)
    story.run("end")
    return story


@pytest.mark.parametrize(("took", "expected"), [(3.9, "pass"), (4.2, "fail")])
def test_closing_takes_no_longer_than_grace_and_two_seconds(took: float, expected: str) -> None:
    """The pool's own bound."""
    assert closed(took).says("C21") == expected


def test_what_runs_when_closing_begins_may_finish_within_the_grace() -> None:
    """Cut off at once it is flagged; when the grace is over, or by a fault, it is not."""
    for at, hit, expected in ((1.1, False, "fail"), (3.1, False, "pass"), (1.1, True, "pass")):
        story = Story(pool={"shutdown_grace": 2.0, "timeout": 30.0}, faults=[Kill(name="kill", at=AT)])
        story.started(1)
        story.invoke(0, at=0.5)
        story.handed(1)
        story.run("closing", at=1.0)
        if hit:
            story.injected("kill", 1)
        story.finished(1, result="failed", at=at)
        story.failed(0, "WorkerCrashed", request_id=1)
        story.run("closed", took=2.5, at=3.5)
        story.run("end")
        assert story.says("C21") == expected


def test_nothing_is_begun_after_the_grace() -> None:
    """A request handed out then would be killed."""
    story = Story(pool={"shutdown_grace": 1.0})
    story.run("closing", at=1.0)
    story.handed(1, at=2.5)
    story.run("closed", took=2.0, at=3.0)
    story.run("end")
    assert story.says("C21") == "fail"


def test_a_pool_that_never_closes_is_flagged_and_one_that_was_not_closed_is_idle() -> None:
    """Of a run cut short in between nothing is known."""
    story = Story()
    assert story.says("C21") == "idle"
    story.run("closing")
    assert story.says("C21") == "unknown"
    story.run("end")
    assert story.says("C21") == "fail"


# -- C22 ---------------------------------------------------------------------------------------------------------------


def test_counts_that_are_those_of_events_and_callers_are_honest() -> None:
    """In the middle of things and when nothing is under way."""
    story = Story()
    story.started(1)
    story.invoke(0)
    story.handed(1)
    story.sample({"submitted": 1, "running": 1}, in_flight=1)
    story.finished(1)
    story.ok(0)
    story.worker("WorkerExited", 1)
    story.started(2)
    story.sample({"submitted": 1, "ok": 1, "restarts": 1})
    assert story.says("C22") == "pass"
    assert "1 with the callers'" in story.judged("C22").text


@pytest.mark.parametrize(
    "metrics",
    [
        {"submitted": 2, "ok": 1, "restarts": 1},  # its own law
        {"submitted": 2, "ok": 2, "restarts": 1},  # twice
        {"submitted": 1, "failed": 1, "restarts": 1},  # as another
        {"submitted": 1, "ok": 1},  # a restart forgotten
        {"submitted": 1, "ok": 1, "restarts": 1, "stale_replies": 1},
    ],
)
def test_counts_at_odds_are_flagged(metrics: dict[str, int]) -> None:
    """With themselves, with the events, or with the callers."""
    story = Story()
    story.started(1)
    story.invoke(0)
    story.handed(1)
    story.finished(1)
    story.ok(0)
    story.worker("WorkerExited", 1)
    story.started(2)
    story.sample(metrics)
    assert story.says("C22") == "fail"


@pytest.mark.parametrize(("ready", "expected"), [(0, "pass"), (1, "pass"), (2, "fail")])
def test_a_pool_that_shows_workers_it_has_not_is_flagged(ready: int, expected: str) -> None:
    """One is dead and one is being killed; that fewer are ready than the events tell of may be for a moment."""
    story = Story()
    for incarnation in (1, 2, 3):
        story.started(incarnation, incarnation - 1)
    story.worker("WorkerExited", 1)
    story.worker("WorkerKilled", 2, 1, reason="timeout")
    story.sample(ready=ready)
    assert story.says("C22") == expected


def test_counts_that_do_not_add_up_are_flagged() -> None:
    """Whatever was submitted is somewhere, at any moment."""
    story = Story()
    story.started(1)
    story.invoke(0)
    story.handed(1)
    story.sample({"submitted": 1}, in_flight=1)
    assert story.says("C22") == "fail"


def test_callers_and_events_may_disagree_with_each_other() -> None:
    """A pool whose events repeat its own mistake is found out by its callers."""
    story = Story()
    story.started(1)
    story.invoke(0)
    story.handed(1)
    story.finished(1)
    story.failed(0, "WorkerCrashed", request_id=1)
    story.sample({"submitted": 1, "ok": 1})
    assert story.says("C22") == "fail"


def test_a_caller_cancelled_as_the_answer_comes_is_no_error_of_the_count() -> None:
    """Trio cancels who has been woken and has not run: the pool has answered, the caller has left."""
    for result, expected in (("ok", "pass"), ("cancelled", "fail")):
        story = Story()
        story.started(1)
        story.invoke(0)
        story.handed(1)
        story.finished(1, result=result)
        story.cancelled(0)
        story.sample({"submitted": 1, "ok": 1})
        assert story.says("C22") == expected


def test_without_counts_or_events_metrics_are_not_judged() -> None:
    """Idle for a pool that counts nothing, unknown for one that stopped telling."""
    story = Story()
    assert story.says("C22") == "idle"
    story.sample()
    assert story.says("C22") == "unknown"
    story.pool("HookDisabled", error="ValueError")
    assert story.says("C22") == "unknown"


# -- C25 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["worker", "request"])
@pytest.mark.parametrize(("disturbed", "expected"), [(False, "fail"), (True, "pass")])
def test_bad_bytes_come_from_disturbed_links_alone(shown: str, disturbed: bool, expected: str) -> None:
    """Whatever workers print: that is the eighth guarantee."""
    story = Story(faults=[WireFault(name="wire", at=AT)])
    story.started(1)
    story.invoke(0)
    story.handed(1)
    if disturbed:
        story.injected("wire", 1, kind="wire.corrupt")
    story.finished(1, result="failed")
    if shown == "worker":
        story.worker("WorkerExited", 1, reason="protocol")
        story.failed(0, "WorkerCrashed", request_id=1)
    else:
        story.failed(0, "ProtocolError", request_id=1)
    finding = story.judged("C25")
    assert str(finding.judgement) == expected
    assert finding.guarantee == 8


# -- C26 ---------------------------------------------------------------------------------------------------------------

LINES = [
    ("worker 1 started", None, "pass"),
    ("RuntimeWarning: coroutine 'x' was never awaited", None, "fail"),
    ("Traceback (most recent call last):", None, "fail"),
    ("Fatal Python error: Segmentation fault", None, "fail"),
    ("Fatal Python error: Segmentation fault", Death.SEGV, "pass"),
    ("Traceback (most recent call last):", Death.INT, "pass"),
    ("Traceback (most recent call last):", Death.KILL, "fail"),
    ("ResourceWarning: unclosed file", Death.SEGV, "fail"),
]


@pytest.mark.parametrize(("line", "death", "expected"), LINES)
def test_what_python_complains_of_is_flagged_unless_a_fault_explains_it(
    line: str, death: Death | None, expected: str
) -> None:
    """A worker that is interrupted or crashes says so; SIGKILL leaves it no time, and no fault forgets to await."""
    story = Story(faults=[] if death is None else [Kill(name="kill", at=AT, death=death)])
    if death is not None:
        story.injected("kill", 1)
    story.log = f"first line\n{line}\n"
    assert story.says("C26") == expected


def test_without_a_log_complaints_are_idle() -> None:
    """Nothing was kept."""
    assert Story().says("C26") == "idle"


# -- C27 ---------------------------------------------------------------------------------------------------------------


def test_a_run_whose_faults_all_struck_tested_something() -> None:
    """One strike of each is enough, whatever the others missed."""
    story = Story(faults=[Kill(name="kill", at=AT)])
    story.served(0)
    story.injected("kill", 1)
    story.note("chaos", "missed", fault="kill", occurrence=1, why="no worker is busy")
    story.ends()
    assert story.says("C27") == "pass"


@pytest.mark.parametrize("how", ["never", "missed", "without effect", "no frame"])
def test_a_fault_that_hit_nothing_makes_the_run_unknown(how: str) -> None:
    """Never struck, missed, or in force without changing anything: never green."""
    story = Story(faults=[WireFault(name="wire", at=AT)])
    story.served(0)
    if how == "missed":
        story.note("chaos", "missed", fault="wire", occurrence=0, why="no worker is busy")
    elif how == "without effect":
        story.injected("wire", 1, kind="wire.corrupt")
        story.note("chaos", "effect", fault="wire", occurrence=0, effect={"messages": 40, "struck": 0})
    elif how == "no frame":
        story.injected("wire", 1, kind="wire.reorder")
        story.note("chaos", "effect", fault="wire", occurrence=0, effect={"seen": 40, "frames": 0})
    story.ends()
    assert story.says("C27") == "unknown"
    assert verdict(check_all(story.evidence())) is Judgement.UNKNOWN


def test_a_run_that_was_cut_short_or_sent_nothing_tested_nothing() -> None:
    """Neither is a proof."""
    story = Story()
    story.served(0)
    assert story.says("C27") == "unknown"
    story = Story(asked=True)
    story.ends()
    assert story.says("C27") == "unknown"


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_checkers_are_in_order_and_each_has_a_rule_in_a_line() -> None:
    """As `list checkers` shows them; together they watch over all eight guarantees."""
    assert [checker.number for checker in CHECKERS] == [f"C{number}" for number in range(1, len(CHECKERS) + 1)]
    assert len({checker.name for checker in CHECKERS}) == len(CHECKERS)
    assert all(checker.rule.endswith(".") and len(checker.rule) < 120 for checker in CHECKERS)
    assert {checker.guarantee for checker in CHECKERS} - {None} == set(range(1, 9))


def test_a_disabled_checker_says_nothing() -> None:
    """The scenario has the say."""
    story = Story(disable=("C14", "C27"))
    assert {finding.checker for finding in check_all(story.evidence())} == {checker.number for checker in CHECKERS} - {
        "C14",
        "C27",
    }


def test_a_checker_that_fails_itself_is_unknown_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never green, and it does not keep the others from being heard."""

    def broken(_evidence: object) -> object:
        raise KeyError("slot")

    bad = Checker(number="C1", name="broken", guarantee=1, rule="None.", function=broken)  # type: ignore[arg-type]
    monkeypatch.setattr(_table, "CHECKERS", (bad, *CHECKERS[1:]))
    story = Story()
    story.ends()
    findings = check_all(story.evidence())
    assert findings[0].judgement is Judgement.UNKNOWN
    assert findings[0].weighs
    assert "KeyError: 'slot'" in findings[0].text
    assert len(findings) == len(CHECKERS)


def test_what_did_not_happen_does_not_weigh() -> None:
    """A run is green though nobody cancelled in it; what should have been seen and was not makes it unknown."""
    idle = Finding(checker="C24", name="a", judgement=Judgement.UNKNOWN, text="no caller gave up", weighs=False)
    passed = Finding(checker="C1", name="b", judgement=Judgement.PASS, text="fine")
    assert verdict([idle, passed]) is Judgement.PASS
    assert verdict([attrs.evolve(idle, weighs=True), passed]) is Judgement.UNKNOWN


def test_a_violation_outweighs_whatever_is_unknown() -> None:
    """What was found is found."""
    cases = Cases()
    cases.add("broken", [1])
    assert cases.answer("fine", unknown="nobody knows", idle="nothing happened").judgement is Judgement.FAIL
