"""What the adapter needs of a pool, and how it speaks to one: time limits out, checked replies in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, cast

import trio

from .._core._errors import InvalidArguments, Outcome, ProtocolError

if TYPE_CHECKING:
    from .._core._config import PoolConfig
    from .._core._session_table import SessionInfo
    from .._pool import PoolHealth, PoolStatus

T = TypeVar("T")


class ProgramPool(Protocol):
    """The part of `SessionPool` the adapter uses."""

    @property
    def config(self) -> PoolConfig:
        """What the pool was opened with: its default time limits."""
        ...

    async def execute_in_session(
        self,
        session_id: str,
        command: str,
        args: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        checkout_timeout: float | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Run a command in a session."""
        ...

    async def execute_anonymous(
        self,
        command: str,
        args: Mapping[str, object] | None = None,
        *,
        timeout: float | None = None,
        checkout_timeout: float | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Run a command on any worker."""
        ...

    async def broadcast(
        self, command: str, args: Mapping[str, object] | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        """Run a command in every worker."""
        ...

    async def health_check(self) -> PoolHealth:
        """Say how the pool fares."""
        ...

    def get_pool_status(self) -> PoolStatus:
        """Say what the pool does."""
        ...

    def get_sessions(self) -> Mapping[str, SessionInfo]:
        """Say what sessions there are."""
        ...


class LimitArgs(TypedDict):
    """What every ``execute_*`` of the pool takes: two time limits in seconds, and whether it may be retried."""

    timeout: float
    checkout_timeout: float
    idempotent: bool


class Limits:
    """The limits of one execution, which may take two commands: both draw on the same budget of time.

    Args:
        options: ``timeout`` and ``checkout_timeout`` in seconds, where one that is absent or None is the pool's own,
            and ``idempotent``, a bool.
        config: The pool's configuration.

    Raises:
        InvalidArguments: An option is unknown, or of the wrong kind.
    """

    def __init__(self, options: object, config: PoolConfig) -> None:
        self._timeout = config.timeout
        self._checkout_timeout = config.checkout_timeout
        self._idempotent = False
        self._start = trio.current_time()
        if options is None:
            return
        if not isinstance(options, Mapping):
            raise InvalidArguments(f"options must be a mapping, not {type(options).__name__}")
        for name, value in cast("Mapping[object, object]", options).items():
            if name == "timeout":
                self._timeout = _seconds(name, value, config.timeout)
            elif name == "checkout_timeout":
                self._checkout_timeout = _seconds(name, value, config.checkout_timeout)
            elif name == "idempotent":
                if value is not None and not isinstance(value, bool):
                    raise InvalidArguments(f"option 'idempotent' must be a bool, not {value!r:.80}")
                self._idempotent = bool(value)
            else:
                raise InvalidArguments(f"unknown option {name!r:.80}; known are timeout, checkout_timeout, idempotent")

    def remaining(self) -> LimitArgs:
        """Return what is left of the limits, for the next command.

        The checkout timeout is charged with all the time gone by as well: the command before was answered as soon as it
        had a worker, so it was waiting for one nearly all of that time.
        """
        spent = trio.current_time() - self._start
        return {
            "timeout": max(0.0, self._timeout - spent),
            "checkout_timeout": max(0.0, self._checkout_timeout - spent),
            "idempotent": self._idempotent,
        }


def _seconds(name: object, value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value < 0:
        raise InvalidArguments(f"option {name!r} must be a number of seconds, not {value!r:.80}")
    return value


def reply_field(reply: object, command: str, name: str, kind: type[T]) -> T:
    """Return one field of a program command's result.

    Raises:
        ProtocolError: The result is not as the program commands give it: the application has a command of that name
            which is another. It ran (outcome executed) and its worker lives.
    """
    if isinstance(reply, Mapping):
        value = cast("Mapping[object, object]", reply).get(name)
        if isinstance(value, kind):
            return value
    raise ProtocolError(
        f"the result of {command!r} has no {kind.__name__} {name!r}",
        reason="bad_result",
        outcome=Outcome.EXECUTED,
        command=command,
    )


def reply_mapping(reply: object, command: str, name: str) -> dict[str, Any]:
    """Return one field of a program command's result that is a mapping; see `reply_field`."""
    return cast("dict[str, Any]", reply_field(reply, command, name, dict))
