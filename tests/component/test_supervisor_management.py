"""The supervisor's management calls, refusals included, and how it stops children."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import (
    ChildError,
    ChildSpec,
    RestartIntensityExceeded,
    Supervisor,
    open_dynamic_supervisor,
    open_supervisor,
)
from trio_pool._core._restart import Backoff, Restart
from trio_pool._supervision import ChildCounts, ChildOverdue, ChildStatus, ChildStopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

BACKOFF = Backoff(initial=50.0, maximum=50.0, jitter="none")


async def reason_of(call: Callable[[], Awaitable[object]]) -> str:
    """Return the reason a call is refused for; every refusal is a checkpoint and names the child."""
    with trio.testing.assert_checkpoints(), pytest.raises(ChildError) as caught:
        await call()
    assert caught.value.child_id == "a"
    assert caught.value.reason in str(caught.value)
    return caught.value.reason


# ------------------------------------------------------------------------------------------------------- the call table


async def test_calls_on_a_running_child() -> None:
    """It is started already and cannot be restarted or deleted; terminating keeps its specification."""
    puppet = Puppet()
    spec = ChildSpec(id="a", start=puppet)
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(spec)
        assert await reason_of(lambda: supervisor.start_child(spec)) == "already_started"
        assert await reason_of(lambda: supervisor.restart_child("a")) == "running"
        assert await reason_of(lambda: supervisor.delete_child("a")) == "running"
        assert puppet.running == 1
        with trio.testing.assert_checkpoints():
            await supervisor.terminate_child("a")
        assert puppet.running == 0
        assert child.status is ChildStatus.STOPPED
        assert supervisor.which_children() == (child,)


async def test_calls_on_a_child_that_is_not_running() -> None:
    """It can be restarted or deleted, terminating it does nothing, and its id is taken until it is deleted."""
    puppet = Puppet()
    spec = ChildSpec(id="a", start=puppet)
    async with open_supervisor(max_restarts=0) as supervisor:
        child = await supervisor.start_child(spec)
        await supervisor.terminate_child("a")
        assert await reason_of(lambda: supervisor.start_child(spec)) == "already_present"
        with trio.testing.assert_checkpoints():
            await supervisor.terminate_child("a")
        with trio.testing.assert_checkpoints():
            assert await supervisor.restart_child("a") is child
        assert (child.status, child.value, child.restarts, puppet.running) == (ChildStatus.RUNNING, 2, 1, 1)
        await supervisor.terminate_child("a")
        with trio.testing.assert_checkpoints():
            await supervisor.delete_child("a")
        assert supervisor.which_children() == ()
        assert await supervisor.start_child(spec) is not child


async def test_calls_on_an_unknown_child() -> None:
    """There is nothing to restart, terminate or delete."""
    async with open_supervisor() as supervisor:
        assert await reason_of(lambda: supervisor.restart_child("a")) == "not_found"
        assert await reason_of(lambda: supervisor.terminate_child("a")) == "not_found"
        assert await reason_of(lambda: supervisor.delete_child("a")) == "not_found"


async def check_restarting(supervisor: Supervisor, spec: ChildSpec) -> None:
    """A child between two incarnations refuses all but terminating."""
    assert await reason_of(lambda: supervisor.start_child(spec)) == "already_present"
    assert await reason_of(lambda: supervisor.restart_child("a")) == "restarting"
    assert await reason_of(lambda: supervisor.delete_child("a")) == "restarting"


async def test_calls_on_a_child_that_waits_for_its_restart(autojump_clock: MockClock) -> None:
    """Terminating it calls the pending restart off at once."""
    puppet = Puppet([0.0, 0.0])
    spec = ChildSpec(id="a", start=puppet)
    recorder = Recorder()
    async with open_supervisor(backoff=BACKOFF, on_event=recorder) as supervisor:
        child = await supervisor.start_child(spec)
        await trio.sleep(1)
        assert child.status is ChildStatus.RESTARTING
        await check_restarting(supervisor, spec)
        await supervisor.terminate_child("a")
        assert trio.current_time() == 1.0
        assert (child.id, child.status) == ("a", ChildStatus.STOPPED)
        await trio.sleep(100)
        assert len(puppet.attempts) == 2
        assert recorder.names()[-2:] == ["ChildRestartScheduled", "ChildStopped"]
        assert supervisor.which_children() == (child,)


async def test_calls_on_a_child_that_hangs_in_its_restart(autojump_clock: MockClock) -> None:
    """Terminating it cancels the start, uncharged."""
    puppet = Puppet([0.0])
    spec = ChildSpec(id="a", start=puppet)
    async with open_supervisor(max_restarts=1) as supervisor:
        child = await supervisor.start_child(spec)
        puppet.starting = 1000.0
        await trio.sleep(1)
        assert (child.status, puppet.running) == (ChildStatus.RESTARTING, 1)
        await check_restarting(supervisor, spec)
        await supervisor.terminate_child("a")
        assert (child.status, puppet.running) == (ChildStatus.STOPPED, 0)
        assert supervisor.which_children() == (child,)


async def test_calls_on_a_child_that_hangs_in_its_first_start() -> None:
    """Terminating it ends `start_child` with ``terminated`` and keeps nothing."""
    puppet = Puppet(starting=1000.0)
    spec = ChildSpec(id="a", start=puppet)
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor, trio.open_nursery() as nursery:

        async def starter() -> None:
            assert await reason_of(lambda: supervisor.start_child(spec)) == "terminated"

        nursery.start_soon(starter)
        await settle()
        (child,) = supervisor.which_children()
        assert (child.status, child.restarts) == (ChildStatus.STARTING, 0)
        await check_restarting(supervisor, spec)
        await supervisor.terminate_child("a")
        assert supervisor.which_children() == ()
        assert puppet.running == 0
    assert [event.error for event in recorder.of(ChildStopped)] == [None]


async def test_calls_on_a_child_that_hangs_in_a_restart_asked_for() -> None:
    """Terminating it ends `restart_child` with ``terminated``, whatever it had started before; its spec is kept."""
    puppet = Puppet()
    spec = ChildSpec(id="a", start=puppet)
    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        child = await supervisor.start_child(spec)
        await supervisor.terminate_child("a")
        puppet.starting = 1000.0

        async def restarter() -> None:
            assert await reason_of(lambda: supervisor.restart_child("a")) == "terminated"

        nursery.start_soon(restarter)
        await settle()
        await check_restarting(supervisor, spec)
        await supervisor.terminate_child("a")
        assert supervisor.which_children() == (child,)
        assert (child.status, puppet.running) == (ChildStatus.STOPPED, 0)


async def test_calls_on_a_child_that_is_stopping(autojump_clock: MockClock) -> None:
    """It counts as running until it has ended; a second `terminate_child` waits along."""
    puppet = Puppet(stopping=3.0)
    spec = ChildSpec(id="a", start=puppet)
    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        child = await supervisor.start_child(spec)
        nursery.start_soon(supervisor.terminate_child, "a")
        await settle()
        assert child.status is ChildStatus.STOPPING
        assert await reason_of(lambda: supervisor.start_child(spec)) == "already_started"
        assert await reason_of(lambda: supervisor.restart_child("a")) == "running"
        assert await reason_of(lambda: supervisor.delete_child("a")) == "running"
        await supervisor.terminate_child("a")
        assert trio.current_time() == 3.0
        assert (child.id, child.status) == ("a", ChildStatus.STOPPED)


async def test_terminating_a_temporary_child_forgets_it() -> None:
    """Its specification goes with it, as when it ends by itself."""
    async with open_supervisor() as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet(), restart=Restart.TEMPORARY))
        await supervisor.terminate_child("a")
        assert supervisor.which_children() == ()


async def test_a_failed_restart_child_keeps_the_specification() -> None:
    """It raises the child's own exception, is neither charged nor retried, and can be tried again."""
    error = Crash()
    puppet = Puppet(start_errors=[None, error])
    async with open_supervisor(max_restarts=0) as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=puppet))
        await supervisor.terminate_child("a")
        with pytest.raises(Crash) as caught:
            await supervisor.restart_child("a")
        assert caught.value is error
        await settle()
        assert (len(puppet.attempts), child.status) == (2, ChildStatus.STOPPED)
        await supervisor.restart_child("a")
        assert child.status is ChildStatus.RUNNING


async def test_a_manual_restart_after_a_transient_end() -> None:
    """The specification of a transient child that ended cleanly is there to be started again."""
    puppet = Puppet([None])
    async with open_supervisor(max_restarts=0) as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=puppet, restart="transient"))
        await settle()
        assert child.status is ChildStatus.STOPPED
        await supervisor.restart_child("a")
        assert (child.id, child.status) == ("a", ChildStatus.RUNNING)


async def test_a_child_that_crashed_before_its_starter_looked_was_started() -> None:
    """`start_child` succeeds if the child started, however soon it ended."""
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=Puppet([None]), restart="temporary"))
        assert (child.value, child.status) == (1, ChildStatus.STOPPED)


async def test_a_child_that_is_restarting_before_its_starter_looked_was_started(autojump_clock: MockClock) -> None:
    """The start that succeeded counts, not the one that is under way when the starter is woken."""
    for _ in range(20):  # Trio wakes the two tasks in random order
        async with open_supervisor() as supervisor:
            child = await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash()], starting=1.0)))
            assert child.value == 1


async def test_children_are_listed_newest_first_and_counted() -> None:
    """Specifications without a running child are listed too."""
    async with open_supervisor(name="tree") as supervisor:
        children = [await supervisor.start_child(ChildSpec(id=n, start=Puppet())) for n in "abc"]
        await supervisor.terminate_child("b")
        assert supervisor.which_children() == tuple(reversed(children))
        assert supervisor.count_children() == ChildCounts(specs=3, active=2)
        assert repr(supervisor) == "<Supervisor 'tree' with 3 children>"


async def test_a_child_may_manage_its_siblings_and_itself() -> None:
    """Calls come from any task; a child that terminates itself is cancelled in that call."""
    left: list[str] = []

    async def manager(supervisor: Supervisor) -> None:
        await supervisor.start_child(ChildSpec(id="sibling", start=Puppet()))
        try:
            await supervisor.terminate_child("manager")
        finally:
            left.append("manager")

    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="manager", start=manager, args=(supervisor,)))
        await settle()
        assert left == ["manager"]
        assert child.status is ChildStatus.STOPPED
        assert supervisor.count_children() == ChildCounts(specs=2, active=1)


# ---------------------------------------------------------------------------------------------------- cancelled callers


async def test_a_cancelled_start_leaves_nothing(autojump_clock: MockClock) -> None:
    """The start is cancelled too and its end awaited; the id is free again."""
    puppet = Puppet(starting=10.0, stopping=2.0)
    async with open_supervisor() as supervisor:
        with trio.move_on_after(1) as scope:
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
        assert scope.cancelled_caught
        assert (trio.current_time(), puppet.running) == (3.0, 0)
        assert supervisor.which_children() == ()


async def test_a_start_cancelled_as_it_succeeds_leaves_nothing() -> None:
    """Even a child that starts in the very step in which its starter is cancelled is stopped and forgotten."""
    scope = trio.CancelScope()
    ended = trio.Event()

    async def start(*, task_status: trio.TaskStatus[None]) -> None:
        scope.cancel()
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with open_supervisor() as supervisor:
        with scope:
            await supervisor.start_child(ChildSpec(id="a", start=start))
        assert scope.cancelled_caught
        assert ended.is_set()
        assert supervisor.which_children() == ()


async def test_a_start_cancelled_as_the_child_starts_and_ends_leaves_nothing() -> None:
    """Its specification would be kept, were there a handle to it."""
    scope = trio.CancelScope()

    async def brief(*, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC124  # startables are async
        scope.cancel()
        task_status.started()

    async with open_supervisor() as supervisor:
        with scope:
            await supervisor.start_child(ChildSpec(id="a", start=brief, restart="transient"))
        assert scope.cancelled_caught
        assert supervisor.which_children() == ()


async def test_a_cancelled_restart_child_keeps_the_specification(autojump_clock: MockClock) -> None:
    """Only the start is undone."""
    puppet = Puppet()
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=puppet))
        await supervisor.terminate_child("a")
        puppet.starting = 10.0
        with trio.move_on_after(1) as scope:
            await supervisor.restart_child("a")
        assert scope.cancelled_caught
        assert (child.status, puppet.running) == (ChildStatus.STOPPED, 0)
        assert supervisor.which_children() == (child,)


async def test_a_restart_cancelled_as_it_fails_leaves_no_error_behind() -> None:
    """The failure belongs to the call that was cancelled, not to the next."""
    scope = trio.CancelScope()
    starts: list[int] = []

    async def start(*, task_status: trio.TaskStatus[None]) -> None:
        starts.append(len(starts))
        if len(starts) == 2:
            scope.cancel()
            raise Crash
        task_status.started()
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=start))
        await supervisor.terminate_child("a")
        with scope:
            await supervisor.restart_child("a")
        assert scope.cancelled_caught
        await supervisor.restart_child("a")
        assert child.status is ChildStatus.RUNNING


async def test_terminate_is_not_deceived_by_a_restart_at_once(autojump_clock: MockClock) -> None:
    """It returns when the run it stopped has ended, though another task may start the next before it looks."""
    recorder = Recorder()

    async def eager(supervisor: Supervisor) -> None:
        for _ in range(100):
            with contextlib.suppress(ChildError):
                await supervisor.restart_child("a")

    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet()))
        for _ in range(30):  # Trio wakes tasks in random order, so that each order comes up
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(eager, supervisor)
                with trio.fail_after(60):
                    await supervisor.terminate_child("a")
                nursery.cancel_scope.cancel()
            with contextlib.suppress(ChildError):
                await supervisor.restart_child("a")
    assert not recorder.of(ChildOverdue)


class Watch(trio.abc.Instrument):
    """Checks after every step of every task that no child is listed that nothing can start again."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.listed: set[ChildStatus] = set()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note the states of all children."""
        self.listed |= {child.status for child in self.supervisor.which_children()}


@pytest.mark.parametrize("how", ["fails", "cancelled", "cancelled as it succeeds", "terminated"])
async def test_a_child_that_never_came_up_is_never_listed_as_stopped(how: str) -> None:
    """Else another task could restart it before its starter hears of the failure."""
    scope = trio.CancelScope()

    async def start(*, task_status: trio.TaskStatus[None]) -> None:
        if how == "fails":
            raise Crash
        if how == "cancelled as it succeeds":
            scope.cancel()
            task_status.started()
        await trio.sleep_forever()

    async def disturb(supervisor: Supervisor) -> None:
        await settle()
        if how == "cancelled":
            scope.cancel()
        elif how == "terminated":
            await supervisor.terminate_child("a")

    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        nursery.start_soon(disturb, supervisor)
        watch = Watch(supervisor)
        trio.lowlevel.add_instrument(watch)
        with scope, contextlib.suppress(Crash, ChildError):
            await supervisor.start_child(ChildSpec(id="a", start=start))
            pytest.fail("the start succeeded")
        await settle()
        trio.lowlevel.remove_instrument(watch)
    assert ChildStatus.STARTING in watch.listed
    assert ChildStatus.STOPPED not in watch.listed


async def test_a_terminate_that_was_cancelled_before_it_began_does_nothing() -> None:
    """Whoever is cancelled has nothing done in its name any more."""
    async with open_supervisor() as supervisor, open_dynamic_supervisor(ChildSpec(id="job", start=Puppet())) as jobs:
        child = await supervisor.start_child(ChildSpec(id="a", start=Puppet()))
        job = await jobs.start_child()
        for call in (lambda: supervisor.terminate_child("a"), lambda: jobs.terminate_child(job)):
            with trio.CancelScope() as scope:
                scope.cancel()
                await call()
            assert scope.cancelled_caught
        await settle()
        assert (child.status, job.status) == (ChildStatus.RUNNING, ChildStatus.RUNNING)


async def test_a_cancelled_terminate_goes_on(autojump_clock: MockClock) -> None:
    """The caller stops waiting, the child does not stop stopping."""
    puppet = Puppet(stopping=4.0)
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=puppet))
        with trio.move_on_after(1):
            await supervisor.terminate_child("a")
        assert (trio.current_time(), child.status) == (1.0, ChildStatus.STOPPING)
        await trio.sleep(5)
        assert (child.status, puppet.running) == (ChildStatus.STOPPED, 0)


# -------------------------------------------------------------------------------------------------- a closed supervisor


async def test_nothing_starts_under_a_closed_supervisor() -> None:
    """Starts are refused as ``closed``; the past is still there to be read."""
    spec = ChildSpec(id="a", start=Puppet())
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(spec)
    assert await reason_of(lambda: supervisor.start_child(ChildSpec(id="a", start=Puppet()))) == "closed"
    assert await reason_of(lambda: supervisor.restart_child("a")) == "closed"
    assert supervisor.which_children() == (child,)
    with trio.testing.assert_checkpoints():
        await supervisor.wait()


async def test_a_start_under_way_when_the_supervisor_gives_up_ends_as_closed(autojump_clock: MockClock) -> None:
    """Its starter, if out of the body's reach, gets a ChildError caused by the give-up; the start is undone."""
    puppet = Puppet(starting=100.0, stopping=1.0)
    causes: list[BaseException | None] = []
    waited: list[float] = []
    async with trio.open_nursery() as nursery:
        with leaving(RestartIntensityExceeded) as caught:
            async with open_supervisor(max_restarts=0) as supervisor:

                async def starter() -> None:
                    with pytest.raises(ChildError) as refused:
                        await supervisor.start_child(ChildSpec(id="b", start=puppet, shutdown=0.25))
                    assert refused.value.reason == "closed"
                    causes.append(refused.value.__cause__)

                async def waiter() -> None:
                    await supervisor.wait()
                    waited.append(trio.current_time())

                nursery.start_soon(starter)
                nursery.start_soon(waiter)
                await supervisor.start_child(ChildSpec(id="a", start=Puppet([5.0])))
                await supervisor.wait()
    assert causes == [caught.value]
    assert waited == [6.0]
    assert (trio.current_time(), puppet.running) == (6.0, 0)
