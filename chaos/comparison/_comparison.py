"""Carries a comparison out: a process for each cell, a limit on its time, and an eye on what it leaves behind."""

from __future__ import annotations

import json
import math
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from ..running._lifeline import LIFELINE, adopt_orphans, children, state_of
from ..targets._registry import target_named
from ._cell import MARK
from ._results import CellResult, Compared
from ._situations import CELL_LIMIT, LEFT_LIMIT, Situation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

_GLANCE = 0.01
"""Seconds between two looks at what is left of a cell."""


@attrs.frozen
class _Job:
    pool: str
    situation: Situation
    repetition: int


@attrs.frozen
class _Left:
    count: int
    seconds: float
    stayed: int


class Comparison:
    """Carries out cells, some at a time.

    Args:
        done: Called with each result, as it comes, and how many there are and will be.
    """

    def __init__(self, done: Callable[[CellResult, int, int], None]) -> None:
        self._done = done
        self._running: set[int] = set()
        self._results: dict[_Job, CellResult] = {}
        self.interrupted: int | None = None
        """The signal that ended it, if one did."""

    async def run(
        self, pools: Sequence[str], situations: Sequence[Situation], repeat: int, jobs: int
    ) -> Compared | None:
        """Carry all out; cancelled, no process of any of them is left.

        Args:
            pools: By name; they are installed.
            situations: What is to happen to each.
            repeat: How often.
            jobs: How many cells at a time.

        Returns:
            All that came of it; None if a signal ended it before.
        """
        adopt_orphans()
        # By repetition first: what the machine does meanwhile hits all pools alike.
        every = [_Job(pool, situation, number) for number, situation, pool in product(range(repeat), situations, pools)]
        waiting = iter(every)
        started, began, load = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), time.monotonic(), os.getloadavg()[0]

        async def work() -> None:
            await trio.lowlevel.checkpoint()
            for job in waiting:
                self._results[job] = await self._cell(job)
                self._done(self._results[job], len(self._results), len(every))

        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed, signals, nursery.cancel_scope)
                async with trio.open_nursery() as workers:
                    for _ in range(jobs):
                        workers.start_soon(work)
                nursery.cancel_scope.cancel()
        if self.interrupted is not None:
            return None
        return Compared(
            cells=tuple(self._results[job] for job in sorted(every, key=lambda job: pools.index(job.pool))),
            started=started,
            seconds=time.monotonic() - began,
            load=(load, os.getloadavg()[0]),
        )

    async def _heed(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        async for number in signals:
            self.interrupted = number
            scope.cancel()

    async def _cell(self, job: _Job) -> CellResult:
        mark = secrets.token_hex(8)
        with tempfile.TemporaryDirectory(prefix="trio-pool-compare-") as folder:
            directory = Path(folder)
            try:
                ended = await self._application(job, directory, mark)
                left = await self._leftovers(mark, ended)
            finally:
                # Nobody else would do it. Killing takes no time; the kernel is given some.
                with trio.move_on_after(LEFT_LIMIT, shield=True):
                    await self._sweep(mark)
            return _result(job, directory, left)

    async def _application(self, job: _Job, directory: Path, mark: str) -> float:
        """Run the application of a cell to its end, however that comes, and return when it came."""
        reading, held = os.pipe2(os.O_CLOEXEC)
        try:
            with (directory / "cell.log").open("wb") as log:
                process = await trio.lowlevel.open_process(
                    [
                        # No main module with a file: some pools have each worker import that again, or try to.
                        *(sys.executable, "-c", f"from {__package__}._cell import main; main()"),
                        *(job.pool, job.situation.value, str(job.repetition), str(directory)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[reading],
                    start_new_session=True,  # Ctrl-C is for this process, which ends the others
                    env={
                        **os.environ,
                        LIFELINE: str(reading),
                        MARK: mark,
                        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    },
                )
            self._running.add(process.pid)
            try:
                with trio.move_on_after(CELL_LIMIT):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    with trio.CancelScope(shield=True):
                        await process.wait()  # it has been killed: this waits for the kernel
                self._running.discard(process.pid)
            return time.monotonic()
        finally:
            os.close(reading)
            os.close(held)

    async def _leftovers(self, mark: str, ended: float) -> _Left:
        """Return how many processes there still are, how long they stay, and how many will not go."""
        count = len(self._living(mark))
        await trio.lowlevel.checkpoint()
        while living := self._living(mark):
            if time.monotonic() - ended > LEFT_LIMIT:
                return _Left(count, math.inf, len(living))
            await trio.sleep(_GLANCE)
        return _Left(count, time.monotonic() - ended if count else 0.0, 0)

    async def _sweep(self, mark: str) -> None:
        """Kill what is left, and wait until it is gone."""
        await trio.lowlevel.checkpoint()
        while living := self._living(mark):
            for pid in living:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await trio.sleep(_GLANCE)

    def _living(self, mark: str) -> list[int]:
        """Return the processes of a cell that live, and collect the dead ones that came to us."""
        for pid in children():
            if pid not in self._running and state_of(pid) == "Z":
                with suppress(ChildProcessError):
                    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
        needle = f"{MARK}={mark}".encode()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _has(pid, needle)]


def _has(pid: int, needle: bytes) -> bool:
    """Return whether a process that lives was started with this variable; a dead one has none any more."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return needle in file.read().split(b"\0")
    except OSError:
        return False  # gone, or somebody else's


def _result(job: _Job, directory: Path, left: _Left) -> CellResult:
    common: dict[str, Any] = {
        "pool": job.pool,
        "version": target_named(job.pool).version,
        "situation": job.situation,
        "repetition": job.repetition,
        "left": left.count,
        "left_for": left.seconds,
        "stayed": left.stayed,
    }
    records: dict[str, dict[str, Any]] = {}
    with suppress(FileNotFoundError):
        for line in (directory / "cell.jsonl").read_text(encoding="utf-8").splitlines():
            record: dict[str, Any] = json.loads(line)
            records[record.pop("type")] = record
    if "killed" in records:
        return CellResult(**common)
    if "happened" not in records:
        errors = records.get("not_well", {}).get("errors")
        log = (directory / "cell.log").read_text(encoding="utf-8", errors="replace").strip()
        last = log.splitlines()[-1] if log else "it ended without a word"
        return CellResult(**common, trouble=f"not well before: {', '.join(errors)}" if errors else last[:200])
    closed = None if "not_closed" in records else records.get("closed", {}).get("took")
    return CellResult(**common, **records["happened"], closed=closed)
