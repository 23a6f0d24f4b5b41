"""Faults of a worker's process: how it dies, stands still, starts badly or runs out of something."""

from __future__ import annotations

import attrs

from ._fault import Capability, Death, Expectation, FaultSpec, Window

# Frozen, so that all may share it.
_NO_RESTARTS = Expectation(restarts=False)


@attrs.frozen(kw_only=True)
class Kill(FaultSpec):
    """The death of a worker.

    Args:
        death: How.
        window: At exactly which moment of a request's life; None for whenever the trigger strikes.
    """

    kind = "kill"
    summary = "a worker's process dies"
    mechanism = (
        "A signal through the launcher's handle, or the worker's own _exit; in a window, the link or the worker's agent"
        " holds the request at just that point first."
    )
    good_pool = "Notices at once, fails or re-dispatches what ran there by whether it had begun, and starts another."
    checks = ("C1", "C3", "C5", "C16", "C17")
    needs = frozenset({Capability.PIDS})
    heals = False

    death: Death = attrs.field(default=Death.KILL, converter=Death)
    window: Window | None = attrs.field(default=None, converter=attrs.converters.optional(Window))


@attrs.frozen(kw_only=True)
class Freeze(FaultSpec):
    """A worker stands still and then goes on, if it is still there."""

    kind = "freeze"
    summary = "a worker's process is stopped, and goes on later"
    mechanism = "SIGSTOP through the launcher's handle; SIGCONT heals."
    good_pool = (
        "Sits out what is shorter than its deadlines; else kills and replaces the worker, and drops late replies."
    )
    checks = ("C6", "C13", "C17")
    needs = frozenset({Capability.PIDS})
    heals = True


@attrs.frozen(kw_only=True)
class BriefFreeze(Freeze):
    """A worker stands still for less than any deadline, which is no reason to replace it."""

    kind = "brief-freeze"
    summary = "a worker's process is stopped for less than any deadline"
    good_pool = "Sits it out: a pool that kills a worker for a tenth of a second kills healthy ones."
    checks = ("C6", "C13", "C17")

    hold: float | None = 0.1
    expect: Expectation | None = _NO_RESTARTS
