"""The pool beside a model of it: whatever is done to both, they do the same.

Of two things in one moment the model does one after the other, in any order that explains what is seen; a worker's end
also in two halves, with the other thing between. What it leaves out (overflow workers, async commands, two deaths and
two sizes in one moment) is looked at by `test_pool_promises.py`.

A usual run has a fixed number of examples, always the same; ``TRIO_POOL_MODEL_EXAMPLES=2000`` looks for others.
"""

from __future__ import annotations

import math
import os
import signal
from collections import Counter
from copy import deepcopy
from functools import partial
from itertools import permutations, product
from typing import TYPE_CHECKING, Any, NamedTuple

import hypothesis.strategies as st
import pytest
from _pool_model import Model
from _pool_model_parts import MAX_SESSIONS, Call, Kind, Seen, State, Worker
from _pool_stage import Stage
from hypothesis import HealthCheck, assume, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_pool import Outcome, RequestDispatched, RequestRedispatched, RequestRetried, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.slow

EXAMPLES = os.environ.get("TRIO_POOL_MODEL_EXAMPLES")
NAMES = st.sampled_from([*"abcd"[: MAX_SESSIONS + 1]])
OWNERS = st.sampled_from(["a", "b", "c", "d", None, None, None])
MOMENT = 0.001
"""Passes before each step, so that nothing is due at the very moment something else is."""
SIZES = st.integers(1, 4)
PATIENCE = st.sampled_from([0.05, 2.03, 60.0])
"""Seconds a caller waits for a worker."""
BUDGET = st.sampled_from([3.1, 60.0])
"""Seconds a command has in all."""
RETRIES = [
    RetryPolicy(max_retries=1, poison_after=3),
    RetryPolicy(max_retries=2, poison_after=2),
    RetryPolicy(max_retries=2, poison_after=3, min_budget=1, budget=0.2),
]
"""Each of the limits is the first to be met in one of them."""
OFTEN = st.sampled_from([True, True, False])
ENDS = st.sampled_from(["ok", "ok", "ok", "raise", "exit"])


class Action(NamedTuple):
    """One thing to do: to the pool, and to the model."""

    name: str
    perform: Callable[[], Awaitable[object]]
    predict: Callable[[Model, Seen], object]
    leaver: int | None = None
    """Whose caller leaves by it."""
    ends: int | None = None
    """The worker that dies of it at once."""

    def lose(self, model: Model, seen: Seen) -> None:
        """Foretell the first half of it: a worker is lost, and not dead."""
        for worker in model.workers:
            if worker.incarnation == self.ends:
                model.lose(worker, seen)


class Pools(RuleBasedStateMachine):
    """Does the same to both."""

    @initialize(
        size=st.integers(1, 3), standby=st.integers(0, 2), max_queue=st.integers(1, 4), retry=st.sampled_from(RETRIES)
    )
    def begin(self, size: int, standby: int, max_queue: int, retry: RetryPolicy) -> None:
        """Open both."""
        self.keys = 0
        self.differ = False
        self.stage = Stage(size, standby, max_queue, retry)
        self.stage.do()
        self.model = Model(size, standby, max_queue, retry, self.stage.now, self.stage.seen(0))

    def teardown(self) -> None:
        """Close the pool with whatever is under way, and look at the whole of what has happened."""
        if hasattr(self, "stage"):
            self.stage.close()
            if hasattr(self, "model") and not self.differ:  # else what follows would hide that
                self.look_back()

    # -- one step ------------------------------------------------------------------------------------------------------

    def play(self, *actions: Action) -> None:
        """Do it to both; of several things at once, the model does them one after the other, in some order."""
        stage = self.stage
        then = stage.now + MOMENT
        acts: list[Callable[[], Awaitable[object]]] = [action.perform for action in actions]
        if self.model.next_event() > then + MOMENT:  # nothing comes of it: all in one go
            acts.insert(0, partial(stage.pass_time, then))
        else:
            self.let_pass(then)
        since = len(stage.events)
        stage.do(*acts)
        picture = stage.picture()
        failures: list[str] = []
        orders = [[(each.name, each.predict) for each in order] for order in permutations(actions)]
        for first, second in permutations(actions, 2):
            if first.ends is not None:
                parts = [(f"lost by {first.name}", first.lose), (second.name, second.predict)]
                orders.append([*parts, (first.name, first.predict)])
        for order, in_between in product(orders, (True, False)[: len(actions)]):
            model = self.model if len(actions) == 1 else deepcopy(self.model)
            seen = stage.seen(since)
            model.now = stage.now
            try:
                for part, (_, predict) in enumerate(order, 1):
                    predict(model, seen)
                    if in_between or part == len(order):  # workers that start at once may yet come too late
                        model.elapse(stage.now, seen)
                if len(actions) > 1:
                    # Who leaves in the moment of the outcome does not hear it; it counts all the same.
                    for action in actions:
                        model.overlook(action.leaver, picture["results"])
                self.same(picture, model)
            except AssertionError as exc:
                failures.append(f"{' and '.join(name for name, _ in order)}: {exc}")
            else:
                self.model = model
                return
        self.differ = True
        told = "\n".join(map(str, stage.events[since:]))
        raise AssertionError("\n".join([*failures, "What the pool has told:", told]))

    def let_pass(self, until: float) -> None:
        """Let time pass, from one thing that is due to the next."""
        stage, model = self.stage, self.model
        while stage.now < until:
            then = min(until, max(model.next_event(), stage.now))
            since = len(stage.events)
            stage.do(partial(stage.pass_time, then))
            self.differ = True
            model.elapse(stage.now, stage.seen(since))
            self.same(stage.picture(), model)
            self.differ = False

    def same(self, picture: dict[str, Any], model: Model) -> None:
        """Check that pool and model look alike."""
        for part, expected in model.picture().items():
            assert picture[part] == expected, f"{part}: {picture[part]}, not {expected}"

    def new_key(self) -> int:
        """Return a number nobody has."""
        self.keys += 1
        return self.keys

    # -- what can be done ----------------------------------------------------------------------------------------------

    def command(self, owner: str | None, uses: bool, patience: float, budget: float, *, idempotent: bool) -> Action:
        """Somebody asks for a command, in a session or without."""
        key, uses = self.new_key(), uses and owner is not None

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            execute = partial(self.stage.execute, key, owner, "use" if uses else "work")
            self.stage.start(key, lambda: execute(budget=budget, patience=patience, idempotent=idempotent))

        def predict(model: Model, seen: Seen) -> None:
            call = Call(key, Kind.COMMAND, uses=uses, patience=patience, idempotent=idempotent)
            model.submit(call, owner, budget, seen)

        return Action(f"command {key}", perform, predict)

    def lease(self, owner: str | None, patience: float) -> Action:
        """Somebody asks for a worker."""
        key = self.new_key()

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.start(key, lambda: self.stage.lease(key, owner, patience))

        def predict(model: Model, seen: Seen) -> None:
            model.submit(Call(key, Kind.LEASE, patience=patience), owner, math.inf, seen)

        return Action(f"lease {key}", perform, predict)

    def ask_leased(self, lease: int) -> Action:
        """The holder of a lease uses its worker."""
        key = self.new_key()

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.start(key, lambda: self.stage.ask_leased(key, lease))

        return Action(
            f"ask {key} in {lease}",
            perform,
            lambda model, seen: model.ask_leased(Call(key, Kind.INNER), lease, seen),
        )

    def leave(self, lease: int, how: str) -> Action:
        """The holder of a lease leaves it."""

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.tell(lease, how)

        return Action(f"leave {lease}: {how}", perform, lambda model, seen: model.leave(lease, how, seen))

    def finish(self, key: int, how: str) -> Action:
        """A command ends."""

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.tell(key, how)

        call = self.model.calls[key]
        worker, entry = call.worker, call.entries
        ends = None if worker is None or how != "exit" else worker.incarnation

        def predict(model: Model, seen: Seen) -> None:
            model.finish(key, entry, how, seen)

        return Action(f"finish {key}: {how}", perform, predict, ends=ends)

    def cancel(self, key: int) -> Action:
        """A caller leaves."""

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.cancel(key)

        return Action(f"cancel {key}", perform, lambda model, seen: model.cancel(key, seen), key)

    def signal(self, worker: Worker, sig: signal.Signals) -> Action:
        """A worker is killed, frozen, thawed or asked to leave."""
        incarnation = worker.incarnation

        def predict(model: Model, seen: Seen) -> None:
            found = [worker for worker in (*model.workers, *model.lost.values()) if worker.incarnation == incarnation]
            if not found:
                return  # it died meanwhile
            (target,) = found
            if sig is signal.SIGSTOP:
                target.frozen = True
            elif sig is signal.SIGCONT and target.role is None:
                model.die(target, planned=True, seen=seen)  # it was asked to stop, and now it does
            elif sig is signal.SIGCONT:
                target.frozen = False
                model.run(target, seen)
            else:
                model.die(target, planned=sig is signal.SIGTERM, seen=seen)

        ends = incarnation if sig is signal.SIGKILL else None
        return Action(f"{sig.name} {incarnation}", lambda: self.stage.signal(incarnation, sig), predict, ends=ends)

    def end_session(self, name: str) -> Action:
        """Somebody ends a session."""
        key = self.new_key()

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.start(key, lambda: self.stage.pool.end_session(name))

        return Action(f"end {name}", perform, lambda model, seen: model.note(key, model.end_session(name, seen)))

    def track_session(self, name: str) -> Action:
        """Somebody makes a session known."""
        key = self.new_key()

        async def track() -> None:  # noqa: ASYNC124  # as below
            self.stage.pool.track_session(name)

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.start(key, track)

        return Action(f"track {name}", perform, lambda model, _: model.note(key, model.track_session(name)))

    def resize(self, size: int) -> Action:
        """Somebody wants another size."""
        key = self.new_key()

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.start(key, lambda: self.stage.pool.resize(size))

        return Action(f"resize {size}", perform, lambda model, seen: model.resize(key, size, seen))

    def drain(self) -> Action:
        """Somebody empties the pool."""
        key = self.new_key()

        async def perform() -> None:  # noqa: ASYNC124  # an action is async
            self.stage.start(key, self.stage.pool.drain)

        return Action(f"drain {key}", perform, lambda model, _: model.drain(key))

    def request(self, data: st.DataObject) -> Action:
        """Draw a request of any kind."""
        if data.draw(st.booleans()):
            return self.lease(data.draw(OWNERS), data.draw(PATIENCE))
        owner, uses, idempotent = data.draw(OWNERS), data.draw(st.booleans()), data.draw(OFTEN)
        return self.command(owner, uses, data.draw(PATIENCE), data.draw(BUDGET), idempotent=idempotent)

    def disturbance(self, data: st.DataObject) -> Action:
        """Draw anything else that can be done now, but for freezing: that holds up what is done at the same time."""
        model = self.model
        choices: list[Callable[[], Action]] = [
            lambda: self.end_session(data.draw(NAMES)),
            lambda: self.resize(data.draw(SIZES)),
        ]
        if held := model.pending(Kind.LEASE, State.RUNNING, State.OVER):
            choices.append(lambda: self.leave(data.draw(st.sampled_from(held)), "ok"))
        if callers := [key for kind in Kind for key in model.pending(kind)]:
            choices += 2 * [lambda: self.cancel(data.draw(st.sampled_from(callers)))]
        if running := model.finishable():
            choices += 2 * [lambda: self.finish(data.draw(st.sampled_from(running)), data.draw(ENDS))]
        if workers := model.workers:
            choices.append(lambda: self.signal(data.draw(st.sampled_from(workers)), signal.SIGKILL))
        if frozen := [worker for worker in model.workers if worker.frozen]:
            choices.append(lambda: self.signal(data.draw(st.sampled_from(frozen)), signal.SIGCONT))
        return data.draw(st.sampled_from(choices))()

    # -- rules ---------------------------------------------------------------------------------------------------------

    @rule(
        owners=st.lists(OWNERS, min_size=1, max_size=4),
        uses=st.booleans(),
        patience=PATIENCE,
        budget=BUDGET,
        idempotent=OFTEN,
    )
    def commands_are_asked_for(
        self, owners: list[str | None], uses: bool, patience: float, budget: float, idempotent: bool
    ) -> None:
        """Several at a time, for a queue that is mostly empty shows little."""
        for owner in owners:
            self.play(self.command(owner, uses, patience, budget, idempotent=idempotent))

    @rule(owner=OWNERS, patience=PATIENCE)
    def a_worker_is_leased(self, owner: str | None, patience: float) -> None:
        self.play(self.lease(owner, patience))

    @precondition(lambda self: self.model.pending(Kind.LEASE, State.RUNNING, State.OVER))
    @rule(data=st.data())
    def a_leased_worker_is_asked(self, data: st.DataObject) -> None:
        held = self.model.pending(Kind.LEASE, State.RUNNING, State.OVER)
        self.play(self.ask_leased(data.draw(st.sampled_from(held))))

    @precondition(lambda self: self.model.pending(Kind.LEASE, State.RUNNING, State.OVER))
    @rule(data=st.data(), how=st.sampled_from(["ok", "raise"]))
    def a_lease_is_left(self, data: st.DataObject, how: str) -> None:
        held = self.model.pending(Kind.LEASE, State.RUNNING, State.OVER)
        self.play(self.leave(data.draw(st.sampled_from(held)), how))

    @precondition(lambda self: self.model.finishable())
    @rule(data=st.data(), how=ENDS)
    def a_command_ends(self, data: st.DataObject, how: str) -> None:
        self.play(self.finish(data.draw(st.sampled_from(self.model.finishable())), how))

    @precondition(lambda self: any(self.model.pending(kind) for kind in Kind))
    @rule(data=st.data())
    def a_caller_leaves(self, data: st.DataObject) -> None:
        """Be it waiting, running, or in its lease."""
        self.play(self.cancel(data.draw(st.sampled_from([key for kind in Kind for key in self.model.pending(kind)]))))

    @precondition(lambda self: self.model.workers)
    @rule(data=st.data())
    def a_worker_is_killed(self, data: st.DataObject) -> None:
        """Be it idle, busy or leased, and what it holds begun or not."""
        worker = data.draw(st.sampled_from(self.model.workers))
        self.play(self.signal(worker, signal.SIGKILL))

    @precondition(lambda self: self.model.workers)
    @rule(data=st.data())
    def a_worker_is_frozen_or_goes_on(self, data: st.DataObject) -> None:
        """What a frozen one is given it does not begin."""
        worker = data.draw(st.sampled_from(self.model.workers))
        self.play(self.signal(worker, signal.SIGCONT if worker.frozen else signal.SIGSTOP))

    @precondition(lambda self: any(not worker.frozen and not worker.wire for worker in self.model.workers))
    @rule(data=st.data())
    def an_idle_worker_is_asked_to_leave(self, data: st.DataObject) -> None:
        """It ends by plan."""
        idle = [worker for worker in self.model.workers if not worker.frozen and not worker.wire]
        self.play(self.signal(data.draw(st.sampled_from(idle)), signal.SIGTERM))

    @rule(name=NAMES)
    def a_session_is_ended(self, name: str) -> None:
        self.play(self.end_session(name))

    @rule(name=NAMES)
    def a_session_is_tracked(self, name: str) -> None:
        self.play(self.track_session(name))

    @rule(size=SIZES)
    def the_pool_is_resized(self, size: int) -> None:
        self.play(self.resize(size))

    @precondition(lambda self: self.keys >= 15)  # not before much is under way, for nothing new comes after it
    @rule()
    def the_pool_is_drained(self) -> None:
        self.play(self.drain())

    @rule(data=st.data())
    def two_things_happen_at_once(self, data: st.DataObject) -> None:
        """What comes of it is what comes of one after the other."""
        first = self.request(data) if data.draw(st.booleans()) else self.disturbance(data)
        second = self.disturbance(data)
        # Two workers that end in one moment are both out of use before either is settled: no order of the two has that.
        # `test_pool_crossings.py` looks at it.
        assume(first.ends is None or second.ends is None)
        # Of workers that come with one size and go with the other, nothing would be left to be seen.
        assume(not (first.name.startswith("resize") and second.name.startswith("resize")))
        self.play(first, second)

    @rule(seconds=st.sampled_from([0.1, 0.6, 2.5, 8.0]))
    def time_passes(self, seconds: float) -> None:
        """Restarts come, grace and patience end, sessions expire."""
        self.let_pass(self.stage.now + seconds)

    # -- promises ------------------------------------------------------------------------------------------------------

    @invariant()
    def the_law_holds(self) -> None:
        """Each submission is in one place."""
        if hasattr(self, "model"):
            self.obey_the_law()

    @invariant()
    def nobody_waits_while_a_worker_that_may_serve_is_idle(self) -> None:
        """As the pool itself tells it."""
        if not hasattr(self, "model"):
            return
        ready = {
            info.incarnation for info in self.stage.status.workers if (info.status, info.role) == ("ready", "serving")
        }
        homes = self.stage.picture()["sessions"]
        for call in self.model.waiting:
            if call.session is None:
                assert not ready
            elif call is next(other for other in self.model.waiting if other.session is call.session):
                assert homes[call.session.name] not in ready

    def obey_the_law(self) -> None:
        """See that the counts add up."""
        metrics = self.stage.picture()["metrics"]
        del metrics["retries"]
        assert metrics.pop("submitted") == sum(metrics.values())

    def look_back(self) -> None:
        """Look at all that has happened, now that the pool is closed: outcomes, their truth, and order."""
        stage, model = self.stage, self.model
        for key, count in Counter(stage.began).items():
            assert count <= 1 + model.calls[key].retries, "no command is entered more often than it is tried"
        for key, call in model.calls.items():
            result = stage.results[key]
            if call.result is not None:
                assert result == call.result, "an outcome never changes"
            elif call.kind is Kind.MANAGEMENT:
                assert result == "ok", "a pool that is closed has nothing left to wait for"
            elif call.kind is Kind.LEASE:
                assert result in (("ok",) if call.state is not State.WAITING else ("PoolClosed not_executed",))
            else:
                # A frozen worker takes a second to stop, in which a command's time may run out.
                began = ("WorkerCrashed maybe_executed", "CommandTimeout maybe_executed")
                not_begun = ("PoolClosed not_executed", "WorkerCrashed not_executed", "CommandTimeout maybe_executed")
                assert result in (began if call.begun or call.ran else not_begun)
        for key, error in stage.errors.items():
            assert error.outcome is not Outcome.NOT_EXECUTED or key not in stage.began
            assert error.outcome is not Outcome.EXECUTED or key in stage.began
        dispatched: dict[str | None, list[int]] = {}
        again: set[int] = set()
        for event in stage.events:
            if isinstance(event, (RequestRedispatched, RequestRetried)):
                again.add(event.request_id)
            elif isinstance(event, RequestDispatched) and event.request_id not in again:
                dispatched.setdefault(event.session_id, []).append(event.request_id)
        for numbers in dispatched.values():
            assert numbers == sorted(numbers), "first come, first served"
        metrics = stage.picture()["metrics"]
        assert (metrics["queued"], metrics["running"]) == (0, 0)
        self.obey_the_law()


TestPools = Pools.TestCase
TestPools.settings = settings(
    max_examples=int(EXAMPLES or 80),
    derandomize=EXAMPLES is None,
    stateful_step_count=30,
    deadline=None,  # the first example pays for imports
    suppress_health_check=[HealthCheck.too_slow],  # a loaded machine is no failure
)
