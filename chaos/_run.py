"""A run: one plan against one pool, from the first arrival to the verdict.

Ctrl-C stops the load, heals, drains the pool, and judges what there is; a second one skips the drain. What cannot be
written any more stops it in the same way, only that nothing is judged. Whatever happens, the history says it as long as
it can, and no process is left.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import attrs
import trio

from trio_pool import PythonPool, open_pool
from trio_pool.errors import TrioPoolError, WorkerInitFailed

from ._about import environment
from ._check import check
from ._evidence import Evidence, read_ledger
from ._first_light import pool_config
from ._history import History
from ._launcher import ChaosLauncher
from ._load import Load
from ._monkey import ChaosMonkey
from ._nemesis import Nemesis
from ._output import CannotWrite, write_text, writing
from ._stats import summarize
from ._users import Users
from ._watch import PoolWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from pathlib import Path

    from ._findings import Findings
    from ._live import LiveDisplay
    from ._plan import Plan, PlannedRequest
    from ._stdlib_job import Catalogue

_OVERTIME = 20.0
"""Seconds after the last arrival by which every request must have its outcome: far more than all its timeouts
together, so what is still open then is lost."""

_RECOVERY = 10.0
"""Seconds the pool has to be back at full strength once the load is over: a restart takes a tenth of one, and a few
restarts in a row are backed off by less than two each."""


@attrs.frozen(kw_only=True)
class Finished:
    """What a run leaves: the evidence, what the checks make of it, and the signal that interrupted it, if one did."""

    evidence: Evidence
    findings: Findings
    signal: int | None


async def run(
    plan: Plan,
    catalogue: Catalogue,
    out: Path,
    say: Callable[[str], None],
    *,
    replay: str = "",
    display: LiveDisplay | None = None,
) -> Finished:
    """Carry out a plan and judge it.

    Args:
        plan: What to do.
        catalogue: What the requests are about, counted.
        out: An existing directory; receives ``plan.json``, ``history.jsonl``, ``executions.log`` and ``pool.log``.
        say: Takes lines for the user.
        replay: The command that does the same again, for the record.
        display: Shows the run as it happens; without one, a line a second does.

    Raises:
        CannotWrite: A file, or a line for the user, could not be written; faults are healed and the pool is closed.
    """
    write_text(out / "plan.json", plan.to_json())
    ledger = out / "executions.log"
    write_text(ledger, "")
    with History(out / "history.jsonl", trio.current_time) as history:
        attempt = _Attempt(plan, catalogue, history, str(ledger.resolve()), say, display)
        history.on_failure = attempt.stop
        history.record(
            "run",
            "start",
            urgent=True,
            plan=plan.sha256,
            replay=replay,
            started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            files=catalogue.files,
            packages=len(catalogue.packages),
            **environment(),
        )
        with _logged(out / "pool.log", attempt.stop):
            await attempt.run()
        history.record("run", "end")
    # After the last line is on the disk, or could not be brought there.
    if attempt.unwritable is not None:
        raise attempt.unwritable
    evidence = Evidence(plan=plan, records=history.records, executions=read_ledger(ledger))
    findings = check(evidence.records, evidence.executions, workers=plan.workers)
    return Finished(evidence=evidence, findings=findings, signal=attempt.signal)


class _LogFile(logging.FileHandler):
    """Reports a full disk to the run rather than, by logging's habit, with a traceback for every line."""

    def __init__(self, path: Path, on_failure: Callable[[CannotWrite], None]) -> None:
        with writing(path):
            super().__init__(path, encoding="utf-8")
        self._path = path
        self._on_failure = on_failure

    def handleError(self, record: logging.LogRecord) -> None:
        reason = sys.exception()
        if isinstance(reason, OSError):
            self._on_failure(CannotWrite(str(self._path), reason))
        else:
            super().handleError(record)

    def close(self) -> None:
        # Writes what is left, and closes the file whatever comes of that.
        try:
            super().close()
        except OSError as exc:
            self._on_failure(CannotWrite(str(self._path), exc))


@contextmanager
def _logged(path: Path, on_failure: Callable[[CannotWrite], None]) -> Generator[None, None, None]:
    """Write what the pool logs to a file: a crash a second, with traceback, would bury the progress lines."""
    logger = logging.getLogger("trio_pool")
    handler = _LogFile(path, on_failure)
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


class _Attempt:
    """One run under way."""

    def __init__(
        self,
        plan: Plan,
        catalogue: Catalogue,
        history: History,
        ledger: str,
        say: Callable[[str], None],
        display: LiveDisplay | None,
    ) -> None:
        self._plan = plan
        self._catalogue = catalogue
        self._history = history
        self._ledger = ledger
        self._print = say
        self._display = display
        self._watch = PoolWatch(history)
        self._launcher = ChaosLauncher()
        self._opened = False
        # The first signal cancels the work inside the pool; the second, or one before the pool is open, everything.
        self._work = trio.CancelScope()
        self._everything = trio.CancelScope()
        self.signal: int | None = None
        self.unwritable: CannotWrite | None = None
        """What could not be written, if anything."""

    def stop(self, unwritable: CannotWrite) -> None:
        """End the run early: what it was for cannot be kept.

        Nothing is raised here: those who write are hooks, which the pool would disable, and clean-up, which must go on.
        """
        if self.unwritable is None:
            self.unwritable = unwritable
            self._history.record("run", "unwritable", urgent=True, what=unwritable.what, error=str(unwritable))
            (self._work if self._opened else self._everything).cancel()

    def _say(self, line: str) -> None:
        try:
            self._print(line)
        except CannotWrite as exc:
            self.stop(exc)

    async def run(self) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as helpers:
                helpers.start_soon(self._heed, signals)
                helpers.start_soon(self._history.keep_flushed)
                if self._display is not None:
                    helpers.start_soon(self._display.run, self._history)
                with self._everything:
                    await self._with_pool()
                helpers.cancel_scope.cancel()
        self._look_for_leftovers()

    async def _with_pool(self) -> None:
        try:
            async with open_pool(
                config=pool_config(self._plan.workers, self._plan.seed),
                name="demo",
                launcher=self._launcher,
                on_event=self._watch,
            ) as pool:
                self._opened = True
                async with ChaosMonkey(pool, self._launcher, seed=self._plan.seed) as monkey:
                    adapter = PythonPool(pool)
                    users = Users(self._plan, self._catalogue, pool, adapter, self._history, self._ledger)
                    load = Load(self._plan.requests, users.perform, users.drop, max_in_flight=self._plan.max_in_flight)
                    nemesis = Nemesis(
                        self._plan.faults,
                        pool=pool,
                        watch=self._watch,
                        monkey=monkey,
                        history=self._history,
                        index_of=users.index_of,
                        say=self._say,
                    )
                    await self._phases(load, nemesis, users)
                self._history.record("run", "closing", urgent=True)
        except TrioPoolError as exc:
            # A pool that cannot be brought up is no finding about one under faults.
            kind = "not_started" if isinstance(exc, WorkerInitFailed) and not self._opened else "pool_failed"
            self._history.record("run", kind, urgent=True, error=f"{type(exc).__name__}: {exc}")
            await trio.lowlevel.checkpoint()

    async def _phases(self, load: Load[PlannedRequest], nemesis: Nemesis, users: Users) -> None:
        start = trio.current_time()
        # Request times in the plan are relative to this record.
        offset = self._history.record("run", "clock", urgent=True)["t"]
        users.offset = offset
        async with trio.open_nursery() as progress:
            if self._display is None:
                progress.start_soon(self._progress, start, load, users)
            with self._work:
                self._work.deadline = start + self._plan.duration + _OVERTIME
                async with trio.open_nursery() as work:
                    work.start_soon(nemesis.run, start)
                    work.start_soon(load.run, start)
                # The last fault may still be on its way out.
                with trio.move_on_after(_RECOVERY):
                    await self._watch.wait_until(lambda: len(self._watch.ready) == self._plan.workers)
            progress.cancel_scope.cancel()
        took = trio.current_time() - start
        self._history.record("run", "load_ended", urgent=True, took=round(took, 3))
        self._say(f"{self._history.now:6.2f} s  load ended, closing the pool")

    async def _progress(self, start: float, load: Load[PlannedRequest], users: Users) -> None:
        second = 0
        while True:
            second += 1
            await trio.sleep_until(start + second)
            numbers = summarize(users.latencies)
            p95 = "-" if numbers is None else f"{numbers.p95 * 1e3:.0f} ms"
            self._say(
                f"{self._history.now:6.2f} s  ready {len(self._watch.ready)}/{self._plan.workers}"
                f"  in flight {load.in_flight}  ok {users.ok}  failed {users.failed}  dropped {load.dropped}  p95 {p95}"
            )

    async def _heed(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            name = signal.Signals(number).name
            if self.signal is None:
                self.signal = number
                self._history.record("run", "interrupted", urgent=True, signal=name)
                self._say(f"{name}: healing, closing the pool, checking what there is (once more: without draining)")
                (self._work if self._opened else self._everything).cancel()
            else:
                self._everything.cancel()

    def _look_for_leftovers(self) -> None:
        for ident in self._launcher.started:
            if ident.pid is not None and ident.node == platform.node() and _is_our_child(ident.pid):
                self._history.record("run", "leftover", urgent=True, pid=ident.pid, incarnation=ident.incarnation)


def _is_our_child(pid: int) -> bool:
    """Whether a process lives and is a child of this one: any other of that number is somebody else's."""
    with suppress(OSError):
        with open(f"/proc/{pid}/stat", "rb") as file:
            # After the name in parentheses, which may hold anything, come the state and the parent.
            state, parent = file.read().rpartition(b")")[2].split()[:2]
        return state not in (b"Z", b"X") and int(parent) == os.getpid()
    return False
