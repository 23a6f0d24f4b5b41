"""What the adapters of other pools share.

Each calls its pool as that pool's users do, with the timeouts and the cancellation it has, and all its settings are its
defaults but for the number of workers. Blocking ones are called in threads. A pool's package is imported when the pool
is opened, not before.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import trio

from .._about import installed
from ..scenario._fault import Capability
from ..workload._plain import hold, perform

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from ._target import Call, Setup

CAPABILITIES = frozenset({Capability.PIDS, Capability.AGENT, Capability.APPLICATION, Capability.PRLIMIT})
"""How such a pool can be reached: from outside, and by the program that its workers run."""

WARM_UP = 0.1
"""Seconds for which each worker is kept busy so that the next request needs another one: some pools start workers only
when there is nobody else to do the work."""

ROUNDS = 5
"""How often that is tried: a worker that starts slowly may come to nothing in the first."""


class PeerPool(ABC):
    """A pool of somebody else's that is open.

    Args:
        timeout: The budget of a request that names none, in seconds.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        # Not Trio's own limiter: a request that hangs keeps its thread, and forty of those would stop the harness.
        self._threads = trio.CapacityLimiter(1000)

    @property
    def pool(self) -> None:
        """It is none of ours."""
        return

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What can be done to processes."""
        return CAPABILITIES

    async def call(self, call: Call) -> Any:
        """Send a request, as `OpenTarget.call` says; nothing is asked twice."""
        timeout = self._timeout if call.timeout is None else call.timeout
        return await self.run(timeout, perform, call.command, dict(call.args))

    async def end_session(self, session: str) -> None:
        """There are no sessions."""
        await trio.lowlevel.checkpoint()

    @abstractmethod
    def pids(self) -> Sequence[int]:
        """Return the workers' process ids, as `OpenTarget.pids` says."""

    @abstractmethod
    async def run(self, timeout: float, function: Callable[..., Any], /, *args: Any) -> Any:
        """Call a function in a worker.

        Args:
            timeout: How long to wait, by the pool's own means.
            function: What to call.
            args: What to call it with.

        Raises:
            Exception: Whatever the pool raises, and what the function does.
        """

    async def warm(self, size: int) -> None:
        """Have so many workers started and ready, as far as the pool can be brought to it."""
        await trio.lowlevel.checkpoint()
        for _ in range(ROUNDS):
            async with trio.open_nursery() as nursery:
                for _ in range(size):
                    nursery.start_soon(self.run, self._timeout, hold, WARM_UP)
            if len(self.pids()) >= size:
                break


class Peer(ABC):
    """A kind of pool that is somebody else's.

    Attributes:
        name: How the command line calls it.
        distribution: Where it comes from.
    """

    name: str
    distribution: str
    sessions = False
    workloads: frozenset[str] | None = frozenset({"register"})

    @property
    def version(self) -> str:
        """Of the distribution, which may not be installed."""
        return installed(self.distribution)

    @asynccontextmanager
    async def open(self, setup: Setup) -> AsyncGenerator[PeerPool, None]:
        """Open a pool of as many workers as the scenario's, and have them started.

        Raises:
            ModuleNotFoundError: The distribution is not installed.
        """
        settings = setup.scenario.pool
        size = settings.size or 2 * len(os.sched_getaffinity(0))  # as ours has it
        with _environment(setup.env):
            async with self.opened(size, settings.timeout) as pool:
                await pool.warm(size)
                yield pool

    @abstractmethod
    def opened(self, size: int, timeout: float) -> AbstractAsyncContextManager[PeerPool]:
        """Open a pool; leaving closes it.

        Args:
            size: How many workers.
            timeout: The budget of a request that names none.
        """


@contextmanager
def _environment(env: Mapping[str, str]) -> Generator[None, None, None]:
    """Have workers that start meanwhile find these variables: they have the application's environment."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
