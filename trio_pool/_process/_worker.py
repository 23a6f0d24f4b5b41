"""A worker as everybody but its owner sees it: what can be asked of one process, and what is known of it.

The process itself belongs to the task in `run_worker`; here nothing spawns, kills or reaps.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._core._errors import Outcome, PoolSaturated, ProtocolError, SessionMismatch, TrioPoolError, WorkerCrashed
from .._core._exits import Lost
from .._core._worker_states import WorkerEvent, WorkerStatus, advance
from ..errors import CommandTimeout
from ._commands import PendingCommand, reply_error, request
from ._doorbell import Doorbell
from ._link import MOST_OWED, Link
from ._output import OutputPump

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core._config import PoolConfig
    from .._core._errors import WorkerError
    from .._core._exits import Exit
    from .._core._messages import Encoded, Message
    from ._launcher import WorkerHandle
    from ._observer import WorkerObserver


class Checkin(StrEnum):
    """How a checked-out worker comes back."""

    OK = "ok"
    """All went well; the session stays remembered."""
    SESSION_CLEANUP = "session_cleanup"
    """The session has ended: its state in the worker is dropped and the worker is bound to none."""
    ERROR = "error"
    """The work failed; counted in the worker's stats."""
    CLOSE = "close"
    """The worker is not wanted any more: it is stopped."""


class Health(StrEnum):
    """A worker's answer to a health check."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@attrs.frozen(kw_only=True)
class Response:
    """A worker's reply to `PoolWorker.send_command`; ``error`` is set exactly if ``success`` is False."""

    id: int
    success: bool
    result: Any = None
    error: TrioPoolError | None = None


@attrs.define(kw_only=True)
class WorkerStats:
    """What a worker has done so far."""

    requests: int = 0
    errors: int = 0
    sessions_cleaned: int = 0
    stale_replies: int = 0


class _Silence(trio.abc.ReceiveStream):
    """The output of a worker whose launcher gives none."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class PoolWorker:
    """One worker process. Got from `open_worker`, or leased from a pool by `SessionPool.checkout`.

    What is neither described here nor in `checkout`, `checkin`, `send_command`, `health_check` and `terminate` is the
    pool's own side of it.

    Attributes:
        worker_id: Its name; in a pool, the slot's: ``<pool name>-<slot>``.
        incarnation: Its number: no two workers of a pool share one.
        pid: Its process id on its machine, for humans and for signals from outside.
        status: Where it is in its life; see `WorkerStatus`.
        in_flight: How many commands await their reply.
        session_id: The session it is, or was last, checked out for.
        last_health_check: When it last answered a health check, on Trio's clock; None before the first.
        health_failures: How many health checks in a row it did not answer.
        stats: Counts of what it has done.
        dead: An event, set once its process is gone.
        exit: How its process ended, once it has.
    """

    def __init__(
        self, handle: WorkerHandle, worker_id: str, incarnation: int, config: PoolConfig, observer: WorkerObserver
    ) -> None:
        self.worker_id = worker_id
        """Its name; in a pool, the slot's: ``<pool name>-<slot>``."""
        self.incarnation = incarnation
        """Its number: no two workers of a pool share one."""
        self.pid = handle.ident.pid
        """Its process id on its machine, for humans and for signals from outside."""
        self.status = WorkerStatus.STARTING
        """Where it is in its life; see `WorkerStatus`."""
        self.session_id: str | None = None
        """The session it is, or was last, checked out for."""
        self.last_health_check: float | None = None
        """When it last answered a health check, on Trio's clock."""
        self.health_failures = 0
        """How many health checks in a row it did not answer."""
        self.stats = WorkerStats()
        self.exit: Exit | None = None
        """How its process ended, once it has."""
        self.dead = trio.Event()
        """Set once its process is gone."""
        self.kill_reason: str | None = None
        """Why it was killed, if it was killed by us."""
        self.leaving = False
        """True once it announced that it ends by plan (it was sent SIGTERM, say)."""
        self.gentle = False
        """True if it is given time to stop by itself."""
        self.unwanted = False
        """True if its start was cut short: it did nothing wrong."""
        self.outlived = False
        """True if it was still there when its group was killed."""
        self.marks_begun = False
        """True if it marks each request begun before it runs it; otherwise every request sent counts as begun."""
        self.cancels = False
        """True if it understands being told to cancel; one that announced no flags is not troubled with it."""
        self.flags: Mapping[str, frozenset[str]] = {}
        """How its application has declared those commands that are more than plain sync ones."""
        self.startup = 0.0
        """Seconds from its spawn to ready."""
        self.handle = handle
        self.link = Link(
            handle.transport,
            config.max_frame,
            on_end=self._ended,
            on_stale=self._stale,
            on_leaving=self._leaving,
            on_idle=self._idle,
        )
        self.output = OutputPump(handle.output or _Silence(), worker_id)
        self._config = config
        self._observer = observer
        self.doorbell = Doorbell(handle)
        """What makes it look at its socket in the middle of a command."""
        self._bound: str | None = None  # the session of this checkout; `session_id` also remembers the last one's

    def __repr__(self) -> str:
        return f"<PoolWorker {self.worker_id} incarnation {self.incarnation} pid {self.pid} {self.status}>"

    @property
    def in_flight(self) -> int:
        """How many commands await their reply."""
        return len(self.link.pending)

    def advance(self, event: WorkerEvent) -> None:
        """Move `status` along the table of legal transitions."""
        self.status = advance(self.status, event)

    def begun(self, wire_id: int) -> bool:
        """Tell whether the worker began this request; if nobody can say, it counts as begun."""
        if self.handle.begun is None or not self.marks_begun:
            return True
        last = self.handle.begun()
        # A mark beyond anything sent is memory scribbled over: trust none of it.
        return last >= wire_id or last > self.link.last_id

    # -- checkout ------------------------------------------------------------------------------------------------------

    def checkout(self, session_id: str | None = None) -> None:
        """Bind the worker to a session, or to none in particular, and mark it busy.

        The session that holds it may check it out again. Other uses of a busy worker leave it untouched.

        Raises:
            SessionMismatch: It is checked out by another session.
            IllegalTransition: It is not ready.
        """
        if self.status is WorkerStatus.BUSY:
            if session_id is not None and session_id == self._bound:
                return
            message = f"{self.worker_id} is checked out by session {self._bound!r}, not {session_id!r}"
            raise SessionMismatch(
                f"{message}: check it in first", worker_id=self.worker_id, pid=self.pid, session_id=session_id
            )
        self.advance(WorkerEvent.CHECKOUT)
        self._bound = session_id
        if session_id is not None:
            self.session_id = session_id

    def checkin(self, result: Checkin | str = Checkin.OK) -> None:
        """Free the worker; see `Checkin` for what each result does.

        Raises:
            IllegalTransition: It is not checked out.
            ValueError: ``result`` is none of `Checkin`.
        """
        result = Checkin(result)
        self.advance(WorkerEvent.CHECKIN)
        if result is Checkin.SESSION_CLEANUP and self._bound is not None:
            self.cleanup_session(self._bound)
            self.session_id = None
        elif result is Checkin.ERROR:
            self.stats.errors += 1
        elif result is Checkin.CLOSE:
            self.stop()

    def cleanup_session(self, session_id: str) -> PendingCommand:
        """Ask the worker to drop a session's state, before anything that is sent to it later."""
        self.stats.sessions_cleaned += 1
        call = PendingCommand("cleanup_session")
        call.wire_id = self.link.submit(
            request("cleanup_session", {"session_id": session_id}, None, self._config.max_frame), call
        )
        return call

    def cancel(self, wire_id: int) -> None:
        """Ask the worker to end a command it was sent, or never to begin it; one that has ended is not harmed.

        Nothing is waited for: the worker answers in its time, or not at all. An async command is cancelled, one that is
        declared interruptible is interrupted, and one not begun is taken back; any other sync command runs on. A worker
        that announced no ``flags`` is not asked: it may know nothing of this.
        """
        if not self.cancels:
            return
        call = self.link.pending.get(wire_id)
        if call is not None and "interruptible" in self.flags.get(call.command, ()):
            # The signal is but the doorbell of a worker that reads nothing while it runs a command: which command is
            # meant is in the frame, and so the signal must not be there before it.
            self.link.cancel(wire_id, self.doorbell.ring)
        else:
            self.link.cancel(wire_id)

    # -- commands ------------------------------------------------------------------------------------------------------

    async def send_command(
        self,
        command: str,
        args: Mapping[str, object] | None = None,
        timeout: float = 5.0,  # the contract's name; the budget of the command, not of this function
    ) -> Response:
        """Send a command and return the worker's reply. Any number may be in flight; each gets its own reply.

        While the worker is checked out for a session the command runs in that session. A command's own failure is a
        ``Response(success=False)``. A timeout or a cancellation leaves the worker running, and so a sync command that
        it runs, unless that calls `trio_pool.bridge.Session.check`; a command it has not begun is taken back, and an
        async one cancelled. The late reply is dropped and counted in ``stats.stale_replies``.

        Args:
            command: Its name.
            args: Its arguments by name.
            timeout: Seconds to wait for the reply.

        Raises:
            CommandTimeout: No reply came in time, or the worker refused to begin it so late; ``outcome`` tells which.
            WorkerCrashed: The worker died first; ``outcome`` tells whether it had begun the command.
            ProtocolError: The worker sent bad bytes instead.
            PoolSaturated: The worker has left 1000 commands unanswered whose callers have given up; nothing was sent.
            Unserializable: The arguments cannot be sent; nothing was.
            FrameTooLarge: The arguments exceed ``max_frame``; nothing was sent.
        """
        session_id = self._bound if self.status is WorkerStatus.BUSY else None
        deadline = trio.current_time() + timeout
        encoded = request(command, args, session_id, self._config.max_frame, deadline=deadline)
        if self.link.ended.is_set():
            # Its owner is burying it, within a bound; after that more can be said about its end.
            await self.dead.wait()
            raise self.crashed(begun=False, command=command)
        if self.link.owed >= MOST_OWED:
            # Each lies in our buffers or in the worker's, and so may the cancel behind it: whoever asks a worker that
            # does not answer again and again is not to fill both memories.
            await trio.lowlevel.checkpoint()
            raise PoolSaturated(
                f"{command}: {self.worker_id} (pid {self.pid}) has left {self.link.owed} commands unanswered",
                queued=self.link.owed, max_queue=MOST_OWED, command=command, session_id=session_id,
                worker_id=self.worker_id, pid=self.pid, incarnation=self.incarnation,
            )  # fmt: skip
        call = PendingCommand(command)
        call.wire_id = wire_id = self.link.submit(encoded, call)
        self.stats.requests += 1
        try:
            with trio.move_on_after(timeout):
                await call.done.wait()
            if not call.done.is_set():
                self.link.drain()
        finally:
            if not call.done.is_set() and self.cancels:
                # Without the signal, which would end the worker: a lone one is to outlive what it was asked in vain.
                self.link.cancel(wire_id)
            self.link.forget(wire_id)
        if call.message is not None:
            error = None
            if not call.message["success"]:
                error = reply_error(
                    call.message["error"],
                    command,
                    worker_id=self.worker_id,
                    pid=self.pid,
                    incarnation=self.incarnation,
                    session_id=session_id,
                    request_id=wire_id,
                )
            if isinstance(error, CommandTimeout):
                # It came too late for the worker, or another cancelled it: not an answer, but the lack of one.
                error.timeout = timeout
                raise error
            self.stats.errors += error is not None
            return Response(id=wire_id, success=error is None, result=call.message.get("result"), error=error)
        if call.done.is_set():
            raise self.crashed(begun=self.begun(wire_id), command=command, request_id=wire_id)
        begun = "had" if self.begun(wire_id) else "had not"
        raise CommandTimeout(
            f"{command} did not answer within {timeout:g} s on {self.worker_id} (pid {self.pid}); it {begun} begun",
            timeout=timeout,
            worker_id=self.worker_id,
            pid=self.pid,
            incarnation=self.incarnation,
            session_id=session_id,
            command=command,
            request_id=wire_id,
        )

    async def ask(self, encoded: Encoded, limit: float) -> Message | None:
        """Send a packed request to a worker that is not ready yet; return its reply, None if it ends or is too slow.

        Unlike `send_command` it does not wait for the burial of a worker that ends: its owner is who waits here.
        """
        call = PendingCommand()
        call.wire_id = self.link.submit(encoded, call)
        self.stats.requests += 1
        try:
            with trio.move_on_after(limit):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.link.cancel_at_end, nursery.cancel_scope)
                    await call.done.wait()
                    nursery.cancel_scope.cancel()
            if not call.done.is_set():
                self.link.drain()
        finally:
            self.link.forget(call.wire_id)
        return call.message

    async def health_check(self, timeout: float = 2.0) -> Health:  # how long an answer may take
        """Ping the worker; an unresponsive or dead one is ``UNHEALTHY``, never an exception. Cancelling it changes
        nothing.
        """
        try:
            response = await self.send_command("ping", {}, timeout)
        except TrioPoolError:
            response = None
        if response is None or not response.success:
            self.health_failures += 1
            return Health.UNHEALTHY  # noqa: ASYNC910  # send_command has checkpoints
        self.health_failures = 0
        self.last_health_check = trio.current_time()
        return Health.HEALTHY  # noqa: ASYNC910  # send_command has checkpoints

    # -- the end -------------------------------------------------------------------------------------------------------

    async def terminate(self) -> None:
        """Stop the worker: a shutdown frame, then SIGTERM, then SIGKILL to its whole group; return once it is reaped.

        Takes two seconds at the most, whatever the worker does. Cancelling the wait does not stop the stopping.
        """
        self.stop()
        await self.dead.wait()

    def stop(self) -> None:
        """Begin what `terminate` does, without waiting."""
        if not self.link.ended.is_set():
            self.gentle = True
            self.link.submit(request("shutdown", {}, None, self._config.max_frame), PendingCommand())
            self.link.end("stopped")

    def kill(self, reason: str) -> None:
        """Have the worker killed at once, for a reason given in a word; one already lost keeps its first reason."""
        if not self.link.ended.is_set():
            self.kill_reason = reason
            self.link.end("killed")

    def crashed(self, *, begun: bool | None, command: str | None = None, request_id: int | None = None) -> WorkerError:
        """Return the error of this worker's death, or of a request it leaves behind; ``begun`` is None if there is
        none.
        """
        error = self.link.error
        what = f"{command}: " if command else ""
        ran = "" if begun is None else "; the command had begun" if begun else "; the command had not begun"
        outcome = Outcome.MAYBE_EXECUTED if begun else Outcome.NOT_EXECUTED
        if error is not None:
            return ProtocolError(
                f"{what}worker {self.worker_id} (pid {self.pid}) broke the protocol: {error}{ran}",
                outcome=outcome, exit=self.exit, output_tail=self.output.tail, reason=error.reason, command=command,
                worker_id=self.worker_id, pid=self.pid, incarnation=self.incarnation, request_id=request_id,
            )  # fmt: skip
        return WorkerCrashed(
            f"{what}worker {self.worker_id} (pid {self.pid}) {self._how()}{ran}",
            outcome=outcome, exit=self.exit, output_tail=self.output.tail, reason=self.end_reason, command=command,
            worker_id=self.worker_id, pid=self.pid, incarnation=self.incarnation, request_id=request_id,
        )  # fmt: skip

    def _how(self) -> str:
        """Say how it ended, and at whose hands."""
        if self.exit is None:
            return "is gone" if self.link.ended.is_set() else "is leaving"
        if self.kill_reason is not None:
            return f"was killed by the pool ({self.kill_reason})"
        if self.gentle and self.outlived:
            return "was killed, for it did not stop when asked"
        if self.gentle:
            return f"was stopped ({self.exit})"
        if self.outlived and self.link.reason in ("eof", "reset"):
            return "closed its connection and was killed"
        return f"ended with {self.exit}"

    @property
    def end_reason(self) -> str:
        """Why it ended, in a word: what it was killed for, ``leaving``, ``shutdown``, ``protocol``, ``init`` or
        ``crash``.
        """
        if self.kill_reason is not None:
            return self.kill_reason
        if self.gentle:
            return "shutdown" if self.link.reason == "stopped" else "leaving"
        if self.unwanted:
            return "shutdown"
        return self.link.reason if self.link.reason in ("protocol", "init") else "crash"

    def buried(self) -> None:
        """Note that the process is gone and its last replies are delivered; only the owner calls this."""
        if self.exit is None:
            self.exit = Lost("its process did not end after SIGKILL")
        self.advance(WorkerEvent.DIED)
        self.link.end("exit")
        self.dead.set()
        for call in list(self.link.pending.values()):
            call.lost()

    def _ended(self) -> None:
        if self.status is not WorkerStatus.DEAD:
            self.advance(WorkerEvent.STOP)
        self._observer.lost(self)

    def _stale(self, wire_id: int) -> None:
        self.stats.stale_replies += 1
        self._observer.stale(self, wire_id)

    def _idle(self) -> None:
        self._observer.idle(self)

    def _leaving(self) -> None:
        self.leaving = True
        self.gentle = True
        self.link.end("leaving")
