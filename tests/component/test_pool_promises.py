"""What a pool promises whatever is done to it, with all it can do: more than its model knows.

The model of `test_pool_model.py` foretells all that can be seen of a pool. This foretells nothing: it drives pools that
grow and shrink, have overflow workers, are drained, try again what is idempotent and run async commands side by side,
and after every step checks only what must hold anyhow:

- Each submission is in one place, and the gauges agree with what callers know (the conservation law).
- No more workers serve, stand by or help out than shall, and no worker that helps out idles.
- Nobody waits while a worker that may serve him is idle, nor, without a session, while another could help out.
- A worker runs one sync command at the most and as many async ones as allowed, and under a lease only its holder's.
- A session's commands run one at a time, in the order they were asked for.
- What a session's commands left in it is there for the next, as long as it is that session, and no other's is.
- A reply belongs to its request; what is not idempotent is entered once, what is no oftener than may be; outcomes are
  true, and never change.

At the end everything is set right and an hour of quiet passes: every caller must then have been told, each place have a
worker again, ready and with nothing to do, and a fresh command run. The pool is closed with whatever came after that.

A usual run has a fixed number of examples, always the same; ``TRIO_POOL_MODEL_EXAMPLES=2000`` looks for others.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import attrs
import hypothesis.strategies as st
import pytest
from _pool_model_parts import MAX_SESSIONS
from _pool_stage import Stage
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_pool import Outcome, RequestDispatched, RequestRedispatched, RequestRetried, RetryPolicy, WorkerRole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_pool import WorkerInfo

pytestmark = pytest.mark.slow

EXAMPLES = os.environ.get("TRIO_POOL_MODEL_EXAMPLES")
NAMES = st.sampled_from([*"abcd"[: MAX_SESSIONS + 1]])
OWNERS = st.sampled_from(["a", "b", "c", "d", None, None, None])
PATIENCE = st.sampled_from([0.05, 2.03, 60.0])
BUDGET = st.sampled_from([3.1, 60.0])
COMMANDS = st.sampled_from(["work", "use", "work together", "work together", "use together", "work beside"])
ENDS = st.sampled_from(["ok", "ok", "ok", "raise", "exit"])
MOMENT = 0.001
"""Passes before each step, so that nothing is due at the very moment something else is."""
MAX_RETRIES = 2
AT_LENGTH = 1e9
"""Longer than any restart is delayed: a fifth of a second doubled a few dozen times at the most."""


@attrs.define(eq=False)
class Asked:
    """What somebody has asked for."""

    key: int
    command: str
    session: str | None = None
    made_at: float | None = None
    """When its session was made, which tells it from others of the name; None if that is not known."""
    idempotent: bool = False
    lease: int | None = None
    """The lease whose holder asks; what he asks for is no submission."""
    number: int = 0
    """Its number among the submissions; 0 if it is none."""

    @property
    def sync(self) -> bool:
        """Whether it needs the worker's main thread."""
        return self.command in ("work", "use")

    @property
    def in_line(self) -> bool:
        """Whether it runs in its session's turn."""
        return self.session is not None and self.lease is None and self.command != "work beside"


class Act(NamedTuple):
    """One thing to do."""

    perform: Callable[[], Awaitable[object]]
    asked: Asked | None = None


class Promises(RuleBasedStateMachine):
    """Does whatever can be done and sees that promises are kept."""

    @initialize(
        size=st.integers(1, 3),
        standby=st.integers(0, 1),
        overflow=st.integers(0, 2),
        max_queue=st.integers(1, 5),
        concurrency=st.integers(1, 3),
    )
    def begin(self, size: int, standby: int, overflow: int, max_queue: int, concurrency: int) -> None:
        """Open a pool."""
        self.keys = 0
        self.size, self.standby, self.overflow, self.concurrency = size, standby, overflow, concurrency
        self.asked: dict[int, Asked] = {}
        self.results: dict[int, str] = {}
        self.drained = False
        self.failed = False
        retry = RetryPolicy(max_retries=MAX_RETRIES, budget=0.5, min_budget=3, poison_after=5)
        self.stage = Stage(size, standby, max_queue, retry, overflow=overflow, concurrency=concurrency)
        self.stage.do()

    def teardown(self) -> None:
        """Set everything right, see that the pool recovers, close it, and look at the whole of what has happened."""
        if not hasattr(self, "stage"):
            return
        try:
            if not self.failed:  # else what follows would hide that
                self.recover()
        finally:
            self.stage.close()
        if not self.failed:
            self.look_back()

    # -- one step ------------------------------------------------------------------------------------------------------

    def play(self, *acts: Act) -> None:
        """Do it, and what follows from it."""
        stage = self.stage
        self.failed = True
        before = stage.status.metrics.submitted
        stage.do(partial(stage.pass_time, stage.now + MOMENT), *(act.perform for act in acts))
        for asked in (act.asked for act in acts if act.asked is not None):
            self.asked[asked.key] = asked
            if stage.status.metrics.submitted > before and asked.lease is None:
                asked.number = stage.status.metrics.submitted
            session = stage.sessions.get(asked.session or "")
            if len(acts) == 1 and session is not None:
                asked.made_at = session.created_at
        self.failed = False

    def let_pass(self, seconds: float) -> None:
        """Let time pass."""
        self.stage.do(partial(self.stage.pass_time, self.stage.now + seconds))

    def start(self, key: int, call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        """Return what starts a call in the background."""

        async def perform() -> None:  # noqa: ASYNC124  # an act is async
            self.stage.start(key, call)

        return perform

    def new_key(self) -> int:
        """Return a number nobody has."""
        self.keys += 1
        return self.keys

    # -- what is known -------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> list[int]:
        """The calls whose callers still wait, or hold a lease."""
        return [key for key, result in self.stage.results.items() if result is None]

    @property
    def open(self) -> list[Asked]:
        """What was submitted and has no outcome."""
        calls = (self.asked[key] for key in self.pending if key in self.asked)
        return [asked for asked in calls if asked.number]

    @property
    def waiting(self) -> list[Asked]:
        """What was submitted and no worker has taken, the first in line first."""
        held = {number for info in self.stage.status.workers for number in info.request_ids}
        waiting = (asked for asked in self.open if asked.number not in held and asked.key not in self.stage.leased)
        return sorted(waiting, key=lambda asked: asked.number)

    @property
    def alive(self) -> list[int]:
        """The incarnations that live."""
        return [worker.ident.incarnation for worker in self.stage.port.workers]

    def having(self, role: WorkerRole) -> list[WorkerInfo]:
        """Return the workers of a role."""
        return [info for info in self.stage.status.workers if info.role is role]

    # -- what can be done ----------------------------------------------------------------------------------------------

    def command(self, asked: Asked, patience: float, budget: float) -> Act:
        """Somebody asks for a command."""
        call = partial(self.stage.execute, asked.key, asked.session, asked.command, idempotent=asked.idempotent)
        return Act(self.start(asked.key, lambda: call(patience=patience, budget=budget)), asked)

    def lease(self, owner: str | None, patience: float) -> Act:
        """Somebody asks for a worker."""
        asked = Asked(self.new_key(), "lease", owner)
        return Act(self.start(asked.key, lambda: self.stage.lease(asked.key, owner, patience)), asked)

    def request(self, data: st.DataObject) -> Act:
        """Draw a request of any kind."""
        owner = data.draw(OWNERS)
        if data.draw(st.integers(0, 3)) == 0:
            return self.lease(owner, data.draw(PATIENCE))
        command = data.draw(COMMANDS)
        if owner is None:
            command = command.replace("use", "work")
        asked = Asked(self.new_key(), command, owner, idempotent=data.draw(st.sampled_from([True, True, False])))
        return self.command(asked, data.draw(PATIENCE), data.draw(BUDGET))

    def tell(self, key: int, how: str) -> Act:
        """A command, or a lease, comes to its end."""

        async def perform() -> None:  # noqa: ASYNC124  # an act is async
            self.stage.tell(key, how)

        return Act(perform)

    def cancel(self, key: int) -> Act:
        """A caller leaves."""

        async def perform() -> None:  # noqa: ASYNC124  # an act is async
            self.stage.cancel(key)

        return Act(perform)

    def signal_to(self, incarnation: int, sig: signal.Signals) -> Act:
        """A worker is killed, frozen, thawed or asked to leave."""
        return Act(partial(self.stage.signal, incarnation, sig))

    def resize(self, size: int) -> Act:
        """Somebody wants another size."""

        async def resize() -> None:
            await self.stage.pool.resize(size)
            self.size = size

        return Act(self.start(self.new_key(), resize))

    def end_session(self, name: str) -> Act:
        """Somebody ends a session."""
        return Act(self.start(self.new_key(), lambda: self.stage.pool.end_session(name)))

    def disturbance(self, data: st.DataObject) -> Act:
        """Draw anything that is not a request."""
        choices: list[Callable[[], Act]] = [
            lambda: self.end_session(data.draw(NAMES)),
            lambda: self.resize(data.draw(st.integers(1, 4))),
        ]
        if self.stage.leased:
            choices.append(lambda: self.tell(data.draw(st.sampled_from([*self.stage.leased])), "ok"))
        if self.pending:
            choices += 2 * [lambda: self.cancel(data.draw(st.sampled_from(self.pending)))]
        if self.stage.inside:
            choices += 2 * [lambda: self.tell(data.draw(st.sampled_from([*self.stage.inside])), data.draw(ENDS))]
        if self.alive:
            signals = st.sampled_from([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGCONT])
            choices += 2 * [lambda: self.signal_to(data.draw(st.sampled_from(self.alive)), data.draw(signals))]
        return data.draw(st.sampled_from(choices))()

    # -- rules ---------------------------------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 4))
    def requests_come(self, data: st.DataObject, count: int) -> None:
        """Several at a time, for a queue that is mostly empty shows little."""
        for _ in range(count):
            self.play(self.request(data))

    @precondition(lambda self: self.stage.leased)
    @rule(data=st.data(), command=st.sampled_from(["work", "work together"]))
    def a_leased_worker_is_asked(self, data: st.DataObject, command: str) -> None:
        lease = data.draw(st.sampled_from([*self.stage.leased]))
        asked = Asked(self.new_key(), command, lease=lease)
        self.play(Act(self.start(asked.key, lambda: self.stage.ask_leased(asked.key, lease, command)), asked))

    @precondition(lambda self: self.stage.leased)
    @rule(data=st.data(), how=st.sampled_from(["ok", "raise"]))
    def a_lease_is_left(self, data: st.DataObject, how: str) -> None:
        self.play(self.tell(data.draw(st.sampled_from([*self.stage.leased])), how))

    @precondition(lambda self: self.stage.inside)
    @rule(data=st.data(), how=ENDS)
    def a_command_ends(self, data: st.DataObject, how: str) -> None:
        self.play(self.tell(data.draw(st.sampled_from([*self.stage.inside])), how))

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def a_caller_leaves(self, data: st.DataObject) -> None:
        self.play(self.cancel(data.draw(st.sampled_from(self.pending))))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), sig=st.sampled_from([signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT]))
    def a_worker_is_signalled(self, data: st.DataObject, sig: signal.Signals) -> None:
        self.play(self.signal_to(data.draw(st.sampled_from(self.alive)), sig))

    @rule(size=st.integers(1, 4))
    def the_pool_is_resized(self, size: int) -> None:
        self.play(self.resize(size))

    @precondition(lambda self: self.keys >= 15)  # not before much is under way, for nothing new comes after it
    @rule()
    def the_pool_is_drained(self) -> None:
        self.drained = True
        self.play(Act(self.start(self.new_key(), self.stage.pool.drain)))

    @rule(name=NAMES)
    def a_session_is_ended(self, name: str) -> None:
        self.play(self.end_session(name))

    @rule(data=st.data())
    def two_things_happen_at_once(self, data: st.DataObject) -> None:
        first = self.request(data) if data.draw(st.booleans()) else self.disturbance(data)
        self.play(first, self.disturbance(data))

    @rule(seconds=st.sampled_from([0.1, 0.6, 2.5, 8.0]))
    def time_passes(self, seconds: float) -> None:
        """Restarts come, grace and patience end, sessions expire."""
        self.failed = True
        self.let_pass(seconds)
        self.failed = False

    # -- promises ------------------------------------------------------------------------------------------------------

    @invariant()
    def promises_are_kept(self) -> None:
        """After every step."""
        if hasattr(self, "stage"):
            self.failed = True
            self.each_is_in_one_place()
            self.no_more_workers_than_shall()
            self.nobody_waits_in_vain()
            self.workers_run_what_they_may()
            self.outcomes_stay()
            self.failed = False

    def each_is_in_one_place(self) -> None:
        """The conservation law, and what callers know of it."""
        status, metrics = self.stage.status, self.stage.status.metrics
        ended = Counter(ok=metrics.ok, failed=metrics.failed, cancelled=metrics.cancelled)
        ended.update(timed_out=metrics.timed_out, rejected=metrics.rejected)
        assert metrics.submitted == metrics.queued + metrics.running + ended.total()
        assert status.queued == metrics.queued == len(self.waiting)
        assert metrics.running == len(self.open) - len(self.waiting)
        told = Counter(self.stage.results[key] for key, asked in self.asked.items() if asked.number)
        assert told["ok"] <= ended["ok"]
        assert told["raise"] <= ended["failed"]
        assert status.busy == sum(bool(info.request_ids) for info in status.workers)

    def no_more_workers_than_shall(self) -> None:
        """Nor one that helps out and has nothing to do, nor one that leaves and has nothing to leave for."""
        assert self.stage.status.size == self.size
        assert len(self.having(WorkerRole.SERVING)) <= self.size
        assert len(self.having(WorkerRole.STANDBY)) <= self.standby
        assert len(self.having(WorkerRole.OVERFLOW)) <= self.overflow
        for info in self.stage.status.workers:
            if info.status == "ready":
                assert info.role is not WorkerRole.OVERFLOW
                assert info.role is not WorkerRole.LEAVING or info.sessions
            if info.role in (WorkerRole.OVERFLOW, WorkerRole.STANDBY):
                assert not info.sessions

    def nobody_waits_in_vain(self) -> None:
        """No worker is idle that may serve who waits, and none is missing that could help out."""
        status, sessions = self.stage.status, self.stage.sessions
        idle = {info.incarnation: info.role for info in status.workers if info.status == "ready"}
        running = {asked.session for asked in self.open if asked.in_line} - {None}
        if any(asked.session is None for asked in self.waiting):
            assert WorkerRole.SERVING not in idle.values()
            if all(info.status in ("ready", "busy") for info in status.workers):
                assert len(self.having(WorkerRole.OVERFLOW)) == self.overflow
        waiting = {asked.key for asked in self.waiting}
        running = {asked.session for asked in self.open if asked.in_line and asked.key not in waiting}
        for asked in self.waiting:
            if asked.session is None or asked.session in running:
                continue
            home = sessions[asked.session].incarnation
            assert home not in idle
            assert home is not None or WorkerRole.SERVING not in idle.values()

    def workers_run_what_they_may(self) -> None:
        """So many at once, under a lease only its holder's, and of a session one after the other."""
        load: Counter[tuple[int, bool]] = Counter()
        turns: Counter[tuple[str | None, float]] = Counter()
        numbers = {number: info.incarnation for info in self.stage.status.workers for number in info.request_ids}
        leased = {numbers.get(self.asked[key].number): key for key in self.stage.leased}
        for key, incarnation in self.stage.inside.items():
            asked = self.asked[key]
            load[incarnation, asked.sync] += 1
            if asked.in_line and asked.made_at is not None:
                turns[asked.session, asked.made_at] += 1
            assert leased.get(incarnation) in (None, asked.lease)
        assert all(count <= (1 if sync else self.concurrency) for (_, sync), count in load.items())
        assert all(count == 1 for count in turns.values())

    def outcomes_stay(self) -> None:
        """What was told is never told otherwise."""
        told = {key: result for key, result in self.stage.results.items() if result is not None}
        assert told.items() >= self.results.items()
        self.results = told

    # -- at the end ----------------------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Let everything come to its end, with nobody to disturb it, and see that the pool is as it was."""
        stage = self.stage
        for _ in range(100):
            for incarnation in self.alive:
                stage.do(partial(stage.signal, incarnation, signal.SIGCONT))
            for key in (*stage.inside, *self.stage.leased):
                stage.do(self.tell(key, "ok").perform)
            self.let_pass(1.0)  # patience and budgets are of no more than 60
            if not self.pending and not stage.inside:
                break
        assert not self.pending, "everybody is told something"
        for _ in range(3):
            self.let_pass(AT_LENGTH)  # restarts, and sessions whose expiry lets a worker go
        self.promises_are_kept()
        roles = Counter(info.role for info in stage.status.workers)
        assert roles == Counter({WorkerRole.SERVING: self.size}) + Counter({WorkerRole.STANDBY: self.standby})
        assert {info.status for info in stage.status.workers} == {"ready"}
        asked = Asked(self.new_key(), "work")
        self.play(self.command(asked, 1.0, 1.0))
        if asked.key in stage.inside:
            self.play(self.tell(asked.key, "ok"))
        assert stage.results[asked.key] == ("PoolClosed not_executed" if self.drained else "ok")

    def look_back(self) -> None:
        """Look at all that has happened, now that the pool is closed: outcomes, their truth, and order."""
        stage = self.stage
        self.outcomes_stay()
        self.sessions_remember()
        entered = Counter(stage.began)
        for key, asked in self.asked.items():
            assert entered[key] <= (1 + MAX_RETRIES if asked.idempotent else 1)
            error = stage.errors.get(key)
            assert error is None or error.outcome is not Outcome.NOT_EXECUTED or not entered[key]
            assert error is None or error.outcome is not Outcome.EXECUTED or entered[key]
            assert stage.results[key] != "ok" or entered[key] or asked.command == "lease" or asked.lease
        dispatched: dict[tuple[str, float], list[int]] = {}
        again: set[int] = set()
        numbers = {asked.number: asked for asked in self.asked.values() if asked.number}
        for event in stage.events:
            if isinstance(event, (RequestRedispatched, RequestRetried)):
                again.add(event.request_id)
            elif isinstance(event, RequestDispatched) and event.request_id not in again:
                asked = numbers[event.request_id]
                if asked.in_line and asked.session is not None and asked.made_at is not None:
                    dispatched.setdefault((asked.session, asked.made_at), []).append(event.request_id)
        for each in dispatched.values():
            assert each == sorted(each), "first come, first served"

    def sessions_remember(self) -> None:
        """What is gone is told to be lost, never silently missing."""
        left: dict[tuple[str | None, float], set[int]] = {}
        for key in self.stage.began:
            asked = self.asked[key]
            if key not in self.stage.memory or asked.made_at is None:
                continue
            found = self.stage.memory[key]
            assert {(self.asked[each].session, self.asked[each].made_at) for each in found} <= {
                (asked.session, asked.made_at),
                (asked.session, None),
            }
            assert left.setdefault((asked.session, asked.made_at), set()) <= {*found, key}
            if self.stage.results[key] == "ok":
                left[asked.session, asked.made_at].add(key)


TestPromises = Promises.TestCase
TestPromises.settings = settings(
    max_examples=int(EXAMPLES or 60),
    derandomize=EXAMPLES is None,
    stateful_step_count=30,
    deadline=None,  # the first example pays for imports
    suppress_health_check=[HealthCheck.too_slow],  # a loaded machine is no failure
)
