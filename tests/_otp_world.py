"""What the model of OTP's supervisor happens in: a clock with an agenda, and a script that tells what children do."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import defaultdict
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Every child has delays and stops of its own, no two sums of which are equal: nothing happens at the same moment unless
# one follows from the other. All are multiples of a power of two, hence the floats of both sides are exact.
_NUMBERS = {"a": 1009, "b": 2477, "c": 4219, "d": 5503, "x": 6007, "y": 7919, "s": 9001}
MARKS = {name: number / 2**20 for name, number in _NUMBERS.items()}


class EvenRandom(Random):
    """A source of jitter whose numbers add up exactly."""

    def uniform(self, a: float, b: float) -> float:
        """Return one of 1024 numbers between the two."""
        return a + (b - a) * self.randrange(1024) / 1024


class Script:
    """What the children will do at their next starts and stops, and what has happened; each side has one."""

    def __init__(self, seed: int) -> None:
        self.outcomes: defaultdict[str, list[str]] = defaultdict(list)
        self.slow: defaultdict[str, float] = defaultdict(float)
        self.log: list[tuple[float, str]] = []
        self.results: dict[str, tuple[str, float]] = {}
        self.rng = EvenRandom(seed)
        self._stops: defaultdict[str, int] = defaultdict(int)

    def next(self, name: str) -> str:
        """Return what the next start of this child comes to."""
        outcomes = self.outcomes[name]
        return outcomes.pop(0) if outcomes else "ok"

    def stopping(self, name: str) -> float:
        """Return how long this child takes to stop this time."""
        self._stops[name] += 1
        return self.slow[name] and self.slow[name] + MARKS[name] + self._stops[name] / 2**30


class World:
    """The model's script, its clock and what is to happen when."""

    def __init__(self, seed: int) -> None:
        self.script = Script(seed)
        self.now = 0.0
        self.crowded: set[float] = set()  # the moments at which more than one thing happens, in no particular order
        self._numbers = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def note(self, what: str) -> None:
        """Write into the log."""
        self.script.log.append((self.now, what))

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Put something on the agenda."""
        if math.isfinite(when):
            heapq.heappush(self._agenda, (when, next(self._numbers), do))

    def run_until(self, when: float) -> None:
        """Let time pass."""
        last = self.now
        while self._agenda and self._agenda[0][0] <= when:
            self.now, _, do = heapq.heappop(self._agenda)
            if self.now == last:
                self.crowded.add(last)
            last = self.now
            do()
        if math.isfinite(when):
            self.now = when
