"""A link with latency: a transport whose bytes arrive later, in both directions, without loss or reordering.

With no delay set and nothing held, every call goes straight to the transport below: the same bytes, the same errors, no
extra checkpoint. Otherwise bytes are held with the time at which they are due. What comes from the worker needs no
task, because it is held where the pool asks for it. What goes to the worker needs one, which lives only while something
is held and ends when the transport is closed.
"""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_pool import Transport

    Piece: TypeAlias = bytes | memoryview
    # What the transport below said: bytes, its end (empty bytes), or that it broke.
    Arrival: TypeAlias = memoryview | OSError

HELD_BYTES = 1 << 20
"""How much a link holds in each direction before it is full: as much as the socket buffers of a local worker."""

_READ_SIZE = 1 << 16


class DelayedTransport:
    """Wraps a transport; `set_delay` may be called at any time, and lowering it releases what is held too long.

    Args:
        inner: The transport below; closed with this one.
        nursery: Where the delivering task runs.
    """

    def __init__(self, inner: Transport, nursery: trio.Nursery) -> None:
        self._inner = inner
        self._nursery = nursery
        self._delay = 0.0
        self._closed = False
        self._inbound: deque[tuple[float, Arrival]] = deque()
        self._inbound_bytes = 0
        self._ended = False
        self._outbound: deque[tuple[float, memoryview]] = deque()
        self._outbound_bytes = 0
        self._broken: OSError | None = None
        self._room = trio.Event()
        # The scopes in which the reader and the delivering task sleep until something is due; cancelling one wakes it.
        self._reading: trio.CancelScope | None = None
        self._sleeping: trio.CancelScope | None = None
        self._delivering: trio.CancelScope | None = None
        # Two tasks may not wait for one socket: the pool's writer and the delivering task take turns.
        self._writable = trio.Lock()

    def set_delay(self, seconds: float) -> None:
        """Hold bytes back for so long from now on, and those already held no longer than that."""
        self._delay = seconds
        latest = trio.current_time() + seconds
        self._inbound = deque((min(due, latest), item) for due, item in self._inbound)
        self._outbound = deque((min(due, latest), item) for due, item in self._outbound)
        self._wake()

    def send(self, data: Piece | Sequence[Piece], /) -> int:
        """Take bytes for the worker, as `trio_pool.Transport` says."""
        if self._broken is not None:
            raise OSError(*self._broken.args)
        if self._closed or not (self._delay or self._outbound):
            return self._inner.send(data)
        room = HELD_BYTES - self._outbound_bytes
        if room <= 0:
            raise BlockingIOError("the link holds all it can")
        taken = bytearray()
        for piece in [data] if isinstance(data, (bytes, memoryview)) else data:
            taken += memoryview(piece).cast("B")[: room - len(taken)]
            if len(taken) == room:
                break
        self._outbound.append((trio.current_time() + self._delay, memoryview(bytes(taken))))
        self._outbound_bytes += len(taken)
        if self._delivering is None:
            self._delivering = trio.CancelScope()
            self._nursery.start_soon(self._deliver, self._delivering)
        return len(taken)

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Hand over bytes from the worker that are due, as `trio_pool.Transport` says."""
        if self._closed or not (self._delay or self._inbound):
            return self._inner.recv_into(buffer)
        self._pull()
        if not self._inbound or self._inbound[0][0] > trio.current_time():
            raise BlockingIOError("nothing is due yet")
        due, item = self._inbound[0]
        if isinstance(item, OSError):
            raise OSError(*item.args)
        count = min(len(item), len(buffer))
        memoryview(buffer)[:count] = item[:count]
        if item:  # the end stays where it is: it is told to everyone who asks
            self._inbound.popleft()
            self._inbound_bytes -= count
            if count < len(item):
                self._inbound.appendleft((due, item[count:]))
        return count

    async def wait_readable(self) -> None:
        """Wait until something from the worker is due, as `trio_pool.Transport` says."""
        while not self._closed and (self._delay or self._inbound):
            self._pull()
            now = trio.current_time()
            due = self._inbound[0][0] if self._inbound else float("inf")
            if due <= now:
                await trio.lowlevel.checkpoint()
                return
            with trio.CancelScope(deadline=due) as self._reading:
                if self._ended or self._inbound_bytes >= HELD_BYTES:
                    await trio.sleep_forever()
                await self._inner.wait_readable()
            self._reading = None
        await self._inner.wait_readable()

    async def wait_writable(self) -> None:
        """Wait until `send` takes bytes, as `trio_pool.Transport` says."""
        if not self._outbound or self._closed:
            async with self._writable:
                await self._inner.wait_writable()
            return
        while self._outbound_bytes >= HELD_BYTES and self._broken is None and not self._closed:
            self._room = trio.Event()
            await self._room.wait()
        if self._closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close the link and the transport below; what is held is lost, as on a line that is cut."""
        self._closed = True
        self._inbound.clear()
        self._outbound.clear()
        self._inner.close()
        if self._delivering is not None:
            self._delivering.cancel()
        self._room.set()
        self._wake()

    def _wake(self) -> None:
        for scope in (self._reading, self._sleeping):
            if scope is not None:
                scope.cancel()

    def _pull(self) -> None:
        """Take what the transport below has, stamped with the time it is due."""
        while not self._ended and self._inbound_bytes < HELD_BYTES:
            buffer = bytearray(_READ_SIZE)
            arrival: Arrival
            try:
                count = self._inner.recv_into(buffer)
            except BlockingIOError:
                return
            except OSError as exc:
                arrival, count = exc, 0
            else:
                arrival = memoryview(buffer)[:count]
            self._ended = count == 0
            self._inbound_bytes += count
            self._inbound.append((trio.current_time() + self._delay, arrival))

    async def _deliver(self, scope: trio.CancelScope) -> None:  # noqa: ASYNC910  # a task; cut before it began, it just ends
        """Hand held bytes to the transport below when they are due; ends when nothing is held."""
        try:
            with scope:
                while self._outbound:
                    due, item = self._outbound[0]
                    if due > trio.current_time():
                        with trio.CancelScope(deadline=due) as self._sleeping:
                            await trio.sleep_forever()
                        self._sleeping = None
                        continue
                    try:
                        count = self._inner.send(item)
                    except BlockingIOError:
                        async with self._writable:
                            await self._inner.wait_writable()
                        continue
                    except OSError as exc:
                        self._broken = exc
                        break
                    self._outbound.popleft()
                    self._outbound_bytes -= count
                    if count < len(item):
                        self._outbound.appendleft((due, item[count:]))
                    self._room.set()
        except trio.ClosedResourceError:
            pass  # closed while it waited: the link is gone and so is what it held
        finally:
            # Also when the nursery is cancelled: nobody will deliver the rest, and whoever sends more must hear so.
            if self._outbound and self._broken is None:
                self._broken = BrokenPipeError(errno.EPIPE, "the link was cut")
            self._outbound.clear()
            self._outbound_bytes = 0
            self._delivering = None
            self._room.set()
