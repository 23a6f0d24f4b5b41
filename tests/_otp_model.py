"""OTP's supervisor as a model: a sequential program with an agenda, written from its rules and not from ours.

Its children start and stop by noting that, with the time, in a log; a stop may take time, and a start may hang until it
is released. What it has beyond OTP is what ours promises where OTP would stand still: while a child hangs in its start,
waits for its delay or is slow to stop, everything else goes on, and the calls of the table meet it in that state.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from _otp_world import World

    from trio_pool import Backoff

RESET_AFTER = 5.0
LEAST_PATIENCE = 1.0  # what a supervisor is given to stop, however little its children may take


@attrs.define(eq=False)
class ModelChild:
    """One child; ``below`` are the leaves it supervises, if it is a supervisor."""

    name: str
    restart: str = "permanent"
    shutdown: float | Literal["brutal_kill"] = 5.0
    backoff: Backoff | None = None
    below: Sequence[ModelChild] = ()
    options: dict[str, Any] = attrs.field(factory=dict)

    phase: str = "idle"  # or "delay", "start", "run"
    leaving: bool = False  # asked to stop, and not ended
    wanted: bool = False  # to be started, once nothing is in the way
    must_go: bool = False  # in the way of a restart
    asked: bool = False  # somebody waits for its start
    called_off: bool = False  # and will not get it
    unwanted: bool = False  # its starter went away
    keep: bool = False  # and wanted it started again, not for the first time
    established: bool = False
    starter: str = ""
    stoppers: list[str] = attrs.field(factory=list)
    not_before: float = 0.0
    attempts: int = 0
    up_since: float = math.inf
    incarnation: int = 0
    inner: Model | None = None

    @property
    def status(self) -> str:
        """Its state in the words of ours."""
        if self.leaving:
            return "stopping"
        if self.phase == "run":
            return "running"
        if self.phase == "idle" and not self.wanted:
            return "stopped"
        return "starting" if self.asked else "restarting"

    @property
    def forsaken(self) -> bool:
        """Whether nobody has a handle to it."""
        return self.unwanted and not self.keep

    def copy(self) -> ModelChild:
        """Return it as it was specified."""
        return ModelChild(self.name, self.restart, self.shutdown, self.backoff, self.below, self.options)


class Model:
    """One supervisor."""

    def __init__(
        self, world: World, strategy: str, limit: int, within: float, over: Callable[[], None] = lambda: None
    ) -> None:
        self.world = world
        self.strategy = strategy
        self.limit = limit
        self.within = within
        self.backoff: Backoff | None = None
        self.children: list[ModelChild] = []
        self.charged: list[float] = []
        self.gave_up = False
        self.dead = False  # it has begun to stop
        self.over = False  # it has stopped
        self._tell = over
        self._loading: list[ModelChild] = []  # what is still to be started of those it begins with
        self._up: Callable[[], None]
        self._busy = False
        self._queue: list[ModelChild] = []

    def find(self, name: str) -> ModelChild | None:
        """Return the child of that id."""
        return next((child for child in self.children if child.name == name), None)

    # --------------------------------------------------------------------------------------------- management calls

    def result(self, label: str, what: str) -> None:
        """A call comes to its end."""
        self.world.script.results[label] = (what, self.world.now)

    def start(self, label: str, child: ModelChild) -> None:
        """``start_child``."""
        present = self.find(child.name)
        if self.dead:
            self.result(label, "closed")
        elif present is not None:
            self.result(label, "already_started" if present.phase == "run" or present.leaving else "already_present")
        else:
            self.children.append(child)
            self.begin(label, child)

    def restart(self, label: str, name: str) -> None:
        """``restart_child``."""
        child = self.find(name)
        if self.dead:
            self.result(label, "closed")
        elif child is None or child.status != "stopped":
            self.result(label, self.refusal(child))
        else:
            child.keep = True
            self.begin(label, child)

    def delete(self, label: str, name: str) -> None:
        """``delete_child``."""
        child = self.find(name)
        if child is None or child.status != "stopped":
            self.result(label, self.refusal(child))
        else:
            self.children.remove(child)
            self.result(label, "ok")

    def terminate(self, label: str, name: str) -> None:
        """``terminate_child``."""
        child = self.find(name)
        if child is None:
            self.result(label, "not_found")
        elif child.phase == "idle":
            self.settle(child)
            self.result(label, "ok")
        else:
            child.stoppers.append(label)
            self.call_off(child)
        self.proceed()

    def cancel_call(self, label: str) -> None:
        """Whoever made this call is cancelled."""
        for child in list(self.children):
            if child.starter == label:
                child.unwanted = True
                if child.phase == "idle":
                    self.settle(child)
                else:
                    self.call_off(child)
                break
            if label in child.stoppers:
                child.stoppers.remove(label)
                self.result(label, "cancelled")
        self.proceed()

    def waiting(self) -> list[str]:
        """Return the calls that have not come to their end."""
        starters = [child.starter for child in self.children if child.starter and not child.unwanted]
        return starters + [label for child in self.children for label in child.stoppers]

    def refusal(self, child: ModelChild | None) -> str:
        """Return why a call that wants a stopped child is refused."""
        if child is None:
            return "not_found"
        return "running" if child.phase == "run" or child.leaving else "restarting"

    def begin(self, label: str, child: ModelChild) -> None:
        """Start a child for somebody who waits for that."""
        child.wanted = child.asked = True
        child.called_off = child.unwanted = False
        child.starter = label
        self.proceed()

    def call_off(self, child: ModelChild) -> None:
        """Stop a child for good."""
        child.called_off, child.wanted = True, False
        self.stop_child(child)

    # ------------------------------------------------------------------------------------------------------ the rules

    def exited(self, child: ModelChild, reason: str) -> None:
        """A child ended, or its start failed, without having been asked to stop."""
        now = self.world.now
        if child.must_go or child.leaving or self.dead:
            self.gone(child)
            return
        self.rest(child)
        again = child.restart == "permanent" or (child.restart == "transient" and reason != "normal")
        if not again:
            self.settle(child)
            self.proceed()
            return
        delay = 0.0
        if reason != "planned":
            self.charged = [then for then in self.charged if then >= now - self.within] + [now]
            if len(self.charged) > self.limit:
                self.settle(child)
                self.gave_up = True
                self.stop()
                return
            child.attempts += 1
            delay = self.delay(child)
        affected = [child]
        due = now + delay
        if self.strategy != "one_for_one":
            first = 0 if self.strategy == "one_for_all" else self.children.index(child)
            affected = self.children[first:]
            due = max(due, *(other.not_before for other in affected if other.wanted or other.phase == "delay"), 0.0)
        child.wanted = True
        for other in affected:
            other.must_go = other.phase != "idle"
            again = other.established and other.restart != "temporary" and not other.forsaken
            other.wanted = (other.asked and not other.called_off) or again
            other.not_before = due
        self.proceed()

    def delay(self, child: ModelChild) -> float:
        """Return how long its next restart waits."""
        backoff = child.backoff or self.backoff
        if backoff is None or child.attempts == 1:
            return 0.0
        plain = min(backoff.maximum, backoff.initial * backoff.factor ** (child.attempts - 2))
        return plain if backoff.jitter == "none" else self.world.script.rng.uniform(0.0, plain)

    def rest(self, child: ModelChild) -> None:
        """An incarnation is over."""
        child.phase = "idle"
        if self.world.now - child.up_since >= RESET_AFTER:
            child.attempts = 0
        child.up_since = math.inf

    def proceed(self) -> None:
        """Stop what is in the way of a restart, the newest first, then start what can be started, the oldest first."""
        if self._busy:
            return
        self._busy = True
        while not self.dead:
            going = [child for child in self.children if child.must_go]
            if going:
                self.stop_child(going[-1])
                if going[-1].must_go:
                    break
            else:
                child = next((child for child in self.children if self.free(child)), None)
                if child is None:
                    break
                self.launch(child)
        self._busy = False

    def free(self, child: ModelChild) -> bool:
        """Tell whether it is to be started, and nobody before it is in a restart that it has to wait for."""
        if not child.wanted or child.phase != "idle":
            return False
        before = self.children[: self.children.index(child)] if self.strategy != "one_for_one" else []
        return not any(
            not other.asked and (other.phase in ("delay", "start") or (other.wanted and other.phase == "idle"))
            for other in before
        )

    def launch(self, child: ModelChild) -> None:
        """Begin an incarnation."""
        child.wanted = False
        child.incarnation += 1
        incarnation = child.incarnation
        child.phase = "delay"
        if child.not_before > self.world.now:
            self.world.at(child.not_before, lambda: self.enter(child, incarnation))
        else:
            self.enter(child, incarnation)

    def enter(self, child: ModelChild, incarnation: int) -> None:
        """Its delay is over."""
        if child.phase != "delay" or child.incarnation != incarnation:
            return
        child.phase = "start"
        if child.below:
            strategy, limit = child.options["strategy"], child.options["max_restarts"]
            child.inner = Model(self.world, strategy, limit, self.within, lambda: self.exited_below(child))
            child.inner.backoff = child.options["backoff"]
            child.inner.load([leaf.copy() for leaf in child.below], lambda: self.came_up(child))
            return
        self.world.note(f"start {child.name}")
        outcome = self.world.script.next(child.name)
        if outcome != "hang":
            self.outcome(child, outcome)

    def outcome(self, child: ModelChild, outcome: str) -> None:
        """The start of a leaf comes to its end."""
        if outcome == "ok":
            self.world.note(f"up {child.name}")
            self.came_up(child)
            return
        self.world.note(f"end {child.name}")
        if outcome == "ignore":
            self.declined(child)
        else:
            self.failed(child, "crash")

    def came_up(self, child: ModelChild) -> None:
        """A start succeeded."""
        child.phase, child.established, child.up_since = "run", True, self.world.now
        self.answer(child, "ok")
        if child.must_go and child.restart == "temporary":
            child.wanted = False  # nobody waits for it any more, and a temporary sibling is not started again
        self.proceed()

    def declined(self, child: ModelChild) -> None:
        """A start was ignored."""
        if child.must_go or child.leaving or self.dead:
            self.gone(child)
            return
        child.established = True
        child.phase = "idle"
        self.answer(child, "ok")
        self.settle(child)
        self.proceed()

    def failed(self, child: ModelChild, reason: str) -> None:
        """A start failed by itself."""
        if child.asked and not (child.must_go or child.leaving or self.dead):
            child.phase = "idle"
            self.answer(child, "failed")
            self.settle(child)
            self.proceed()
        else:
            self.exited(child, reason)

    def exited_below(self, child: ModelChild) -> None:
        """A supervisor below has stopped."""
        assert child.inner is not None
        reason = "normal" if child.inner.gave_up else "crash"
        if child.phase == "start":
            self.failed(child, reason)
        else:
            self.exited(child, reason)

    def answer(self, child: ModelChild, what: str) -> None:
        """Tell its starter, if there is one."""
        if not child.asked:
            return
        child.asked = False
        if child.starter:
            self.result(child.starter, "cancelled" if child.unwanted else what)
            child.starter = ""
        elif what == "ok":
            self.load_next()
        else:
            self.stop()

    def settle(self, child: ModelChild) -> None:
        """A child has ended for good."""
        child.phase = "idle"
        child.wanted = child.must_go = child.leaving = False
        child.not_before = 0.0
        gone = child.restart == "temporary" or not child.established or child.forsaken
        if gone:
            self.children.remove(child)
        self.answer(child, "closed" if self.dead else "terminated")

    # --------------------------------------------------------------------------------------------------- its children

    def load(self, children: Iterable[ModelChild], up: Callable[[], None]) -> None:
        """Start those it begins with, one after the other."""
        self._loading = list(children)
        self._up = up
        self.load_next()

    def load_next(self) -> None:
        """Start the next of them."""
        if self.dead:
            return
        if not self._loading:
            self._up()
            return
        child = self._loading.pop(0)
        self.children.append(child)
        self.begin("", child)

    # --------------------------------------------------------------------------------------------------------- stopping

    def stop_child(self, child: ModelChild) -> None:
        """Ask a child to stop, unless it has been asked."""
        if child.leaving:
            return
        child.leaving = True
        patience, incarnation = self.patience(child), child.incarnation
        self.world.at(self.world.now + patience, lambda: self.overdue(child, incarnation, patience))
        if child.phase == "delay":
            self.gone(child)
        elif child.inner is not None:
            child.inner.stop()
        else:
            self.world.note(f"stop {child.name}")
            seconds = self.world.script.stopping(child.name)
            if seconds:
                self.world.at(self.world.now + seconds, lambda: self.stopped(child))
            else:
                self.stopped(child)

    def stopped(self, child: ModelChild) -> None:
        """A leaf that was asked to stop has."""
        self.world.note(f"end {child.name}")
        self.gone(child)

    def gone(self, child: ModelChild) -> None:
        """A child that had to end has ended."""
        self.rest(child)
        child.leaving = child.must_go = False
        for label in child.stoppers:
            self.result(label, "ok")
        child.stoppers.clear()
        if child.wanted and not self.dead:
            if child.called_off:
                self.answer(child, "terminated")
        else:
            self.settle(child)
        child.called_off = False
        self.stop_next()
        self.proceed()

    def patience(self, child: ModelChild) -> float:
        """Return the seconds after which a child that was asked to stop is overdue."""
        if child.phase in ("start", "run") and child.inner is not None:
            return max(LEAST_PATIENCE, math.fsum(map(child.inner.patience, child.inner.alive())))
        if child.below:
            return math.inf
        return 0.0 if child.shutdown == "brutal_kill" else child.shutdown

    def alive(self) -> list[ModelChild]:
        """Return the children that can be stopped, the newest first."""
        return [child for child in reversed(self.children) if child.phase != "idle"]

    def overdue(self, child: ModelChild, incarnation: int, seconds: float) -> None:
        """Its time is over."""
        if child.leaving and child.incarnation == incarnation:
            self.world.note(f"overdue {child.name} {seconds:g}")

    def stop(self) -> None:
        """Stop everything: what is starting at once, the others one at a time, the newest first."""
        if self.dead:
            return
        self.dead = True
        self._queue = self.alive()
        for child in list(self.children):
            if child.phase == "idle" and child.wanted:
                self.settle(child)
            child.wanted = child.must_go = False
        for child in self._queue:
            if child.phase in ("delay", "start"):
                self.stop_child(child)
        self.stop_next()

    def stop_next(self) -> None:
        """Stop the next of them."""
        while self.dead and not self.over:
            while self._queue and self._queue[0].phase == "idle":
                self._queue.pop(0)
            if not self._queue:
                self.over = True
                self._tell()
            elif self._queue[0].leaving:
                return
            else:
                self.stop_child(self._queue[0])
