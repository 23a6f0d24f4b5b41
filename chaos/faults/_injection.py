"""What an injector is given, and what it leaves behind.

An injector is an async context manager: entering strikes, leaving heals. Healing is shielded and bounded by whoever
leaves it, and it is asked afterwards whether nothing of it lasts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from random import Random

    from trio_pool import SessionPool, WorkerInfo

    from .._launcher import ChaosHandle, ChaosLauncher
    from .._watch import PoolWatch
    from ..scenario._fault import FaultSpec
    from ..scenario._plan import Strike


class FaultFailed(RuntimeError):
    """A fault could not be injected, or did not heal: the machine refused what it had granted before."""


@attrs.frozen(kw_only=True)
class Victim:
    """A worker that is to be hit.

    Args:
        pid: Its process.
        info: What the pool says of it, where the pool is ours.
        handle: The launcher's handle, where there is one; signals go through it, since it knows whether the process is
            still the one that is meant.
        slot: Its place in the pool.
        incarnation: The number of its life; of other pools a number that the harness gives each new process.
        request: Of other pools, the number in the plan of the request that it runs; None if it runs none.
    """

    pid: int
    slot: int
    incarnation: int
    info: WorkerInfo | None = None
    handle: ChaosHandle | None = None
    request: int | None = None


class Callers(Protocol):
    """Those who wait for answers."""

    def cancel(self, share: float, chance: Random, /) -> Sequence[int]:
        """Have this share of those who wait give up; return whose requests, by their numbers in the plan."""
        ...


class Watcher(Protocol):
    """The process that watches over this one."""

    def stop_us(self, seconds: float, /) -> None:
        """Ask to be stopped for so long, which happens as soon as the watcher has heard of it."""
        ...

    async def answer(self) -> None:
        """Wait until that is over.

        Raises:
            FaultFailed: It did not happen, or the watcher is gone.
        """
        ...


@attrs.define
class Spending:
    """What faults have taken of a budget."""

    total: int = 0

    def take(self, size: int, budget: int) -> int:
        """Take so much, or what is left; return how much."""
        granted = max(0, min(size, budget - self.total))
        self.total += granted
        return granted

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self.total -= size


@attrs.frozen(kw_only=True)
class Arena:
    """What injectors may touch.

    Args:
        pool: The pool, where it is ours.
        launcher: Its launcher, through which links and processes are reached.
        watch: Wakes on what the pool does.
        orders: The directory in which the workers' agents find their orders.
        memory_budget: Bytes that faults may take, in all.
        record: Writes a record of the source ``chaos``.
        callers: Those who make the requests.
        watcher: The process that watches over this one, where there is one.
        memory: What faults have taken of the budget.
        armed: To be called by an injector that waits for somebody to come by, once it is ready for them.
    """

    pool: SessionPool | None
    launcher: ChaosLauncher | None
    watch: PoolWatch | None
    orders: Path
    memory_budget: int
    record: Callable[..., object]
    callers: Callers | None = None
    watcher: Watcher | None = None
    memory: Spending = attrs.field(factory=Spending)
    armed: Callable[[], None] = lambda: None


class Injected(Protocol):
    """A fault that is in force."""

    @property
    def effect(self) -> Mapping[str, object]:
        """What it did so far, for the history: frames changed, bytes held, requests hit."""
        ...

    def healed(self) -> bool:
        """Whether nothing of it lasts; asked after it was left."""
        ...


class Injector(Protocol):
    """Carries out one kind of fault."""

    def __call__(
        self, spec: FaultSpec, strike: Strike, victims: Sequence[Victim], arena: Arena, /
    ) -> AbstractAsyncContextManager[Injected]:
        """Strike on entering, heal on leaving.

        Raises:
            FaultMissed: The victim was gone before it was hit; nothing was done.
            FaultUnavailable: It cannot be had with this pool or on this machine; nothing was done.
            FaultFailed: The machine refused.
        """
        ...
