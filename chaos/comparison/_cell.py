"""One pool in one situation: the process in which that happens. Writes what it saw to a file, line by line.

Called with the pool, the situation, the number of the repetition and a directory. It may hang, be killed by its own
watchdog, or kill itself, which is one of the situations; whoever started it finds what it wrote until then.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_pool import PoolConfig

from ..running._lifeline import LIFELINE, hold_on, state_of
from ..scenario._model import Phase, Scenario
from ..targets._registry import target_named
from ..targets._target import Call, Setup
from ..workload._ledger import BEGIN, entries
from ..workload._operations import LEDGER
from ._situations import (
    BUDGET,
    CLOSE_LIMIT,
    HEADROOM,
    LIMIT,
    LONG_SERVICE,
    ROUNDS,
    SERVICE,
    SIZE,
    TIMEOUT,
    VICTIM_SERVICE,
    Situation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..targets._target import OpenTarget

WARM_ROUNDS = 5
"""Requests each caller makes before the event; all must go well, or nothing can be said of what comes after."""

GLANCE = 0.002
"""Seconds between two looks at what nobody tells: who has begun a request, and whether a process is dead."""

MARK = "TRIO_POOL_CHAOS_CELL"
"""The variable by whose value processes of one cell are known."""

LATE = (TimeoutError, trio.TooSlowError, multiprocessing.TimeoutError)
"""What pools raise when the time is over."""


@attrs.frozen
class Asked:
    """One request and what came of it; times by the monotonic clock."""

    began: float
    ended: float
    victim: bool
    error: str | None
    late: bool
    pid: int | None


class Cell:
    """One pool in one situation.

    Args:
        opened: The pool.
        ledger: Where its workers note what they begin.
    """

    def __init__(self, opened: OpenTarget, ledger: Path) -> None:
        self._opened = opened
        self._ledger = ledger
        self._next = 0
        self._victim: int | None = None
        self._victim_waits = False
        self._serving: set[int] = set()  # who has answered requests that were made after the event
        self.asked: list[Asked] = []
        self.struck: float | None = None

    async def ask(self, operation: str = "work", *, service: float = SERVICE, victim: bool = False) -> bool:
        """Make a request, write down what came of it, and return whether it went well."""
        number, self._next = self._next, self._next + 1
        if victim:
            self._victim, self._victim_waits = number, True
        args: dict[str, Any] = {
            "request": number,
            "nonce": f"{number:016x}",
            "session": None,
            "service": service,
            "size": 0,
            "headroom": HEADROOM,
            "budget": BUDGET,
        }
        began = time.monotonic()
        error: str | None = None
        late = given_up = False
        pid: int | None = None
        try:
            reply = await self._opened.call(Call(command=operation, args=args, timeout=TIMEOUT))
            pid = reply["pid"]
        except trio.Cancelled:
            # It is time to go home. Whoever has not waited for long has not been let down.
            error, late = "no answer", True
            given_up = time.monotonic() - began < TIMEOUT
            raise
        except Exception as exc:  # whatever a pool raises is its answer
            error, late = type(exc).__name__, isinstance(exc, LATE)
        finally:
            self._victim_waits = self._victim_waits and not victim
            if not given_up:
                self.asked.append(Asked(began, time.monotonic(), victim, error, late, pid))
        if pid is not None and self.struck is not None and began >= self.struck:
            self._serving.add(pid)
        await trio.lowlevel.checkpoint()
        return error is None

    async def caller(self) -> None:
        """Ask until so many requests were made after the event, and after what was hit had its answer.

        Whether the pool has all its workers again can only be seen while all callers ask, so they go on until it has;
        but not if it serves nobody any more.
        """
        await trio.lowlevel.checkpoint()
        rounds = 0
        while rounds < ROUNDS or 0 < len(self._serving) < SIZE:
            after = self.struck is not None and not self._victim_waits
            if not await self.ask():
                # A broken pool refuses at once: whoever asks does not ask faster for that.
                await trio.sleep(SERVICE)
            rounds += after

    async def victim(self, operation: str, service: float) -> None:
        """Make the request that is hit, and then be a caller like the others."""
        await self.ask(operation, service=service, victim=True)
        await self.caller()

    async def warm(self) -> bool:
        """Make requests before anything happens; return whether all went well."""

        async def caller() -> None:
            await trio.lowlevel.checkpoint()
            for _ in range(WARM_ROUNDS):
                await self.ask()

        async with trio.open_nursery() as nursery:
            for _ in range(SIZE):
                nursery.start_soon(caller)
        return all(asked.error is None for asked in self.asked)

    def home(self) -> int | None:
        """Return which process has begun the victim, by the ledger; None if none has yet."""
        with suppress(FileNotFoundError):
            for entry in entries(self._ledger.read_bytes()):
                if entry is not None and entry.request == self._victim and entry.step == BEGIN:
                    return entry.pid
        return None

    async def happen(self, situation: Situation, repetition: int) -> None:
        """Have it happen under load, and see what comes of it."""
        with trio.CancelScope() as scope:
            await trio.lowlevel.checkpoint()
            async with trio.open_nursery() as nursery:
                if situation is Situation.IDLE_KILL:
                    # All have their answers, so whoever it is, it is idle.
                    pids = self._opened.pids()
                    await _kill(pids[repetition % len(pids)])
                    self.struck = time.monotonic()
                    nursery.start_soon(self.caller)
                for _ in range(SIZE - 1):
                    nursery.start_soon(self.caller)
                if situation in (Situation.BUSY_KILL, Situation.FREEZE):
                    nursery.start_soon(self.victim, "work", VICTIM_SERVICE)
                    with trio.fail_after(TIMEOUT):
                        await trio.lowlevel.checkpoint()
                        while (pid := self.home()) is None:  # noqa: ASYNC110  # nobody tells
                            await trio.sleep(GLANCE)
                    # The others are in the middle of something.
                    await trio.sleep(2 * SERVICE)
                    self.struck = time.monotonic()
                    os.kill(pid, signal.SIGKILL if situation is Situation.BUSY_KILL else signal.SIGSTOP)
                elif situation in (Situation.MEMORY, Situation.POISON):
                    await trio.sleep(2 * SERVICE)
                    self.struck = time.monotonic()
                    nursery.start_soon(self.victim, "exhaust" if situation is Situation.MEMORY else "die", 0.0)
                scope.deadline = trio.current_time() + LIMIT

    async def usable(self) -> int:
        """Return how many of as many callers as there are workers get an answer now."""
        before = len(self.asked)
        with trio.move_on_after(TIMEOUT + 1):
            async with trio.open_nursery() as nursery:
                for _ in range(SIZE):
                    nursery.start_soon(self.ask)
        return sum(asked.error is None for asked in self.asked[before:])

    def summary(self) -> Mapping[str, Any]:
        """Return what the event cost."""
        struck = self.struck
        assert struck is not None  # noqa: S101  # narrows the type: something has happened
        since = [asked for asked in self.asked if asked.ended >= struck]
        failed = [asked for asked in since if asked.error is not None]
        errors: dict[str, int] = {}
        for asked in failed:
            errors[str(asked.error)] = errors.get(str(asked.error), 0) + 1
        served = [asked for asked in since if asked.error is None and asked.began >= struck]
        served.sort(key=lambda asked: asked.ended)
        again: float | None = None
        pids: set[int | None] = set()
        for asked in served:
            pids.add(asked.pid)
            if len(pids) == SIZE:
                again = asked.ended - struck
                break
        return {
            "asked": len(since),
            "failed": len(failed),
            "bystanders": sum(not asked.victim for asked in failed),
            "hung": sum(asked.late for asked in failed),
            "errors": errors,
            "next": served[0].ended - struck if served else None,
            "again": again,
        }


async def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    await trio.lowlevel.checkpoint()
    while state_of(pid) not in (None, "Z", "X"):  # noqa: ASYNC110  # nobody tells
        await trio.sleep(GLANCE)


async def run(name: str, situation: Situation, repetition: int, directory: Path) -> None:
    """Open the pool, have it happen, and close."""
    records = directory / "cell.jsonl"

    def note(kind: str, **fields: Any) -> None:
        with records.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"type": kind, **fields}) + "\n")

    def give_up() -> None:
        note("not_closed")
        os.kill(os.getpid(), signal.SIGKILL)

    target = target_named(name)
    scenario = Scenario(
        name="comparison", phases=(Phase(name="main", duration=1.0),), pool=PoolConfig(size=SIZE, timeout=TIMEOUT)
    )
    ledger = directory / "ledger.bin"
    setup = Setup(
        scenario=scenario,
        seed=repetition,
        app="chaos.workload._plain_app:bridge",
        env={LEDGER: str(ledger), MARK: os.environ[MARK]},
    )
    async with target.open(setup) as opened:
        cell = Cell(opened, ledger)
        if not await cell.warm():
            note("not_well", errors=sorted({asked.error for asked in cell.asked if asked.error is not None}))
        elif situation is Situation.APPLICATION:
            async with trio.open_nursery() as nursery:
                for _ in range(SIZE // 2):
                    nursery.start_soon(partial(cell.ask, service=LONG_SERVICE))
                    nursery.start_soon(cell.caller)
                await trio.sleep(4 * SERVICE)
                note("killed", pids=list(opened.pids()))
                os.kill(os.getpid(), signal.SIGKILL)
        else:
            await cell.happen(situation, repetition)
            summary = cell.summary()
            note("happened", **summary, usable=await cell.usable())
        began = time.monotonic()
        watchdog = threading.Timer(CLOSE_LIMIT, give_up)
        watchdog.daemon = True
        watchdog.start()
    note("closed", took=time.monotonic() - began)


def main() -> None:
    """Carry out what the arguments say."""
    hold_on(int(os.environ.pop(LIFELINE)))
    name, situation, repetition, directory = sys.argv[1:5]
    trio.run(run, name, Situation(situation), int(repetition), Path(directory))
