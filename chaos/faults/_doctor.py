"""What this machine allows: each fault of a process is done here, to a throw-away one, and looked at, and healed.

So what is said to work has worked a moment ago. What needs a pool alone, such as faults of its links, is judged by what
it needs.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._fault import FaultMissed, FaultUnavailable
from ..scenario._application_faults import AppFdExhaustion, AppKill, AppStall, AppStop, MemoryPressure
from ..scenario._fault import Capability, FaultSpec, Trigger
from ..scenario._plan import Strike
from ..scenario._process_faults import (
    BriefFreeze,
    CancelStorm,
    CpuStarvation,
    CrashLoop,
    CrashOnStart,
    FdExhaustion,
    FdLimit,
    Freeze,
    GilHog,
    Grandchild,
    IgnoreSigterm,
    Kill,
    MemoryGrowth,
    MemoryLimit,
    NeverReady,
    Poison,
    SlowStart,
    StderrFlood,
    StdoutNoise,
)
from ..workload._agent import ORDERS
from . import _application, _proc, _process_deaths, _process_limits, _process_orders, _process_starts, _requests
from ._grip import gripped, obeyed, order, until
from ._injection import Arena, FaultFailed, Victim
from ._orders import Deed
from ._patient import OPERATION
from ._process_limits import lowest_free
from ._watcher import WatcherLine, obey

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping

    from ._grip import Grip
    from ._injection import Injected, Injector

_PATIENCE = 5.0
"""Seconds for each step: each takes some milliseconds, a start in a loaded machine a second."""

_MEBIBYTE = 2**20

_INJECTORS: Mapping[str, Injector] = {
    **_process_deaths.INJECTORS,
    **_process_starts.INJECTORS,
    **_process_orders.INJECTORS,
    **_process_limits.INJECTORS,
    **_requests.INJECTORS,
    **_application.INJECTORS,
}

_NOW: dict[str, Any] = {"name": "examination", "at": Trigger(time=0.0)}

_HARMLESS: tuple[FaultSpec, ...] = (
    Kill(**_NOW),
    Freeze(**_NOW, hold=0.0),
    BriefFreeze(**_NOW),
    CrashOnStart(**_NOW),
    CrashLoop(**_NOW, starts=1, after=0.0),
    SlowStart(**_NOW, delay=0.0),
    NeverReady(**_NOW, noise=10),
    GilHog(**_NOW, hold=0.01),
    IgnoreSigterm(**_NOW),
    MemoryGrowth(**_NOW, size=_MEBIBYTE),
    MemoryLimit(**_NOW),
    FdLimit(**_NOW),
    FdExhaustion(**_NOW),
    StderrFlood(**_NOW, size=100),
    StdoutNoise(**_NOW, size=100),
    Grandchild(**_NOW, own_group=True, hold=_PATIENCE),
    CpuStarvation(**_NOW),
    Poison(**_NOW, operation=OPERATION),
    AppStall(**_NOW, hold=0.001),
    AppFdExhaustion(**_NOW),
    MemoryPressure(**_NOW, size=_MEBIBYTE),
)
"""What is tried, as small as it comes."""

FAULTS: tuple[type[FaultSpec], ...] = (*map(type, _HARMLESS), CancelStorm, AppKill, AppStop)
"""The kinds of fault that are examined where no others are named."""


_SIGNS: Mapping[str, str] = {
    Kill.kind: "died",
    Freeze.kind: "stopped",
    BriefFreeze.kind: "stopped",
    **dict.fromkeys((CrashOnStart.kind, CrashLoop.kind, SlowStart.kind, NeverReady.kind), "starts"),
    MemoryGrowth.kind: "held",
    FdExhaustion.kind: "descriptors",
    Grandchild.kind: "alive",
    Poison.kind: "deaths",
    AppStall.kind: "seconds",
    AppFdExhaustion.kind: "limit",
    MemoryPressure.kind: "held",
}
"""What of a fault's effect shows that there is one, where it is not ``hit``."""


class _Ill(Exception):
    """A fault did not do, or undo, what it should; says what."""


@attrs.frozen
class Finding:
    """One thing that was looked at.

    Args:
        name: The capability's or the fault's.
        reason: Why it is not to be had; None if it is.
    """

    name: str
    reason: str | None

    @property
    def ok(self) -> bool:
        """Whether it is to be had here."""
        return self.reason is None


@attrs.frozen
class Diagnosis:
    """What is to be had here and what is not.

    Args:
        capabilities: What faults need of the machine.
        faults: The faults.
        disables: By capability: the faults that need it.
    """

    capabilities: tuple[Finding, ...]
    faults: tuple[Finding, ...]
    disables: Mapping[str, tuple[str, ...]]

    @property
    def ok(self) -> bool:
        """Whether everything is to be had."""
        return all(finding.ok for finding in (*self.capabilities, *self.faults))

    def data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "ok": self.ok,
            "capabilities": {
                finding.name: {"ok": finding.ok, "reason": finding.reason, "disables": self._lost(finding)}
                for finding in self.capabilities
            },
            "faults": {finding.name: {"ok": finding.ok, "reason": finding.reason} for finding in self.faults},
        }

    def lines(self) -> list[str]:
        """Return it as people read it."""
        width = max(len(finding.name) for finding in (*self.capabilities, *self.faults))
        lines = ["What faults need"]
        for finding in self.capabilities:
            lines.append(_line(finding, width))
            if lost := self._lost(finding):
                lines.append(f"       {'':{width}}  disables {', '.join(lost)}")
        return [*lines, "Faults", *(_line(finding, width) for finding in self.faults)]

    def _lost(self, finding: Finding) -> list[str]:
        return [] if finding.ok else list(self.disables.get(finding.name, ()))


def _line(finding: Finding, width: int) -> str:
    return f"  {'OK' if finding.ok else 'no':3}  {finding.name:{width}}  {finding.reason or ''}".rstrip()


def diagnose(kinds: Iterable[type[FaultSpec]] = FAULTS) -> Diagnosis:
    """Look at what is to be had here.

    Args:
        kinds: The faults to look at.
    """
    return trio.run(examine, tuple(kinds))


async def examine(kinds: Iterable[type[FaultSpec]] = FAULTS) -> Diagnosis:
    """Look at what is to be had here; see `diagnose`. Cancelled, it leaves no process and no file behind."""
    kinds = tuple(kinds)
    await trio.lowlevel.checkpoint()
    with tempfile.TemporaryDirectory(prefix="chaos-doctor-") as folder:
        room = _Room(Path(folder))
        capabilities = {each: await _finding(each.value, partial(_CAPABILITIES[each], room)) for each in Capability}
        harmless = {spec.kind: spec for spec in _HARMLESS}
        faults: list[Finding] = []
        for kind in kinds:
            lacking = sorted(each.value for each in kind.needs if not capabilities[each].ok)
            if lacking:
                faults.append(Finding(kind.kind, f"needs {', '.join(lacking)}"))
            elif kind.kind in harmless:
                faults.append(await _finding(kind.kind, partial(room.try_out, harmless[kind.kind])))
            else:
                faults.append(Finding(kind.kind, None))
    disables = {each.value: tuple(kind.kind for kind in kinds if each in kind.needs) for each in Capability}
    return Diagnosis(tuple(capabilities.values()), tuple(faults), disables)


async def _finding(name: str, attempt: Callable[[], Awaitable[None]]) -> Finding:
    reason = None
    await trio.lowlevel.checkpoint()
    try:
        with trio.move_on_after(4 * _PATIENCE) as scope:
            await attempt()
        if scope.cancelled_caught:
            reason = f"it took longer than {4 * _PATIENCE:g} s"
    except (_Ill, FaultUnavailable, FaultMissed, FaultFailed, OSError) as exc:
        reason = str(exc) or type(exc).__name__
    return Finding(name, reason)


class _Room:
    """Where patients are examined.

    Args:
        folder: For their orders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def patient(self, *, awaited: bool = True) -> AsyncGenerator[trio.Process, None]:
        """Have a process to try faults on, ready unless that is not to be awaited."""
        root = str(Path(__file__).parents[2])
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", f"{__package__}._patient"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, ORDERS: str(self._folder), "PYTHONPATH": os.pathsep.join([root, *sys.path])},
        )
        try:
            if awaited:
                await _ready(process)
            yield process
        finally:
            with trio.move_on_after(_PATIENCE, shield=True):
                process.kill()
                await process.wait()
                for stream in (process.stdin, process.stderr):
                    if stream is not None:
                        await stream.aclose()

    @property
    def arena(self) -> Arena:
        """What injectors may touch."""
        return Arena(
            pool=None,
            launcher=None,
            watch=None,
            orders=self._folder,
            memory_budget=16 * _MEBIBYTE,
            record=lambda *_, **__: None,
        )

    async def try_out(self, spec: FaultSpec) -> None:
        """Inject a fault, look at what it does, and whether it heals."""
        async with self.patient() as process:
            victims = [Victim(pid=process.pid, slot=0, incarnation=0)] if spec.aims else []
            strike = Strike(fault=spec.name, occurrence=0, at=0.0, choice=0.0, offset=0.0)
            async with _INJECTORS[spec.kind](spec, strike, victims, self.arena) as injected:
                await self._look(spec, injected, process)
            if not await until(injected.healed, _PATIENCE):
                raise _Ill("it was done and did not heal")

    async def _look(self, spec: FaultSpec, injected: Injected, process: trio.Process) -> None:
        """See to it that the fault has something to hit, and that it does."""
        async with AsyncExitStack() as stack:
            if isinstance(spec, Poison):
                process.send_signal(signal.SIGUSR1)
            elif isinstance(spec, (CrashOnStart, CrashLoop, SlowStart, NeverReady)):
                await stack.enter_async_context(self.patient(awaited=False))
            elif isinstance(spec, MemoryLimit):
                await self._feed(process, 8 * spec.headroom)
            if not await until(lambda: bool(injected.effect[_SIGNS.get(spec.kind, "hit")]), _PATIENCE):
                raise _Ill(f"it was done and showed nowhere: {dict(injected.effect)}")

    async def _feed(self, process: trio.Process, size: int) -> None:
        """See a process fail to get memory that it is refused."""
        async with self.grip(process) as grip:
            deed = Deed(do="grow", arguments={"size": size, "budget": size})
            said = await obeyed(grip, await order(grip, self.arena, deed), _PATIENCE)
        if said is None or "error" not in said:
            raise _Ill("the kernel takes the limit and does not keep to it")

    # -- what faults need ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def grip(self, process: trio.Process) -> AsyncGenerator[Grip, None]:
        """Take hold of a patient."""
        async with gripped([Victim(pid=process.pid, slot=0, incarnation=0)], self.arena) as (grip,):
            yield grip

    async def pids(self) -> None:
        """Stop a process through a descriptor of it, and see it stand and go on."""
        async with self.patient() as process, self.grip(process) as grip:
            if not await grip.stop():
                raise _Ill("a process that was to be stopped died of it")
            await grip.go_on()
            if grip.stopped:
                raise _Ill("a process that was stopped does not go on")

    async def agent(self) -> None:
        """Have a process obey an order."""
        async with self.patient() as process, self.grip(process) as grip:
            if await obeyed(grip, await order(grip, self.arena, Deed(do="nothing")), _PATIENCE) is None:
                raise _Ill("an order was given and not obeyed")

    async def application(self) -> None:
        """Have a process ask to be stopped, and be stopped."""
        ours, theirs = socket.socketpair()
        line = WatcherLine(theirs)
        answered = trio.Event()
        try:
            async with self.patient() as process, trio.open_nursery() as nursery:
                nursery.start_soon(obey, ours, process.pid, process.send_signal)
                line.stop_us(0.0)
                with trio.move_on_after(_PATIENCE), suppress(FaultFailed):
                    await line.answer()
                    answered.set()
                nursery.cancel_scope.cancel()
        finally:
            ours.close()
            line.close()
        if not answered.is_set():
            raise _Ill("a process that asked to be stopped was not")

    async def prlimit(self) -> None:
        """Lower a limit of a live process, and put it back."""
        async with self.patient() as process, self.grip(process) as grip:
            before = grip.limits(resource.RLIMIT_NOFILE)
            if before is not None:
                grip.limits(resource.RLIMIT_NOFILE, (lowest_free(_proc.descriptors(grip.pid)), before[1]))
                grip.limits(resource.RLIMIT_NOFILE, before)
            if before is None or grip.limits(resource.RLIMIT_NOFILE) != before:
                raise _Ill("a limit that was lowered cannot be put back")

    async def nothing(self) -> None:
        """Look at nothing: it is the pool's own to give."""
        await trio.lowlevel.checkpoint()


async def _ready(process: trio.Process) -> None:
    assert process.stderr is not None  # noqa: S101  # narrows the type: it was opened with a pipe
    said = b""
    with trio.move_on_after(_PATIENCE):
        while True:
            piece = await process.stderr.receive_some()
            said += piece
            if not piece or b"ready" in said:
                break
    await trio.lowlevel.checkpoint()
    if b"ready" not in said:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise _Ill(f"a process to try it on could not be started: {last[0]}")


_CAPABILITIES: Mapping[Capability, Callable[[_Room], Awaitable[None]]] = {
    Capability.PIDS: _Room.pids,
    Capability.LAUNCHER: _Room.nothing,
    Capability.EVENTS: _Room.nothing,
    Capability.AGENT: _Room.agent,
    Capability.APPLICATION: _Room.application,
    Capability.PRLIMIT: _Room.prlimit,
}
