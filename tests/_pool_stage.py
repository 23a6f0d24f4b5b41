"""The real pool as a state machine can drive it: under Trio in a thread of its own, a rule's worth at a time.

Its workers are a `MockPort`'s, time is virtual and passes only when told to, and commands end when told to. All that is
known of the pool is what its users see: results, errors, status, sessions, events.
"""

from __future__ import annotations

import math
import queue
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
import trio.testing
from _pool_model_parts import DELAY, GRACE, MAX_SESSIONS, RESET_AFTER, TTL, Seen

import trio_pool
from trio_pool import RequestDispatched, TrioPoolError, WorkerPromoted, WorkerRole
from trio_pool.bridge import Session  # noqa: TC001  # a worker looks at the annotation
from trio_pool.testing import MockPort

if TYPE_CHECKING:
    import signal
    from collections.abc import Awaitable, Callable, Mapping

    from trio_pool import PoolEvent, PoolStatus, PoolWorker, RetryPolicy, SessionInfo, SessionPool

SHUTDOWN_GRACE = 0.0
"""No worker that is about to start, and no time limit, gets in before a pool that closes."""


class LeftByError(Exception):
    """What the body of a lease raises."""


class Stage:
    """One pool and everybody who wants something of it.

    Args:
        size: How many workers serve.
        standby: How many stand by.
        max_queue: How many requests may wait.
        retry: The policy for idempotent requests.
        overflow: How many may help out.
        concurrency: How many async commands a worker may run at once; 0 for workers that know none.
    """

    def __init__(
        self,
        size: int,
        standby: int,
        max_queue: int,
        retry: RetryPolicy,
        *,
        overflow: int = 0,
        concurrency: int = 0,
    ) -> None:
        self.clock = trio.testing.MockClock()
        self.port = MockPort()
        self.port.command("work", self._work)
        self.port.command("use", self._use)
        if concurrency:
            self.port.command("work together", self._work, flags=("async",))
            self.port.command("use together", self._use, flags=("async",))
            self.port.command("work beside", self._work, flags=("async", "concurrent"))
        self.events: list[PoolEvent] = []
        self.results: dict[int, str | None] = {}
        self.errors: dict[int, TrioPoolError] = {}
        self.began: list[int] = []
        self.inside: dict[int, int] = {}
        """The commands that run, each with the incarnation of its worker."""
        self.memory: dict[int, tuple[int, ...]] = {}
        """What each command that takes its session found there: the keys of those that had taken it before."""
        self.called_off: set[int] = set()
        self.pool: SessionPool
        self.status: PoolStatus
        self.sessions: Mapping[str, SessionInfo]
        self.now = 0.0
        self.stuck = False
        self._config = trio_pool.PoolConfig(
            launcher=self.port,
            size=size,
            standby=standby,
            overflow=overflow,
            concurrency=concurrency or 1,
            max_queue=max_queue,
            retry=retry,
            abandon_grace=GRACE,
            shutdown_grace=SHUTDOWN_GRACE,
            sessions={"ttl": TTL, "max_sessions": MAX_SESSIONS},
            restart={
                "max_restarts": math.inf,
                "backoff": {"initial": DELAY, "maximum": 1e6, "jitter": "none", "reset_after": RESET_AFTER},
            },
            health={"interval": 1e9},  # pings are another matter: what they find is told by signals here
            on_event=self.events.append,
        )
        self._told: dict[int, str] = {}
        self._orders: dict[int, trio.Event] = {}
        self._scopes: dict[int, trio.CancelScope] = {}
        self.leased: dict[int, PoolWorker] = {}
        """The leases that are held, be their workers dead by now."""
        self._ready: queue.SimpleQueue[trio.lowlevel.TrioToken | BaseException] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        token = self._ready.get()
        if isinstance(token, BaseException):
            raise token
        self._token = token

    # -- the run -------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            trio.run(self._main, clock=self.clock)
        except BaseException as exc:  # noqa: ASYNC103  # handed to the other thread, which raises it
            self._error = exc
            self._ready.put(exc)

    async def _main(self) -> None:
        self._closing = trio.Event()
        async with trio.open_nursery() as self._calls:
            async with trio_pool.open_pool(config=self._config) as self.pool:
                self._ready.put(trio.lowlevel.current_trio_token())
                await self._closing.wait()
                self.clock.autojump_threshold = 0.0
            self._calls.cancel_scope.deadline = trio.current_time() + TTL
            for key in self.leased:
                self.tell(key, "ok")
        self._look()
        self.stuck = self._calls.cancel_scope.cancelled_caught

    def close(self) -> None:
        """Close the pool with all that is under way in it; whoever holds a lease then leaves it."""
        if self._error is None:
            trio.from_thread.run_sync(self._closing.set, trio_token=self._token)
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert not self.stuck, "the pool is closed, and somebody waits for it"

    def do(self, *actions: Callable[[], Awaitable[object]]) -> None:
        """Do something, and let everything happen that follows from it but needs no time."""

        async def play() -> None:
            for action in actions:
                await action()
            await trio.testing.wait_all_tasks_blocked()
            self._look()

        trio.from_thread.run(play, trio_token=self._token)

    # -- what workers do -----------------------------------------------------------------------------------------------

    async def _work(self, key: int) -> int:
        """Be a command: end when told to, and as told."""
        self.began.append(key)
        worker = next(each.incarnation for each in reversed(self.port.history) if each.args.get("key") == key)
        self.inside[key] = worker
        try:
            how = await self._order(key)
        finally:
            del self.inside[key]
            if key not in self._told and any(each.ident.incarnation == worker for each in self.port.workers):
                self.called_off.add(key)
        if how == "raise":
            raise LeftByError
        if how == "exit":
            raise SystemExit(0)
        return key

    async def _use(self, session: Session, key: int) -> int:
        keys = session.state.setdefault("keys", [])
        self.memory[key] = tuple(keys)
        keys.append(key)
        return await self._work(key)

    async def _order(self, key: int) -> str:
        self._told.pop(key, None)  # what is tried again is told anew
        self._orders[key] = trio.Event()
        await self._orders[key].wait()
        return self._told[key]

    def tell(self, key: int, how: str) -> None:
        """Tell a command, or whoever holds a lease, to end; the first word counts."""
        self._told.setdefault(key, how)
        self._orders[key].set()

    # -- what callers do -----------------------------------------------------------------------------------------------

    def start(self, key: int, call: Callable[[], Awaitable[object]]) -> None:
        """Call in the background and note what comes of it."""
        self.results[key] = None
        self._scopes[key] = trio.CancelScope()
        self._calls.start_soon(self._note, key, call)

    async def _note(self, key: int, call: Callable[[], Awaitable[object]]) -> None:
        with self._scopes[key]:
            try:
                await call()
                self.results[key] = "ok"
            except TrioPoolError as exc:
                self.results[key] = f"{type(exc).__name__} {exc.outcome}"
                self.errors[key] = exc
            except LeftByError:
                self.results[key] = "raise"
        if self.results[key] is None:
            self.results[key] = "cancelled"

    def cancel(self, key: int) -> None:
        """Have a caller leave."""
        self._scopes[key].cancel()

    async def execute(
        self, key: int, session: str | None, command: str, *, budget: float, patience: float, idempotent: bool = False
    ) -> None:
        """Ask for a command."""
        execute = self.pool.execute_anonymous if session is None else partial(self.pool.execute_in_session, session)
        value = await execute(command, {"key": key}, timeout=budget, checkout_timeout=patience, idempotent=idempotent)
        assert value == key, "nobody gets another's reply"

    async def lease(self, key: int, session: str | None, checkout_timeout: float) -> None:
        """Ask for a worker and hold it until told to leave."""
        async with self.pool.checkout(session, checkout_timeout=checkout_timeout) as worker:
            self.leased[key] = worker
            try:
                how = await self._order(key)
            finally:
                del self.leased[key]
            if how == "raise":
                raise LeftByError

    async def ask_leased(self, key: int, lease: int, command: str = "work") -> None:
        """Send a leased worker a command."""
        response = await self.leased[lease].send_command(command, {"key": key}, math.inf)
        assert response.error is not None or response.result == key

    async def signal(self, incarnation: int, sig: signal.Signals) -> None:
        """Signal a worker, if it lives."""
        for worker in self.port.workers:
            if worker.ident.incarnation == incarnation:
                await worker.signal(sig)

    async def pass_time(self, until: float) -> None:
        """Let time pass. A little more than asked: a sum of floats may fall short of a deadline by its last bit."""
        self.clock.jump(until - trio.current_time() + 1e-9)
        await trio.lowlevel.checkpoint()

    # -- what is seen --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.now = trio.current_time()
        self.status = self.pool.get_pool_status()
        self.sessions = self.pool.get_sessions()

    def seen(self, since: int) -> Seen:
        """Return what the pool chose to do, from one event on."""
        seen = Seen(results=dict(self.results), began=Counter(self.began), called_off=frozenset(self.called_off))
        seen.incarnations = {info.slot: info.incarnation for info in self.status.workers}
        seen.serving = frozenset(info.incarnation for info in self.status.workers if info.role == "serving")
        for event in self.events[since:]:
            if isinstance(event, RequestDispatched):
                seen.dispatched.setdefault(event.request_id, []).append(event.incarnation)
            elif isinstance(event, WorkerPromoted):
                seen.promoted.append(event.incarnation)
        return seen

    def picture(self) -> dict[str, Any]:
        """Return all that can be seen of the pool, as `Model.picture` does."""
        status = self.status
        metrics = status.metrics
        names = ("retries", "submitted", "queued", "running", "ok", "failed", "timed_out", "cancelled", "rejected")
        able = [info.role for info in status.workers if info.status in ("ready", "busy")]
        ready = len(able) - status.standby
        busy = sum(info.status == "busy" for info in status.workers)
        assert (status.ready, status.busy, status.queued) == (ready, busy, metrics.queued)
        assert status.sessions == len(self.sessions)
        return {
            "results": dict(self.results),
            "metrics": {name: getattr(metrics, name) for name in names},
            "counts": (status.size, *(able.count(WorkerRole(role)) for role in ("serving", "leaving", "standby"))),
            "workers": {
                info.slot: (info.incarnation, str(info.status), info.request_id, info.begun, info.role)
                if info.status != "starting"
                else ("starting", None, False, None)
                for info in status.workers
            },
            "sessions": {name: info.incarnation or str(info.status) for name, info in self.sessions.items()},
        }
