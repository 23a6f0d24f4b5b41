"""Strategies, significant children, static lists and ignored starts, on a mock clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import (
    Backoff,
    ChildError,
    ChildExited,
    ChildIgnored,
    ChildOverdue,
    ChildRestartScheduled,
    ChildSpec,
    ChildStarted,
    ChildStatus,
    ChildStopped,
    Ending,
    IgnoreStart,
    PlannedExit,
    RestartIntensityExceeded,
    SupervisorShutDown,
    open_supervisor,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool import SupervisorEvent

BACKOFF = Backoff(initial=10.0, maximum=10.0, jitter="none")


def story(recorder: Recorder, since: float) -> list[str]:
    """Return what happened from a time on: ``-a`` stopped, ``!a`` exited, ``+a`` started."""
    signs = {ChildStopped: "-", ChildExited: "!", ChildStarted: "+"}
    return [
        signs[type(event)] + event.child_id for event in recorder.events if event.at >= since and type(event) in signs
    ]


def trio_of(lives: dict[str, Puppet], **fields: str) -> list[ChildSpec]:
    """Return specifications of these puppets; ``fields`` gives the restart type of some."""
    return [ChildSpec(id=name, start=puppet, restart=fields.get(name, "permanent")) for name, puppet in lives.items()]


# ----------------------------------------------------------------------------------------------------------- strategies


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["!c", "+c"]),
        ("rest_for_one", ["!c", "-e", "-d", "+c", "+d", "+e"]),
        ("one_for_all", ["!c", "-e", "-d", "-b", "-a", "+a", "+b", "+c", "+d", "+e"]),
    ],
)
async def test_who_is_restarted_and_in_which_order(
    autojump_clock: MockClock, strategy: str, expected: list[str]
) -> None:
    """Siblings stop newest first, one at a time; then all start oldest first, each when the one before is up."""
    puppets = {name: Puppet(starting=1.0, stopping=1.0) for name in "abcde"}
    puppets["c"].lives = iter([10.0])
    recorder = Recorder()
    async with open_supervisor(strategy, children=trio_of(puppets), max_restarts=1, on_event=recorder) as supervisor:
        await trio.sleep(100)
        assert story(recorder, 13.5) == expected
        took = recorder.of(ChildStarted)[-1].at - recorder.of(ChildExited)[0].at
        assert took == (expected.count("+c") + sum(step[0] in "-+" for step in expected) - 1)
        assert all(child.status is ChildStatus.RUNNING for child in supervisor.which_children())


async def test_one_restart_is_charged_whatever_it_takes_along(autojump_clock: MockClock) -> None:
    """``max_restarts`` counts failures, not siblings."""
    puppets = {name: Puppet() for name in "abc"}
    puppets["b"].lives = iter([1.0, 1.0, 1.0])
    with leaving(RestartIntensityExceeded):
        async with open_supervisor("one_for_all", children=trio_of(puppets), max_restarts=2) as supervisor:
            await supervisor.wait()
    assert trio.current_time() == 3.0
    assert [len(puppet.started) for puppet in puppets.values()] == [3, 3, 3]


async def test_temporary_siblings_are_stopped_and_not_started_again(autojump_clock: MockClock) -> None:
    """OTP's ``temporary_bystander``: their specification goes with them."""
    puppets = {name: Puppet() for name in "abc"}
    puppets["b"].lives = iter([1.0])
    children = trio_of(puppets, a="temporary", c="temporary")
    async with open_supervisor("one_for_all", children=children) as supervisor:
        await trio.sleep(2)
        assert [child.id for child in supervisor.which_children()] == ["b"]
    assert [len(puppet.started) for puppet in puppets.values()] == [1, 2, 1]


@pytest.mark.parametrize("how", ["terminated", "ended"])
async def test_stopped_siblings_are_started_along(autojump_clock: MockClock, how: str) -> None:
    """OTP starts every child in the list, also one that was terminated by hand or had come to its end."""
    puppets = {"a": Puppet([5.0]), "b": Puppet([None] if how == "ended" else [])}
    async with open_supervisor("one_for_all", children=trio_of(puppets, b="transient")) as supervisor:
        if how == "terminated":
            await supervisor.terminate_child("b")
        await trio.sleep(1)
        assert puppets["b"].running == 0
        await trio.sleep(5)
        assert puppets["b"].running == 1


@pytest.mark.parametrize(("strategy", "times"), [("one_for_all", [0, 5, 6, 7]), ("rest_for_one", [0, 5])])
async def test_a_restart_that_fails_is_a_restart_of_its_own(
    autojump_clock: MockClock, strategy: str, times: list[float]
) -> None:
    """OTP's ``*_other_child_fails_restart``: the siblings just restarted go down again under ``one_for_all`` only."""
    first, other = Puppet([5.0]), Puppet(start_errors=[None, Crash(), Crash()], starting=0.0)
    recorder = Recorder()

    async def slow_to_fail(*, task_status: trio.TaskStatus[int]) -> None:  # noqa: ASYNC128  # `other` calls it
        if len(other.attempts) in (1, 2):
            await trio.sleep(1)
        await other(task_status=task_status)

    children = [ChildSpec(id="a", start=first), ChildSpec(id="b", start=slow_to_fail)]
    async with open_supervisor(strategy, children=children, max_restarts=3, on_event=recorder) as supervisor:
        await trio.sleep(20)
        assert first.started == times
        assert [child.status for child in supervisor.which_children()] == [ChildStatus.RUNNING] * 2
    assert len(recorder.of(ChildExited)) == 3


async def test_failed_restarts_are_charged_and_end_in_a_give_up(autojump_clock: MockClock) -> None:
    """One crash and three failed restarts are four charges, under every strategy."""
    puppets = {"a": Puppet([5.0]), "b": Puppet(start_errors=[None, *(Crash(n) for n in range(9))])}
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor("one_for_all", children=trio_of(puppets), max_restarts=3) as supervisor:
            await supervisor.wait()
    assert [error.args for error in caught.value.errors] == [(1,), (0,), (1,), (2,)]
    assert caught.value.child_id == "b"
    assert puppets["a"].running == 0


async def test_siblings_make_way_at_once_and_wait_for_the_delay_together(autojump_clock: MockClock) -> None:
    """The backoff stands before the first start, and it is the failed child's own."""
    puppets = {"a": Puppet(stopping=2.0), "b": Puppet([1.0, 1.0])}
    recorder = Recorder()
    async with open_supervisor(
        "one_for_all", children=trio_of(puppets), max_restarts=2, within=60.0, backoff=BACKOFF, on_event=recorder
    ):
        await trio.sleep(30)
    assert [event.delay for event in recorder.of(ChildRestartScheduled)] == [0.0, 10.0]
    assert puppets["a"].started == puppets["b"].started == [0.0, 3.0, 14.0]


async def test_an_older_failure_widens_a_restart_under_way(autojump_clock: MockClock) -> None:
    """While the last hangs in its restart the first fails: the hanging start is called off and all are restarted."""
    puppets = {"a": Puppet([10.0]), "b": Puppet(), "c": Puppet([5.0])}
    recorder = Recorder()
    async with open_supervisor("rest_for_one", children=trio_of(puppets), on_event=recorder):
        puppets["c"].starting = 1000.0
        await trio.sleep(9)
        assert puppets["c"].running == 1
        puppets["c"].starting = 0.0
        await trio.sleep(10)
        assert story(recorder, 5.0) == ["!c", "!a", "-c", "-b", "+a", "+b", "+c"]


async def test_a_hanging_restart_does_not_hold_up_management_calls(autojump_clock: MockClock) -> None:
    """Terminating the child that hangs lets its siblings go on; OTP would leave those down that come after it."""
    puppets = {"a": Puppet([5.0]), "b": Puppet(), "c": Puppet()}
    async with open_supervisor("one_for_all", children=trio_of(puppets)) as supervisor:
        puppets["b"].starting = 1000.0
        await trio.sleep(6)
        c, b, a = supervisor.which_children()
        assert (a.status, b.status, c.status) == ("running", "restarting", "restarting")
        await supervisor.terminate_child("c")
        assert (b.status, c.status) == (ChildStatus.RESTARTING, ChildStatus.STOPPED)
        await supervisor.terminate_child("b")
        assert (a.status, b.status) == (ChildStatus.RUNNING, ChildStatus.STOPPED)
        assert trio.current_time() == 6.0


async def test_a_start_behind_a_restart_waits_its_turn(autojump_clock: MockClock) -> None:
    """The new child may rely on those before it, so it starts when they are up; terminating it calls it off."""
    puppets = {"a": Puppet([5.0], starting=2.0)}
    late, later = Puppet(), Puppet()
    async with open_supervisor("rest_for_one", children=trio_of(puppets)) as supervisor, trio.open_nursery() as nursery:
        await trio.sleep(6)

        async def refused() -> None:
            with pytest.raises(ChildError) as caught:
                await supervisor.start_child(ChildSpec(id="later", start=later))
            assert caught.value.reason == "terminated"

        nursery.start_soon(refused)
        nursery.start_soon(supervisor.start_child, ChildSpec(id="late", start=late))
        await settle()
        assert not late.attempts
        await supervisor.terminate_child("later")
        await trio.sleep(5)
        assert (late.started, later.attempts) == ([9.0], [])


async def test_a_first_start_that_a_restart_interrupts_is_begun_anew(autojump_clock: MockClock) -> None:
    """Its starter gets a child that came up after those it may rely on."""
    puppets = {"a": Puppet([5.0])}
    new = Puppet(starting=2.0)
    async with open_supervisor("one_for_all", children=trio_of(puppets)) as supervisor:
        await trio.sleep(4)
        child = await supervisor.start_child(ChildSpec(id="new", start=new, restart="temporary"))
        assert (new.attempts, trio.current_time(), child.status) == ([4.0, 5.0], 7.0, ChildStatus.RUNNING)


async def test_a_sibling_that_ignores_its_cancellation_is_reported(autojump_clock: MockClock) -> None:
    """It is waited for all the same: nobody starts beside it."""
    puppets = {"a": Puppet([5.0]), "b": Puppet(stopping=30.0)}
    recorder = Recorder()
    async with open_supervisor("one_for_all", children=trio_of(puppets), on_event=recorder):
        await trio.sleep(50)
    assert [(event.child_id, event.at) for event in recorder.of(ChildOverdue)][:1] == [("b", 10.0)]
    assert puppets["a"].started == [0.0, 35.0]


async def test_a_planned_exit_takes_its_siblings_along_uncharged(autojump_clock: MockClock) -> None:
    """They rely on it whatever the reason for its end."""
    puppets = {"b": Puppet(), "a": Puppet([PlannedExit()])}
    async with open_supervisor("one_for_all", children=trio_of(puppets), max_restarts=0):
        await settle()
        assert [len(puppet.started) for puppet in puppets.values()] == [2, 2]


async def test_a_crash_while_the_supervisor_stops_restarts_nobody(autojump_clock: MockClock) -> None:
    """One that crashes before its turn to stop comes is neither restarted nor charged."""
    puppets = {"a": Puppet([5.0]), "b": Puppet(stopping=10.0)}
    recorder = Recorder()
    async with open_supervisor("one_for_all", children=trio_of(puppets), max_restarts=0, on_event=recorder):
        await trio.sleep(1)
    assert [(type(event).__name__, event.child_id, event.at) for event in recorder.events[-4:]] == [
        ("ChildStopped", "a", 5.0),
        ("ChildOverdue", "b", 6.0),
        ("ChildStopped", "b", 11.0),
        ("SupervisorStopped", "", 11.0),
    ]


async def test_children_stop_newest_first_each_with_its_own_time(autojump_clock: MockClock) -> None:
    """One at a time: the sum of what they take, and each reported by its own ``shutdown``."""
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet(stopping=2.0), shutdown=1.0))
        await supervisor.start_child(ChildSpec(id="b", start=Puppet(stopping=3.0), shutdown=5.0))
        await supervisor.start_child(ChildSpec(id="c", start=Puppet(stopping=4.0), shutdown="brutal_kill"))
    assert [(event.child_id, event.at) for event in recorder.of(ChildStopped)] == [("c", 4.0), ("b", 7.0), ("a", 9.0)]
    assert [(event.child_id, event.at) for event in recorder.of(ChildOverdue)] == [("c", 0.0), ("a", 8.0)]


async def test_what_is_starting_is_called_off_before_anybody_stops(autojump_clock: MockClock) -> None:
    """Nobody relies on it yet, so it does not wait for its turn: neither a first start nor a restart."""
    restarting, starting = Puppet([1.0]), Puppet(starting=100.0)
    recorder = Recorder()
    async with trio.open_nursery() as nursery:  # noqa: SIM117  # the nursery waits for the starter, after the supervisor
        async with open_supervisor(children=trio_of({"a": restarting}), on_event=recorder) as supervisor:
            restarting.starting = 100.0

            async def refused() -> None:
                with pytest.raises(ChildError) as caught:
                    await supervisor.start_child(ChildSpec(id="b", start=starting))
                assert caught.value.reason == "closed"

            nursery.start_soon(refused)
            await trio.sleep(2)
            await supervisor.start_child(ChildSpec(id="c", start=Puppet(stopping=3.0)))
    stopped = sorted((event.child_id, event.at) for event in recorder.of(ChildStopped))
    assert stopped == [("a", 2.0), ("b", 2.0), ("c", 5.0)]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all"])
async def test_an_interrupt_in_a_report_of_lateness_leaves_no_child(autojump_clock: MockClock, strategy: str) -> None:
    """Those whose turn to stop has not come are stopped all the same."""
    puppets = {"a": Puppet(), "b": Puppet(), "c": Puppet(stopping=20.0)}

    def observer(event: SupervisorEvent) -> None:
        if isinstance(event, ChildOverdue):
            raise KeyboardInterrupt

    with leaving(KeyboardInterrupt):
        async with open_supervisor(strategy, children=trio_of(puppets), on_event=observer):
            pass
    assert [puppet.running for puppet in puppets.values()] == [0, 0, 0]


# --------------------------------------------------------------------------------------------- significant children


@pytest.mark.parametrize(
    ("auto_shutdown", "restart", "life", "ends"),
    [
        ("any_significant", "transient", None, True),
        ("any_significant", "transient", Crash(), False),
        ("any_significant", "transient", PlannedExit(), False),
        ("any_significant", "temporary", None, True),
        ("any_significant", "temporary", Crash(), True),
        ("all_significant", "temporary", Crash(), False),
    ],
)
async def test_when_a_significant_child_ends_by_itself(
    autojump_clock: MockClock, auto_shutdown: str, restart: str, life: Exception | None, ends: bool
) -> None:
    """A clean end of a transient one counts, and any end of a temporary one; nothing leaves the ``async with``."""
    recorder = Recorder()
    other = Puppet()
    children = [
        ChildSpec(id="other", start=other, restart="temporary", significant=True),
        ChildSpec(id="plain", start=Puppet([None]), restart="temporary"),
        ChildSpec(id="a", start=Puppet([life]), restart=restart, significant=True),
    ]
    async with open_supervisor(auto_shutdown=auto_shutdown, children=children, on_event=recorder) as supervisor:
        with trio.move_on_after(10):
            await supervisor.wait()
    assert [event.child_id for event in recorder.of(SupervisorShutDown)] == ["a"] * ends
    assert (other.running, trio.current_time()) == (0, 0.0 if ends else 10.0)


async def test_all_significant_waits_for_the_last(autojump_clock: MockClock) -> None:
    """One that waits for its restart is still to come, one that was terminated by hand is not."""
    recorder = Recorder()

    def spec(name: str, puppet: Puppet, restart: str = "transient") -> ChildSpec:
        return ChildSpec(id=name, start=puppet, restart=restart, significant=True)

    async def returns(after: float, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep(after)

    children = [
        ChildSpec(id="a", start=returns, args=(1.0,), restart="transient", significant=True),
        spec("b", Puppet([0.5, 0.5, None])),
        spec("c", Puppet()),
    ]
    async with open_supervisor(
        auto_shutdown="all_significant",
        children=children,
        max_restarts=2,
        within=60,
        backoff=BACKOFF,
        on_event=recorder,
    ) as supervisor:
        await supervisor.terminate_child("c")
        await supervisor.wait()
    assert [(event.child_id, event.at) for event in recorder.of(SupervisorShutDown)] == [("b", 11.0)]


async def test_what_does_not_count_as_an_end_by_itself(autojump_clock: MockClock) -> None:
    """Neither terminating a significant child nor a restart of its siblings ends the supervisor."""
    significant = ChildSpec(id="s", start=Puppet(), restart="temporary", significant=True)
    async with open_supervisor("one_for_all", auto_shutdown="any_significant") as supervisor:
        await supervisor.start_child(significant)
        await supervisor.terminate_child("s")
        await supervisor.start_child(significant)
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([5.0])))
        await trio.sleep(10)
        assert [child.id for child in supervisor.which_children()] == ["a"]


async def test_refused_combinations() -> None:
    """As OTP refuses them, before anything starts."""
    spec = ChildSpec(id="a", start=Puppet(), restart="transient", significant=True)
    with pytest.raises(ValueError, match="significant: bad_combination with restart='permanent'"):
        ChildSpec(id="a", start=Puppet(), significant=True)
    with pytest.raises(ValueError, match="children: bad_combination, 'a' is significant and auto_shutdown is 'never'"):
        open_supervisor(children=[spec])
    async with open_supervisor() as supervisor:
        with pytest.raises(ChildError) as caught:
            await supervisor.start_child(spec)
        assert caught.value.reason == "bad_combination"


async def test_an_automatic_shutdown_before_the_body_begins(autojump_clock: MockClock) -> None:
    """A significant child may end while the others start: the rest are not started, and the body is cancelled."""
    children = [
        ChildSpec(id="a", start=Puppet([None]), restart="temporary", significant=True),
        ChildSpec(id="b", start=Puppet(starting=5.0)),
        ChildSpec(id="c", start=Puppet()),
    ]
    reached: list[str] = []
    async with open_supervisor(auto_shutdown="any_significant", children=children) as supervisor:
        reached.append("body")
        await trio.sleep(1)
        reached.append("end")
    assert (reached, supervisor.which_children(), trio.current_time()) == (["body"], (), 0.0)


# --------------------------------------------------------------------------------- static children, ignored starts


async def test_a_static_list_is_rolled_back_in_reverse(autojump_clock: MockClock) -> None:
    """The third of four fails to start: the second and the first are stopped, the fourth never begins."""
    error = Crash("no")
    puppets = {name: Puppet(stopping=1.0) for name in "abcd"}
    puppets["c"].start_errors = iter([error])
    recorder = Recorder()
    with leaving(ChildError) as caught:
        async with open_supervisor(children=trio_of(puppets), on_event=recorder, max_restarts=0):
            pytest.fail("entered")
    assert (caught.value.reason, caught.value.child_id, caught.value.__cause__) == ("failed_to_start_child", "c", error)
    assert [event.child_id for event in recorder.of(ChildStopped)] == ["b", "a"]
    assert not puppets["d"].attempts


async def test_a_give_up_while_the_list_starts(autojump_clock: MockClock) -> None:
    """It is what leaves, and the start under way is undone."""
    slow = Puppet(starting=100.0)
    children = [ChildSpec(id="a", start=Puppet([5.0])), ChildSpec(id="b", start=slow)]
    with leaving(RestartIntensityExceeded):
        async with open_supervisor(children=children, max_restarts=0):
            pytest.fail("entered")
    assert (trio.current_time(), slow.running) == (5.0, 0)


def test_a_limit_the_backoff_makes_unreachable_is_refused() -> None:
    """Children with the same delays share them; each backoff is judged by itself."""
    slow = Backoff(initial=5.0, maximum=5.0)
    specs = [ChildSpec(id=str(n), start=Puppet()) for n in range(3)]
    with pytest.raises(ValueError, match="can never be reached"):
        open_supervisor(children=specs[:1], backoff=slow)
    open_supervisor(children=specs, backoff=slow)
    with pytest.raises(ValueError, match="can never be reached"):
        open_supervisor("one_for_all", children=specs, backoff=slow)
    with pytest.raises(ValueError, match="can never be reached"):
        open_supervisor(children=[*specs, ChildSpec(id="x", start=Puppet(), backoff=slow)])


async def test_a_child_may_have_a_backoff_of_its_own(autojump_clock: MockClock) -> None:
    """Others keep the supervisor's."""
    recorder = Recorder()
    async with open_supervisor(max_restarts=9, within=60.0, on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([0.0] * 2), backoff=BACKOFF))
        await supervisor.start_child(ChildSpec(id="b", start=Puppet([0.0] * 2)))
        await trio.sleep(30)
    delays = [(event.child_id, event.delay) for event in recorder.of(ChildRestartScheduled)]
    assert sorted(delays) == [("a", 0.0), ("a", 10.0), ("b", 0.0), ("b", 0.0)]


async def test_an_ignored_start_keeps_the_specification_without_a_child() -> None:
    """OTP's ``ignore``: no error, nothing runs, a temporary child's specification is not kept."""
    puppet = Puppet(start_errors=[IgnoreStart(), None, IgnoreStart()])
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=puppet))
        assert (child.status, child.value, child.restarts, puppet.running) == (ChildStatus.STOPPED, None, 0, 0)
        assert supervisor.which_children() == (child,)
        await supervisor.restart_child("a")
        assert (child.status, child.restarts) == (ChildStatus.RUNNING, 0)
        await supervisor.terminate_child("a")
        await supervisor.restart_child("a")
        assert child.status is ChildStatus.STOPPED
        await supervisor.start_child(ChildSpec(id="b", start=Puppet(start_errors=[IgnoreStart()]), restart="temporary"))
        assert supervisor.which_children() == (child,)
    assert [event.child_id for event in recorder.of(ChildIgnored)] == ["a", "a", "b"]


async def test_a_restart_that_is_ignored_stays_down(autojump_clock: MockClock) -> None:
    """The crash was charged, the ignored restart is no failure; siblings of a group go on."""
    puppets = {"a": Puppet([5.0], start_errors=[None, IgnoreStart()]), "b": Puppet()}
    async with open_supervisor("one_for_all", children=trio_of(puppets), max_restarts=1) as supervisor:
        await trio.sleep(10)
        b, a = supervisor.which_children()
        assert (a.status, b.status) == (ChildStatus.STOPPED, ChildStatus.RUNNING)
        assert puppets["b"].started == [0.0, 5.0]


async def test_ignoring_after_the_start_is_a_crash() -> None:
    """Only a start can be declined."""
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([IgnoreStart()])))
        await settle()
    assert [event.reason for event in recorder.of(ChildExited)] == [Ending.CRASHED]


async def test_a_specification_can_be_read_back() -> None:
    """`get_childspec` returns what was given, running or not."""
    spec = ChildSpec(id="a", start=Puppet(), type="supervisor")
    async with open_supervisor(children=[spec]) as supervisor:
        assert supervisor.get_childspec("a") is spec
        await supervisor.terminate_child("a")
        assert supervisor.get_childspec("a") is spec
        with pytest.raises(ChildError) as caught:
            supervisor.get_childspec("b")
        assert (caught.value.reason, caught.value.child_id) == ("not_found", "b")
