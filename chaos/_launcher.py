"""A launcher for experiments: wraps any other and keeps hold of the workers it starts.

Through it the monkey reaches a worker's process and link without looking behind the pool's public face. While nobody
injects anything it is transparent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_pool import LocalLauncher

from ._garble import GarbledTransport
from ._latency import DelayedTransport
from .link._interposer import Interposer

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from trio_pool import Exit, Launcher, Transport, WorkerHandle, WorkerIdent, WorkerInfo, WorkerSpec


REAL_LAYERS = frozenset(("system", "stress", "production"))
"""What a launcher serves that does not say otherwise."""


class ChaosHandle:
    """A worker's handle with a link that faults can be put upon; everything else is the wrapped handle's."""

    def __init__(
        self, inner: WorkerHandle, worker_id: str, nursery: trio.Nursery, forget: Callable[[ChaosHandle], None]
    ) -> None:
        self.worker_id = worker_id
        self._inner = inner
        self._forget = forget
        # Nearest to the worker, so that the frames it sees are the worker's own.
        self.interposer = Interposer(inner.transport, nursery)
        # Nearer to it than the delay: what it says wrongly is delayed as what it says rightly.
        self.speech = GarbledTransport(self.interposer)
        self.link = DelayedTransport(self.speech, nursery)

    @property
    def transport(self) -> Transport:
        """The link, with or without faults upon it."""
        return self.link

    @property
    def output(self) -> trio.abc.ReceiveStream | None:
        """As the wrapped handle's."""
        return self._inner.output

    @property
    def ident(self) -> WorkerIdent:
        """As the wrapped handle's."""
        return self._inner.ident

    @property
    def begun(self) -> Callable[[], int] | None:
        """As the wrapped handle's."""
        return self._inner.begun

    async def wait(self) -> Exit:
        """As the wrapped handle's."""
        return await self._inner.wait()

    async def signal(self, sig: int) -> None:
        """As the wrapped handle's."""
        await self._inner.signal(sig)

    async def terminate(self) -> None:
        """As the wrapped handle's."""
        await self._inner.terminate()

    async def kill(self) -> None:
        """As the wrapped handle's."""
        await self._inner.kill()

    async def reap(self) -> None:
        """As the wrapped handle's; the monkey can reach this worker no longer."""
        self._forget(self)
        self.link.close()
        await self._inner.reap()


@attrs.frozen(eq=False)
class Delay:
    """A delay in force: on the link of one worker, or on every link if that is None."""

    handle: ChaosHandle | None
    seconds: float


class ChaosLauncher:
    """Starts workers through another launcher and lets a monkey at them.

    Args:
        inner: The launcher that does the work; local processes by default.
    """

    def __init__(self, inner: Launcher | None = None) -> None:
        self._inner: Launcher = LocalLauncher() if inner is None else inner
        # Not by incarnation: that is a number of one pool's, and two pools may share a launcher.
        self._live: dict[ChaosHandle, None] = {}
        self._delays: list[Delay] = []
        self.started: list[WorkerIdent] = []
        """Every worker ever started, in order."""
        self.on_open: list[Callable[[ChaosHandle], None]] = []
        """Called with each worker that is started, before a byte has gone either way."""

    @property
    def handles(self) -> tuple[ChaosHandle, ...]:
        """The workers that are not yet reaped, in the order of their starts."""
        return tuple(self._live)

    @property
    def test_layers(self) -> frozenset[str]:
        """The layers of tests that the wrapped launcher can serve."""
        layers: frozenset[str] = getattr(self._inner, "test_layers", REAL_LAYERS)
        return layers

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> WorkerHandle:
        """Start a worker, as `trio_pool.Launcher` says; delays on every link apply to it from its first byte."""
        handle = ChaosHandle(await self._inner.open(spec, nursery), spec.worker_id, nursery, self._forget)
        # No checkpoint up to the return: a cancelled open must leave nothing behind.
        self._live[handle] = None
        self.started.append(handle.ident)
        self._apply()
        for told in tuple(self.on_open):
            told(handle)
        return handle

    def find(self, worker: WorkerInfo) -> ChaosHandle | None:
        """Return the handle of just this incarnation of this pool's worker, if it is not yet reaped."""
        sought = (worker.worker_id, worker.incarnation, worker.pid)
        for handle in self._live:
            if (handle.worker_id, handle.ident.incarnation, handle.ident.pid) == sought:
                return handle
        return None

    def delay(self, seconds: float, handle: ChaosHandle | None = None) -> Delay:
        """Add latency to one link or to all, those of later workers included; delays on one link add up."""
        delay = Delay(handle, seconds)
        self._delays.append(delay)
        self._apply()
        return delay

    def undelay(self, delay: Delay) -> None:
        """Take a delay away; taking it away twice does nothing."""
        if delay in self._delays:
            self._delays.remove(delay)
            self._apply()

    def _apply(self) -> None:
        for handle in self._live:
            matching = (delay.seconds for delay in self._delays if delay.handle in (None, handle))
            handle.link.set_delay(sum(matching))

    def _forget(self, handle: ChaosHandle) -> None:
        self._live.pop(handle, None)
