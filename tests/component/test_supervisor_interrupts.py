"""KeyboardInterrupt, SystemExit and other things that are no crashes: they stop the tree and leave it."""

from __future__ import annotations

import itertools
import logging
import signal
import sys
from typing import TYPE_CHECKING, Self

import pytest
import trio
import trio.testing
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import ChildError, ChildSpec, ChildStarted, Supervisor, open_supervisor
from trio_pool._core._restart import Backoff
from trio_pool._supervision import ChildStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

    from trio.testing import MockClock

    from trio_pool._supervision import SupervisorEvent


class BodyError(Exception):
    """What bodies raise."""


# ------------------------------------------------------------------------------------------------ no error and no crash


INTERRUPTS = [
    KeyboardInterrupt(),
    SystemExit(3),
    BaseExceptionGroup("", [KeyboardInterrupt(), Crash()]),
    BaseExceptionGroup("", [BaseExceptionGroup("", [SystemExit(4)])]),
]


@pytest.mark.parametrize("interrupt", INTERRUPTS, ids=repr)
async def test_an_interrupt_in_a_child_stops_the_tree_and_leaves_it(interrupt: BaseException) -> None:
    """It is no crash: nothing is restarted or charged, everything stops, and the same object leaves."""
    other, hit = Puppet(), Puppet([interrupt])
    recorder = Recorder()
    with leaving(type(interrupt)) as caught:
        async with open_supervisor(on_event=recorder) as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other))
            await supervisor.start_child(ChildSpec(id="a", start=hit))
            await supervisor.wait()
    assert caught.value is interrupt
    assert (other.running, hit.running, len(hit.attempts)) == (0, 0, 1)
    assert "ChildRestartScheduled" not in recorder.names()


@pytest.mark.parametrize("interrupt", INTERRUPTS, ids=repr)
async def test_an_interrupt_in_a_first_start_leaves_by_its_starter_and_the_tree(interrupt: BaseException) -> None:
    """A starter that swallows it does not keep the tree alive."""
    other = Puppet()
    inner: list[BaseException] = []
    with leaving(type(interrupt)) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other))
            with pytest.raises(type(interrupt)) as swallowed:
                await supervisor.start_child(ChildSpec(id="a", start=Puppet(start_errors=[interrupt])))
            inner.append(swallowed.value)
            await supervisor.wait()
    assert caught.value is interrupt
    assert inner == [interrupt]
    assert other.running == 0


async def test_an_interrupt_that_takes_both_ways_is_not_its_own_cause() -> None:
    """It leaves by the starter, which is the body, and by the tree, and stays as it was raised."""
    interrupt = KeyboardInterrupt()
    with leaving(KeyboardInterrupt) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet(start_errors=[interrupt])))
    assert caught.value is interrupt
    assert interrupt.__cause__ is None


async def test_crashes_before_an_interrupt_are_not_its_cause() -> None:
    """Only a give-up is caused by crashes."""
    with leaving(KeyboardInterrupt) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash(), KeyboardInterrupt()])))
            await supervisor.wait()
    assert caught.value.__cause__ is None


async def test_an_interrupt_keeps_the_cause_it_came_with() -> None:
    """It leaves as it was raised."""
    interrupt, cause = KeyboardInterrupt(), ValueError()
    interrupt.__cause__ = cause
    with leaving(KeyboardInterrupt) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([interrupt])))
            await supervisor.wait()
    assert (caught.value, caught.value.__cause__) == (interrupt, cause)


async def test_the_first_of_several_interrupts_leaves() -> None:
    """What others raise while they are stopped because of it does not replace it."""
    first = KeyboardInterrupt()

    async def exits() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise SystemExit(5)

    with leaving(KeyboardInterrupt) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=exits))
            await settle()
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([first])))
            await supervisor.wait()
    assert caught.value is first


async def test_an_interrupt_while_stopping_is_not_lost(autojump_clock: MockClock) -> None:
    """A child that raises SystemExit in its cleanup is heard, the others still get their time to stop."""

    async def exits() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise SystemExit(5)

    other = Puppet(stopping=3.0)
    with leaving(SystemExit) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other))
            await supervisor.start_child(ChildSpec(id="a", start=exits))
            await settle()
    assert caught.value.code == 5
    assert (trio.current_time(), other.running) == (3.0, 0)


async def test_the_bodys_error_is_the_cause_of_an_interrupt() -> None:
    """Neither hides the other."""
    mine = BodyError()
    with leaving(KeyboardInterrupt) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([KeyboardInterrupt()])))
            try:
                await supervisor.wait()
            finally:
                raise mine
    assert caught.value.__cause__ is mine


@pytest.mark.parametrize(
    ("kind", "which", "lives", "max_restarts"),
    [
        ("ChildStarted", 1, [], 9),
        ("ChildStarted", 2, [Crash()], 9),
        ("ChildExited", 1, [Crash()], 9),
        ("ChildExited", 1, [Crash()], 0),
        ("ChildRestartScheduled", 1, [Crash()], 9),
        ("ChildRestartScheduled", 2, [Crash(), Crash()], 9),
        ("SupervisorGaveUp", 1, [Crash()], 0),
        ("ChildStopped", 1, [], 9),
        ("ChildOverdue", 1, [], 9),
    ],
)
async def test_an_interrupt_in_the_observer_stops_the_tree(
    autojump_clock: MockClock, kind: str, which: int, lives: list[BaseException], max_restarts: int
) -> None:
    """Wherever it strikes it leaves bare, no child survives it, and no restart is waited for."""
    puppet, other = Puppet(lives), Puppet(stopping=10.0)
    seen: list[str] = []

    def observer(event: SupervisorEvent) -> None:
        if event.child_id == "a" or kind == "ChildOverdue":
            seen.append(type(event).__name__)
            if seen.count(kind) == which:
                raise KeyboardInterrupt

    backoff = Backoff(initial=1000.0, maximum=1000.0, jitter="none")
    with leaving(KeyboardInterrupt):
        async with open_supervisor(max_restarts=max_restarts, backoff=backoff, on_event=observer) as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other, shutdown=5.0))
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
            await trio.sleep(1)
    assert (puppet.running, other.running) == (0, 0)
    assert trio.current_time() <= 11.0


async def test_a_start_called_off_before_it_began_runs_nothing(autojump_clock: MockClock) -> None:
    """The tree that is to stop was about to start a child: not even the first line of that child runs."""
    restarted, late = Puppet([5.0]), Puppet()
    recorder = Recorder()

    def observer(event: SupervisorEvent) -> None:
        recorder(event)
        if isinstance(event, ChildStarted) and event.restarts == 1:
            raise KeyboardInterrupt  # in the moment in which `late`, who waited for this restart, is launched

    async def refused() -> None:
        with pytest.raises(ChildError, match="closed"):
            await supervisor.start_child(ChildSpec(id="late", start=late))

    async with trio.open_nursery() as nursery:
        with leaving(KeyboardInterrupt):
            specs = [ChildSpec(id="a", start=restarted)]
            async with open_supervisor("rest_for_one", children=specs, on_event=observer) as supervisor:
                restarted.starting = 2.0
                await trio.sleep(6)
                nursery.start_soon(refused)
                await supervisor.wait()
    assert late.attempts == []
    assert recorder.names("late") == ["ChildStopped"]


async def test_a_cancelled_of_elsewhere_is_not_swallowed() -> None:
    """A child that raises a Cancelled caught in another scope breaks Trio's rules; it ends the tree, not silently."""
    strays: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as exc:  # noqa: ASYNC103  # kept, to be raised where it does not belong
            strays.append(exc)
    with leaving(trio.Cancelled) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet(strays)))
            await supervisor.wait()
    assert caught.value is strays[0]


# ---------------------------------------------------------------------------------------------------------- real Ctrl-C


async def interrupt() -> None:
    """Send this process a SIGINT in a second; as a system task, so that it is delivered to the main task."""
    await trio.sleep(1)
    signal.raise_signal(signal.SIGINT)


def run_interrupted(main: Callable[[], Awaitable[None]]) -> None:
    """Run under Trio with Python's own SIGINT handler, and expect a bare KeyboardInterrupt."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_a_child_runs() -> None:
    """The signal is raised in the child's code, not in the supervisor's, and leaves bare."""
    after: list[str] = []

    async def child() -> None:
        await trio.sleep(1)
        signal.raise_signal(signal.SIGINT)
        after.append("the child went on")

    async def main() -> None:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=child))
            await supervisor.wait()

    run_interrupted(main)
    assert not after


def test_ctrl_c_while_the_supervisor_waits_for_its_children() -> None:
    """It leaves bare, after the children have ended."""
    puppet = Puppet(stopping=5.0)

    async def main() -> None:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
            trio.lowlevel.spawn_system_task(interrupt)

    run_interrupted(main)
    assert puppet.running == 0


def test_ctrl_c_while_a_child_starts() -> None:
    """The start is undone even if the body survives the interrupt."""
    puppet = Puppet(starting=10.0, stopping=1.0)
    left: list[tuple[object, int]] = []

    async def main() -> None:
        trio.lowlevel.spawn_system_task(interrupt)
        async with open_supervisor() as supervisor:
            try:
                await supervisor.start_child(ChildSpec(id="a", start=puppet))
            finally:
                left.append((supervisor.which_children(), puppet.running))

    run_interrupted(main)
    assert left == [((), 0)]


async def test_a_log_handler_that_raises_hangs_nobody(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in the middle of a decision ends the tree with its own error, bare; nobody waits for ever."""

    def log(level: int, message: str, *_args: object, **_kwargs: object) -> None:
        if level == logging.WARNING:
            raise ZeroDivisionError(message)

    monkeypatch.setattr("trio_pool._supervision._tree.logger.log", log)
    other = Puppet()
    with leaving(ZeroDivisionError):
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other))
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash()])))
            await supervisor.wait()
    assert (trio.current_time(), other.running) == (0.0, 0)


async def test_a_defect_does_not_hide_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two it is the KeyboardInterrupt that leaves."""

    def log(level: int, message: str, *_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError(message)

    def observer(event: SupervisorEvent) -> None:
        if event.child_id == "other" and type(event).__name__ == "ChildStopped":
            raise KeyboardInterrupt

    monkeypatch.setattr("trio_pool._supervision._tree.logger.log", log)
    with leaving(KeyboardInterrupt):
        async with open_supervisor(on_event=observer) as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=Puppet()))
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash()])))
            await supervisor.wait()


# ----------------------------------------------------------------------------------------------- interrupts at any line


class InterruptAt:
    """A trace function that sends this process a SIGINT at the n-th line the supervisor's code executes."""

    def __init__(self, line: int) -> None:
        self.left = line
        self.where = "nowhere"

    def __call__(self, frame: FrameType, event: str, _arg: object) -> Self | None:
        """Count the lines of the supervisor's modules and of nothing else."""
        if "_supervision" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                signal.raise_signal(signal.SIGINT)
        return self


@pytest.mark.slow
def test_ctrl_c_at_any_line_of_the_supervisor() -> None:
    """Wherever in the library's code a Ctrl-C strikes, it leaves bare, and no child survives it."""
    puppets: list[Puppet] = []
    supervisors: list[Supervisor] = []

    def child(name: str, puppet: Puppet, restart: str = "permanent") -> ChildSpec:
        puppets.append(puppet)
        return ChildSpec(id=name, start=puppet, restart=restart)

    async def main() -> None:
        async with open_supervisor() as supervisor:
            supervisors.append(supervisor)
            await supervisor.start_child(child("a", Puppet([1.0], stopping=1.0)))
            await supervisor.start_child(child("b", Puppet([None], starting=0.5), "temporary"))
            await supervisor.terminate_child("a")
            await supervisor.restart_child("a")
            with pytest.raises(Crash):
                await supervisor.start_child(child("c", Puppet(start_errors=[Crash()])))
            await trio.sleep(2)

    tracing = sys.gettrace()
    for line in itertools.count(1):
        puppets.clear()
        supervisors.clear()
        interrupt = InterruptAt(line)
        sys.settrace(interrupt)
        try:
            run_interrupted(main)
        except pytest.fail.Exception:
            assert interrupt.left > 0, f"a Ctrl-C at {interrupt.where} was swallowed"
            assert line > 300
            return
        finally:
            sys.settrace(tracing)
        assert [puppet.running for puppet in puppets] == [0] * len(puppets), interrupt.where
        states = {child.status for supervisor in supervisors for child in supervisor.which_children()}
        assert states <= {ChildStatus.STOPPED}, interrupt.where
