"""The local launcher: a worker is a child process of the application, in a session and a process group of its own.

Between the two run a socket pair (the protocol), a pipe for what the worker prints, the lifeline (see `_lifeline`) and
a page of shared memory in which the worker notes the request it has begun.

**Why the group is killed before the leader is reaped.** A worker that crashed may leave children behind, which are in
its group. The group's number is the dead worker's process id, and the kernel keeps that number from being given away
only as long as the worker is a zombie. So the end of a worker is: learn its exit without reaping it (pidfd and
``WNOWAIT``), kill the group, reap. Trio's `trio.Process` reaps in ``returncode``, ``poll()``, ``wait()`` and even
``repr()``, so none of these is touched before that last step.
"""

from __future__ import annotations

import fcntl
import io
import logging
import mmap
import os
import signal
import subprocess
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

import trio

from .._core._exits import Exited, Lost, Signaled
from ..wire import LIFELINE_VARIABLE, PAGE_VARIABLE, SOCKET_VARIABLE
from ._launcher import WorkerIdent
from ._lifeline import above_stdio, arm, close_in_forked_children
from ._output import PipeStream
from ._transport import open_pair

if TYPE_CHECKING:
    from .._core._exits import Exit
    from ._launcher import WorkerSpec
    from ._transport import SocketTransport

PAGE_SIZE: Final = 4096  # the smallest piece of memory two processes can share
# A process that was only just started is gone milliseconds after SIGKILL; this is for a machine that is out of breath.
_UNDO_GRACE: Final = 1.0

_logger = logging.getLogger("trio_pool.launcher")


class LocalLauncher:
    """Starts workers on this machine; keeps nothing, so one may serve any number of pools."""

    # Protected: a KeyboardInterrupt between the spawn and the `try` would leave a process nobody knows of.
    @trio.lowlevel.enable_ki_protection
    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> LocalHandle:
        """Start a worker; see `Launcher.open`. The nursery is not used.

        Raises:
            OSError: The program cannot be executed, the working directory does not exist, or descriptors, memory or
                processes have run out; nothing is left behind.
        """
        with ExitStack() as ours, ExitStack() as theirs:
            transport, worker_socket = open_pair()
            ours.callback(transport.close)
            theirs.callback(worker_socket.close)
            output_end, worker_output = _pipe()
            output = PipeStream(output_end)
            ours.callback(output.close)
            theirs.callback(worker_output.close)
            worker_lifeline, lifeline = _pipe()
            ours.callback(lifeline.close)
            theirs.callback(worker_lifeline.close)
            page = ProgressPage()
            ours.callback(page.close)
            theirs.callback(page.close_fd)

            passed = {
                SOCKET_VARIABLE: worker_socket.fileno(),
                LIFELINE_VARIABLE: worker_lifeline.fileno(),
                PAGE_VARIABLE: page.fd,
            }
            process = await trio.lowlevel.open_process(
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=worker_output.fileno(),
                stderr=worker_output.fileno(),
                pass_fds=tuple(passed.values()),
                start_new_session=True,
                cwd=spec.cwd,
                env={**spec.env, **{name: str(fd) for name, fd in passed.items()}},
            )
            # No checkpoint between the line above and this `try`. open_process cannot be cancelled once it has begun:
            # it returns a living process into a cancelled scope, and the next checkpoint raises. That one is ours.
            try:
                arm(worker_lifeline.fileno(), process.pid)
                pidfd = io.FileIO(os.pidfd_open(process.pid), "rb")
                ours.callback(pidfd.close)
                close_in_forked_children(pidfd)
                ident = WorkerIdent(incarnation=spec.incarnation, node=os.uname().nodename, pid=process.pid)
                handle = LocalHandle(ident, process, transport, output, lifeline, page, pidfd)
                await trio.lowlevel.checkpoint_if_cancelled()
            except BaseException:
                # Cancelled above all; but whatever it is, the process must not outlive it, and it is passed on.
                _signal_group(process.pid, signal.SIGKILL)
                # Shielded, for this is cleaning up after a cancellation; bounded, for not even SIGKILL is certain.
                with trio.move_on_after(_UNDO_GRACE, shield=True):
                    await process.wait()
                raise
            ours.pop_all()
            return handle


class LocalHandle:
    """A worker on this machine; see `WorkerHandle`, whose contract this fulfils. Made by `LocalLauncher.open`."""

    def __init__(
        self,
        ident: WorkerIdent,
        process: trio.Process,
        transport: SocketTransport,
        output: PipeStream,
        lifeline: io.FileIO,
        page: ProgressPage,
        pidfd: io.FileIO,
    ) -> None:
        self.ident = ident
        self.transport = transport
        self.output = output
        self.begun = page.read
        self._process = process
        self._lifeline = lifeline
        self._page = page
        self._pidfd = pidfd
        self._exit: Exit | None = None
        # Two tasks cannot wait for one descriptor; this makes it a queue, from which each may be cancelled.
        self._watching = trio.Lock()

    async def wait(self) -> Exit:
        """Wait until the process has ended, leaving it unreaped; see `WorkerHandle.wait`."""
        async with self._watching:
            while self._exit is None:
                with suppress(trio.ClosedResourceError):  # `reap` gave up meanwhile and has said so in _exit
                    await trio.lowlevel.wait_readable(self._pidfd.fileno())
                self._look()
            return self._exit

    async def signal(self, sig: int) -> None:
        """Signal the process alone; see `WorkerHandle.signal`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._pidfd.closed:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd.fileno(), sig)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def terminate(self) -> None:
        """Send SIGTERM to the whole group; see `WorkerHandle.terminate`."""
        self._signal_group(signal.SIGTERM)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def kill(self) -> None:
        """Kill the whole group; see `WorkerHandle.kill`."""
        self._signal_group(signal.SIGKILL)
        # Shielded: this is called while cleaning up, where a Cancelled would tear the rest of the cleaning apart.
        await trio.lowlevel.cancel_shielded_checkpoint()

    @trio.lowlevel.enable_ki_protection
    async def reap(self) -> None:
        """Kill the group, collect the process, close everything; see `WorkerHandle.reap`."""
        try:
            self._signal_group(signal.SIGKILL)
            await self.wait()
        finally:
            self._close()

    def _look(self) -> None:
        if self._exit is not None:
            return
        try:
            status = os.waitid(os.P_PIDFD, self._pidfd.fileno(), os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            # The application ignores SIGCHLD or waits for just any child.
            self._exit = Lost("its exit status was collected by somebody else")
            return
        if status is not None:
            self._exit = (Exited if status.si_code == os.CLD_EXITED else Signaled)(status.si_status)

    def _signal_group(self, sig: int) -> None:
        # Closed: reaped long ago, or this is a copy of the handle in a forked child, whose worker it never was.
        if self._pidfd.closed:
            return
        self._look()
        # Once somebody else has reaped the process its number may be anybody's. What it left behind dies all the same,
        # if it holds the lifeline, when `_close` closes that.
        if not isinstance(self._exit, Lost):
            _signal_group(self._process.pid, sig)

    def _close(self) -> None:
        if self._pidfd.closed:
            return
        if self._exit is None:
            _logger.error("process %d did not die of SIGKILL in time and is left to the kernel", self._process.pid)
            self._exit = Lost("it did not die of SIGKILL in time")
        else:
            self._process.poll()
        trio.lowlevel.notify_closing(self._pidfd.fileno())
        self._pidfd.close()
        self.transport.close()
        self.output.close()
        self._lifeline.close()
        self._page.close()


class ProgressPage:
    """A page of memory shared with one worker, whose first word is the wire id of the last request it has begun."""

    def __init__(self) -> None:
        self.fd = above_stdio(os.memfd_create("trio_pool", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        """The descriptor the worker inherits."""
        try:
            os.ftruncate(self.fd, PAGE_SIZE)
            # A worker that shrank the file would make our next look at it a SIGBUS: the death of the application.
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._memory = mmap.mmap(self.fd, PAGE_SIZE)
        except BaseException:
            os.close(self.fd)
            raise
        self._words: memoryview[int] | None = memoryview(self._memory).cast("Q")
        self._last = 0

    def read(self) -> int:
        """Return the word; after `close`, its last value."""
        return self._last if self._words is None else self._words[0]

    def close_fd(self) -> None:
        """Close the descriptor once the worker has its own; the memory stays."""
        os.close(self.fd)

    def close(self) -> None:
        """Give the memory back; `read` goes on answering. Closing again does nothing."""
        if self._words is None:
            return
        self._last = self._words[0]
        self._words.release()
        self._words = None
        self._memory.close()


def _pipe() -> tuple[io.FileIO, io.FileIO]:
    ends = os.pipe()
    read_end, write_end = (io.FileIO(above_stdio(fd), mode) for fd, mode in zip(ends, ("rb", "wb"), strict=True))
    close_in_forked_children(read_end)
    close_in_forked_children(write_end)
    return read_end, write_end


def _signal_group(leader: int, sig: int) -> None:
    # ProcessLookupError: nobody is left. PermissionError: every one of them has become another user, and there is no
    # more we can do; who waits for the process has a bound and will say so.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, sig)
