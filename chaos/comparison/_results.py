"""What came of a comparison: every cell, and of each pool in each situation the middle and the worst."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .._about import environment
from ._situations import SIZE, Situation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@attrs.frozen(kw_only=True)
class CellResult:
    """One pool in one situation, once.

    Args:
        pool: By name.
        version: Of its distribution.
        situation: What happened.
        repetition: The how manieth time, from 0.
        trouble: Why there is nothing to say, if so: the pool could not be opened, or was not well beforehand.
        asked: Requests that were under way when it happened, or made afterwards.
        failed: Those that got an error, or nothing.
        bystanders: Failed ones that were not on the worker that was hit.
        hung: Failed ones whose time was over before anything came of them.
        errors: How often each error was raised, by the name of its class.
        next: Seconds until a request had its answer that was made after the event; None for never.
        again: Seconds until as many different workers as there were had answered such requests; None for never.
        usable: Of `SIZE` callers at the end, how many got an answer.
        closed: Seconds the pool took to close; None if it had to be killed with the application.
        left: Processes there still were when the application's had ended.
        left_for: Seconds until the last of them was gone; infinite if any had to be killed.
        stayed: How many had to be.
    """

    pool: str
    version: str
    situation: Situation
    repetition: int
    trouble: str | None = None
    asked: int = 0
    failed: int = 0
    bystanders: int = 0
    hung: int = 0
    errors: Mapping[str, int] = attrs.field(factory=dict[str, int])
    next: float | None = None
    again: float | None = None
    usable: int = 0
    closed: float | None = None
    left: int = 0
    left_for: float = 0.0
    stayed: int = 0


@attrs.frozen(kw_only=True)
class Spread:
    """The middle of several values and the worst, which is the largest unless said otherwise; infinite is never."""

    median: float
    worst: float

    @classmethod
    def of(cls, values: Iterable[float], worst: Callable[[Iterable[float]], float] = max) -> Spread:
        """Take the spread of at least one value; of two in the middle the larger counts."""
        ordered = sorted(values)
        return cls(median=ordered[len(ordered) // 2], worst=worst(ordered))


@attrs.frozen(kw_only=True)
class Row:
    """One pool in one situation, all times it was tried. Fields as those of `CellResult`."""

    pool: str
    situation: Situation
    tried: int
    trouble: tuple[str, ...]
    asked: Spread | None = None
    failed: Spread | None = None
    bystanders: Spread | None = None
    hung: Spread | None = None
    next: Spread | None = None
    again: Spread | None = None
    usable: Spread | None = None
    closed: Spread | None = None
    left: Spread | None = None
    left_for: Spread | None = None
    stayed: Spread | None = None


@attrs.frozen(kw_only=True)
class Compared:
    """A whole comparison."""

    cells: tuple[CellResult, ...]
    started: str
    seconds: float
    load: tuple[float, float]
    """How many processes wanted a processor in the minute before the beginning, and in the one before the end."""
    environment: Mapping[str, object] = attrs.field(factory=environment)

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each pool, in order."""
        return {cell.pool: cell.version for cell in self.cells}

    def rows(self, situation: Situation) -> Sequence[Row]:
        """Return a row for each pool that was tried in a situation, in order."""
        return [
            _row(pool, situation, cells)
            for pool in self.versions
            if (cells := [cell for cell in self.cells if (cell.pool, cell.situation) == (pool, situation)])
        ]

    def to_json(self) -> str:
        """Return everything as JSON: seconds, and null for never."""
        data = {
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "load": self.load,
            "environment": dict(self.environment),
            "workers": SIZE,
            "cells": [attrs.asdict(cell) for cell in self.cells],
            "rows": [attrs.asdict(row) for situation in Situation for row in self.rows(situation)],
        }
        return json.dumps(_finite(data), indent=1, allow_nan=False) + "\n"


def _row(pool: str, situation: Situation, cells: Sequence[CellResult]) -> Row:
    trouble = tuple(cell.trouble for cell in cells if cell.trouble is not None)
    good = [cell for cell in cells if cell.trouble is None]
    if not good:
        return Row(pool=pool, situation=situation, tried=len(cells), trouble=trouble)

    def never(value: float | None) -> float:
        return math.inf if value is None else value

    return Row(
        pool=pool,
        situation=situation,
        tried=len(cells),
        trouble=trouble,
        asked=Spread.of(cell.asked for cell in good),
        failed=Spread.of(cell.failed for cell in good),
        bystanders=Spread.of(cell.bystanders for cell in good),
        hung=Spread.of(cell.hung for cell in good),
        next=Spread.of(never(cell.next) for cell in good),
        again=Spread.of(never(cell.again) for cell in good),
        usable=Spread.of((cell.usable for cell in good), min),
        closed=Spread.of(never(cell.closed) for cell in good),
        left=Spread.of(cell.left for cell in good),
        left_for=Spread.of(cell.left_for for cell in good),
        stayed=Spread.of(cell.stayed for cell in good),
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return _finite_fields(value)  # pyright: ignore[reportUnknownArgumentType]  # as in `_finite_items`
    if isinstance(value, (list, tuple)):
        return _finite_items(value)  # pyright: ignore[reportUnknownArgumentType]  # whatever a result is made of
    return value


def _finite_fields(fields: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _finite(each) for name, each in fields.items()}


def _finite_items(items: Iterable[Any]) -> list[Any]:
    return [_finite(each) for each in items]
