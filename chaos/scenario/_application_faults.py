"""Faults of the application's own process: it is killed, stopped, blocked, or runs out of something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ._fault import Capability, Expectation, FaultSpec

if TYPE_CHECKING:
    from ._quantities import Bytes, Seconds

# Frozen, so that all may share it.
_NO_RESTARTS = Expectation(restarts=False)


@attrs.frozen(kw_only=True)
class AppKill(FaultSpec):
    """The application dies, and can clean nothing up."""

    kind = "app-kill"
    summary = "the application is killed by SIGKILL"
    mechanism = "It sends the signal to itself, once the history says so."
    good_pool = "Leaves nobody behind: workers and all they started are gone within a second."
    checks = ("C19",)
    needs = frozenset({Capability.APPLICATION})
    heals = False
    aims = False


@attrs.frozen(kw_only=True)
class AppStop(FaultSpec):
    """The application stands still while its workers run."""

    kind = "app-stop"
    summary = "the application is stopped, and goes on later"
    mechanism = "SIGSTOP and SIGCONT, both from the process that watches over the run."
    good_pool = "Looks at what came meanwhile before it judges anybody by the clock; restarts no worker."
    checks = ("C3", "C13", "C17")
    needs = frozenset({Capability.APPLICATION})
    heals = True
    aims = False

    hold: Seconds | None = 2.0
    expect: Expectation | None = _NO_RESTARTS


@attrs.frozen(kw_only=True)
class AppStall(FaultSpec):
    """The application blocks its own loop."""

    kind = "app-stall"
    summary = "a task of the application blocks the Trio loop"
    mechanism = "time.sleep in a Trio task."
    good_pool = "Looks at what came meanwhile before it judges anybody by the clock; restarts no worker."
    checks = ("C3", "C13", "C17")
    needs = frozenset[Capability]()
    heals = True
    aims = False

    hold: Seconds | None = 2.0
    expect: Expectation | None = _NO_RESTARTS


@attrs.frozen(kw_only=True)
class AppFdExhaustion(FaultSpec):
    """The application may open no more files, so it can start no worker.

    Args:
        spare: So many it still may.
    """

    kind = "app-fd-exhaustion"
    summary = "the application's limit of open files is lowered to what it has open"
    mechanism = (
        "setrlimit of its own soft limit; healing puts it back, in the workers that were started meanwhile too."
        " What dies while it lasts is not replaced before it is healed."
    )
    good_pool = "Serves with the workers it has, takes a start that fails for a failed start, and leaks nothing."
    checks = ("C1", "C15", "C20")
    needs = frozenset[Capability]()
    heals = True
    aims = False

    spare: int = 0
    hold: Seconds | None = 3.0


@attrs.frozen(kw_only=True)
class MemoryPressure(FaultSpec):
    """The machine has less memory to give.

    Args:
        size: So many bytes, within the scenario's budget for all faults.
    """

    kind = "memory-pressure"
    summary = "a process of the harness's own holds memory"
    mechanism = "A throw-away child, which the kernel kills first, fills its memory; healing ends it."
    good_pool = "Is slower at worst."
    checks = ("C11", "C13", "C17")
    needs = frozenset[Capability]()
    heals = True
    aims = False

    size: Bytes = 128 * 2**20
    hold: Seconds | None = 5.0
