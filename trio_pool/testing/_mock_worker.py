"""A worker in memory: the task that stands for its process, and the handle by which it is owned.

The task is shielded. Like a process it does not die because the scope of whoever started it was cancelled: it is still
there to be asked to leave, and ends when it leaves, when it is killed, or at the latest when it is reaped.

What happens to a process from outside happens here in one step, without a checkpoint: a signal that is deadly ends the
worker, and closes its end of the connection, before `MockWorker.deliver` returns.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from .. import Exited, Signaled, WorkerIdent
from ..bridge import Interrupted
from ..wire import CODEC, PROTOCOL, MessageDecoder, encode_json, encode_leaving
from ._mock_arguments import Refusal
from ._mock_commands import Commands
from ._mock_job import Job, exited, init_error
from ._mock_pipe import open_pair
from ._mock_script import CrashPoint, InitFailure, ReceivedCommand
from ._mock_turns import has_to_wait, turn_of, turns_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from .. import Exit, WorkerSpec
    from ._mock_arguments import Function
    from ._mock_script import Plan, Script

# The largest hello a worker takes; a real one has the same limit, which is far beyond what a hello needs.
_HELLO_LIMIT: Final = 64 * 2**20
_READ_SIZE: Final = 256 * 1024  # as a real worker reads
_STOPPING: Final = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
# By default, by the interpreter's doing, or by the worker's own.
_IGNORED: Final = frozenset(
    (signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)
)


class MockWorker:
    """A worker in memory; see `trio_pool.WorkerHandle`, whose contract this fulfils. Made by `MockPort.open`.

    Args:
        spec: What was to be started; its program, environment and directory mean nothing here.
        script: What goes wrong, and what is expected.
        functions: The commands of the test's own.
        chunk: The most bytes that travel in one piece; None for as many as there are.
        seed: The source of the pieces' sizes.
    """

    def __init__(
        self, spec: WorkerSpec, script: Script, functions: Mapping[str, Function], chunk: int | None, seed: int
    ) -> None:
        self.worker_id = spec.worker_id
        # No process id: a test that signals one would hit whoever has it.
        self.ident = WorkerIdent(incarnation=spec.incarnation, node="memory", pid=None)
        rng = Random(f"{seed} {spec.incarnation}")  # noqa: S311  # it cuts bytes into pieces
        self.transport, self._end = open_pair(chunk, rng)
        self.output = None
        self._buffer = memoryview(bytearray(_READ_SIZE))
        self._script = script
        self._functions = functions
        self._begun = 0
        self._exit: Exit | None = None
        self._ended = trio.Event()
        self._gone = trio.Event()
        self._scope = trio.CancelScope(shield=True)
        self._idle: trio.CancelScope | None = None
        self._frozen = False
        self._thawed = trio.Event()
        self._held: list[int] = []
        self._serving = False
        self._commands: Commands | None = None
        self._decoder = MessageDecoder(_HELLO_LIMIT)
        self._waiting: deque[dict[str, Any]] = deque()
        self._starting = trio.Lock()
        self._saying = trio.Lock()
        self._running: Job | None = None
        self._together: dict[int, Job] = {}  # the async ones, by their ids

    def __repr__(self) -> str:
        state = self._exit or ("frozen" if self._frozen else "alive")
        return f"<MockWorker {self.worker_id} incarnation {self.ident.incarnation} {state}>"

    # -- the handle ----------------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """True until it has ended."""
        return self._exit is None

    def begun(self) -> int:
        """Return the wire id of the last request the worker began."""
        return self._begun

    async def wait(self) -> Exit:
        """Wait until the worker has ended and return how; see `WorkerHandle.wait`."""
        await self._ended.wait()
        if self._exit is None:
            raise RuntimeError("a worker ended without an exit")  # a mistake in this module
        return self._exit

    async def signal(self, sig: int) -> None:
        """Signal the worker; see `WorkerHandle.signal`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self.deliver(sig)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def terminate(self) -> None:
        """Send SIGTERM; see `WorkerHandle.terminate`."""
        self.deliver(signal.SIGTERM)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def kill(self) -> None:
        """Send SIGKILL; see `WorkerHandle.kill`."""
        self.deliver(signal.SIGKILL)
        # Shielded: this is called while cleaning up, where a Cancelled would tear the rest of the cleaning apart.
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def reap(self) -> None:
        """Kill the worker, wait for its task to be gone, close everything; see `WorkerHandle.reap`."""
        self.deliver(signal.SIGKILL)
        self.transport.close()
        await self._gone.wait()

    def deliver(self, sig: int) -> None:
        """Do what a signal does to a worker; one that has ended is left in peace."""
        if self._exit is not None or sig == 0:
            return
        if sig == signal.SIGKILL:
            self._die(Signaled(int(sig)))
        elif sig in _STOPPING:
            self._frozen = True
        elif sig == signal.SIGCONT:
            self._frozen = False
            self._thawed.set()
            self._thawed = trio.Event()
            held, self._held = self._held, []
            for each in held:
                self.deliver(each)
        elif self._frozen:
            self._held.append(sig)
        elif sig == signal.SIGTERM and self._commands is not None:
            self._commands.stopping = True
            self._wake()
        elif sig == signal.SIGUSR1 and self._commands is not None and self._commands.flagged("interruptible"):
            self._interrupt()
        elif sig not in _IGNORED:
            self._die(Signaled(int(sig)))

    # -- the process ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:  # noqa: ASYNC910  # killed before its first step, it just ends
        """Be the worker, until its end; run it as a task."""
        try:
            with self._scope:
                try:
                    code = await self._serve()
                except (OSError, trio.ClosedResourceError):
                    code = 0  # the pool has closed this worker: nobody is left to answer
                except SystemExit as exc:
                    self._die(exited(exc))
                else:
                    self._die(Exited(code & 0xFF))
        finally:
            # Only a mistake, here or in a test's own command, comes by with the worker alive.
            self._die(Exited(1))
            self._gone.set()

    def _die(self, how: Exit) -> None:
        if self._exit is None:
            self._exit = how
            self._end.close()
            self._ended.set()
            self._scope.cancel()

    async def _serve(self) -> int:
        """Answer the hello and then requests; return the exit code."""
        hello = await self._hello()
        if hello is None:
            return 0
        failure = self._script.start(self.worker_id, self.ident.incarnation, InitFailure)
        if isinstance(failure, InitFailure):
            await self._say(encode_json({"type": "failed", "error": init_error(failure.message)}))
            return 1
        max_frame = int(hello["max_frame"])
        commands = self._commands = Commands(self.worker_id, max_frame, self._functions, self._check)
        commands.ahead = None if "now" not in hello else trio.current_time() - hello["now"]
        ready = {
            "type": "ready",
            "protocol": PROTOCOL,
            "codec": CODEC,
            "pid": None,
            "begun": "page",
            "commands": commands.names(),
            "flags": commands.flags(),
        }
        await self._say(encode_json(ready))
        self._decoder = MessageDecoder(max_frame)
        self._decoder.feed(encode_json({}))  # it still expects a first message in JSON, and that has been read
        if commands.flagged("async"):
            code = await self._serve_together(commands, int(hello.get("concurrency", 1)))
        else:
            code = await self._serve_singly(commands)
        if code is None:
            await self._say(encode_leaving())
        return code or 0

    async def _serve_singly(self, commands: Commands) -> int | None:
        """Answer one request after the other; return the exit code, or None if the worker is to announce its end."""
        while (data := await self._receive()) is not None:
            if not data:
                return 0
            self._sort(data)
            while self._waiting and not commands.stopping:
                self._look()  # the next may have been cancelled while another ran
                job = await self._begin(self._waiting.popleft(), commands)
                if job is None:
                    return os.EX_PROTOCOL
                await self._run(job, commands)
            if self._decoder.error is not None:
                return os.EX_PROTOCOL
        return None

    async def _serve_together(self, commands: Commands, concurrency: int) -> int | None:
        """Answer a sync request after the other, and beside them so many async ones; return as `_serve_singly` does."""
        asynchronous = commands.flagged("async")
        code: int | None = 0

        async def run(job: Job) -> None:  # noqa: ASYNC910  # reading has checkpoints
            try:
                await self._run(job, commands)
                await self._start(commands, asynchronous, nursery, run, concurrency)
                if self._leaves():
                    self._wake()  # it was the last
            except (OSError, trio.ClosedResourceError):
                self._die(Exited(0))
            except SystemExit as exc:
                self._die(exited(exc))
            except BaseExceptionGroup as group:
                # Out of a nursery of the command's own.
                exits = group.subgroup(SystemExit)
                if exits is None:
                    raise
                self._die(exited(exits))

        async def read() -> int | None:
            while (data := await self._receive()) is not None:
                if not data:
                    return 0
                self._sort(data)
                if not await self._start(commands, asynchronous, nursery, run, concurrency):
                    return os.EX_PROTOCOL
                if self._decoder.error is not None:
                    return os.EX_PROTOCOL
            return None

        async with trio.open_nursery() as nursery:
            # An exception that left the nursery would be in a group.
            with suppress(OSError, trio.ClosedResourceError):
                code = await read()
            if code is not None:
                nursery.cancel_scope.cancel()  # nobody is left to answer
        return code

    async def _start(
        self,
        commands: Commands,
        asynchronous: frozenset[str],
        nursery: trio.Nursery,
        run: Callable[[Job], Awaitable[None]],
        concurrency: int,
    ) -> bool:
        """Begin what there is room for, in order; False if something is no request."""
        async with self._starting:
            before = turns_of((*self._together.values(), self._running))
            for message in tuple(self._waiting):
                together = message.get("command") in asynchronous
                room = len(self._together) < concurrency if together else self._running is None
                turn = turn_of(message)
                waits = not room or has_to_wait(turn, before)
                before.append(turn)
                if waits and "cancelled" not in message and not commands.stopping:
                    continue
                self._waiting.remove(message)
                job = await self._begin(message, commands)
                if job is None:
                    return False
                job.together = together
                if together:
                    self._together[job.received.wire_id] = job
                elif room:
                    self._running = job
                nursery.start_soon(run, job)
        return True

    async def _hello(self) -> dict[str, Any] | None:
        """Read the first message; None if there was none, or something else."""
        decoder = MessageDecoder(_HELLO_LIMIT)
        while data := await self._receive():
            messages = decoder.feed(data)
            if messages:
                return messages[0] if messages[0].get("type") == "hello" else None
            if decoder.error is not None:
                break
        return None

    async def _begin(self, message: dict[str, Any], commands: Commands) -> Job | None:
        """Take a request up: unless it is refused, it is begun. None if it is none."""
        await self._awake()
        wire_id, command, session = (message.get(key) for key in ("id", "command", "session"))
        args = message.get("args")
        if type(wire_id) is not int or not isinstance(command, str) or not isinstance(args, dict):
            return None
        received = ReceivedCommand(
            worker_id=self.worker_id,
            incarnation=self.ident.incarnation,
            wire_id=wire_id,
            command=command,
            args=cast("dict[str, Any]", args),
            session=session,
            at=trio.current_time(),
        )
        commands.count()
        job = Job(received)
        try:
            if commands.stopping:
                raise Refusal("leaving", "this worker has been told to leave")
            if "cancelled" in message:
                raise Refusal("cancelled", "it was taken back", begun=False)
            commands.check_deadline(message.get("deadline"))
            job.plan = self._script.receive(received)
            if job.plan.dies_after(CrashPoint.READ):
                await self._suffer(job.plan)
            if job.plan.violation is not None:
                # At once and at the caller, who would else fail later and elsewhere.
                raise AssertionError(job.plan.violation)
            job.invocation, job.session_used = commands.prepare(received, job.plan.expected)
        except Exception as exc:  # whatever stops it is its answer
            job.refusal = exc
        else:
            self._begun = max(self._begun, wire_id)
        return job

    async def _run(self, job: Job, commands: Commands) -> None:
        """Run what has begun, and answer."""
        if not job.together and job.refusal is None:
            job.task = trio.lowlevel.current_task()
            self._running = job
        try:
            reply = await self._answer(job, commands)
        finally:
            if job.together:
                self._together.pop(job.received.wire_id, None)
            elif self._running is job:
                self._running = None
        if job.interrupted:
            commands.stopping = True
            self._wake()
        await self._say(reply)
        if job.plan.dies_after(CrashPoint.REPLY):
            await self._suffer(job.plan)

    async def _answer(self, job: Job, commands: Commands) -> bytes:
        """Do what a request wants, or what the script has in its stead, and return the reply."""
        wire_id, plan, used = job.received.wire_id, job.plan, job.session_used
        if job.refusal is not None or job.invocation is None:
            return commands.failure(wire_id, job.refusal or AssertionError("neither refused nor begun"))  # noqa: ASYNC910
        result: object = None
        try:
            with job.scope:
                if plan.dies_after(CrashPoint.BEGUN):
                    await self._suffer(plan)
                if plan.delay:
                    with trio.move_on_after(plan.delay):
                        await self._script.healed.wait()
                    await self._awake()
                result = await job.invocation.run()
            # Behind the scope: a command that was cancelled and has returned all the same has returned.
            await self._awake()
            if job.scope.cancelled_caught:
                cancelled = Refusal("cancelled", "it was cancelled", begun=True)
                return commands.failure(wire_id, cancelled, session_used=used)
            if plan.expected is not None and plan.expected.error is not None:
                return commands.failure(wire_id, plan.expected.error, session_used=used)
            if plan.expected is not None and plan.expected.result is not ...:
                result = plan.expected.result
            reply = commands.success(wire_id, result, session_used=used)
        except (Exception, Interrupted, BaseExceptionGroup) as exc:
            reply = commands.raised(wire_id, exc, told=job.told, session_used=used)
        return reply if plan.garbage is None else plan.garbage.data  # noqa: ASYNC910  # saying it has a checkpoint

    async def _suffer(self, plan: Plan) -> None:
        if plan.crash is not None:
            self.deliver(plan.crash.sig)
        await self._awake()

    # -- cancelling ----------------------------------------------------------------------------------------------------

    def _sort(self, data: bytes) -> None:
        """Decode what came: requests wait for their turn, what is cancelled is told so."""
        for message in self._decoder.feed(data):
            wire_id = message.get("id")
            if message.get("type") != "cancel":
                self._waiting.append(message)
            elif self._running is not None and self._running.received.wire_id == wire_id:
                self._running.cancelled = True
            elif isinstance(wire_id, int) and wire_id in self._together:
                self._together[wire_id].scope.cancel()
            else:
                for waiting in self._waiting:
                    if waiting.get("id") == wire_id:
                        waiting["cancelled"] = True

    def _look(self) -> None:
        """Read what is there now, as a command is about to begin or in the middle of one."""
        while True:
            try:
                count = self._end.recv_into(self._buffer)
            except (BlockingIOError, OSError):
                return
            if not count:
                return
            self._sort(bytes(self._buffer[:count]))

    def _interrupt(self) -> None:
        """Do what SIGUSR1 does to a worker whose application has interruptible commands."""
        job = self._running
        if job is None or self._commands is None or job.told:
            return
        self._look()
        if job.cancelled and job.received.command in self._commands.flagged("interruptible"):
            job.told = job.interrupted = True
            job.scope.cancel()

    def _check(self) -> None:
        """Stop the sync command that asks, if it was cancelled."""
        job = self._running
        if job is None or job.task is not trio.lowlevel.current_task():
            return
        self._look()
        if job.cancelled:
            job.told = True
            raise Interrupted("nobody waits for this command any more")

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()

    async def _receive(self) -> bytes | None:
        """Wait for bytes; empty at the end of the stream, None if the worker is to leave instead."""
        while True:
            if not self._leaves():
                with trio.CancelScope() as self._idle:
                    await self._end.wait_readable()
                self._idle = None
            await self._awake()
            if self._leaves():
                return None
            with suppress(BlockingIOError):  # a command has looked meanwhile, and read it all
                return bytes(self._buffer[: self._end.recv_into(self._buffer)])

    def _leaves(self) -> bool:
        """Tell whether it has been told to leave and has finished all it had begun."""
        stopping = self._commands is not None and self._commands.stopping
        return stopping and self._running is None and not self._together

    async def _say(self, data: bytes) -> None:
        rest = memoryview(data)
        async with self._saying:  # of several commands that answer at once, one after the other
            while True:
                await self._awake()
                if not rest:
                    return
                try:
                    rest = rest[self._end.send(rest) :]
                except BlockingIOError:
                    await self._end.wait_writable()

    async def _awake(self) -> None:
        """Come back while the worker is neither frozen nor dead: whatever it does next, it does alive."""
        await trio.lowlevel.checkpoint()
        while self._frozen:
            await self._thawed.wait()
            # Continued and killed in one step, it is on its way already; only a checkpoint tells it of the latter.
            await trio.lowlevel.checkpoint()
