"""Supervisors beside a model of OTP's: whatever is done to both, they do the same, at the same moments.

The number of examples is the profile's: few in a usual run, 2000 with ``TRIO_POOL_EXAMPLES=2000``.
"""

from __future__ import annotations

import math
import os
import queue
import threading
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import trio
import trio.testing
from _children import Crash
from _otp_model import Model, ModelChild
from _otp_world import MARKS, Script, World
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_pool import (
    Backoff,
    ChildError,
    ChildOverdue,
    ChildSpec,
    IgnoreStart,
    PlannedExit,
    RestartIntensityExceeded,
    Supervisor,
    SupervisorEvent,
    open_supervisor,
    supervisor_spec,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

EXAMPLES = int(os.environ.get("TRIO_POOL_EXAMPLES", "60"))
WITHIN = 5.0
LEAVES, ALL = st.sampled_from("abcd"), st.sampled_from("abcds")
RESTARTS = st.sampled_from(["permanent", "transient", "temporary"])
STRATEGIES = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])
OUTCOMES = st.lists(st.sampled_from(["ok", "fail", "ignore", "hang"]), max_size=2)
SHUTDOWNS = st.sampled_from([5.0, 1.0, "brutal_kill", math.inf])
SLOW = st.sampled_from([0.0, 0.0, 0.5, 2.0, 7.0])
"""Seconds a leaf takes to stop: less than most `SHUTDOWNS`, between them, more than most."""
PAUSES = st.sampled_from([1.25, 2.5, 5.0])
"""Seconds that pass at a time. They add up to the window, to its edge, and to what makes a child stable."""


def backoff(name: str, jitter: str | None) -> Backoff | None:
    """Return the delays of this child: after the immediate restart about 1, 2 and then 4 seconds."""
    initial = 1.0 + MARKS[name]
    return None if jitter is None else Backoff(initial=initial, maximum=4 * initial, jitter=jitter)


class Stage:
    """The real thing: a supervisor under Trio in a thread of its own, so that each rule may run it a little further."""

    def __init__(self, strategy: str, limit: int, seed: int) -> None:
        self.script = Script(seed)
        self.orders: dict[str, trio.MemorySendChannel[str]] = {}
        self.hanging: dict[str, trio.Event] = {}
        self.releases: dict[str, str] = {}
        self.callers: dict[str, trio.CancelScope] = {}
        self.gave_up = False
        self.supervisor: Supervisor
        self._clock = trio.testing.MockClock()
        self._options = (strategy, limit)
        self._ready: queue.SimpleQueue[trio.lowlevel.TrioToken] = queue.SimpleQueue()
        self._thread = threading.Thread(target=lambda: trio.run(self._main, clock=self._clock))
        self._thread.start()
        self._token = self._ready.get()

    async def _main(self) -> None:
        strategy, limit = self._options
        self._over = trio.Event()
        async with trio.open_nursery() as self._calls:
            try:
                async with open_supervisor(
                    strategy, max_restarts=limit, within=WITHIN, rng=self.script.rng, on_event=self._observe
                ) as self.supervisor:
                    self._ready.put(trio.lowlevel.current_trio_token())
                    await self._over.wait()
            except RestartIntensityExceeded:
                self.gave_up = True
            await self._over.wait()
            await trio.testing.wait_all_tasks_blocked()
            self._calls.cancel_scope.cancel()

    def _observe(self, event: SupervisorEvent) -> None:
        if isinstance(event, ChildOverdue):
            self.script.log.append((event.at, f"overdue {event.child_id} {event.shutdown:g}"))

    def close(self) -> None:
        """End the run and the thread."""

        def end() -> None:
            self._clock.autojump_threshold = 0
            self._over.set()

        trio.from_thread.run_sync(end, trio_token=self._token)
        self._thread.join()

    def do(self, action: Callable[[], Awaitable[object]]) -> None:
        """Do something and let everything happen that follows from it now."""

        async def play() -> None:
            await action()
            await trio.testing.wait_all_tasks_blocked()

        trio.from_thread.run(play, trio_token=self._token)

    async def call(self, label: str, method: Callable[..., Awaitable[object]], argument: object) -> None:
        """Make a management call that may take long, in the background."""

        async def make() -> None:
            with trio.CancelScope() as scope:
                self.callers[label] = scope
                try:
                    await method(argument)
                    result = "ok"
                except ChildError as exc:
                    result = "failed" if exc.reason == "failed_to_start_child" else exc.reason
                except (Crash, RestartIntensityExceeded):
                    result = "failed"
            self.script.results[label] = ("cancelled" if scope.cancelled_caught else result, trio.current_time())

        self._calls.start_soon(make)
        await trio.lowlevel.checkpoint()

    async def cancel_call(self, label: str) -> None:
        """Cancel a management call."""
        self.callers[label].cancel()
        await trio.lowlevel.checkpoint()

    async def order(self, name: str, what: str) -> None:
        """Tell a running child what to do."""
        self.orders[name].send_nowait(what)
        await trio.lowlevel.checkpoint()

    async def release(self, name: str, outcome: str) -> None:
        """Let a hanging start come to its end."""
        self.releases[name] = outcome
        self.hanging.pop(name).set()
        await trio.lowlevel.checkpoint()

    async def wait(self, until: float) -> None:
        """Let time pass, from event to event."""
        self._clock.autojump_threshold = 0
        await trio.sleep_until(until)
        self._clock.autojump_threshold = math.inf

    def note(self, what: str) -> None:
        """Write into the log."""
        self.script.log.append((trio.current_time(), what))

    async def child(self, name: str, *, task_status: trio.TaskStatus[None]) -> None:
        """Be a child: do what the script says at the start, then what one is told, and stop as slowly as it says."""
        self.note(f"start {name}")
        try:
            outcome = self.script.next(name)
            if outcome == "hang":
                self.hanging[name] = trio.Event()
                await self.hanging[name].wait()
                outcome = self.releases.pop(name)
            if outcome == "fail":
                raise Crash
            if outcome == "ignore":
                raise IgnoreStart
            self.orders[name], orders = trio.open_memory_channel[str](1)
            self.note(f"up {name}")
            task_status.started()
            what = await orders.receive()
            if what == "crash":
                raise Crash
            if what == "planned":
                raise PlannedExit
        except trio.Cancelled:
            self.note(f"stop {name}")
            seconds = self.script.stopping(name)
            if seconds:
                with trio.CancelScope(shield=True):
                    await trio.sleep(seconds)
            raise
        finally:
            self.note(f"end {name}")

    def spec(self, child: ModelChild) -> ChildSpec:
        """Return the specification of what the model takes for this child."""
        if not child.below:
            return ChildSpec(
                id=child.name,
                start=self.child,
                args=(child.name,),
                restart=child.restart,
                shutdown=child.shutdown,
                backoff=child.backoff,
            )
        leaves = [self.spec(leaf) for leaf in child.below]
        return supervisor_spec(
            child.name, leaves, restart=child.restart, within=WITHIN, rng=self.script.rng, **child.options
        )


class Supervision(RuleBasedStateMachine):
    """Does the same to both."""

    @initialize(strategy=STRATEGIES, limit=st.sampled_from([2, 4]), seed=st.integers(0, 3))
    def begin(self, strategy: str, limit: int, seed: int) -> None:
        """Open both."""
        self.calls = 0
        self.asked = False  # whether anybody waited for a start before the latest rule
        self.world = World(seed)
        self.script = self.world.script
        self.model = Model(self.world, strategy, limit, WITHIN)
        self.stage = Stage(strategy, limit, seed)

    def teardown(self) -> None:
        """Stop both, and compare that too."""
        if hasattr(self, "stage"):
            self.model.stop()
            self.world.run_until(math.inf)
            self.stage.close()
            assert self.stage.script.results == self.script.results
            assert sorted(self.stage.script.log) == sorted(self.script.log)

    def alive(self) -> bool:
        """Tell whether the supervisor has not given up, or not yet stopped."""
        return hasattr(self, "model") and not self.model.over

    def label(self, what: str) -> str:
        """Return a name for a management call."""
        self.calls += 1
        return f"{self.calls} {what}"

    def plan(self, name: str, outcomes: list[str], slow: float | None = None) -> None:
        """Write the same into both scripts."""
        for script in (self.script, self.stage.script):
            script.outcomes[name] = list(outcomes)
            if slow is not None:
                script.slow[name] = slow

    def leaves(self, phase: str) -> dict[str, tuple[Model, ModelChild]]:
        """Return the leaves in that phase, that nobody has asked to stop, each with its supervisor."""
        found: dict[str, tuple[Model, ModelChild]] = {}
        todo = [self.model]
        for model in todo:
            for child in model.children:
                if child.below:
                    if child.phase in ("start", "run") and child.inner is not None:
                        todo.append(child.inner)
                elif child.phase == phase and not child.leaving:
                    found[child.name] = (model, child)
        return found

    @precondition(alive)
    @rule(
        name=LEAVES,
        restart=RESTARTS,
        shutdown=SHUTDOWNS,
        jitter=st.sampled_from([None, "none", "full"]),
        outcomes=OUTCOMES,
        slow=SLOW,
    )
    def start_child(
        self, name: str, restart: str, shutdown: float, jitter: str | None, outcomes: list[str], slow: float
    ) -> None:
        """Start a leaf."""
        if self.model.find(name) is None:
            self.plan(name, outcomes, slow)
        self.start(ModelChild(name, restart, shutdown, backoff(name, jitter)))

    @precondition(alive)
    @rule(
        restart=RESTARTS,
        strategy=STRATEGIES,
        limit=st.integers(0, 2),
        jitters=st.lists(st.sampled_from([None, "none", "full"]), min_size=3, max_size=3),
        outcomes=st.lists(OUTCOMES, min_size=2, max_size=2),
        slow=st.lists(SLOW, min_size=2, max_size=2),
        shutdowns=st.lists(SHUTDOWNS, min_size=2, max_size=2),
        below=RESTARTS,
    )
    def start_supervisor(
        self,
        restart: str,
        strategy: str,
        limit: int,
        jitters: list[str | None],
        outcomes: list[list[str]],
        slow: list[float],
        shutdowns: list[float],
        below: str,
    ) -> None:
        """Start a supervisor of two."""
        if self.model.find("s") is None:
            for name, comes, seconds in zip("xy", outcomes, slow, strict=True):
                self.plan(name, comes, seconds)
        if jitters[:2] == [None, None]:
            jitters[1] = "none"  # two children with the supervisor's delays might restart at the same moment
        leaves = [
            ModelChild(name, kind, shutdown, backoff(name, jitter))
            for name, kind, shutdown, jitter in zip("xy", ("permanent", below), shutdowns, jitters, strict=False)
        ]
        options = {"strategy": strategy, "max_restarts": limit, "backoff": backoff("s", jitters[2])}
        self.start(ModelChild("s", restart, math.inf, None, leaves, options))

    def start(self, child: ModelChild) -> None:
        """Start a child."""
        label = self.label(f"start {child.name}")
        spec = self.stage.spec(child)
        self.model.start(label, child)
        self.stage.do(lambda: self.stage.call(label, self.stage.supervisor.start_child, spec))

    @precondition(lambda self: self.alive() and self.leaves("run"))
    @rule(
        data=st.data(),
        how=st.sampled_from(["crash", "crash", "crash", "normal", "planned"]),
        outcomes=OUTCOMES,
        slow=SLOW,
    )
    def end(self, data: st.DataObject, how: str, outcomes: list[str], slow: float) -> None:
        """A running leaf ends by itself."""
        name = data.draw(st.sampled_from(sorted(self.leaves("run"))))
        model, child = self.leaves("run")[name]
        self.plan(name, outcomes, slow)
        self.world.note(f"end {name}")
        model.exited(child, how)
        self.stage.do(lambda: self.stage.order(name, how))

    @precondition(lambda self: self.alive() and self.leaves("start"))
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "ok", "fail", "ignore"]))
    def release(self, data: st.DataObject, outcome: str) -> None:
        """A start that hangs comes to its end."""
        name = data.draw(st.sampled_from(sorted(self.leaves("start"))))
        model, child = self.leaves("start")[name]
        model.outcome(child, outcome)
        self.stage.do(lambda: self.stage.release(name, outcome))

    @precondition(alive)
    @rule(name=ALL)
    def terminate(self, name: str) -> None:
        """``terminate_child``."""
        label = self.label(f"terminate {name}")
        self.model.terminate(label, name)
        self.stage.do(lambda: self.stage.call(label, self.stage.supervisor.terminate_child, name))

    @precondition(alive)
    @rule(name=ALL, outcomes=OUTCOMES)
    def restart(self, name: str, outcomes: list[str]) -> None:
        """``restart_child``."""
        child = self.model.find(name)
        if child is not None and child.status == "stopped" and not child.below:
            self.plan(name, outcomes)
        label = self.label(f"restart {name}")
        self.model.restart(label, name)
        self.stage.do(lambda: self.stage.call(label, self.stage.supervisor.restart_child, name))

    @precondition(alive)
    @rule(name=ALL)
    def delete(self, name: str) -> None:
        """``delete_child``."""
        label = self.label(f"delete {name}")
        self.model.delete(label, name)
        self.stage.do(lambda: self.stage.call(label, self.stage.supervisor.delete_child, name))

    @precondition(lambda self: self.alive() and self.model.waiting())
    @rule(data=st.data())
    def cancel_call(self, data: st.DataObject) -> None:
        """Whoever waits for a start or a stop is cancelled."""
        label = data.draw(st.sampled_from(self.model.waiting()))
        self.model.cancel_call(label)
        self.stage.do(lambda: self.stage.cancel_call(label))

    @precondition(lambda self: hasattr(self, "model"))
    @rule(seconds=PAUSES)
    def pass_time(self, seconds: float) -> None:
        """Delays and stops come to their end, restarts leave the window, children become stable."""
        until = self.world.now + seconds
        self.world.run_until(until)
        self.stage.do(lambda: self.stage.wait(until))

    @invariant()
    def same(self) -> None:
        """Both have the same children in the same states, did the same at the same times, and answered the same."""
        if not hasattr(self, "model"):
            return
        self.world.run_until(self.world.now)  # who is given no time to stop is late at once
        assert self.stage.gave_up == self.model.over
        theirs = [(child.id, str(child.status)) for child in reversed(self.stage.supervisor.which_children())]
        assert theirs == [(child.name, child.status) for child in self.model.children]
        assert self.stage.script.results == self.script.results
        # Starts that somebody asked for run side by side with others, and a supervisor that stops calls off starts
        # while it stops its newest child: then only what happened is fixed, not in which order.
        asked = any(child.asked for child in self.model.children)
        loose = asked or self.asked or self.model.dead
        self.asked = asked

        def arranged(log: list[tuple[float, str]]) -> list[tuple[float, str]]:
            crowded = self.world.crowded
            return sorted(log) if loose else sorted(log, key=lambda note: (note[0], note[1] * (note[0] in crowded)))

        assert arranged(self.stage.script.log) == arranged(self.script.log)
        self.stage.script.log.clear()
        self.script.log.clear()


TestSupervision = Supervision.TestCase
TestSupervision.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,  # the first example pays for imports
    suppress_health_check=[HealthCheck.too_slow],  # a loaded machine is no failure
)
