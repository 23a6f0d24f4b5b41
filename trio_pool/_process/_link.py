"""The link: requests out, replies in, over one worker's transport.

Any number of calls may be in flight; each has a wire id, counted from 1 and never used again, that its reply carries. A
call is told its reply, or nothing: who owns the worker finds the calls a dead link leaves in `Link.pending`.

**Who reads.** A worker's socket has one driver at a time. Usually that is the pump task, which waits in epoll while
replies are due. But for a lone request on an idle worker the caller itself looks a few times, a checkpoint between,
before it leaves the matter to the pump: that saves two task switches and an epoll round (measured: 41 µs against 117
µs, where a bare Trio socket echo takes 47). While a caller drives, the pump stays parked, else every reply would wake
it for nothing. Nobody reads an idle worker's socket; its death is seen by its exit.

**Who writes.** `Link.submit` sends at once what fits, without a checkpoint, and the writer task does the rest. So a
caller's cancellation can never leave half a frame behind: the bytes are not the caller's any more.

**Ends.** End of stream, a reset, bad bytes, the worker's exit and our own wish to stop all come to `Link.end`, once. It
closes nothing: what the worker sent before is still to be read, which is the business of the worker's owner.
"""

from __future__ import annotations

import reprlib
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol, cast

import trio

from .._core._errors import ProtocolError
from .._core._frames import DIRECT_SIZE
from .._core._messages import MessageDecoder, encode, pieces

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core._messages import Encoded, Message, Piece
    from ._transport import Transport

# Large data moves in pieces of this size with a checkpoint between: 8 MiB then hold the loop for 0.5 ms, not 2.6.
PIECE: Final = 256 * 1024
# How often a caller looks for its reply before the pump takes over; five finds nearly every reply of a fast command.
LOOKS: Final = 5
# How many reads `Link.drain` does at the most: two full socket buffers (1 MiB each) of large pieces.
DRAIN_READS: Final = 64

# How many replies nobody waits for any more a worker may owe before it is sent no more commands; as many as a worker of
# ours reads ahead of the one it runs.
MOST_OWED: Final = 1000

_CANCEL: Final = encode({"type": "cancel"}, 1024)


class Call(Protocol):
    """Whoever waits for a reply."""

    command: str
    """The command it was sent for."""

    def replied(self, message: Message) -> None:
        """Take the reply. Called synchronously from whatever task read it: it must neither raise nor wait."""
        ...

    def lost(self) -> None:
        """Take note that no reply will come: the worker is dead and its last words are read."""
        ...


class Link:
    """Requests and replies over one transport.

    Args:
        transport: The byte pipe; the link never closes it.
        max_frame: The largest message accepted, in bytes.
        on_end: Called synchronously, once, when the link ends.
        on_stale: Called with the wire id of a reply that nobody waits for any more.
        on_leaving: Called when the worker announces that it ends by plan.
        on_idle: Called when a reply came after which the worker owes none.
    """

    def __init__(
        self,
        transport: Transport,
        max_frame: int,
        *,
        on_end: Callable[[], None],
        on_stale: Callable[[int], None],
        on_leaving: Callable[[], None],
        on_idle: Callable[[], None] | None = None,
    ) -> None:
        self.pending: dict[int, Call] = {}
        self.last_id = 0
        self.ended = trio.Event()
        self.reason = ""
        """Why the link ended, in a word: ``eof``, ``reset``, ``exit``, ``protocol``, or what `end` was given."""
        self.error: ProtocolError | None = None
        self._transport = transport
        self._on_end = on_end
        self._on_stale = on_stale
        self._on_leaving = on_leaving
        self._on_idle = on_idle
        self._decoder = MessageDecoder(max_frame)
        self._buffer = memoryview(bytearray(DIRECT_SIZE))
        self._forgotten: set[int] = set()
        self._unsent: deque[Piece] = deque()
        self._when_sent: list[Callable[[], None]] = []
        self._exhausted = False
        self._driven = False
        self._readers = trio.lowlevel.ParkingLot()
        self._writers = trio.lowlevel.ParkingLot()

    @property
    def idle(self) -> bool:
        """True if the worker owes no reply, not even one that nobody waits for any more."""
        return not self.pending and not self._forgotten

    @property
    def owed(self) -> int:
        """How many replies the worker owes that nobody waits for any more."""
        return len(self._forgotten)

    # -- sending -------------------------------------------------------------------------------------------------------

    def submit(self, encoded: Encoded, call: Call, *, drive: bool = False) -> int:
        """Send a request as far as the socket takes it now, the rest later; return its wire id.

        On an ended link nothing is sent and the call stays pending, for the worker's owner to find.

        Args:
            encoded: The request.
            call: Who waits for the reply.
            drive: The caller goes on to `drive`, with no checkpoint between, so the pump need not be woken.
        """
        self.last_id = wire_id = self.last_id + 1
        self.pending[wire_id] = call
        if self.ended.is_set():
            return wire_id
        parts = pieces(wire_id, encoded)
        if len(parts) > 1:
            # Large data goes through the writer, which lets other tasks run between the pieces.
            self._unsent.extend(parts)
            self._writers.unpark()
        else:
            self._send(parts[0])
        if not drive:
            self._readers.unpark()
        return wire_id

    def cancel(self, wire_id: int, when_sent: Callable[[], None] | None = None) -> None:
        """Tell the worker that nobody waits for this reply any more; it owes one all the same, unless it has come.

        Args:
            wire_id: The request's number.
            when_sent: Called, synchronously, once the worker can read that; not at all if the link ends first.
        """
        if self.ended.is_set() or not (wire_id in self.pending or wire_id in self._forgotten):
            return
        self._send(pieces(wire_id, _CANCEL)[0])
        if when_sent is None or self.ended.is_set():
            return
        if self._unsent:
            self._when_sent.append(when_sent)
        else:
            when_sent()

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are already a frame: the hello."""
        self._send_now(data)

    def _send(self, data: Piece) -> None:
        if self._unsent:
            self._unsent.append(data)
            self._writers.unpark()
        else:
            self._send_now(data)

    def _send_now(self, data: Piece) -> None:
        try:
            sent = self._transport.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # What the worker sent before it went is still in our end of the socket: reading finds that, and then the
            # end.
            self.end("reset")
            return
        if sent < len(data):
            self._unsent.append(memoryview(data)[sent:])
            self._writers.unpark()

    @trio.lowlevel.enable_ki_protection
    async def write(self) -> None:  # noqa: ASYNC910  # a task of the link's: it ends only with the link
        """Send what did not fit at once, for as long as the link lives; run it as a task."""
        while not self.ended.is_set():
            if not self._unsent:
                await self._writers.park()
                continue
            piece = memoryview(self._unsent[0])
            try:
                sent = self._transport.send(piece[:PIECE])
            except BlockingIOError:
                await self._transport.wait_writable()
                continue
            except OSError:
                self.end("reset")
                break
            if sent < len(piece):
                self._unsent[0] = piece[sent:]
            else:
                self._unsent.popleft()
            if not self._unsent:
                called, self._when_sent = self._when_sent, []
                for when_sent in called:
                    when_sent()
            await trio.lowlevel.checkpoint()

    # -- receiving -----------------------------------------------------------------------------------------------------

    # Protected: a KeyboardInterrupt must not fall between reading a reply and handing it out. Likewise below.
    @trio.lowlevel.enable_ki_protection
    async def pump(self) -> None:  # noqa: ASYNC910  # a task of the link's: it ends only with the link
        """Read replies while some are due and no caller reads them itself, for as long as the link lives; run it as a
        task.
        """
        while not self.ended.is_set():
            if self._driven or self.idle:
                await self._readers.park()
                continue
            await self._transport.wait_readable()
            if not self._driven:
                self.receive()

    async def drive(self, call: Call) -> None:  # noqa: ASYNC910  # a task of the link's: it ends only with the link
        """Look a few times for the reply of the only call in flight, then leave it to the pump.

        Cancelled or not, the pump is told to go on: what has not come yet is its business.
        """
        wire_id = self.last_id
        if self._driven or self._forgotten or len(self.pending) != 1 or self.pending.get(wire_id) is not call:
            self._readers.unpark()
            await trio.lowlevel.checkpoint()
            return
        self._driven = True
        try:
            for _ in range(LOOKS):
                await trio.lowlevel.checkpoint()
                self.receive()
                if self.pending.get(wire_id) is not call or self.ended.is_set():
                    break
        finally:
            self._driven = False
            if not self.idle:
                self._readers.unpark()

    def receive(self) -> bool:
        """Read once what is there, without waiting, and hand out the replies in it; False if there was nothing."""
        if self.error is not None:
            return False
        decoder = self._decoder
        place = decoder.direct()
        try:
            count = self._transport.recv_into(self._buffer if place is None else place[:PIECE])
        except BlockingIOError:
            return False
        except OSError:
            # A worker that died with unread requests resets the connection, after its last reply was read: the same as
            # an end.
            self._exhausted = True
            self.end("reset")
            return False
        if count == 0:
            self._exhausted = True
            self.end("eof")
            return False
        messages = decoder.feed(self._buffer[:count]) if place is None else decoder.filled(count)
        for message in messages:
            self._deliver(message)
        if decoder.error is not None and self.error is None:
            self._violated(decoder.error)
        return True

    def drain(self) -> None:
        """Read all that is there now, without waiting and not for ever.

        A reply in the socket wins against a deadline: whoever is about to declare a worker too slow calls this first,
        so that an application whose own loop stalled loses nothing.
        """
        for _ in range(DRAIN_READS):
            if not self.receive():
                break

    @trio.lowlevel.enable_ki_protection
    async def drain_to_end(self) -> None:  # noqa: ASYNC910  # a task of the link's: it ends only with the link
        """Read until the stream ends; the caller bounds it. For a link that has ended and whose tasks are gone."""
        while not self._exhausted and self.error is None:
            if self.receive():
                await trio.lowlevel.checkpoint()  # a worker that floods us must not outrun the caller's bound
            elif not self._exhausted:
                await self._transport.wait_readable()

    def forget(self, wire_id: int) -> None:
        """Wait no more for a reply; when it comes it is stale. Forgetting one that has come does nothing."""
        if self.pending.pop(wire_id, None) is not None:
            self._forgotten.add(wire_id)

    def _deliver(self, message: Message) -> None:
        wire_id = message.get("id")
        if type(wire_id) is int and 0 < wire_id <= self.last_id:
            error = message.get("error")
            success = message.get("success")
            if (success is True and "result" in message) or (success is False and _is_error(error)):
                call = self.pending.pop(wire_id, None)
                if call is None:
                    self._forgotten.discard(wire_id)
                    self._on_stale(wire_id)
                else:
                    call.replied(message)
                if self._on_idle is not None and self.idle:
                    self._on_idle()
                return
        elif message.get("type") == "leaving":
            self._on_leaving()
            return
        shown = reprlib.repr(message)  # repr() itself would raise for what is nested deeply enough
        self._violated(ProtocolError(f"neither a reply to anything asked nor well-formed: {shown}", reason="garbage"))

    def _violated(self, error: ProtocolError) -> None:
        if self.error is None:
            self.error = error
        self.end("protocol")

    # -- the end -------------------------------------------------------------------------------------------------------

    def end(self, reason: str) -> None:
        """Declare the link ended, for the first reason given; wakes everyone concerned, closes nothing."""
        if not self.reason:
            self.reason = reason
        if not self.ended.is_set():
            self.ended.set()
            self._readers.unpark_all()
            self._writers.unpark_all()
            self._on_end()

    async def cancel_at_end(self, scope: trio.CancelScope) -> None:
        """Cancel a scope when the link ends; run it as a task beside what must not outlive the link."""
        await self.ended.wait()
        scope.cancel()

    # -- before it is a link -------------------------------------------------------------------------------------------

    async def handshake(self) -> Message | None:
        """Wait for the worker's first message and return it; None if the link ended before it came."""
        while not self.ended.is_set():
            message = self.first_message()
            if message is not None:
                return message  # noqa: ASYNC910  # a task of the link's: it ends only with the link
            if not self.ended.is_set():
                await self._transport.wait_readable()
        return None  # noqa: ASYNC910  # a task of the link's: it ends only with the link

    def first_message(self) -> Message | None:
        """Return the worker's first message if it is there."""
        while not self._exhausted and self.error is None:
            try:
                count = self._transport.recv_into(self._buffer)
            except BlockingIOError:
                return None
            except OSError:
                count = 0
            if count == 0:
                self._exhausted = True
                self.end("eof")
                return None
            messages = self._decoder.feed(self._buffer[:count])
            if self._decoder.error is not None:
                self._violated(self._decoder.error)
            elif len(messages) > 2 or (len(messages) == 2 and messages[1].get("type") != "leaving"):
                self._violated(ProtocolError("a worker spoke before it was asked", reason="garbage"))
            elif messages:
                if len(messages) == 2:
                    self._on_leaving()  # it was told to, right as it got ready
                return messages[0]
        return None


def _is_error(error: object) -> bool:
    if not isinstance(error, dict):
        return False
    fields = cast("dict[str, object]", error)
    return all(isinstance(fields.get(key), str) for key in ("kind", "type", "message"))
