"""The load runner on real pools: it tells a good one from one that is slow, stalls, loses, lies or is overrun."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio
from _pools import APP, kill, settled
from _workers import PATIENCE

from chaos import ChaosLauncher, ChaosMonkey, LoadConfig, LoadRunner
from trio_pool import open_pool
from trio_pool.testing import Workload

if TYPE_CHECKING:
    from trio_pool import SessionPool

pytestmark = [pytest.mark.slow, pytest.mark.document("F-060")]


async def test_a_sound_pool_passes() -> None:
    """With a pool of its own: every operation sent and answered, no errors, the pool gone afterwards."""
    result = await LoadRunner.run(
        LoadConfig(duration_seconds=0.5, concurrent_users=20, operations_per_second=10, pool_size=2)
    )
    assert (result.sent, result.ok, result.dropped) == (100, 100, 0), str(result)
    assert result.success_rate == 1.0
    assert result.errors == []
    assert 0 < result.p50_latency <= result.p95_latency <= result.p99_latency <= result.max_latency < math.inf
    assert result.doubts[-1] == "100 operations succeeded, a 99th percentile needs 1000"
    assert result.cpu > 0


async def test_users_are_sessions_of_the_given_pool() -> None:
    """The pool that is given serves, in sessions of the users' names; they are ended with the run, others are not."""
    seen: set[str] = set()

    async def operation(pool: SessionPool, session_id: str, token: str) -> object:
        reply = await pool.execute_in_session(session_id, "echo", {"value": token})
        seen.update(pool.get_sessions())
        return reply

    async with open_pool(size=1) as pool:
        await pool.execute_in_session("somebody", "ping")
        config = LoadConfig(0.3, 3, 10, pool_size=1)
        result = await LoadRunner.run(config, pool=pool, operation=operation)
        assert result.ok == 9, str(result)
        assert seen == {"somebody", "user_1", "user_2", "user_3"}
        assert list(pool.get_sessions()) == ["somebody"]
        assert pool.get_pool_status().metrics.ok == 10
        with pytest.raises(ValueError, match="pool_size: is 2, but the given pool has 1"):
            await LoadRunner.run(LoadConfig(0.3, 3, 10, pool_size=2), pool=pool)


async def test_the_pool_has_the_size_asked_for() -> None:
    """Of its own pool the runner decides the size, and nothing else differs from any pool."""
    sizes: set[int] = set()

    async def operation(pool: SessionPool, _session_id: str, token: str) -> object:
        await trio.lowlevel.checkpoint()
        sizes.add(pool.get_pool_status().size)
        return token

    await LoadRunner.run(LoadConfig(0.1, 1, 20, pool_size=3), operation=operation)
    assert sizes == {3}


async def test_a_slow_link_shows_in_every_latency() -> None:
    """Latency added to the links is in the result, and alone it is no error."""
    delay = 0.05
    launcher = ChaosLauncher()
    async with open_pool(size=2, launcher=launcher) as pool, ChaosMonkey(pool, launcher) as monkey:
        await monkey.add_latency("port_communication", delay)
        result = await LoadRunner.run(LoadConfig(1.0, 4, 2), pool=pool)
    assert result.ok == 8, str(result)
    assert result.latency is not None
    # A clock reading may come just before the tick in which something is due.
    assert result.latency.minimum >= 2 * delay - 0.002


async def test_a_stall_is_charged_from_the_intended_times() -> None:
    """A frozen pool owes every operation due meanwhile its share of the stall: not one a user, as if they had waited.

    The pool stands still for a second of two, in which each of four users was to send twenty operations.
    """
    stall = 1.0
    launcher = ChaosLauncher()
    async with open_pool(size=1, launcher=launcher) as pool, ChaosMonkey(pool, launcher) as monkey:

        async def freeze() -> None:
            fault = await monkey.freeze(pool.get_pool_status().workers[0])
            await trio.sleep(stall)
            await fault.heal()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(freeze)
            result = await LoadRunner.run(LoadConfig(2.0, 4, 20), pool=pool)
    assert result.ok == result.sent == 160, str(result)
    assert result.errors == []
    # A user who waited would have one late operation, 4 of 160 in all. Honest: half of them were due in the stall, and
    # those due in its first half, a quarter of all, are late by half of it or more.
    assert result.latency is not None
    assert result.p95_latency > 0.5 * stall, str(result)
    assert result.max_latency > 0.9 * stall, str(result)
    assert result.most_in_flight > 4


async def test_operations_of_a_user_who_waits_are_sent_all_the_same() -> None:
    """While one operation of a user is held up in the worker, the next are on their way: they queue in the pool."""
    most = 0

    async def operation(pool: SessionPool, session_id: str, token: str) -> object:
        nonlocal most
        if token.endswith("-0"):
            await pool.execute_in_session(session_id, "sleep", {"duration": 0.3})
            return token
        most = max(most, pool.get_pool_status().queued)
        return await pool.execute_in_session(session_id, "echo", {"value": token})

    async with open_pool(size=2) as pool:
        result = await LoadRunner.run(LoadConfig(0.5, 1, 40), pool=pool, operation=operation)
    assert result.ok == 20, str(result)
    assert most >= 5


async def test_a_pool_that_answers_nothing_fails_every_operation() -> None:
    """A frozen worker's requests end with the pool's own limit; none is forgotten, none counted as good."""
    launcher = ChaosLauncher()
    async with (
        open_pool(size=1, launcher=launcher, timeout=0.5, checkout_timeout=0.5, abandon_grace=60.0) as pool,
        ChaosMonkey(pool, launcher) as monkey,
    ):
        await monkey.freeze(pool.get_pool_status().workers[0])
        result = await LoadRunner.run(LoadConfig(0.3, 2, 10), pool=pool)
        # The pool closes sooner if it need not wait for a worker that cannot hear it.
        await monkey.heal_all()
    assert (result.sent, result.ok, result.success_rate) == (6, 0, 0.0), str(result)
    assert {error.kind: error.count for error in result.errors} == {"CommandTimeout": 1, "PoolTimeout": 5}
    assert result.p95_latency == math.inf


async def test_an_answer_that_never_comes_is_missed_in_the_end() -> None:
    """Also a pool without any limit of its own cannot keep the runner waiting for ever."""
    launcher = ChaosLauncher()
    async with (
        open_pool(size=1, launcher=launcher, timeout=math.inf, checkout_timeout=math.inf) as pool,
        ChaosMonkey(pool, launcher) as monkey,
    ):
        await monkey.freeze(pool.get_pool_status().workers[0])
        with trio.fail_after(PATIENCE):
            result = await LoadRunner.run(LoadConfig(0.2, 2, 10, overtime_seconds=0.3), pool=pool)
    assert (result.sent, result.ok) == (4, 0), str(result)
    assert [(error.kind, error.count) for error in result.errors] == [("Unanswered", 4)]


async def test_operations_beyond_the_limit_are_dropped_and_count_as_failed() -> None:
    """A pool that stands still is not given ever more to do, and what it was spared lowers the success rate."""
    launcher = ChaosLauncher()
    async with open_pool(size=1, launcher=launcher) as pool, ChaosMonkey(pool, launcher) as monkey:
        fault = await monkey.freeze(pool.get_pool_status().workers[0])
        async with trio.open_nursery() as nursery:

            async def thaw() -> None:
                await trio.sleep(1.0)
                await fault.heal()

            nursery.start_soon(thaw)
            result = await LoadRunner.run(LoadConfig(0.5, 4, 20, max_in_flight=10), pool=pool)
    assert (result.sent, result.ok, result.dropped, result.most_in_flight) == (10, 10, 30, 10), str(result)
    assert result.success_rate == 0.25
    [error] = result.errors
    assert (error.kind, error.count) == ("Dropped", 30)


async def test_a_lie_is_found_out() -> None:
    """A worker that answers quickly with something else has not succeeded."""

    async def operation(pool: SessionPool, session_id: str, token: str) -> object:
        value = token[::-1] if token.endswith("3") else token
        return await pool.execute_in_session(session_id, "echo", {"value": value})

    result = await LoadRunner.run(LoadConfig(0.2, 5, 10, pool_size=1), operation=operation)
    assert (result.sent, result.ok) == (10, 9), str(result)
    [error] = result.errors
    assert (error.kind, error.count) == ("WrongReply", 1)


async def test_what_dies_with_a_worker_is_told_by_its_error() -> None:
    """Operations whose worker is killed fail typed, the others succeed, and the run goes on to its end."""

    async def operation(pool: SessionPool, session_id: str, token: str) -> object:
        await pool.execute_in_session(session_id, "sleep", {"duration": 0.01})
        if token.endswith("-20"):
            kill(pool.get_pool_status().workers[0])
        return token

    async with open_pool(size=2) as pool:
        result = await LoadRunner.run(LoadConfig(1.0, 5, 10), pool=pool, operation=operation)
        await settled(pool)
    assert result.sent == 50, str(result)
    assert result.ok >= 49, str(result)
    assert {error.kind for error in result.errors} <= {"WorkerCrashed"}
    assert result.failed == sum(error.count for error in result.errors)


async def test_a_workload_is_sent_as_it_changes() -> None:
    """A burst comes as a burst: the pool sees the rate of the workload, not its mean."""
    config = LoadConfig(0.5, 5, pool_size=1, workload=Workload.burst(size=20, every=0.5, base=0))
    result = await LoadRunner.run(config)
    assert (result.sent, result.ok) == (20, 20), str(result)


async def test_cancelling_leaves_the_pool_as_it_was() -> None:
    """The sessions of the run are ended, its operations withdrawn, and the pool serves on."""
    async with open_pool(APP, size=1) as pool:
        with trio.move_on_after(0.3):
            await LoadRunner.run(LoadConfig(60.0, 5, 10), pool=pool)
        assert not pool.get_sessions()
        assert await pool.execute_anonymous("echo", {"value": 1}) == 1
        await settled(pool)
