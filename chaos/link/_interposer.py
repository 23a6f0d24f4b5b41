"""The interposer: a transport that sits between the pool and a worker's transport, and sees the frames go by.

**While no toxic is in force** every call goes straight to the transport below: the same bytes, the same errors, no
extra checkpoint, nothing read ahead and nothing held back. The frames are only counted along, so that a toxic can begin
with a message whenever it is added.

**While one is**, bytes are read ahead as far as `HELD_BYTES` and wait in a `Lane` for each direction. What comes from
the worker needs no task, because it waits where the pool asks for it. What goes to the worker needs one, which lives
only while something waits and ends when the transport is closed.

**When one is taken away** what it kept goes on in its place and the link becomes transparent again as soon as that has
been delivered. Not a byte is lost or moved by it.
"""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING, TypeAlias

import trio

from ..scenario._fault import Direction
from ._frames import Cutter, Uncut
from ._lane import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_pool import Transport

    from ._toxic import Toxic

    Bytes: TypeAlias = bytes | memoryview

HELD_BYTES = 1 << 20
"""How much a link holds in each direction before it is full: as much as the socket buffers of a local worker."""

_READ_SIZE = 1 << 16


class Interposer:
    """Wraps a transport; toxics may be added and removed at any time.

    Args:
        inner: The transport below; closed with this one.
        nursery: Where the delivering task runs.
        frames: Whether toxics see frames; else they see bytes as they come.
    """

    def __init__(self, inner: Transport, nursery: trio.Nursery, *, frames: bool = True) -> None:
        self._inner = inner
        self._nursery = nursery
        self.in_flight: dict[int, str] = {}
        """The requests on this link that have not been replied to: their commands, by wire id."""
        self._inbound = Lane(Cutter(self.in_flight, from_worker=True) if frames else Uncut())
        self._outbound = Lane(Cutter(self.in_flight, from_worker=False) if frames else Uncut())
        self._scratch = memoryview(bytearray(_READ_SIZE))
        self.closed = False
        """Whether the pool has closed it."""
        self._hung_up = False  # we have closed the transport below, as a fault
        self._broken: OSError | None = None
        self._room = trio.Event()
        # The scopes in which the reader and the delivering task sleep until something is due; cancelling one wakes it.
        self._reading: trio.CancelScope | None = None
        self._sleeping: trio.CancelScope | None = None
        self._delivering: trio.CancelScope | None = None
        # Two tasks may not wait for one socket: the pool's writer and the delivering task take turns.
        self._writable = trio.Lock()

    def add(self, toxic: Toxic, direction: Direction) -> None:
        """Put a toxic in force in one direction, behind those that are; one that is for both needs another instance."""
        self._lane(direction).add(toxic)
        self._wake()

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic out of force, wherever it is; what it held back goes on at once, unless others hold it too.

        One that is in the middle of swallowing a message stays until that message is over, and touches no other.
        """
        for lane in (self._inbound, self._outbound):
            lane.remove(toxic, trio.current_time())
        self.look_again()

    def look_again(self) -> None:
        """Deliver what is due now and was not before, since a toxic has changed its mind."""
        if not self.closed:
            self._push()
        self._wake()

    def hurry(self, toxic: Toxic, seconds: float) -> None:
        """Have a toxic hold back what it has no longer than for so many seconds from now."""
        for lane in (self._inbound, self._outbound):
            lane.hurry(toxic, trio.current_time() + seconds)
        self._wake()

    def in_force(self, toxic: Toxic) -> bool:
        """Tell whether a toxic may still touch a message that has not begun."""
        return any(toxic in lane.toxics and not toxic.retired for lane in (self._inbound, self._outbound))

    def send(self, data: Bytes | Sequence[Bytes], /) -> int:
        """Take bytes for the worker, as `trio_pool.Transport` says."""
        self._check()
        lane = self._outbound
        if self.closed or not lane.active:
            sent = self._inner.send(data)
            rest = sent
            for piece in _each(data):
                lane.cutter.follow(piece[:rest])
                rest -= min(rest, len(piece))
            return sent
        room = HELD_BYTES - lane.held
        if room <= 0:
            raise BlockingIOError("the link holds all it can")
        taken = bytearray()
        for piece in _each(data):
            taken += piece[: room - len(taken)]
            if len(taken) == room:
                break
        lane.take(bytes(taken), trio.current_time())
        self._push()
        self._check()
        return len(taken)

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """Hand over bytes from the worker that are due, as `trio_pool.Transport` says."""
        lane = self._inbound
        view = memoryview(buffer)
        if self.closed or not lane.active:
            if self._hung_up and not self.closed:
                return 0
            count = self._inner.recv_into(view)
            lane.cutter.follow(view[:count])
            return count
        self._pull()
        now = trio.current_time()
        count = lane.deliver(view, now)
        if count:
            lane.delivered()
            return count
        end = lane.end_due(now)
        if end is False:
            raise BlockingIOError("nothing is due yet")
        if isinstance(end, OSError):
            raise OSError(*end.args)
        return 0

    async def wait_readable(self) -> None:
        """Wait until something from the worker is due, as `trio_pool.Transport` says."""
        lane = self._inbound
        while not self.closed and lane.active:
            self._pull()
            now = trio.current_time()
            lane.tick(now)
            due = lane.due()
            if due <= now:
                await trio.lowlevel.checkpoint()
                return
            with trio.CancelScope(deadline=due) as self._reading:
                if lane.ended or lane.held >= HELD_BYTES or not lane.toxics or self._hung_up:
                    await trio.sleep_forever()
                await self._wait_below()
            self._reading = None
        await self._wait_below()

    async def wait_writable(self) -> None:
        """Wait until `send` takes bytes, as `trio_pool.Transport` says."""
        lane = self._outbound
        if self.closed or not lane.active:
            async with self._writable:
                await self._inner.wait_writable()
            return
        while lane.held >= HELD_BYTES and self._broken is None and not self.closed:
            self._room = trio.Event()
            await self._room.wait()
        if self.closed:
            raise trio.ClosedResourceError
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close the link and the transport below; what is held is lost, as on a line that is cut."""
        self.closed = True
        self._inbound.clear()
        self._outbound.clear()
        self._inner.close()
        if self._delivering is not None:
            self._delivering.cancel()
        self._room.set()
        self._wake()

    def _lane(self, direction: Direction) -> Lane:
        match direction:
            case Direction.FROM_WORKER:
                return self._inbound
            case Direction.TO_WORKER:
                return self._outbound
            case Direction.BOTH:
                raise ValueError("direction: a toxic is for one direction")

    def _check(self) -> None:
        if self._broken is not None:
            raise OSError(*self._broken.args)

    async def _wait_below(self) -> None:
        if self._hung_up and not self.closed:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._inner.wait_readable()
        except trio.ClosedResourceError:
            # If it was not the pool who closed it, this is to the pool the end of the stream, which can be read.
            if self.closed or not self._hung_up:
                raise
            await trio.lowlevel.checkpoint()

    def _wake(self) -> None:
        for scope in (self._reading, self._sleeping):
            if scope is not None:
                scope.cancel()

    def _pull(self) -> None:
        """Take what the transport below has, while there is a toxic for it and room."""
        lane = self._inbound
        while lane.toxics and not lane.ended and lane.held < HELD_BYTES:
            now = trio.current_time()
            if self._hung_up:
                lane.finish(True, now)
                return
            try:
                count = self._inner.recv_into(self._scratch)
            except BlockingIOError:
                return
            except OSError as exc:
                lane.finish(exc, now)
            else:
                if count:
                    lane.take(bytes(self._scratch[:count]), now)
                else:
                    lane.finish(True, now)

    def _push(self) -> None:
        """Hand to the transport below what is due; see to it that the rest follows."""
        lane = self._outbound
        blocked = False
        while self._broken is None and not blocked:
            now = trio.current_time()
            count = lane.deliver(self._scratch, now)
            if not count:
                if lane.end_due(now) is not False:
                    self._hang_up()
                break
            chunk = memoryview(bytes(self._scratch[:count]))
            try:
                sent = self._inner.send(chunk)
            except BlockingIOError:
                sent, blocked = 0, True
            except OSError as exc:
                self._break(exc)
                return
            if sent < count:
                lane.give_back(chunk[sent:], now)
            else:
                lane.delivered()
        self._room.set()
        if self._broken is None and self._delivering is None and (not lane.empty or lane.due() < math.inf):
            self._delivering = trio.CancelScope()
            self._nursery.start_soon(self._deliver, self._delivering)

    def _hang_up(self) -> None:
        """Close the transport below: the worker's end of the stream, and with it ours."""
        self._hung_up = True
        self._break(BrokenPipeError(errno.EPIPE, "the link was cut"))
        self._inner.close()
        self._wake()

    def _break(self, error: OSError) -> None:
        self._broken = error
        self._outbound.clear()
        self._room.set()

    async def _deliver(self, scope: trio.CancelScope) -> None:  # noqa: ASYNC910  # a task; cut before it began, it just ends
        """Hand held bytes to the transport below when they are due; ends when nothing is held."""
        lane = self._outbound
        try:
            with scope:
                while self._broken is None and (not lane.empty or lane.due() < math.inf):
                    due = lane.due()
                    if due > trio.current_time():
                        with trio.CancelScope(deadline=due) as self._sleeping:
                            await trio.sleep_forever()
                        self._sleeping = None
                    else:
                        async with self._writable:
                            await self._inner.wait_writable()
                    self._push()
        except trio.ClosedResourceError:
            pass  # closed while it waited: the link is gone and so is what it held
        finally:
            # Also when the nursery is cancelled: nobody will deliver the rest, and whoever sends more must hear so.
            if not lane.empty and self._broken is None:
                self._break(BrokenPipeError(errno.EPIPE, "the link was cut"))
            self._delivering = None
            self._room.set()


def _each(data: Bytes | Sequence[Bytes]) -> list[memoryview]:
    return [memoryview(piece).cast("B") for piece in ([data] if isinstance(data, (bytes, memoryview)) else data)]
