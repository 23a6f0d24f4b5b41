"""Writing the pieces of a message to a socket, as many as it takes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from .._core._messages import Piece

# Linux's limit on the pieces of one writev.
_IOV_MAX: Final = 1024


def write_some(fd: int, pieces: list[Piece]) -> int:
    """Write pieces in one call; return how many bytes were taken."""
    if len(pieces) == 1:
        return os.write(fd, pieces[0])
    return os.writev(fd, pieces[:_IOV_MAX])


def after(pieces: list[Piece], count: int) -> list[Piece]:
    """Return what is left of the pieces behind so many bytes."""
    if len(pieces) == 1 and count == len(pieces[0]):
        return []
    first = 0
    while first < len(pieces) and count >= len(pieces[first]):
        count -= len(pieces[first])
        first += 1
    rest = pieces[first:]
    if count:
        rest[0] = memoryview(rest[0])[count:]
    return rest
