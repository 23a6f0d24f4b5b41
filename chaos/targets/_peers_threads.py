"""Pools that block who calls them: those of the standard library, loky and pebble, each call in a thread of its own."""

from __future__ import annotations

import platform
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import trio

from ..workload._plain import forked, ready
from ._peers import Peer, PeerPool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence


CLOSE_LIMIT = 30.0
"""Seconds after which a pool that is being closed is left to itself; requests that still run take no longer."""


class ExecutorPool(PeerPool):
    """An executor with the interface of `concurrent.futures`.

    Who waits for a result gives up when the time is over, and calls the request off, which helps if it has not begun;
    what has begun goes on to its end.
    """

    def __init__(self, executor: Any, timeout: float) -> None:
        super().__init__(timeout)
        self._executor = executor

    def pids(self) -> Sequence[int]:
        """Return the workers' process ids, as `OpenTarget.pids` says; both executors keep them so."""
        return sorted(self._executor._processes or ())

    async def run(self, timeout: float, function: Callable[..., Any], /, *args: Any) -> Any:
        """Submit, and wait for the result."""
        # Submitting may start a process, or wait for a lock.
        future = await trio.to_thread.run_sync(self._executor.submit, function, *args, limiter=self._threads)
        try:
            return await trio.to_thread.run_sync(future.result, timeout, abandon_on_cancel=True, limiter=self._threads)
        finally:
            future.cancel()  # does nothing to one that has begun or is done


class ProcessPoolExecutorTarget(Peer):
    """`concurrent.futures.ProcessPoolExecutor`, with the start method that this Python has for it."""

    name = "ProcessPoolExecutor"

    @property
    def version(self) -> str:
        """That of Python."""
        return f"Python {platform.python_version()}"

    @asynccontextmanager
    async def opened(self, size: int, timeout: float) -> AsyncGenerator[PeerPool, None]:
        """Open an executor; leaving waits for all that was submitted, as a with statement does."""
        from concurrent.futures import ProcessPoolExecutor

        executor = ProcessPoolExecutor(max_workers=size, initializer=forked)
        async with _closing(executor.shutdown):
            yield ExecutorPool(executor, timeout)


class LokyTarget(Peer):
    """loky's reusable executor, obtained once: who obtains it anew after it broke has another one."""

    name = "loky"
    distribution = "loky"

    @asynccontextmanager
    async def opened(self, size: int, timeout: float) -> AsyncGenerator[PeerPool, None]:
        """Obtain the executor; leaving waits for all that was submitted."""
        loky: Any = import_module("loky")
        executor = loky.get_reusable_executor(max_workers=size, initializer=ready)
        async with _closing(executor.shutdown):
            yield ExecutorPool(executor, timeout)


class StandardPool(PeerPool):
    """A pool of `multiprocessing`: who waits gives up when the time is over, and nothing can be called off."""

    def __init__(self, pool: Any, timeout: float) -> None:
        super().__init__(timeout)
        self._pool = pool

    def pids(self) -> Sequence[int]:
        """Return the workers' process ids, as `OpenTarget.pids` says."""
        return sorted(process.pid for process in list(self._pool._pool))

    async def run(self, timeout: float, function: Callable[..., Any], /, *args: Any) -> Any:
        """Apply, and wait for the result."""
        result = self._pool.apply_async(function, args)
        return await trio.to_thread.run_sync(result.get, timeout, abandon_on_cancel=True, limiter=self._threads)


class StandardPoolTarget(Peer):
    """`multiprocessing.Pool`, with the start method that this Python has for it."""

    name = "multiprocessing.Pool"

    @property
    def version(self) -> str:
        """That of Python."""
        return f"Python {platform.python_version()}"

    @asynccontextmanager
    async def opened(self, size: int, timeout: float) -> AsyncGenerator[PeerPool, None]:
        """Open a pool; leaving terminates it, as a with statement does, and waits for its workers."""
        import multiprocessing

        pool = multiprocessing.Pool(size, initializer=forked)

        def close() -> None:
            pool.terminate()
            pool.join()

        async with _closing(close):
            yield StandardPool(pool, timeout)


class PebblePool(PeerPool):
    """A pool of pebble: it ends a worker whose request takes too long, or is called off, and starts another."""

    def __init__(self, pool: Any, timeout: float) -> None:
        super().__init__(timeout)
        self._pool = pool

    def pids(self) -> Sequence[int]:
        """Return the workers' process ids, as `OpenTarget.pids` says."""
        return sorted(self._pool._pool_manager.worker_manager.workers)

    async def run(self, timeout: float, function: Callable[..., Any], /, *args: Any) -> Any:
        """Schedule with that limit, which counts from when a worker has begun, and wait for the result."""
        future = await trio.to_thread.run_sync(
            lambda: self._pool.schedule(function, args=args, timeout=timeout), limiter=self._threads
        )
        try:
            return await trio.to_thread.run_sync(future.result, abandon_on_cancel=True, limiter=self._threads)
        finally:
            future.cancel()  # does nothing to one that is done


class PebbleTarget(Peer):
    """pebble's ProcessPool."""

    name = "pebble"
    distribution = "pebble"

    @asynccontextmanager
    async def opened(self, size: int, timeout: float) -> AsyncGenerator[PeerPool, None]:
        """Open a pool; leaving waits for all that was scheduled, as a with statement does."""
        pebble: Any = import_module("pebble")
        pool = pebble.ProcessPool(max_workers=size, initializer=ready)

        def close() -> None:
            pool.close()
            pool.join()

        async with _closing(close):
            yield PebblePool(pool, timeout)


@asynccontextmanager
async def _closing(close: Callable[[], object]) -> AsyncGenerator[None, None]:
    """Close a pool in a thread on leaving, whatever ended the use of it; one that will not close is left at last."""
    try:
        yield
    finally:
        with trio.move_on_after(CLOSE_LIMIT, shield=True):
            await trio.to_thread.run_sync(close, abandon_on_cancel=True)
