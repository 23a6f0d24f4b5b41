"""The worker's ledger: an append-only file in which it notes what it begins, effects and ends.

One record is 64 bytes, written by one ``write`` to a descriptor opened with ``O_APPEND``. What ``write`` has returned
for is in the kernel and survives the writer's SIGKILL; a record that was torn shows by its length or its checksum.
Imports the standard library's smallest parts only: workers pay for it.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from itertools import count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD = struct.Struct(">4sB3xQQIIQ20s")
"""Magic, step, request, nonce, pid, execution, nanoseconds of the monotonic clock, session (cut to 20 bytes); a
checksum of these 60 bytes follows."""

MAGIC = b"tpL1"
SIZE = RECORD.size + 4

BEGIN, EFFECT, END, STOPPED = 1, 2, 3, 4
"""The steps of an execution: before anything, after its effect on the worker's state, before its return. One that
is cancelled, or fails, is stopped in place of the last two."""

NO_REQUEST = 2**64 - 1


class Entry:
    """One record, read back."""

    __slots__ = ("execution", "nanoseconds", "nonce", "pid", "request", "session", "step")

    def __init__(
        self, step: int, request: int, nonce: int, pid: int, execution: int, nanoseconds: int, session: str
    ) -> None:
        self.step = step
        self.request = request
        self.nonce = nonce
        self.pid = pid
        self.execution = execution
        self.nanoseconds = nanoseconds
        self.session = session


class Ledger:
    """Writes records for one worker process.

    Args:
        path: The file, shared by all workers of a run; made if it is not there.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # Sync and async commands run in two threads, and what takes one number is one step of the interpreter.
        self._numbers = count(1)

    def begin(self, request: int, nonce: int, session: str | None) -> int:
        """Note that a request's command has begun; return the number of this execution in this process."""
        execution = next(self._numbers)
        self.note(BEGIN, request, nonce, execution, session)
        return execution

    def note(self, step: int, request: int, nonce: int, execution: int, session: str | None) -> None:
        """Append one record."""
        packed = RECORD.pack(
            MAGIC,
            step,
            request,
            nonce,
            os.getpid(),
            execution,
            time.monotonic_ns(),
            (session or "").encode()[:20],
        )
        os.write(self._descriptor, packed + zlib.crc32(packed).to_bytes(4, "big"))


def entries(data: bytes) -> Iterator[Entry | None]:
    """Read records back, in the order of their writing; None stands for one that is damaged or torn."""
    for start in range(0, len(data), SIZE):
        packed, checksum = data[start : start + RECORD.size], data[start + RECORD.size : start + SIZE]
        if len(packed) + len(checksum) < SIZE or zlib.crc32(packed).to_bytes(4, "big") != checksum:
            yield None
            continue
        magic, step, request, nonce, pid, execution, nanoseconds, session = RECORD.unpack(packed)
        if magic != MAGIC:
            yield None
            continue
        yield Entry(step, request, nonce, pid, execution, nanoseconds, session.rstrip(b"\0").decode(errors="replace"))
