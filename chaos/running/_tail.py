"""Following a file while another process writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..faults._room import room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .._history import Record


class Growth:
    """What is added to a file, from its begin on.

    Args:
        path: The file; it need not be there yet.
        whole: Tells how many of some bytes are whole records; the rest comes next time.
    """

    def __init__(self, path: Path, whole: Callable[[bytes], int]) -> None:
        self._path = path
        self._whole = whole
        self._position = 0

    @room()
    def read(self) -> bytes:
        """Return the whole records that are new.

        Raises:
            OSError: The file is there and cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return b""
        whole = data[: self._whole(data)]
        self._position += len(whole)
        return whole


class Tail:
    """Reads what has been added to a history since it last looked.

    Args:
        path: The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._growth = Growth(path, lambda data: data.rfind(b"\n") + 1)

    def read(self) -> list[Record]:
        """Return the whole lines that are new; a line that is still being written comes next time."""
        return [json.loads(line) for line in self._growth.read().splitlines()]
