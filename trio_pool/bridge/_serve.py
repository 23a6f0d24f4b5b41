"""The main loop of a worker: read a request, run it, write its reply, until there is nobody to serve.

Everything happens in the main thread, one request at a time. One reply is one write: replies held back to be sent
together would all be lost with the worker, and each lost one is a caller who cannot know whether his command ran.

SIGTERM. A worker that is told to end finishes its command, sends the reply and exits 0; an idle one exits at once. A
blocking read alone would not do: a signal that arrives in the moment between the interpreter's last look at its flags
and the system call does not interrupt the call, and its Python handler would not run before the next request. So the
loop waits in poll() for the socket and for a pipe into which the interpreter's C-level handler writes a byte
(``set_wakeup_fd``), and reads when there is something to read. It costs 0.35 µs a request (measured with a bare echo of
64 bytes: 4.65 instead of 4.3 µs).

Forks. A child that the application forks has all that the worker has, and if it comes back to where it was called it
is about to say ready, or to answer, a second time. So whoever comes back from the application's code is asked for its
pid, and a child ends there. The hooks of `os.register_at_fork` would not do, though the question costs 0.14 µs a
request: a fork in C does not run them. A child that calls ``sys.exit`` has said how it wants to end, and ends so.
"""

from __future__ import annotations

import os
import select
import signal
import sys

from .._core._errors import ProtocolError
from .._core._messages import CODEC, PROTOCOL, encode_json, encode_leaving
from ._bridge import Bridge
from ._executor import Executor
from ._inbox import Inbox
from ._loading import IMPORTING_MAIN, Loader
from ._own_process import end_forked_child, flush_output, leave_to_parent, prepare
from ._replies import failure
from ._writing import after, write_some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .._core._messages import Message, Piece
    from ._executor import Word
    from ._serve_async import AsyncServer

PAGE_SIZE: Final = 4096
_INIT_FAILED: Final = 1


def serve(fd: int, page_fd: int | None, hello: dict[str, Any]) -> int:
    """Load the application, say ready, and serve requests.

    Args:
        fd: The blocking socket to the parent.
        page_fd: The memory page shared with the parent, if there is one.
        hello: The parent's first message.

    Returns:
        The exit code: 0 when the parent hung up or wanted the end, 1 when the application could not be loaded, 76
        (``EX_PROTOCOL``) when the parent sent garbage.
    """
    prepare()
    try:
        return _serve(fd, page_fd, hello)
    finally:
        flush_output()


def _serve(fd: int, page_fd: int | None, hello: dict[str, Any]) -> int:
    page = None if page_fd is None else _map_page(page_fd)
    begun: Word = [0] if page is None else page
    pid = os.getpid()
    culprit = f"the import of the application {hello.get('app')!r:.200}"
    try:
        executor = _load(hello, begun)
        make_server = _async_server() if executor.flagged("async") else None
    except BaseException as exc:  # noqa: ASYNC103  # whatever stopped it, SystemExit included, the parent is told what it was
        if os.getpid() != pid:
            if isinstance(exc, SystemExit):
                raise
            end_forked_child(culprit)
        return _give_up(fd, exc)  # noqa: ASYNC104  # as above
    if os.getpid() != pid:
        end_forked_child(culprit)
    ready = {
        "type": "ready",
        "protocol": PROTOCOL,
        "codec": CODEC,
        "pid": os.getpid(),
        "begun": None if page is None else "page",
        "commands": executor.names(),
        "flags": executor.flags(),
    }
    max_frame = int(hello["max_frame"])
    if make_server is None:
        return Server(fd, executor, max_frame).run([encode_json(ready)])
    executor.hand_marks_over()
    try:
        server = make_server(fd, executor, max_frame, begun, int(hello.get("concurrency", 1)))
        server.start()
    except BaseException as exc:  # noqa: ASYNC103  # as above: no descriptors may be left, or no threads
        return _give_up(fd, exc)  # noqa: ASYNC104  # as above
    return server.run([encode_json(ready)])


def _async_server() -> type[AsyncServer]:
    from ._serve_async import AsyncServer  # 100 ms, most of them Trio's, that only async commands cost

    return AsyncServer


class Server:
    """Carries bytes between the socket and the executor.

    Args:
        fd: The blocking socket to the parent.
        executor: Runs the requests.
        max_frame: The largest request accepted, in bytes.
    """

    def __init__(self, fd: int, executor: Executor, max_frame: int) -> None:
        self._fd = fd
        self._executor = executor
        self._inbox = Inbox(fd, max_frame, executor.interrupts)
        executor.interrupts.look = self._inbox.look
        self._idle = False
        self._stopping = False
        self._pid = os.getpid()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self, first: list[Piece]) -> int:
        """Send the ready frame and serve until the end; return the exit code."""
        # After the application's import, so that a handler it may have installed is replaced.
        signal.signal(signal.SIGTERM, self._on_sigterm)
        if self._executor.flagged("interruptible"):
            signal.signal(signal.SIGUSR1, self._executor.interrupts.ring)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self._leave_to_parent)
        try:
            self._write(first)
            try:
                code = self._loop()
            except _Stop:
                code = 0
            # From here on the worker ends anyway. On its way out the interpreter gives signals their default back, save
            # those that are ignored: without this, a SIGTERM in the last moment would be the exit status.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if self._executor.flagged("interruptible"):
                signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            if self._executor.stopping:
                # SIGTERM or the command `shutdown`. So that the parent knows a planned end from a command that called
                # exit, also if it was not the pool but a caller who asked for it.
                self._write([encode_leaving()])
            return code
        except ConnectionError:
            # The parent is gone, or has closed this worker: nobody is left to answer.
            return 0
        except ProtocolError as exc:
            sys.stderr.write(f"trio_pool worker: {exc}\n")
            return os.EX_PROTOCOL
        except OSError:
            if os.getpid() != self._pid:
                # It was in the loop that the child came to be, and it has no socket any more.
                end_forked_child("a signal handler")
            raise

    def _loop(self) -> int:
        fd = self._fd
        inbox = self._inbox
        waiting = inbox.waiting
        executor = self._executor
        handle = executor.handle
        getpid = os.getpid
        pid = self._pid
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        poll = poller.poll
        while True:
            # From here to the end of the read SIGTERM ends the worker at once. At worst a request just read is dropped
            # unbegun, which the parent sees from the begun word, and sends elsewhere.
            self._idle = True
            if self._stopping:
                self._idle = False
                return 0
            for ready, _ in poll():
                if ready != fd:
                    os.read(self._wake_read, 4096)
                    break
            else:
                fresh = inbox.read()
                self._idle = False
                while waiting:
                    if not fresh:
                        # It was read before another ran, or its cancel cannot have come with it.
                        inbox.look()
                    fresh = False
                    message = waiting.popleft()
                    reply = handle(message)
                    if getpid() != pid:
                        end_forked_child(f"the command {message.get('command')!r:.200}")
                    self._write(reply)
                    if executor.stopping:
                        return 0
                if inbox.error is not None:
                    raise inbox.error
                if inbox.ended:
                    return 0

    def _write(self, pieces: list[Piece]) -> None:
        while pieces:
            pieces = after(pieces, write_some(self._fd, pieces))

    def _on_sigterm(self, *_: object) -> None:
        first, self._stopping = not self._stopping, True
        self._executor.stopping = True
        # Only the first one: a second may find the worker already on its way out.
        if first and self._idle:
            raise _Stop

    def _leave_to_parent(self) -> None:
        """Close the socket in a process that a command forked: held open there, it would hide this worker's death."""
        fd, self._fd = self._fd, -1
        self._inbox.fd = -1
        leave_to_parent(fd, on_sigterm=self._on_sigterm, on_sigusr1=self._executor.interrupts.ring)


class _Stop(BaseException):
    """Raised by the handler of SIGTERM in an idle worker; nothing on the way out may take it for an error."""


def _load(hello: dict[str, Any], begun: Word) -> Executor:
    """Import the application and run its start hooks."""
    if hello.get("protocol") != PROTOCOL or hello.get("codec") != CODEC:
        wanted = f"protocol {hello.get('protocol')!r} with {hello.get('codec')!r}"
        raise ProtocolError(f"the parent wants {wanted}; this worker speaks protocol {PROTOCOL} with {CODEC!r}")
    if IMPORTING_MAIN in os.environ:
        raise RuntimeError(
            "a worker was started while a worker imported the application's main script again: "
            "the script must start its pool under if __name__ == '__main__'"
        )
    loader = Loader(hello.get("main"))
    reference = hello["app"]
    bridge = loader.load(reference)
    if not isinstance(bridge, Bridge):
        raise TypeError(f"{reference!r} must be a trio_pool.bridge.Bridge, not {type(bridge).__name__}")
    executor = Executor(
        bridge,
        loader,
        worker_id=str(hello["worker_id"]),
        max_frame=int(hello["max_frame"]),
        begun=begun,
        ahead=_ahead(hello),
    )
    executor.start()
    return executor


def _ahead(hello: dict[str, Any]) -> float | None:
    """Return how far this process's clock is ahead of the parent's, and by what the hello took to arrive more."""
    now, received = hello.get("now"), hello.get("received")
    if type(now) not in (int, float) or type(received) is not float:
        return None
    return received - now  # type: ignore[operator]  # narrowed in a way mypy cannot see


def _give_up(fd: int, exc: BaseException) -> int:
    message: Message = {"type": "failed", "error": failure("init", exc)}
    try:
        frame = memoryview(encode_json(message))
        while frame:
            frame = frame[os.write(fd, frame) :]
    except OSError:
        # The parent is gone; its launcher's tail of our output is all that could still be read.
        sys.stderr.write(f"trio_pool worker: {message['error']['message']}\n")
    return _INIT_FAILED


def _map_page(fd: int) -> memoryview[int] | None:
    import mmap  # only workers with a page need it

    try:
        page = mmap.mmap(fd, PAGE_SIZE)
    except (OSError, ValueError):
        # Without it every written request counts as begun: safe, only less is retried.
        return None
    finally:
        os.close(fd)
    return memoryview(page).cast("Q")
