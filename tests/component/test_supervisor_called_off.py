"""Starts and restarts called off half-way: by `terminate_child`, by a cancelled caller, or by siblings that restart."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from _children import Puppet, Recorder, settle

from trio_pool import (
    Backoff,
    ChildError,
    ChildSpec,
    ChildStatus,
    ChildStopped,
    Supervisor,
    open_supervisor,
    supervisor_spec,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

BACKOFF = Backoff(initial=50.0, maximum=50.0, jitter="none")


async def test_a_delay_that_was_called_off_holds_up_no_later_start(autojump_clock: MockClock) -> None:
    """`restart_child` starts at once a child that was terminated while it waited for its backoff."""
    puppet = Puppet([0.0, 0.0])
    async with open_supervisor(backoff=BACKOFF) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=puppet))
        await trio.sleep(1)
        await supervisor.terminate_child("a")
        await supervisor.restart_child("a")
        assert puppet.started == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("how", ["terminated", "cancelled"])
async def test_a_first_start_called_off_is_not_begun_again_with_its_siblings(
    autojump_clock: MockClock, how: str
) -> None:
    """Nobody has a handle to it, so a restart of all that comes while it stops leaves it ended."""
    slow = Puppet(starting=1000.0, stopping=5.0)
    reasons: list[str] = []

    async def starter(supervisor: Supervisor) -> None:
        try:
            with trio.move_on_after(1 if how == "cancelled" else math.inf):
                await supervisor.start_child(ChildSpec(id="b", start=slow))
        except ChildError as exc:
            reasons.append(exc.reason)

    async with open_supervisor("one_for_all") as supervisor, trio.open_nursery() as nursery:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([2.0])))
        nursery.start_soon(starter, supervisor)
        await trio.sleep(1)
        if how == "terminated":
            await supervisor.terminate_child("b")
        await trio.sleep(10)
        assert [child.id for child in supervisor.which_children()] == ["a"]
        assert (len(slow.attempts), slow.running) == (1, 0)
    assert reasons == (["terminated"] if how == "terminated" else [])


async def test_a_start_called_off_ends_so_though_its_siblings_start_the_child_again(autojump_clock: MockClock) -> None:
    """The child is back with them, as every child in the list is; the call that was called off says so."""
    slow = Puppet(stopping=5.0)
    async with open_supervisor("one_for_all") as supervisor, trio.open_nursery() as nursery:
        first = Puppet([2.0])
        await supervisor.start_child(ChildSpec(id="a", start=slow))
        await supervisor.terminate_child("a")
        await supervisor.start_child(ChildSpec(id="b", start=first))
        slow.starting = 1000.0

        async def restarter() -> None:
            with pytest.raises(ChildError) as caught:
                await supervisor.restart_child("a")
            assert caught.value.reason == "terminated"

        nursery.start_soon(restarter)
        await trio.sleep(1)
        slow.starting = 0.0
        await supervisor.terminate_child("a")
        await trio.sleep(10)
        assert [child.status for child in supervisor.which_children()] == [ChildStatus.RUNNING] * 2
        assert slow.attempts == [0.0, 5.0, 11.0]


async def test_a_temporary_child_that_comes_up_while_it_is_in_the_way_is_not_started_again(
    autojump_clock: MockClock,
) -> None:
    """Its starter has got it; as of any temporary sibling, nothing of it is kept after the restart of all."""
    temporary = Puppet(starting=3.0)
    async with open_supervisor("one_for_all") as supervisor, trio.open_nursery() as nursery:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([2.0])))
        nursery.start_soon(supervisor.start_child, ChildSpec(id="b", start=temporary, restart="temporary"))
        await settle()
        await supervisor.start_child(ChildSpec(id="c", start=Puppet(stopping=5.0)))
        await trio.sleep(20)
        assert [child.id for child in supervisor.which_children()] == ["c", "a"]
        assert temporary.started == [3.0]


async def test_terminating_a_sibling_in_the_way_does_not_hurry_the_restart(autojump_clock: MockClock) -> None:
    """Nobody else stops before it has ended, whatever other call comes meanwhile: newest first, one at a time."""
    recorder = Recorder()
    async with open_supervisor("one_for_all", on_event=recorder) as supervisor, trio.open_nursery() as nursery:
        await supervisor.start_child(ChildSpec(id="a", start=Puppet([2.0])))
        await supervisor.start_child(ChildSpec(id="b", start=Puppet()))
        await supervisor.start_child(ChildSpec(id="c", start=Puppet(stopping=5.0)))
        await trio.sleep(3)
        nursery.start_soon(supervisor.terminate_child, "c")
        await trio.sleep(1)
        await supervisor.start_child(ChildSpec(id="d", start=Puppet()))
        stopped = [(event.child_id, event.at) for event in recorder.of(ChildStopped)]
        assert stopped == [("c", 7.0), ("b", 7.0)]
        assert trio.current_time() == 7.0


@pytest.mark.parametrize(
    "lives", [pytest.param([2.0], id="fails meanwhile"), pytest.param([0.0, 0.0], id="waits for its delay")]
)
@pytest.mark.parametrize("how", ["terminated", "cancelled"])
async def test_a_supervisor_called_off_in_its_start_starts_nothing_more(
    autojump_clock: MockClock, lives: list[float], how: str
) -> None:
    """While its latest child stops no sibling is begun again: it would only be stopped when that has ended."""
    first, latest = Puppet(lives), Puppet(starting=1000.0, stopping=5.0)
    backoff = Backoff(initial=4.0, maximum=4.0, jitter="none")
    below = [ChildSpec(id="x", start=first, backoff=backoff), ChildSpec(id="y", start=latest)]
    recorder = Recorder()
    async with open_supervisor(on_event=recorder) as supervisor, trio.open_nursery() as nursery:

        async def starter() -> None:
            with trio.move_on_after(1 if how == "cancelled" else math.inf), suppress(ChildError):
                await supervisor.start_child(supervisor_spec("s", below, within=60.0))

        nursery.start_soon(starter)
        await trio.sleep(0.75)
        begun = list(first.attempts)
        await trio.sleep(0.25)
        if how == "terminated":
            await supervisor.terminate_child("s")
        await trio.sleep(10)
        assert supervisor.which_children() == ()
        assert (first.attempts, first.running) == (begun, 0)
        assert (latest.attempts, latest.running) == ([0.0], 0)
        assert [event.at for event in recorder.of(ChildStopped) if event.child_id in "ys"] == [6.0, 6.0]
