"""What leaves the ``async with`` of a supervisor, and that nothing stays behind, whatever happens when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import ChildError, ChildSpec, RestartIntensityExceeded, open_supervisor
from trio_pool._core._restart import Backoff
from trio_pool._supervision import SupervisorEvent, SupervisorGaveUp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock


class BodyError(Exception):
    """What bodies raise."""


# ------------------------------------------------------------------------------------------------------------ giving up


async def test_giving_up_cancels_the_body_and_leaves_bare(autojump_clock: MockClock) -> None:
    """The error is no group, says who and why, carries the last errors, and all children are gone."""
    other = Puppet(stopping=1.0)
    recorder = Recorder()
    reached: list[str] = []
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=9, within=60.0, name="tree", on_event=recorder) as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other))
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([1.0] * 20)))
            await supervisor.wait()
            reached.append("the end of the body")
    error = caught.value
    assert not reached
    assert (trio.current_time(), other.running) == (11.0, 0)
    assert (error.child_id, error.restarts, error.max_restarts, error.within) == ("a", 10, 9, 60.0)
    assert [child_error.args for child_error in error.errors] == [(n,) for n in range(3, 11)]
    assert error.__cause__ is error.errors[-1]
    message = "supervisor 'tree' gave up: child 'a' needed restart 10 within 60 s, 9 allowed; last error: Crash(10)"
    assert str(error) == message
    assert [(event.child_id, event.error, event.at) for event in recorder.of(SupervisorGaveUp)] == [("a", error, 10.0)]


async def test_the_bodys_own_error_is_the_cause_of_the_give_up() -> None:
    """A body that answers its cancellation with an error hides neither."""
    mine = BodyError()
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=0) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash()])))
            try:
                await supervisor.wait()
            finally:
                raise mine
    assert caught.value.__cause__ is mine


async def test_a_group_of_cancellation_and_error_is_a_cause_without_the_cancellation() -> None:
    """The Cancelled in what the body raises is the supervisor's own and is taken out."""

    async def sore() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise BodyError

    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=0) as supervisor, trio.open_nursery() as nursery:
            nursery.start_soon(sore)
            nursery.start_soon(trio.sleep_forever)
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash()])))
    cause = caught.value.__cause__
    assert isinstance(cause, ExceptionGroup)
    assert [type(error) for error in cause.exceptions] == [BodyError]


async def test_giving_up_while_the_body_starts_a_child(autojump_clock: MockClock) -> None:
    """The start is cancelled and undone, and the give-up leaves as ever."""
    slow = Puppet(starting=100.0, stopping=2.0)
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=0) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([1.0])))
            await supervisor.start_child(ChildSpec(id="b", start=slow))
    assert isinstance(caught.value.__cause__, Crash)
    assert (trio.current_time(), slow.running) == (3.0, 0)


async def test_giving_up_while_the_list_starts_is_caused_by_the_crash() -> None:
    """Not by the start that was called off for it."""
    error = Crash()
    children = [ChildSpec(id="a", start=Puppet([error])), ChildSpec(id="b", start=Puppet(starting=100.0))]
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(children=children, max_restarts=0):
            pytest.fail("entered")
    assert caught.value.__cause__ is error


async def test_an_automatic_shutdown_while_the_list_starts_leaves_silently(autojump_clock: MockClock) -> None:
    """The start under way is called off, which is nobody's error."""
    ending = Puppet(starting=0.0)
    over = trio.Event()

    async def brief() -> None:
        await over.wait()

    async def slow(*, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128  # that is the point
        over.set()
        await trio.sleep_forever()

    children = [
        ChildSpec(id="a", start=brief, restart="transient", significant=True),
        ChildSpec(id="b", start=slow),
        ChildSpec(id="c", start=ending),
    ]
    async with open_supervisor(children=children, auto_shutdown="any_significant"):
        await trio.sleep(1)
    assert (ending.attempts, trio.current_time()) == ([], 0.0)


async def test_nothing_is_heard_of_children_whose_turn_did_not_come() -> None:
    """The one before them had the supervisor stop, so they were never begun."""
    recorder = Recorder()
    children = [
        ChildSpec(id="a", start=Puppet([None]), restart="transient", significant=True),
        ChildSpec(id="b", start=Puppet()),
    ]
    async with open_supervisor(children=children, auto_shutdown="any_significant", on_event=recorder):
        pass
    assert "ChildStarted" in recorder.names("a")
    assert recorder.names("b") == []


async def test_a_start_that_waits_behind_a_restart_when_the_supervisor_stops_ends_as_closed(
    autojump_clock: MockClock,
) -> None:
    """At once, though nothing of it had begun."""
    first, late = Puppet([1.0]), Puppet()
    recorder = Recorder()

    async def refused() -> None:
        with pytest.raises(ChildError, match="closed"), trio.fail_after(5):
            await supervisor.start_child(ChildSpec(id="late", start=late))

    async with trio.open_nursery() as nursery:  # noqa: SIM117  # the nursery waits for the starter, after the supervisor
        async with open_supervisor(
            "rest_for_one", children=[ChildSpec(id="a", start=first)], on_event=recorder
        ) as supervisor:
            first.starting = 100.0
            await trio.sleep(2)
            nursery.start_soon(refused)
            await settle()
    assert (trio.current_time(), late.attempts, recorder.names("late")) == (2.0, [], ["ChildStopped"])


async def test_giving_up_while_other_children_restart(autojump_clock: MockClock) -> None:
    """Children waiting for their restart, or in the middle of it, are stopped like the others."""
    waiting, starting = Puppet([0.0, 0.0]), Puppet([0.0])
    backoff = Backoff(initial=1000.0, maximum=1000.0, jitter="none")
    with leaving(RestartIntensityExceeded):
        async with open_supervisor(max_restarts=3, within=60.0, backoff=backoff) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=waiting))
            await supervisor.start_child(ChildSpec(id="b", start=starting))
            starting.starting = 1000.0
            await supervisor.start_child(ChildSpec(id="c", start=Puppet([5.0])))
            await supervisor.wait()
    assert trio.current_time() == 5.0
    assert (len(waiting.attempts), len(starting.attempts), starting.running) == (2, 2, 0)


async def test_a_give_up_beats_a_cancellation_from_outside_at_the_same_time() -> None:
    """As an error beside a Cancelled in a group would."""
    with trio.CancelScope() as scope, leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=0, on_event=lambda event: note(event)) as supervisor:

            def note(event: SupervisorEvent) -> None:
                if isinstance(event, SupervisorGaveUp):
                    scope.cancel()

            await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash()])))
            await supervisor.wait()
    assert isinstance(caught.value.__cause__, Crash)
    assert not scope.cancelled_caught


# ----------------------------------------------------------------------------------------------------- the body's error


@pytest.mark.parametrize(
    "error",
    [
        BodyError(),
        StopIteration(),
        StopAsyncIteration(),
        RuntimeError(),
        ExceptionGroup("", [BodyError()]),
        BaseExceptionGroup("", [KeyboardInterrupt()]),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_bodys_error_leaves_unchanged(error: BaseException) -> None:
    """It is the same object, in no group, without cause or context, whatever it is."""
    puppet = Puppet()
    caught: list[BaseException] = []

    async def main() -> None:
        try:
            async with open_supervisor() as supervisor:
                await supervisor.start_child(ChildSpec(id="a", start=puppet))
                raise error
        except BaseException as exc:  # noqa: ASYNC103  # kept, to be compared outside of Trio
            caught.append(exc)

    trio.run(main)
    assert caught == [error]
    assert caught[0] is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert puppet.running == 0


async def test_an_interrupt_of_the_body_is_not_replaced_by_a_give_up() -> None:
    """KeyboardInterrupt is not an error, so it is nobody's cause; the log has the give-up."""
    interrupt = KeyboardInterrupt()
    with leaving(KeyboardInterrupt) as caught:
        async with open_supervisor(max_restarts=0) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash()])))
            try:
                await supervisor.wait()
            finally:
                raise interrupt
    assert caught.value is interrupt


# -------------------------------------------------------------------------------------------- cancellation from outside


async def test_cancellation_from_outside_stays_plain(autojump_clock: MockClock) -> None:
    """The scope that was cancelled absorbs it, and the children are gone."""
    puppet = Puppet(stopping=2.0)
    with trio.move_on_after(5), leaving(trio.Cancelled):
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
            await supervisor.wait()
    assert (trio.current_time(), puppet.running) == (7.0, 0)


async def test_children_live_until_a_cancelled_body_has_left(autojump_clock: MockClock) -> None:
    """A body may use them in its cleanup: cancellation from outside does not reach past the supervisor."""
    puppet = Puppet()
    with trio.move_on_after(1):
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
            try:
                await supervisor.wait()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(3)
                assert puppet.running == 1
    assert (trio.current_time(), puppet.running) == (4.0, 0)


async def test_children_are_restarted_until_a_cancelled_body_has_left(autojump_clock: MockClock) -> None:
    """That includes one that waits for its restart when the cancellation comes."""
    puppet = Puppet([0.0, 0.5])
    backoff = Backoff(initial=1.0, jitter="none")
    with trio.move_on_after(1) as scope:
        async with open_supervisor(backoff=backoff) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
            try:
                await supervisor.wait()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(3)
    assert scope.cancelled_caught
    assert puppet.started == [0.0, 0.0, 1.5]


async def test_errors_in_answer_to_a_cancellation_from_outside_are_no_crashes() -> None:
    """Nothing gives up because of them, and the Cancelled is not lost."""

    async def sore() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Crash

    with trio.CancelScope() as scope:
        async with open_supervisor(max_restarts=0) as supervisor:
            for n in range(3):
                await supervisor.start_child(ChildSpec(id=str(n), start=sore))
            await settle()
            scope.cancel()
            await supervisor.wait()
    assert scope.cancelled_caught


async def test_cancellation_while_the_supervisor_stops_waits_for_the_children(autojump_clock: MockClock) -> None:
    """Leaving is not abandoned half-way; the next checkpoint after it is cancelled."""
    puppet = Puppet(stopping=5.0)
    with trio.move_on_after(1) as scope:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
        assert (trio.current_time(), puppet.running) == (5.0, 0)
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


class CancelAt(trio.abc.Instrument):
    """Cancels a scope when a task has arrived at its n-th checkpoint."""

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, checkpoint: int) -> None:
        self.task = task
        self.scope = scope
        self.left = checkpoint

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count the steps of the task; each ends at a checkpoint."""
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


async def at_every_checkpoint(scenario: Callable[[], Awaitable[None]]) -> int:
    """Run a scenario, cancelled at its first checkpoint, then at its second and so on until it completes."""
    number = 0
    while True:
        number += 1
        living = trio.lowlevel.current_statistics().tasks_living
        with trio.CancelScope() as scope:
            instrument = CancelAt(trio.lowlevel.current_task(), scope, number)
            trio.lowlevel.add_instrument(instrument)
            try:
                await scenario()
            finally:
                trio.lowlevel.remove_instrument(instrument)
        assert trio.lowlevel.current_statistics().tasks_living == living
        if instrument.left > 0:
            return number


async def test_cancelled_at_any_checkpoint_a_supervisor_leaves_no_task(autojump_clock: MockClock) -> None:
    """Whatever the body is doing: starting, waiting, terminating, restarting, deleting, leaving."""
    puppets: list[Puppet] = []

    def child(name: str, puppet: Puppet, restart: str = "permanent") -> ChildSpec:
        puppets.append(puppet)
        return ChildSpec(id=name, start=puppet, restart=restart)

    async def scenario() -> None:
        puppets.clear()
        backoff = Backoff(initial=1.0, jitter="none")
        try:
            async with open_supervisor(max_restarts=20, within=60.0, backoff=backoff) as supervisor:
                await supervisor.start_child(child("a", Puppet(starting=1.0, stopping=1.0)))
                await supervisor.start_child(child("b", Puppet([0.0, 1.0, 0.0], starting=0.5)))
                with pytest.raises(Crash):
                    await supervisor.start_child(child("c", Puppet(start_errors=[Crash()])))
                await trio.sleep(2)
                await supervisor.terminate_child("a")
                await supervisor.restart_child("a")
                await supervisor.start_child(child("d", Puppet([0.5]), "temporary"))
                await supervisor.terminate_child("b")
                await supervisor.delete_child("b")
                with pytest.raises(ChildError):
                    await supervisor.restart_child("b")
                await trio.sleep(1)
        finally:
            assert [puppet.running for puppet in puppets] == [0] * len(puppets)

    assert await at_every_checkpoint(scenario) > 20


async def test_a_start_cancelled_at_any_checkpoint_is_whole_or_nothing(autojump_clock: MockClock) -> None:
    """Either `start_child` returns and the child runs, or nothing of it is kept; the supervisor goes on."""
    async with open_supervisor() as supervisor:

        async def scenario() -> None:
            puppet = Puppet(starting=1.0, stopping=1.0)
            try:
                await supervisor.start_child(ChildSpec(id="a", start=puppet))
            except trio.Cancelled:
                assert puppet.running == 0
                assert supervisor.which_children() == ()
                raise
            assert puppet.running == 1
            with trio.CancelScope(shield=True):
                await supervisor.terminate_child("a")
                await supervisor.delete_child("a")

        assert await at_every_checkpoint(scenario) > 2
