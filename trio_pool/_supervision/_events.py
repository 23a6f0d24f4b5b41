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

    from .._core._strategy import Ending

logger = logging.getLogger("trio_pool.supervision")


@attrs.frozen(kw_only=True)
class SupervisorEvent:
    """Base of all events of a supervisor."""

    child_id: str
    at: float = attrs.field(factory=trio.current_time)
    supervisor: tuple[str, ...] = attrs.field(default=(), eq=False)
    """Which supervisor: its name, below those of the supervisors and children that it lives in."""


@attrs.frozen(kw_only=True)
class ChildStarting(SupervisorEvent):
    """An incarnation of a child begins."""

    restarts: int
    """How often it has started before."""


@attrs.frozen(kw_only=True)
class ChildStarted(SupervisorEvent):
    """A child called ``task_status.started()``, or was begun if it does not take one."""

    restarts: int
    """How often it had been started before."""


@attrs.frozen(kw_only=True)
class ChildStartFailed(SupervisorEvent):
    """A start that somebody waits for failed with ``error``, which they get; it is not charged."""

    error: BaseException | None


@attrs.frozen(kw_only=True)
class ChildIgnored(SupervisorEvent):
    """A start was declined with `IgnoreStart`: no child runs, and nothing is wrong."""


@attrs.frozen(kw_only=True)
class ChildExited(SupervisorEvent):
    """A child ended by itself, or an automatic restart failed; ``error`` is None for a clean exit."""

    error: BaseException | None
    planned: bool
    """The child announced its end with `PlannedExit`: not charged and not delayed."""
    reason: Ending | None = attrs.field(default=None, eq=False)
    """How that counts; None for what is no exit of a child but stops the tree, such as KeyboardInterrupt."""


@attrs.frozen(kw_only=True)
class ChildRestartScheduled(SupervisorEvent):
    """A child will be started again in ``delay`` seconds, with whoever the strategy says."""

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


@attrs.frozen(kw_only=True)
class SupervisorShutDown(SupervisorEvent):
    """The supervisor stops because this significant child has come to its end."""


@attrs.frozen(kw_only=True)
class SupervisorStopped(SupervisorEvent):
    """The supervisor has stopped and none of its children is left; ``child_id`` is empty."""


class Observer:
    """Calls the ``on_event`` of a supervisor, and stops calling it when it raises.

    Args:
        name: The supervisor's name, for the log.
        on_event: The function to call, or None.
    """

    def __init__(self, name: str, on_event: Callable[[SupervisorEvent], None] | None) -> None:
        self._name = name
        self._on_event = on_event

    @property
    def heard(self) -> bool:
        """Whether anybody listens; events need not be made if not."""
        return self._on_event is not None

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
