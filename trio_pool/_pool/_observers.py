"""Who hears of a pool's events: the ``on_event`` hook and any number of event streams."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from .._core._events import HookDisabled, PoolEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_log = logging.getLogger("trio_pool.events")


class EventStream:
    """Events from the moment of subscription on, for ``async for``; ends when the pool has closed.

    A reader that falls behind by more than the buffer misses the newest events; ``dropped`` counts them.
    """

    def __init__(self, receive: trio.MemoryReceiveChannel[PoolEvent]) -> None:
        self._receive = receive
        self.dropped = 0

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> PoolEvent:
        """Wait for the next event."""
        return await self._receive.__anext__()

    async def receive(self) -> PoolEvent:
        """Wait for the next event and return it.

        Raises:
            trio.EndOfChannel: The pool has closed.
        """
        return await self._receive.receive()


class Observers:
    """Hands each event to the hook and the streams, at once and without waiting for anybody."""

    def __init__(self, pool: str, hook: Callable[[PoolEvent], None] | None) -> None:
        self.pool = pool
        self._hook = hook
        self._streams: dict[EventStream, trio.MemorySendChannel[PoolEvent]] = {}
        self._closed = False
        self.watched = hook is not None
        """False while nobody listens: then events need not even be made."""

    def emit(self, event: PoolEvent) -> None:
        """Hand out an event. A hook that raises is logged and not called again: an observer must not harm the pool."""
        if self._hook is not None:
            try:
                self._hook(event)
            except Exception as exc:
                _log.exception("on_event of pool %s raised and is disabled", self.pool)
                self._hook = None
                self.watched = bool(self._streams)
                self.emit(HookDisabled(at=event.at, pool=self.pool, error=exc))
        for stream, send in self._streams.items():
            try:
                send.send_nowait(event)
            except trio.WouldBlock:
                stream.dropped += 1
            except trio.BrokenResourceError:
                stream.dropped += 1  # its reader left; it is about to unsubscribe

    @contextmanager
    def subscribe(self, max_buffer: int) -> Generator[EventStream, None, None]:
        """Give a stream of the events from now on."""
        send, receive = trio.open_memory_channel[PoolEvent](max_buffer)
        stream = EventStream(receive)
        with send, receive:
            if self._closed:
                send.close()
            else:
                self._streams[stream] = send
                self.watched = True
            try:
                yield stream
            finally:
                self._streams.pop(stream, None)
                self.watched = self._hook is not None or bool(self._streams)

    def close(self) -> None:
        """End all streams, after what is in their buffers."""
        self._closed = True
        for send in self._streams.values():
            send.close()
        self._streams.clear()
        self.watched = self._hook is not None
