"""The main loop of a worker whose application has async commands: Trio in one side thread, sync commands in the main.

The side thread owns the socket: it reads, decodes, decides what begins, and writes all replies. The main thread runs
one sync command at a time, as in a worker without async ones: signals, and libraries that insist on the main thread,
find what they always find. Between the two lie a job at most and a pipe into which one byte is written for each.

**What begins when.** In order of arrival, up to ``concurrency`` async commands, and a sync one when the main thread has
none. What finds no room waits, and so does what `_session_ends` says. The begun mark is one word that only grows: it is
stored when an async command is about to start, and for a sync one when it is handed over. So whoever waited while a
later one began counts as begun, which is safe. Under a pool that happens only to what waits for the end of a session,
for it sends only what finds room.

**Replies** are written one by one, each as soon as there is one and without a checkpoint in between; what the socket
does not take at once is written by a task, and until that is done nothing more is read: a parent that takes no replies
is not to fill this process with them. The next sync command begins when the reply of the last is written: a worker that
dies of it does not take that along.

**Forks.** A child forked by an async command has this thread alone, and in it all of Trio's run: with the first
checkpoint it would go on with the worker's loop, on the worker's own epoll. So every step of every task is followed by
the question for the pid, and a child ends there.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import traceback
from collections import deque
from contextlib import suppress
from itertools import chain

import trio

from .._core._errors import ProtocolError
from .._core._messages import encode_leaving
from ._executor import id_of
from ._inbox import READ_AHEAD, Inbox
from ._own_process import end_forked_child, flush_output, leave_to_parent
from ._replies import Refused, taken_back
from ._session_ends import SessionEnds
from ._writing import after, write_some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .._core._messages import Message, Piece
    from ._arguments import Arguments
    from ._executor import Executor, Word
    from ._session import Session

# How long a worker that a command told to exit waits for its async commands to notice. They are lost in any case; this
# is for their `finally` blocks, and short of the half second a pool gives a worker to go.
_EXIT_GRACE: Final = 0.3
# How many requests may wait for room. A pool sends none that would; less than the inbox reads ahead, so that it is
# not full and there is somebody to read the cancels, unless it is for clean-ups, of which none is refused.
_WAITING: Final = READ_AHEAD // 2


class AsyncServer:
    """Serves requests in two threads.

    Args:
        fd: The socket to the parent.
        executor: Runs the requests; its own begun word is not the one the parent sees.
        max_frame: The largest request accepted, in bytes.
        begun: Where the parent sees which requests have begun.
        concurrency: How many async commands may run at once.
    """

    def __init__(self, fd: int, executor: Executor, max_frame: int, begun: Word, concurrency: int) -> None:
        self._fd = fd
        self._executor = executor
        self._inbox = Inbox(fd, max_frame, executor.interrupts)
        executor.interrupts.look = self._look
        self._begun = begun
        self._last_begun = 0
        self._concurrency = concurrency
        self._async = executor.flagged("async")
        self._pid = os.getpid()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # What the main thread is to run, from when it is handed over until its reply is written.
        self._job: Message | None = None
        self._handed = False
        # The async commands that run, by their ids.
        self._running: dict[int, tuple[trio.CancelScope, Message]] = {}
        self._unsent: deque[Piece] = deque()
        self._over = False
        self._failure: BaseException | None = None
        self._exit: SystemExit | None = None
        self._code = 0
        self._unplanned = False
        self._thread: threading.Thread
        # The side thread's.
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        self._reading: trio.CancelScope | None = None

    # -- the main thread -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the side thread, which reads from now on.

        Raises:
            RuntimeError, OSError: There are no threads or descriptors left for it.
        """
        os.set_blocking(self._fd, False)
        started = threading.Event()
        # A daemon: a thread that a command blocks for ever must not keep the interpreter from ending.
        thread = threading.Thread(target=self._run_trio, args=(started,), name="trio_pool async", daemon=True)
        thread.start()
        started.wait()
        if self._failure is not None:
            raise self._failure
        self._thread = thread

    def run(self, first: list[Piece]) -> int:
        """Send the ready frame and serve until the end, once it is started; return the exit code.

        Raises:
            SystemExit: A command wants the worker to end.
        """
        executor = self._executor
        # After the application's import, so that a handler it may have installed is replaced; and after the start of
        # Trio, which the handlers call.
        signal.signal(signal.SIGTERM, self._on_sigterm)
        if executor.flagged("interruptible"):
            signal.signal(signal.SIGUSR1, executor.interrupts.ring)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self._leave_to_parent)
        self._soon(self._send, first)
        try:
            self._run_jobs()
        except SystemExit:
            self._soon(self._stop_at_once)
            self._thread.join(_EXIT_GRACE)
            raise
        # An async command that has called exit does not wait for those that cannot be cancelled either.
        self._thread.join(None if self._exit is None else _EXIT_GRACE)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if executor.flagged("interruptible"):
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        if self._exit is not None:
            raise self._exit
        if self._failure is not None:
            raise self._failure
        return self._code

    def _run_jobs(self) -> None:
        """Run what the side thread hands over, until that has ended."""
        executor = self._executor
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        while not self._over and self._exit is None:
            if not self._handed:
                # Not a lock: a signal that comes right before one waits for it would be handled after the next job.
                poller.poll()
                with suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                continue
            self._handed = False
            job = self._job
            if job is None:
                continue
            reply = executor.handle(job)
            if os.getpid() != self._pid:
                end_forked_child(f"the command {job.get('command')!r:.200}")
            self._soon(self._finish_job, reply)

    def _on_sigterm(self, *_: object) -> None:
        self._executor.stopping = True
        self._soon(self._wake)

    def _leave_to_parent(self) -> None:
        """Close the socket in a process that a command forked: held open there, it would hide this worker's death."""
        fd, self._fd = self._fd, -1
        self._inbox.fd = -1
        leave_to_parent(fd, on_sigterm=self._on_sigterm, on_sigusr1=self._executor.interrupts.ring)

    def _look(self) -> bool:
        """Read in the middle of a sync command, and have the side thread do what came but for this command."""
        found = self._inbox.look()
        if found:
            self._soon(self._wake)
        return found

    def _soon(self, function: Any, *args: object) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function, *args)

    # -- the side thread -----------------------------------------------------------------------------------------------

    def _run_trio(self, started: threading.Event) -> None:
        try:
            trio.run(self._main, started, instruments=[_ForkGuard(self._pid)])
        except (ConnectionError, trio.ClosedResourceError):
            pass  # the parent is gone, or has closed this worker: nobody is left to answer
        except ProtocolError as exc:
            sys.stderr.write(f"trio_pool worker: {exc}\n")
            self._code = os.EX_PROTOCOL
        except BaseException as exc:  # noqa: ASYNC103  # raised again in the main thread
            self._failure = exc
        finally:
            if self._job is not None:
                # The main thread is in a command that may take for ever, and whose reply nobody could send any more.
                if self._exit is not None:
                    _exit_now(self._exit)
                if self._failure is not None:
                    _exit_now(SystemExit("".join(traceback.format_exception(self._failure))))
            self._over = True
            started.set()
            os.write(self._wake_write, b"\0")

    async def _main(self, started: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        problem: BaseException | None = None
        async with trio.open_nursery() as self._nursery:
            # An exception that left the nursery would be in a group.
            try:
                started.set()
                await self._serve()
            except (OSError, ProtocolError, trio.ClosedResourceError) as exc:
                problem = exc
            if problem is not None or self._inbox.ended:
                # What still runs has nobody left to answer to.
                self._nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem
        if not self._unplanned and not self._inbox.ended:
            self._send([encode_leaving()])
            await self._flush()

    async def _serve(self) -> None:
        """Read and begin what comes, and write what a full socket held back, until there is nobody to serve or nothing
        to do.
        """
        inbox = self._inbox
        while True:
            await self._flush()
            self._sort()
            if inbox.error is not None:
                raise inbox.error
            if inbox.ended or (self._executor.stopping and self._job is None and not self._running):
                return
            if self._unsent:
                continue  # a refusal has found the socket full, and whoever reads it may send nothing more
            with trio.CancelScope() as self._reading:
                # No checkpoint between this one and the last of `_flush`: whatever happens wakes this.
                if inbox.full:
                    await trio.sleep_forever()  # until something has ended: only then there is room for more
                else:
                    await trio.lowlevel.wait_readable(self._fd)
            self._reading = None
            # Under the inbox's lock and without waiting: the main thread may have read it all meanwhile.
            inbox.look()

    def _wake(self) -> None:
        """Have the reading task look at what is to be done."""
        if self._reading is not None:
            self._reading.cancel()

    def _stop_at_once(self) -> None:
        self._unplanned = True
        self._nursery.cancel_scope.cancel()

    def _sort(self) -> None:
        """Begin what there is room for, in the order it came, save what waits for the end of a session; no checkpoint
        in here.
        """
        inbox = self._inbox
        while inbox.cancelled:
            self._cancel(inbox.cancelled.popleft())
        if self._executor.stopping:
            # Told so at once, a pool sends them elsewhere and no more of them; what runs may yet take long.
            while inbox.waiting:
                self._refuse(inbox.waiting.popleft(), Refused("leaving", "this worker has been told to leave"))
        kept: list[Message] = []
        ends = SessionEnds(self._job)
        while inbox.waiting:
            request = inbox.waiting.popleft()
            name = request.get("command")
            id_of(request)
            if "cancelled" in request:
                self._refuse(request, taken_back())
                continue
            together = type(name) is str and name in self._async
            room = len(self._running) < self._concurrency if together else self._job is None
            if not room or ends.holds(request, chain((each for _, each in self._running.values()), kept)):
                if len(kept) >= _WAITING and name != "cleanup_session":  # that is promised, and waits for all others
                    self._refuse(request, Refused("busy", f"{_WAITING} requests wait here already"))
                    continue
                kept.append(request)
            elif together:
                self._begin(request)
            else:
                self._hand_over(request)
            ends.passed(request)
        inbox.waiting.extendleft(reversed(kept))

    def _cancel(self, request_id: int) -> None:
        interrupts = self._executor.interrupts
        if request_id in self._running:
            self._running[request_id][0].cancel()
        elif self._job is not None and self._job.get("id") == request_id:
            # Either the main thread finds the one when it begins the command, or it has begun and finds the other.
            self._job["cancelled"] = True
            if interrupts.running == request_id:
                interrupts.cancelled = request_id
                if interrupts.armed:
                    # The parent's own signal may have come while this lay here.
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        else:
            # The main thread has read this while the request was in the hands of `_sort`.
            self._inbox.take_back(request_id)

    def _mark(self, request_id: int) -> None:
        if request_id > self._last_begun:
            self._last_begun = request_id
            self._begun[0] = request_id

    def _refuse(self, request: Message, refusal: Refused) -> None:
        executor = self._executor
        self._send(executor.raised(executor.accept(request), refusal, session_used=False))

    # -- sync commands -------------------------------------------------------------------------------------------------

    def _hand_over(self, request: Message) -> None:
        self._mark(id_of(request))
        self._job = request
        self._handed = True
        os.write(self._wake_write, b"\0")

    def _finish_job(self, reply: list[Piece]) -> None:
        self._send(reply)
        self._job = None
        self._wake()

    # -- async commands ------------------------------------------------------------------------------------------------

    def _begin(self, request: Message) -> None:
        executor = self._executor
        request_id = executor.accept(request)
        try:
            command, arguments, session = executor.prepare(request)
        except BaseException as exc:  # noqa: ASYNC103  # user code among it; whatever it raises is the answer
            self._send(executor.raised(request_id, exc, session_used=False))
            return  # noqa: ASYNC104  # as above
        self._mark(request_id)
        scope = trio.CancelScope()
        self._running[request_id] = scope, request
        self._nursery.start_soon(self._run, request_id, command, arguments, session, scope)

    async def _run(  # noqa: ASYNC910  # a task of the server's, for whom only its end matters
        self,
        request_id: int,
        command: Arguments,
        arguments: dict[str, Any],
        session: Session | None,
        scope: trio.CancelScope,
    ) -> None:
        executor = self._executor
        used = session is not None
        result: object = None
        try:
            with scope:
                awaitable: Any = command.call(arguments, session)  # an async function's
                result = await awaitable
        except trio.Cancelled:
            # Not by its own scope: the worker ends.
            del self._running[request_id]
            raise
        except BaseException as exc:  # noqa: ASYNC103  # whatever a command raises is its answer
            if self._nursery.cancel_scope.cancel_called:
                # What it raises as it is torn down, a group with a Cancelled among it, is no outcome of its own.
                del self._running[request_id]
                return  # noqa: ASYNC104, ASYNC910  # as above
            leaving = _system_exit(exc)
            if leaving is not None:
                self._exit_with(leaving)
                return  # noqa: ASYNC104, ASYNC910  # as above
            reply = executor.raised(request_id, exc, session_used=used)
        else:
            if scope.cancelled_caught:
                refusal = Refused("cancelled", "it was cancelled", begun=True)
                reply = executor.raised(request_id, refusal, session_used=used)
            else:
                reply = executor.returned(request_id, result, session_used=used)
        del self._running[request_id]
        self._send(reply)
        self._wake()

    def _exit_with(self, leaving: SystemExit) -> None:
        self._exit = leaving
        if self._job is None:
            os.write(self._wake_write, b"\0")
        else:
            # The main thread is in a command that may take for ever, and so may what cannot be cancelled here.
            watchdog = threading.Timer(_EXIT_GRACE, _exit_now, [leaving])
            watchdog.daemon = True
            watchdog.start()
        self._stop_at_once()

    # -- writing -------------------------------------------------------------------------------------------------------

    def _send(self, pieces: list[Piece]) -> None:
        """Write a reply, or as much of it as the socket takes, behind what it has not taken yet."""
        if os.getpid() != self._pid:
            # Forked in C, without the hook that takes the socket away, and not yet at the end of its step.
            end_forked_child("an async command")
        if not self._unsent:
            try:
                pieces = after(pieces, write_some(self._fd, pieces))
            except BlockingIOError:
                pass
            except ConnectionError:
                return  # nobody is left to answer; reading says so too
        if pieces:
            self._unsent.extend(pieces)
            self._wake()

    async def _flush(self) -> None:
        """Write what a full socket has held back; no checkpoint behind the look that finds nothing more."""
        await trio.lowlevel.checkpoint()
        while self._unsent:
            await trio.lowlevel.wait_writable(self._fd)
            pieces = list(self._unsent)
            try:
                rest = after(pieces, write_some(self._fd, pieces))
            except BlockingIOError:
                continue
            self._unsent.clear()
            self._unsent.extend(rest)


class _ForkGuard(trio.abc.Instrument):
    """Ends a process that an async command has forked, before Trio goes on in it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if os.getpid() != self._pid:
            end_forked_child("an async command")


def _system_exit(exc: BaseException) -> SystemExit | None:
    """Return the SystemExit that a command wants the worker to end with, also if a nursery of its own put it in a
    group.
    """
    if isinstance(exc, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = exc  # pyright: ignore[reportUnknownVariableType]  # narrowed
        for each in group.exceptions:
            found = _system_exit(each)
            if found is not None:
                return found
    return exc if isinstance(exc, SystemExit) else None


def _exit_now(exc: SystemExit) -> None:
    """End the process as the interpreter would, but for its exit handlers."""
    if exc.code is not None and not isinstance(exc.code, int):
        sys.stderr.write(f"{exc.code}\n")
    flush_output()
    os._exit(exc.code & 0xFF if isinstance(exc.code, int) else 0 if exc.code is None else 1)
