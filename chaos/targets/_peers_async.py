"""Pools with an interface for async programs: trio-parallel and anyio's.

Both start workers when they are needed, up to a limiter's number, and run one call in each. Both end the worker when
its call is called off; neither has a time limit, so that one is put around the call.
"""

from __future__ import annotations

import multiprocessing
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import trio

from ..workload._plain import ready
from ._peers import Peer, PeerPool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence


class ParallelPool(PeerPool):
    """A worker context of trio-parallel."""

    def __init__(self, context: Any, size: int, timeout: float) -> None:
        super().__init__(timeout)
        self._context = context
        self._limiter = trio.CapacityLimiter(size)

    def pids(self) -> Sequence[int]:
        """Return the workers' process ids, as `OpenTarget.pids` says; the context knows only who is idle."""
        return sorted(
            child.pid
            for child in multiprocessing.active_children()
            if child.pid is not None and child.name.startswith("trio-parallel")
        )

    async def run(self, timeout: float, function: Callable[..., Any], /, *args: Any) -> Any:
        """Run it; the worker dies when the time is over or the caller is cancelled."""
        with trio.fail_after(timeout):
            return await self._context.run_sync(function, *args, kill_on_cancel=True, limiter=self._limiter)


class ParallelTarget(Peer):
    """trio-parallel."""

    name = "trio-parallel"
    distribution = "trio-parallel"

    @asynccontextmanager
    async def opened(self, size: int, timeout: float) -> AsyncGenerator[PeerPool, None]:
        """Open a worker context; leaving lets its workers end."""
        trio_parallel: Any = import_module("trio_parallel")
        async with trio_parallel.open_worker_context(init=ready) as context:
            yield ParallelPool(context, size, timeout)


class AnyioPool(PeerPool):
    """anyio's workers, which belong to the whole Trio run."""

    def __init__(self, size: int, timeout: float) -> None:
        super().__init__(timeout)
        self._to_process: Any = import_module("anyio.to_process")
        self._limiter = import_module("anyio").CapacityLimiter(size)

    def pids(self) -> Sequence[int]:
        """Return the workers' process ids, as `OpenTarget.pids` says."""
        try:
            workers = self._to_process._process_pool_workers.get()
        except LookupError:
            return ()  # there were no calls yet
        return sorted(worker.pid for worker in workers if worker.returncode is None)

    async def run(self, timeout: float, function: Callable[..., Any], /, *args: Any) -> Any:
        """Run it; the worker dies when the time is over or the caller is cancelled."""
        with trio.fail_after(timeout):
            return await self._to_process.run_sync(function, *args, cancellable=True, limiter=self._limiter)


class AnyioTarget(Peer):
    """anyio.to_process."""

    name = "anyio"
    distribution = "anyio"

    @asynccontextmanager
    async def opened(self, size: int, timeout: float) -> AsyncGenerator[PeerPool, None]:
        """There is nothing to open, and nothing to close: the workers end with the Trio run."""
        await trio.lowlevel.checkpoint()
        yield AnyioPool(size, timeout)
