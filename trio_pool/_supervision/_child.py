"""A child: the handle its starter holds, and the task-side code that runs one incarnation of it.

What is done with the outcome of an incarnation is the supervisor's business; nothing here decides on restarts.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core._restart import BackoffTimer
    from ._spec import ChildSpec


class ChildStatus(StrEnum):
    """Where a child is in its life."""

    STARTING = "starting"
    """In its first start, or in one asked for with `Supervisor.restart_child`."""
    RUNNING = "running"
    """Started."""
    RESTARTING = "restarting"
    """It ended and waits for its restart, or is in the middle of it."""
    STOPPING = "stopping"
    """It was cancelled and has not ended yet."""
    STOPPED = "stopped"
    """It is not running and will not be unless asked; its specification may be kept or gone."""


class Child:
    """The handle of a supervised child; it stays the same over restarts and is never invalid.

    Args:
        task: The child it stands for.
    """

    __slots__ = ("_task",)

    def __init__(self, task: ChildTask) -> None:
        self._task = task

    def __repr__(self) -> str:
        return f"<Child {self.id!r} {self.status} restarts={self.restarts}>"

    @property
    def id(self) -> str:
        """The id of its specification."""
        return self._task.spec.id

    @property
    def status(self) -> ChildStatus:
        """Where it is in its life."""
        return self._task.status

    @property
    def value(self) -> object:
        """What its latest incarnation to start gave to ``task_status.started()``."""
        return self._task.value

    @property
    def restarts(self) -> int:
        """How often it was started again; failed attempts do not count."""
        return max(0, self._task.starts - 1)


class ChildTask:
    """The supervisor's side of a child: its specification, its state, and how to run one incarnation of it.

    Args:
        spec: Its specification.
        timer: The backoff of its restarts.
        on_started: Called, without a checkpoint in between, when an incarnation has started.
    """

    def __init__(self, spec: ChildSpec, timer: BackoffTimer, on_started: Callable[[ChildTask], None]) -> None:
        self.spec = spec
        self.timer = timer
        self.handle = Child(self)
        self.status = ChildStatus.STOPPED
        self.value: object = None
        self.starts = 0
        self.started = False  # this incarnation
        self.came_up = False  # any incarnation since `begin`: the task that waited for the first may look late
        self.unwanted = False  # to be forgotten when it has ended
        self.overdue = False  # reported as such
        self.start_error: BaseException | None = None
        self.settled = trio.Event()
        self.ended = trio.Event()
        self._on_started = on_started
        self._scope: trio.CancelScope | None = None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and its task is not through with that."""
        return self.status is ChildStatus.STOPPING

    def begin(self) -> None:
        """Get ready for a start that somebody waits for: ``settled`` tells its outcome, ``ended`` the task's end."""
        self.status = ChildStatus.STARTING
        self.started = False
        self.came_up = False
        self.start_error = None
        self.overdue = False
        self.settled = trio.Event()
        self.ended = trio.Event()

    def stop(self) -> None:
        """Cancel the child, be it starting, running or waiting for its restart. Idempotent, never waits."""
        if self.status is ChildStatus.STOPPED:
            return
        self.status = ChildStatus.STOPPING
        if self._scope is not None:
            self._scope.cancel(reason=f"supervisor stops child {self.spec.id!r}")

    def finish(self) -> None:
        """Note that its task is through and wake who waits for that."""
        self.status = ChildStatus.STOPPED
        self.settled.set()
        self.ended.set()

    async def run(self) -> BaseException | None:
        """Run one incarnation to its end.

        Returns:
            What it raised, or None if it returned or its cancellation was all there was. A startable that neither
            started nor raised nor was stopped gives the error of a failed start.
        """
        self.started = False
        if self.stopping:
            return None  # noqa: ASYNC910  # it ends the child's task
        # The shield: a supervised task hears cancellation from its supervisor alone. Were the scopes around the
        # supervisor to reach in, an error raised in answer to such a cancellation would look like a crash and be
        # charged, and no order or deadline of stopping could be kept. Nothing is left running by this: every way out of
        # the supervisor's body passes through `Tree.stop`, which cancels this scope for good.
        deadline = trio.current_time() + self.spec.start_timeout
        self._scope = scope = trio.CancelScope(shield=True, deadline=deadline)
        error = await self._outcome(scope)
        self._scope = None
        if error is None and not self.started and not self.stopping:
            if scope.cancel_called:
                return trio.TooSlowError(f"child {self.spec.id!r} did not start within {self.spec.start_timeout:g} s")
            return RuntimeError(f"child {self.spec.id!r} exited without calling task_status.started()")
        return error

    async def _outcome(self, scope: trio.CancelScope) -> BaseException | None:
        try:
            with scope:
                await self._call(scope)
        except BaseException as exc:  # noqa: ASYNC103  # not swallowed but handed on as a value
            # Whatever leaves the child must not reach the nursery, which would answer by cancelling the other children.
            # So all of it becomes a value. The supervisor restarts after an Exception, and keeps any other
            # BaseException to raise it out of its `async with` once the tree has stopped. Our own Cancelled is not
            # among them: the scope has absorbed it, out of a group too, and leaves the rest of the group. A Cancelled
            # that still gets here belongs to a scope elsewhere; no crash either, it leaves like KeyboardInterrupt.
            return exc  # noqa: ASYNC104,ASYNC910  # as above; `pause` is a checkpoint before the next incarnation
        return None

    async def pause(self, delay: float) -> None:
        """Wait before a restart, or until the child is stopped.

        There is a checkpoint even without a delay, or a child failing as fast as it is started would leave nobody else
        a turn. OTP puts a retry at the end of the supervisor's mailbox for the same reason.
        """
        with trio.CancelScope(shield=True) as self._scope:  # shielded for the reason `run` gives
            await trio.sleep(delay)
        self._scope = None

    @trio.lowlevel.disable_ki_protection
    async def _call(self, scope: trio.CancelScope) -> None:
        if self.spec.startable:
            await self.spec.start(*self.spec.args, task_status=_StartStatus(self, scope))
        else:
            self.begun(scope, None)
            await self.spec.start(*self.spec.args)

    @trio.lowlevel.enable_ki_protection
    def begun(self, scope: trio.CancelScope, value: object) -> None:
        """Note that the incarnation inside ``scope`` has started; ignored when it is stopped, out of time or gone."""
        if scope is not self._scope or scope.cancel_called:
            return
        scope.deadline = math.inf
        self.started = True
        self.came_up = True
        self.starts += 1
        self.value = value
        self.status = ChildStatus.RUNNING
        self._on_started(self)
        self.settled.set()


class _StartStatus:
    """The ``task_status`` of one incarnation."""

    def __init__(self, child: ChildTask, scope: trio.CancelScope) -> None:
        self._child = child
        self._scope = scope
        self._called = False

    def __repr__(self) -> str:
        return f"<task status of child {self._child.spec.id!r}>"

    def started(self, value: object = None) -> None:
        """Announce that the child has started, with what its starter shall get."""
        if self._called:
            raise RuntimeError("called 'started' twice on the same task status")
        self._called = True
        self._child.begun(self._scope, value)
