"""MockPort: workers in memory that speak the real bytes.

A launcher like any other, so that what runs over it is the real pool, the real worker and the real codec, down to the
frames; only the processes are missing, and with them all that is slow and all that is left to chance. On the virtual
clock of `trio.testing.MockClock` an hour passes in no time. One suite of tests holds it and real workers to the same
contract.
"""

from __future__ import annotations

import inspect
import math
import signal
from typing import TYPE_CHECKING, Any, ClassVar, Final

import trio

from ..bridge import Bridge
from ._mock_arguments import Function
from ._mock_script import (
    Crash,
    CrashPoint,
    Delay,
    Expectation,
    Fault,
    Garbage,
    InitFailure,
    ReceivedCommand,
    Script,
    SpawnFailure,
)
from ._mock_worker import MockWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from .. import WorkerSpec
    from ._mock_script import Which

_FLAGS: Final = frozenset(("async", "concurrent", "interruptible"))
_RUN: Final = ...  # the result of a command that is not answered otherwise, but run


class MockPort:
    """Starts workers in memory: ``open_pool(launcher=MockPort())``, ``open_worker(config=PoolConfig(launcher=...))``.

    Its workers answer the standard commands and the program commands as real ones do, each with sessions of its own,
    one command at a time, save async ones; time is Trio's. A program is not run: its outputs are those of
    `expected_output`. Whatever application the pool was told to load is not imported; its commands are given by
    `command` or `include`.

    What is to go wrong, or to be answered otherwise, is said by the methods below, before or while workers run. All of
    it is about every worker, those started later included, unless ``worker`` names one: by its incarnation, an int, or
    by its worker id, a str, which in a pool is the slot's (``"pool-0"``) and so that of all its incarnations. Faults
    happen ``times`` times, or, if that is None, until `heal`.

    As a context manager it calls `verify` at the end of a body that raised nothing.

    No thread, no descriptor and, once a worker is reaped, no task is left. A worker in memory has no process id and
    prints nothing.

    Args:
        chunk: The most bytes that travel in one piece, and at random fewer; None for as many as there are. With 1,
            every frame arrives byte by byte. A worker that is closed may then hear of it by SIGTERM, 0.4 s later: its
            connection takes no more once the first piece of the shutdown is sent.
        seed: The source of the pieces' sizes.

    Raises:
        ValueError: ``chunk`` is less than 1.

    .. versionadded:: 0.1
    """

    test_layers: ClassVar[frozenset[str]] = frozenset(("unit", "component"))
    """The layers of tests that this launcher can serve."""

    def __init__(self, *, chunk: int | None = None, seed: int = 0) -> None:
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1 or None, not {chunk!r}")
        self._chunk = chunk
        self._seed = seed
        self._script = Script()
        self._functions: dict[str, Function] = {}
        self._workers: list[MockWorker] = []

    def __repr__(self) -> str:
        return f"<MockPort with {len(self.workers)} workers, {len(self._script.history)} commands received>"

    @classmethod
    def healthy(cls) -> Self:
        """Return a port whose workers answer."""
        return cls()

    @classmethod
    def unhealthy(cls) -> Self:
        """Return a port whose workers get ready and then answer nothing."""
        port = cls()
        port.simulate_timeout()
        return port

    # -- the launcher --------------------------------------------------------------------------------------------------

    async def open(self, spec: WorkerSpec, nursery: trio.Nursery, /) -> MockWorker:
        """Start a worker; see `trio_pool.Launcher`.

        Raises:
            OSError: `simulate_spawn_failure` said so.
        """
        await trio.lowlevel.checkpoint()
        # No checkpoint from here on: a cancelled open must leave nothing behind.
        failure = self._script.start(spec.worker_id, spec.incarnation, SpawnFailure)
        if isinstance(failure, SpawnFailure):
            raise failure.error
        worker = MockWorker(spec, self._script, self._functions, self._chunk, self._seed)
        self._workers = [each for each in self._workers if each.alive]
        self._workers.append(worker)
        nursery.start_soon(worker.run, name=repr(worker))
        return worker

    @property
    def workers(self) -> tuple[MockWorker, ...]:
        """The living workers in the order of their start; ``await port.workers[0].signal(signal.SIGSTOP)``."""
        return tuple(worker for worker in self._workers if worker.alive)

    # -- what is to be answered ----------------------------------------------------------------------------------------

    def command(self, name: str, function: Callable[..., object], *, flags: Iterable[str] = ()) -> None:
        """Have the workers started from now on run a function as a command, also in place of one they have.

        It gets the arguments by name, as in a real worker: plain annotations are checked, and a parameter annotated
        `trio_pool.bridge.Session` gets the session. It is called in this process, so a sync one must not block; an
        async one may wait. What it raises is the command's error.

        Args:
            name: The command's name.
            function: The function. Without the flag ``async`` an async one stands for a sync command: it has the worker
                to itself, and ends by a cancellation only if it is ``interruptible``.
            flags: What is declared of the command: any of ``async``, ``concurrent`` and ``interruptible``.

        Raises:
            TypeError: It is not callable, or has no signature, or is no async function although flagged so.
            ValueError: There is no such flag.
        """
        flags = frozenset(flags)
        if not flags <= _FLAGS:
            raise ValueError(f"a command may be {', '.join(sorted(_FLAGS))}, not {min(flags - _FLAGS)!r}")
        if "async" in flags and not inspect.iscoroutinefunction(function):
            raise TypeError(f"command {name!r} is flagged async and is not: {function!r}")
        self._functions[name] = Function(function, flags)

    def include(self, bridge: Bridge) -> None:
        """Add all commands of a bridge, as `command` does; its start and end hooks are not called.

        The commands it has from `trio_pool.bridge.builtin` remain those of the workers in memory.
        """
        for name, function in bridge.commands.items():
            if not getattr(function, "__module__", "").startswith(Bridge.__module__.rpartition(".")[0]):
                self.command(name, function, flags=bridge.flags.get(name, ()))

    def expect_command(
        self,
        command: str,
        result: Any = _RUN,
        *,
        error: Exception | None = None,
        args: Mapping[str, object] | None = None,
        worker: Which = None,
    ) -> None:
        """Expect a command, and say how it is answered: the next such command is, and only that one.

        Expectations are to be met in the order they were added; other commands may come in between and are answered as
        ever. A command that comes before its turn is answered as told, and `verify` fails. One with other arguments
        is answered with an error, and `verify` fails.

        Args:
            command: Its name.
            result: What it returns; left out, it is run as ever.
            error: What it fails with instead. An error of ``trio_pool.errors`` that workers send, such as
                `InvalidArguments` or `RemoteError`, reaches the caller as such, any other as a `RemoteError`.
            args: The arguments it must have; None for any.
            worker: Which worker is meant.

        Raises:
            ValueError: Both ``result`` and ``error`` are given.
        """
        if error is not None and result is not _RUN:
            raise ValueError("a command has either a result or an error")
        self._script.expect(Expectation(command=command, result=result, error=error, args=args, worker=worker))

    def expect_sequence(self, commands: Iterable[str | Sequence[Any]], *, worker: Which = None) -> None:
        """Expect commands in exactly this order, with no other in between.

        A command that does not fit is answered with an error, and `verify` fails. Pings of a pool's health checks
        count as well: give it a long ``health.interval``.

        Args:
            commands: Each is a name, ``(name, result)`` or ``(name, result, args)``.
            worker: Which worker is meant; only its commands count.

        Raises:
            ValueError: A command is none of these.
        """
        expectations: list[Expectation] = []
        for each in commands:
            parts: tuple[Any, ...] = (each,) if isinstance(each, str) else tuple(each)
            if not 1 <= len(parts) <= 3 or not isinstance(parts[0], str):
                form = "a name, (name, result) or (name, result, args)"
                raise ValueError(f"a command of a sequence is {form}, not {each!r}")
            expected = Expectation(command=parts[0], worker=worker, strict=True)
            expected.result = parts[1] if len(parts) > 1 else _RUN
            expected.args = parts[2] if len(parts) > 2 else None
            expectations.append(expected)
        self._script.expect(*expectations)

    @property
    def history(self) -> Sequence[ReceivedCommand]:
        """Every command that any worker received, health checks and the end's ``shutdown`` included, in order.

        It is as long as the test: nothing is ever dropped from it.
        """
        return tuple(self._script.history)

    def verify(self) -> None:
        """Check that all that was expected came, and in its order.

        Raises:
            AssertionError: With what was expected and what was seen.
        """
        if self._script.problems():
            raise AssertionError(self._script.report())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An error of the body's own says more than what came of it.
        if kind is None:
            self.verify()

    # -- what is to go wrong -------------------------------------------------------------------------------------------

    def simulate_timeout(self, command: str | None = None, *, worker: Which = None, times: int | None = None) -> None:
        """Have a command never end; its worker answers nothing more.

        It reads and begins the command, ignores SIGTERM as a worker does that runs a command, and ends when it is
        killed, or, once `heal` was called, goes on as if nothing had been.

        Args:
            command: Which command; None for any.
            worker: Which worker.
            times: How often.
        """
        self._script.add(Fault(effect=Delay(math.inf), command=command, worker=worker, times=times))

    def simulate_slow_response(
        self,
        seconds: float | Callable[[ReceivedCommand], float],
        command: str | None = None,
        *,
        worker: Which = None,
        times: int | None = None,
    ) -> None:
        """Have a command take so much longer; several such delays add up.

        Args:
            seconds: By Trio's clock; ``math.inf`` for a command that never ends. Or a function that is called with each
                such command and says how many, 0 for none.
            command: Which command; None for any.
            worker: Which worker.
            times: How often.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if not callable(seconds) and not seconds >= 0:
            raise ValueError(f"seconds must be at least 0, not {seconds!r}")
        self._script.add(Fault(effect=Delay(seconds), command=command, worker=worker, times=times))

    def simulate_crash(
        self,
        sig: int = signal.SIGKILL,
        *,
        after: CrashPoint | str = CrashPoint.BEGUN,
        command: str | None = None,
        worker: Which = None,
        times: int | None = 1,
    ) -> None:
        """Have a worker get a signal from a command: a deadly one kills it, SIGSTOP freezes it, SIGTERM has it leave.

        Args:
            sig: The signal.
            after: ``"read"``: when it has read the command; ``"begun"``: when it has begun it; ``"reply"``: when it
                has answered.
            command: Which command; None for the next, whatever it is.
            worker: Which worker.
            times: How often.

        Raises:
            ValueError: ``after`` is none of these.
        """
        self._script.add(Fault(effect=Crash(sig, after), command=command, worker=worker, times=times))

    def simulate_garbage(
        self, data: bytes, command: str | None = None, *, worker: Which = None, times: int | None = 1
    ) -> None:
        """Have these bytes sent in place of a reply, as they are: no frame is put around them.

        Args:
            data: The bytes.
            command: Which command is answered so; None for the next, whatever it is.
            worker: Which worker.
            times: How often.
        """
        self._script.add(Fault(effect=Garbage(data), command=command, worker=worker, times=times))

    def simulate_spawn_failure(
        self, error: OSError | None = None, *, worker: Which = None, times: int | None = 1
    ) -> None:
        """Have `open` raise an error: the worker cannot even be started.

        Args:
            error: The error; None for a missing program.
            worker: Which worker.
            times: How often.
        """
        effect = SpawnFailure(FileNotFoundError(2, "No such file or directory") if error is None else error)
        self._script.add(Fault(effect=effect, worker=worker, times=times))

    def simulate_init_failure(
        self, message: str = "broken on purpose", *, worker: Which = None, times: int | None = 1
    ) -> None:
        """Have a worker say that it cannot load its application, and end.

        Args:
            message: Why it cannot.
            worker: Which worker.
            times: How often.
        """
        self._script.add(Fault(effect=InitFailure(message), worker=worker, times=times))

    def heal(self) -> None:
        """Take all faults back, delays that have begun included: those commands go on at once. Expectations stay."""
        self._script.heal()
