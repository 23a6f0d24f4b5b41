"""The running side of a supervisor: it does what the roster says, and ends when all is done.

Each incarnation of a child is one task. What follows its end is decided where it is due, in one synchronous function
that the task calls as its last act (`Tree._ended`), so that no exit is ever in flight: a child is seen starting,
running, restarting, stopping or stopped, and nothing in between. The decisions themselves are the roster's; here they
are only carried out, by starting tasks and cancelling scopes, neither of which waits.

All this runs protected from KeyboardInterrupt, which would leave a change of state half done: the roots of tasks, the
public calls and what children call into are marked, and Trio extends that to what they call. Children are exempted.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from .._core._errors import ChildError, RestartIntensityExceeded, TrioPoolError
from .._core._restart import BackoffTimer, RestartWindow
from .._core._roster import Launch, Roster, Verdict
from .._core._strategy import ChildStatus, Ending, StopOrder
from ._child import CURRENT, ChildTask
from ._events import (
    ChildExited,
    ChildIgnored,
    ChildOverdue,
    ChildRestartScheduled,
    ChildStarted,
    ChildStartFailed,
    ChildStarting,
    ChildStopped,
    Observer,
    SupervisorGaveUp,
    SupervisorShutDown,
    SupervisorStopped,
    logger,
)
from ._spec import ending_of, is_exit, is_ignored, is_planned
from ._stopping import all_set, budget, patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._events import SupervisorEvent
    from ._settings import Settings
    from ._spec import ChildSpec

ALIVE: Final = (ChildStatus.RUNNING, ChildStatus.STOPPING)
"""What management calls take for running: a child that is stopping has not ended."""
_KEPT_ERRORS: Final = 8
"""Child errors a give-up carries: enough to tell one cause from many; each keeps its traceback's frames alive."""


class Tree:
    """The children of one supervisor and everything that happens to them.

    Args:
        settings: What it was opened with.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.window = RestartWindow(settings.max_restarts, settings.within)
        self.path: tuple[str, ...] = (settings.name,)
        self.body = trio.CancelScope()
        self.entering = trio.CancelScope()
        self.stopped = trio.Event()
        self.nursery: trio.Nursery  # given before anybody can get at a tree
        self._roster: Roster[ChildTask] = Roster(
            self.window, settings.strategy, settings.auto_shutdown, forgetful=settings.forgetful
        )
        self._parent: ChildTask | None = None
        self._observer = Observer(settings.name, settings.on_event)
        self._errors: deque[Exception] = deque(maxlen=_KEPT_ERRORS)
        self._gave_up: RestartIntensityExceeded | None = None
        self._fatal: BaseException | None = None
        self._stopping = False

    @property
    def children(self) -> dict[str, ChildTask]:
        """The children that have a specification, in start order."""
        return self._roster.members

    @property
    def label(self) -> str:
        """Its name in logs and errors, below those of the supervisors it lives in."""
        return "/".join(self.path)

    @property
    def failed(self) -> bool:
        """Whether it ends with an error of its own, which `leave` raises."""
        return self._gave_up is not None or self._fatal is not None

    def attach(self) -> None:
        """Take its place in the tree around it: below the child in whose task it is opened, if there is one."""
        self._parent = parent = CURRENT.get()
        if parent is not None:
            name = self.settings.name
            self.path = (*parent.tree.path, parent.id) if name == parent.id else (*parent.tree.path, parent.id, name)
            parent.inner.append(self)

    def detach(self) -> None:
        """Note that it has stopped, and tell who waits for that."""
        if self._parent is not None:
            self._parent.inner.remove(self)
        self.stopped.set()
        self._emit(SupervisorStopped, "")

    # ------------------------------------------------------------------------------------------------------- starting

    async def start_all(self, specs: Iterable[ChildSpec]) -> None:
        """Start children one after the other; the first that fails raises a `ChildError` caused by its error."""
        for spec in specs:
            if self._stopping:
                break  # an earlier one had the supervisor stop
            try:
                await self.start_new(spec, vital=True)
            except Exception as exc:
                if self.entering.cancel_called:
                    break  # called off, for a reason that `leave` knows
                raise self.refusal(spec.id, "failed_to_start_child", f": {_brief(exc)}") from exc
        await trio.lowlevel.checkpoint()

    async def start_new(self, spec: ChildSpec, *, vital: bool = False) -> ChildTask:
        """Add a child and wait until it has started, or leave no trace of it; ``vital`` is as for `start`."""
        timer = BackoffTimer(spec.backoff or self.settings.backoff, self.settings.rng)
        child = ChildTask(spec, timer, self)
        await self.start(child, keep=False, vital=vital)
        return child

    async def start(self, child: ChildTask, *, keep: bool, vital: bool = False) -> None:
        """Start a child and wait until it has started.

        Args:
            child: The child.
            keep: Whether to keep its specification if this is cancelled.
            vital: Whether the supervisor stops if this is cancelled, for it cannot be opened without the child.
        """
        child.begin()
        self._roster.begin(child)
        try:
            self._advance()
            await child.settled.wait()
        except BaseException:
            # Cancelled, or a Ctrl-C: the caller is gone before the child has started, or in the moment it does. A child
            # nobody has a handle of must not stay, so it is stopped and its end awaited. The shield makes this call
            # last as long as the child's cleanup does, as `trio.Nursery.start` would. Whether it is forgotten has to be
            # said beforehand: once it has ended, and before this task is woken, another may restart it.
            if not keep:
                child.unwanted = True
                if child.status is ChildStatus.STOPPED and self.children.get(child.id) is child:
                    del self.children[child.id]
            if vital:
                self.stop()  # already now: until the child has ended siblings would be restarted, only to be stopped
            with trio.CancelScope(shield=True):
                await self.stop_child(child)
            raise
        error, child.start_error = child.start_error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # this frame is in its traceback: a cycle otherwise
        if not child.came_up and not child.ignored:
            self.check_open(child.id)
            raise self.refusal(child.id, "terminated")

    def _advance(self) -> None:
        """Do what is to be done now."""
        for step in self._roster.steps(trio.current_time()):
            child = step.member
            if isinstance(step, Launch):
                self._launch(child, step.delay)
            else:
                child.cancel(patience(child))
                self._watch(child)

    def _launch(self, child: ChildTask, delay: float | None) -> None:
        child.launch()
        # A task inherits the context of whoever starts it. That may be a sibling, by failing; the context of a child is
        # always that of whoever asked for it.
        child.context.run(
            lambda: self.nursery.start_soon(self._supervise, child, delay, name=f"{self.label}: {child.id}")
        )

    def child_starting(self, child: ChildTask) -> None:
        """Tell that an incarnation begins, its delay being over."""
        self._emit(ChildStarting, child.id, restarts=child.starts)

    def child_started(self, child: ChildTask) -> None:
        """Note that an incarnation has started, and tell it."""
        restarts = child.starts
        self._roster.started(child, trio.current_time())
        self._advance()  # the next restart may have waited for this one
        self._emit(ChildStarted, child.id, restarts=restarts)

    # ------------------------------------------------------------------------------------------------------- stopping

    def stop(self) -> None:
        """Begin to stop everything: the body, whatever is starting, and the children in their order. Never waits.

        Idempotent. What has not started yet is called off at once, for nobody relies on it; a child that runs is
        cancelled when its turn comes.
        """
        if self._stopping:
            return
        self._stopping = True
        self.body.cancel(reason=f"supervisor {self.label!r} stops")
        self.entering.cancel(reason=f"supervisor {self.label!r} stops")
        waiting = self._roster.close()
        running = [child for child in reversed(self.children.values()) if child.alive]
        together = self.settings.stop_order is StopOrder.TOGETHER
        shutdown = max(map(patience, running), default=0.0)
        for child in running:
            if together:
                self._cancel(child)
            elif child.status is not ChildStatus.RUNNING:
                self._cancel(child)
                self._watch(child)  # its turn to be waited for may come long after its time is over
        self.nursery.start_soon(self._stop_all, running, shutdown if together else None, name=f"{self.label}: stop")
        for child in waiting:
            child.settled.set()
        for child in waiting:
            self._emit(ChildStopped, child.id, error=None)

    @trio.lowlevel.enable_ki_protection
    async def _stop_all(  # noqa: ASYNC910  # the root of a task
        self, children: list[ChildTask], together: float | None
    ) -> None:
        """See to it that all children end, and say who is late: one after the other, or all by one deadline."""
        # Shielded, for the scopes around may be cancelled already. Past its deadline there is no force left to use on a
        # task: it is waited for, and the log says for whom.
        with trio.CancelScope(shield=True):  # noqa: ASYNC912  # nobody cancels it: it is a shield
            try:
                if together is None:
                    for child in children:
                        await self.stop_child(child)
                else:
                    with trio.move_on_after(together):
                        await all_set([child.ended for child in children])
                    for child in children:
                        self._report_overdue(child, together)
            finally:
                # Nothing above raises but an observer (KeyboardInterrupt and the like) or a log handler. The children
                # whose turn has not come must hear of it all the same: nobody else will tell them.
                for child in children:
                    self._cancel(child)

    async def stop_child(self, child: ChildTask) -> None:
        """Stop a child and wait until it has ended."""
        ended = child.ended  # of this run: before this task is woken, another may have begun the next
        waiting = not child.alive and child.status is not ChildStatus.STOPPED
        self._cancel(child)
        if waiting:
            child.settled.set()
            self._emit(ChildStopped, child.id, error=None)
        try:
            with trio.move_on_at(child.overdue_at):
                await all_set([ended])
        except BaseException:
            if not ended.is_set():
                self._watch(child)  # whoever asked has left, the child is to be reported all the same
            raise
        if not ended.is_set():
            self._report_overdue(child, child.shutdown)
        await ended.wait()

    def budget(self) -> float:
        """Return how long all the children may take to stop."""
        return budget(self.children.values(), self.settings.stop_order)

    def _watch(self, child: ChildTask) -> None:
        """Have a child that is stopping reported when its time is over, though nobody waits for it."""
        name = f"{self.label}: stop {child.id}"
        self.nursery.start_soon(self._see_to, child, child.ended, child.overdue_at, name=name)

    @trio.lowlevel.enable_ki_protection
    async def _see_to(self, child: ChildTask, ended: trio.Event, deadline: float) -> None:
        with trio.CancelScope(deadline=deadline, shield=True):
            await all_set([ended])
        if not ended.is_set():
            self._report_overdue(child, child.shutdown)

    def _cancel(self, child: ChildTask) -> None:
        self._roster.stop(child)
        if child.alive:
            child.cancel(patience(child))

    def _report_overdue(self, child: ChildTask, shutdown: float) -> None:
        if child.overdue or child.ended.is_set():
            return
        child.overdue = True
        self._log(
            logging.ERROR, child, f"ignores its cancellation for {shutdown:g} s; a task cannot be killed, waiting"
        )
        self._emit(ChildOverdue, child.id, shutdown=shutdown)

    # -------------------------------------------------------------------------------------------- one incarnation's end

    @trio.lowlevel.enable_ki_protection
    async def _supervise(self, child: ChildTask, delay: float | None) -> None:
        """Be the task of one incarnation of a child."""
        CURRENT.set(child)  # the context is this task's own
        ended = child.ended
        try:
            self._ended(child, await child.run(delay))
        finally:
            # Nothing above raises but an observer (KeyboardInterrupt and the like), a log handler, or a defect. That
            # leaves through the nursery and stops the tree; meanwhile nobody may wait for this child for ever.
            if not ended.is_set():
                self._retire(child)

    def _ended(self, child: ChildTask, error: BaseException | None) -> None:
        """Carry out what follows the end of an incarnation.

        Events come after the state changes they tell of, for an observer may raise KeyboardInterrupt.
        """
        now = trio.current_time()
        if error is not None and not isinstance(error, Exception):
            if child.asked:
                child.start_error = error
            self._retire(child)
            self._abort(error)
            self._emit(ChildExited, child.id, error=error, planned=False)
        elif child.status is ChildStatus.STOPPING or child.halting or self._stopping:
            self._roster.halted(child, now)
            self._woken(child)
            if error is not None and not is_planned(error) and not (is_ignored(error) and not child.started):
                self._log(logging.WARNING, child, "raised while it was stopped", error)
            self._emit(ChildStopped, child.id, error=error)
        elif is_ignored(error) and not child.started:
            child.ignored = not child.settled.is_set()
            self._roster.ignored(child)
            self._woken(child)
            self._log(logging.DEBUG, child, "declined to start")
            self._emit(ChildIgnored, child.id)
        elif child.asked:
            child.start_error = error
            self._retire(child)
            self._emit(ChildStartFailed, child.id, error=error)
        else:
            self._exited(child, error, now)
        self._advance()

    def _exited(self, child: ChildTask, error: Exception | None, now: float) -> None:
        """Carry out what follows an exit nobody asked for, or a failed automatic restart."""
        ending = ending_of(error, started=child.started)
        planned = ending is Ending.PLANNED
        if error is None or planned:
            self._log(logging.DEBUG, child, "ended by plan" if planned else "ended")
        else:
            self._log(logging.WARNING, child, "crashed" if child.started else "failed to restart", error)
        ruling = self._roster.ended(child, ending, now)
        self._woken(child)
        if error is not None and not planned and ruling.verdict in (Verdict.RESTART, Verdict.GIVE_UP):
            self._errors.append(error)
        self._emit(ChildExited, child.id, error=error, planned=planned, reason=ending)
        if ruling.verdict is Verdict.RESTART:
            self._emit(ChildRestartScheduled, child.id, delay=ruling.delay)
        elif ruling.verdict is Verdict.GIVE_UP:
            self._give_up(child, now)
        elif ruling.verdict is Verdict.SHUT_DOWN:
            self._log(logging.DEBUG, child, "was significant; the supervisor stops")
            self.stop()
            self._emit(SupervisorShutDown, child.id)

    def _retire(self, child: ChildTask) -> None:
        """Take note that a child has ended for good."""
        self._roster.retire(child)
        self._woken(child)

    def _woken(self, child: ChildTask) -> None:
        """Wake those who wait for the end of this incarnation, and those who wait for a start that will not come."""
        child.ended.set()
        if not child.asked:
            child.settled.set()  # also when it was called off, and is started again only because its siblings are

    # -------------------------------------------------------------------------------------------- the supervisor's end

    def _give_up(self, child: ChildTask, now: float) -> None:
        restarts = self.window.count(now)
        limit, within = self.window.max_restarts, self.window.within
        message = (
            f"supervisor {self.label!r} gave up: child {child.id!r} needed restart {restarts} within {within:g} s,"
            f" {limit:g} allowed"
        )
        if self._errors:
            message += f"; last error: {_brief(self._errors[-1])}"
        error = RestartIntensityExceeded(
            message,
            child_id=child.id,
            restarts=restarts,
            max_restarts=limit,
            within=within,
            errors=tuple(self._errors),
            supervisor_path=self.path,
        )
        self._gave_up = error
        self._log(logging.ERROR, child, "exhausted the restart limit; the supervisor stops")
        self.stop()
        self._emit(SupervisorGaveUp, child.id, error=error)

    def _abort(self, error: BaseException) -> None:
        """Stop the tree for an exception that is no crash, such as KeyboardInterrupt; the first one is what leaves."""
        if self._fatal is None:
            self._fatal = error
        self.stop()

    def leave(self, raised: BaseException | None, hit: BaseException | None) -> None:
        """Raise what has to leave the ``async with`` after the body raised ``raised`` and the nursery ``hit``."""
        own = hit if self._fatal is None else self._fatal
        gave_up = own is None and self._gave_up is not None and not is_exit(raised)
        if gave_up:
            own = self._gave_up
        if own is None or own is raised:
            if raised is None:
                return
            raise raised
        # A Cancelled is not the body's error. If it does not come from our own scope, an outer one was cancelled at the
        # same time; our error takes its place, as one beside a Cancelled does when a group passes such a scope.
        cause = None if isinstance(raised, trio.Cancelled) else raised
        if cause is None and gave_up and self._errors:
            cause = self._errors[-1]
        if cause is None:
            raise own
        raise own from cause

    # ------------------------------------------------------------------------------------------------------- telling

    def check_open(self, child_id: str) -> None:
        """Raise a `ChildError` if nothing can be started any more."""
        if self._stopping:
            raise self.refusal(child_id, "closed") from self._gave_up

    def check_new(self, child_id: str) -> None:
        """Raise a `ChildError` if there is a child of this id."""
        present = self.children.get(child_id)
        if present is not None:
            raise self.refusal(child_id, "already_started" if present.status in ALIVE else "already_present")

    def refusal(self, child_id: str, reason: str, detail: str = "") -> ChildError:
        """Return the error of a refused call."""
        message = f"supervisor {self.label!r}, child {child_id!r}: {reason}{detail}"
        return ChildError(message, reason=reason, child_id=child_id)

    def _emit(self, kind: Callable[..., SupervisorEvent], child_id: str, **data: object) -> None:
        if self._observer.heard:
            self._observer.emit(kind(child_id=child_id, supervisor=self.path, **data))

    def _log(self, level: int, child: ChildTask, message: str, error: Exception | None = None) -> None:
        if error is not None:
            message = f"{message}: {_brief(error)}"
        extra = {"supervisor": self.label, "child_id": child.id}
        # An error of ours says in its one line what there is to know; the traceback would only show where we raised it.
        trace = None if isinstance(error, TrioPoolError) else error
        logger.log(level, "child %r of supervisor %r %s", child.id, self.label, message, exc_info=trace, extra=extra)


def _brief(error: Exception) -> str:
    """Return one line on an exception of a child, whose ``repr()`` may be broken."""
    try:
        return str(error) if isinstance(error, TrioPoolError) else repr(error).replace("\n", " ")
    except Exception:
        return f"<{type(error).__name__} whose repr() raises>"
