"""The application process: the pool, its load and its faults, and the history they write.

Started by the process that watches over the run, with the run's directory as its argument; it may be stopped and killed
like any application, and what it wrote until then is enough to judge it by. SIGINT and SIGTERM stop the load, heal,
drain and close; a second one does not drain.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from trio_pool.errors import TrioPoolError, WorkerInitFailed

from .._about import environment
from .._history import History
from .._output import CannotWrite, writing
from ..faults._injection import Arena
from ..faults._registry import INJECTORS
from ..faults._watcher import WATCHER, WatcherLine
from ..scenario._plan_file import read_plan, sha256
from ..targets._ours import OurPool
from ..targets._registry import target_named
from ..targets._target import Setup
from ..workload._agent import ORDERS
from ..workload._operations import LEDGER
from ..workload._work import work_of
from ._client import Client
from ._lifeline import LIFELINE, hold_on
from ._live import LiveMetrics
from ._load import Load
from ._nemesis import Nemesis
from ._observer import Observer
from ._sampler import Sampler
from ._steady import steady
from ._targets import Targets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from ..faults._injection import Watcher
    from ..scenario._model import Hold
    from ..scenario._plan import Plan
    from ..targets._target import OpenTarget, Target
    from ..workload._work import Work

OVERTIME = 20.0
"""Seconds after the last phase by which every request must have its outcome, beyond the longest time it may take; what
is open then is lost."""


class Application:
    """One run under way.

    Args:
        plan: What to do.
        target: To which kind of pool.
        directory: Of the run.
        history: The run's history.
        watcher: The process that watches over this one, for faults that stop this one.
    """

    def __init__(self, plan: Plan, target: Target, directory: Path, history: History, watcher: Watcher) -> None:
        self._plan = plan
        self._target = target
        self._watcher = watcher
        self._directory = directory
        self._history = history
        # The first signal cancels the work inside the pool; the second, or one before the pool is open, everything.
        self._inside = trio.CancelScope()
        self._everything = trio.CancelScope()
        self._opened = False
        self._interrupted = False
        self._unwritable: CannotWrite | None = None
        history.on_failure = self._stop

    async def run(self) -> None:
        """Carry the plan out.

        Raises:
            CannotWrite: The history could not be written; faults are healed and the pool is closed.
        """
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as helpers:
                helpers.start_soon(self._heed, signals)
                helpers.start_soon(self._history.keep_flushed)
                self._everything.deadline = trio.current_time() + self._plan.scenario.limits.wall_clock
                with self._everything:
                    await self._with_pool()
                if self._everything.cancelled_caught and not self._interrupted:
                    self._history.record("run", "limit", urgent=True, what="wall_clock")
                helpers.cancel_scope.cancel()
        if self._unwritable is not None:
            raise self._unwritable

    async def _prepared(self) -> Work:
        """Return the work. To work out what must come back may take seconds, in which signals are heeded as ever."""
        kind = self._plan.scenario.workload.kind
        if kind != "register":
            self._say(f"preparing the work: {kind}")
        work = await trio.to_thread.run_sync(work_of, kind, abandon_on_cancel=True)
        about: str | None = getattr(work, "about", None)
        if about is not None:
            self._say(f"counted {about}")
        return work

    async def _with_pool(self) -> None:
        scenario = self._plan.scenario
        work = await self._prepared()
        orders = self._directory / "orders"
        orders.mkdir(exist_ok=True)
        observer = Observer(self._history)
        began = trio.current_time()
        self._history.record("run", "opening", urgent=True)
        setup = Setup(
            scenario=scenario,
            seed=self._plan.seed,
            app=work.app,
            env={LEDGER: str(self._directory / "ledger.bin"), ORDERS: str(orders)},
            on_event=observer,
        )
        try:
            async with self._target.open(setup) as opened:
                self._opened = True
                self._history.record("run", "opened", urgent=True, took=round(trio.current_time() - began, 6))
                await self._phases(opened, observer, work)
                began = trio.current_time()
                self._history.record("run", "closing", urgent=True)
            self._history.record("run", "closed", urgent=True, took=round(trio.current_time() - began, 6))
        except TrioPoolError as exc:
            # A pool that cannot be brought up is no finding about one under faults.
            kind = "not_started" if isinstance(exc, WorkerInitFailed) and not self._opened else "pool_failed"
            self._history.record("run", kind, urgent=True, error=f"{type(exc).__name__}: {exc}")
            await trio.lowlevel.checkpoint()

    async def _phases(self, opened: OpenTarget, observer: Observer, work: Work) -> None:
        scenario = self._plan.scenario
        live = LiveMetrics(trio.current_time)
        client = Client(
            scenario,
            work,
            opened,
            self._history,
            sessions=self._target.sessions,
            first_spare=sum(len(visit.requests) for visit in self._plan.visits),
            on_outcome=live.outcome,
        )
        sampler = Sampler(opened, client, self._history, live, every=scenario.steady_state.sample_every)
        launcher = opened.launcher if isinstance(opened, OurPool) else None
        arena = Arena(
            pool=opened.pool,
            launcher=launcher,
            watch=observer.watch,
            orders=self._directory / "orders",
            memory_budget=scenario.limits.memory_budget,
            record=partial(self._history.record, "chaos"),
            callers=client,
            watcher=self._watcher,
        )
        nemesis = Nemesis(
            self._plan,
            INJECTORS,
            opened.capabilities,
            Targets(opened, launcher, self._directory / "ledger.bin"),
            arena,
            observer,
            sampler,
            live,
            self._history,
            self._say,
        )
        with self._inside:
            async with trio.open_nursery() as watching:
                watching.start_soon(sampler.run)
                if await self._steady("before", scenario.steady_state.before, live, sampler):
                    await self._method(client, nemesis)
                    await self._steady("after", scenario.steady_state.after, live, sampler)
                sampler.sample()
                watching.cancel_scope.cancel()

    async def _steady(self, when: str, hold: Hold, live: LiveMetrics, sampler: Sampler) -> bool:
        found = await steady(self._plan.scenario.steady_state.require, hold, live, sampler)
        self._history.record(
            "run",
            "steady",
            urgent=True,
            after=when,
            ok=found.ok,
            took=round(found.took, 6),
            failing=list(found.failing),
        )
        if not found.ok:
            self._say(f"no steady state {when} the method: {'; '.join(found.failing)}")
        return found.ok

    async def _method(self, client: Client, nemesis: Nemesis) -> None:
        load = Load(self._plan, client)
        client.origin = trio.current_time()
        self._history.record("run", "clock", urgent=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nemesis.run, client.origin)
            nursery.start_soon(self._announce, client.origin, nemesis)
            with trio.move_on_at(client.origin + self._plan.scenario.duration + self._longest()):
                await load.run()
            await trio.sleep_until(client.origin + self._plan.scenario.duration)
            # Strikes that still wait have missed; what lasts is healed.
            nursery.cancel_scope.cancel()
        self._history.record("run", "load_ended", urgent=True, took=round(trio.current_time() - client.origin, 3))

    def _longest(self) -> float:
        scenario = self._plan.scenario
        longest = max([scenario.pool.timeout, *(each.timeout or 0.0 for each in scenario.workload.operations)])
        return OVERTIME + longest

    async def _announce(self, origin: float, nemesis: Nemesis) -> None:
        await trio.sleep_until(origin)
        begin = 0.0
        for phase in self._plan.scenario.phases:
            await trio.sleep_until(origin + begin)
            self._history.record(
                "run",
                "phase",
                urgent=True,
                name=phase.name,
                measure=phase.measure,
                heal=phase.heal,
                duration=phase.duration,
            )
            if phase.heal:
                nemesis.heal()
            begin += phase.duration
            await trio.sleep_until(origin + begin)
            self._history.record("run", "phase_end", urgent=True, name=phase.name)

    async def _heed(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            name = signal.Signals(number).name
            if not self._interrupted:
                self._interrupted = True
                self._history.record("run", "interrupted", urgent=True, signal=name)
                self._say(f"{name}: healing and closing the pool (once more: without draining)")
                (self._inside if self._opened else self._everything).cancel()
            else:
                self._everything.cancel()

    def _stop(self, unwritable: CannotWrite) -> None:
        # Nothing is raised here: those who write are hooks, which the pool would disable, and clean-up.
        if self._unwritable is None:
            self._unwritable = unwritable
            (self._inside if self._opened else self._everything).cancel()

    def _say(self, line: str) -> None:
        # The watching process reads the history; this is for the people who read that.
        self._history.record("run", "said", urgent=True, line=line)


@contextmanager
def _logged(path: Path) -> Generator[None, None, None]:
    """Write what the pool and its workers log to a file, for the checker that reads it."""
    logger = logging.getLogger("trio_pool")
    with writing(path):
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.level, logger.propagate = before
        logger.removeHandler(handler)
        handler.close()


def _heed_all_signals() -> None:
    """Have every signal act on workers as it does by itself.

    `nohup` and the background jobs of a shell ignore some, which each child inherits, and a worker would not die of a
    fault's SIGHUP. Those two are ignored by Python, too, and are set right in each child by those who spawn it.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main() -> int:
    """Carry out the plan in a run's directory, and return an exit code: 0, whatever the pool did."""
    hold_on(int(os.environ.pop(LIFELINE)))
    _heed_all_signals()
    line = int(os.environ.pop(WATCHER))
    os.set_inheritable(line, False)
    directory, target, replay = Path(sys.argv[1]), target_named(sys.argv[2]), sys.argv[3]
    plan = read_plan((directory / "plan.json").read_text(encoding="utf-8"))

    async def run() -> None:
        with History(directory / "history.jsonl", trio.current_time) as history:
            history.record(
                "run",
                "start",
                urgent=True,
                plan=sha256(plan),
                scenario=plan.scenario.name,
                seed=plan.seed,
                target=target.name,
                target_version=target.version,
                replay=replay,
                started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                pid=os.getpid(),
                **environment(),
                monotonic_ns=time.monotonic_ns(),  # last, next to the record's own time: the ledger is read by it
            )
            with closing(WatcherLine(socket.socket(fileno=line))) as watcher, _logged(directory / "pool.log"):
                await Application(plan, target, directory, history, watcher).run()
            history.record("run", "end")

    try:
        trio.run(run)
    except CannotWrite as exc:
        sys.stderr.write(f"{exc}\n")
        return 74
    return 0
