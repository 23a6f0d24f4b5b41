"""Workers that are refused memory, files or a processor, by what the kernel lets one process set for another."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from .._fault import FaultMissed, FaultUnavailable
from ..scenario._process_faults import CpuStarvation, FdLimit, MemoryKind, MemoryLimit
from . import _proc
from ._grip import HEAL_LIMIT, STOP_LIMIT, Grip, gripped, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Strike
    from ._injection import Arena, Injector, Victim

_KINDS = {
    MemoryKind.ADDRESS_SPACE: (resource.RLIMIT_AS, "VmSize"),
    MemoryKind.DATA: (resource.RLIMIT_DATA, "VmData"),
}

IDLE_AND_BACK = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import os; p = os.sched_param(0); os.sched_setscheduler(0, os.SCHED_IDLE, p); os.sched_setscheduler(0, 0, p)",
)
"""Fails where a process cannot be given its usual policy back: as a rule only who may raise priorities can do that."""


@attrs.define
class Limited:
    """Workers with a limit that is lower than it was."""

    kind: int
    before: dict[Grip, tuple[int, int]] = attrs.field(factory=dict["Grip", tuple[int, int]])
    soft: dict[Grip, int] = attrs.field(factory=dict["Grip", int])

    @property
    def effect(self) -> Mapping[str, object]:
        """What the limits were lowered to, and how many of the workers have died since."""
        return {
            "hit": len(self.soft),
            "limits": list(self.soft.values()),
            "died": sum(not grip.alive for grip in self.before),
        }

    def healed(self) -> bool:
        """Whether the limits of those that live are what they were, by the kernel's word."""
        return all(_limits(grip, self.kind) in (None, before) for grip, before in self.before.items())

    def lower(self, grip: Grip, soft: int) -> None:
        """Lower the soft limit alone, so that it can be put back by anybody who could lower it."""
        before = grip.limits(self.kind)
        if before is None:
            return
        if before[0] != resource.RLIM_INFINITY and soft >= before[0]:
            raise FaultUnavailable(f"the limit of process {grip.pid} is {before[0]} already, less than {soft}")
        self.before[grip] = before
        if grip.limits(self.kind, (soft, before[1])) is not None:
            self.soft[grip] = soft

    def restore(self) -> None:
        """Put all limits back."""
        for grip, before in self.before.items():
            grip.limits(self.kind, before)


def _limits(grip: Grip, kind: int) -> tuple[int, int] | None:
    return grip.limits(kind) if grip.alive else None


@asynccontextmanager
async def limit(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Limited, None]:
    """Lower a limit of the victims."""
    assert isinstance(spec, (MemoryLimit, FdLimit))  # noqa: S101  # narrows the type: the registry is by kind
    kind, field = _KINDS[spec.memory] if isinstance(spec, MemoryLimit) else (resource.RLIMIT_NOFILE, "")
    async with gripped(victims, arena) as grips:
        limited = Limited(kind)
        try:
            for grip in grips:
                if isinstance(spec, MemoryLimit):
                    limited.lower(grip, _proc.memory(grip.pid, field) + spec.headroom)
                else:
                    limited.lower(grip, lowest_free(_proc.descriptors(grip.pid)) + spec.spare)
            if not limited.soft:
                raise FaultMissed("all who were to be limited are gone")
            yield limited
        finally:
            limited.restore()


def lowest_free(used: Sequence[int]) -> int:
    """Return the number that the next file opened would get: with that as the limit it gets none."""
    number = 0
    while number in used:
        number += 1
    return number


@attrs.define
class Starved:
    """Workers that share a processor with others.

    Args:
        cpu: The processor.
        burners: Who computes there.
        before: By thread: the policy and the processors it had.
    """

    cpu: int
    grips: list[Grip]
    burners: list[trio.Process] = attrs.field(factory=list[trio.Process])
    before: dict[int, tuple[int, set[int]]] = attrs.field(factory=dict[int, tuple[int, set[int]]])
    idle: bool = False

    @property
    def effect(self) -> Mapping[str, object]:
        """Who shares which processor with how many, and how many of the workers have died since."""
        return {
            "hit": len(self.grips),
            "cpu": self.cpu,
            "burners": len(self.burners),
            "idle": self.idle,
            "died": sum(not grip.alive for grip in self.grips),
        }

    def healed(self) -> bool:
        """Whether every thread has the policy and the processors it had, and nobody computes any more."""
        return not any(self.odd(grip) for grip in self.grips) and all(
            burner.returncode is not None for burner in self.burners
        )

    def odd(self, grip: Grip) -> list[int]:
        """Return the threads of a worker that are still held back."""
        found: list[int] = []
        for task in _proc.tasks(grip.pid) if grip.alive else ():
            with suppress(ProcessLookupError):  # the thread ended since
                if (os.sched_getscheduler(task), os.sched_getaffinity(task)) != self._was(grip, task):
                    found.append(task)
        return found

    def _was(self, grip: Grip, task: int) -> tuple[int, set[int]]:
        # Threads that came later have what the first one had, for they have it from one that was there.
        return self.before.get(task, self.before[grip.pid])

    def take(self, grip: Grip) -> None:
        """Hold back all threads of a worker."""
        for task in _proc.tasks(grip.pid):
            with suppress(ProcessLookupError):
                self.before[task] = (os.sched_getscheduler(task), os.sched_getaffinity(task))
                os.sched_setaffinity(task, {self.cpu})
                if self.idle:
                    os.sched_setscheduler(task, os.SCHED_IDLE, os.sched_param(0))

    async def give_back(self, grip: Grip) -> None:
        """Let go of all threads of a worker, also of those that came since; kill it if that is not allowed."""
        try:
            while tasks := self.odd(grip):  # those are new whose maker was not yet let go
                for task in tasks:
                    policy, cpus = self._was(grip, task)
                    with suppress(ProcessLookupError):
                        os.sched_setscheduler(task, policy, os.sched_param(0))
                        os.sched_setaffinity(task, cpus)
        except PermissionError:
            # Rights were lost in between. Of a dead process nothing lasts.
            await grip.signal(signal.SIGKILL)
            await until(lambda: not grip.alive, STOP_LIMIT)
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def starve(
    spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena
) -> AsyncGenerator[Starved, None]:
    """Put the victims on one processor together with processes that compute."""
    assert isinstance(spec, CpuStarvation)  # noqa: S101  # as above
    cpus = sorted(os.sched_getaffinity(0))
    if spec.idle and (await trio.run_process(IDLE_AND_BACK, check=False, capture_stderr=True)).returncode:
        raise FaultUnavailable("what was once made idle could not be made usual again: it takes CAP_SYS_NICE")
    async with gripped(victims, arena) as grips:
        starved = Starved(cpus[int(strike.offset * len(cpus))], grips, idle=spec.idle)
        try:
            for _ in range(spec.burners):
                await _burner(starved)
            for grip in grips:
                starved.take(grip)
            yield starved
        finally:
            with trio.move_on_after(HEAL_LIMIT, shield=True):
                for grip in grips:
                    if grip.pid in starved.before:
                        await starved.give_back(grip)
                for burner in starved.burners:
                    burner.kill()
                    await burner.wait()
                    if burner.stdin is not None:
                        await burner.stdin.aclose()


# Protected: a KeyboardInterrupt between the spawn and the list would leave a process nobody knows of.
@trio.lowlevel.enable_ki_protection
async def _burner(starved: Starved) -> None:
    script = Path(__file__).with_name("_burner.py")
    try:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-S", str(script), str(starved.cpu), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # A group of its own: Ctrl-C at a terminal is this process's to handle, and ends it through the pipe.
            start_new_session=True,
        )
    except OSError as exc:
        raise FaultUnavailable(f"a process that was to compute could not be started: {exc}") from exc
    starved.burners.append(process)
    await trio.lowlevel.checkpoint_if_cancelled()


INJECTORS: dict[str, Injector] = {
    MemoryLimit.kind: limit,
    FdLimit.kind: limit,
    CpuStarvation.kind: starve,
}
