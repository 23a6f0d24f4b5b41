"""A nemesis over workers in memory, with injectors that only note what they are told to do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from chaos._history import History
from chaos.faults._injection import Arena
from chaos.running._live import LiveMetrics
from chaos.running._nemesis import Nemesis
from chaos.running._observer import Observer
from chaos.running._sampler import Sampler
from chaos.running._targets import Targets
from chaos.scenario._fault import Capability

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from chaos.faults._injection import Victim
    from chaos.scenario._fault import FaultSpec
    from chaos.scenario._plan import Plan, Strike
    from chaos.targets._target import Call


class Workers:
    """A target in memory: some process ids."""

    pool = None
    capabilities = frozenset({Capability.PIDS, Capability.EVENTS})

    def __init__(self, *pids: int) -> None:
        self.workers = list(pids)

    def pids(self) -> Sequence[int]:
        return self.workers

    async def call(self, call: Call) -> Any:
        raise NotImplementedError

    async def end_session(self, session: str) -> None:
        raise NotImplementedError


@attrs.define
class Done:
    """A fault in force."""

    effect: Mapping[str, object] = attrs.field(factory=dict)
    whole: bool = True

    def healed(self) -> bool:
        return self.whole


class Stage:
    """A nemesis over workers in memory, with injectors that only note what they are told to do."""

    def __init__(self, path: Path, clock: MockClock, *pids: int) -> None:
        self.workers = Workers(*pids)
        self.ledger = path / "ledger.bin"
        self.history = History(path / "history.jsonl", clock.current_time)
        self.observer = Observer(self.history)
        self.live = LiveMetrics(clock.current_time)
        self.deeds: list[tuple[float, str, tuple[int, ...]]] = []
        self.whole = True
        self.at_strike: Callable[[], None] = lambda: None
        self.at_heal: Callable[[], None] = lambda: None
        self.heal_time = 0.0
        self.strike_time = 0.0
        self.said: list[str] = []
        self.nemesis: Nemesis | None = None

    @asynccontextmanager
    async def inject(
        self, spec: FaultSpec, _strike: Strike, victims: Sequence[Victim], _arena: Arena
    ) -> AsyncGenerator[Done, None]:
        await trio.sleep(self.strike_time)
        self.at_strike()
        now = self.history.now
        self.deeds.append((now, spec.name, tuple(victim.pid for victim in victims)))
        done = Done({"did": "it"}, whole=self.whole)
        try:
            yield done
        finally:
            await trio.sleep(self.heal_time)  # noqa: ASYNC102  # shielded by who leaves it, and tried without its limit
            self.at_heal()
            self.deeds.append((self.history.now, f"{spec.name} healed", ()))

    async def run(self, of: Plan, *, capabilities: frozenset[Capability] | None = None) -> None:
        arena = Arena(
            pool=None,
            launcher=None,
            watch=self.observer.watch,
            orders=self.history._path.parent / "orders",
            memory_budget=0,
            record=lambda *_args, **_fields: None,
        )

        class Nobody:
            unanswered = 0

        sampler = Sampler(self.workers, Nobody(), self.history, self.live, every=0.5)  # type: ignore[arg-type]
        self.nemesis = Nemesis(
            of,
            {"kill": self.inject, "freeze": self.inject},
            self.workers.capabilities if capabilities is None else capabilities,
            Targets(self.workers, None, self.ledger),
            arena,
            self.observer,
            sampler,
            self.live,
            self.history,
            self.said.append,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sampler.run)
            await self.nemesis.run(trio.current_time())
            nursery.cancel_scope.cancel()

    def told(self, *kinds: str) -> list[dict[str, Any]]:
        return [record for record in self.history.records if record["src"] == "chaos" and record["type"] in kinds]
