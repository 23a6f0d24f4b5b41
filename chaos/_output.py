"""Where a command writes, and what becomes of it when it cannot.

A reader that has left, as ``head`` does, is no failure: the console falls silent and the command does its work. All
else, a full disk above all, is the fault of neither the pool nor the harness: `CannotWrite`, with an exit code of its
own.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import TextIO


_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What must not reach a reader from data: controls and escape sequences, marks that turn the writing direction, halves
of surrogate pairs, and what no XML may hold."""


MAX_SHOWN = 2000
"""Characters of one value that are shown: more than any line of a report has, less than a worker's message may."""


def clean(text: object, *, most: int = MAX_SHOWN) -> str:
    """Return a value of the history, a message or a session's name, as one line that is safe to show anywhere.

    Line ends and tabs become spaces, what is not meant to be seen becomes the replacement character, and what is longer
    than anybody reads is cut.

    Args:
        text: The value.
        most: How many characters of it to keep.
    """
    shown = str(text)
    if len(shown) > most:
        shown = f"{shown[:most]}..."
    return _UNSHOWABLE.sub(lambda found: " " if found[0] in "\t\n\r\u2028\u2029" else "\ufffd", shown)


class CannotWrite(Exception):
    """Output, the history or the results could not be written.

    Args:
        what: The file, or ``standard output``.
        reason: What the system said.
    """

    def __init__(self, what: str, reason: OSError) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot write {self.what}: {self.reason.strerror or self.reason}"


@contextmanager
def writing(what: object) -> Generator[None, None, None]:
    """Turn whatever the system has against writing here into `CannotWrite`."""
    try:
        yield
    except OSError as exc:
        raise CannotWrite(str(what), exc) from exc


def write_text(path: Path, text: str) -> None:
    """Write a whole file.

    Raises:
        CannotWrite: It was not written, or only its beginning.
    """
    with writing(path):
        path.write_text(text, encoding="utf-8")


class Console:
    """Where lines for the user go: standard output, flushed line by line so that a log follows the run.

    Once writing has failed, the console is silent.

    Args:
        plain: Never colour; else what is said may be coloured, on a terminal unless NO_COLOR is set.
    """

    def __init__(self, *, plain: bool) -> None:
        # None if the process was started with its standard output closed, whatever the type says.
        self._stream: TextIO | None = sys.stdout
        self._colour = (
            not plain and self._stream is not None and self._stream.isatty() and not os.environ.get("NO_COLOR")
        )

    @property
    def colour(self) -> bool:
        """Whether to colour what is said."""
        return self._colour

    @property
    def width(self) -> int:
        """How many columns a line may have."""
        return shutil.get_terminal_size((100, 24)).columns

    def say(self, line: str = "") -> None:
        """Print one line.

        Raises:
            CannotWrite: It could not be written, for another reason than that nobody reads.
        """
        self.write(line + "\n")

    def write(self, text: str) -> None:
        """Print text as it is; as `say`."""
        if self._stream is None:
            return
        try:
            # What the encoding of this terminal does not know is still told, as an escape.
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except OSError as exc:
            silence(self._stream)
            self._stream = None
            if not isinstance(exc, BrokenPipeError):
                raise CannotWrite("standard output", exc) from exc


def silence(stream: TextIO) -> None:
    """Lead a standard stream that failed to nowhere: at exit Python writes what it still holds, and would complain."""
    # A stream without a descriptor, as a test may put in place, is not flushed to one either.
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
