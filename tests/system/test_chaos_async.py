"""Faults in workers that run several requests at once: what changes places, who dies, and what is written down."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from _arenas import AT_ONCE, STRIKE, Stage, comes_true, stage
from _workers import PATIENCE

from chaos.faults._orders import Deed
from chaos.faults._registry import INJECTORS
from chaos.scenario import _wire_faults as wire
from chaos.scenario._fault import Direction, Window
from chaos.scenario._process_faults import Kill
from chaos.workload._ledger import BEGIN, EFFECT, END, STOPPED
from chaos.workload._operations import digest
from trio_pool import WorkerReady
from trio_pool.errors import TrioPoolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.slow

LONG = 60.0
"""Seconds that none of these requests ever takes."""


@asynccontextmanager
async def lone(folder: Path) -> AsyncIterator[Stage]:
    """Open a pool of one worker that runs four requests at once."""
    with trio.fail_after(2 * PATIENCE):
        async with stage(folder, "chaos.workload._async_app:bridge", size=1, concurrency=4) as there:
            yield there


async def fetch(there: Stage, request: int, service: float = 0.0, command: str = "fetch") -> Mapping[str, Any]:
    args = {"request": request, "nonce": f"{request:016x}", "session": None, "service": service}
    reply: Mapping[str, Any] = await there.pool.execute_anonymous(command, {"args": args}, timeout=2 * LONG)
    assert reply["digest"] == digest(f"{request:016x}", 0)
    return reply


async def test_a_worker_runs_several_and_one_of_the_other_kind(tmp_path: Path) -> None:
    """All begin before one ends; each reply is its request's own, and each execution has its three steps."""
    async with lone(tmp_path) as there, trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(fetch, there, number, LONG)
        await comes_true(lambda: len(there.ledger()) == 3)
        assert (await fetch(there, 3, command="work"))["request"] == 3
        assert (await fetch(there, 4))["request"] == 4
        assert there.ledger()[3:] == [(step, number) for number in (3, 4) for step in (BEGIN, EFFECT, END)]
        nursery.cancel_scope.cancel()


async def test_a_cancelled_execution_says_when_it_has_stopped(tmp_path: Path) -> None:
    """Without effect, and before its worker is given anything new."""
    async with lone(tmp_path) as there:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch, there, 1, LONG)
            await comes_true(lambda: there.ledger() == [(BEGIN, 1)])
            nursery.cancel_scope.cancel()
        await fetch(there, 2)
        assert there.ledger() == [(BEGIN, 1), (STOPPED, 1), (BEGIN, 2), (EFFECT, 2), (END, 2)]


async def test_requests_that_change_places_are_each_answered(tmp_path: Path) -> None:
    """The first begins only when the second has passed it."""
    async with lone(tmp_path) as there:
        spec = wire.Reorder(name="fault", at=AT_ONCE, direction=Direction.TO_WORKER, wait=LONG)
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fetch, there, 1)
                await comes_true(lambda: injected.effect["seen"] == 1)
                assert there.ledger() == []
                await fetch(there, 2)
            assert injected.effect["frames"] == 1
        assert sorted(there.ledger()) == [(step, number) for step in (BEGIN, EFFECT, END) for number in (1, 2)]


async def test_replies_that_change_places_reach_their_requests(tmp_path: Path) -> None:
    """Nobody gets what is another's."""
    async with lone(tmp_path) as there:
        spec = wire.Reorder(name="fault", at=AT_ONCE, wait=LONG)
        handle = there.victim().handle
        assert handle is not None
        flag = there.orders.flag()
        # All of its async commands stand still while one of them blocks.
        there.orders.at_step(BEGIN, Deed(do="wait", arguments={"flag": str(flag), "seconds": None}))
        async with INJECTORS[spec.kind](spec, STRIKE, [there.victim()], there.arena) as injected:
            async with trio.open_nursery() as nursery:
                for number in (1, 2):
                    nursery.start_soon(fetch, there, number)
                await comes_true(lambda: len(handle.interposer.in_flight) == 2)
                flag.unlink()
            assert injected.effect["frames"] == 1


@pytest.mark.parametrize(("window", "steps"), [(Window.W5, [BEGIN]), (Window.W6, [BEGIN, EFFECT])])
async def test_a_death_at_a_step_names_the_request_that_came_to_it(
    tmp_path: Path, window: Window, steps: list[int]
) -> None:
    """Of several that die with the worker; which of them it was the pool does not know, and does not say."""
    async with lone(tmp_path) as there:
        outcomes: dict[int, str] = {}

        async def ask(number: int, service: float) -> None:
            try:
                await fetch(there, number, service)
            except TrioPoolError as exc:
                outcomes[number] = str(exc.outcome)

        spec = Kill(name="fault", at=AT_ONCE, window=window)
        async with trio.open_nursery() as nursery:
            for number in (7, 8):
                nursery.start_soon(ask, number, LONG)
            await comes_true(lambda: len(there.ledger()) == 2)
            nursery.start_soon(ask, 9, 0.0)
            async with INJECTORS["kill"](spec, STRIKE, (), there.arena) as injected:
                assert injected.effect["request"] == 9
        assert outcomes == dict.fromkeys((7, 8, 9), "maybe_executed")
        assert [step for step, number in there.ledger() if number == 9] == steps
        await there.saw(WorkerReady, 2)


async def test_a_death_on_the_link_says_of_how_many_requests(tmp_path: Path) -> None:
    """The pool's number of the oldest is not that of the one that came to the window."""
    async with lone(tmp_path) as there:

        async def ask(number: int, service: float) -> None:
            with pytest.raises(TrioPoolError):
                await fetch(there, number, service)

        async with trio.open_nursery() as nursery:
            for number in (7, 8):
                nursery.start_soon(ask, number, LONG)
            await comes_true(lambda: len(there.ledger()) == 2)
            nursery.start_soon(ask, 9, 0.0)
            spec = Kill(name="fault", at=AT_ONCE, window=Window.W7)
            async with INJECTORS["kill"](spec, STRIKE, (), there.arena) as injected:
                assert (injected.effect["requests"], injected.effect["request_id"]) == (3, None)


async def test_a_death_at_a_step_waits_for_no_worker_that_still_starts(tmp_path: Path) -> None:
    """It has no program yet, and so no ear; that is no reason to say that it never will."""
    async with lone(tmp_path) as there:
        handle = there.victim().handle
        assert handle is not None
        started = len(there.launcher.started)
        await handle.kill()
        await comes_true(lambda: len(there.launcher.started) > started)
        assert there.info().status == "starting"
        spec = Kill(name="fault", at=AT_ONCE, window=Window.W5)
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(TrioPoolError):
                    await fetch(there, 1)

            nursery.start_soon(ask)
            async with INJECTORS["kill"](spec, STRIKE, (), there.arena) as injected:
                assert injected.effect["request"] == 1
