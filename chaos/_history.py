"""The history of a run: one JSON object a line, written while things happen, the only truth the checks look at.

Each record has ``seq`` (dense from 0), ``t`` (seconds since the history began, never going back), ``src`` and ``type``.
A request of the plan is ``id``, its index there, and so it is in the console's lines. ``request_id`` is the pool's own
number for what it was asked: creating a session's program takes one too, so the two differ. Records of a fault hold
both, with ``id`` null where the pool's request could be of several of the plan.

Lines reach the kernel within `FLUSH_INTERVAL`, and at once where a fault is injected or a phase changes, so a history
stays readable when the harness itself dies. A last line without a newline is one whose write was cut short, and is
left out.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import trio

from ._output import CannotWrite, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path
    from types import TracebackType

# Decoded JSON: whoever reads a field knows its type from the record's ``src`` and ``type``.
Record: TypeAlias = dict[str, Any]

FLUSH_INTERVAL = 0.1
"""How old a buffered line may grow, in seconds: ten system calls a second are no load, and a tenth of a second is
little to lose."""


class History:
    """Appends records to a file and keeps them for the checks.

    Records come from hooks and from clean-up, where an error would be lost or hide another. So the first failure to
    write goes to ``on_failure`` instead, wherever it happens, and from then on nothing is written.

    Args:
        path: The file, replaced if it exists.
        clock: Seconds, never going back.

    Raises:
        CannotWrite: The file could not be opened.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        with writing(path):
            self._file = path.open("w", encoding="utf-8")
        self._clock = clock
        self.start = clock()
        """When it began, by its clock."""
        self._flushed = 0.0
        self._failed = False
        self.records: list[Record] = []
        self.on_failure: Callable[[CannotWrite], None] = lambda _failure: None

    @property
    def now(self) -> float:
        """Seconds since the history began."""
        return self._clock() - self.start

    def record(self, src: str, kind: str, /, *, urgent: bool = False, **fields: Any) -> Record:
        """Append one record and return it; ``urgent`` hands it to the kernel before returning."""
        t = round(self.now, 6)
        entry: Record = {"seq": len(self.records), "t": t, "src": src, "type": kind, **fields}
        self.records.append(entry)
        if not self._failed:
            with self._guarded():
                self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")
        if urgent or t - self._flushed >= FLUSH_INTERVAL:
            self.flush()
        return entry

    def flush(self) -> None:
        """Hand all buffered lines to the kernel: from then on they survive this process."""
        self._flushed = self.now
        if not self._failed:
            with self._guarded():
                self._file.flush()

    async def keep_flushed(self) -> None:
        """Flush for ever at `FLUSH_INTERVAL`, for the lines nothing follows. Ends by being cancelled."""
        while True:
            await trio.sleep(FLUSH_INTERVAL)
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.flush()
        with self._guarded():
            os.fsync(self._file.fileno())
        # Closing tries once more to write what is left, and closes whatever comes of that.
        with self._guarded():
            self._file.close()

    @contextmanager
    def _guarded(self) -> Generator[None, None, None]:
        try:
            with writing(self._path):
                yield
        except CannotWrite as exc:
            if not self._failed:
                self._failed = True
                self.on_failure(exc)


def read_history(path: Path) -> list[Record]:
    """Read a history back, also that of a harness that was killed in the middle of a line.

    Raises:
        ValueError: A line other than a cut-short last one is no record, or the numbering has a gap.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    records: list[Record] = [json.loads(line) for line in lines[:-1]]
    for number, entry in enumerate(records):
        if entry["seq"] != number:
            raise ValueError(f"record {number} carries seq {entry['seq']}")
    return records
