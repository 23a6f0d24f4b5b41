"""Dynamic supervisors: one template, any number of children, stopped together."""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import (
    Backoff,
    ChildCounts,
    ChildError,
    ChildOverdue,
    ChildSpec,
    ChildStatus,
    ChildStopped,
    IgnoreStart,
    RestartIntensityExceeded,
    open_dynamic_supervisor,
    open_supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock


async def reason_of(call: Callable[[], Awaitable[object]]) -> str:
    """Return the reason a call is refused for."""
    with trio.testing.assert_checkpoints(), pytest.raises(ChildError) as caught:
        await call()
    return caught.value.reason


async def test_children_are_made_from_the_template() -> None:
    """Arguments come after the template's, ids are numbered, and handles tell children apart."""
    got: list[tuple[object, ...]] = []

    async def job(*args: object) -> None:
        got.append(args)
        await trio.sleep_forever()

    template = ChildSpec(id="job", start=job, args=("fixed",))
    async with open_dynamic_supervisor(template, name="jobs") as supervisor:
        first = await supervisor.start_child(1)
        second = await supervisor.start_child(2, 3)
        await settle()
        assert got == [("fixed", 1), ("fixed", 2, 3)]
        assert [child.id for child in supervisor.which_children()] == ["job-2", "job-1"]
        assert supervisor.get_childspec() is template
        assert supervisor.count_children() == ChildCounts(specs=2, active=2)
        assert repr(supervisor) == "<DynamicSupervisor 'jobs' with 2 children>"
        with trio.testing.assert_checkpoints():
            await supervisor.terminate_child(first)
        assert (first.status, second.status) == (ChildStatus.STOPPED, ChildStatus.RUNNING)
        assert supervisor.which_children() == (second,)


async def test_children_that_ended_for_good_are_forgotten() -> None:
    """Whatever their restart type: there is no list to keep a place in."""
    template = ChildSpec(id="job", start=Puppet([None, Crash(), None]), restart="transient")
    async with open_dynamic_supervisor(template) as supervisor:
        await supervisor.start_child()
        child = await supervisor.start_child()
        await settle()
        assert child.restarts == 1
        assert supervisor.which_children() == ()


async def test_a_child_may_be_named() -> None:
    """An id of one's own is refused while it is taken and skipped by the numbers; once the child is gone it is free."""
    async with open_dynamic_supervisor(ChildSpec(id="job", start=trio.sleep_forever)) as supervisor:
        named = await supervisor.start_child(id="job-1")
        other = await supervisor.start_child()
        assert [child.id for child in (named, other)] == ["job-1", "job-2"]
        assert await reason_of(lambda: supervisor.start_child(id="job-1")) == "already_started"
        assert supervisor.count_children().specs == 2
        await supervisor.terminate_child(named)
        assert (await supervisor.start_child(id="job-1")).id == "job-1"
        with pytest.raises(ValueError, match="id must be"):
            await supervisor.start_child(id="")


async def test_a_named_child_that_waits_for_its_restart_is_present() -> None:
    """Its id is taken although it does not run: already_present."""

    async def crash(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.lowlevel.checkpoint()
        raise Crash

    slow = Backoff(initial=100.0, maximum=100.0, jitter="none")
    template = ChildSpec(id="job", start=crash, backoff=slow)
    async with open_dynamic_supervisor(template, max_restarts=10, within=5000.0) as supervisor:
        child = await supervisor.start_child(id="it")
        await settle()
        assert child.status is ChildStatus.RESTARTING
        assert await reason_of(lambda: supervisor.start_child(id="it")) == "already_present"


async def test_the_call_table_of_simple_one_for_one() -> None:
    """No child can be restarted or deleted; one that has ended may be terminated again, another's may not."""
    template = ChildSpec(id="job", start=Puppet())
    async with open_dynamic_supervisor(template) as supervisor, open_dynamic_supervisor(template) as other:
        child = await supervisor.start_child()
        theirs = await other.start_child()
        assert await reason_of(lambda: supervisor.restart_child(child)) == "simple_one_for_one"
        assert await reason_of(lambda: supervisor.delete_child(child)) == "simple_one_for_one"
        assert await reason_of(lambda: supervisor.terminate_child(theirs)) == "not_found"
        await supervisor.terminate_child(child)
        await supervisor.terminate_child(child)
        await other.terminate_child(theirs)
        await supervisor.terminate_child(theirs)
    assert await reason_of(supervisor.start_child) == "closed"


async def test_there_are_never_more_than_max_children(autojump_clock: MockClock) -> None:
    """Children that wait for their restart count; the place of one that ended is free."""
    backoff = Backoff(initial=10.0, maximum=10.0, jitter="none")
    template = ChildSpec(id="job", start=Puppet([1.0, 0.0]))
    async with open_dynamic_supervisor(template, max_children=2, backoff=backoff) as supervisor:
        waiting = await supervisor.start_child()
        await trio.sleep(2)
        assert waiting.status is ChildStatus.RESTARTING
        running = await supervisor.start_child()
        assert await reason_of(supervisor.start_child) == "max_children"
        await supervisor.terminate_child(running)
        await supervisor.start_child()


async def test_they_stop_together_under_one_deadline(autojump_clock: MockClock) -> None:
    """Twenty children that take two seconds each take two seconds."""
    recorder = Recorder()
    template = ChildSpec(id="job", start=Puppet(stopping=2.0), shutdown=1.0)
    async with open_dynamic_supervisor(template, on_event=recorder) as supervisor:
        for _ in range(20):
            await supervisor.start_child()
    assert {event.at for event in recorder.of(ChildStopped)} == {2.0}
    assert {event.at for event in recorder.of(ChildOverdue)} == {1.0}


async def test_ignored_starts_are_not_kept() -> None:
    """Neither a first one nor a restart that is ignored."""
    template = ChildSpec(id="job", start=Puppet([Crash()], start_errors=[IgnoreStart(), None, IgnoreStart()]))
    async with open_dynamic_supervisor(template) as supervisor:
        child = await supervisor.start_child()
        assert (child.status, supervisor.which_children()) == (ChildStatus.STOPPED, ())
        await supervisor.start_child()
        await settle()
        assert supervisor.which_children() == ()


async def test_failed_starts_are_raised_and_restarts_charged(autojump_clock: MockClock) -> None:
    """As under any supervisor."""
    error = Crash()
    template = ChildSpec(id="job", start=Puppet([1.0, 1.0], start_errors=[error]))
    with leaving(RestartIntensityExceeded):
        async with open_dynamic_supervisor(template, max_restarts=1) as supervisor:
            with pytest.raises(Crash) as caught:
                await supervisor.start_child()
            assert caught.value is error
            assert supervisor.which_children() == ()
            await supervisor.start_child()
            await supervisor.wait()
    assert trio.current_time() == 2.0


@pytest.mark.parametrize(
    ("template", "options", "message"),
    [
        ("nothing", {}, "template must be a ChildSpec"),
        (ChildSpec(id="a", start=Puppet(), restart="transient", significant=True), {}, "template: bad_combination"),
        (ChildSpec(id="a", start=Puppet()), {"max_children": -1}, "max_children must be"),
        (ChildSpec(id="a", start=Puppet()), {"max_children": 1.5}, "max_children must be"),
        (ChildSpec(id="a", start=Puppet()), {"within": 0}, "within must be"),
    ],
)
def test_opening_names_what_it_refuses(template: Any, options: dict[str, Any], message: str) -> None:
    """The call itself raises."""
    with pytest.raises(ValueError, match=f"^{message}"):
        open_dynamic_supervisor(template, **options)


async def test_a_handle_of_another_kind_of_supervisor_is_not_found() -> None:
    """Though it may have the id of one of ours."""
    template = ChildSpec(id="job", start=Puppet())
    async with open_dynamic_supervisor(template) as dynamic, open_supervisor() as static:
        await dynamic.start_child()
        child = await static.start_child(ChildSpec(id="job-1", start=Puppet()))
        assert await reason_of(lambda: dynamic.terminate_child(child)) == "not_found"
        assert child.status is ChildStatus.RUNNING


async def life_of(count: int) -> tuple[float, float]:
    """Start and stop this many children; return the seconds and the bytes of memory for each."""
    template = ChildSpec(id="job", start=trio.sleep_forever)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    async with open_dynamic_supervisor(template) as supervisor:
        for _ in range(min(count, 1000)):
            await supervisor.start_child()
        await settle()
        memory = (tracemalloc.get_traced_memory()[0] - before) / min(count, 1000)
        tracemalloc.stop()
    begun = time.perf_counter()
    async with open_dynamic_supervisor(template) as supervisor:
        for _ in range(count):
            await supervisor.start_child()
    return (time.perf_counter() - begun) / count, memory


@pytest.mark.slow
def test_the_cost_of_a_child_does_not_grow_with_their_number() -> None:
    """Ten times as many children cost at most twice as much each; a rule that looks at all of them would cost ten."""
    few, memory = trio.run(life_of, 1000)
    many, _ = trio.run(life_of, 10_000)
    assert many < 2 * few or many < 2 * trio.run(life_of, 1000)[0]  # once more, should the machine have been busy
    assert memory < 20_000  # twice what it is; a child is mostly its Trio task
