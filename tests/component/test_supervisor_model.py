"""Supervisors beside a model of OTP's: whatever is done to both, they do the same.

The number of examples is the profile's: few in a usual run, 2000 with ``TRIO_POOL_EXAMPLES=2000``.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import trio
import trio.testing
from _children import Crash
from _otp_model import Model, ModelChild, Script
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trio_pool import (
    ChildError,
    ChildSpec,
    IgnoreStart,
    PlannedExit,
    RestartIntensityExceeded,
    Supervisor,
    open_supervisor,
    supervisor_spec,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

EXAMPLES = int(os.environ.get("TRIO_POOL_EXAMPLES", "60"))
LIMIT, WITHIN = 2, 5.0
NAMES = st.sampled_from("abcd")
RESTARTS = st.sampled_from(["permanent", "transient", "temporary"])
STRATEGIES = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])
PERIOD = 2.5
"""Seconds that pass at a time: two of them are the window, to the edge, and a third is outside."""


class Stage:
    """The real thing: a supervisor under Trio in a thread of its own, so that each rule may run it a little further."""

    def __init__(self, strategy: str) -> None:
        self.script = Script()
        self.orders: dict[str, trio.MemorySendChannel[str]] = {}
        self.hanging: dict[str, trio.Event] = {}
        self.results: dict[str, str] = {}
        self.gave_up = False
        self.clock = trio.testing.MockClock()
        self.supervisor: Supervisor
        self._strategy = strategy
        self._ready: queue.SimpleQueue[trio.lowlevel.TrioToken] = queue.SimpleQueue()
        self._thread = threading.Thread(target=lambda: trio.run(self._main, clock=self.clock))
        self._thread.start()
        self._token = self._ready.get()

    async def _main(self) -> None:
        self._over = trio.Event()
        async with trio.open_nursery() as self._calls:
            try:
                async with open_supervisor(self._strategy, max_restarts=LIMIT, within=WITHIN) as self.supervisor:
                    self._ready.put(trio.lowlevel.current_trio_token())
                    await self._over.wait()
            except RestartIntensityExceeded:
                self.gave_up = True
            await self._over.wait()

    def close(self) -> None:
        """End the run and the thread."""
        trio.from_thread.run_sync(self._over.set, trio_token=self._token)
        self._thread.join()

    def do(self, action: Callable[[], Awaitable[object]]) -> None:
        """Do something and let everything happen that follows from it."""

        async def play() -> None:
            await action()
            await trio.testing.wait_all_tasks_blocked()

        trio.from_thread.run(play, trio_token=self._token)

    async def call(self, name: str, method: Callable[..., Awaitable[object]], argument: object) -> None:
        """Make a management call that may take long, in the background."""

        async def make() -> None:
            try:
                await method(argument)
                self.results[name] = "ok"
            except ChildError as exc:
                self.results[name] = "failed" if exc.reason == "failed_to_start_child" else exc.reason
            except Crash:
                self.results[name] = "failed"

        self._calls.start_soon(make)
        await trio.lowlevel.checkpoint()

    async def order(self, name: str, what: str) -> None:
        """Tell a running child what to do."""
        await self.orders[name].send(what)

    async def release(self, name: str) -> None:
        """Let a hanging start come to its end."""
        self.hanging.pop(name).set()
        await trio.lowlevel.checkpoint()

    async def wait(self) -> None:
        """Let time pass."""
        self.clock.jump(PERIOD)
        await trio.lowlevel.checkpoint()

    async def child(self, name: str, *, task_status: trio.TaskStatus[None]) -> None:
        """Be a child: do what the script says at the start, then what one is told."""
        log = self.script.log
        log.append(f"start {name}")
        try:
            outcome = self.script.next(name)
            if outcome == "fail":
                raise Crash
            if outcome == "ignore":
                raise IgnoreStart
            if outcome == "hang":
                self.hanging[name] = trio.Event()
                await self.hanging[name].wait()
            self.orders[name], orders = trio.open_memory_channel[str](0)
            log.append(f"up {name}")
            task_status.started()
            what = await orders.receive()
            if what == "crash":
                raise Crash
            if what == "planned":
                raise PlannedExit
        finally:
            log.append(f"end {name}")

    def spec(self, child: ModelChild) -> ChildSpec:
        """Return the specification of what the model takes for this child."""
        if not child.below:
            return ChildSpec(id=child.name, start=self.child, args=(child.name,), restart=child.restart)
        leaves = [ChildSpec(id=name, start=self.child, args=(name,)) for name in child.below]
        return supervisor_spec(child.name, leaves, child.strategy, restart=child.restart, max_restarts=1, within=WITHIN)


class Supervision(RuleBasedStateMachine):
    """Does the same to both."""

    @initialize(strategy=STRATEGIES)
    def begin(self, strategy: str) -> None:
        """Open both."""
        self.now = 0.0
        self.asked = False  # whether anybody waited for a start before the latest rule
        self.script = Script()
        self.model = Model(self.script, strategy, LIMIT, WITHIN)
        self.stage = Stage(strategy)

    def teardown(self) -> None:
        """Close the real one."""
        if hasattr(self, "stage"):
            self.stage.close()

    def alive(self) -> bool:
        """Tell whether the supervisor has not given up."""
        return hasattr(self, "model") and not self.model.dead

    def plan(self, name: str, outcomes: list[str]) -> None:
        """Write the same into both scripts."""
        self.script.outcomes[name] = list(outcomes)
        self.stage.script.outcomes[name] = list(outcomes)

    def running(self) -> dict[str, tuple[Model, ModelChild, ModelChild | None]]:
        """Return the running leaves, each with its supervisor and the child that one is."""
        found: dict[str, tuple[Model, ModelChild, ModelChild | None]] = {}
        for child in self.model.children:
            if child.state == "running":
                if child.inner is None:
                    found[child.name] = (self.model, child, None)
                else:
                    found |= {leaf.name: (child.inner, leaf, child) for leaf in child.inner.children}
        return found

    @precondition(alive)
    @rule(
        name=NAMES, restart=RESTARTS, outcomes=st.lists(st.sampled_from(["ok", "fail", "ignore", "hang"]), max_size=2)
    )
    def start_child(self, name: str, restart: str, outcomes: list[str]) -> None:
        """Start a leaf."""
        if name not in self.script.outcomes or not self.script.outcomes[name]:
            self.plan(name, outcomes)
        self.start(ModelChild(name, restart))

    @precondition(alive)
    @rule(restart=RESTARTS, strategy=STRATEGIES, outcomes=st.lists(st.sampled_from(["ok", "fail"]), max_size=2))
    def start_supervisor(self, restart: str, strategy: str, outcomes: list[str]) -> None:
        """Start a supervisor of two."""
        self.plan("y", outcomes)
        self.start(ModelChild("s", restart, "xy", strategy))

    def start(self, child: ModelChild) -> None:
        """Start a child."""
        self.forget(child.name)
        spec = self.stage.spec(child)
        self.model.start(child, self.now)
        self.stage.do(lambda: self.stage.call(child.name, self.stage.supervisor.start_child, spec))

    def forget(self, name: str) -> None:
        """Forget how the last call came out, unless it is still under way."""
        self.model.results.pop(name, None)
        self.stage.results.pop(name, None)

    @precondition(lambda self: self.alive() and self.running())
    @rule(
        data=st.data(),
        how=st.sampled_from(["crash", "crash", "normal", "planned"]),
        outcomes=st.lists(st.sampled_from(["fail", "ok", "hang", "ignore"]), max_size=2),
    )
    def end(self, data: st.DataObject, how: str, outcomes: list[str]) -> None:
        """A running leaf ends by itself."""
        name = data.draw(st.sampled_from(sorted(self.running())))
        supervisor, child, above = self.running()[name]
        if above is None:
            self.plan(name, outcomes)
        self.script.log.append(f"end {name}")
        supervisor.exited(child, how, self.now)
        supervisor.proceed(self.now)
        if above is not None and supervisor.dead:
            self.model.exited(above, "normal", self.now)  # it gave up
            self.model.proceed(self.now)
        self.stage.do(lambda: self.stage.order(name, how))

    @precondition(alive)
    @rule(name=st.sampled_from("abcds"))
    def terminate(self, name: str) -> None:
        """``terminate_child``."""
        expected = self.model.terminate(name, self.now)
        self.stage.do(lambda: self.stage.call("terminate", self.stage.supervisor.terminate_child, name))
        assert self.stage.results.pop("terminate") == expected

    @precondition(alive)
    @rule(
        name=st.sampled_from("abcds"), outcomes=st.lists(st.sampled_from(["ok", "fail", "ignore", "hang"]), max_size=2)
    )
    def restart(self, name: str, outcomes: list[str]) -> None:
        """``restart_child``."""
        child = self.model.find(name)
        if child is not None and child.state == "stopped" and not child.below:
            self.plan(name, outcomes)
        if child is None or child.state in ("running", "stopped"):
            self.forget(name)
            self.model.restart(name, self.now)
            self.stage.do(lambda: self.stage.call(name, self.stage.supervisor.restart_child, name))
        else:  # the other call is still under way and has the result's place
            self.stage.do(lambda: self.stage.call("restart", self.stage.supervisor.restart_child, name))
            assert self.stage.results.pop("restart") == "restarting"

    @precondition(alive)
    @rule(name=st.sampled_from("abcds"))
    def delete(self, name: str) -> None:
        """``delete_child``."""
        expected = self.model.delete(name)
        self.stage.do(lambda: self.stage.call("delete", self.stage.supervisor.delete_child, name))
        assert self.stage.results.pop("delete") == expected

    @precondition(lambda self: self.alive() and any(child.state == "hanging" for child in self.model.children))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A start that hangs comes to its end."""
        hanging = {child.name: child for child in self.model.children if child.state == "hanging"}
        child = hanging[data.draw(st.sampled_from(sorted(hanging)))]
        self.model.came_up(child)
        self.model.proceed(self.now)
        self.stage.do(lambda: self.stage.release(child.name))

    @precondition(lambda self: hasattr(self, "model"))
    @rule()
    def pass_time(self) -> None:
        """Restarts leave the window."""
        self.now += PERIOD
        self.stage.do(self.stage.wait)

    @invariant()
    def same(self) -> None:
        """Both have the same children in the same states, did the same, and gave the same answers."""
        if not hasattr(self, "model"):
            return
        assert self.stage.gave_up == self.model.dead
        theirs = [(child.id, str(child.status)) for child in reversed(self.stage.supervisor.which_children())]
        assert theirs == [(child.name, child.status) for child in self.model.children]
        assert self.stage.results == self.model.results
        # Starts that somebody asked for run side by side with others, and a supervisor that stops calls off starts
        # while it stops its newest child: then only what happened is fixed, not in which order.
        asked = any(child.asked for child in self.model.children)
        arrange = sorted if asked or self.asked or self.model.dead else list
        self.asked = asked
        assert arrange(self.stage.script.log) == arrange(self.script.log)
        self.stage.script.log.clear()
        self.script.log.clear()


TestSupervision = Supervision.TestCase
TestSupervision.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,  # the first example pays for imports
    suppress_health_check=[HealthCheck.too_slow],  # a loaded machine is no failure
)
