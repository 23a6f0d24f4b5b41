"""The script a worker process runs: arm the lifeline, read the hello frame, hand over to the main loop.

It runs by path, before the application's ``sys.path`` is known, and so imports nothing of this library at the top. A
script is compiled at every start: what need not be here is elsewhere.

Of the hello's fields two are put in force here, before anything of the application is imported: ``sys_path``, and
``argv``, the parent's ``sys.argv``, which stays what it is if the hello has none. The others are read in `_serve`.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn

# A hello holds a few names, sys.path and sys.argv; a larger one is no hello. Linux allows 6 MiB of arguments at most,
# of which JSON makes six times as much at worst; the rest is pretty arbitrary.
HELLO_LIMIT: Final = 64 * 2**20


def main() -> int:
    """Run one worker; return its exit code."""
    lifeline, fd, page = map(take_fd, ("TRIO_POOL_LIFELINE_FD", "TRIO_POOL_FD", "TRIO_POOL_PAGE_FD"))
    if lifeline is not None:
        arm_lifeline(lifeline)
    if fd is None:
        sys.stderr.write("this script is started by trio_pool, with its socket's number in TRIO_POOL_FD\n")
        return os.EX_USAGE
    hello = read_hello(fd)
    received = time.monotonic()
    if hello is None:
        return 0
    # As soon as can be: by what has passed since the parent read its clock, ours will seem to be further ahead.
    hello["received"] = received
    if isinstance(hello.get("sys_path"), list):
        sys.path[:] = hello["sys_path"]
    if isinstance(hello.get("argv"), list):
        sys.argv[:] = hello["argv"]
    try:
        from trio_pool.bridge._serve import serve  # not importable before
    except ModuleNotFoundError as exc:
        if not (exc.name or "").startswith("trio_pool"):
            raise
        # The application found the library by other means than sys.path, as with some editable installations; it is
        # where this file is. Last on the path, where it hides nothing.
        sys.path.append(os.path.abspath(f"{__file__}/../../.."))
        from trio_pool.bridge._serve import serve
    return serve(fd, page, hello)


def take_fd(name: str) -> int | None:
    """Return the file descriptor whose number the environment gives, and keep both from our own children."""
    value = os.environ.pop(name, None)
    if value is None:
        return None
    os.set_inheritable(int(value), False)
    return int(value)


def arm_lifeline(fd: int) -> None:
    """Have the kernel kill this process's group when the last write end of the pipe that ``fd`` reads from is closed.

    Only the application holds a write end, so this happens when it dies, however it dies. O_ASYNC signals the owner on
    any change of the pipe, and SIGKILL needs no cooperation: it reaches a process that is stopped, that holds the GIL
    in C code, or that is a grandchild in our group. PR_SET_PDEATHSIG is no alternative: it follows the death of the
    parent's *thread*, and Trio starts processes from short-lived ones.

    The parent has armed the same pipe right after the spawn; doing it again costs 30 µs and covers a parent that died
    in between. A death before both left no signal, but a hung-up pipe, which the poll sees.
    """
    # A launcher that made no group for us would have its own killed; then only this process is the owner.
    group = os.getpgrp()
    fcntl.fcntl(fd, fcntl.F_SETOWN, -group if group == os.getpid() else os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if poll.poll(0):
        os._exit(1)


def read_hello(fd: int) -> dict[str, Any] | None:
    """Read exactly one frame: what follows it belongs to the main loop. None if the application hung up first."""
    import json  # after the lifeline is armed

    header = read_exactly(fd, 4)
    size = int.from_bytes(header, "big")
    if size > HELLO_LIMIT:
        refuse(f"a hello frame of {size} bytes, more than {HELLO_LIMIT}")
    body = read_exactly(fd, size)
    if len(header) < 4 or len(body) < size:
        return None
    try:
        hello = json.loads(body)
    except ValueError as exc:
        refuse(f"the hello frame is not JSON: {exc}")
    if type(hello).__name__ != "dict" or hello.get("type") != "hello":
        refuse("the first frame is not a hello")
    return hello  # type: ignore[no-any-return]  # a dict of whatever the parent sent


def read_exactly(fd: int, size: int) -> bytearray:
    """Return ``size`` bytes, or fewer if the stream ended."""
    data = bytearray()
    while len(data) < size:
        try:
            piece = os.read(fd, size - len(data))
        except ConnectionResetError:
            break
        if not piece:
            break
        data += piece
    return data


def refuse(why: str) -> NoReturn:
    """End a worker whose parent does not speak the protocol."""
    sys.stderr.write(f"trio_pool worker: {why}\n")
    sys.exit(os.EX_PROTOCOL)


if __name__ == "__main__":
    sys.exit(main())
