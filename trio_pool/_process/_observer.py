"""Who is told about a worker: what the task that owns it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .._core._errors import WorkerInitFailed
    from ._worker import PoolWorker


class WorkerObserver(Protocol):
    """Who is told about a worker the moment something happens; the methods neither raise nor, but for one, wait."""

    def spawned(self, worker: PoolWorker) -> None:
        """The process exists; it is not ready yet."""
        ...

    async def prepare(self, worker: PoolWorker) -> WorkerInitFailed | None:
        """It answered hello: send it what it needs before it counts as ready; return why it cannot be, if it cannot.

        The one method that waits, and so within a bound. Nothing comes between its return and `ready`.
        """
        ...

    def ready(self, worker: PoolWorker) -> None:
        """It is ready and may be sent commands."""
        ...

    def lost(self, worker: PoolWorker) -> None:
        """Nothing more can be sent to it; what it sent before is still to be read. Comes before `dead`."""
        ...

    def dead(self, worker: PoolWorker) -> None:
        """Its process is gone and its last replies are delivered; ``worker.exit`` says how it went."""
        ...

    def stale(self, worker: PoolWorker, wire_id: int) -> None:
        """A reply came that nobody waits for."""
        ...

    def idle(self, worker: PoolWorker) -> None:
        """A reply came after which the worker owes none."""
        ...


class Nobody:
    """An observer for whom nothing matters."""

    def spawned(self, worker: PoolWorker) -> None:
        """Do nothing."""

    async def prepare(self, worker: PoolWorker) -> WorkerInitFailed | None:
        """Do nothing."""
        return None  # noqa: ASYNC910  # nothing to wait for; `run_worker` has checkpoints

    def ready(self, worker: PoolWorker) -> None:
        """Do nothing."""

    def lost(self, worker: PoolWorker) -> None:
        """Do nothing."""

    def dead(self, worker: PoolWorker) -> None:
        """Do nothing."""

    def stale(self, worker: PoolWorker, wire_id: int) -> None:
        """Do nothing."""

    def idle(self, worker: PoolWorker) -> None:
        """Do nothing."""
