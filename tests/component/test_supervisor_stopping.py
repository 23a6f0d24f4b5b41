"""How a supervisor stops its children: at once, under one deadline, and without taking their last words for crashes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trio
from _children import Crash, Puppet, Recorder, settle

from trio_pool import ChildError, ChildSpec, PlannedExit, open_dynamic_supervisor, open_supervisor, supervisor_spec
from trio_pool._supervision import ChildOverdue, ChildStopped

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_children_stop_side_by_side(autojump_clock: MockClock) -> None:
    """With ``together``, twenty children that each take two seconds to stop take two seconds, none reported."""
    puppets = [Puppet(stopping=2.0) for _ in range(20)]
    recorder = Recorder()
    async with open_supervisor(stop_order="together", on_event=recorder) as supervisor:
        for n, puppet in enumerate(puppets):
            await supervisor.start_child(ChildSpec(id=str(n), start=puppet))
    assert trio.current_time() == 2.0
    assert not any(puppet.running for puppet in puppets)
    assert len(recorder.of(ChildStopped)) == 20
    assert not recorder.of(ChildOverdue)


async def test_children_that_outlive_the_shared_deadline_are_reported_and_awaited(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The deadline is the longest ``shutdown`` of any child; who is late then is named, once."""
    recorder = Recorder()
    async with open_supervisor(stop_order="together", on_event=recorder) as supervisor:
        for name, shutdown, stopping in (("a", 1.0, 2.0), ("b", 3.0, 10.0), ("c", 2.0, 0.0), ("d", 0.5, 20.0)):
            await supervisor.start_child(ChildSpec(id=name, start=Puppet(stopping=stopping), shutdown=shutdown))
    assert trio.current_time() == 20.0
    overdue = recorder.of(ChildOverdue)
    assert [(event.child_id, event.at, event.shutdown) for event in overdue] == [("d", 3.0, 3.0), ("b", 3.0, 3.0)]
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert "child 'd' of supervisor 'supervisor' ignores its cancellation for 3 s" in errors[0]


async def test_a_child_not_running_does_not_lengthen_the_deadline(autojump_clock: MockClock) -> None:
    """Only children that have to stop share the deadline."""
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet(), shutdown=100.0))
        await supervisor.terminate_child("a")
        await supervisor.start_child(ChildSpec(id="b", start=Puppet(stopping=5.0), shutdown=1.0))
    assert [event.at for event in recorder.of(ChildOverdue)] == [1.0]


async def test_a_stubborn_child_is_reported_by_terminate(autojump_clock: MockClock) -> None:
    """After its own ``shutdown``, and only once, though the supervisor stops while it is still at it."""
    puppet = Puppet(stopping=30.0)
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=puppet, shutdown=2.0))
        with trio.move_on_after(10):
            await supervisor.terminate_child("a")
    assert trio.current_time() == 30.0
    assert [(event.at, event.shutdown) for event in recorder.of(ChildOverdue)] == [(2.0, 2.0)]


async def test_terminate_waits_for_a_stubborn_child(autojump_clock: MockClock) -> None:
    """It returns when the child has ended, and reports each stop that takes too long."""
    puppet = Puppet(stopping=30.0)
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=puppet, shutdown=2.0))
        await supervisor.terminate_child("a")
        assert (trio.current_time(), puppet.running) == (30.0, 0)
        await supervisor.restart_child("a")
        await supervisor.terminate_child("a")
        assert (trio.current_time(), puppet.running) == (60.0, 0)
    assert [event.at for event in recorder.of(ChildOverdue)] == [2.0, 32.0]


async def test_a_stubborn_child_is_reported_when_all_is_cancelled_from_outside(autojump_clock: MockClock) -> None:
    """The deadline runs whatever the reason for stopping."""
    recorder = Recorder()
    with trio.move_on_after(1):
        async with open_supervisor(on_event=recorder) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet(stopping=30.0), shutdown=2.0))
            await supervisor.wait()
    assert trio.current_time() == 31.0
    assert [event.at for event in recorder.of(ChildOverdue)] == [3.0]


@pytest.mark.parametrize("by_terminate", [True, False])
async def test_no_time_to_stop_is_enough_for_a_child_that_stops_at_once(by_terminate: bool) -> None:
    """``shutdown=0`` reports those who need time, not everybody."""
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet(), shutdown=0))
        if by_terminate:
            await supervisor.terminate_child("a")
    assert recorder.names("a") == ["ChildStarting", "ChildStarted", "ChildStopped"]


@pytest.mark.parametrize("by_terminate", [True, False])
async def test_what_a_child_raises_while_it_stops_is_no_crash(
    by_terminate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and told to the observer, but not charged, not raised and not a reason to restart."""
    recorder = Recorder()

    async def sore() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Crash("while stopping")

    async with open_supervisor(max_restarts=0, on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=sore))
        await settle()
        if by_terminate:
            await supervisor.terminate_child("a")
    assert [type(event.error) for event in recorder.of(ChildStopped)] == [Crash]
    assert "raised while it was stopped: Crash('while stopping')" in caplog.text


async def test_a_supervisor_without_children_has_a_second_to_stop(autojump_clock: MockClock) -> None:
    """What bounds a supervisor's infinity is the time of its children; what it does long beyond that is late."""
    template = ChildSpec(id="job", start=Puppet())

    async def own(*, task_status: trio.TaskStatus[None]) -> None:
        async with open_dynamic_supervisor(template):
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(1.5)

    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="own", start=own, type="supervisor"))
    assert [(event.shutdown, event.at) for event in recorder.of(ChildOverdue)] == [(1.0, 1.0)]


async def test_only_seconds_lengthen_the_time_to_stop(autojump_clock: MockClock) -> None:
    """A ``kill_grace`` of something that is no process may be anything."""
    puppet = Puppet(stopping=5.0)
    puppet.kill_grace = "no number"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # its own
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=puppet, shutdown=1.0))
    assert [event.at for event in recorder.of(ChildOverdue)] == [1.0]


async def test_what_a_child_raises_when_its_start_is_called_off_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else would hear of it: whoever waited for the start is told that it was called off."""

    async def sore(*, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128  # that is the point
        try:
            await trio.sleep_forever()
        finally:
            raise Crash

    async def refused() -> None:
        with pytest.raises(ChildError, match="terminated"):
            await supervisor.start_child(ChildSpec(id="a", start=sore))

    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        nursery.start_soon(refused)
        await settle()
        await supervisor.terminate_child("a")
    assert [record.message for record in caplog.records] == [
        "child 'a' of supervisor 'supervisor' raised while it was stopped: Crash()"
    ]


async def test_a_planned_exit_while_stopping_is_nothing_to_warn_of(caplog: pytest.LogCaptureFixture) -> None:
    """A child may announce its end in the very moment it is stopped."""

    async def retires() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise PlannedExit

    async with open_supervisor() as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=retires))
        await settle()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_group_of_its_cancellation_and_an_error_leaves_the_error() -> None:
    """A child with a nursery of its own may answer its cancellation with both; the Cancelled is the supervisor's."""
    recorder = Recorder()

    async def sore() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Crash

    async def family() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sore)
            nursery.start_soon(trio.sleep_forever)

    async with open_supervisor(max_restarts=0, on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=family))
        await settle()
    (stopped,) = recorder.of(ChildStopped)
    assert isinstance(stopped.error, ExceptionGroup)
    assert [type(error) for error in stopped.error.exceptions] == [Crash]


# -------------------------------------------------------------------------------------- when the seconds begin to count


async def test_a_stubborn_child_is_reported_though_the_caller_of_terminate_has_left(autojump_clock: MockClock) -> None:
    """The child goes on stopping when the call is cancelled, and its seconds go on counting from that call."""
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet(stopping=30.0), shutdown=2.0))
        with trio.move_on_after(1):
            await supervisor.terminate_child("a")
        await trio.sleep(100)
    assert [(event.at, event.shutdown) for event in recorder.of(ChildOverdue)] == [(2.0, 2.0)]


async def test_a_child_called_off_before_its_turn_is_reported_in_time(autojump_clock: MockClock) -> None:
    """What is starting is cancelled before newer children stop; its seconds count from then, not from its turn."""
    recorder = Recorder()
    hangs = Puppet([0.0])
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=hangs, shutdown=2.0))
        hangs.starting = 1000.0
        await trio.sleep(1)
        hangs.stopping = 30.0
        await supervisor.start_child(ChildSpec(id="b", start=Puppet(stopping=10.0), shutdown=20.0))
    assert [(event.child_id, event.at, event.shutdown) for event in recorder.of(ChildOverdue)] == [("a", 3.0, 2.0)]


@pytest.mark.parametrize("leaves", [[], [ChildSpec(id="x", start=trio.sleep_forever, shutdown=0)]], ids=len)
async def test_a_supervisor_whose_children_may_take_no_time_is_not_late_at_once(
    autojump_clock: MockClock, leaves: list[ChildSpec]
) -> None:
    """It needs a few turns of the scheduler to stop, though there is nobody below, or nobody who may take any time."""
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor:
        await supervisor.start_child(supervisor_spec("s", leaves))
    assert trio.current_time() == 0.0
    assert recorder.of(ChildOverdue) == []
