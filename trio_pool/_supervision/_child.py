"""A child: the handle its starter holds, and the task-side code that runs one incarnation of it.

What is done with the outcome of an incarnation is the supervisor's business; nothing here decides on restarts.
"""

from __future__ import annotations

import math
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Final

import trio

from .._core._roster import Member

if TYPE_CHECKING:
    from .._core._restart import BackoffTimer
    from .._core._strategy import ChildStatus, ChildType
    from ._spec import ChildSpec
    from ._tree import Tree

CURRENT: Final[ContextVar[ChildTask | None]] = ContextVar("trio_pool_child", default=None)
"""The supervised child in whose task, or in a task below it, the code that asks is running."""


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
        return self._task.id

    @property
    def type(self) -> ChildType:
        """Whether it is a worker or a supervisor."""
        return self._task.kind

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


class ChildTask(Member):
    """The supervisor's side of a child: its specification, its state, and how to run one incarnation of it.

    Args:
        spec: Its specification.
        timer: The backoff of its restarts.
        tree: The supervisor it belongs to.
    """

    def __init__(self, spec: ChildSpec, timer: BackoffTimer, tree: Tree) -> None:
        super().__init__(spec.id, timer, spec.restart, significant=spec.significant, kind=spec.type)
        self.spec = spec
        self.tree = tree
        self.handle = Child(self)
        self.value: object = None
        self.inner: list[Tree] = []  # the supervisors open inside this child, as far as they are ours
        self.started = False  # this incarnation
        self.came_up = False  # before `settled`: the task that waits for that may look late
        self.ignored = False  # the start since `begin` declined to run
        self.shutdown = math.inf  # the seconds it was given when it was asked to stop
        self.overdue_at = math.inf  # when they are over
        self.overdue = False  # reported as such
        self.start_error: BaseException | None = None
        self.context: Context  # in which all incarnations run until the next `begin`
        self.settled = trio.Event()
        self.ended = trio.Event()
        self.ended.set()  # there is no incarnation to wait for
        self._scope: trio.CancelScope | None = None
        self._cancelled = False

    def begin(self) -> None:
        """Get ready for a start that somebody waits for: ``settled`` tells its outcome."""
        self.came_up = False
        self.ignored = False
        self.start_error = None
        self.settled = trio.Event()
        self.context = copy_context()

    def launch(self) -> None:
        """Get ready for an incarnation, which may be cancelled from now on; ``ended`` tells its end."""
        self.started = False
        self.overdue_at = math.inf
        self.overdue = False
        self.ended = trio.Event()
        self._cancelled = False
        # The shield: a supervised task hears cancellation from its supervisor alone. Were the scopes around the
        # supervisor to reach in, an error raised in answer to such a cancellation would look like a crash and be
        # charged, and no order or deadline of stopping could be kept. Nothing is left running by this: every way out of
        # the supervisor's body passes through `Tree.stop`, which cancels this scope for good.
        self._scope = trio.CancelScope(shield=True)

    def cancel(self, shutdown: float) -> None:
        """Cancel the incarnation, be it waiting for its delay, starting or running. Idempotent, never waits.

        Args:
            shutdown: Seconds it is given to end. They count from the first call, whoever else asks later.
        """
        if self._cancelled:
            return
        self._cancelled = True
        self.shutdown = shutdown
        self.overdue_at = trio.current_time() + shutdown
        if self._scope is not None:
            self._scope.cancel(reason=f"supervisor stops child {self.spec.id!r}")

    async def run(self, delay: float | None) -> BaseException | None:
        """Run one incarnation to its end, after a delay unless that is None.

        Returns:
            What it raised, or None if it returned or its cancellation was all there was. A startable that neither
            started nor raised nor was stopped gives the error of a failed start.
        """
        scope = self._scope
        assert scope is not None  # noqa: S101  # `launch` comes first
        error = await self._outcome(scope, delay)
        self._scope = None
        if error is None and not self.started and not self._cancelled:
            if scope.cancel_called:
                return trio.TooSlowError(f"child {self.spec.id!r} did not start within {self.spec.start_timeout:g} s")
            return RuntimeError(f"child {self.spec.id!r} exited without calling task_status.started()")
        return error

    async def _outcome(self, scope: trio.CancelScope, delay: float | None) -> BaseException | None:
        try:
            with scope:
                if delay is not None:
                    # A checkpoint even without a delay, or a child failing as fast as it is started would leave nobody
                    # else a turn. OTP puts a retry at the end of the supervisor's mailbox for the same reason.
                    await trio.sleep(delay)
                if not self._cancelled:
                    scope.deadline = trio.current_time() + self.spec.start_timeout
                    self.tree.child_starting(self)
                    await self._call(scope)
        except BaseException as exc:  # noqa: ASYNC103  # not swallowed but handed on as a value
            # Whatever leaves the child must not reach the nursery, which would answer by cancelling the other children.
            # So all of it becomes a value. The supervisor restarts after an Exception, and keeps any other
            # BaseException to raise it out of its `async with` once the tree has stopped. Our own Cancelled is not
            # among them: the scope has absorbed it, out of a group too, and leaves the rest of the group. A Cancelled
            # that still gets here belongs to a scope elsewhere; no crash either, it leaves like KeyboardInterrupt.
            return exc  # noqa: ASYNC104,ASYNC910  # as above; an incarnation is all its task does
        return None  # noqa: ASYNC910  # as above

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
        if not self.settled.is_set():
            self.came_up = True
        self.value = value
        self.tree.child_started(self)
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
