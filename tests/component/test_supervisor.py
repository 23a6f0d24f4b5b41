"""The supervisor on a mock clock: starting, restarting and the restart limit."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
import trio
from _children import Crash, Puppet, Recorder, leaving, settle

from trio_pool import ChildSpec, PlannedExit, RestartIntensityExceeded, open_supervisor
from trio_pool._core._restart import Backoff, Restart
from trio_pool._supervision import (
    ChildExited,
    ChildRestartScheduled,
    ChildStatus,
)

if TYPE_CHECKING:
    from trio.testing import MockClock


# ------------------------------------------------------------------------------------------------------------- starting


async def test_start_child_returns_when_the_child_has_started(autojump_clock: MockClock) -> None:
    """The call lasts as long as the start, and the handle carries what the child gave to ``started()``."""
    puppet = Puppet(starting=2.0)
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=puppet))
        assert trio.current_time() == 2.0
        assert (child.id, child.value, child.restarts, child.status) == ("a", 1, 0, ChildStatus.RUNNING)
        assert repr(child) == "<Child 'a' running restarts=0>"
    assert puppet.running == 0
    assert child.status is ChildStatus.STOPPED


async def test_any_async_function_is_a_child(autojump_clock: MockClock) -> None:
    """A function that takes no ``task_status`` counts as started at once, and gets its arguments."""
    got: list[object] = []

    async def work(*args: object) -> None:
        got.extend(args)
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=work, args=(1, "two")))
        await settle()
        assert got == [1, "two"]
        assert child.value is None


async def test_children_may_start_side_by_side(autojump_clock: MockClock) -> None:
    """Ten starts of a second each take a second."""
    async with open_supervisor() as supervisor:
        async with trio.open_nursery() as nursery:
            for n in range(10):
                spec = ChildSpec(id=str(n), start=Puppet(starting=1.0))
                nursery.start_soon(supervisor.start_child, spec)
        assert trio.current_time() == 1.0
        assert supervisor.count_children().active == 10


async def test_a_failed_first_start_raises_the_childs_own_exception(autojump_clock: MockClock) -> None:
    """It is the same object, it is neither charged nor retried, and nothing of the child is kept."""
    error = Crash("cannot")
    puppet = Puppet(start_errors=[error])
    recorder = Recorder()
    async with open_supervisor(max_restarts=0, on_event=recorder) as supervisor:
        with pytest.raises(Crash) as caught:
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
        assert caught.value is error
        await trio.sleep(100)
        assert len(puppet.attempts) == 1
        assert supervisor.which_children() == ()
        await supervisor.start_child(ChildSpec(id="a", start=puppet))
    assert recorder.names("a") == [
        "ChildStarting",
        "ChildStartFailed",
        "ChildStarting",
        "ChildStarted",
        "ChildStopped",
    ]


async def test_a_child_that_ends_without_having_started_has_failed(autojump_clock: MockClock) -> None:
    """Returning without ``started()`` is a RuntimeError, as with `trio.Nursery.start`."""

    async def forgetful(*, task_status: trio.TaskStatus[None]) -> None:  # noqa: ASYNC128  # what it must not do
        await trio.sleep(1)

    async with open_supervisor() as supervisor:
        with pytest.raises(RuntimeError, match="child 'a' exited without calling"):
            await supervisor.start_child(ChildSpec(id="a", start=forgetful))


async def test_a_start_that_takes_too_long_is_a_failed_one(autojump_clock: MockClock) -> None:
    """``start_timeout`` cancels the start and raises TooSlowError."""
    puppet = Puppet(starting=10.0)
    async with open_supervisor() as supervisor:
        with pytest.raises(trio.TooSlowError, match="child 'a' did not start within 3 s"):
            await supervisor.start_child(ChildSpec(id="a", start=puppet, start_timeout=3.0))
        assert trio.current_time() == 3.0
        assert puppet.running == 0


async def test_started_after_the_timeout_is_too_late(autojump_clock: MockClock) -> None:
    """A start whose time ran out fails even if the child, shielded, goes on to call ``started()``."""

    async def slow(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        task_status.started()
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        with pytest.raises(trio.TooSlowError):
            await supervisor.start_child(ChildSpec(id="a", start=slow, start_timeout=1.0))
        assert supervisor.which_children() == ()


async def test_the_start_timeout_ends_with_the_start(autojump_clock: MockClock) -> None:
    """A child that has started may run longer than its start was allowed to take."""
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=Puppet(starting=0.5), start_timeout=1.0))
        await trio.sleep(100)
        assert (child.status, child.restarts) == (ChildStatus.RUNNING, 0)


async def test_started_twice_is_an_error_of_the_child(autojump_clock: MockClock) -> None:
    """As with `trio.Nursery.start`."""
    errors: list[BaseException] = []

    async def twice(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            task_status.started()
        except RuntimeError as exc:
            errors.append(exc)
        await trio.sleep_forever()

    async with open_supervisor() as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=twice))
        assert str(errors[0]) == "called 'started' twice on the same task status"


async def test_started_of_an_incarnation_that_is_gone_is_ignored(autojump_clock: MockClock) -> None:
    """A task status that outlived its incarnation cannot start the next one, nor a child that has ended."""
    statuses: list[trio.TaskStatus[str]] = []
    recorder = Recorder()

    async def keeps(*, task_status: trio.TaskStatus[str]) -> None:  # noqa: ASYNC128  # another calls it
        statuses.append(task_status)
        if len(statuses) in (1, 3):
            raise Crash
        if len(statuses) == 2:
            task_status.started("first")
            raise Crash
        await trio.sleep_forever()

    async with open_supervisor(on_event=recorder) as supervisor:
        with pytest.raises(Crash):
            await supervisor.start_child(ChildSpec(id="a", start=keeps))
        statuses[0].started("too late")
        assert recorder.names() == ["ChildStarting", "ChildStartFailed"]
        child = await supervisor.start_child(ChildSpec(id="a", start=keeps))
        await settle()
        assert (len(statuses), child.status) == (4, ChildStatus.RESTARTING)
        statuses[2].started("old")
        assert (child.value, child.status) == ("first", ChildStatus.RESTARTING)
        statuses[3].started("new")
        assert (child.value, child.status) == ("new", ChildStatus.RUNNING)


# ----------------------------------------------------------------------------------------------------------- restarting


@pytest.mark.parametrize(
    ("restart", "life", "restarted", "kept"),
    [
        (Restart.PERMANENT, Crash(), True, True),
        (Restart.PERMANENT, None, True, True),
        (Restart.PERMANENT, PlannedExit(), True, True),
        (Restart.PERMANENT, RestartIntensityExceeded(), True, True),
        (Restart.TRANSIENT, Crash(), True, True),
        (Restart.TRANSIENT, None, False, True),
        (Restart.TRANSIENT, PlannedExit(), True, True),
        (Restart.TRANSIENT, RestartIntensityExceeded(), False, True),
        (Restart.TRANSIENT, ExceptionGroup("", [PlannedExit(), RestartIntensityExceeded()]), True, True),
        (Restart.TEMPORARY, Crash(), False, False),
        (Restart.TEMPORARY, None, False, False),
        (Restart.TEMPORARY, PlannedExit(), False, False),
    ],
    ids=lambda value: str(value) if not isinstance(value, BaseException) else type(value).__name__,
)
async def test_restart_types(
    autojump_clock: MockClock, restart: Restart, life: BaseException | None, restarted: bool, kept: bool
) -> None:
    """Permanent restarts after every exit, transient after a crash, temporary never; only that one's spec goes."""
    puppet = Puppet([life])
    async with open_supervisor() as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=puppet, restart=restart))
        await settle()
        assert len(puppet.started) == 1 + restarted
        assert child.status is (ChildStatus.RUNNING if restarted else ChildStatus.STOPPED)
        assert child.restarts == restarted
        assert child.value == 1 + restarted
        assert len(supervisor.which_children()) == kept


async def test_only_the_failed_child_is_restarted(autojump_clock: MockClock) -> None:
    """That is what ``one_for_one`` means; names of enumerations are accepted."""
    failing, other = Puppet([1.0]), Puppet()
    async with open_supervisor("one_for_one") as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=other, restart="permanent"))
        await supervisor.start_child(ChildSpec(id="b", start=failing, restart="transient"))
        await trio.sleep(2)
    assert failing.started == [0.0, 1.0]
    assert other.started == [0.0]


async def test_a_child_failing_as_fast_as_it_starts_leaves_others_their_turn(autojump_clock: MockClock) -> None:
    """Without limit or delay the restarts of one child still let a management call in."""

    async def broken() -> None:  # noqa: ASYNC124  # the point is that it never waits
        raise Crash

    async with open_supervisor(max_restarts=math.inf) as supervisor:
        child = await supervisor.start_child(ChildSpec(id="a", start=broken))
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert child.restarts > 5
        await supervisor.terminate_child("a")
        assert child.status is ChildStatus.STOPPED


# ---------------------------------------------------------------------------------------------------- the restart limit


async def crash_at(times: list[float], *, max_restarts: float, within: float) -> tuple[float, int]:
    """Run a child that crashes at these times; return when the supervisor gave up (inf: never) and the restarts."""
    puppet = Puppet(later - earlier for earlier, later in zip([0.0, *times], times, strict=False))
    child = None
    try:
        async with open_supervisor(max_restarts=max_restarts, within=within) as supervisor:
            child = await supervisor.start_child(ChildSpec(id="a", start=puppet))
            await trio.sleep(1000)
    except RestartIntensityExceeded:
        assert child is not None
        return trio.current_time(), child.restarts
    return math.inf, child.restarts


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
async def test_the_limit_is_exceeded_on_one_restart_more_and_never_on_the_limit(
    autojump_clock: MockClock, limit: int
) -> None:
    """``max_restarts`` crashes in the window are survived, one more is a give-up."""
    assert await crash_at([1.0] * limit, max_restarts=limit, within=5.0) == (math.inf, limit)
    begun = trio.current_time()
    assert await crash_at([1.0] * (limit + 1), max_restarts=limit, within=5.0) == (begun + 1.0, limit)


async def test_the_edge_of_the_window_is_inclusive(autojump_clock: MockClock) -> None:
    """A restart exactly ``within`` seconds old counts, an older one does not."""
    assert await crash_at([1.0, 3.0, 6.0], max_restarts=2, within=5.0) == (6.0, 2)
    assert await crash_at([1.0, 3.0, 6.125], max_restarts=2, within=5.0) == (math.inf, 3)


async def test_an_infinite_limit_never_gives_up(autojump_clock: MockClock) -> None:
    """``math.inf`` is for those who would rather crash for ever."""
    assert await crash_at([1.0] * 500, max_restarts=math.inf, within=5.0) == (math.inf, 500)


async def test_children_share_one_window(autojump_clock: MockClock) -> None:
    """The limit is the supervisor's, not each child's."""
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=3, within=5.0) as supervisor:
            for n in range(4):
                await supervisor.start_child(ChildSpec(id=str(n), start=Puppet([1.0 + n])))
            await supervisor.wait()
    assert trio.current_time() == 4.0
    assert caught.value.child_id == "3"


async def test_a_clean_exit_of_a_permanent_child_is_charged(autojump_clock: MockClock) -> None:
    """It was not meant to end, so it counts."""
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=1) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([None, None])))
            await supervisor.wait()
    assert caught.value.errors == ()
    assert caught.value.__cause__ is None


async def test_a_failed_restart_is_tried_again_and_charged_again(autojump_clock: MockClock) -> None:
    """One crash and three failed restarts are four charges."""
    puppet = Puppet([1.0], start_errors=[None, *(Crash(n) for n in range(9))])
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=3) as supervisor:
            child = await supervisor.start_child(ChildSpec(id="a", start=puppet))
            await supervisor.wait()
    assert len(puppet.attempts) == 4
    assert child.restarts == 0
    assert [error.args for error in caught.value.errors] == [(1,), (0,), (1,), (2,)]


async def test_a_restart_that_takes_too_long_is_charged(autojump_clock: MockClock) -> None:
    """``start_timeout`` holds for every start."""
    puppet = Puppet([1.0], starting=1.0)
    with leaving(RestartIntensityExceeded) as caught:
        async with open_supervisor(max_restarts=2, within=60.0) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=puppet, start_timeout=2.0))
            puppet.starting = 10.0
            await supervisor.wait()
    assert trio.current_time() == 2.0 + 2 * 2.0
    assert [type(error) for error in caught.value.errors] == [Crash, trio.TooSlowError, trio.TooSlowError]


# -------------------------------------------------------------------------------------------------------------- backoff

BACKOFF = Backoff(initial=1.0, factor=2.0, maximum=4.0, jitter="none", reset_after=10.0)


async def test_restarts_are_delayed_by_the_backoff(autojump_clock: MockClock) -> None:
    """The first is immediate, then the delays are the backoff's, failed restarts and short lives alike."""
    puppet = Puppet([0.5, 0.5, 0.5], start_errors=[None, None, Crash()])
    recorder = Recorder()
    async with open_supervisor(max_restarts=10, backoff=BACKOFF, on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=puppet))
        await trio.sleep(30)
    assert puppet.attempts == [0.0, 0.5, 2.0, 4.0, 8.5]
    assert [event.delay for event in recorder.of(ChildRestartScheduled)] == [0.0, 1.0, 2.0, 4.0]


async def test_only_stability_resets_the_backoff(autojump_clock: MockClock) -> None:
    """Starting well again and again does not; running for ``reset_after`` does."""
    puppet = Puppet([9.875, 9.875, 10.0, 1.0])
    recorder = Recorder()
    async with open_supervisor(max_restarts=10, backoff=BACKOFF, on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=puppet))
        await trio.sleep(60)
    assert [event.delay for event in recorder.of(ChildRestartScheduled)] == [0.0, 1.0, 0.0, 1.0]


async def test_each_child_has_its_own_backoff(autojump_clock: MockClock) -> None:
    """One child in a crash loop does not slow down another's first restart."""
    looping, other = Puppet([0.0] * 3), Puppet([5.0])
    async with open_supervisor(max_restarts=10, backoff=BACKOFF) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=looping))
        await supervisor.start_child(ChildSpec(id="b", start=other))
        await trio.sleep(30)
    assert looping.started == [0.0, 0.0, 1.0, 3.0]
    assert other.started == [0.0, 5.0]


async def test_the_jitter_comes_from_the_given_source(autojump_clock: MockClock) -> None:
    """The same seed gives the same delays."""
    delays: list[list[float]] = []
    for _ in range(2):
        recorder = Recorder()
        source = random.Random(11)  # noqa: S311  # it spreads delays, it guards nothing
        backoff = Backoff(initial=1.0)
        async with open_supervisor(max_restarts=10, backoff=backoff, rng=source, on_event=recorder) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([0.0] * 4)))
            await trio.sleep(60)
        delays.append([event.delay for event in recorder.of(ChildRestartScheduled)])
    assert delays[0] == delays[1]
    assert len(set(delays[0])) == 4


# -------------------------------------------------------------------------------------------------------- planned exits


@pytest.mark.parametrize("error", [PlannedExit(), ExceptionGroup("", [ExceptionGroup("", [PlannedExit()])])])
async def test_a_planned_exit_is_neither_charged_nor_delayed(autojump_clock: MockClock, error: Exception) -> None:
    """A permanent child that announced its end is back at once, even where one restart would be too many."""
    puppet = Puppet([error] * 20)
    recorder = Recorder()
    async with open_supervisor(max_restarts=0, backoff=BACKOFF, on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=puppet))
        await settle()
    assert puppet.started == [0.0] * 21
    assert all(event.planned for event in recorder.of(ChildExited))


async def test_a_stable_run_that_ended_by_plan_resets_the_backoff(autojump_clock: MockClock) -> None:
    """Stability is earned by running, whatever the end was."""
    puppet = Puppet([0.0, 0.0, 0.0], stopping=0.0)
    recorder = Recorder()

    async def stable_once(*, task_status: trio.TaskStatus[int]) -> None:
        if len(puppet.attempts) == 2:
            puppet.attempts.append(trio.current_time())
            task_status.started(0)
            await trio.sleep(20)
            raise PlannedExit
        await puppet(task_status=task_status)

    async with open_supervisor(max_restarts=10, backoff=BACKOFF, on_event=recorder) as supervisor:
        await supervisor.start_child(ChildSpec(id="a", start=stable_once))
        await trio.sleep(60)
    assert [event.delay for event in recorder.of(ChildRestartScheduled)] == [0.0, 1.0, 0.0, 0.0]


async def test_a_planned_exit_in_company_of_an_error_is_a_crash(autojump_clock: MockClock) -> None:
    """Only a group of nothing but planned exits is one."""
    error = ExceptionGroup("", [PlannedExit(), Crash()])
    with leaving(RestartIntensityExceeded):
        async with open_supervisor(max_restarts=0) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=Puppet([error])))
            await supervisor.wait()


async def test_a_planned_exit_before_the_start_is_a_failed_start(autojump_clock: MockClock) -> None:
    """Else a child that never starts would be tried for ever, without delay."""
    puppet = Puppet([1.0], start_errors=[None, *(PlannedExit() for _ in range(9))])
    with leaving(RestartIntensityExceeded):
        async with open_supervisor(max_restarts=2) as supervisor:
            await supervisor.start_child(ChildSpec(id="a", start=puppet))
            await supervisor.wait()
    assert len(puppet.attempts) == 3
