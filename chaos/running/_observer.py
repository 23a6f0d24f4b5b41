"""The observer: the pool's ``on_event`` hook of a run, for the history and for whoever waits for an event."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .._watch import PoolWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from trio_pool import PoolEvent

    from .._history import History


class Observer:
    """Called for every event, where it happens.

    Args:
        history: Where the events go.
    """

    def __init__(self, history: History) -> None:
        self.watch = PoolWatch(history)
        self._told: list[Callable[[PoolEvent], None]] = []

    def __call__(self, event: PoolEvent) -> None:
        """Take note of an event."""
        self.watch(event)
        for told in tuple(self._told):
            told(event)

    @contextmanager
    def telling(self, told: Callable[[PoolEvent], None]) -> Generator[None, None, None]:
        """Have every event told, for the block."""
        self._told.append(told)
        try:
            yield
        finally:
            self._told.remove(told)
