"""Supervisors as children: trees, escalation level by level, and rebuilding what was lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import (
    ChildCounts,
    ChildError,
    ChildOverdue,
    ChildSpec,
    ChildStatus,
    ChildStopped,
    ChildType,
    DynamicSupervisor,
    RestartIntensityExceeded,
    Supervisor,
    SupervisorGaveUp,
    dynamic_supervisor_spec,
    open_supervisor,
    supervisor_spec,
)

if TYPE_CHECKING:
    from trio.testing import MockClock


def supervisor_in(supervisor: Supervisor, child_id: str) -> Supervisor:
    """Return the live supervisor that a child is."""
    value = next(child for child in supervisor.which_children() if child.id == child_id).value
    assert isinstance(value, Supervisor)
    return value


async def test_a_supervisor_is_a_child_like_any_other(autojump_clock: MockClock) -> None:
    """A subtree that gives up is restarted as a whole by the supervisor above."""
    leaves: list[Puppet] = []

    async def subtree(*, task_status: trio.TaskStatus[None]) -> None:
        async with open_supervisor(max_restarts=1) as supervisor:
            leaves.append(Puppet([1.0, 1.0]))
            await supervisor.start_child(ChildSpec(id="leaf", start=leaves[-1]))
            task_status.started()
            await supervisor.wait()

    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="sub", start=subtree))
        await trio.sleep(2.5)
        assert [leaf.started for leaf in leaves] == [[0.0, 1.0], [2.0]]
        assert child.restarts == 1
    assert [leaf.running for leaf in leaves] == [0, 0]


async def test_a_supervisor_child_has_started_when_its_children_have(autojump_clock: MockClock) -> None:
    """They start in order, its value is its supervisor, and it counts as one."""
    first, second = Puppet(starting=1.0), Puppet(starting=2.0)
    specs = [ChildSpec(id="x", start=first), ChildSpec(id="y", start=second)]
    async with open_supervisor(children=[supervisor_spec("sub", specs), ChildSpec(id="leaf", start=Puppet())]) as top:
        assert (first.started, second.started, trio.current_time()) == ([1.0], [3.0], 3.0)
        assert top.count_children() == ChildCounts(specs=2, active=2, supervisors=1)
        assert top.count_children().workers == 1
        sub = supervisor_in(top, "sub")
        assert [child.id for child in sub.which_children()] == ["y", "x"]
        assert [child.type for child in top.which_children()] == [ChildType.WORKER, ChildType.SUPERVISOR]
        assert sub.name == "sub"
    assert (first.running, second.running) == (0, 0)


async def test_escalation_goes_level_by_level(autojump_clock: MockClock) -> None:
    """Three levels of one restart each: the leaf dies 2 x 2 x 2 times before the outermost gives up."""
    puppet = Puppet([1.0] * 100)
    recorder = Recorder()
    leaf = ChildSpec(id="leaf", start=puppet)
    inner = supervisor_spec("inner", [leaf], max_restarts=1, within=1000.0)
    middle = supervisor_spec("middle", [inner], max_restarts=1, within=1000.0)
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(
            children=[middle], max_restarts=1, within=1000.0, name="app", on_event=recorder
        ) as supervisor:
            await supervisor.wait()
    assert (trio.current_time(), len(puppet.started), puppet.running) == (8.0, 8, 0)
    gave_up = [(event.supervisor, event.at) for event in recorder.of(SupervisorGaveUp)]
    assert gave_up == [
        (("app", "middle", "inner"), 2.0),
        (("app", "middle", "inner"), 4.0),
        (("app", "middle"), 4.0),
        (("app", "middle", "inner"), 6.0),
        (("app", "middle", "inner"), 8.0),
        (("app", "middle"), 8.0),
        (("app",), 8.0),
    ]
    error: BaseException = caught.value
    path = []
    while isinstance(error, RestartIntensityExceeded):
        path.append((error.supervisor_path, error.child_id))
        error = error.errors[-1]
    assert path == [(("app",), "middle"), (("app", "middle"), "inner"), (("app", "middle", "inner"), "leaf")]
    assert isinstance(error, Crash)
    assert "supervisor 'app/middle' gave up: child 'inner'" in str(caught.value)


@pytest.mark.parametrize(("restart", "restarted"), [("permanent", 1), ("transient", 0), ("temporary", 0)])
async def test_a_give_up_below_is_a_clean_end(autojump_clock: MockClock, restart: str, restarted: int) -> None:
    """OTP's ``shutdown``: a transient supervisor is not restarted, a permanent one is."""
    puppet = Puppet([1.0])
    sub = supervisor_spec("sub", [ChildSpec(id="leaf", start=puppet)], restart=restart, max_restarts=0)
    async with open_supervisor(children=[sub]) as supervisor:
        await trio.sleep(10)
        assert len(puppet.started) == 1 + restarted
        assert supervisor.count_children().specs == (restart != "temporary")


async def test_a_restarted_supervisor_is_built_from_its_specification(autojump_clock: MockClock) -> None:
    """What management calls added or took away is forgotten with the incarnation."""
    crashing = Puppet([5.0])
    specs = [ChildSpec(id="x", start=Puppet()), ChildSpec(id="y", start=crashing)]
    async with open_supervisor(children=[supervisor_spec("sub", specs, max_restarts=0)]) as top:
        sub = supervisor_in(top, "sub")
        await sub.start_child(ChildSpec(id="z", start=Puppet()))
        await sub.terminate_child("x")
        await sub.delete_child("x")
        await trio.sleep(6)
        rebuilt = supervisor_in(top, "sub")
        assert rebuilt is not sub
        assert [child.id for child in rebuilt.which_children()] == ["y", "x"]


async def test_a_subtree_that_cannot_start_fails_to_start(autojump_clock: MockClock) -> None:
    """Its started children are stopped again, and the error says where, on every level."""
    first, error = Puppet(), Crash()
    inner = supervisor_spec(
        "inner", [ChildSpec(id="x", start=first), ChildSpec(id="y", start=Puppet(start_errors=[error]))]
    )
    with leaving(ChildError) as caught:
        async with open_supervisor(children=[ChildSpec(id="a", start=Puppet()), inner], name="app"):
            pytest.fail("entered")
    assert (caught.value.child_id, caught.value.reason) == ("inner", "failed_to_start_child")
    cause = caught.value.__cause__
    assert isinstance(cause, ChildError)
    assert (cause.child_id, cause.reason, cause.__cause__) == ("y", "failed_to_start_child", error)
    assert "supervisor 'app/inner', child 'y': failed_to_start_child: Crash()" in str(caught.value)
    assert first.running == 0


async def test_a_subtree_that_cannot_be_rebuilt_is_charged_each_time(autojump_clock: MockClock) -> None:
    """A failed restart of a supervisor is a failed restart like any other."""
    puppet = Puppet([1.0], start_errors=[None, *(Crash() for _ in range(9))])
    sub = supervisor_spec("sub", [ChildSpec(id="leaf", start=puppet)], max_restarts=0)
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(children=[sub], max_restarts=3) as supervisor:
            await supervisor.wait()
    assert len(puppet.attempts) == 1 + 3
    kinds = [type(error) for error in caught.value.errors]
    assert kinds == [RestartIntensityExceeded, ChildError, ChildError, ChildError]


async def test_the_tree_stops_depth_first_and_newest_first(autojump_clock: MockClock) -> None:
    """Each leaf stops before the next older one is asked to, through all levels."""
    recorder = Recorder()

    def leaf(name: str) -> ChildSpec:
        return ChildSpec(id=name, start=Puppet(stopping=1.0))

    children = [leaf("a"), supervisor_spec("sub", [leaf("b"), leaf("c")]), leaf("d")]
    async with open_supervisor(children=children, on_event=recorder):
        pass
    stopped = [(event.child_id, event.at) for event in recorder.of(ChildStopped)]
    assert stopped == [("d", 1.0), ("c", 2.0), ("b", 3.0), ("sub", 3.0), ("a", 4.0)]
    assert not recorder.of(ChildOverdue)


async def test_a_specification_of_a_supervisor_may_be_used_again() -> None:
    """Each time it is the supervisor above whose observer hears of what happens below."""
    spec = supervisor_spec("sub", [ChildSpec(id="leaf", start=Puppet())])
    for _ in range(2):
        recorder = Recorder()
        async with open_supervisor(children=[spec], on_event=recorder):
            pass
        assert "ChildStarted" in recorder.names("leaf")


async def test_the_children_of_a_subtree_may_stop_together(autojump_clock: MockClock) -> None:
    """All options of a supervisor are those of a supervisor below, the order of stopping too."""
    leaves = [ChildSpec(id=name, start=Puppet(stopping=1.0)) for name in "abc"]
    async with open_supervisor(children=[supervisor_spec("sub", leaves, stop_order="together")]):
        pass
    assert trio.current_time() == 1.0


async def test_infinity_is_bounded_by_what_the_subtree_may_take(autojump_clock: MockClock) -> None:
    """A stuck leaf is reported by its own supervisor, then by each above when all the seconds below have passed."""
    recorder = Recorder()
    leaves = [ChildSpec(id=name, start=Puppet(), shutdown=2.0) for name in "bc"]
    stuck = ChildSpec(id="stuck", start=Puppet(stopping=100.0), shutdown=3.0)
    inner = supervisor_spec("inner", [*leaves, stuck])
    assert inner.shutdown == math.inf
    async with open_supervisor(children=[supervisor_spec("outer", [inner])], on_event=recorder):
        pass
    overdue = [(event.child_id, event.at, event.shutdown) for event in recorder.of(ChildOverdue)]
    assert overdue == [("stuck", 3.0, 3.0), ("inner", 7.0, 7.0), ("outer", 7.0, 7.0)] or sorted(overdue) == sorted(
        [("stuck", 3.0, 3.0), ("inner", 7.0, 7.0), ("outer", 7.0, 7.0)]  # the last two at the same moment
    )
    assert trio.current_time() == 100.0


async def test_a_dynamic_supervisor_is_a_child_too(autojump_clock: MockClock) -> None:
    """It starts empty, also after a restart, and its budget is one ``shutdown`` however many children it has."""
    recorder = Recorder()
    template = ChildSpec(id="job", start=Puppet(stopping=100.0), shutdown=3.0)
    children = [dynamic_supervisor_spec("jobs", template, max_children=5)]
    async with open_supervisor(children=children, on_event=recorder) as top:
        (child,) = top.which_children()
        assert isinstance(child.value, DynamicSupervisor)
        assert child.type is ChildType.SUPERVISOR
        for _ in range(5):
            await child.value.start_child()
    overdue = [(event.child_id, event.at) for event in recorder.of(ChildOverdue)]
    assert sorted(overdue) == sorted([(f"job-{n}", 3.0) for n in range(1, 6)] + [("jobs", 3.0)])


async def test_auto_shutdown_escalates_only_through_significant_supervisors(autojump_clock: MockClock) -> None:
    """OTP's ``significant_escalation``: each level ends only if the ending supervisor is significant itself."""

    def tree(significant: bool) -> ChildSpec:
        leaf = ChildSpec(id="leaf", start=Puppet([None]), restart="transient", significant=True)
        return supervisor_spec(
            "sub", [leaf], restart="transient", significant=significant, auto_shutdown="any_significant"
        )

    other = Puppet()
    async with open_supervisor(auto_shutdown="any_significant") as top:
        await top.start_child(ChildSpec(id="other", start=other))
        child = await top.start_child(tree(significant=False))
        await settle()
        assert (child.status, other.running) == (ChildStatus.STOPPED, 1)
        await top.delete_child("sub")
        await top.start_child(tree(significant=True))
        await top.wait()
    assert other.running == 0


def test_wrong_specifications_below_are_refused_at_once() -> None:
    """Nothing has to be started to find them."""
    leaf = ChildSpec(id="leaf", start=Puppet())
    with pytest.raises(ValueError, match="duplicate_child_name 'leaf'"):
        supervisor_spec("sub", [leaf, leaf])
    with pytest.raises(ValueError, match="strategy must be one of"):
        supervisor_spec("sub", [leaf], "some_for_one")
    with pytest.raises(ValueError, match="max_restarts must be"):
        dynamic_supervisor_spec("sub", leaf, max_restarts=-1)
    with pytest.raises(ValueError, match="restart must be one of"):
        supervisor_spec("sub", [leaf], restart="often")


async def test_an_observer_below_keeps_its_events_to_itself() -> None:
    """Only a supervisor without one of its own is heard by the one above."""
    mine, theirs = Recorder(), Recorder()
    leaf = ChildSpec(id="leaf", start=Puppet())
    async with open_supervisor(children=[supervisor_spec("sub", [leaf], on_event=theirs)], on_event=mine):
        pass
    assert not mine.names("leaf")
    assert theirs.names("leaf") == ["ChildStarting", "ChildStarted", "ChildStopped"]


async def test_an_interrupt_far_below_stops_the_whole_tree() -> None:
    """KeyboardInterrupt is a crash on no level: it leaves all of them, bare."""
    interrupt, other = KeyboardInterrupt(), Puppet()
    inner = supervisor_spec("inner", [ChildSpec(id="leaf", start=Puppet([interrupt]))])
    children = [ChildSpec(id="other", start=other), supervisor_spec("outer", [inner])]
    with leaving(KeyboardInterrupt) as caught:
        async with open_supervisor(children=children) as supervisor:
            await supervisor.wait()
    assert caught.value is interrupt
    assert other.running == 0


@pytest.mark.parametrize("empty", [True, False])
async def test_a_supervisor_whose_children_need_no_time_to_stop_is_not_called_late(
    caplog: pytest.LogCaptureFixture, *, empty: bool
) -> None:
    """Its own end takes some turns of the event loop, with children or without."""
    below = () if empty else (ChildSpec(id="leaf", start=trio.sleep_forever, shutdown="brutal_kill"),)
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(supervisor_spec("below", (supervisor_spec("deep", below),)))
    assert not recorder.of(ChildOverdue)
    assert not caplog.records
