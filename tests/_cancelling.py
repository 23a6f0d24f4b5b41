"""Cancelling an operation at its first checkpoint, at its second, and so on until it gets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MOST = 500
"""Checkpoints an operation may have before the search for its end is given up: several times what any of ours has."""


class _CancelAfterSteps(trio.abc.Instrument):
    """Cancels a scope when a task has come to its n-th checkpoint."""

    def __init__(self, task: trio.lowlevel.Task, steps: int, scope: trio.CancelScope) -> None:
        self._task = task
        self._steps = steps
        self._scope = scope

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count."""
        if task is self._task:
            self._steps -= 1
            if self._steps == 0:
                self._scope.cancel()


async def cancel_at_each_checkpoint(
    operation: Callable[[], Awaitable[object]], after: Callable[[], Awaitable[object]] | None = None
) -> int:
    """Run ``operation`` again and again, cancelled one checkpoint later each time, until it ends by itself.

    ``after`` runs after each attempt, to look at what is left. Returns how many checkpoints there are.
    """
    for step in range(1, MOST):
        with trio.CancelScope() as scope:
            instrument = _CancelAfterSteps(trio.lowlevel.current_task(), step, scope)
            trio.lowlevel.add_instrument(instrument)
            try:
                await operation()
            finally:
                trio.lowlevel.remove_instrument(instrument)
        if after is not None:
            await after()
        if not scope.cancelled_caught:
            return step
    raise AssertionError(f"the operation has more than {MOST} checkpoints")
