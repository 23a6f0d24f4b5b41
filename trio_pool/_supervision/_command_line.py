"""A command line as a child: a `trio.Process`, owned by the child's task from before it exists until it is reaped.

`trio.run_process` is not used. Its ``deliver_cancel`` warns when SIGTERM is ignored, and where warnings are errors that
exception keeps it from ever sending SIGKILL; nor does it signal more than the one process, so that what a shell script
started would live on.

The group is signalled only while its leader is unreaped: until then its number cannot be anybody else's. Trio reaps as
soon as it looks (`Process.wait`, `.poll()`, `.returncode` and even ``repr()``), so the end is awaited on a descriptor
of our own, the group killed, and only then Trio asked.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

import attrs
import trio

from .._core._errors import ProcessFailed
from .._core._exits import Exited, Lost, Signaled
from ._child import CURRENT

if TYPE_CHECKING:
    from .._core._exits import Exit

_USUAL_PATIENCE: Final = 5.0
"""Seconds from SIGTERM to SIGKILL where no supervisor says otherwise: `ChildSpec`'s default ``shutdown``."""

_KILL_GRACE: Final = 2.0
"""Seconds a killed process is given to disappear before its supervisor calls it overdue. SIGKILL takes milliseconds;
what takes longer hangs in the kernel, on a dead network file system for instance."""


def _as_argv(value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"argv must be a sequence of strings, not {value!r}; there is no shell to split it")
    argv = tuple(os.fspath(word) for word in value)
    if not argv or not all(isinstance(word, str) for word in argv):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"argv must be a sequence of strings, the first being the program, not {value!r}")
    return argv


def _as_codes(value: Iterable[int]) -> frozenset[int]:
    return frozenset(value)


@attrs.frozen
class RunningProcess:
    """The value of a child that is a process: it says who that is; its child's task alone signals it and waits."""

    pid: int
    argv: tuple[str, ...]


@attrs.frozen
class CommandLine:
    """Makes a startable of a program: ``ChildSpec(id="proxy", start=CommandLine(["proxy", "--port", "80"]))``.

    The child has started when the process exists, and its value is a `RunningProcess`. Its standard input is empty; its
    output goes where the application's goes unless ``stdout`` and ``stderr`` say otherwise. It runs in a session of its
    own, so that no Ctrl-C meant for the application reaches it.

    A process that ends by itself with one of ``clean_codes`` has come to a clean end; any other end is a crash with
    `ProcessFailed`, which says the exit code or the signal. Whatever its end, what is left of its process group is
    killed before it is reaped. To stop it, its group is sent ``stop_signal`` and, when the child's ``shutdown`` seconds
    are over, SIGKILL; ``"brutal_kill"`` sends SIGKILL at once. A process that left the group is out of reach.

    Args:
        argv: The program and its arguments; arguments of the `ChildSpec` follow them.
        cwd: Its working directory; None for the application's.
        env: Its environment; None for the application's.
        stdout: As for `subprocess.Popen`: None to inherit, ``subprocess.DEVNULL``, or a file.
        stderr: Likewise. Pipes are refused: nobody would read them, and the process would stop when they are full.
        clean_codes: The exit codes of a clean end.
        stop_signal: What asks it to stop.

    Raises:
        ValueError: A value is of the wrong kind; the message names the field.
    """

    argv: tuple[str, ...] = attrs.field(converter=_as_argv)
    cwd: str | os.PathLike[str] | None = attrs.field(default=None, kw_only=True)
    env: Mapping[str, str] | None = attrs.field(default=None, kw_only=True)
    stdout: int | IO[bytes] | None = attrs.field(default=None, kw_only=True)
    stderr: int | IO[bytes] | None = attrs.field(default=None, kw_only=True)
    clean_codes: frozenset[int] = attrs.field(default=frozenset({0}), converter=_as_codes, kw_only=True)
    stop_signal: int = attrs.field(default=signal.SIGTERM, kw_only=True)

    def __attrs_post_init__(self) -> None:
        for name, stream in (("stdout", self.stdout), ("stderr", self.stderr)):
            if stream == subprocess.PIPE:
                raise ValueError(f"{name} must not be a pipe, nobody would read it")

    @property
    def kill_grace(self) -> float:
        """What the supervisor adds to the child's ``shutdown`` before it calls it overdue."""
        return _KILL_GRACE

    @trio.lowlevel.enable_ki_protection
    async def __call__(  # noqa: ASYNC114  # nobody passes a __call__ to start_soon
        self, *args: str, task_status: trio.TaskStatus[RunningProcess] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the process to its end.

        Cancelling this stops the process as said above, and returns when it is reaped.

        Raises:
            OSError: There is no such program, or it cannot be run.
            ProcessFailed: The process ended by itself, and not with one of ``clean_codes``.
        """
        argv = (*self.argv, *args)
        # KeyboardInterrupt is kept out of this task, for between the process and the `try` there must be nothing. It is
        # delivered to the main task instead. A cancellation may come while the process is made, and then the process is
        # returned all the same and the next checkpoint raises: inside the `try`.
        process = await trio.lowlevel.open_process(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=self.stdout,
            stderr=self.stderr,
            cwd=self.cwd,
            env=self.env,
            start_new_session=True,
        )
        owned = _Owned(process)
        try:
            owned.watch()
            task_status.started(RunningProcess(process.pid, argv))
            await owned.wait()
        except trio.Cancelled:
            patience = self._patience()
            if patience > 0:
                with trio.move_on_after(patience, shield=True):
                    owned.signal_group(self.stop_signal)
                    await owned.wait()
            raise
        finally:
            # In all cases: the time given to it is over, or it has ended and whatever it started is to end with it.
            # Shielded and without limit, for it has been killed; how long that may take is its supervisor's to say.
            owned.signal_group(signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await owned.reap()
        if not (isinstance(owned.end, Exited) and owned.end.code in self.clean_codes):
            raise ProcessFailed(
                f"{argv[0]} (process {process.pid}) ended with {owned.end}", pid=process.pid, exit=owned.end, argv=argv
            )

    def _patience(self) -> float:
        child = CURRENT.get()
        if child is None or child.spec.start is not self:
            return _USUAL_PATIENCE  # inside a child that is more than this process, or outside of supervision
        return child.spec.seconds_to_stop


class _Owned:
    """A process and the right to signal it, which ends when it is reaped.

    Args:
        process: The process; from now on nobody else may ask Trio about it.
    """

    def __init__(self, process: trio.Process) -> None:
        self.end: Exit | None = None
        self._process = process
        self._pidfd: int | None = None

    def watch(self) -> None:
        """Open the descriptor that tells its end. Raises OSError if there are too many."""
        self._pidfd = os.pidfd_open(self._process.pid)

    async def wait(self) -> None:
        """Wait until it has ended, and leave it unreaped."""
        assert self._pidfd is not None  # noqa: S101  # `watch` comes first
        while not self._look():
            await trio.lowlevel.wait_readable(self._pidfd)
        await trio.lowlevel.checkpoint()

    def signal_group(self, sig: int) -> None:
        """Signal its whole group, unless somebody else has reaped it: then its number may be anybody's."""
        self._look()
        if isinstance(self.end, Lost):
            return
        # ProcessLookupError: nobody is left. PermissionError: all of them have become other users, and there is no more
        # we can do; who waits for the process will say that it is overdue.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, sig)

    async def reap(self) -> None:
        """Wait until it has ended and collect it."""
        await self._process.wait()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _look(self) -> bool:
        """Tell whether it has ended, without reaping it."""
        if self.end is None:
            try:
                status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                # The application ignores SIGCHLD or waits for just any child.
                self.end = Lost("its exit status was collected by somebody else")
            else:
                if status is not None:
                    self.end = (Exited if status.si_code == os.CLD_EXITED else Signaled)(status.si_status)
        return self.end is not None
