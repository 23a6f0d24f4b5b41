"""Error scenarios, applied to workers in memory: what a pool meets, on a clock that costs no time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given, settings
from trio.testing import MockClock

from trio_pool import CommandTimeout, PoolConfig, open_pool, open_worker
from trio_pool.testing import (
    ErrorScenario,
    MockPort,
    NetworkFailure,
    NetworkPattern,
    Resource,
    ResourceExhaustion,
    SlowOperations,
    Target,
    WorkerCrash,
    strategies,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from trio_pool import SessionPool

NEVER = 1e9
"""Seconds between health checks where a test counts commands: longer than any test takes, even on a virtual clock."""


def pool_over(port: MockPort, size: int, **options: Any) -> AbstractAsyncContextManager[SessionPool]:
    """Open a pool that never pings, never gives up, and replaces workers at once."""
    quiet: dict[str, Any] = {
        "health": {"interval": NEVER},
        "restart": {"max_restarts": math.inf, "backoff": {"initial": 0.0}},
        **options,
    }
    return open_pool(launcher=port, size=size, **quiet)


async def outcomes(pool: SessionPool, count: int) -> list[float]:
    """Send so many commands, one after the other; return how long each took, infinity for those that got lost."""
    seconds: list[float] = []
    for number in range(count):
        begun = trio.current_time()
        try:
            assert await pool.execute_anonymous("echo", {"value": number}) == number
        except CommandTimeout:
            seconds.append(math.inf)
        else:
            seconds.append(trio.current_time() - begun)
    return seconds


@pytest.mark.document("F-074")
async def test_a_complete_loss_loses_everything_while_it_lasts(autojump_clock: MockClock) -> None:
    """Commands sent meanwhile end in a timeout; afterwards all is well, with the workers that replaced the others."""
    port = MockPort()
    async with pool_over(port, 1, timeout=2.0, abandon_grace=0.0) as pool:
        before = port.workers[0].ident.incarnation
        NetworkFailure(NetworkPattern.COMPLETE_LOSS, 5.0).apply_to(port)
        assert await outcomes(pool, 3) == [math.inf] * 3  # sent at 0, 2 and 4
        assert await outcomes(pool, 10) == [0.0] * 10
        assert port.workers[0].ident.incarnation > before


@pytest.mark.document("F-074")
async def test_an_intermittent_failure_loses_about_half(autojump_clock: MockClock) -> None:
    """While it lasts each command arrives or does not, as the seed decides; the pool goes on all the while."""
    taken = []
    for seed in (1, 1, 2):
        port = MockPort()
        async with pool_over(port, 2, timeout=1.0, abandon_grace=0.0) as pool:
            NetworkFailure(NetworkPattern.INTERMITTENT, 1000.0).apply_to(port, seed=seed)
            taken.append(await outcomes(pool, 60))
    assert taken[0] == taken[1] != taken[2]
    for seconds in taken:
        assert set(seconds) == {0.0, math.inf}
        assert 15 < seconds.count(math.inf) < 45


@pytest.mark.document("F-074")
async def test_high_latency_holds_everything_back_until_it_is_over(autojump_clock: MockClock) -> None:
    """A command sent while it lasts is answered when it ends, and one sent later at once."""
    port = MockPort()
    async with pool_over(port, 1) as pool:
        NetworkFailure(NetworkPattern.HIGH_LATENCY, 3.0).apply_to(port)
        await trio.sleep(1.0)
        assert await outcomes(pool, 2) == [2.0, 0.0]


@pytest.mark.document("F-074")
async def test_slow_operations_are_slow_with_their_probability(autojump_clock: MockClock) -> None:
    """A quarter of the commands take ten seconds longer, as the seed decides, until the port is healed."""
    taken = []
    for seed in (1, 1, 2):
        port = MockPort()
        async with pool_over(port, 1) as pool:
            SlowOperations(10.0, 0.25).apply_to(port, seed=seed)
            taken.append(await outcomes(pool, 200))
            port.heal()
            assert await outcomes(pool, 20) == [0.0] * 20
    assert taken[0] == taken[1] != taken[2]
    for seconds in taken:
        assert set(seconds) == {0.0, 10.0}
        assert 25 < seconds.count(10.0) < 75


@pytest.mark.document("F-074")
@pytest.mark.parametrize(("target", "victims"), [(Target.OLDEST, "ab"), (Target.NEWEST, "cb"), (Target.BUSIEST, "ba")])
async def test_a_crash_hits_the_workers_it_is_meant_for(
    target: Target, victims: str, autojump_clock: MockClock
) -> None:
    """Of three workers the oldest, the newest or the one with most commands dies first, then the next such."""
    port = MockPort()
    config = PoolConfig(launcher=port)
    async with (
        open_worker(worker_id="a", config=config) as first,
        open_worker(worker_id="b", config=config) as second,
        open_worker(worker_id="c", config=config),
    ):
        for worker in (first, second, second):
            await worker.send_command("ping")
        for count, victim in enumerate(victims, 1):
            before = {worker.worker_id for worker in port.workers}
            WorkerCrash(target, 1).apply_to(port)
            assert before - {worker.worker_id for worker in port.workers} == {victim}
            assert len(port.workers) == 3 - count


@pytest.mark.document("F-074")
async def test_a_crash_of_more_workers_than_there_are_hits_all(autojump_clock: MockClock) -> None:
    """Each is chosen among those that still live; a pool replaces them all."""
    port = MockPort()
    async with pool_over(port, 2) as pool:
        WorkerCrash(Target.RANDOM, 3).apply_to(port)
        assert port.workers == ()
        assert await outcomes(pool, 2) == [0.0, 0.0]
    WorkerCrash(Target.BUSIEST, 1).apply_to(port)  # nobody is left to be hit


@pytest.mark.document("F-074")
async def victim_of(target: Target, seed: int) -> str:
    """Return the worker that one crash hits in a pool of three that has just been opened."""
    port = MockPort()
    async with pool_over(port, 3):
        before = {worker.worker_id for worker in port.workers}
        WorkerCrash(target, 1).apply_to(port, seed=seed)
        (victim,) = before - {worker.worker_id for worker in port.workers}
    return victim


async def test_a_random_crash_hits_any_worker(autojump_clock: MockClock) -> None:
    """Over many seeds every worker's turn comes."""
    hit = {await victim_of(Target.RANDOM, seed) for seed in range(15)}
    assert hit == {"pool-0", "pool-1", "pool-2"}


@pytest.mark.parametrize("target", [Target.RANDOM, Target.BUSIEST])
async def test_the_seed_alone_decides_whom_a_crash_hits(target: Target, autojump_clock: MockClock) -> None:
    """In whatever order the workers started, which is Trio's to shuffle."""
    assert len({await victim_of(target, seed=1) for _ in range(10)}) == 1


@pytest.mark.document("F-074")
@pytest.mark.parametrize("resource", Resource)
def test_a_worker_in_memory_runs_out_of_nothing(resource: Resource) -> None:
    """It has no process; the refusal says who does it to those that have one, if anybody does."""
    with pytest.raises(ValueError, match="to run out of") as caught:
        ResourceExhaustion(resource, 0.8).apply_to(MockPort())
    assert ("ChaosMonkey.consume_memory" in str(caught.value)) is (resource is Resource.MEMORY)


@pytest.mark.document("F-074")
@settings(max_examples=15)
@given(strategies.error_scenarios())
def test_a_pool_survives_any_scenario(scenario: ErrorScenario) -> None:
    """Whatever the trouble: once it is healed the pool has all its workers and answers."""

    async def main() -> None:
        port = MockPort()
        async with pool_over(port, 3, timeout=2.0, abandon_grace=0.0) as pool:
            try:
                scenario.apply_to(port)
            except ValueError:
                assert isinstance(scenario, ResourceExhaustion)
            await outcomes(pool, 5)
            await trio.sleep(10.0)  # beyond the longest failure
            port.heal()
            assert await outcomes(pool, 5) == [0.0] * 5
            assert pool.get_pool_status().ready == 3

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: NetworkFailure(NetworkPattern.INTERMITTENT, 0), "duration"),
        (lambda: NetworkFailure(NetworkPattern.INTERMITTENT, math.inf), "duration"),
        (lambda: NetworkFailure("a storm", 1.0), "storm"),
        (lambda: ResourceExhaustion(Resource.CPU, 1.5), "severity"),
        (lambda: ResourceExhaustion("patience", 0.5), "patience"),
        (lambda: WorkerCrash(Target.OLDEST, 0), "count"),
        (lambda: WorkerCrash(Target.OLDEST, True), "count"),
        (lambda: SlowOperations(-1, 0.5), "delay"),
        (lambda: SlowOperations(1, math.nan), "probability"),
        (lambda: SlowOperations(1, 1.01), "probability"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(make: Any, name: str) -> None:
    """The message names the value."""
    with pytest.raises(ValueError, match=name):
        make()
