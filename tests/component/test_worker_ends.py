"""A worker that ends at an awkward moment is still buried, and its end told in a typed error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from _pools import (
    APP,
    foreign,
    pid_of,
)
from _workers import PATIENCE, living

import trio_pool
from chaos._launcher import ChaosLauncher
from trio_pool._process._local import LocalHandle, LocalLauncher

if TYPE_CHECKING:
    from trio_pool import PoolEvent
    from trio_pool._process._launcher import WorkerSpec
    from trio_pool._process._transport import Transport

pytestmark = pytest.mark.slow


async def test_closing_while_a_link_is_slow_leaves_no_worker() -> None:
    """A launcher's link may need its nursery until the worker is reaped, also to carry the shutdown frame."""
    launcher = ChaosLauncher()
    events: list[PoolEvent] = []
    with trio.fail_after(PATIENCE):
        async with trio_pool.open_pool(APP, size=1, launcher=launcher, on_event=events.append) as pool:
            pid = pid_of(pool)
            launcher.delay(0.01)
        assert not living({pid})
    # Asked to stop, and given the time for it: not killed for want of a way to ask.
    exits = [event.exit for event in events if isinstance(event, trio_pool.WorkerExited)]
    assert exits == [trio_pool.Exited(0)]


class _LateTransport:
    """Says nothing before the worker's exit was noticed."""

    def __init__(self, handle: LocalHandle) -> None:
        self._handle = handle
        self._inner: Transport = handle.transport
        self.send = self._inner.send
        self.wait_writable = self._inner.wait_writable
        self.close = self._inner.close

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Read, once it is time."""
        if self._handle._exit is None:  # the test's very subject is the order of these two
            raise BlockingIOError
        return self._inner.recv_into(buffer)

    async def wait_readable(self) -> None:
        """Wait until it is time."""
        await self._handle.wait()


class _LateLauncher(LocalLauncher):
    """Starts workers whose words are heard after their exit is."""

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> LocalHandle:
        """Start one."""
        handle = await super().open(spec, nursery)
        handle.transport = _LateTransport(handle)  # type: ignore[assignment]  # a transport
        return handle


@pytest.mark.parametrize("pooled", [False, True])
async def test_a_worker_that_dies_as_it_gets_ready_is_a_typed_error(pooled: bool) -> None:
    """The exit seen between the ready frame and its consequences is a failed start, not an illegal transition."""
    config = trio_pool.PoolConfig(size=1, launcher=_LateLauncher())
    with trio.fail_after(PATIENCE), pytest.raises(trio_pool.WorkerInitFailed):  # noqa: PT012  # either way of starting
        if pooled:
            async with trio_pool.open_pool(foreign(""), config):
                pytest.fail("it cannot be open")
        else:
            async with trio_pool.open_worker(foreign(""), config=config):
                pytest.fail("it cannot be ready")


async def test_a_program_name_no_system_takes_is_a_typed_error() -> None:
    """What the operating system refuses with a ValueError, a NUL in the argv, is a failed spawn like any other."""
    with trio.fail_after(PATIENCE), pytest.raises((trio_pool.WorkerInitFailed, ValueError)):
        async with trio_pool.open_worker(["no\0program"]):
            pytest.fail("it cannot be ready")
