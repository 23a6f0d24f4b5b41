"""The running side of a supervisor: its tasks, its decisions, its end.

Each child has one task, which lives from the child's start to its final end and runs one incarnation after another.
Every decision is made where it is due, in one synchronous function that the child's task calls between two checkpoints
(`Tree._ended`), so that no exit is ever in flight: a child is seen starting, running, restarting, stopping or stopped,
and nothing in between. A strategy that restarts siblings too would hand them, from that same place, to a task that
stops and starts them in order; one that restarts the failed child alone, the only one there is, needs no such task.

All this runs protected from KeyboardInterrupt, which would leave a change of state half done: the roots of tasks, the
public calls and what children call into are marked, and Trio extends that to what they call. Children are exempted.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from .._core._errors import ChildError, RestartIntensityExceeded, TrioPoolError
from .._core._restart import BackoffTimer, Restart
from ._child import ChildStatus, ChildTask
from ._events import (
    ChildExited,
    ChildOverdue,
    ChildRestartScheduled,
    ChildStarted,
    ChildStopped,
    Observer,
    SupervisorGaveUp,
    logger,
)
from ._spec import is_exit, is_give_up, is_planned

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from .._core._restart import Backoff, RestartWindow
    from ._events import SupervisorEvent
    from ._spec import ChildSpec

_KEPT_ERRORS: Final = 8
"""Child errors a give-up carries: enough to tell one cause from many; each keeps its traceback's frames alive."""


class Tree:
    """The children of one supervisor and everything that happens to them.

    Args:
        window: The restart limit.
        backoff: The delays of the restarts of one child.
        rng: Source of the jitter.
        name: Name in logs, errors and task names.
        on_event: The observer.
    """

    def __init__(
        self,
        window: RestartWindow,
        backoff: Backoff,
        rng: Random,
        name: str,
        on_event: Callable[[SupervisorEvent], None] | None,
    ) -> None:
        self.name = name
        self.children: dict[str, ChildTask] = {}
        self.body = trio.CancelScope()
        self.stopped = trio.Event()
        self.nursery: trio.Nursery  # given before anybody can get at a tree
        self._window = window
        self._backoff = backoff
        self._rng = rng
        self._observer = Observer(name, on_event)
        self._errors: deque[Exception] = deque(maxlen=_KEPT_ERRORS)
        self._gave_up: RestartIntensityExceeded | None = None
        self._fatal: BaseException | None = None
        self._stopping = False

    async def start_new(self, spec: ChildSpec) -> ChildTask:
        """Add a child and wait until it has started, or leave no trace of it."""
        child = ChildTask(spec, BackoffTimer(self._backoff, self._rng), self._child_started)
        self.children[spec.id] = child
        await self.start(child, keep=False)
        return child

    async def start(self, child: ChildTask, *, keep: bool) -> None:
        """Start a child and wait until it has started; say whether to keep its specification if this is cancelled."""
        child.begin()
        self.nursery.start_soon(self._supervise, child, name=f"{self.name}: {child.spec.id}")
        try:
            await child.settled.wait()
        except BaseException:
            # Cancelled, or a Ctrl-C: the caller is gone before the child has started, or in the moment it does. A child
            # nobody has a handle of must not stay, so it is stopped and its end awaited. The shield makes this call
            # last as long as the child's cleanup does, as `trio.Nursery.start` would. Whether it is forgotten has to be
            # said beforehand: once it has ended, and before this task is woken, another may restart it.
            if not keep:
                child.unwanted = True
                if child.status is ChildStatus.STOPPED and self.children.get(child.spec.id) is child:
                    del self.children[child.spec.id]
            with trio.CancelScope(shield=True):
                await self.stop_child(child)
            raise
        error, child.start_error = child.start_error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # this frame is in its traceback: a cycle otherwise
        if not child.came_up:
            self.check_open(child.spec.id)
            raise self.refusal(child.spec.id, "terminated")

    def stop(self) -> None:
        """Cancel the body and every child at once. Idempotent, never waits."""
        if self._stopping:
            return
        self._stopping = True
        self.body.cancel(reason=f"supervisor {self.name!r} stops")
        children = list(reversed(self.children.values()))
        for child in children:
            child.stop()
        self.nursery.start_soon(self._watch_stop, children, name=f"{self.name}: stop")

    @trio.lowlevel.enable_ki_protection
    async def _watch_stop(self, children: list[ChildTask]) -> None:
        children = [child for child in children if child.status is not ChildStatus.STOPPED]
        shutdown = max((child.spec.shutdown for child in children), default=0.0)
        # Shielded, for the scopes around may be cancelled already, and bounded by the deadline all children share. Past
        # it there is no force left to use on a task: the nursery waits, and the log says for whom.
        with trio.move_on_after(shutdown, shield=True):
            await _all_set([child.ended for child in children])
        for child in children:
            if not child.ended.is_set():
                self._report_overdue(child, shutdown)

    async def stop_child(self, child: ChildTask) -> None:
        """Stop a child and wait until it has ended."""
        ended = child.ended  # of this run: before this task is woken, another may have begun the next
        child.stop()
        with trio.move_on_after(child.spec.shutdown):
            await _all_set([ended])
        if not ended.is_set():
            self._report_overdue(child, child.spec.shutdown)
        await ended.wait()

    def _report_overdue(self, child: ChildTask, shutdown: float) -> None:
        if child.overdue:
            return
        child.overdue = True
        self._log(
            logging.ERROR, child, f"ignores its cancellation for {shutdown:g} s; a task cannot be killed, waiting"
        )
        self._observer.emit(ChildOverdue(child_id=child.spec.id, shutdown=shutdown))

    @trio.lowlevel.enable_ki_protection
    async def _supervise(self, child: ChildTask) -> None:
        """Be the task of a child: run it, and run it again for as long as `_ended` says so."""
        try:
            while True:
                error = await child.run()
                delay = self._ended(child, error)
                if delay is None:
                    return
                await child.pause(delay)
        finally:
            # Nothing above raises but an observer (KeyboardInterrupt and the like), a log handler, or a defect. That
            # leaves through the nursery and stops the tree; meanwhile nobody may wait for this child for ever.
            if child.status is not ChildStatus.STOPPED:
                self._finish(child)

    def _ended(self, child: ChildTask, error: BaseException | None) -> float | None:
        """Decide what follows the end of an incarnation; return the delay of the restart, or None for the final end.

        Events come after the state changes they tell of, for an observer may raise KeyboardInterrupt.
        """
        now = trio.current_time()
        child.timer.ended(now)
        if error is not None and not isinstance(error, Exception):
            if child.status is ChildStatus.STARTING:
                child.start_error = error
            self._finish(child)
            self._abort(error)
            self._observer.emit(ChildExited(child_id=child.spec.id, error=error, planned=False))
            return None
        if child.stopping:
            self._finish(child)
            if error is not None and not is_planned(error):
                self._log(logging.WARNING, child, "raised while it was stopped", error)
            self._observer.emit(ChildStopped(child_id=child.spec.id, error=error))
            return None
        if child.status is ChildStatus.STARTING:
            child.start_error = error
            self._finish(child)
            return None
        return self._exited(child, error, now)

    def _exited(self, child: ChildTask, error: Exception | None, now: float) -> float | None:
        """Decide after an exit nobody asked for, or a failed automatic restart."""
        planned = child.started and is_planned(error)
        if error is None or planned:
            self._log(logging.DEBUG, child, "ended by plan" if planned else "ended")
        else:
            self._log(logging.WARNING, child, "crashed" if child.started else "failed to restart", error)
        exited = ChildExited(child_id=child.spec.id, error=error, planned=planned)
        if not self._restarts(child, error):
            self._finish(child)
            self._observer.emit(exited)
            return None
        if planned:
            delay = 0.0
        else:
            if error is not None:
                self._errors.append(error)
            if not self._window.charge(now):
                self._finish(child)
                self._observer.emit(exited)
                self._give_up(child, now)
                return None
            delay = child.timer.next_delay(now)
        child.status = ChildStatus.RESTARTING
        self._observer.emit(exited)
        self._observer.emit(ChildRestartScheduled(child_id=child.spec.id, delay=delay))
        return delay

    def _restarts(self, child: ChildTask, error: Exception | None) -> bool:
        restart = child.spec.restart
        if restart is Restart.TRANSIENT:
            # A supervisor that gave up has ended in an orderly way, as OTP sees it: exit reason `shutdown`.
            return not (error is None or is_give_up(error))
        return restart is Restart.PERMANENT

    def _finish(self, child: ChildTask) -> None:
        """Take note that a child's task is through; forget what nothing can start again."""
        if child.unwanted or child.starts == 0 or child.spec.restart is Restart.TEMPORARY:
            del self.children[child.spec.id]
        child.finish()

    def _give_up(self, child: ChildTask, now: float) -> None:
        restarts = self._window.count(now)
        limit, within = self._window.max_restarts, self._window.within
        message = (
            f"supervisor {self.name!r} gave up: child {child.spec.id!r} needed restart {restarts} within {within:g} s,"
            f" {limit:g} allowed"
        )
        if self._errors:
            message += f"; last error: {_brief(self._errors[-1])}"
        error = RestartIntensityExceeded(
            message,
            child_id=child.spec.id,
            restarts=restarts,
            max_restarts=limit,
            within=within,
            errors=tuple(self._errors),
        )
        self._gave_up = error
        self._log(logging.ERROR, child, "exhausted the restart limit; the supervisor stops")
        self.stop()
        self._observer.emit(SupervisorGaveUp(child_id=child.spec.id, error=error))

    def _abort(self, error: BaseException) -> None:
        """Stop the tree for an exception that is no crash, such as KeyboardInterrupt; the first one is what leaves."""
        if self._fatal is None:
            self._fatal = error
        self.stop()

    def _child_started(self, child: ChildTask) -> None:
        child.timer.started(trio.current_time())
        self._observer.emit(ChildStarted(child_id=child.spec.id, restarts=child.handle.restarts))

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

    def check_open(self, child_id: str) -> None:
        """Raise a `ChildError` if nothing can be started any more."""
        if self._stopping:
            raise self.refusal(child_id, "closed") from self._gave_up

    def refusal(self, child_id: str, reason: str) -> ChildError:
        """Return the error of a refused call."""
        return ChildError(f"supervisor {self.name!r}, child {child_id!r}: {reason}", reason=reason, child_id=child_id)

    def _log(self, level: int, child: ChildTask, message: str, error: Exception | None = None) -> None:
        if error is not None:
            message = f"{message}: {_brief(error)}"
        extra = {"supervisor": self.name, "child_id": child.spec.id}
        # An error of ours says in its one line what there is to know; the traceback would only show where we raised it.
        trace = None if isinstance(error, TrioPoolError) else error
        logger.log(
            level, "child %r of supervisor %r %s", child.spec.id, self.name, message, exc_info=trace, extra=extra
        )


def _brief(error: Exception) -> str:
    """Return one line on an exception of a child, whose ``repr()`` may be broken."""
    try:
        return str(error) if isinstance(error, TrioPoolError) else repr(error).replace("\n", " ")
    except Exception:
        return f"<{type(error).__name__} whose repr() raises>"


async def _all_set(events: list[trio.Event]) -> None:
    # A turn for the children first: one that ends at its cancellation is not late, be the deadline now.
    await trio.lowlevel.cancel_shielded_checkpoint()
    for event in events:
        await event.wait()
