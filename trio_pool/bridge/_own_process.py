"""What a worker changes about its own process before the application is imported, and puts in order at the end."""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

# Of 1000: the kernel should rather kill a worker, which is replaced, than the application that holds the pool.
OOM_SCORE: Final = 300


def prepare() -> None:
    """Ignore SIGINT, print line by line, report fatal signals, and volunteer as a victim when memory runs out."""
    # Workers have a session of their own, so no terminal's Ctrl-C reaches them; a stray one must not cost a request.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a command prints must not make it fail, whatever the locale can write.
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    # A segmentation fault in an extension module leaves its stack in the output tail of the error.
    try:  # noqa: SIM105  # contextlib is one more module for every worker to import
        faulthandler.enable()
    except (OSError, ValueError, AttributeError, RuntimeError):
        # There is no stderr: a launcher may have closed it.
        pass
    _raise_oom_score()


def flush_output() -> None:
    """Flush now, where a failure can be ignored: at interpreter exit it would turn the exit code into 120."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                setattr(sys, name, None)


def end_forked_child(culprit: str) -> NoReturn:
    """End a process that came back into this library's code although it is only a fork of the worker.

    It must not speak to the parent, which would take it for the worker, nor run the worker's exit handlers, nor write
    what the worker holds in its buffers a second time.

    Args:
        culprit: Whose code it was that forked.
    """
    line = f"trio_pool worker: a process forked by {culprit} came back into the worker; it must end with os._exit()\n"
    try:
        os.write(2, line.encode("utf-8", "backslashreplace"))
    finally:
        os._exit(1)


def leave_to_parent(fd: int, *, on_sigterm: object, on_sigusr1: object) -> None:
    """Close the worker's socket in a child that a command forked, and give the signals that are still ours back.

    Args:
        fd: The socket; negative in a child of such a child, whose signals are its own affair.
        on_sigterm: The worker's handler of SIGTERM.
        on_sigusr1: Its handler of SIGUSR1.
    """
    if fd < 0:
        return
    os.close(fd)
    if signal.getsignal(signal.SIGTERM) == on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
    if signal.getsignal(signal.SIGUSR1) == on_sigusr1:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def _raise_oom_score() -> None:
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if int(os.read(fd, 16)) < OOM_SCORE:
            os.write(fd, b"%d" % OOM_SCORE)
    except (OSError, ValueError):
        # Best effort: without the right to do it, the kernel chooses its victim as before.
        pass
    finally:
        os.close(fd)
