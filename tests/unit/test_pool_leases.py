"""Leases that are forgotten or nested, over workers in memory and on the virtual clock."""

from __future__ import annotations

import gc
import logging
import math
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from trio_pool import PoolTimeout, WorkerExited, open_pool
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from trio_pool import SessionPool

LOG = "trio_pool.lease"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage() for record in caplog.records if record.name == LOG and record.levelno == logging.WARNING
    ]


async def refused(pool: SessionPool, ask: Callable[[], Awaitable[object]]) -> str:
    """Have a request refused, which must take no time, and return why."""
    before = trio.current_time()
    with pytest.raises(PoolTimeout) as caught:
        await ask()
    assert trio.current_time() == before
    assert (caught.value.outcome, caught.value.waited) == ("not_executed", 0.0)
    status = pool.get_pool_status()
    assert (status.queued, status.metrics.running) == (0, status.busy)
    return str(caught.value)


async def lease(pool: SessionPool, session_id: str | None = None) -> None:
    async with pool.checkout(session_id):
        pass


# -- forgotten ---------------------------------------------------------------------------------------------------------


async def test_a_lease_held_too_long_is_named_once(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """With its task and the line that took it; when it ends after all, that is noted too."""
    caplog.set_level(logging.INFO, LOG)
    async with open_pool(launcher=MockPort(), size=1, name="p", lease_warning=10.0) as pool:
        async with pool.checkout():
            await trio.sleep(9.9)
            assert warnings(caplog) == []
            await trio.sleep(0.2)
            (message,) = warnings(caplog)
            await trio.sleep(100)
        assert warnings(caplog) == [message]
        assert "p-0" in message
        assert "test_a_lease_held_too_long_is_named_once" in message
        assert f"{__file__}:" in message
        assert [record.levelname for record in caplog.records if record.name == LOG] == ["WARNING", "INFO"]


async def test_infinity_names_no_lease(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever leases for hours by design says so."""
    async with open_pool(launcher=MockPort(), size=1, lease_warning=math.inf) as pool, pool.checkout():
        await trio.sleep(10_000)
    assert warnings(caplog) == []


async def test_a_lease_whose_worker_died_is_not_named(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps nobody from a worker any more."""
    port = MockPort()
    async with open_pool(launcher=port, size=1, lease_warning=10.0) as pool, pool.checkout():
        next(iter(port.workers)).deliver(9)
        await trio.sleep(100)
        assert await pool.execute_anonymous("echo", {"value": 1}) == 1
    assert warnings(caplog) == []


async def test_a_lease_dropped_without_being_left_is_given_back(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can leave it any more, so its worker would be lost for ever."""
    async with open_pool(launcher=MockPort(), size=1) as pool:
        taken = pool.checkout()
        await taken.__aenter__()
        assert pool.get_pool_status().busy == 1
        del taken
        gc.collect()
        assert await pool.execute_anonymous("echo", {"value": 1}) == 1
        (message,) = warnings(caplog)
        assert "test_a_lease_dropped_without_being_left_is_given_back" in message


async def test_a_lease_is_taken_once(autojump_clock: MockClock) -> None:
    """The second time would lose the first's worker."""
    async with open_pool(launcher=MockPort(), size=2) as pool:
        taken = pool.checkout()
        async with taken:
            with pytest.raises(RuntimeError, match="once"):
                await taken.__aenter__()
        assert pool.get_pool_status().busy == 0


# -- nested ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkout_timeout", [5.0, math.inf])
async def test_who_holds_all_workers_is_refused_another_at_once(
    autojump_clock: MockClock, checkout_timeout: float
) -> None:
    """However long it would wait; the error names who holds them and says that waiting is in vain."""
    async with open_pool(launcher=MockPort(), size=2, checkout_timeout=checkout_timeout) as pool:
        async with pool.checkout(), pool.checkout("s"):
            why = await refused(pool, lambda: lease(pool))
            assert "every worker" in why
            assert "in vain" in why
            assert "test_who_holds_all_workers_is_refused_another_at_once" in why
            await refused(pool, lambda: pool.execute_anonymous("ping"))
            await refused(pool, lambda: pool.execute_in_session("new", "ping"))
            assert list(pool.get_sessions()) == ["s"]
        assert await pool.execute_anonymous("echo", {"value": 1}) == 1


async def test_a_child_of_who_holds_all_workers_is_refused_too(autojump_clock: MockClock) -> None:
    """The lease cannot end before the nursery within it does."""
    async with open_pool(launcher=MockPort(), size=1) as pool, pool.checkout(), trio.open_nursery() as outer:

        async def child() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint)
                nursery.start_soon(refused, pool, lambda: lease(pool))

        outer.start_soon(child)


async def test_a_task_of_a_nursery_around_the_lease_may_wait(autojump_clock: MockClock) -> None:
    """It was started by the borrower, but the lease ends before the task need be done."""
    async with open_pool(launcher=MockPort(), size=1) as pool, trio.open_nursery() as nursery:
        async with pool.checkout():
            nursery.start_soon(lease, pool)
            await trio.sleep(1)
        await trio.sleep(1)
        assert pool.get_pool_status().metrics.ok == 2


async def test_who_holds_some_workers_may_wait_for_another(autojump_clock: MockClock) -> None:
    """Some stranger holds the other, and gives it back."""
    async with open_pool(launcher=MockPort(), size=2) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.execute_anonymous, "sleep", {"duration": 1.0})
        await trio.testing.wait_all_tasks_blocked()
        async with pool.checkout():
            before = trio.current_time()
            await lease(pool)
            assert trio.current_time() == pytest.approx(before + 1.0)


async def test_who_holds_all_but_the_overflow_may_wait_for_that(autojump_clock: MockClock) -> None:
    """An extra worker comes for a command without a session; a session never has one, so its commands are refused."""
    async with open_pool(launcher=MockPort(), size=1, overflow=1) as pool, pool.checkout():
        await refused(pool, lambda: pool.execute_in_session("s", "ping"))
        assert await pool.execute_anonymous("echo", {"value": 1}) == 1


async def test_a_command_in_the_session_one_has_leased_is_refused_at_once(autojump_clock: MockClock) -> None:
    """Though other workers are idle: the session's own is taken, by the caller himself."""
    async with open_pool(launcher=MockPort(), size=2) as pool:
        async with pool.checkout("s"):
            why = await refused(pool, lambda: pool.execute_in_session("s", "ping"))
            assert "session 's'" in why
            assert await pool.execute_in_session("other", "echo", {"value": 1}) == 1
        assert await pool.execute_in_session("s", "echo", {"value": 2}) == 2


async def test_a_lease_whose_worker_died_is_in_nobody_s_way(autojump_clock: MockClock) -> None:
    """Its holder waits for the replacement like anybody."""
    port = MockPort()
    async with open_pool(launcher=port, size=1) as pool, pool.checkout():
        with pool.events() as events:
            next(iter(port.workers)).deliver(9)
            async for event in events:
                if isinstance(event, WorkerExited):
                    break
        await lease(pool)
