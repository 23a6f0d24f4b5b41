"""A worker's transport in memory, and messages to carry over it."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

import trio
from trio.testing import MockClock

from chaos.link._interposer import Interposer
from chaos.link._toxic import Choice
from trio_pool.wire import DIRECT_SIZE, MessageDecoder, encode, encode_json, pieces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any


class Wire:
    """What a test says for the worker, and what arrived at it, each send by itself."""

    def __init__(self, capacity: int = 1 << 30) -> None:
        self.capacity = capacity
        self.arrived: list[tuple[float, bytes]] = []
        self.inbox: deque[bytes | OSError] = deque()
        self.reads = 0
        self.closed = False
        self.broken: OSError | None = None
        self._news = trio.lowlevel.ParkingLot()

    def send(self, data: bytes | memoryview | Sequence[bytes | memoryview], /) -> int:
        if self.closed:
            raise OSError("closed")
        if self.broken is not None:
            raise self.broken
        whole = b"".join([data] if isinstance(data, (bytes, memoryview)) else data)
        part = whole[: self.capacity]
        if not part:
            raise BlockingIOError
        self.capacity -= len(part)
        self.arrived.append((trio.current_time(), part))
        return len(part)

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        self.reads += 1
        if self.closed:
            raise OSError("closed")
        if not self.inbox:
            raise BlockingIOError
        item = self.inbox[0]
        if isinstance(item, OSError):
            raise item
        count = min(len(item), len(buffer))
        memoryview(buffer)[:count] = item[:count]
        if item:
            self.inbox.popleft()
            if item[count:]:
                self.inbox.appendleft(item[count:])
        return count

    async def wait_readable(self) -> None:
        while not self.inbox or self.closed:
            if self.closed:
                raise trio.ClosedResourceError
            await self._news.park()
        await trio.lowlevel.checkpoint()

    async def wait_writable(self) -> None:
        while not self.capacity or self.closed:
            if self.closed:
                raise trio.ClosedResourceError
            await self._news.park()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self.closed = True
        self._news.unpark_all()

    def room(self, capacity: int) -> None:
        """Have the worker take so many bytes more."""
        self.capacity = capacity
        self._news.unpark_all()

    def deliver(self, *items: bytes | OSError) -> None:
        """Have something arrive from the worker; empty bytes are its end."""
        self.inbox.extend(items)
        self._news.unpark_all()

    @property
    def received(self) -> bytes:
        """All that reached the worker."""
        return b"".join(piece for _, piece in self.arrived)

    @property
    def sends(self) -> list[bytes]:
        """What reached the worker, each send by itself."""
        return [piece for _, piece in self.arrived]


def hello() -> bytes:
    """Return the first frame in either direction."""
    return encode_json({"type": "hello"})


def request(number: int, command: str = "work", **args: object) -> bytes:
    """Return a request as it goes over the wire."""
    return b"".join(pieces(number, encode({"command": command, "args": args}, 1 << 30)))


def cancel(number: int) -> bytes:
    """Return a cancel as it goes over the wire."""
    return b"".join(pieces(number, encode({"type": "cancel"}, 1024)))


def reply(number: int, result: object = None) -> bytes:
    """Return a reply as it goes over the wire."""
    return b"".join(pieces(number, encode({"success": True, "result": result}, 1 << 30)))


def large(number: int, *sizes: int) -> bytes:
    """Return a reply with large buffers, each of so many bytes beyond the least."""
    return reply(number, [bytes([index]) * (DIRECT_SIZE + size) for index, size in enumerate(sizes)])


def messages(data: bytes) -> list[dict[str, Any]]:
    """Return the messages that follow a hello; an error if they are none of ours."""
    decoder = MessageDecoder(1 << 30)
    found = decoder.feed(hello()) + decoder.feed(data)
    assert decoder.error is None, decoder.error
    return found[1:]


def every(**options: Any) -> Choice:
    """Choose messages, all unless the options say otherwise."""
    return Choice(random.Random(1), **options)  # noqa: S311  # reproducible on purpose


def read(link: Interposer, size: int = 1 << 16) -> bytes:
    """Receive once."""
    buffer = bytearray(size)
    return bytes(buffer[: link.recv_into(buffer)])


def read_now(link: Interposer) -> bytes:
    """Receive all that is due now."""
    data = b""
    while True:
        try:
            part = read(link)
        except BlockingIOError:
            return data
        if not part:
            return data
        data += part


async def read_all(link: Interposer, size: int) -> bytes:
    """Receive until so many bytes have come."""
    data = b""
    while len(data) < size:
        await link.wait_readable()
        try:
            data += read(link)
        except BlockingIOError:
            continue
    return data


def on_link(test: Callable[[Interposer, Wire], Awaitable[None] | None]) -> None:
    """Run a test with a link, on a clock that jumps; the link is closed at the end and leaves no task."""

    async def main() -> None:
        wire = Wire()
        async with trio.open_nursery() as nursery:
            link = Interposer(wire, nursery)
            awaited = test(link, wire)
            if awaited is not None:
                await awaited
            link.close()

    trio.run(main, clock=MockClock(autojump_threshold=0))
