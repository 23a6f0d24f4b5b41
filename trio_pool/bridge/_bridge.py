"""The bridge: which commands an application's workers answer."""

from __future__ import annotations

from ._arguments import Arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Final, Protocol, TypeVar, overload

    from ._loading import Loader
    from ._session import Session
    from ._structuring import Structurer

    Function = TypeVar("Function", bound=Callable[..., object])
    StartHook = TypeVar("StartHook", bound=Callable[[], object])
    EndHook = TypeVar("EndHook", bound=Callable[[Session], object])

    class Worker(Protocol):
        """What a resource may ask of the worker it is in."""

        @property
        def loader(self) -> Loader:
            """What finds the functions that requests name; it knows the application's main module."""
            ...

        def hide(self, secret: str) -> None:
            """Keep this text out of all error replies and of what is printed."""
            ...

    class Resource(Protocol):
        """Something a bridge keeps in the worker that the commands ``cleanup`` and ``get_stats`` are about."""

        def attach(self, worker: Worker) -> None:
            """Learn which worker this is in."""
            ...

        def count(self, sessions: Iterable[Session]) -> int:
            """Return how many there are, in these sessions and outside."""
            ...

        def clear(self, session: Session | None) -> int:
            """Drop those of one session, or those of none; return how many."""
            ...

else:

    def overload(function: object) -> object:
        """Stand in for `typing.overload`, which would bring typing into every worker."""
        return function


# The commands every worker answers, whatever its application.
STANDARD: Final = frozenset(
    ("ping", "echo", "sleep", "slow_op", "get_stats", "cleanup_session", "cleanup", "reset_state", "shutdown")
)

# From inspect.CO_*: calling such a function runs nothing yet.
_CO_COROUTINE: Final = 0x80
_UNFINISHED: Final = {
    _CO_COROUTINE: "an async function",
    0x20: "a generator function",
    0x200: "an async generator function",
}


class Command:
    """One function that answers requests by its name."""

    __slots__ = ("_arguments", "flags", "function", "name")

    def __init__(self, name: str, function: Callable[..., object], flags: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.function = function
        self.flags = flags
        self._arguments: Arguments | None = None

    def arguments(self, structurer: Callable[[], Structurer]) -> Arguments:
        """Return the function's parameters, understood once.

        Raises:
            TypeError: With the command's name: an annotation cannot be understood.
        """
        if self._arguments is None:
            try:
                self._arguments = Arguments(self.function, structurer)
            except Exception as exc:
                raise TypeError(f"command {self.name!r}: {exc}") from exc
        return self._arguments


def unfinished(function: object) -> str | None:
    """Return what kind of function this is if calling it would run nothing yet."""
    return next((kind for flag, kind in _UNFINISHED.items() if _code_flags(function) & flag), None)


def _code_flags(function: object) -> int:
    flags: int = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return flags


class Registry:
    """What a bridge has collected; the part of it that the worker reads."""

    __slots__ = ("commands", "end_hooks", "resources", "start_hooks")

    def __init__(self) -> None:
        self.commands: dict[str, Command] = {}
        self.start_hooks: list[Callable[[], object]] = []
        self.end_hooks: list[Callable[[Session], object]] = []
        self.resources: list[Resource] = []


class Bridge:
    """Collects the commands of an application, and what to do at a worker's start and at a session's end.

    A pool is opened with the name of one, ``open_pool("my_app:bridge")``; each worker imports that module and answers
    the bridge's commands beside the standard ones. Commands run one at a time in the worker's main thread, save async
    ones, which run under Trio in another. A command that raises costs its caller a `RemoteError` and nothing else; one
    that calls ``sys.exit`` ends the worker.

    Attributes:
        registry: What was collected, for the worker to read.
    """

    def __init__(self) -> None:
        self.registry = Registry()

    def __repr__(self) -> str:
        return f"<Bridge with {len(self.registry.commands)} commands>"

    @property
    def commands(self) -> Mapping[str, Callable[..., object]]:
        """The registered functions by command name."""
        return {name: command.function for name, command in self.registry.commands.items()}

    @property
    def flags(self) -> Mapping[str, frozenset[str]]:
        """What was declared of the commands that are more than plain ones: ``async``, ``concurrent``,
        ``interruptible``.
        """
        return {name: command.flags for name, command in self.registry.commands.items() if command.flags}

    @overload
    def command(self, function: Function, /) -> Function: ...

    @overload
    def command(  # noqa: F811  # ruff does not follow `overload` above
        self, /, *, concurrent: bool = False, interruptible: bool = False
    ) -> Callable[[Function], Function]: ...

    def command(  # noqa: F811  # as above
        self, function: Any = None, /, *, concurrent: bool = False, interruptible: bool = False
    ) -> Any:
        """Register a function as the command of its name; usable as ``@bridge.command`` and ``@bridge.command()``.

        Arguments are checked against the annotations before the function is entered; a parameter annotated `Session` is
        given the caller's session. The function itself is returned unchanged.

        An async function runs under Trio, in a thread of its own beside the worker's main thread, up to
        `PoolConfig.concurrency` of them at once, and is cancelled when its caller waits no longer.

        Args:
            function: The function.
            concurrent: It may run beside other commands of its session, which otherwise run one at a time.
            interruptible: When its caller waits no longer, raise `Interrupted` in it, wherever it is, by a signal:
                SIGUSR1, for which such an application's workers have this handler and no other. The worker then ends
                and is replaced, for what the command was torn out of may be broken; `Session.check` is the way without
                that. Only for sync commands.

        Raises:
            ValueError: There is such a command already, or it is one of the standard ones.
            TypeError: It is not a function with a name, or it is a generator function, or async and interruptible.
        """
        if function is None:

            def register(function: Any) -> Any:
                return self._register(function, concurrent=concurrent, interruptible=interruptible)

            return register
        return self._register(function, concurrent=concurrent, interruptible=interruptible)

    def _register(self, function: Any, *, concurrent: bool, interruptible: bool) -> Any:
        name = getattr(function, "__name__", None)
        if not callable(function) or not isinstance(name, str):
            raise TypeError(f"a command must be a function with a name, not {function!r}")
        is_async = bool(_code_flags(function) & _CO_COROUTINE)
        kind = None if is_async else unfinished(function)
        if kind is not None:
            raise TypeError(f"command {name!r} is {kind}; a command must be a plain or an async function")
        if is_async and interruptible:
            raise TypeError(f"command {name!r} is async and cannot be interruptible: it is cancelled in any case")
        flags = {"async": is_async, "concurrent": concurrent, "interruptible": interruptible}
        if name in STANDARD or name.startswith("__"):
            raise ValueError(f"every worker has a command {name!r} of its own")
        if name in self.registry.commands:
            raise ValueError(f"duplicate command {name!r}")
        self.registry.commands[name] = Command(name, function, frozenset(flag for flag in flags if flags[flag]))
        return function

    def include(self, other: Bridge) -> None:
        """Take over all that ``other`` has by now: commands and hooks.

        Raises:
            ValueError: Both have a command of the same name; nothing is taken over.
        """
        mine, theirs = self.registry, other.registry
        both = mine.commands.keys() & theirs.commands.keys()
        if both:
            raise ValueError(f"duplicate command {min(both)!r}")
        mine.commands.update(theirs.commands)
        mine.start_hooks += theirs.start_hooks
        mine.end_hooks += theirs.end_hooks
        mine.resources += theirs.resources

    def on_start(self, hook: StartHook, /) -> StartHook:
        """Register a function that each worker calls before it is ready; if it raises, its start has failed."""
        self.registry.start_hooks.append(hook)
        return hook

    def on_session_end(self, hook: EndHook, /) -> EndHook:
        """Register a function that is called with a session when that ends, in the worker where it has lived.

        A session that dies with its worker ends without it. All hooks run even if one raises; the first error is the
        reply.
        """
        self.registry.end_hooks.append(hook)
        return hook
