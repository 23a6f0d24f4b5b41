"""OTP's supervisor as a model: a plain sequential program, written from its rules and not from ours.

It starts and stops children by noting that in a log, and takes no time. What it has beyond OTP is what ours promises
where OTP would stand still: while a child hangs in its start, everything else goes on.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Script:
    """What the children will do at their next starts, and what has happened."""

    def __init__(self) -> None:
        self.outcomes: defaultdict[str, list[str]] = defaultdict(list)
        self.log: list[str] = []

    def next(self, name: str) -> str:
        """Return what the next start of this child comes to."""
        outcomes = self.outcomes[name]
        return outcomes.pop(0) if outcomes else "ok"


class ModelChild:
    """One child; ``below`` are the leaves it supervises, if it is a supervisor."""

    def __init__(self, name: str, restart: str, below: Sequence[str] = (), strategy: str = "one_for_one") -> None:
        self.name = name
        self.restart = restart
        self.below = below
        self.strategy = strategy
        self.state = "waiting"
        self.asked = True
        self.established = False
        self.inner: Model | None = None

    @property
    def status(self) -> str:
        """Its state in the words of ours."""
        if self.state in ("waiting", "hanging"):
            return "starting" if self.asked else "restarting"
        return self.state


class Model:
    """One supervisor."""

    def __init__(self, script: Script, strategy: str, limit: int, within: float) -> None:
        self.script = script
        self.strategy = strategy
        self.limit = limit
        self.within = within
        self.children: list[ModelChild] = []
        self.todo: list[ModelChild] = []
        self.charged: list[float] = []
        self.results: dict[str, str] = {}
        self.dead = False

    def find(self, name: str) -> ModelChild | None:
        """Return the child of that id."""
        return next((child for child in self.children if child.name == name), None)

    # --------------------------------------------------------------------------------------------- management calls

    def start(self, child: ModelChild, now: float) -> None:
        """``start_child``; the result stands in ``results`` when there is one."""
        present = self.find(child.name)
        if present is not None:
            self.results[child.name] = "already_started" if present.state == "running" else "already_present"
            return
        self.children.append(child)
        self.begin(child, now)

    def restart(self, name: str, now: float) -> None:
        """``restart_child``."""
        child = self.find(name)
        if child is None or child.state != "stopped":
            self.results[name] = self.refusal(child)
        else:
            self.begin(child, now)

    def delete(self, name: str) -> str:
        """``delete_child``."""
        child = self.find(name)
        if child is None or child.state != "stopped":
            return self.refusal(child)
        self.children.remove(child)
        return "ok"

    def terminate(self, name: str, now: float) -> str:
        """``terminate_child``."""
        child = self.find(name)
        if child is None:
            return "not_found"
        if child.state != "stopped":
            self.halt(child)
            if child.asked:
                self.results[name] = "terminated"
            self.settle(child)
            self.proceed(now)
        return "ok"

    def refusal(self, child: ModelChild | None) -> str:
        """Return why a call that wants a stopped child is refused."""
        if child is None:
            return "not_found"
        return "running" if child.state == "running" else "restarting"

    def begin(self, child: ModelChild, now: float) -> None:
        """Put a start somebody waits for on the list."""
        child.state, child.asked = "waiting", True
        self.put(child)
        self.proceed(now)

    # ------------------------------------------------------------------------------------------------------ the rules

    def exited(self, child: ModelChild, reason: str, now: float) -> None:
        """A child ended by itself, or its restart failed."""
        again = child.restart == "permanent" or (child.restart == "transient" and reason != "normal")
        if not again:
            self.settle(child)
            return
        if reason != "planned":
            self.charged = [then for then in self.charged if then >= now - self.within] + [now]
            if len(self.charged) > self.limit:
                self.settle(child)
                self.die()
                return
        child.state = "waiting"
        affected = {"one_for_one": [child], "one_for_all": self.children}.get(
            self.strategy, self.children[self.children.index(child) :]
        )
        affected = list(affected)
        for other in reversed(affected):
            if other is not child:
                self.halt(other)
        for other in affected:
            if other.restart == "temporary" and not other.asked:
                self.settle(other)
            else:
                other.state = "waiting"
                self.put(other)

    def proceed(self, now: float) -> None:
        """Start whatever can be started, the oldest first."""
        while not self.dead and (child := next(filter(self.free, self.todo), None)) is not None:
            self.todo.remove(child)
            outcome = self.launch(child, now)
            if outcome == "hang":
                child.state = "hanging"
            elif outcome == "ok":
                self.came_up(child)
            elif outcome == "ignore":
                child.established = True
                self.answer(child, "ok")
                self.settle(child)
            elif child.asked:
                self.answer(child, "failed")
                self.settle(child)
            else:
                self.exited(child, "crash", now)

    def free(self, child: ModelChild) -> bool:
        """Tell whether nobody before it hangs in a restart that it has to wait for."""
        if self.strategy == "one_for_one":
            return True
        before = self.children[: self.children.index(child)]
        return not any(other.state == "hanging" and not other.asked for other in before)

    def came_up(self, child: ModelChild) -> None:
        """A start succeeded."""
        child.state, child.established = "running", True
        if not child.below:
            self.script.log.append(f"up {child.name}")
        self.answer(child, "ok")
        child.asked = False

    def answer(self, child: ModelChild, result: str) -> None:
        """Tell the starter, if there is one."""
        if child.asked:
            self.results[child.name] = result

    def put(self, child: ModelChild) -> None:
        """Put a child on the list of those to be started, in start order."""
        if child not in self.todo:
            self.todo.append(child)
        self.todo.sort(key=self.children.index)

    def settle(self, child: ModelChild) -> None:
        """A child has ended for good."""
        child.state, child.asked = "stopped", False
        if child in self.todo:
            self.todo.remove(child)
        if child.restart == "temporary" or not child.established:
            self.children.remove(child)

    def die(self) -> None:
        """Stop everything, the newest first."""
        self.dead = True
        for child in reversed(list(self.children)):
            if child.asked:
                self.results[child.name] = "closed"
            self.halt(child)
            if child.state != "stopped":
                self.settle(child)

    # ----------------------------------------------------------------------------------------- what is done to children

    def launch(self, child: ModelChild, now: float) -> str:
        """Start a child; return what came of it."""
        if not child.below:
            self.script.log.append(f"start {child.name}")
            outcome = self.script.next(child.name)
            if outcome in ("fail", "ignore"):
                self.script.log.append(f"end {child.name}")
            return outcome
        inner = child.inner = Model(self.script, child.strategy, 1, 5.0)
        for name in child.below:
            inner.start(ModelChild(name, "permanent"), now)
            if inner.results.get(name) == "failed":
                inner.die()
                return "fail"
        return "ok"

    def halt(self, child: ModelChild) -> None:
        """Stop a child, be it running or starting."""
        if child.state in ("running", "hanging"):
            if child.inner is not None:
                child.inner.die()
            else:
                self.script.log.append(f"end {child.name}")
