"""A worker in memory: the task that stands for its process, and the handle by which it is owned.

The task is shielded. Like a process it does not die because the scope of whoever started it was cancelled: it is still
there to be asked to leave, and ends when it leaves, when it is killed, or at the latest when it is reaped.

What happens to a process from outside happens here in one step, without a checkpoint: a signal that is deadly ends the
worker, and closes its end of the connection, before `MockWorker.deliver` returns.
"""

from __future__ import annotations

import os
import signal
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from .. import Exited, Signaled, WorkerIdent
from ..wire import CODEC, PROTOCOL, MessageDecoder, encode_json, encode_leaving
from ._mock_commands import Commands
from ._mock_pipe import open_pair
from ._mock_script import CrashPoint, InitFailure, ReceivedCommand

if TYPE_CHECKING:
    from collections.abc import Mapping

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
            if self._idle is not None:
                self._idle.cancel()
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
                    code = exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 1
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
            await self._say(encode_json({"type": "failed", "error": _init_error(failure.message)}))
            return 1
        max_frame = int(hello["max_frame"])
        commands = self._commands = Commands(self.worker_id, max_frame, self._functions)
        ready = {
            "type": "ready",
            "protocol": PROTOCOL,
            "codec": CODEC,
            "pid": None,
            "begun": "page",
            "commands": commands.names(),
        }
        await self._say(encode_json(ready))
        decoder = MessageDecoder(max_frame)
        decoder.feed(encode_json({}))  # it still expects a first message in JSON, and that has been read
        while (data := await self._receive()) is not None:
            if not data:
                return 0
            for message in decoder.feed(data):
                if message.get("type") == "cancel":
                    continue  # one command at a time, so what it names has been answered
                if not await self._handle(message, commands):
                    return os.EX_PROTOCOL
                if commands.stopping:
                    break
            if decoder.error is not None:
                return os.EX_PROTOCOL
        await self._say(encode_leaving())
        return 0

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

    async def _handle(self, message: dict[str, Any], commands: Commands) -> bool:
        """Answer one request; False if it is none."""
        await self._awake()
        wire_id, command, session = (message.get(key) for key in ("id", "command", "session"))
        args = message.get("args")
        if type(wire_id) is not int or not isinstance(command, str) or not isinstance(args, dict):
            return False
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
        plan = self._script.receive(received)
        if plan.crash is not None and plan.dies_after(CrashPoint.READ):
            self.deliver(plan.crash.sig)
            await self._awake()
        await self._say(await self._answer(received, plan, commands))
        if plan.crash is not None and plan.dies_after(CrashPoint.REPLY):
            self.deliver(plan.crash.sig)
            await self._awake()
        return True

    async def _answer(self, received: ReceivedCommand, plan: Plan, commands: Commands) -> bytes:
        """Do what a request wants, or what the script has in its stead, and return the reply."""
        if plan.violation is not None:
            # At once and at the caller, who would else fail later and elsewhere.
            return commands.failure(received.wire_id, AssertionError(plan.violation))  # noqa: ASYNC910  # as below
        used = False
        try:
            invocation, used = commands.prepare(received, plan.expected)
            self._begun = received.wire_id
            if plan.crash is not None and plan.dies_after(CrashPoint.BEGUN):
                self.deliver(plan.crash.sig)
                await self._awake()
            if plan.delay:
                with trio.move_on_after(plan.delay):
                    await self._script.healed.wait()
                await self._awake()
            result = await invocation.run()
            await self._awake()
            if plan.expected is not None and plan.expected.error is not None:
                return commands.failure(received.wire_id, plan.expected.error, session_used=used)
            if plan.expected is not None and plan.expected.result is not ...:
                result = plan.expected.result
            reply = commands.success(received.wire_id, result, session_used=used)
        except Exception as exc:  # whatever a command raises is its answer
            reply = commands.failure(received.wire_id, exc, session_used=used, raised=True)
        return reply if plan.garbage is None else plan.garbage.data  # noqa: ASYNC910  # saying it has a checkpoint

    async def _receive(self) -> bytes | None:
        """Wait for bytes; empty at the end of the stream, None if the worker is to leave instead."""
        if not self._leaves():
            with trio.CancelScope() as self._idle:
                await self._end.wait_readable()
            self._idle = None
        await self._awake()
        if self._leaves():
            return None
        return bytes(self._buffer[: self._end.recv_into(self._buffer)])

    def _leaves(self) -> bool:
        return self._commands is not None and self._commands.stopping

    async def _say(self, data: bytes) -> None:
        rest = memoryview(data)
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


def _init_error(message: str) -> dict[str, str]:
    trace = f"Traceback (most recent call last):\n  (the application of a MockPort)\nRuntimeError: {message}\n"
    return {"kind": "init", "type": "RuntimeError", "message": message, "traceback": trace}
