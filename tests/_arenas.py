"""Pools to hurt: workers with agents, the launcher through which they are reached, and what the pool says of it all."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import _ordered_app
import attrs
import trio
from _workers import PATIENCE, PAUSE

from chaos import ChaosLauncher
from chaos.faults._injection import Arena, Victim
from chaos.faults._orders import Orders
from chaos.scenario._fault import Trigger
from chaos.scenario._plan import Strike
from chaos.workload import _operations
from chaos.workload._agent import ORDERS
from chaos.workload._ledger import Entry, entries
from trio_pool import PoolConfig, PoolEvent, open_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import Any

    from trio_pool import SessionPool, WorkerInfo

    E = TypeVar("E", bound=PoolEvent)

AT_ONCE = Trigger(time=0.0)
STRIKE = Strike(fault="fault", occurrence=0, at=0.0, choice=0.0, offset=0.0)


@attrs.define(eq=False)
class Stage:
    """A pool with workers that take orders."""

    folder: Path
    launcher: ChaosLauncher
    pool: SessionPool = attrs.field(init=False)
    events: list[PoolEvent] = attrs.field(factory=list["PoolEvent"])
    changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def note(self, event: PoolEvent) -> None:
        self.events.append(event)
        self.changed.unpark_all()

    def seen(self, kind: type[E]) -> list[E]:
        """Return the events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def saw(self, kind: type[E], count: int) -> list[E]:
        """Wait until so many events of a kind have happened."""
        with trio.fail_after(PATIENCE):
            while len(found := self.seen(kind)) < count:
                await self.changed.park()
        return found

    @property
    def orders(self) -> Orders:
        return Orders(self.arena.orders)

    @property
    def arena(self) -> Arena:
        return Arena(
            pool=self.pool,
            launcher=self.launcher,
            watch=None,
            orders=self.folder / "orders",
            memory_budget=64 * 2**20,
            record=lambda *_, **__: None,
        )

    def info(self, slot: int = 0) -> WorkerInfo:
        return next(worker for worker in self.pool.get_pool_status().workers if worker.slot == slot)

    def victim(self, slot: int = 0) -> Victim:
        """Return the worker that is in a slot now."""
        info = self.info(slot)
        assert info.pid is not None
        return Victim(pid=info.pid, slot=slot, incarnation=info.incarnation, info=info, handle=self.launcher.find(info))

    async def work(self, request: int, **arguments: Any) -> int:
        """Send a request; return the process that ran it."""
        keywords = {name: arguments.pop(name) for name in ("idempotent", "timeout") if name in arguments}
        with trio.fail_after(PATIENCE):
            pid = await self.pool.execute_anonymous("work", {"request": request, **arguments}, **keywords)
        assert isinstance(pid, int)
        return pid

    def ledger(self) -> list[tuple[int, int]]:
        """Return what the workers noted, as steps and requests."""
        path = self.folder / "ledger.bin"
        found = list(entries(path.read_bytes())) if path.exists() else []
        return [(entry.step, entry.request) for entry in found if isinstance(entry, Entry)]


@asynccontextmanager
async def stage(folder: Path, app: str = "_ordered_app:bridge", **settings: Any) -> AsyncIterator[Stage]:
    """Open a pool of two workers, or with these settings, whose workers are reached and take orders."""
    there = Stage(folder, ChaosLauncher())
    env = {
        ORDERS: str(folder / "orders"),
        _ordered_app.LEDGER: str(folder / "ledger.bin"),
        _operations.LEDGER: str(folder / "ledger.bin"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    settings = {"size": 2, "seed": 1, **settings}
    Orders(folder / "orders")
    config = PoolConfig(env=env, launcher=there.launcher, on_event=there.note, **settings)
    async with open_pool(app, config) as there.pool:
        yield there


async def comes_true(satisfied: Callable[[], object]) -> None:
    """Wait for what the kernel tells nobody of."""
    with trio.fail_after(PATIENCE):
        while not satisfied():  # noqa: ASYNC110  # see above
            await trio.sleep(PAUSE)
