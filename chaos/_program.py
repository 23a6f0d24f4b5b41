"""This program as its user sees it: how it was called, and how it complains."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ._output import clean, silence

if TYPE_CHECKING:
    from typing import TextIO

_LONGEST = 500
"""Characters of a complaint: it may quote what somebody else wrote."""


def command_line() -> list[str]:
    """Return how this program was called."""
    if Path(sys.argv[0]).name == "__main__.py":
        return [sys.executable, "-m", __package__ or "chaos"]
    return [sys.argv[0]]


def program() -> str:
    """Return what to call it in a message."""
    command = command_line()
    return Path(command[0]).name if len(command) == 1 else f"python -m {command[2]}"


def complain(message: str) -> None:
    """Tell the user, in one line, what is wrong."""
    # None if the process was started with its standard error closed, whatever the type says.
    stream: TextIO | None = sys.stderr
    if stream is not None:
        try:
            stream.write(f"{program()}: {clean(message)[:_LONGEST]}\n")
            stream.flush()
        except OSError:
            silence(stream)  # there is nobody left to tell; the exit code says it
