"""A request: its place in the queue, its call on the wire, and the task that waits for its one outcome."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import trio

from .._core._restart import is_number
from .._core._ticket import SYNC, WAITING, Ticket

if TYPE_CHECKING:
    from .._core._errors import TrioPoolError, WorkerError
    from .._core._messages import Encoded, Message
    from .._core._session_table import SessionRecord
    from .._core._ticket import Kind
    from .._process._worker import PoolWorker
    from ._leases import Borrower
    from ._router import Router

# How often a request is handed to a worker before it is taken for the reason that workers die unbegun: decoding it may
# be what kills them. Far beyond what bad luck needs, pretty arbitrary otherwise.
MAX_DISPATCHES: Final = 10


class Request(Ticket):
    """One request, or one lease (``encoded`` is None), from its admission to its outcome.

    Args:
        router: Who is told the reply.
        request_id: Its number in the pool.
        command: Its command, for errors and events.
        encoded: What goes onto the wire; packed once, sent with a new wire id each time it is dispatched.
        session: Its session.
        kind: What it needs of a worker.
        beside: It neither waits for its session's others nor holds them up.
        submitted_at: When it was admitted.
        queue_deadline: When it stops waiting for a worker.
        deadline: When its whole budget ends.
        idempotent: It may be retried.
    """

    __slots__ = (
        "_router",
        "_task",
        "answered",
        "borrower",
        "command",
        "deadline",
        "deaths",
        "dispatches",
        "encoded",
        "error",
        "finished",
        "idempotent",
        "kill_at",
        "kill_reason",
        "left_by",
        "may_have_run",
        "patience",
        "queue_deadline",
        "refused_as_late",
        "request_id",
        "retries",
        "submitted_at",
        "value",
        "wire_id",
        "written",
    )

    def __init__(
        self,
        router: Router,
        request_id: int,
        command: str,
        encoded: Encoded | None,
        session: SessionRecord | None,
        kind: Kind = SYNC,
        *,
        beside: bool = False,
        submitted_at: float,
        queue_deadline: float,
        deadline: float,
        idempotent: bool = False,
    ) -> None:
        super().__init__(session, kind, beside=beside)
        self.request_id = request_id
        self.command = command
        self.encoded = encoded
        self.submitted_at = submitted_at
        self.queue_deadline = queue_deadline
        self.patience = queue_deadline - submitted_at
        self.deadline = deadline
        self.wire_id = 0
        """Its number on the wire to the worker that holds it; 0 until it is sent."""
        self.written = False
        """True once a worker was sent it, be it one that has died since; one that was dead by then took nothing."""
        self.dispatches = 0
        """How often it was handed to a worker."""
        self.idempotent = idempotent
        self.retries = 0
        """How often it was tried again after it had begun."""
        self.deaths: tuple[WorkerError, ...] = ()
        """The deaths of workers that had begun it and died by themselves, the oldest first."""
        self.left_by: WorkerError | None = None
        """The death of the last worker that held it, if one has died."""
        self.may_have_run = False
        """True if a worker that died had begun it: no error may say any more that it did not run."""
        self.refused_as_late = False
        """True if its worker found its deadline over and did not begin it."""
        self.finished = False
        """True once it has its outcome."""
        self.answered = False
        """True once the worker's reply has come, be it too late for the outcome."""
        self.borrower: Borrower | None = None
        """Who asks for it, if it is a lease."""
        self.kill_at = math.inf
        """When its worker is killed unless it has ended: set when it is abandoned."""
        self.kill_reason = ""
        self.value: Any = None
        self.error: TrioPoolError | None = None
        self._router = router
        self._task: trio.lowlevel.Task | None = None

    @property
    def session_id(self) -> str | None:
        """The id of its session."""
        return None if self.session is None else self.session.session_id

    @property
    def due(self) -> float:
        """When the timer must look at it. A lease, once granted, is its holder's for as long as that likes."""
        if self.phase is WAITING:
            return min(self.queue_deadline, self.deadline)
        return self.deadline if self.encoded is not None else float("inf")

    def begun(self, worker: PoolWorker) -> bool:
        """Tell whether the worker that holds it has begun it; a lease begins when it is granted."""
        return self.encoded is None or (self.wire_id > 0 and worker.begun(self.wire_id))

    def replied(self, message: Message) -> None:
        """Take the worker's reply."""
        self._router.replied(self, message)

    def lost(self) -> None:
        """Do nothing: the router looks at the request itself when its worker is dead."""

    def finish(self, value: object, error: TrioPoolError | None) -> None:
        """Set the outcome and wake the waiting task."""
        self.finished = True
        self.value = value
        self.error = error
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def wait(self) -> None:
        """Wait for the outcome.

        The cancellation only clears the task that would be woken: a finished task must not be rescheduled. What else
        follows from it happens in the task's next step, because Trio calls these functions in no particular order.
        """
        if self.finished:
            await trio.lowlevel.checkpoint()
            return

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def result(self) -> Any:  # whatever the command returned
        """Return the value or raise the error."""
        error = self.error
        if error is None:
            return self.value
        # Broken up, or the traceback would keep the request and all it refers to alive in a cycle.
        try:
            raise error
        finally:
            del error
            self.error = None


def check_seconds(name: str, value: float) -> None:
    """Raise a ValueError that names the argument unless it is a number of seconds."""
    if not is_number(value) or value < 0:
        raise ValueError(f"{name} must be a number >= 0, not {value!r:.80}")
