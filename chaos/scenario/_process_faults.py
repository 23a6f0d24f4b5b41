"""Faults of a worker's process: how it dies, stands still, starts badly or runs out of something."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from ._fault import Capability, Death, Expectation, FaultSpec, Window

if TYPE_CHECKING:
    from ._quantities import Bytes, Seconds, Share

# Frozen, so that all may share it.
_NO_RESTARTS = Expectation(restarts=False)

_ORDERED = frozenset({Capability.PIDS, Capability.AGENT})
_LIMITED = frozenset({Capability.PIDS, Capability.PRLIMIT})


@attrs.frozen(kw_only=True)
class Kill(FaultSpec):
    """The death of a worker.

    Args:
        death: How.
        window: At exactly which moment of a request's life; None for whenever the trigger strikes. Whoever comes to it
            first dies, of the selector only ``slot`` counts.
        nth: Of a window: the nth time from the strike on that a worker comes to it, counted from 1.
    """

    kind = "kill"
    summary = "a worker's process dies"
    mechanism = (
        "A signal through the launcher's handle, or the worker's own _exit; in a window, the link or the worker's agent"
        " holds the request at just that point first. At TERM our workers finish their command and leave, and INT,"
        " which is the application's, they do not hear."
    )
    good_pool = "Notices at once, fails or re-dispatches what ran there by whether it had begun, and starts another."
    checks = ("C1", "C3", "C5", "C16", "C17")
    needs = frozenset({Capability.PIDS})
    heals = False

    death: Death = attrs.field(default=Death.KILL, converter=Death)
    window: Window | None = attrs.field(default=None, converter=attrs.converters.optional(Window))
    nth: int = attrs.field(default=1, validator=attrs.validators.ge(1))

    def __attrs_post_init__(self) -> None:
        if self.window is not None and self.death in (Death.TERM, Death.INT):
            raise ValueError(f"death: {self.death} only asks a worker to end, which is at no exact moment")

    @property
    def aims(self) -> bool:  # type: ignore[override]  # of all kills but those in a window, as of most faults
        """Whether the victim is chosen before: in a window it is whoever comes to it."""
        return self.window is None


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

    hold: Seconds | None = 0.1
    expect: Expectation | None = _NO_RESTARTS


# -- bad starts --------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class CrashOnStart(FaultSpec):
    """Workers that die before they are ready.

    Args:
        starts: So many of the next starts crash; 0 for every one until it is healed.
        death: How they die.
        exception: Whether the program's import raises instead, as that of a broken module does.
    """

    kind = "crash-on-start"
    summary = "the victims are killed, and those started next die while they start"
    mechanism = "SIGKILL, and start orders for the agent: each is claimed by one starting worker, which dies of it."
    good_pool = "Starts again with growing pauses, and gives up after as many failures as it was told, saying why."
    checks = ("C15", "C16", "C17")
    needs = _ORDERED
    heals = True

    starts: int = 1
    death: Death = attrs.field(default=Death.EXIT_3, converter=Death)
    exception: bool = False
    hold: Seconds | None = 10.0


@attrs.frozen(kw_only=True)
class CrashLoop(FaultSpec):
    """Workers that start well and die soon after.

    Args:
        starts: So many of the next starts; 0 for every one until it is healed.
        after: How long they live, counted from the end of their program's import, right after which they are ready.
        death: How they die.
    """

    kind = "crash-loop"
    summary = "the victims are killed, and those started next die soon after they are ready"
    mechanism = "SIGKILL, and start orders for the agent, which sets a timer; healing stops the timers that still run."
    good_pool = "Counts these deaths like any: a worker that was ready for a moment has not proved itself."
    checks = ("C15", "C16", "C17")
    needs = _ORDERED
    heals = True

    starts: int = 3
    after: Seconds = 0.05
    death: Death = attrs.field(default=Death.EXIT_3, converter=Death)
    hold: Seconds | None = 10.0


@attrs.frozen(kw_only=True)
class SlowStart(FaultSpec):
    """Workers that take long to start.

    Args:
        starts: So many of the next starts; 0 for every one until it is healed.
        delay: By how much later they are ready.
    """

    kind = "slow-start"
    summary = "the victims are killed, and those started next are slow to be ready"
    mechanism = "SIGKILL, and start orders for the agent, which waits; healing ends the wait."
    good_pool = "Serves with the others meanwhile, and waits as long as a start may take."
    checks = ("C15", "C17")
    needs = _ORDERED
    heals = True

    starts: int = 1
    delay: Seconds = 2.0
    hold: Seconds | None = 10.0


@attrs.frozen(kw_only=True)
class NeverReady(FaultSpec):
    """Workers that start and come to nothing.

    Args:
        starts: So many of the next starts; 0 for every one until it is healed.
        noise: So many bytes of garbage they print first.
    """

    kind = "never-ready"
    summary = "the victims are killed, and those started next are never ready"
    mechanism = "SIGKILL, and start orders for the agent, which prints garbage and then waits; healing ends the wait."
    good_pool = "Serves with the others, kills the hanging start when its time is up, and starts again."
    checks = ("C13", "C15", "C17")
    needs = _ORDERED
    heals = True

    starts: int = 1
    noise: Bytes = 0
    hold: Seconds | None = 10.0


# -- bad manners -------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class GilHog(FaultSpec):
    """A worker whose interpreter does nothing for a while, although it runs.

    Args:
        spin: Whether it computes in Python instead, which lets other threads and signals in now and then.
    """

    kind = "gil-hog"
    summary = "a worker holds the interpreter's lock in C code"
    mechanism = (
        "The agent waits in C, without giving the lock back, for a mutex that it holds itself; signals do not end that."
        " A worker that is still at it when it must heal is killed."
    )
    good_pool = "Goes by deadlines, and by SIGKILL when they have passed: SIGTERM is not heard."
    checks = ("C6", "C13", "C17")
    needs = _ORDERED
    heals = True

    spin: bool = False
    hold: Seconds | None = 2.0


@attrs.frozen(kw_only=True)
class IgnoreSigterm(FaultSpec):
    """A worker that does not leave when it is told to.

    Args:
        linger: How long it takes to end when it has been told otherwise, by the protocol's own message.
    """

    kind = "ignore-sigterm"
    summary = "a worker ignores SIGTERM, and lingers when it should end"
    mechanism = "The agent sets SIG_IGN and registers an exit function that sleeps; healing takes both back."
    good_pool = "Kills what has not gone within its grace, and stops in time."
    checks = ("C13", "C21")
    needs = _ORDERED
    heals = True

    linger: Seconds = 0.0
    hold: Seconds | None = 10.0


@attrs.frozen(kw_only=True)
class StderrFlood(FaultSpec):
    """A worker that prints more than anybody wants to read.

    Args:
        size: So many bytes, in lines.
    """

    kind = "stderr-flood"
    summary = "a worker writes megabytes to its stderr"
    mechanism = "The agent writes them in one go, and is blocked for as long as nobody reads them."
    good_pool = "Reads it all, shows what its limits allow, counts the rest; nobody waits."
    checks = ("C13", "C17")
    needs = _ORDERED
    heals = False

    size: Bytes = 10 * 2**20


@attrs.frozen(kw_only=True)
class StdoutNoise(FaultSpec):
    """A worker that prints what is neither lines nor text.

    Args:
        size: So many bytes.
    """

    kind = "stdout-noise"
    summary = "a worker writes random bytes to its stdout"
    mechanism = "The agent writes what the kernel's random generator gives."
    good_pool = "Keeps it apart from its protocol, and takes it for output, cut into lines of bounded length."
    checks = ("C2", "C4", "C13")
    needs = _ORDERED
    heals = False

    size: Bytes = 2**20


@attrs.frozen(kw_only=True)
class Grandchild(FaultSpec):
    """A worker that dies and leaves a process behind which holds its output and its socket open.

    Args:
        death: How the worker dies.
        socket: Whether the socket is held too, and not the output pipe alone.
        own_group: Whether it has left the worker's process group: then it is no longer the pool's to kill.
    """

    kind = "grandchild"
    summary = "a worker dies while a process that it started holds its pipe and socket"
    mechanism = "The agent starts a process that inherits them, and dies; healing sends that process away."
    good_pool = "Notices the death by the process's end and not by the streams', and kills the whole group."
    checks = ("C13", "C17", "C19")
    needs = _ORDERED
    heals = True

    death: Death = attrs.field(default=Death.KILL, converter=Death)
    socket: bool = True
    own_group: bool = False
    hold: Seconds | None = 3.0


@attrs.frozen(kw_only=True)
class Poison(FaultSpec):
    """A request that kills every worker which begins it.

    Args:
        operation: Which kind of request; None for any.
        requests: So many of the next that begin become deadly.
        death: What the workers die of.
    """

    kind = "poison"
    summary = "a request kills every worker that begins it"
    mechanism = "The agent of the worker that begins it first marks it deadly; all that begin it then die of it."
    good_pool = "Retries it, if it is idempotent, no more often than it was told, and not on every worker it has."
    checks = ("C3", "C12", "C16", "C17")
    needs = frozenset({Capability.AGENT})
    heals = True
    aims = False

    operation: str | None = None
    requests: int = 1
    death: Death = attrs.field(default=Death.KILL, converter=Death)
    hold: Seconds | None = 10.0


@attrs.frozen(kw_only=True)
class CancelStorm(FaultSpec):
    """Callers who all give up at the same moment.

    Args:
        share: How many of those who wait for an answer.
    """

    kind = "cancel-storm"
    summary = "callers give up, many at once"
    mechanism = "The client cancels the scopes of a share of the requests under way."
    good_pool = "Takes back what has not begun, and loses no worker, place or byte over the rest."
    checks = ("C4", "C6", "C10", "C20")
    needs = frozenset[Capability]()
    heals = False
    aims = False

    share: Share = 0.5


# -- shortage ----------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class MemoryGrowth(FaultSpec):
    """A worker that takes memory and keeps it.

    Args:
        size: So many bytes, within the scenario's budget for all faults.
    """

    kind = "memory-growth"
    summary = "a worker takes memory and keeps it"
    mechanism = "The agent maps memory and touches every page; healing unmaps it."
    good_pool = "With a limit for recycling, replaces the worker between two requests, without a single error."
    checks = ("C1", "C17", "C20")
    needs = _ORDERED
    heals = True

    size: Bytes = 64 * 2**20
    hold: Seconds | None = 10.0


class MemoryKind(StrEnum):
    """Which memory is limited."""

    ADDRESS_SPACE = "address-space"
    """All that is mapped (``RLIMIT_AS``)."""
    DATA = "data"
    """What is not a file's or a stack (``RLIMIT_DATA``)."""


@attrs.frozen(kw_only=True)
class MemoryLimit(FaultSpec):
    """A worker that is refused more memory.

    Args:
        headroom: So much may be added to what it has mapped when the fault strikes.
        memory: Which memory is limited.
    """

    kind = "memory-limit"
    summary = "a worker can have hardly more memory than it has"
    mechanism = "prlimit on the live process, the soft limit alone; healing puts it back."
    good_pool = "Passes a MemoryError on as the command's own error; if the worker dies of it, replaces that."
    checks = ("C1", "C2", "C3")
    needs = _LIMITED
    heals = True

    headroom: Bytes = 2**20
    memory: MemoryKind = attrs.field(default=MemoryKind.ADDRESS_SPACE, converter=MemoryKind)
    hold: Seconds | None = 5.0


@attrs.frozen(kw_only=True)
class FdLimit(FaultSpec):
    """A worker that may open no more files.

    Args:
        spare: So many it still may.
    """

    kind = "fd-limit"
    summary = "a worker's limit of open files is lowered to what it has open"
    mechanism = "prlimit on the live process, the soft limit alone; healing puts it back."
    good_pool = "Fails what needs a file with the command's own error, and serves all else."
    checks = ("C1", "C2", "C17")
    needs = _LIMITED
    heals = True

    spare: int = 0
    hold: Seconds | None = 5.0


@attrs.frozen(kw_only=True)
class FdExhaustion(FaultSpec):
    """A worker that has used up its open files.

    Args:
        spare: So many it may still open.
    """

    kind = "fd-exhaustion"
    summary = "a worker has leaked open files until it can have no more"
    mechanism = "The agent lowers the worker's own soft limit to some more than it has open, and opens them all."
    good_pool = "Fails what needs a file with the command's own error, and serves all else."
    checks = ("C1", "C2", "C17")
    needs = _ORDERED
    heals = True

    spare: int = 0
    hold: Seconds | None = 5.0


@attrs.frozen(kw_only=True)
class CpuStarvation(FaultSpec):
    """A worker that hardly gets a processor.

    Args:
        burners: So many processes that compute without end share the worker's one processor.
        idle: Whether the worker runs only when nobody else wants to (``SCHED_IDLE``), instead of sharing evenly.
    """

    kind = "cpu-starvation"
    summary = "a worker shares one processor with processes that never rest"
    mechanism = (
        "Processes of the harness's own that compute, bound to one processor, and the worker's threads bound to the"
        " same; sched_setscheduler for idle. Healing puts affinity and policy back."
    )
    good_pool = "Is slower, fails what runs out of time as that, and kills nobody who only lacks a processor."
    checks = ("C13", "C17")
    needs = frozenset({Capability.PIDS})
    heals = True

    burners: int = 1
    idle: bool = True
    hold: Seconds | None = 2.0
