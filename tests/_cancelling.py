"""Striking an operation at its first checkpoint, at its second, and so on until it gets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MOST = 500
"""Checkpoints an operation may have before the search for its end is given up: several times what any of ours has."""


class _StrikeAfterSteps(trio.abc.Instrument):
    """Does something when a task has come to its n-th checkpoint."""

    def __init__(self, task: trio.lowlevel.Task, steps: int, strike: Callable[[], object]) -> None:
        self._task = task
        self._steps = steps
        self._strike = strike
        self.error: BaseException | None = None

    @property
    def struck(self) -> bool:
        """Return whether the task came so far."""
        return self._steps <= 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count."""
        if task is self._task:
            self._steps -= 1
            if self._steps == 0:
                try:
                    self._strike()
                except BaseException as exc:  # noqa: ASYNC103  # kept: Trio would only log it
                    self.error = exc


async def strike_at_each_checkpoint(
    operation: Callable[[], Awaitable[object]],
    strike: Callable[[], object],
    after: Callable[[], Awaitable[object]] | None = None,
    *,
    cancel: bool = False,
) -> int:
    """Run ``operation`` again and again, struck one checkpoint later each time, until it ends before that.

    Args:
        operation: What is run; it lets nothing out that a strike may cause.
        strike: Is called in the task's n-th checkpoint, when nobody runs.
        after: Runs after each attempt, to look at what is left.
        cancel: Whether the operation is also cancelled there.

    Returns:
        How many checkpoints there are.
    """
    for step in range(1, MOST):
        with trio.CancelScope() as scope:

            def act(scope: trio.CancelScope = scope) -> None:
                strike()
                if cancel:
                    scope.cancel()

            instrument = _StrikeAfterSteps(trio.lowlevel.current_task(), step, act)
            trio.lowlevel.add_instrument(instrument)
            try:
                await operation()
            finally:
                trio.lowlevel.remove_instrument(instrument)
        if instrument.error is not None:
            raise instrument.error
        struck = instrument.struck
        if after is not None:
            await after()
        if not struck:
            return step
    raise AssertionError(f"the operation has more than {MOST} checkpoints")


async def cancel_at_each_checkpoint(
    operation: Callable[[], Awaitable[object]], after: Callable[[], Awaitable[object]] | None = None
) -> int:
    """Run ``operation`` again and again, cancelled one checkpoint later each time, until it ends by itself.

    ``after`` runs after each attempt, to look at what is left. Returns how many checkpoints there are.
    """
    return await strike_at_each_checkpoint(operation, lambda: None, after, cancel=True)
