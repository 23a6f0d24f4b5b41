"""Requests that do harm and callers who give up, injected into a real pool."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing
from _arenas import AT_ONCE, STRIKE, Stage, stage

from chaos import FaultMissed, FaultUnavailable
from chaos.faults._requests import INJECTORS
from chaos.scenario._process_faults import CancelStorm, Poison
from chaos.workload._agent import CLAIMED, POISON, STEP
from trio_pool import RetryPolicy, WorkerExited
from trio_pool.errors import PoisonRequest, WorkerCrashed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from random import Random

    from chaos.faults._injection import Injected

pytestmark = pytest.mark.slow


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, retry=RetryPolicy(max_retries=10, poison_after=3)) as there:
        yield there


async def test_a_poisoned_request_is_quarantined_after_so_many_deaths(there: Stage) -> None:
    """Only the first of its kind is deadly; the pool gives it up by its own rule, and it is harmless when healed."""
    spec = Poison(name="fault", at=AT_ONCE, operation="bad")
    async with INJECTORS[spec.kind](spec, STRIKE, [], there.arena) as injected:
        assert await there.work(1)
        with pytest.raises(PoisonRequest):
            await there.work(2, operation="bad", idempotent=True)
        assert await there.work(3, operation="bad")
        dead = [event.pid for event in await there.saw(WorkerExited, 3)]
        assert injected.effect["requests"] == [2]
        assert injected.effect["deaths"] == 3
        assert {*dead} == {*_pids(injected)}
        assert not injected.healed()
    assert injected.healed()
    assert injected.effect["requests"] == [2]
    assert await there.work(2, operation="bad")


async def test_a_poison_heals_whoever_is_just_taking_it(there: Stage) -> None:
    """A worker claims the order, and only then makes the request deadly: between the two there is nothing to clean."""
    spec = Poison(name="fault", at=AT_ONCE, operation="bad")
    orders = there.arena.orders
    healing = INJECTORS[spec.kind](spec, STRIKE, [], there.arena)
    injected = await healing.__aenter__()
    (order,) = (orders / STEP).iterdir()
    order.rename(orders / CLAIMED / f"{order.name}.7.{os.getpid()}")  # this process lives, and is as slow as can be
    async with trio.open_nursery() as nursery:
        nursery.start_soon(healing.__aexit__, None, None, None)
        await trio.testing.wait_all_tasks_blocked()
        (orders / POISON / "7").write_text(json.dumps({"do": "die", "with": {}, "poison": order.name}))
    assert injected.healed()
    assert injected.effect["requests"] == [7]
    assert list((orders / POISON).iterdir()) == []


async def test_a_poison_that_nobody_took_is_gone_when_healed(there: Stage) -> None:
    """Healed before any request came, none becomes deadly; while it waits it is not healed."""
    spec = Poison(name="fault", at=AT_ONCE, requests=5)
    async with INJECTORS[spec.kind](spec, STRIKE, [], there.arena) as injected:
        assert not injected.healed()
        with pytest.raises(WorkerCrashed):
            await there.work(1)
    assert injected.healed()
    assert await there.work(1)
    assert await there.work(2)
    assert injected.effect["deaths"] == 1


def _pids(injected: Injected) -> list[int]:
    pids = injected.effect["pids"]
    assert isinstance(pids, list)
    return pids


class Callers:
    """Requests under way, each with the scope of its caller."""

    def __init__(self) -> None:
        self.scopes: list[trio.CancelScope] = []

    def cancel(self, share: float, chance: Random) -> list[int]:
        """Cancel so many of them."""
        chosen = [number for number in range(len(self.scopes)) if chance.random() < share]
        for number in chosen:
            self.scopes[number].cancel()
        return chosen


async def test_callers_give_up_and_it_is_the_plan_that_says_who(there: Stage) -> None:
    """The same plan's number cancels the same of those who wait; the others get their answers."""
    gave_up: list[list[bool]] = []
    for _ in range(2):
        callers = Callers()

        async def call(request: int, callers: Callers = callers) -> None:
            with trio.CancelScope() as scope:
                callers.scopes.append(scope)
                await there.work(request, seconds=0.05)

        arena = attrs.evolve(there.arena, callers=callers)
        spec = CancelStorm(name="fault", at=AT_ONCE, share=0.5)
        async with trio.open_nursery() as nursery:
            for request in range(8):
                nursery.start_soon(call, request)
                await trio.testing.wait_all_tasks_blocked()
            async with INJECTORS[spec.kind](spec, STRIKE, [], arena) as injected:
                swept = [number for number, scope in enumerate(callers.scopes) if scope.cancel_called]
                assert injected.effect == {"cancelled": len(swept), "requests": swept}
            assert injected.healed()
        gave_up.append([scope.cancel_called for scope in callers.scopes])
    assert gave_up[0] == gave_up[1]
    assert 0 < sum(gave_up[0]) < 8


async def test_a_storm_without_anybody_to_hit_is_none(there: Stage) -> None:
    """With nobody under way it is missed, and with no client at hand it cannot be had."""
    spec = CancelStorm(name="fault", at=AT_ONCE)
    with pytest.raises(FaultMissed, match="nobody gave up"):
        async with INJECTORS[spec.kind](spec, STRIKE, [], attrs.evolve(there.arena, callers=Callers())):
            pass
    with pytest.raises(FaultUnavailable):
        async with INJECTORS[spec.kind](spec, STRIKE, [], there.arena):
            pass
