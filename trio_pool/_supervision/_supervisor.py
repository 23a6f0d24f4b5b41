"""The supervisor: keeps a changing set of children running by the rules of OTP. How it does that is in `_tree`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Final

import attrs
import trio

from .._core._restart import Backoff, RestartWindow
from ._child import Child, ChildStatus, ChildTask
from ._spec import Strategy, is_exit
from ._tree import Tree

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from ._events import SupervisorEvent
    from ._spec import ChildSpec

_ALIVE: Final = (ChildStatus.RUNNING, ChildStatus.STOPPING)
"""What management calls take for running: a child that is stopping has not ended."""


@attrs.frozen
class ChildCounts:
    """How many children a supervisor has."""

    specs: int
    """Specifications, whether their children run or not."""
    active: int
    """Children with a running incarnation."""


class Supervisor:
    """Starts children, restarts them by policy, stops them all; `open_supervisor` makes one.

    Every management call is a checkpoint and may be made from any task, children included, as long as the supervisor is
    open. A refused one raises `ChildError`, whose ``reason`` is OTP's word:

    ==================  =================  ======================  ======================  ==========
    call                running            not running             starting or restarting  unknown id
    ==================  =================  ======================  ======================  ==========
    `start_child`       already_started    already_present         already_present         starts it
    `restart_child`     running            starts it               restarting              not_found
    `terminate_child`   stops it           does nothing            calls that off          not_found
    `delete_child`      running            forgets it              restarting              not_found
    ==================  =================  ======================  ======================  ==========

    A start that was called off by `terminate_child` ends with ``terminated``, and after the supervisor has begun to
    stop every start ends with ``closed``, caused by the give-up if there was one.

    Args:
        tree: Its running side.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __repr__(self) -> str:
        return f"<Supervisor {self._tree.name!r} with {len(self._tree.children)} children>"

    @trio.lowlevel.enable_ki_protection
    async def start_child(self, spec: ChildSpec) -> Child:
        """Start a new child and wait until it has started.

        Any number of starts may be under way at once. Cancelling this call cancels the start and waits for its end;
        then, as after a failed start, nothing of the child is kept. Either the child runs or this raises, never both.

        Returns:
            The child's handle; ``handle.value`` is what it gave to ``task_status.started()``.

        Raises:
            ChildError: The id is taken, the start was called off, or the supervisor is closed.
            Exception: The very exception that the child's first start raised. It is not charged and not retried.
        """
        await trio.lowlevel.checkpoint()
        self._tree.check_open(spec.id)
        present = self._tree.children.get(spec.id)
        if present is not None:
            raise self._tree.refusal(spec.id, "already_started" if present.status in _ALIVE else "already_present")
        return (await self._tree.start_new(spec)).handle

    @trio.lowlevel.enable_ki_protection
    async def restart_child(self, child_id: str) -> Child:
        """Start a child that is not running but whose specification was kept, and wait until it has started.

        As with `start_child`, save that the specification is kept whatever happens.

        Raises:
            ChildError: See the table at `Supervisor`.
            Exception: The very exception that the start raised. It is not charged and not retried.
        """
        await trio.lowlevel.checkpoint()
        self._tree.check_open(child_id)
        child = self._find(child_id)
        if child.status is not ChildStatus.STOPPED:
            raise self._tree.refusal(child_id, "running" if child.status in _ALIVE else "restarting")
        await self._tree.start(child, keep=True)
        return child.handle

    @trio.lowlevel.enable_ki_protection
    async def terminate_child(self, child_id: str) -> None:
        """Stop a child and wait until it has ended; what it raises meanwhile is logged.

        The specification is kept, unless the child is temporary or in its first start. The wait has no limit but the
        caller's own cancel scope, for a task cannot be killed; the child goes on stopping when this call is cancelled.

        Raises:
            ChildError: See the table at `Supervisor`.
        """
        await trio.lowlevel.checkpoint()
        await self._tree.stop_child(self._find(child_id))

    async def delete_child(self, child_id: str) -> None:
        """Forget a child that is not running.

        Raises:
            ChildError: See the table at `Supervisor`.
        """
        await trio.lowlevel.checkpoint()
        child = self._find(child_id)
        if child.status is not ChildStatus.STOPPED:
            raise self._tree.refusal(child_id, "running" if child.status in _ALIVE else "restarting")
        del self._tree.children[child_id]

    def which_children(self) -> tuple[Child, ...]:
        """Return the handles of all children with a specification, the newest first."""
        return tuple(child.handle for child in reversed(self._tree.children.values()))

    def count_children(self) -> ChildCounts:
        """Return how many children there are."""
        active = sum(child.status in _ALIVE for child in self._tree.children.values())
        return ChildCounts(specs=len(self._tree.children), active=active)

    async def wait(self) -> None:
        """Wait until the supervisor has stopped.

        In the body of its ``async with`` this keeps the tree running until the body is cancelled, be it from outside or
        by a give-up. It does not return when the last child ends: others may be started.
        """
        await self._tree.stopped.wait()

    def _find(self, child_id: str) -> ChildTask:
        child = self._tree.children.get(child_id)
        if child is None:
            raise self._tree.refusal(child_id, "not_found")
        return child


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def _open(tree: Tree) -> AsyncGenerator[Supervisor, None]:
    raised: BaseException | None = None
    hit: BaseException | None = None
    try:
        async with trio.open_nursery() as tree.nursery:
            try:
                with tree.body:
                    yield Supervisor(tree)
            except BaseException as exc:  # noqa: ASYNC103  # `leave` raises it again, once no child is left
                # If it met the nursery it would leave wrapped in a group, so it waits here instead, a Cancelled too:
                # the scope that one belongs to lies outside, hence nothing is lost by raising it a little later. The
                # nursery needs no cancellation to come to its end, for `stop` cancels every child.
                raised = exc
            tree.stop()
    except BaseExceptionGroup as group:
        # No child's exception comes this way, they all become values. What does is a Ctrl-C that hit this very task
        # while the nursery waited for the children (it waits on, and raises afterwards), a KeyboardInterrupt of the
        # observer or of a log handler, or a defect in here.
        hit = next(filter(is_exit, group.exceptions), group.exceptions[0])
    finally:
        tree.stopped.set()
    tree.leave(raised, hit)


def open_supervisor(
    strategy: Strategy | str = Strategy.ONE_FOR_ONE,
    *,
    max_restarts: float = 3,
    within: float = 5.0,
    backoff: Backoff | None = None,
    rng: Random | None = None,
    name: str = "supervisor",
    on_event: Callable[[SupervisorEvent], None] | None = None,
) -> AbstractAsyncContextManager[Supervisor]:
    """Open a supervisor for the length of an ``async with``.

    Leaving the body, in whatever way, cancels all children at once and waits for them. They share one deadline, the
    longest ``shutdown`` of any of them; those that still run then are logged, reported and waited for: a task cannot be
    killed. Children are shielded from the scopes around the supervisor: a cancellation from outside reaches the body
    first, and them when the body has left.

    What leaves the ``async with`` is never wrapped in an exception group:

    - the body's own exception, the same object;
    - `RestartIntensityExceeded` when the supervisor gave up, which cancels the body. Its ``__cause__`` is the body's
      own exception if there was one, else the last child error;
    - KeyboardInterrupt, SystemExit or whatever else is not an `Exception`, out of a child: it stops the tree likewise.

    A finite limit and a backoff chosen without regard for each other may cancel each other out, so that a crash loop
    never ends; `RestartPolicy.check` tells, given the number of children.

    Args:
        strategy: Which children are restarted when one fails.
        max_restarts: Restarts of all children together allowed within ``within`` seconds; the next one is a give-up. 0
            gives up at the first, ``math.inf`` never.
        within: Length of that window in seconds.
        backoff: Delays of the restarts of one child; None restarts without delay, as OTP does.
        rng: Source of the jitter.
        name: Its name in logs, errors and task names.
        on_event: Called synchronously with every event, where it happens; disabled when it raises.

    Raises:
        ValueError: A value is out of range; the message names it. The call itself raises it, before the ``async with``.
    """
    try:
        Strategy(strategy)
    except ValueError:
        message = f"strategy must be one of {', '.join(Strategy)}, not {strategy!r}"
        raise ValueError(message) from None  # the enum's own words add nothing
    window = RestartWindow(max_restarts, within)
    backoff = backoff or Backoff(initial=0.0)
    rng = rng or Random()  # noqa: S311  # it spreads delays, it guards nothing
    return _open(Tree(window, backoff, rng, name, on_event))
