"""What the workers of other pools do, by their own word: the ledger, read while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..workload._ledger import BEGIN, EFFECT, SIZE, entries
from ._tail import Growth

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Doings:
    """Follows a ledger whose processes each run one request at a time.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        # Each record is written at once; a torn one, after which nothing is in its place, is for the checkers to find.
        self._growth = Growth(path, lambda data: len(data) - len(data) % SIZE)
        self._running: dict[int, int] = {}

    def now(self) -> Mapping[int, int]:
        """Return which request each process is in the middle of, or died in the middle of; the others do nothing.

        Raises:
            OSError: The file is there and cannot be read.
        """
        for entry in entries(self._growth.read()):
            if entry is None:
                continue
            if entry.step in (BEGIN, EFFECT):
                self._running[entry.pid] = entry.request
            else:
                self._running.pop(entry.pid, None)
        return self._running
