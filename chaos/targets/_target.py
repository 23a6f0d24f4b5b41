"""What the harness needs of a pool: one small adapter for each kind makes the same scenario run against all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    import trio_pool

    from ..scenario._fault import Capability
    from ..scenario._model import Scenario


@attrs.frozen(kw_only=True)
class Setup:
    """What a pool is opened with.

    Args:
        scenario: Its pool's size and settings, and its workload.
        seed: The source of chance.
        app: What workers import: ``module:attribute`` of a `trio_pool.bridge.Bridge`, or of a function that takes a
            command's name and its arguments.
        env: Variables for the workers, among them where the ledger and the agent's orders are.
        on_event: Takes the events of pools that have any.
    """

    scenario: Scenario
    seed: int
    app: str
    env: Mapping[str, str]
    on_event: Callable[[trio_pool.PoolEvent], None] | None = None


@attrs.frozen(kw_only=True)
class Call:
    """One request, as the client makes it.

    Args:
        command: The operation.
        args: Its arguments, all that the worker needs among them.
        session: The session, by name, or None.
        idempotent: Whether the pool may run it again.
        timeout: The whole budget in seconds; None for the pool's own.
    """

    command: str
    args: Mapping[str, Any]
    session: str | None = None
    idempotent: bool = False
    timeout: float | None = None


class OpenTarget(Protocol):
    """A pool that is open."""

    @property
    def pool(self) -> trio_pool.SessionPool | None:
        """The pool itself if it is one of ours, else None."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Which faults can reach it."""
        ...

    async def call(self, call: Call) -> Any:
        """Send a request and return what the command returned. Cancelling it cancels the request where that exists.

        Raises:
            Exception: Whatever the pool raises for it.
        """
        ...

    async def end_session(self, session: str) -> None:
        """End a session, where there are such things. As errors, what the pool raises."""
        ...

    def pids(self) -> Sequence[int]:
        """Return the process ids of the workers there are now, in an order that stays the same."""
        ...


class Target(Protocol):
    """A kind of pool."""

    @property
    def name(self) -> str:
        """How the command line calls it."""
        ...

    @property
    def version(self) -> str:
        """Of the distribution it comes from."""
        ...

    @property
    def sessions(self) -> bool:
        """Whether it has sessions whose state lives in one worker."""
        ...

    @property
    def workloads(self) -> frozenset[str] | None:
        """The kinds of workload its workers can do; None for any."""
        ...

    def open(self, setup: Setup) -> AbstractAsyncContextManager[OpenTarget]:
        """Open a pool of that kind; leaving closes it as its users would."""
        ...
