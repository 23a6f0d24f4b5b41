"""What a supervisor tells its observer: one frozen object per event, handed over where it happens.

``at`` is Trio's clock, so a test on a mock clock can compare times exactly.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("trio_pool.supervision")


@attrs.frozen(kw_only=True)
class SupervisorEvent:
    """Base of all events of a supervisor."""

    child_id: str
    at: float = attrs.field(factory=trio.current_time)


@attrs.frozen(kw_only=True)
class ChildStarted(SupervisorEvent):
    """A child called ``task_status.started()``, or was begun if it does not take one."""

    restarts: int
    """How often it had been started before."""


@attrs.frozen(kw_only=True)
class ChildExited(SupervisorEvent):
    """A child ended by itself, or an automatic restart failed; ``error`` is None for a clean exit."""

    error: BaseException | None
    planned: bool
    """The child announced its end with `PlannedExit`: not charged and not delayed."""


@attrs.frozen(kw_only=True)
class ChildRestartScheduled(SupervisorEvent):
    """A child will be started again in ``delay`` seconds."""

    delay: float


@attrs.frozen(kw_only=True)
class ChildStopped(SupervisorEvent):
    """A child that was asked to stop has ended; ``error`` is what it raised instead of being cancelled quietly."""

    error: BaseException | None


@attrs.frozen(kw_only=True)
class ChildOverdue(SupervisorEvent):
    """A child that was asked to stop is still running after its ``shutdown`` seconds; it is waited for nevertheless."""

    shutdown: float


@attrs.frozen(kw_only=True)
class SupervisorGaveUp(SupervisorEvent):
    """The supervisor met its restart limit at this child and stops; ``error`` is what leaves its ``async with``."""

    error: BaseException


class Observer:
    """Calls the ``on_event`` of a supervisor, and stops calling it when it raises.

    Args:
        name: The supervisor's name, for the log.
        on_event: The function to call, or None.
    """

    def __init__(self, name: str, on_event: Callable[[SupervisorEvent], None] | None) -> None:
        self._name = name
        self._on_event = on_event

    def emit(self, event: SupervisorEvent) -> None:
        """Hand over an event. Raises nothing but KeyboardInterrupt and its like."""
        hook = self._on_event
        if hook is None:
            return
        try:
            hook(event)
        except Exception:
            self._on_event = None
            logger.exception("on_event of supervisor %r raised and is disabled", self._name)
