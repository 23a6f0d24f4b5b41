"""KeyboardInterrupt, SystemExit and other things that are no crashes: they stop the tree and leave it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import ChildSpec, open_supervisor
from trio_pool._core._restart import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
    assert "RestartScheduled" not in recorder.names()


@pytest.mark.parametrize("interrupt", INTERRUPTS, ids=repr)
async def test_an_interrupt_in_a_first_start_leaves_by_its_starter_and_the_tree(interrupt: BaseException) -> None:
    """A starter that swallows it does not keep the tree alive."""
    other = Puppet()
    with leaving(type(interrupt)) as caught:
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other))
            with pytest.raises(type(interrupt)) as inner:
                await supervisor.start_child(ChildSpec(id="a", start=Puppet(start_errors=[interrupt])))
            assert inner.value is interrupt
            await supervisor.wait()
    assert caught.value is interrupt
    assert other.running == 0


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


@pytest.mark.parametrize("kind", ["ChildStarted", "ChildExited", "RestartScheduled", "GaveUp", "ChildStopped"])
async def test_an_interrupt_in_the_observer_stops_the_tree(kind: str) -> None:
    """Wherever it strikes: the state change it interrupts is completed, and no child survives it."""
    puppet, other = Puppet([Crash(), Crash()]), Puppet()

    def observer(event: SupervisorEvent) -> None:
        if type(event).__name__ == kind:
            raise KeyboardInterrupt

    backoff = Backoff(initial=1e6, maximum=1e6, jitter="none")
    with leaving(KeyboardInterrupt):
        async with open_supervisor(
            max_restarts=int(kind != "GaveUp"), backoff=backoff, on_event=observer
        ) as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other))
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
            await settle()
    assert (puppet.running, other.running) == (0, 0)


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


async def test_a_log_handler_that_raises_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in the middle of a decision ends the tree with its own error, bare; nobody waits for ever."""
    monkeypatch.setattr("trio_pool._supervision._tree.logger.log", lambda *_args, **_kwargs: 1 / 0)
    other = Puppet()
    with leaving(ZeroDivisionError):
        async with open_supervisor() as supervisor:
            await supervisor.start_child(ChildSpec(id="other", start=other))
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([Crash()])))
            await supervisor.wait()
    assert other.running == 0
