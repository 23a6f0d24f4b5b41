"""A worker that ends at an awkward moment is still buried, and its end told in a typed error."""

from __future__ import annotations

import sys
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
    from pathlib import Path

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


class _LateOnce(LocalLauncher):
    """Starts a worker whose words are heard after its exit is, and then usual ones."""

    def __init__(self) -> None:
        self._late: LocalLauncher | None = _LateLauncher()

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> LocalHandle:
        """Start one."""
        late, self._late = self._late, None
        return await (super().open if late is None else late.open)(spec, nursery)


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


# Says that it is ready and that it leaves with one write, as a worker does that is sent SIGTERM right then; the second
# time it stays until it is asked to go.
_HASTY = """
import os, sys
from trio_pool import wire

fd = int(os.environ[wire.SOCKET_VARIABLE])
os.read(fd, 65536)
ready = wire.encode_json({"type": "ready", "protocol": wire.PROTOCOL, "codec": wire.CODEC, "begun": None, "flags": {}})
if os.path.exists(sys.argv[1]):
    os.write(fd, ready)
    os.read(fd, 65536)
else:
    open(sys.argv[1], "x").close()
    os.write(fd, ready + wire.encode_leaving())
"""


@pytest.mark.parametrize("launcher", [LocalLauncher, _LateOnce])
async def test_a_worker_told_to_leave_as_it_gets_ready_leaves_by_plan(
    tmp_path: Path, launcher: type[LocalLauncher]
) -> None:
    """Its announcement may be read together with its ready message, or after its exit: it is replaced, not charged."""
    told: list[PoolEvent] = []
    config = trio_pool.PoolConfig(size=1, restart={"max_restarts": 0}, on_event=told.append, launcher=launcher())
    argv = [sys.executable, "-c", _HASTY, str(tmp_path / "once")]
    with trio.fail_after(PATIENCE):
        async with trio_pool.open_pool(argv, config) as pool:
            with pool.events() as events:
                while pool.get_pool_status().ready < 1:
                    await events.receive()
            assert pool.get_pool_status().metrics.worker_errors == 0
            assert pool.get_pool_status().metrics.restarts == 1
    exits = [event for event in told if isinstance(event, trio_pool.WorkerExited)]
    assert (exits[0].exit, exits[0].reason, exits[0].planned) == (trio_pool.Exited(0), "leaving", True)


async def test_a_lone_worker_told_to_leave_as_it_gets_ready_was_ready(tmp_path: Path) -> None:
    """It is given, and what is sent to it did not run."""
    with trio.fail_after(PATIENCE):
        async with trio_pool.open_worker([sys.executable, "-c", _HASTY, str(tmp_path / "once")]) as worker:
            with pytest.raises(trio_pool.WorkerCrashed) as caught:
                await worker.send_command("ping")
            assert (caught.value.reason, caught.value.outcome) == ("leaving", trio_pool.Outcome.NOT_EXECUTED)


async def test_a_program_name_no_system_takes_is_a_typed_error() -> None:
    """What the operating system refuses with a ValueError, a NUL in the argv, is a failed spawn like any other."""
    with trio.fail_after(PATIENCE), pytest.raises((trio_pool.WorkerInitFailed, ValueError)):
        async with trio_pool.open_worker(["no\0program"]):
            pytest.fail("it cannot be ready")
