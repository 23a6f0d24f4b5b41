"""The pool as its users see it: commands in sessions or without, leases, and what can be asked about it."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import trio

from .._core._errors import TrioPoolError, Unserializable
from .._process._commands import request as pack
from ._health import ping_idle
from ._leases import Lease
from ._request import check_seconds
from ._session import PoolSession
from ._session_end import end_session
from ._snapshot import pool_health, pool_status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from typing import TypeVar, TypeVarTuple

    from .._core._config import PoolConfig
    from .._core._messages import Encoded
    from .._core._session_table import SessionInfo
    from .._process._worker import PoolWorker
    from .._supervision import Supervisor
    from ._observers import EventStream, Observers
    from ._router import Router
    from ._slots import Slots
    from ._status import PoolHealth, PoolStatus

    R = TypeVar("R")
    Ts = TypeVarTuple("Ts")


class SessionPool:
    """Workers in other processes, kept alive, with sessions that stick to them. Made by `open_pool`.

    Every method may be called from any task of the Trio run that opened the pool. Once the pool closes, they raise
    `PoolClosed`; if it gave up on its workers, that error's ``__cause__`` says so.
    """

    def __init__(self, name: str, router: Router, slots: Slots, supervisor: Supervisor, observers: Observers) -> None:
        self.name = name
        self.supervisor = supervisor
        """The root of its tree, to look at: ``print(pool.supervisor.tree())``. It is the pool that manages it."""
        self._router = router
        self._slots = slots
        self._observers = observers
        self._names = count(1)

    def __repr__(self) -> str:
        return f"<SessionPool {self.name!r}, {self._router.size} workers>"

    @property
    def config(self) -> PoolConfig:
        """What the pool was opened with."""
        return self._router.config

    # -- commands ------------------------------------------------------------------------------------------------------

    async def execute_in_session(
        self,
        session_id: str,
        command: str,
        args: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,  # it bounds the command and is sent on, not only this call
        checkout_timeout: float | None = None,
        idempotent: bool = False,
    ) -> Any:  # whatever the command returns
        """Run a command in a session and return what it returned.

        The session is made by its first use and bound to the worker that takes its first request. Its commands run one
        at a time in the order of these calls, all in that one worker incarnation.

        Cancelling the call frees the caller at once. A request not yet sent is withdrawn; one that runs has
        ``abandon_grace`` seconds to end before its worker is killed, and its reply reaches nobody.

        If its worker dies after it had begun, it fails, for it may have taken effect. One that is idempotent is tried
        again instead, on another worker and in its old place, as far as ``config.retry`` and its time allow; in a
        session, only if the session had never used its state, for else that has died too.

        Args:
            session_id: A non-empty str of up to 255 bytes.
            command: A command of the worker's application.
            args: Its arguments by name.
            timeout: Seconds for everything, waiting and retries included; None for the pool's ``timeout``. A worker
                does not begin it after that, nor after the deadline that the caller's cancel scopes have now.
            checkout_timeout: Seconds to wait for the worker; None for the pool's.
            idempotent: To run it twice does no more than to run it once.

        Raises:
            PoolTimeout: No worker took it in time; it did not run.
            CommandTimeout: It was sent and did not answer in time.
            PoolSaturated: ``max_queue`` requests wait already.
            WorkerCrashed: Its worker died after it had begun. One that had not begun is sent to another worker instead.
            PoisonRequest: So many workers died of it that it is not tried again, a `WorkerCrashed`.
            SessionLost: The worker with the session's state is gone; `end_session` frees the id.
            SessionNotFound: The session was ended while the request waited.
            SessionLimit: The session is new and there are ``max_sessions``.
            RemoteError: The command raised.
            UnknownCommand, InvalidArguments: The worker refused it; it did not run.
            Unserializable, FrameTooLarge: The arguments, or the result (then ``outcome`` is executed), cannot be sent.
            ProtocolError: The worker answered with bad bytes.
            PoolClosed: The pool is closed or closing.
        """
        if not isinstance(cast("object", session_id), str):
            raise ValueError(f"a session id is a str, not {session_id!r:.80}")
        called_at = trio.current_time()
        deadline = called_at + self._budget(timeout)
        encoded = pack(command, args, session_id, self.config.max_frame, deadline=_sent(deadline))
        return await self._execute(
            session_id, command, encoded, called_at, deadline, checkout_timeout, idempotent=idempotent
        )

    async def execute_anonymous(
        self,
        command: str,
        args: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,  # it bounds the command and is sent on, not only this call
        checkout_timeout: float | None = None,
        idempotent: bool = False,
    ) -> Any:  # whatever the command returns
        """Run a command on any worker and return what it returned; otherwise like `execute_in_session`."""
        called_at = trio.current_time()
        deadline = called_at + self._budget(timeout)
        encoded = pack(command, args, None, self.config.max_frame, deadline=_sent(deadline))
        return await self._execute(None, command, encoded, called_at, deadline, checkout_timeout, idempotent=idempotent)

    async def run_sync(self, fn: Callable[[*Ts], R], *args: *Ts, idempotent: bool = False) -> R:
        """Run an importable function in any worker and return what it returned.

        The caller's cancel scope is the only limit, of waiting and running alike. Arguments and result travel as the
        values of commands do: a tuple arrives as a list.

        Args:
            fn: A function, class or static method at module level, found by its module and qualified name.
            args: Its arguments.
            idempotent: To run it twice does no more than to run it once; see `execute_in_session`.

        Raises:
            Unserializable: ``fn`` cannot be found by name, or an argument cannot be sent. Nothing ran.
            PoolSaturated, WorkerCrashed, RemoteError, PoolClosed and others: As for `execute_in_session`.
        """
        module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str) or "<" in name:
            message = f"run_sync: {fn!r:.200} cannot be imported by name in a worker"
            raise Unserializable(message, path="fn", type_name=type(fn).__name__, command="run_sync")
        call: dict[str, object] = {"function": f"{module}:{name}", "args": args}
        encoded = pack("__call__", call, None, self.config.max_frame, deadline=_sent(math.inf))
        value: R = await self._execute(
            None, name, encoded, trio.current_time(), math.inf, math.inf, declared=False, idempotent=idempotent
        )
        return value

    def _budget(self, timeout: float | None) -> float:
        """Return a command's whole budget in seconds.

        Raises:
            ValueError: ``timeout`` is none.
        """
        if timeout is None:
            return self.config.timeout
        check_seconds("timeout", timeout)
        return timeout

    # Protected from KeyboardInterrupt between the admission and the `try`, and within the router's bookkeeping.
    @trio.lowlevel.enable_ki_protection
    async def _execute(
        self,
        session_id: str | None,
        command: str,
        encoded: Encoded,
        called_at: float,
        deadline: float,
        checkout_timeout: float | None,
        *,
        declared: bool = True,
        idempotent: bool,
    ) -> Any:  # whatever the command returns
        router = self._router
        config = router.config
        try:
            request = router.admit(
                command,
                encoded,
                session_id,
                called_at=called_at,
                deadline=deadline,
                checkout_timeout=config.checkout_timeout if checkout_timeout is None else checkout_timeout,
                declared=declared,
                idempotent=idempotent,
                drive=True,
            )
        except TrioPoolError:
            # A loop that retries what is refused at once must let the others run. A cancellation met here goes first.
            await trio.lowlevel.checkpoint()  # noqa: ASYNC120  # as just said
            raise
        try:
            if request.incarnation is not None:
                await router.drive(request)
            if not request.finished:
                await request.wait()
            if request.refused_as_late:
                # Late by the deadline of the caller's own scopes, it may be, which then have been cancelled by now: the
                # caller is told so as everywhere else in Trio, and not by an error of ours.
                await trio.lowlevel.checkpoint()
        except BaseException:
            # Cancelled, or KeyboardInterrupt: the caller leaves; what becomes of the request is the router's business.
            router.cancel(request)
            raise
        return request.result()  # noqa: ASYNC910  # driving has one, and waiting has one

    # Protected for the same reason.
    @trio.lowlevel.enable_ki_protection
    async def broadcast(
        self, command: str, args: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:  # whatever the command returns
        """Run a command once in every worker and return what each returned, by worker id.

        Each worker runs it in its turn: at once if it is idle, before all requests submitted later if it is busy, when
        it is ready if it is starting. It is waited for up to the pool's ``timeout`` and then has ``timeout`` to run.
        Broadcasts are not submissions: the metrics do not count them.

        With a ``key`` it is state of the pool: the latest call under each key is kept, and every later worker runs it
        after its start hooks and before it is ready, so that no request finds a worker without it. It is kept from the
        moment one worker has returned from it, and not if none does. The workers run the calls under one key in the
        order of the calls. A worker that fails in a kept broadcast as it starts, or takes longer than ``timeout``, has
        failed to start (`WorkerInitFailed`), and the restart policy takes over.

        If a worker dies while it runs the command, the command fails there (`WorkerCrashed`); with a key its
        replacement's run counts instead, provided another worker has accepted it by then. One that had not begun it is
        replaced without notice. A worker in which the command raised stays as it is.

        Cancelling the call frees the caller at once. What was not sent is withdrawn, and a worker that runs it has
        ``abandon_grace`` seconds to end before it is killed. With a key it is carried through instead: the workers that
        run it may finish, and if one returns from it, all others get it too, before any request submitted later. The
        same holds for a worker that was not free in time. One that fails then, when nobody is left to be told, is
        replaced.

        Args:
            command: A command of the worker's application; it runs without a session.
            args: Its arguments by name; packed once for all.
            key: What it is kept under: a non-empty str of up to 255 bytes. There may be 100 keys.

        Raises:
            BroadcastFailed: It failed in a worker. ``results`` has what the others returned, ``errors`` what each
                worker that failed would have raised as a request; one that was not free in time has `PoolTimeout`;
                with a key it may then still run there.
            InvalidArguments: There are too many keys.
            PoolSaturated: 100 broadcasts are under way already.
            Unserializable, FrameTooLarge: The arguments cannot be sent.
            PoolClosed: The pool is closed or closing.
            ValueError: ``key`` is none.
        """
        router = self._router
        encoded = pack(command, args, None, self.config.max_frame)
        try:
            broadcast = router.broadcasts.start(command, encoded, key, self._slots)
        except TrioPoolError:
            await trio.lowlevel.checkpoint()  # noqa: ASYNC120  # as above
            raise
        try:
            await broadcast.done.wait()
        except BaseException:
            router.broadcasts.leave(broadcast)
            raise
        return broadcast.outcome()

    # -- sessions ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def session(self, session_id: str | None = None) -> AsyncGenerator[PoolSession, None]:
        """Give a handle bound to a session, and end the session on leaving.

        Args:
            session_id: Its id, or None for one that is not in use.
        """
        self._router.check_open()
        if session_id is None:
            names = (f"{self.name}-session-{number}" for number in self._names)
            session_id = next(name for name in names if self._router.sessions.get(name) is None)
        self.track_session(session_id)
        try:
            yield PoolSession(self, session_id)
        finally:
            if self._router.sessions.get(session_id) is not None:
                end_session(self._router, session_id)
        await trio.lowlevel.checkpoint()

    def track_session(self, session_id: str) -> None:
        """Make a session known without running anything in it; one that is known is only touched.

        Raises:
            ValueError: The id is not a non-empty str of up to 255 bytes.
            SessionLimit: There are ``max_sessions`` already.
            PoolClosed: The pool is closed or closing.
        """
        self._router.check_open()
        self._router.track(session_id)

    def get_sessions(self) -> Mapping[str, SessionInfo]:
        """Return a snapshot of all sessions by id."""
        return MappingProxyType({record.session_id: record.info() for record in self._router.sessions})

    async def end_session(self, session_id: str) -> None:
        """End a session: its id is free at once.

        A request of it that runs is left to finish; those that wait fail with `SessionNotFound`. The worker drops the
        session's state after what runs now and before anything sent later.

        Raises:
            SessionNotFound: No such session is tracked.
        """
        end_session(self._router, session_id)
        await trio.lowlevel.checkpoint()

    # -- leases --------------------------------------------------------------------------------------------------------

    def checkout(
        self, session_id: str | None = None, *, checkout_timeout: float | None = None
    ) -> AbstractAsyncContextManager[PoolWorker]:
        """Lease a worker: nobody else uses it until the body is left.

        It is granted a worker that runs nothing. While it waits, no request submitted later starts on a worker that it
        could take, until the first of these has run empty.

        A command still in flight when it is left has ``abandon_grace`` seconds to end before the worker is killed. If
        the worker dies during the lease, its commands raise `WorkerCrashed`; leaving is as usual. One that is held for
        longer than ``lease_warning`` is named in the log ``trio_pool.lease``, with the task and the line that took it.

        Whoever asks for a worker, by this or by a command, while all of them are leased by this very task, or around
        it, is refused at once: to wait would be in vain. So is a command in a session whose worker is leased so.

        Args:
            session_id: The session its commands run in; the lease then is of the worker that session is bound to.
            checkout_timeout: Seconds to wait for it; None for the pool's.

        Raises:
            PoolTimeout, PoolSaturated, SessionLost, SessionLimit, PoolClosed: As for `execute_in_session`.
        """
        timeout = self.config.checkout_timeout if checkout_timeout is None else checkout_timeout
        return Lease(self._router, session_id, timeout)

    # -- questions -----------------------------------------------------------------------------------------------------

    def get_pool_status(self) -> PoolStatus:
        """Return a snapshot; every gauge in it is derived from state now, and the law of `PoolMetrics` holds."""
        return pool_status(self._router)

    async def health_check(self) -> PoolHealth:
        """Ping every idle worker and return the pool's health.

        Takes as long as the slowest answer, at most ``health.timeout``. A worker that does not answer counts as missed,
        as if the pool's own watch had asked. Never raises for the workers' sake, also not on a closed pool.
        """
        if self._router.closed is None:
            await ping_idle(self._router)
        else:
            await trio.lowlevel.checkpoint()
        return pool_health(self._router)

    # -- capacity ------------------------------------------------------------------------------------------------------

    async def resize(self, size: int) -> None:
        """Change how many workers serve; return when as many do, or those that are too many have begun to leave.

        More are started side by side and serve as each is ready. Where there are too many, those with the fewest
        sessions leave: they take no new session and nothing without one, and are stopped when they run nothing and the
        last of their sessions has ended or expired. Growing again keeps those that are still leaving. Workers that have
        ended and are, by policy, not restarted are replaced as well. Calls made meanwhile wait for their turn.

        Cancelling the call, like a worker that does not get ready, leaves the pool with the size it had.

        Args:
            size: How many are to serve; standbys and overflow come on top.

        Raises:
            WorkerInitFailed: A new worker did not get ready; the others that were started with it are stopped.
            PoolClosed: The pool is closed or closing.
            ValueError: ``size`` is not a whole number of at least 1.
        """
        if not isinstance(cast("object", size), int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"size must be an int >= 1, not {size!r}")
        self._router.check_open()
        await self._slots.resize(size)

    async def drain(self) -> None:
        """Take no more requests, and wait until all that were taken have their outcome, however long that takes.

        Workers and sessions stay until the pool is left. Cancelling the call ends the wait alone: what is there goes on
        being served, and nothing new is.
        """
        self._router.drain()
        await trio.lowlevel.checkpoint()
        await self._router.wait_idle()

    # -- as it happens -------------------------------------------------------------------------------------------------

    def events(self, max_buffer: int = 1024) -> AbstractContextManager[EventStream]:
        """Subscribe to the pool's events: ``with pool.events() as events: async for event in events``.

        The stream has what happens from this call's ``with`` on and ends when the pool has closed. A reader that falls
        behind by more than ``max_buffer`` misses the newest; ``events.dropped`` counts them.
        """
        return self._observers.subscribe(max_buffer)


def _sent(deadline: float) -> float:
    """Return the deadline that a worker is told: no later than that of the caller's own cancel scopes.

    Asking Trio costs 1.1 µs in two scopes, of 58 a request (measured, 16 callers on two workers), and about 0.15 more
    for each scope around them.
    """
    return min(deadline, trio.current_effective_deadline())
