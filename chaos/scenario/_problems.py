"""What is wrong with a scenario: everything at once, each with the path of its place in the file."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.frozen
class Problem:
    """One thing that is wrong.

    Args:
        path: Where: ``$.fault[2].for``.
        text: What, and what was expected.
    """

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


class ScenarioError(ValueError):
    """A scenario, or a plan, cannot be used.

    Args:
        source: The file it came from, or its name.
        errors: Everything that is wrong with it.
    """

    def __init__(self, source: str, errors: Iterable[Problem]) -> None:
        self.source = source
        self.errors = tuple(errors)
        super().__init__(source, self.errors)

    def __str__(self) -> str:
        return "\n".join(f"{self.source}: {error}" for error in self.errors)


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str | None = None) -> str:
    """Return the end of a message about an unknown word: what was probably meant, or else ``otherwise``.

    Where that is None: all that there is.
    """
    names = list(known)
    # By lower case, so that `Kill` finds `kill`; 0.6 is difflib's own threshold.
    lower = {name.lower(): name for name in names}
    close = [name for name in names if word.lower().startswith(name.lower()) or name.lower().startswith(word.lower())]
    close = close if len(close) == 1 else [lower[name] for name in difflib.get_close_matches(word.lower(), lower, n=1)]
    if close:
        return f"did you mean {close[0]!r}?"
    if otherwise is not None:
        return otherwise
    return f"there are {', '.join(sorted(names))}" if names else "there are none"
