"""The checker of deadlines, C13, on histories written by hand."""

from __future__ import annotations

import pytest
from _chaos_story import Story

from chaos.scenario._application_faults import AppStall, AppStop
from chaos.scenario._fault import FaultSpec, Trigger


def test_what_ends_in_time_keeps_its_deadline() -> None:
    """The pool's timeout or the request's own."""
    story = Story()
    story.invoke(0, at=0.1)
    story.ok(0, at=1.0)
    story.invoke(1, timeout=5.0, at=1.1)
    story.failed(1, "CommandTimeout", at=6.1)
    assert story.says("C13") == "pass"


def test_what_ends_late_has_broken_its_deadline() -> None:
    """An answer that comes long after the timeout is one, and so is an error."""
    for late in ("ok", "failed"):
        story = Story()
        story.invoke(0, at=0.1)
        if late == "ok":
            story.ok(0, at=1.3)
        else:
            story.failed(0, "CommandTimeout", at=1.3)
        assert story.says("C13") == "fail"


def stood(story: Story, begin: float, seconds: float, kind: str = "app-stop") -> None:
    """Have the application stand still, and go on."""
    story.injected("still", None, kind=kind, slot=None, at=begin)
    end = begin + seconds
    story.note("chaos", "effect", at=end, fault="still", occurrence=0, effect={"seconds": seconds})
    story.note("chaos", "heal", at=end, fault="still", occurrence=0, ok=True, took=0.0)


STILL = [AppStop(name="still", at=Trigger(time=0.2)), AppStall(name="still", at=Trigger(time=0.2))]


@pytest.mark.parametrize("fault", STILL, ids=["app-stop", "app-stall"])
@pytest.mark.parametrize(("ended", "expected"), [(6.1, "pass"), (6.3, "fail")])
def test_who_overlaps_a_standstill_may_take_that_much_longer(fault: FaultSpec, ended: float, expected: str) -> None:
    """However long it was: five times the timeout here. What came late then says nothing against the client."""
    story = Story(faults=[fault])
    story.invoke(0, at=0.1)
    stood(story, 0.2, 5.0, fault.kind)
    story.sample(at=5.2, lag=4.9)
    story.invoke(1, at=5.2, t_int=1.0)
    story.ok(1, at=5.3)
    story.ok(0, at=ended)
    assert story.says("C13") == expected


def test_who_does_not_overlap_a_standstill_is_judged_as_ever() -> None:
    """That others were held up is no excuse, and makes no slack."""
    story = Story(faults=[STILL[0]])
    stood(story, 0.2, 5.0)
    for number in range(10):
        story.invoke(number, at=5.2 + 0.02 * number, t_int=1.0)
        story.ok(number)
    story.invoke(10, at=6.0)
    story.ok(10, at=7.5)
    assert story.says("C13") == "fail"


def test_a_standstill_is_no_longer_than_the_application_says() -> None:
    """That its healing was seen late is no excuse."""
    story = Story(faults=[STILL[0]])
    story.invoke(0, at=0.1)
    story.injected("still", None, kind="app-stop", slot=None, at=0.2)
    story.note("chaos", "effect", at=0.7, fault="still", occurrence=0, effect={"seconds": 0.5})
    story.note("chaos", "heal", at=3.0, fault="still", occurrence=0, ok=True, took=0.0)
    story.ok(0, at=3.1)
    assert story.says("C13") == "fail"


@pytest.mark.parametrize(("lag", "expected"), [(0.4, "pass"), (1.0, "unknown"), (0.04, "fail")])
def test_a_standstill_that_no_fault_explains_is_a_brief_one_or_proves_nothing(lag: float, expected: str) -> None:
    """The machine may hold the application up for a moment; a longer one may be the pool's own doing."""
    story = Story()
    story.invoke(0, at=0.1)
    story.sample(at=1.2, lag=lag)
    story.ok(0, at=max(1.2, 1.14 + lag))
    assert story.says("C13") == expected


def test_timeouts_that_the_slack_drowns_are_left_out_and_the_others_judged() -> None:
    """Nothing is said of the short one; the long one was kept."""
    story = Story()
    story.invoke(0, at=2.0, t_int=0.0)
    story.ok(0, at=2.1)
    story.invoke(1, at=2.2, t_int=0.2, timeout=10.0)
    story.ok(1, at=2.3)
    assert story.says("C13") == "pass"
    assert "1 request, all within" in story.judged("C13").text


def test_a_client_that_is_late_itself_cannot_judge() -> None:
    """With slack of more than half a timeout nothing can be said."""
    story = Story()
    story.invoke(0, at=2.0, t_int=0.0)
    story.ok(0, at=2.1)
    assert story.says("C13") == "unknown"


def test_without_timeouts_deadlines_are_idle() -> None:
    """An infinite timeout is kept by everybody."""
    story = Story(pool={"timeout": float("inf")})
    story.served(0)
    assert story.says("C13") == "idle"
