"""A launcher for experiments: wraps any other and keeps hold of the workers it starts, by incarnation.

Through it the monkey reaches a worker's process and link without looking behind the pool's public face. While nobody
injects anything it is transparent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_pool import LocalLauncher

from ._latency import DelayedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from trio_pool import Exit, Launcher, Transport, WorkerHandle, WorkerIdent, WorkerSpec


class ChaosHandle:
    """A worker's handle with a link that can be delayed; everything else is the wrapped handle's."""

    def __init__(self, inner: WorkerHandle, nursery: trio.Nursery, forget: Callable[[ChaosHandle], None]) -> None:
        self._inner = inner
        self._forget = forget
        self.link = DelayedTransport(inner.transport, nursery)

    @property
    def transport(self) -> Transport:
        """The link, delayed or not."""
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
    """A delay in force: on the link of one incarnation, or on every link if that is None."""

    incarnation: int | None
    seconds: float


class ChaosLauncher:
    """Starts workers through another launcher and lets a monkey at them.

    Args:
        inner: The launcher that does the work; local processes by default.
    """

    def __init__(self, inner: Launcher | None = None) -> None:
        self._inner: Launcher = LocalLauncher() if inner is None else inner
        self._live: dict[int, ChaosHandle] = {}
        self._delays: list[Delay] = []
        self.started: list[WorkerIdent] = []
        """Every worker ever started, in order."""

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> WorkerHandle:
        """Start a worker, as `trio_pool.Launcher` says; delays on every link apply to it from its first byte."""
        handle = ChaosHandle(await self._inner.open(spec, nursery), nursery, self._forget)
        # No checkpoint up to the return: a cancelled open must leave nothing behind.
        self._live[spec.incarnation] = handle
        self.started.append(handle.ident)
        self._apply()
        return handle

    def find(self, incarnation: int) -> ChaosHandle | None:
        """Return the handle of a worker that is not yet reaped."""
        return self._live.get(incarnation)

    def delay(self, seconds: float, incarnation: int | None = None) -> Delay:
        """Add latency to one link or to all, those of later workers included; delays on one link add up."""
        delay = Delay(incarnation, seconds)
        self._delays.append(delay)
        self._apply()
        return delay

    def undelay(self, delay: Delay) -> None:
        """Take a delay away; taking it away twice does nothing."""
        if delay in self._delays:
            self._delays.remove(delay)
            self._apply()

    def _apply(self) -> None:
        for incarnation, handle in self._live.items():
            matching = (delay.seconds for delay in self._delays if delay.incarnation in (None, incarnation))
            handle.link.set_delay(sum(matching))

    def _forget(self, handle: ChaosHandle) -> None:
        self._live.pop(handle.ident.incarnation, None)
