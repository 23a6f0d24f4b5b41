"""The supervisor: keeps a changing set of children running by the rules of OTP. How it does that is in `_tree`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from .._core._strategy import AutoShutdown, ChildStatus, ChildType, StopOrder, Strategy, member_of
from ._render import SupervisorNode, draw
from ._settings import Settings
from ._spec import check_specs, is_exit
from ._tree import ALIVE, Tree

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from contextlib import AbstractAsyncContextManager
    from typing import Unpack

    from ._child import Child, ChildTask
    from ._settings import CommonOptions
    from ._spec import ChildSpec

S = TypeVar("S", bound="SupervisorBase")


@attrs.frozen
class ChildCounts:
    """How many children a supervisor has."""

    specs: int
    """Specifications, whether their children run or not."""
    active: int
    """Children with a running incarnation."""
    supervisors: int = 0
    """Specifications of type ``supervisor``."""

    @property
    def workers(self) -> int:
        """Specifications of type ``worker``."""
        return self.specs - self.supervisors


class SupervisorBase:
    """What every kind of supervisor can be asked.

    Args:
        tree: Its running side.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._tree.settings.name!r} with {len(self._tree.children)} children>"

    @property
    def name(self) -> str:
        """Its name in logs, errors and events."""
        return self._tree.settings.name

    def which_children(self) -> tuple[Child, ...]:
        """Return the handles of all children with a specification, the newest first."""
        return tuple(child.handle for child in reversed(self._tree.children.values()))

    def count_children(self) -> ChildCounts:
        """Return how many children there are."""
        children = self._tree.children.values()
        return ChildCounts(
            specs=len(children),
            active=sum(child.status in ALIVE for child in children),
            supervisors=sum(child.kind is ChildType.SUPERVISOR for child in children),
        )

    def tree(self) -> SupervisorNode:
        """Return the tree below this supervisor as it is now; ``str()`` of it draws it, a line for each child.

        Supervisors opened inside a child are part of it, however deep in the child's code.
        """
        return draw(self._tree)

    async def wait(self) -> None:
        """Wait until the supervisor has stopped.

        In the body of its ``async with`` this keeps the tree running until the body is cancelled, be it from outside or
        by a give-up or an automatic shutdown. It does not return when the last child ends: others may be started.
        """
        await self._tree.stopped.wait()


class Supervisor(SupervisorBase):
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
    `get_childspec`     returns it         returns it              returns it              not_found
    ==================  =================  ======================  ======================  ==========

    A start that was called off by `terminate_child` ends with ``terminated``, and after the supervisor has begun to
    stop every start ends with ``closed``, caused by the give-up if there was one.
    """

    @trio.lowlevel.enable_ki_protection
    async def start_child(self, spec: ChildSpec) -> Child:
        """Start a new child, after all others in order, and wait until it has started.

        Any number of starts may be under way at once. Cancelling this call cancels the start and waits for its end;
        then, as after a failed start, nothing of the child is kept. Either the child runs or this raises, never both.
        Where the strategy restarts siblings together and does so meanwhile, this start is begun anew in its turn.

        Returns:
            The child's handle; ``handle.value`` is what it gave to ``task_status.started()``.

        Raises:
            ChildError: The id is taken, the start was called off, or the supervisor is closed; or the child is
                significant and the supervisor never shuts down for one (``bad_combination``).
            Exception: The very exception that the child's first start raised. It is not charged and not retried.
        """
        await trio.lowlevel.checkpoint()
        self._tree.check_open(spec.id)
        self._tree.check_new(spec.id)
        if spec.significant and self._tree.settings.auto_shutdown is AutoShutdown.NEVER:
            raise self._tree.refusal(spec.id, "bad_combination", ": significant, and auto_shutdown is 'never'")
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
        child = self._stopped(child_id)
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
        del self._tree.children[self._stopped(child_id).id]

    def get_childspec(self, child_id: str) -> ChildSpec:
        """Return the specification of a child.

        Raises:
            ChildError: See the table at `Supervisor`.
        """
        return self._find(child_id).spec

    def _find(self, child_id: str) -> ChildTask:
        child = self._tree.children.get(child_id)
        if child is None:
            raise self._tree.refusal(child_id, "not_found")
        return child

    def _stopped(self, child_id: str) -> ChildTask:
        child = self._find(child_id)
        if child.status is not ChildStatus.STOPPED:
            raise self._tree.refusal(child_id, "running" if child.status in ALIVE else "restarting")
        return child


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def run(tree: Tree, kind: type[S], specs: Iterable[ChildSpec] = ()) -> AsyncGenerator[S, None]:
    """Run a tree for the length of an ``async with``, with these children from the beginning."""
    raised: BaseException | None = None
    hit: BaseException | None = None
    tree.attach()
    try:
        async with trio.open_nursery() as tree.nursery:
            try:
                with tree.entering:
                    await tree.start_all(specs)
                if not tree.failed:
                    # If a significant child has ended already this is cancelled before it begins, and leaves silently.
                    with tree.body:
                        yield kind(tree)
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
        tree.detach()
    tree.leave(raised, hit)


def open_supervisor(
    strategy: Strategy | str = Strategy.ONE_FOR_ONE,
    *,
    children: Iterable[ChildSpec] = (),
    auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER,
    stop_order: StopOrder | str = StopOrder.NEWEST_FIRST,
    **options: Unpack[CommonOptions],
) -> AbstractAsyncContextManager[Supervisor]:
    """Open a supervisor for the length of an ``async with``; it is entered when all ``children`` have started.

    Leaving the body, in whatever way, stops all children and waits for them: the newest first and one at a time, each
    with its own ``shutdown``, unless ``stop_order`` says otherwise. Those that still run after it are logged, reported
    and waited for: a task cannot be killed. Children are shielded from the scopes around the supervisor: a cancellation
    from outside reaches the body first, and them when the body has left.

    What leaves the ``async with`` is never wrapped in an exception group:

    - the body's own exception, the same object;
    - `ChildError` with reason ``failed_to_start_child`` if one of ``children`` did not start, caused by its error;
      those before it have been stopped, the newest first;
    - `RestartIntensityExceeded` when the supervisor gave up, which cancels the body. Its ``__cause__`` is the body's
      own exception if there was one, else the last child error;
    - KeyboardInterrupt, SystemExit or whatever else is not an `Exception`, out of a child: it stops the tree likewise;
    - nothing when the supervisor shut down because of its significant children: that cancels the body too.

    Args:
        strategy: Which children are restarted when one fails.
        children: Children to start at once, in this order; more can be started later and come after them.
        auto_shutdown: Whether the end of ``significant`` children, by themselves, is the end of the supervisor.
        stop_order: Whether children are stopped ``newest_first``, or all ``together`` under one deadline, the longest
            ``shutdown`` of any of them.
        options: ``max_restarts`` (default 3), restarts of all children together allowed within ``within`` seconds (5);
            the next one is a give-up, 0 gives up at the first, ``math.inf`` never. ``backoff``, the delays of the
            restarts of one child, None restarts without delay, as OTP does; ``rng``, the source of their jitter.
            ``name``, its name in logs, errors and task names. ``on_event``, called synchronously with every event,
            where it happens, and disabled when it raises.

    Raises:
        ValueError: A value is out of range; the message names it. The call itself raises it, before the ``async with``.
            A limit that the backoff of ``children`` makes unreachable is refused too, see `RestartPolicy.check`; of
            children started later nothing is known here.
    """
    settings = Settings(
        strategy=member_of(Strategy, "strategy", strategy),
        auto_shutdown=member_of(AutoShutdown, "auto_shutdown", auto_shutdown),
        stop_order=member_of(StopOrder, "stop_order", stop_order),
        **options,
    )
    specs = check_specs(children, settings.auto_shutdown)
    settings.check_limit(specs)
    return run(Tree(settings), Supervisor, specs)
