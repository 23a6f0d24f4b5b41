"""A fault that a monkey injected, and the two reasons why one may not have been."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_pool import WorkerInfo


class FaultKind(StrEnum):
    """What is done to a worker, or to the machine it runs on."""

    KILL = "kill"
    """SIGKILL to the worker's process alone."""
    FREEZE = "freeze"
    """SIGSTOP, until healed by SIGCONT or until the worker is gone."""
    LATENCY = "latency"
    """Bytes on the worker's link arrive later by a fixed time, in both directions, until healed."""
    CORRUPTION = "corruption"
    """The worker says something that is not the protocol, once."""
    MEMORY = "memory"
    """Another process holds memory, until healed."""


class FaultUnavailable(RuntimeError):
    """The fault cannot be had here, and nothing was done.

    Either the workers are out of the monkey's reach, because the pool was not opened with this `ChaosLauncher`, or the
    machine does not give the memory that was to be consumed.
    """


class FaultMissed(LookupError):
    """No worker fits the description, or it was gone before the fault reached it. Nothing was done to anyone."""


@attrs.define(kw_only=True, eq=False)
class Fault:
    """A fault that was injected.

    Args:
        kind: What was done.
        worker: The worker as the pool saw it right after the injection, or None where every worker was hit.
        at: The injection, in Trio's time.
        healed: Whether nothing of it lasts; true of a kill from the start.
        pid: The process that consumes memory; None of other faults.
        size: How many bytes of memory it holds; 0 of other faults.
        undo: What takes it back; called by `heal`.
    """

    kind: FaultKind
    worker: WorkerInfo | None
    at: float
    healed: bool = False
    pid: int | None = None
    size: int = 0
    undo: Callable[[], Awaitable[None]] | None = attrs.field(default=None, repr=False)

    async def heal(self) -> None:
        """Take the fault back, if it can be and still lasts. If this is cancelled, call it again."""
        if self.healed or self.undo is None:
            await trio.lowlevel.checkpoint()
        else:
            await self.undo()
            self.healed = True
