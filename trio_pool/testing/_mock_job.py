"""What a worker in memory keeps of a request it has taken up, and the words it has for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

from .. import Exited
from ._mock_script import Plan

if TYPE_CHECKING:
    from ._mock_commands import Invocation
    from ._mock_script import ReceivedCommand


@attrs.define(eq=False)
class Job:
    """A request that a worker has taken up."""

    received: ReceivedCommand
    plan: Plan = attrs.field(factory=Plan)
    invocation: Invocation | None = None
    refusal: Exception | None = None
    session_used: bool = False
    together: bool = False  # async: beside others
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    task: trio.lowlevel.Task | None = None
    cancelled: bool = False  # nobody waits for it any more
    told: bool = False  # and it knows
    interrupted: bool = False  # and was not asked


def exited(exc: SystemExit | BaseExceptionGroup[SystemExit]) -> Exited:
    """Return how a worker ends that a command told to exit."""
    if isinstance(exc, BaseExceptionGroup):
        return exited(exc.exceptions[0])
    code = exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 1
    return Exited(code & 0xFF)


def init_error(message: str) -> dict[str, str]:
    """Return the error of an application that cannot be loaded."""
    trace = f"Traceback (most recent call last):\n  (the application of a MockPort)\nRuntimeError: {message}\n"
    return {"kind": "init", "type": "RuntimeError", "message": message, "traceback": trace}
