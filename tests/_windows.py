"""Kill windows: workers that die at an exact point of a request's life, and a launcher through which to reach it.

Nothing here waits for a while. A worker is stopped before it is to find something, and whoever waits for a stop or an
end waits for the kernel to say so. The test's own thread stands still meanwhile, so the pool learns nothing earlier
than it is meant to.
"""

from __future__ import annotations

import math
import os
import select
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import trio
from _apps import notes
from _pools import obeys_the_law, settled
from _window_app import DEATHS, HANDSHAKE
from _workers import PATIENCE

import trio_pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from trio_pool import Exit, PoolEvent, SessionPool, Transport, WorkerHandle, WorkerIdent, WorkerSpec

    Piece: TypeAlias = bytes | memoryview

APP = "_window_app:bridge"


def freeze(pid: int) -> None:
    """Stop a child process, and return when it stands."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def end(pid: int, death: str) -> None:
    """Have a worker die so, stopped or not, and return when it is dead; it stays unreaped."""
    os.kill(pid, DEATHS[death])
    os.kill(pid, signal.SIGCONT)
    await_end(pid)


def await_end(pid: int) -> None:
    """Return when a child process is dead; it stays unreaped."""
    with open(os.pidfd_open(pid), "rb") as pidfd:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(PATIENCE * 1000), "the worker was to die and lives"


class WindowTransport:
    """A worker's transport with a place for what is to happen at the next byte in either direction."""

    def __init__(self, inner: Transport, pid: int) -> None:
        self.inner = inner
        self.pid = pid
        self.at_send: Callable[[bytes], int] | None = None
        """Called once, with what is next to be sent, instead of sending it."""
        self.at_receive: Callable[[], None] | None = None
        """Called once, before anything is next received."""
        self.exit_told: trio.Event | None = None
        """If set, nothing is received before this event: the pool is to learn of the exit first."""
        self.received = 0
        """How many bytes the worker has said so far."""

    def send(self, data: Piece | Sequence[Piece], /) -> int:
        """Send, or do what was planned instead."""
        if self.at_send is None:
            return self.inner.send(data)
        planned, self.at_send = self.at_send, None
        return planned(bytes(data) if isinstance(data, (bytes, memoryview)) else b"".join(data))

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Receive, after what was planned."""
        if self.exit_told is not None and not self.exit_told.is_set():
            raise BlockingIOError("what the worker said is held back")
        if self.at_receive is not None:
            planned, self.at_receive = self.at_receive, None
            planned()
        count = self.inner.recv_into(buffer)
        self.received += count
        return count

    async def wait_readable(self) -> None:
        """As the wrapped transport's."""
        if self.exit_told is not None:
            await self.exit_told.wait()
        await self.inner.wait_readable()

    async def wait_writable(self) -> None:
        """As the wrapped transport's."""
        await self.inner.wait_writable()

    def close(self) -> None:
        """As the wrapped transport's."""
        self.inner.close()


class WindowHandle:
    """A worker's handle with a `WindowTransport`; everything else is the wrapped handle's."""

    def __init__(self, inner: WorkerHandle) -> None:
        assert inner.ident.pid is not None
        self._inner = inner
        self.transport = WindowTransport(inner.transport, inner.ident.pid)

    @property
    def output(self) -> trio.abc.ReceiveStream | None:
        return self._inner.output

    @property
    def ident(self) -> WorkerIdent:
        return self._inner.ident

    @property
    def begun(self) -> Callable[[], int] | None:
        return self._inner.begun

    async def wait(self) -> Exit:
        exit_ = await self._inner.wait()
        # No checkpoint up to the return: whoever waits to receive wakes only when the pool has been told.
        if self.transport.exit_told is not None:
            self.transport.exit_told.set()
        return exit_

    async def signal(self, sig: int) -> None:
        await self._inner.signal(sig)

    async def terminate(self) -> None:
        await self._inner.terminate()

    async def kill(self) -> None:
        await self._inner.kill()

    async def reap(self) -> None:
        await self._inner.reap()


class WindowLauncher:
    """Starts local workers and keeps the transport of each."""

    def __init__(self) -> None:
        self.transports: list[WindowTransport] = []
        self._inner = trio_pool.LocalLauncher()

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> WorkerHandle:
        """Start a worker."""
        handle = WindowHandle(await self._inner.open(spec, nursery))
        self.transports.append(handle.transport)
        return handle


@attrs.define(kw_only=True)
class Window:
    """A pool of one worker, and what a test needs to have that worker die in a window and see what came of it."""

    pool: SessionPool
    launcher: WindowLauncher
    events: list[PoolEvent]
    ledger: Path
    handshake: Path
    death: str
    at_event: Callable[[PoolEvent], None] | None = None
    tokens: int = 0

    @property
    def transport(self) -> WindowTransport:
        """The youngest worker's."""
        return self.launcher.transports[-1]

    @property
    def executed(self) -> list[int]:
        """The tokens of the executions, in order: the worker's own account, which outlives it."""
        return [int(line.split()[0]) for line in notes(self.ledger)]

    @property
    def starts(self) -> int:
        """How many workers were started."""
        return sum(isinstance(event, trio_pool.WorkerStarting) for event in self.events)

    @property
    def exits(self) -> list[str]:
        """How the workers ended, in order, and in brackets those that left by plan."""
        exits = [event for event in self.events if isinstance(event, trio_pool.WorkerExited)]
        return [f"({event.exit})" if event.planned else str(event.exit) for event in exits]

    def end(self) -> None:
        """Have the youngest worker die."""
        end(self.transport.pid, self.death)

    async def ask(self, command: str = "record", *, idempotent: bool = False, **args: object) -> str:
        """Send a request with a token of its own; return ``ok`` if its own reply came, else the error's outcome."""
        self.tokens += 1
        options: Any = {"idempotent": True} if idempotent else {}
        arguments = {"path": str(self.ledger), "token": self.tokens, **args}
        try:
            reply = await self.pool.execute_anonymous(command, arguments, **options)
        except trio_pool.TrioPoolError as error:
            return str(error.outcome)
        assert reply == arguments["token"]
        return "ok"

    async def recovered(self) -> None:
        """Check that the pool is whole again: at full strength, with the next request served and the books in order."""
        await settled(self.pool)
        assert await self.ask() == "ok"
        assert self.executed[-1] == self.tokens
        assert self.executed.count(self.tokens) == 1
        assert obeys_the_law(self.pool)


@asynccontextmanager
async def window(folder: Path, death: str, **options: object) -> AsyncIterator[Window]:
    """Open a pool of one worker, with `Window`'s view of it, for a block that is over in time."""
    launcher = WindowLauncher()
    events: list[PoolEvent] = []
    made: Window | None = None

    def observe(event: PoolEvent) -> None:
        events.append(event)
        if made is not None and made.at_event is not None:
            made.at_event(event)

    settings: dict[str, object] = {
        "size": 1,
        "launcher": launcher,
        "on_event": observe,
        "restart": {"max_restarts": math.inf, "backoff": {"initial": 0.0}},
        "checkout_timeout": PATIENCE,
        "timeout": PATIENCE,
        "env": {HANDSHAKE: str(folder / "handshake")},
        **options,
    }
    with trio.fail_after(2 * PATIENCE):
        async with trio_pool.open_pool(APP, trio_pool.PoolConfig(**settings)) as pool:  # type: ignore[arg-type]  # options by name
            made = Window(
                pool=pool,
                launcher=launcher,
                events=events,
                ledger=folder / "ledger",
                handshake=folder / "handshake",
                death=death,
            )
            yield made
