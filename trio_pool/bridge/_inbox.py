"""The inbox: what the parent has sent, decoded, and what of it nobody wants any more.

All messages of one read are decoded before the first is run: so a worker that was frozen, or that has run one command
for long, finds a cancel that stands behind its request. The cancel of the command that runs is found by looking at the
socket in the middle of it; see `_interrupts`.
"""

from __future__ import annotations

import os
import select
from _thread import allocate_lock
from collections import deque

from .._core._messages import MessageDecoder, encode_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .._core._errors import ProtocolError
    from .._core._messages import Message
    from ._interrupts import Interrupts

# As much as a 1 MiB socket buffer holds of small requests is never read at once; 256 KiB is where larger reads stop
# paying.
READ_SIZE: Final = 256 * 1024
# How many requests are read ahead of the one that runs. What a parent sends beyond that stays in the socket, and in the
# parent; pretty arbitrary, for a pool sends no second one.
READ_AHEAD: Final = 1000


class Inbox:
    """Reads the socket to the parent, for the one thread or the two that a worker has.

    Args:
        fd: The socket.
        max_frame: The largest request accepted, in bytes.
        interrupts: Is told when the command that runs is cancelled.
    """

    __slots__ = (
        "_buffer",
        "_decoder",
        "_interrupts",
        "_lock",
        "_poll",
        "_vector",
        "cancelled",
        "ended",
        "fd",
        "waiting",
    )

    def __init__(self, fd: int, max_frame: int, interrupts: Interrupts) -> None:
        self.fd = fd
        self.waiting: deque[Message] = deque()
        """The requests that have arrived, in order. One taken back is still there, with ``cancelled`` set."""
        self.cancelled: deque[int] = deque(maxlen=READ_AHEAD)
        """The ids of cancels that were for none of these, and not for the sync command that runs either."""
        self.ended = False
        """True once the parent has hung up."""
        self._interrupts = interrupts
        self._decoder = MessageDecoder(max_frame)
        # The bootstrap has read the hello, byte by byte up to its end; the decoder still expects a first message in
        # JSON.
        self._decoder.feed(encode_json({}))
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._vector = [self._buffer]
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        self._poll = poller.poll
        self._lock = allocate_lock()

    @property
    def error(self) -> ProtocolError | None:
        """What was wrong with the parent's bytes, or None; nothing is read after it."""
        return self._decoder.error

    @property
    def full(self) -> bool:
        """True while so much waits that nothing more is read."""
        return len(self.waiting) >= READ_AHEAD

    @property
    def partial(self) -> bool:
        """True in the middle of a message."""
        return self._decoder.pending

    def look(self) -> bool:
        """Read what is there now, without waiting, unless much is waiting already; False if nothing was read."""
        found = False
        while not self.ended and self.error is None and not self.full:
            with self._lock:
                # Asked under the lock: of two threads that saw the same bytes one would wait for more.
                if self.fd < 0 or not self._poll(0):
                    break
                self.read()
            found = True
        return found

    def read(self) -> bool:
        """Read once; waits for bytes if there are none, so ask first.

        Returns:
            True if all that was there was read; False if it ended where the room did, or a large message.
        """
        decoder = self._decoder
        direct = decoder.direct()
        count = os.readv(self.fd, self._vector if direct is None else [direct])
        if not count:
            self.ended = True
            return True
        for message in decoder.feed(self._buffer[:count]) if direct is None else decoder.filled(count):
            if message.get("type") == "cancel":
                self._cancel(message.get("id"))
            else:
                self.waiting.append(message)
        return direct is None and count < READ_SIZE

    def take_back(self, request_id: int) -> bool:
        """Note that a request that waits is not to be run; False if it does not wait here."""
        # A copy, made in one step: the other of two threads may take requests out meanwhile.
        for message in tuple(self.waiting):
            if message.get("id") == request_id:
                message["cancelled"] = True
                return True
        return False

    def _cancel(self, request_id: object) -> None:
        if type(request_id) is not int:
            return
        if request_id == self._interrupts.running:
            self._interrupts.cancelled = request_id
            return
        if not self.take_back(request_id):
            self.cancelled.append(request_id)
