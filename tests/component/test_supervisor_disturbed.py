"""Whole trees, cancelled at every checkpoint and interrupted at every line: nothing is left running."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

import _leaks
import pytest
import trio
import trio.testing
from _cancelling import cancel_at_each_checkpoint
from _children import Crash, Puppet, leaving

from trio_pool import (
    Backoff,
    ChildError,
    ChildSpec,
    CommandLine,
    DynamicSupervisor,
    HeldOpen,
    RestartIntensityExceeded,
    dynamic_supervisor_spec,
    open_supervisor,
    supervisor_spec,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import FrameType

    from trio.testing import MockClock

    from trio_pool import SupervisorEvent

BACKOFF = Backoff(initial=1.0, jitter="none")


class Family:
    """Makes children and remembers them."""

    def __init__(self) -> None:
        self.puppets: list[Puppet] = []
        self.held = 0

    @asynccontextmanager
    async def hold(self) -> AsyncGenerator[None, None]:
        """Be a context that must be left."""
        async with trio.open_nursery() as nursery:
            self.held += 1
            try:
                yield
            finally:
                self.held -= 1
                nursery.cancel_scope.cancel()

    def spec(self, name: str, puppet: Puppet, restart: str = "permanent") -> ChildSpec:
        """Return the specification of a child."""
        self.puppets.append(puppet)
        return ChildSpec(id=name, start=puppet, restart=restart, backoff=BACKOFF)

    def tree(self) -> list[ChildSpec]:
        """Return a tree of every kind of supervisor, with failures in it."""
        return [
            self.spec("a", Puppet(stopping=0.5)),
            supervisor_spec(
                "sub",
                [
                    self.spec("b", Puppet(starting=0.25, stopping=0.25)),
                    self.spec("c", Puppet([1.0, 0.5], start_errors=[None, Crash()])),
                    self.spec("t", Puppet(), "temporary"),
                ],
                "one_for_all",
                max_restarts=9,
                within=300.0,
            ),
            dynamic_supervisor_spec("jobs", self.spec("job", Puppet([2.0], stopping=0.25))),
            ChildSpec(id="held", start=HeldOpen(self.hold)),
            self.spec("d", Puppet([3.0], starting=0.25)),
        ]

    async def live(self) -> None:
        """Let a tree live, manage it, and leave it."""
        self.puppets.clear()
        try:
            async with open_supervisor(
                "rest_for_one", children=self.tree(), max_restarts=9, within=300.0
            ) as supervisor:
                jobs = supervisor.which_children()[2].value
                assert isinstance(jobs, DynamicSupervisor)
                for _ in range(2):
                    await jobs.start_child()
                await trio.sleep(1.5)
                await supervisor.terminate_child("sub")
                await supervisor.restart_child("sub")
                with contextlib.suppress(ChildError):
                    await supervisor.start_child(self.spec("late", Puppet(starting=3.0)))
                await trio.sleep(1)
        finally:
            assert [puppet.running for puppet in self.puppets] == [0] * len(self.puppets)
            assert self.held == 0


async def test_cancelled_at_any_checkpoint_a_tree_leaves_no_task(autojump_clock: MockClock) -> None:
    """In its start, in a restart of siblings, in a management call, while it stops."""
    family = Family()
    living = trio.lowlevel.current_statistics().tasks_living

    async def after() -> None:
        await trio.lowlevel.checkpoint()
        assert trio.lowlevel.current_statistics().tasks_living == living

    assert await cancel_at_each_checkpoint(family.live, after) > 10


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_observer_that_raises_at_any_event_leaves_no_task(error: type[BaseException]) -> None:
    """An error disables it, an interrupt stops the tree; event by event, until there is none left to raise at."""
    for which in itertools.count():
        seen = itertools.count()
        family = Family()

        def observer(_event: SupervisorEvent, seen: itertools.count[int] = seen, which: int = which) -> None:
            if next(seen) == which:
                raise error

        async def main(family: Family = family, observer: Callable[[SupervisorEvent], None] = observer) -> None:
            async with open_supervisor(
                "one_for_all", children=family.tree(), max_restarts=9, within=300.0, on_event=observer
            ) as supervisor:
                await trio.sleep(4)
                await supervisor.terminate_child("d")

        interrupted = False
        try:
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        except (KeyboardInterrupt, BaseExceptionGroup):  # the latter when it struck inside a child's own nursery
            interrupted = True
        assert [puppet.running for puppet in family.puppets] == [0] * len(family.puppets)
        if next(seen) <= which:  # there was no such event
            assert which > 30
            return
        assert interrupted is (error is KeyboardInterrupt)


async def test_a_subtree_that_fails_in_its_stop_holds_up_nobody(autojump_clock: MockClock) -> None:
    """What a child raises while it is stopped is logged; those before it are stopped all the same."""
    first = Puppet()

    async def sore() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Crash

    leaf = ChildSpec(id="sore", start=sore)
    async with open_supervisor(
        children=[ChildSpec(id="a", start=first), supervisor_spec("sub", [leaf, ChildSpec(id="b", start=sore)])]
    ):
        await trio.sleep(1)
    assert first.running == 0


async def test_a_give_up_in_the_middle_of_a_restart_of_siblings(autojump_clock: MockClock) -> None:
    """Those that make way are waited for, those that were to start do not."""
    slow, other = Puppet(stopping=5.0), Puppet()
    family = [ChildSpec(id="slow", start=slow), ChildSpec(id="other", start=other)]
    failing = [ChildSpec(id="x", start=Puppet([1.0, 100.0])), ChildSpec(id="y", start=Puppet([100.0]))]
    with leaving(RestartIntensityExceeded):
        async with open_supervisor("one_for_all", children=[*family, *failing], max_restarts=0) as supervisor:
            await supervisor.wait()
    assert (trio.current_time(), len(slow.started), len(other.started)) == (6.0, 1, 1)


# ----------------------------------------------------------------------------------------------- interrupts at any line


class InterruptAt:
    """A trace function that sends this process a SIGINT at the n-th line the supervisor's code executes."""

    def __init__(self, line: int, modules: tuple[str, ...]) -> None:
        self.left = line
        self.modules = modules
        self.where = "nowhere"

    def __call__(self, frame: FrameType, event: str, _arg: object) -> Self | None:
        """Count the lines of the supervisor's modules and of nothing else."""
        name = frame.f_code.co_filename
        if not any(module in name for module in self.modules):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.where = f"{name}:{frame.f_lineno}"
                signal.raise_signal(signal.SIGINT)
        return self


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "step", "least"),
    [
        (("/_supervision/", "/_roster.py"), 31, 1000),  # not every line, for they are thousands
        (("/_nested.py", "/_held_open.py"), 1, 10),  # these run in the children's tasks, which are not protected
    ],
)
def test_ctrl_c_at_any_line_of_a_tree(modules: tuple[str, ...], step: int, least: int) -> None:
    """It leaves bare, and no child survives it."""
    family = Family()
    tracing = sys.gettrace()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for line in itertools.count(1, step):
            interrupt = InterruptAt(line, modules)
            sys.settrace(interrupt)
            try:
                trio.run(family.live, clock=trio.testing.MockClock(autojump_threshold=0))
            except KeyboardInterrupt:
                pass
            else:
                assert interrupt.left > 0, f"a Ctrl-C at {interrupt.where} was swallowed"
                assert line > least
                return
            finally:
                sys.settrace(tracing)
            assert [puppet.running for puppet in family.puppets] == [0] * len(family.puppets), interrupt.where
            assert family.held == 0, interrupt.where
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_ctrl_c_at_any_line_of_a_command_leaves_no_process() -> None:
    """Between the process and the care for it there is no line at which it could be forgotten."""

    async def main() -> None:
        async with open_supervisor(children=[ChildSpec(id="a", start=CommandLine(["sleep", "1000"]))]) as supervisor:
            await supervisor.terminate_child("a")
            await supervisor.start_child(ChildSpec(id="b", start=CommandLine(["true"]), restart="temporary"))
            await trio.testing.wait_all_tasks_blocked()

    tracing = sys.gettrace()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for line in itertools.count(1):
            interrupt = InterruptAt(line, ("/_command_line.py",))
            sys.settrace(interrupt)
            try:
                trio.run(main)
            except KeyboardInterrupt:
                pass
            else:
                assert interrupt.left > 0, f"a Ctrl-C at {interrupt.where} was swallowed"
                assert line > 40
                return
            finally:
                sys.settrace(tracing)
            assert not _leaks.children(), interrupt.where
    finally:
        signal.signal(signal.SIGINT, before)
