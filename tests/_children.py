"""Children for supervisors under test, all on Trio's clock, and an observer that keeps what it is told."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio
import trio.testing

from trio_pool._supervision import SupervisorEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T", bound=SupervisorEvent)
E = TypeVar("E", bound=BaseException)


class Crash(Exception):
    """What crashing children raise; numbered, so that one is not taken for another."""


class Recorder:
    """An ``on_event`` that keeps the events."""

    def __init__(self) -> None:
        self.events: list[SupervisorEvent] = []

    def __call__(self, event: SupervisorEvent) -> None:
        self.events.append(event)

    def names(self, child_id: str | None = None) -> list[str]:
        """The class names of the events, of one child or of all."""
        return [type(event).__name__ for event in self.events if child_id in (None, event.child_id)]

    def of(self, kind: type[T]) -> list[T]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]


class Puppet:
    """A startable that notes when it starts and ends, and does what it is told.

    Args:
        lives: What each incarnation does once it has started: a number of seconds to live before it crashes, or an
            exception to raise at once, or None to return at once. After the last it runs until it is cancelled.
        start_errors: What the start of each incarnation raises instead of starting; None starts.
        starting: Seconds a start takes.
        stopping: Seconds of shielded cleanup after a cancellation.
    """

    def __init__(
        self,
        lives: Iterable[float | BaseException | None] = (),
        *,
        start_errors: Iterable[BaseException | None] = (),
        starting: float = 0.0,
        stopping: float = 0.0,
    ) -> None:
        self.lives = iter(lives)
        self.start_errors = iter(start_errors)
        self.starting = starting
        self.stopping = stopping
        self.attempts: list[float] = []
        self.started: list[float] = []
        self.running = 0

    async def __call__(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        self.attempts.append(trio.current_time())
        self.running += 1
        try:
            if self.starting:
                await trio.sleep(self.starting)
            error = next(self.start_errors, None)
            if error is not None:
                raise error
            self.started.append(trio.current_time())
            task_status.started(len(self.started))
            life = next(self.lives, trio.Event)
            if life is None:
                return
            if isinstance(life, BaseException):
                raise life
            if isinstance(life, (int, float)):
                await trio.sleep(life)
                raise Crash(len(self.started))
            await trio.sleep_forever()
        finally:
            if self.stopping:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.stopping)
            self.running -= 1


@contextmanager
def leaving(kind: type[E]) -> Iterator[pytest.ExceptionInfo[E]]:
    """Expect that this very kind of exception leaves the block as a whole, wherever in it it comes from."""
    with pytest.raises(kind) as caught:
        yield caught


async def settle() -> None:
    """Let everything that can happen at this moment happen."""
    await trio.testing.wait_all_tasks_blocked()
