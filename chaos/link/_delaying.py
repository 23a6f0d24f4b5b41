"""Toxics that change when bytes arrive and in which portions, and not one of the bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._frames import Slicer
from ._toxic import Selective

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from ._frames import Piece
    from ._toxic import Choice

_GRAIN = 0.05
"""Seconds that the bytes take which a narrow link lets go at once: short enough to look like a stream."""


class Latency(Selective):
    """Each message arrives later by a delay, give or take the jitter; those behind it wait for it.

    Args:
        choice: Which messages.
        delay: Seconds.
        jitter: The delay of each message is longer or shorter by up to so many seconds.
        chance: Draws the jitter.
    """

    def __init__(self, choice: Choice, delay: float, jitter: float, chance: Random) -> None:
        super().__init__(choice)
        self._delay = delay
        self._jitter = jitter
        self._chance = chance
        self._current = delay
        self.most = 0.0
        """The longest delay so far."""

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Hold back what is of a chosen message, and the end of the stream as long as the last message."""
        if self.hits(piece):
            if piece.begins_message:
                self.struck += 1
                self._current = max(0.0, self._delay + self._chance.uniform(-self._jitter, self._jitter))
                self.most = max(self.most, self._current)
            piece.holds[self] = self._current
        elif piece.end is not False and self.struck:
            piece.holds[self] = self._current
        return (piece,)


class Bandwidth(Selective):
    """Only so many bytes a second get through: a token bucket.

    Args:
        choice: Which messages pay for their bytes.
        rate: Bytes a second.
        burst: How many may go at once after a pause.
    """

    def __init__(self, choice: Choice, rate: float, burst: int) -> None:
        super().__init__(choice)
        self._rate = rate
        self._burst = burst
        self._free_at = -math.inf
        self.paid = 0
        """How many bytes were counted."""

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Hold back each portion until the bucket has tokens for it."""
        if not self.hits(piece):
            return (piece,)
        if piece.begins_message:
            self.struck += 1
        portions: list[Piece] = []
        grain = max(1, int(self._rate * _GRAIN))
        while len(piece.data) > grain:
            portion, piece = piece.split(grain)
            portions.append(portion)
        portions.append(piece)
        for portion in portions:
            at = portion.due
            self._free_at = max(self._free_at, at - self._burst / self._rate) + len(portion.data) / self._rate
            portion.holds[self] = max(0.0, self._free_at - at)
            self.paid += len(portion.data)
        return portions


class Slice(Selective):
    """Bytes arrive in slices: each is one receive of the pool's, or one send to the worker.

    What a worker reads at once is its own affair: slices that it finds together it reads together, unless there is a
    pause between them.

    Args:
        choice: Which messages.
        size: Returns the size of the next slice, at least 1.
        pause: Seconds between two slices.
    """

    def __init__(self, choice: Choice, size: Callable[[], int], pause: float) -> None:
        super().__init__(choice)
        # Cut only when they go: a message of a megabyte in slices of one byte must not become a million objects.
        self._slicer = Slicer(size, pause)

    @property
    def slicer(self) -> Slicer:
        """What cuts."""
        return self._slicer

    @property
    def slices(self) -> int:
        """How many there were."""
        return self._slicer.slices

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Mark what is to be sliced."""
        if self.hits(piece):
            self.struck += piece.begins_message
            piece.slicer = self._slicer
        return (piece,)


class Coalesce(Selective):
    """Messages wait for each other and arrive together.

    Args:
        choice: Which messages wait.
        count: How many make a batch.
        wait: Seconds that the first of a batch waits at most.
        limit: Bytes that are kept at most.
    """

    def __init__(self, choice: Choice, count: int, wait: float, limit: int) -> None:
        super().__init__(choice)
        self._count = count
        self._wait = wait
        self._limit = limit
        self._kept: list[Piece] = []
        self._bytes = 0
        self._complete = 0
        self.joined = 0
        """How many messages arrived together with one before them."""

    @property
    def deadline(self) -> float:
        """When the first of the batch has waited enough."""
        return self._kept[0].due + self._wait if self._kept else math.inf

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Keep a chosen message, and all that comes behind it, until the batch is complete."""
        hit = self.hits(piece)
        if not hit and not self._kept:
            return (piece,)
        self._kept.append(piece)
        self._bytes += len(piece.data)
        self.struck += hit and piece.begins_message
        self._complete += piece.ends_message
        if self._complete < self._count and self._bytes < self._limit and piece.end is False:
            return ()
        at = piece.at
        batch = list(self.release())
        for kept in batch:
            kept.at = at
        return batch

    def release(self) -> Iterable[Piece]:
        """Return the batch as far as it has come."""
        kept, self._kept, self._bytes = self._kept, [], 0
        self.joined += max(0, self._complete - 1)
        self._complete = 0
        return kept


class Stall(Selective):
    """A message stops in the link, and with it all that comes behind, until this is healed.

    Args:
        choice: Which messages stop.
    """

    def take(self, piece: Piece) -> Iterable[Piece]:
        """Hold back what is of a chosen message, for ever."""
        if self.hits(piece):
            self.struck += piece.begins_message
            piece.holds[self] = math.inf
        return (piece,)
