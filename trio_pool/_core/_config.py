"""The pool's configuration: one frozen value, checked when it is made.

Whatever is wrong with it is a ValueError that names the field by its path, as in ``health.interval``, wherever the
value came from: the constructor, `PoolConfig.evolve`, a TOML file or the environment. Policies inside it may be given
as mappings of what differs from their defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar, cast

import attrs

from ._restart import Backoff, RestartPolicy, number

if TYPE_CHECKING:
    from os import PathLike
    from typing import Self, Unpack

    from ._events import PoolEvent

MIN_FRAME: Final = 4096  # room for a hello with a long sys_path and for an error reply with its traceback
MAX_FRAME: Final = 2**32 - 1  # what the four bytes of a frame's header can say

_P = TypeVar("_P", bound=attrs.AttrsInstance)


class _Checked:
    """Makes an unknown keyword a ValueError naming it, like every other mistake in a configuration."""

    __slots__ = ()

    def __new__(cls, **options: object) -> Self:
        # In `__new__`, for it runs before the `__init__` that attrs writes. Type checkers read the latter and report
        # misspelt names all the same.
        _refuse_unknown(cls, options, "")
        return super().__new__(cls)


def _refuse_unknown(cls: type, options: Mapping[str, object], path: str) -> None:
    known = [field.name for field in attrs.fields(cls)]
    for name in options:
        if name not in known:
            raise ValueError(f"{path}{name} is not a field of {cls.__name__}; there are {', '.join(known)}")


def _updated(policy: _P, changes: Mapping[str, object], path: str) -> _P:
    """Return the policy with some fields changed, policies inside it likewise; errors begin with ``path``."""
    _refuse_unknown(type(policy), changes, path)
    values: dict[str, object] = {}
    for name, value in changes.items():
        current: object = getattr(policy, name)
        if isinstance(current, _POLICIES) and isinstance(value, Mapping):
            values[name] = _updated(current, cast("Mapping[str, object]", value), f"{path}{name}.")
        else:
            values[name] = value
    try:
        return attrs.evolve(policy, **values)  # type: ignore[misc]  # mypy wants one class; any attrs class will do
    except ValueError as exc:
        raise ValueError(f"{path}{exc}") from exc


def _integer(
    at_least: int | None = None, at_most: int | None = None
) -> Callable[[object, attrs.Attribute[int], int], None]:
    """Make an attrs validator for a whole number; a bool is not one."""
    wanted = "an int"
    if at_least is not None:
        wanted += f" >= {at_least}"
    if at_most is not None:
        wanted += f" and <= {at_most}"

    # Here and below a value is an object: its declared type is a promise that files and untyped callers never made.
    def validate(_instance: object, attribute: attrs.Attribute[int], value: object) -> None:
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or (at_least is not None and value < at_least)
            or (at_most is not None and value > at_most)
        ):
            raise ValueError(f"{attribute.name} must be {wanted}, not {value!r}")

    return validate


def _text(_instance: object, attribute: attrs.Attribute[str | None], value: object) -> None:
    if value is not None and (not isinstance(value, str) or not value or "\0" in value):
        raise ValueError(f"{attribute.name} must be a non-empty str or None, not {value!r}")


def _hook(_instance: object, attribute: attrs.Attribute[Callable[[PoolEvent], None] | None], value: object) -> None:
    if value is not None and not callable(value):
        raise ValueError(f"{attribute.name} must be callable or None, not {value!r}")


def _launcher(_instance: object, attribute: attrs.Attribute[object], value: object) -> None:
    if value is not None and not callable(getattr(value, "open", None)):
        raise ValueError(f"{attribute.name} must have an open() method or be None, not {value!r}")


def _variables(_instance: object, attribute: attrs.Attribute[Mapping[str, str] | None], value: object) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise ValueError(f"{attribute.name} must be a mapping of str to str or None, not {value!r}")
    for name, text in cast("Mapping[object, object]", value).items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ValueError(f"{attribute.name} has {name!r}, which cannot be the name of a variable")
        if not isinstance(text, str) or "\0" in text:
            raise ValueError(f"{attribute.name}.{name} must be a str without null characters")


def _copied(value: Mapping[str, str] | None) -> Mapping[str, str] | None:
    # What the caller does to their mapping later must not reach into a frozen value.
    return dict(value) if isinstance(value, Mapping) else value


def _only_names(value: Mapping[str, str] | None) -> str:
    # Values of variables are often secrets, and configurations end up in logs.
    return repr(value if value is None else sorted(value))


@attrs.frozen(kw_only=True)
class HealthPolicy(_Checked):
    """How idle workers are watched. A busy one is judged by its request's deadline alone.

    Args:
        interval: Seconds between two pings of an idle worker.
        timeout: Seconds a ping may take.
        misses: Unanswered pings in a row after which the worker is killed and replaced.

    Raises:
        ValueError: A value is out of range or a name unknown; the message names the field.
    """

    interval: float = attrs.field(default=5.0, validator=number(above=0))
    timeout: float = attrs.field(default=2.0, validator=number(above=0))
    misses: int = attrs.field(default=2, validator=_integer(1))


@attrs.frozen(kw_only=True)
class SessionPolicy(_Checked):
    """How long and how many sessions are kept.

    Args:
        ttl: Seconds after its last use at which an idle session is ended.
        max_sessions: Sessions tracked at once; one more is refused with `SessionLimit`.

    Raises:
        ValueError: A value is out of range or a name unknown; the message names the field.
    """

    ttl: float = attrs.field(default=3600.0, validator=number(above=0))
    max_sessions: int = attrs.field(default=10_000, validator=_integer(1))


@attrs.frozen(kw_only=True)
class RetryPolicy(_Checked):
    """How often an idempotent request is tried again whose worker died after it had begun it.

    A retry goes to another worker, inside the request's own budget of time. One that had not begun is dispatched again
    without any of this.

    Args:
        max_retries: Retries of one request; 0 for none.
        budget: Retries of the whole pool, as a share of the requests of the last ten seconds.
        min_budget: As many retries in ten seconds there may always be.
        poison_after: A request that had begun on so many workers that died is not tried again, but fails with
            `PoisonRequest`, retries left or not. With fewer than ``poison_after - 1`` retries it never comes to that.

    Raises:
        ValueError: A value is out of range or a name unknown; the message names the field.

    .. versionadded:: 0.1
    """

    max_retries: int = attrs.field(default=1, validator=_integer(0))
    budget: float = attrs.field(default=0.1, validator=number(at_least=0))
    min_budget: int = attrs.field(default=10, validator=_integer(0))
    poison_after: int = attrs.field(default=3, validator=_integer(1))


# Policies that may be given as mappings of what differs.
_POLICIES: Final = (RestartPolicy, Backoff, HealthPolicy, SessionPolicy, RetryPolicy)


def _restart_policy(value: RestartPolicy | Mapping[str, object]) -> RestartPolicy:
    return _updated(RestartPolicy(), value, "restart.") if isinstance(value, Mapping) else value


def _health_policy(value: HealthPolicy | Mapping[str, object]) -> HealthPolicy:
    return _updated(HealthPolicy(), value, "health.") if isinstance(value, Mapping) else value


def _session_policy(value: SessionPolicy | Mapping[str, object]) -> SessionPolicy:
    return _updated(SessionPolicy(), value, "sessions.") if isinstance(value, Mapping) else value


def _retry_policy(value: RetryPolicy | Mapping[str, object]) -> RetryPolicy:
    return _updated(RetryPolicy(), value, "retry.") if isinstance(value, Mapping) else value


def _policy(cls: type[_P]) -> Callable[[object, attrs.Attribute[_P], _P], None]:
    def validate(_instance: object, attribute: attrs.Attribute[_P], value: object) -> None:
        if not isinstance(value, cls):
            raise ValueError(f"{attribute.name} must be a {cls.__name__} or a mapping of its fields, not {value!r}")

    return validate


class PoolOptions(TypedDict, total=False):
    """The fields of `PoolConfig` as keyword arguments; policies may be mappings of their fields."""

    size: int | None
    overflow: int
    standby: int
    checkout_timeout: float
    timeout: float
    abandon_grace: float
    concurrency: int
    max_queue: int
    lease_warning: float
    start_timeout: float
    shutdown_grace: float
    restart: RestartPolicy | Mapping[str, object]
    health: HealthPolicy | Mapping[str, object]
    sessions: SessionPolicy | Mapping[str, object]
    retry: RetryPolicy | Mapping[str, object]
    max_frame: int
    env: Mapping[str, str] | None
    cwd: str | None
    python: str | None
    launcher: object | None
    on_event: Callable[[PoolEvent], None] | None
    seed: int | None


@attrs.frozen(kw_only=True)
class PoolConfig(_Checked):
    """All settings of a pool. Times are in seconds.

    Args:
        size: Workers kept serving; None for twice the CPUs this process may use.
        overflow: Extra workers started when all are busy and requests wait, dismissed when none waits; sessions never
            bind to them.
        standby: Workers kept ready beside those that serve, each promoted at once when one of those dies.
        checkout_timeout: Longest wait for a worker; ``math.inf`` for no limit, 0 for no wait.
        timeout: Whole budget of a command: its wait in the queue, its execution and its retries together;
            ``math.inf`` for no limit.
        abandon_grace: How long a command nobody waits for may run on before its worker is killed.
        concurrency: Async commands that one worker may run at once, beside at most one sync command.
        max_queue: Requests that may wait; one more is refused at once with `PoolSaturated`.
        lease_warning: A lease held longer than this is named in the log, with the task and the line that took it;
            ``math.inf`` for never.
        start_timeout: Longest time from spawn to ready; ``math.inf`` for no limit. Kept broadcasts come on
            top: each has ``timeout``, or if that is ``math.inf`` this.
        shutdown_grace: How long a pool that closes lets running requests finish.
        restart: When and how soon dead workers are replaced, and when the pool gives up.
        health: How idle workers are watched.
        sessions: How long and how many sessions are kept.
        retry: How often idempotent requests are tried again whose workers died.
        max_frame: Largest message in bytes, either way; refused before it is allocated.
        env: Variables added to the workers' environment.
        cwd: The workers' working directory; None for the application's.
        python: The workers' interpreter; None for the application's.
        launcher: Where workers run; None for local processes.
        on_event: Called synchronously with each event where it happens; disabled if it raises.
        seed: Source of every random choice; None for an unpredictable one.

    Raises:
        ValueError: A value is out of range, a name is unknown, or ``restart.max_restarts`` can never be reached with
            that many workers; the message names the field.
    """

    size: int | None = attrs.field(default=None, validator=attrs.validators.optional(_integer(1)))
    overflow: int = attrs.field(default=0, validator=_integer(0))
    standby: int = attrs.field(default=0, validator=_integer(0))
    checkout_timeout: float = attrs.field(default=5.0, validator=number(at_least=0, infinite=True))
    timeout: float = attrs.field(default=30.0, validator=number(above=0, infinite=True))
    abandon_grace: float = attrs.field(default=1.0, validator=number(at_least=0))
    concurrency: int = attrs.field(default=1, validator=_integer(1))
    max_queue: int = attrs.field(default=1000, validator=_integer(0))
    lease_warning: float = attrs.field(default=60.0, validator=number(above=0, infinite=True))
    start_timeout: float = attrs.field(default=30.0, validator=number(above=0, infinite=True))
    shutdown_grace: float = attrs.field(default=5.0, validator=number(at_least=0))
    restart: RestartPolicy = attrs.field(
        factory=RestartPolicy, converter=_restart_policy, validator=_policy(RestartPolicy)
    )
    health: HealthPolicy = attrs.field(factory=HealthPolicy, converter=_health_policy, validator=_policy(HealthPolicy))
    sessions: SessionPolicy = attrs.field(
        factory=SessionPolicy, converter=_session_policy, validator=_policy(SessionPolicy)
    )
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, converter=_retry_policy, validator=_policy(RetryPolicy))
    max_frame: int = attrs.field(default=64 * 2**20, validator=_integer(MIN_FRAME, MAX_FRAME))
    env: Mapping[str, str] | None = attrs.field(default=None, converter=_copied, validator=_variables, repr=_only_names)
    cwd: str | None = attrs.field(default=None, validator=_text)
    python: str | None = attrs.field(default=None, validator=_text)
    launcher: object | None = attrs.field(default=None, validator=_launcher)
    on_event: Callable[[PoolEvent], None] | None = attrs.field(default=None, validator=_hook)
    seed: int | None = attrs.field(default=None, validator=attrs.validators.optional(_integer()))

    def __attrs_post_init__(self) -> None:
        # Without a size the pool makes this check, once it knows how many CPUs there are.
        if self.size is not None:
            try:
                self.restart.check(self.size + self.standby)
            except ValueError as exc:
                raise ValueError(f"restart.{exc}") from exc

    def evolve(self, **overrides: Unpack[PoolOptions]) -> PoolConfig:
        """Return a copy with some fields changed.

        A policy given as a mapping changes the named fields of this configuration's policy and keeps the others.

        Raises:
            ValueError: As for the constructor.
        """
        return _updated(self, overrides, "")

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> PoolConfig:
        """Read a configuration from a TOML file.

        Its top level holds the fields, ``[restart]``, ``[health]``, ``[sessions]`` and ``[retry]`` the policies.
        ``launcher`` and ``on_event`` are objects and cannot come from a file.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not TOML, or a value or name in it is wrong; the message names the file and the field.
        """
        from ._config_sources import from_toml

        return from_toml(Path(path))

    @classmethod
    def from_env(cls, prefix: str, environ: Mapping[str, str] | None = None) -> PoolConfig:
        """Read a configuration from environment variables: ``PREFIX_SIZE=4``, ``PREFIX_RESTART__WITHIN=5``.

        Every variable that begins with the prefix and an underscore must be a field; two underscores go one level down.
        ``PREFIX_ENV__NAME`` sets the variable ``NAME`` of the workers. Infinity is ``inf``.

        Args:
            prefix: Without its last underscore, not empty.
            environ: The variables; None for those of this process.

        Raises:
            ValueError: A value or name is wrong; the message names the field.
        """
        from ._config_sources import from_env

        return from_env(prefix, environ)
