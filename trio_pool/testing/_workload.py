"""Workloads: when requests are to be sent, decided before the first of them is.

A workload is a rate, in requests a second, that changes over time. Its arrivals are *intended* send times: whoever
sends at them does not wait for answers first, and measures from the intended time, so that a pool that stalls is
charged with every request that should have been sent meanwhile.
"""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator


def _quantity(*, positive: bool = False) -> float:
    """Make a field for a finite number that is not negative, or above 0 if it is to be positive."""

    def validate(_instance: object, attribute: attrs.Attribute[float], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{attribute.name} must be a finite number, not {value!r}")
        if value < 0 or (positive and value == 0):
            raise ValueError(f"{attribute.name} must be {'above' if positive else 'at least'} 0, not {value!r}")

    field: float = attrs.field(validator=validate)
    return field


@attrs.frozen
class Piece:
    """A stretch of time over which the rate changes evenly, or not at all."""

    start: float
    end: float
    first: float
    last: float

    @property
    def count(self) -> float:
        """How many requests it stands for, as a fraction."""
        return (self.end - self.start) * (self.first + self.last) / 2

    def rate_at(self, at: float) -> float:
        """Return the rate at a time within it."""
        return self.first + (self.last - self.first) * (at - self.start) / (self.end - self.start)

    def time_of(self, count: float) -> float:
        """Return the time by which so many of its requests have been sent."""
        # The area under the line up to that time is `count`. Solved in the form that divides by a sum of what cannot be
        # negative: the usual one loses all digits when the rate hardly changes.
        slope = (self.last - self.first) / (self.end - self.start)
        root = math.sqrt(max(0.0, self.first**2 + 2 * slope * count))
        return self.start + 2 * count / (self.first + root) if count > 0 else self.start


class Workload:
    """How many requests a second are to be sent, over time; made by one of the four class methods.

    .. versionadded:: 0.1
    """

    @staticmethod
    def steady(rate: float = 10.0) -> Workload:
        """Return the same rate all the time.

        Raises:
            ValueError: ``rate`` is negative or not finite.
        """
        return Steady(rate)

    @staticmethod
    def ramp(start: float = 0.0, end: float = 50.0) -> Workload:
        """Return a rate that changes evenly from ``start`` to ``end`` over the whole duration.

        Raises:
            ValueError: One of them is negative or not finite.
        """
        return Ramp(start, end)

    @staticmethod
    def spike(base: float = 5.0, peak: float = 100.0) -> Workload:
        """Return a rate of ``base``, and of ``peak`` for a sixth of the duration, once a third of it is over.

        Raises:
            ValueError: One of them is negative or not finite.
        """
        return Spike(base, peak)

    @staticmethod
    def burst(size: float = 50.0, every: float = 10.0, base: float = 2.0) -> Workload:
        """Return a rate of ``base``, and of ``size`` requests within one second at every ``every`` seconds.

        The first burst is at the very start. If ``every`` is less than a second, so is the length of each burst, and
        ``base`` has no place left.

        Raises:
            ValueError: ``every`` is not above 0, or another is negative or not finite.
        """
        return Burst(size, every, base)

    def pieces(self, duration: float) -> Iterator[Piece]:
        """Yield the stretches that make up ``duration``, in order and without gaps."""
        raise NotImplementedError

    def rate_at(self, at: float, duration: float) -> float:
        """Return the rate at a time, in requests a second; 0 before the start and from the end on.

        Args:
            at: Seconds from the start.
            duration: Seconds the whole workload lasts.

        Raises:
            ValueError: ``duration`` is negative or not finite.
        """
        for piece in self._pieces(duration):
            if piece.start <= at < piece.end:
                return piece.rate_at(at)
        return 0.0

    def arrivals(self, duration: float, seed: int = 0) -> list[float]:
        """Return the times at which requests are to be sent, in seconds from the start, ascending.

        There are as many as the rate adds up to, rounded. Each lies, by chance, within the time in which the rate sends
        just that one: so chance decides the distances between requests, yet no stretch of time is ever more than one
        request away, at each of its ends, from what the rate asks for.

        Args:
            duration: Seconds the whole workload lasts; every arrival is before its end.
            seed: Decides chance; the same seed gives the same times.

        Raises:
            ValueError: ``duration`` is negative or not finite.
        """
        pieces = list(self._pieces(duration))
        total = math.fsum(piece.count for piece in pieces)
        number = round(total)
        random = Random(seed)  # noqa: S311  # reproducible on purpose; nothing here is secret
        last = math.nextafter(duration, 0.0)  # rounding must not reach the end
        times: list[float] = []
        index, before = 0, 0.0
        for arrival in range(number):
            count = (arrival + random.random()) * total / number
            while index < len(pieces) - 1 and count - before >= pieces[index].count:
                before += pieces[index].count
                index += 1
            piece = pieces[index]
            times.append(min(piece.time_of(min(count - before, piece.count)), piece.end, last))
        return times

    def _pieces(self, duration: float) -> Iterator[Piece]:
        if not math.isfinite(duration) or duration < 0:
            raise ValueError(f"duration must be a finite number of seconds, at least 0, not {duration!r}")
        return (piece for piece in self.pieces(duration) if piece.start < piece.end)


@attrs.frozen
class Steady(Workload):
    """See `Workload.steady`."""

    rate: float = _quantity()

    def pieces(self, duration: float) -> Iterator[Piece]:
        """Yield one piece."""
        yield Piece(0.0, duration, self.rate, self.rate)


@attrs.frozen
class Ramp(Workload):
    """See `Workload.ramp`."""

    start: float = _quantity()
    end: float = _quantity()

    def pieces(self, duration: float) -> Iterator[Piece]:
        """Yield one piece."""
        yield Piece(0.0, duration, self.start, self.end)


@attrs.frozen
class Spike(Workload):
    """See `Workload.spike`."""

    base: float = _quantity()
    peak: float = _quantity()

    def pieces(self, duration: float) -> Iterator[Piece]:
        """Yield what is before, at and after the peak."""
        start, end = duration / 3, duration / 2
        yield Piece(0.0, start, self.base, self.base)
        yield Piece(start, end, self.peak, self.peak)
        yield Piece(end, duration, self.base, self.base)


@attrs.frozen
class Burst(Workload):
    """See `Workload.burst`."""

    size: float = _quantity()
    every: float = _quantity(positive=True)
    base: float = _quantity()

    def pieces(self, duration: float) -> Iterator[Piece]:
        """Yield a burst and what is between it and the next, over and over."""
        length = min(1.0, self.every)
        for number in range(math.ceil(duration / self.every)):
            start = number * self.every
            burst = self.size / length
            yield Piece(start, min(start + length, duration), burst, burst)
            yield Piece(min(start + length, duration), min((number + 1) * self.every, duration), self.base, self.base)
