"""What a `MockPort` was told to expect and to get wrong. No IO, no clock."""

from __future__ import annotations

import reprlib
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Which: TypeAlias = int | str | None
"""Which workers something is about: an incarnation, a worker id (in a pool, a slot's), or all."""

_SHOWN: Final = 10  # commands listed by a failed verification: enough to see what happened around it


@attrs.frozen(kw_only=True)
class ReceivedCommand:
    """A command that reached a worker of a `MockPort`.

    Args:
        worker_id: The worker.
        incarnation: Its incarnation.
        wire_id: The request's id on the wire.
        command: The command's name.
        args: Its arguments as they arrived.
        session: The session it is for, or None.
        at: When, on Trio's clock.

    .. versionadded:: 0.1
    """

    worker_id: str
    incarnation: int
    wire_id: int
    command: str
    args: Mapping[str, Any]
    session: str | None
    at: float

    def __str__(self) -> str:
        session = "" if self.session is None else f" in session {self.session!r}"
        return f"{self.command} {_short(self.args)}{session} on {self.worker_id} (incarnation {self.incarnation})"


class CrashPoint(StrEnum):
    """When a worker of a `MockPort` dies of a command."""

    READ = "read"
    """It has read the command, and not begun it: the pool gives it to another worker."""
    BEGUN = "begun"
    """It has begun the command, and not answered."""
    REPLY = "reply"
    """It has answered; the reply outlives it."""


@attrs.frozen
class Crash:
    """The worker is ended by a signal."""

    sig: int
    after: CrashPoint = attrs.field(converter=CrashPoint)


@attrs.frozen
class Garbage:
    """These bytes are sent in place of a reply."""

    data: bytes


@attrs.frozen
class Delay:
    """The command takes so much longer, or as much as a function of it says; unless it is healed meanwhile."""

    seconds: float | Callable[[ReceivedCommand], float]


@attrs.frozen
class SpawnFailure:
    """The worker cannot be started."""

    error: OSError


@attrs.frozen
class InitFailure:
    """The worker cannot load its application."""

    message: str


Effect: TypeAlias = "Crash | Garbage | Delay | SpawnFailure | InitFailure"


@attrs.define(kw_only=True, eq=False)
class Fault:
    """An effect, and when it takes effect: on commands, or, if it is one of a start, on starts."""

    effect: Effect
    command: str | None = None
    worker: Which = None
    times: int | None  # how often it is still to happen; None: until healed


@attrs.define(kw_only=True, eq=False)
class Expectation:
    """A command that is to come, and how it is answered."""

    command: str
    result: Any = ...
    error: Exception | None = None
    args: Mapping[str, Any] | None = None
    worker: Which = None
    strict: bool = False  # nothing else may come before it
    met: bool = False

    def __str__(self) -> str:
        args = "" if self.args is None else f" {_short(self.args)}"
        return f"{self.command}{args}" + ("" if self.worker is None else f" on {self.worker}")


@attrs.define(kw_only=True)
class Plan:
    """What a worker is to do about one command."""

    expected: Expectation | None = None
    violation: str | None = None
    delay: float = 0.0
    garbage: Garbage | None = None
    crash: Crash | None = None

    def dies_after(self, point: CrashPoint) -> bool:
        """Tell whether the worker dies at this point."""
        return self.crash is not None and self.crash.after is point


class Script:
    """The expectations and faults of one port, and what came instead."""

    def __init__(self) -> None:
        self.history: list[ReceivedCommand] = []
        self._expectations: list[Expectation] = []
        self._violations: list[str] = []
        self._faults: list[Fault] = []
        self.healed = trio.Event()
        """Set when the faults that are in force, and delays that have begun, are taken back; then there is another."""

    def expect(self, *expectations: Expectation) -> None:
        """Add expectations, to be met in this order, after those added before."""
        self._expectations += expectations

    def add(self, fault: Fault) -> None:
        """Put a fault in force.

        Raises:
            ValueError: It would never happen.
        """
        if fault.times is not None and fault.times < 1:
            raise ValueError(f"times must be at least 1 or None, not {fault.times!r}")
        self._faults.append(fault)

    def heal(self) -> None:
        """Take all faults back, and let what they hold up go on."""
        self._faults.clear()
        self.healed.set()
        self.healed = trio.Event()

    def start(self, worker_id: str, incarnation: int, kind: type[SpawnFailure | InitFailure]) -> Effect | None:
        """Return the fault of this kind that this start suffers, if it does."""
        for fault in self._faults:
            if isinstance(fault.effect, kind) and _concerns(fault.worker, worker_id, incarnation):
                self._use(fault)
                return fault.effect
        return None

    def receive(self, received: ReceivedCommand) -> Plan:
        """Take note of a command and decide what becomes of it."""
        self.history.append(received)
        plan = Plan()
        self._match(received, plan)
        for fault in tuple(self._faults):
            if fault.command not in (None, received.command):
                continue
            if not _concerns(fault.worker, received.worker_id, received.incarnation):
                continue
            match fault.effect:
                case Delay():
                    seconds = fault.effect.seconds
                    plan.delay += seconds(received) if callable(seconds) else seconds
                case Garbage() if plan.garbage is None:
                    plan.garbage = fault.effect
                case Crash() if plan.crash is None:
                    plan.crash = fault.effect
                case _:  # a fault of starts, or one behind another of its kind, which waits for its turn
                    continue
            self._use(fault)
        return plan

    def problems(self) -> list[str]:
        """Return what differs from the expectations, one line each."""
        unmet = [f"expected and not seen: {each}" for each in self._expectations if not each.met]
        return [*self._violations, *unmet]

    def report(self) -> str:
        """Return the problems and the commands seen last."""
        seen = [f"  {received}" for received in self.history[-_SHOWN:]]
        older = len(self.history) - len(seen)
        before = [f"  ({older} before these)"] if older > 0 else []
        return "\n".join(
            [
                "a MockPort saw other commands than were expected:",
                *(f"  {problem}" for problem in self.problems()),
                "seen:",
                *before,
                *(seen or ["  nothing"]),
            ]
        )

    def _match(self, received: ReceivedCommand, plan: Plan) -> None:
        pending = [
            each
            for each in self._expectations
            if not each.met and _concerns(each.worker, received.worker_id, received.incarnation)
        ]
        if not pending:
            return
        first = pending[0]
        found = next((each for each in pending if each.command == received.command), None)
        if first.strict and found is not first:
            # A worker's end is no part of any sequence: what of it is unmet by then is reported as that.
            if received.command != "shutdown":
                plan.violation = f"expected next: {first}; seen: {received}"
        elif found is not None:
            if found is not first:
                self._violations.append(f"out of order: expected first: {first}; seen: {received}")
            if found.args is not None and dict(found.args) != dict(received.args):
                plan.violation = f"expected {found}; seen: {received}"
            found.met = True
            plan.expected = found
        if plan.violation is not None:
            self._violations.append(plan.violation)

    def _use(self, fault: Fault) -> None:
        if fault.times is not None:
            fault.times -= 1
            if not fault.times:
                self._faults.remove(fault)


def _concerns(which: Which, worker_id: str, incarnation: int) -> bool:
    return which is None or which == (worker_id if isinstance(which, str) else incarnation)


def _short(args: Mapping[str, Any]) -> str:
    return reprlib.repr(dict(args))
