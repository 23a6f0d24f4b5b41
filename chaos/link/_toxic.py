"""What may be put upon a direction of a link: a toxic, and how it chooses its frames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from ._frames import Message, Piece, Slicer


class Toxic:
    """Changes bytes, holds them back or adds to them; this one does nothing, and others override what they need.

    A toxic never waits by itself: it says with `Piece.holds` how long a piece is held back behind it, or keeps pieces
    until it returns them from `take` or is asked for them by `release`.
    """

    def __init__(self) -> None:
        self.struck = 0
        """How many messages it has had an effect on."""
        self.in_force = False
        """Whether it is part of a link; what it has put on pieces counts only while it is."""
        self.swallowing = False
        """Whether it is in the middle of a message that it does not let pass."""
        self.retired = False
        """Whether it was taken out of force in the middle of one: it chooses no other."""

    @property
    def slicer(self) -> Slicer | None:
        """What cuts its pieces, if it does that."""
        return None

    @property
    def deadline(self) -> float:
        """When it must be asked to `release` what it keeps."""
        return math.inf

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Take a piece, or the end of the stream, and return what goes on now."""
        return (piece,)

    def release(self) -> Iterable[Piece]:
        """Return all it keeps, in order: the time for that is over."""
        return ()


class Selective(Toxic):
    """A toxic that hits chosen messages and lets the others pass.

    Args:
        choice: Chooses them.
    """

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        self.choice = choice
        self._hit: Message | None = None

    def hits(self, piece: Piece) -> bool:
        """Return whether a piece is of a message that is hit; to be asked once of each piece, in order."""
        if piece.frame is None:
            return False
        message = piece.frame.message
        if piece.begins_message:
            self._hit = message if not self.retired and self.choice(message) else None
        return message is self._hit


class Choice:
    """Chooses which of the messages that come by are hit.

    Args:
        chance: Draws for ``share``.
        share: The probability of each.
        nth: The first that may be hit, counted from 1 when the toxic came into force; then every one is, up to
            ``count``. None for the first.
        count: How many are hit at most; None for any number, or one with ``nth``.
        fits: Which messages count at all; None for every one.
    """

    def __init__(
        self,
        chance: Random,
        *,
        share: float = 1.0,
        nth: int | None = None,
        count: int | None = None,
        fits: Callable[[Message], bool] | None = None,
    ) -> None:
        self._chance = chance
        self._share = share
        self._nth = nth or 1
        self._left = math.inf if count is None else count
        if nth is not None and count is None:
            self._left = 1
        self.fits: Callable[[Message], bool] = fits or _any
        """Tells which messages count."""
        self.seen = 0
        """How many have come by."""

    def __call__(self, message: Message) -> bool:
        """Return whether the next one is hit."""
        if not self.fits(message):
            return False
        self.seen += 1
        if self.seen < self._nth or not self._left or self._chance.random() >= self._share:
            return False
        self._left -= 1
        return True


def _any(_: Message) -> bool:
    return True
