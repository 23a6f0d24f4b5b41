"""A slot: one place for a worker, kept filled by the supervisor.

`Slot.run` is the supervised child: it lives as long as one worker does and ends as the worker ended, so that restart
policy, backoff and giving up are the supervisor's and nothing here retries. Between the router and the worker lies the
slot's mailbox, a memory channel. Only workers that have room are chosen, so what is put in is taken out at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from .._core._errors import WorkerInitFailed
from .._core._events import WorkerExited, WorkerReady, WorkerStarting
from .._core._exits import Exited
from .._core._restart import Restart
from .._core._worker_states import WorkerStatus
from .._process._running import run_worker
from .._supervision import PlannedExit

if TYPE_CHECKING:
    from .._process._running import WorkerSetup
    from .._process._worker import PoolWorker
    from ._request import Request
    from ._router import Router

# Why a worker is killed through no fault of its own as a process: its restart is neither charged nor delayed.
PLANNED_KILLS: Final = frozenset(("timeout", "cancelled", "lease"))
# How many requests may lie between router and worker. More than one needs the recall of requests behind a slow one,
# which belongs to the speed work.
CAPACITY: Final = 1


class Slot:
    """One slot of a pool; also the `WorkerObserver` of the worker in it.

    Args:
        index: Its number, which no other slot has at the same time.
        pool: The pool's name.
        router: The pool's router.
        setup: How its workers are started.
        overflow: It is for one overflow worker.
    """

    def __init__(self, index: int, pool: str, router: Router, setup: WorkerSetup, *, overflow: bool = False) -> None:
        self.index = index
        self.worker_id = f"{pool}-{index}"
        self.incarnation = 0
        self.worker: PoolWorker | None = None
        """The worker, from its spawn until it is reaped."""
        self.left: Request | None = None
        """The lease that was left while the worker owed replies: it ends when they have come."""
        self.overflow = overflow
        self.leaving = False
        """True if the pool has become too small for it."""
        self.retired = False
        """True once it has had its last worker: by policy there is no other."""
        self._router = router
        self._setup = setup
        self._mailbox, self._inbox = trio.open_memory_channel["Request"](CAPACITY)

    @property
    def passing(self) -> bool:
        """Whether it is here only as long as it is needed."""
        return self.overflow or self.leaving

    @property
    def serving(self) -> PoolWorker | None:
        """The worker, if requests can be sent to it."""
        worker = self.worker
        return None if worker is None or worker.link.ended.is_set() else worker

    @property
    def announced(self) -> bool:
        """Whether its worker has been told to leave, and only finishes what it has begun."""
        return self.worker is not None and self.worker.leaving

    def post(self, request: Request, worker: PoolWorker, *, drive: bool = False) -> None:
        """Hand the worker a request: into the mailbox, and on to the worker, which has room for it.

        If it is lost meanwhile, as the writing of another one just told, nothing is sent: its death settles the rest.

        Args:
            request: The request.
            worker: The worker.
            drive: The caller is going to drive the link itself.
        """
        self._mailbox.send_nowait(request)
        request = self._inbox.receive_nowait()
        if worker.link.ended.is_set():
            return
        if worker.status is not WorkerStatus.BUSY:  # else what it runs already has checked it out
            worker.checkout(request.session_id)
        if request.encoded is not None:
            worker.stats.requests += 1
            request.wire_id = worker.link.submit(request.encoded, request, drive=drive)
            if not worker.link.ended.is_set():  # else writing it has just shown that nobody reads any more
                request.written = True

    async def run(self, *, task_status: trio.TaskStatus[PoolWorker] = trio.TASK_STATUS_IGNORED) -> None:  # noqa: ASYNC128  # run_worker calls it
        """Start a worker and stay until it is gone; return if it ended well and is, by policy, not to be replaced.

        Raises:
            PlannedExit: It ended because the pool, or somebody who sent it SIGTERM, wanted it.
            WorkerCrashed: It died.
            ProtocolError: It was killed for what it sent.
            WorkerInitFailed: It never became ready.
        """
        router = self._router
        router.restarts += self.incarnation > 0
        self.incarnation = router.new_incarnation()
        router.emit(WorkerStarting, **self._ident())
        try:
            worker = await run_worker(self._setup, self.worker_id, self.incarnation, self, task_status=task_status)
        except WorkerInitFailed as exc:
            router.worker_errors += exc.reason == "spawn"  # of any other there was a process, and `dead` was told
            raise
        if (
            router.config.restart.restart is Restart.TRANSIENT
            and worker.exit == Exited(0)
            and worker.kill_reason is None
        ):
            self._retire()
            return
        if router.config.restart.restart is Restart.TEMPORARY:
            self._retire()
        error = worker.crashed(begun=None)
        if planned(worker):
            raise PlannedExit(str(error))
        raise error

    def _retire(self) -> None:
        self.retired = True
        self._router.broadcasts.retire(self)

    def spawned(self, worker: PoolWorker) -> None:
        """Take note of a worker that is starting."""
        self.worker = worker

    async def prepare(self, worker: PoolWorker) -> WorkerInitFailed | None:
        """Bring a worker to the state all others are in."""
        return await self._router.broadcasts.prepare(self, worker)

    def ready(self, worker: PoolWorker) -> None:
        """Give a ready worker to the router."""
        self._router.emit(WorkerReady, **self._ident(), pid=worker.pid, startup=worker.startup)
        self._router.worker_ready(self)

    def lost(self, worker: PoolWorker) -> None:
        """Have the router send it nothing more."""
        self._router.worker_lost(worker)

    def dead(self, worker: PoolWorker) -> None:
        """Settle what the worker leaves behind."""
        self.left = None
        self._router.worker_errors += not planned(worker)
        self._router.worker_dead(worker)
        self._router.emit(
            WorkerExited,
            **self._ident(),
            pid=worker.pid,
            exit=worker.exit,
            reason=worker.end_reason,
            planned=planned(worker),
        )
        self.worker = None
        if self.passing:
            self._router.staff.dismiss(self)

    def stale(self, worker: PoolWorker, wire_id: int) -> None:
        """Count a reply nobody waits for."""
        self._router.stale_reply(self, wire_id)

    def idle(self, worker: PoolWorker) -> None:
        """Have a lease ended that was left with replies due."""
        self._router.leases.worker_idle(self)

    def _ident(self) -> dict[str, object]:
        return {"slot": self.index, "worker_id": self.worker_id, "incarnation": self.incarnation}


def planned(worker: PoolWorker) -> bool:
    """Tell whether a worker ended by the pool's wish or its own announcement, so that nothing is charged for it."""
    return worker.gentle or worker.unwanted or worker.kill_reason in PLANNED_KILLS
