"""The launcher: where and how a worker comes to be, and the seam at which that can be exchanged.

The pool knows a worker only as a `WorkerHandle`. Which machine it runs on, what its process id means and how it is
killed is the launcher's knowledge, so nothing above this module signals a process or trusts a process id.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import trio

    from .._core._exits import Exit
    from ._transport import Transport

# Each of these libraries starts one thread per CPU in every process unless told otherwise: with a worker per CPU that
# is the square of what the machine has.
_THREAD_COUNTS: Final = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@attrs.frozen(kw_only=True)
class WorkerSpec:
    """What a launcher needs to know to start one worker.

    Args:
        worker_id: The name of the worker in logs and errors.
        incarnation: Its number; no two workers of a pool ever share one.
        argv: The program and its arguments.
        env: The complete environment, to which the launcher adds only how the worker reaches the pool.
        cwd: The working directory, or None for the application's own.
    """

    worker_id: str
    incarnation: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | None = None


@attrs.frozen(kw_only=True)
class WorkerIdent:
    """Which process a handle stands for.

    Args:
        incarnation: As in the spec.
        node: The machine it runs on.
        pid: Its process id on that machine, for humans; None when the launcher cannot say.
    """

    incarnation: int
    node: str
    pid: int | None


class WorkerHandle(Protocol):
    """One started worker. Whoever got it from `Launcher.open` owns it and ends with `reap`, whatever happens."""

    @property
    def transport(self) -> Transport:
        """The byte pipe to the worker."""
        ...

    @property
    def output(self) -> trio.abc.ReceiveStream | None:
        """What the worker prints, or None when that goes elsewhere."""
        ...

    @property
    def ident(self) -> WorkerIdent:
        """Which process this is."""
        ...

    @property
    def begun(self) -> Callable[[], int] | None:
        """Return the wire id of the last request the worker began; None: this launcher offers no progress page.

        The function stays usable after `reap` and then returns the last value.
        """
        ...

    async def wait(self) -> Exit:
        """Wait until the worker's process has ended and return how; cached, for any number of tasks.

        The dead process stays unreaped, so that its group can still be killed safely. On a distant node this may return
        a minute late or never: do not wait here without a bound. Cancelling it changes nothing.
        """
        ...

    async def signal(self, sig: int) -> None:
        """Send a signal to the worker's process alone; a worker that has ended is left in peace.

        If this is cancelled the signal was not sent.
        """
        ...

    async def terminate(self) -> None:
        """Send SIGTERM to the worker and its whole group: the last request before `kill`.

        Idempotent, never waits, not cancellable; after `reap` it does nothing.
        """
        ...

    async def kill(self) -> None:
        """Send SIGKILL to the worker and its whole group: children, stopped processes, what a dead worker left behind.

        Idempotent, never waits, not cancellable; after `reap` it does nothing.
        """
        ...

    async def reap(self) -> None:
        """Kill the group, collect the process and close everything that led to it. Idempotent.

        Call it under a shielded scope with a deadline: a process may be stuck in the kernel, where SIGKILL does not
        reach it. When cancelled, everything is closed all the same and `wait` answers ``Lost``.
        """
        ...


class Launcher(Protocol):
    """Starts workers somewhere."""

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> WorkerHandle:
        """Start a worker; it has not necessarily said anything yet.

        Cancelled at any checkpoint, it leaves no process and no descriptor behind. The nursery is for background tasks
        the launcher may need, which must not outlive the handle's `WorkerHandle.reap`.

        Raises:
            OSError: The worker could not be started; nothing is left behind.
        """
        ...


def python_argv(python: str | None = None) -> tuple[str, ...]:
    """Return the command that starts a worker of ours with the flags this interpreter was given (-O, -W, -X, -I, …).

    Args:
        python: The interpreter, or None for the one running.
    """
    executable = python or sys.executable
    if not executable:
        raise ValueError("python: this interpreter does not know its own path, so it must be given")
    # multiprocessing starts its interpreters with the same undocumented function; there is no other list of the flags.
    flags = cast("list[str]", subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]  # undocumented
    # By path, with -P: importing by name would search the application's directories before the worker was told them.
    bootstrap = Path(__file__).resolve().parent.parent / "bridge" / "_bootstrap.py"
    return (executable, *flags, "-P", str(bootstrap))


def worker_env(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the complete environment of a worker: ours, one thread per numeric library unless given, then ``env``."""
    return {**dict.fromkeys(_THREAD_COUNTS, "1"), **os.environ, **(env or {})}
