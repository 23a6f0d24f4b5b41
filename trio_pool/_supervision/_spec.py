"""Child specifications: what a supervisor is told about a child before it starts it."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs
import trio

from .._core._errors import RestartIntensityExceeded
from .._core._groups import leaves
from .._core._restart import Backoff, Restart, as_restart, is_number, number
from .._core._strategy import AutoShutdown, ChildType, Ending, member_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

Shutdown: TypeAlias = float | Literal["brutal_kill", "infinity"]
"""How long a child may take to stop: seconds, or one of OTP's two words."""

BRUTAL_KILL: Final = "brutal_kill"

_WORKER_SHUTDOWN: Final = 5.0
"""OTP's default for workers. Supervisors get `math.inf`, for their children have limits of their own."""


class PlannedExit(Exception):
    """Raised by a started child that ends by plan and is to be replaced: neither a crash nor the end of its work.

    A permanent or transient child is started again at once, uncharged and undelayed; a temporary one never is. A
    transient child that has done its work returns instead. The supervisor trusts it: a child that does nothing but
    raise it is restarted for ever.
    """


class IgnoreStart(Exception):
    """Raised by a startable, before it has started, that declines to run: OTP's ``ignore``.

    Its start counts as successful, though no child runs: its specification is kept (a temporary child's is not, nor is
    one of a dynamic supervisor), and `Supervisor.restart_child` tries again.
    """


def _validate_id(_instance: object, _attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"id must be a non-empty str, not {value!r}")


def _validate_start(
    _instance: object, _attribute: attrs.Attribute[Callable[..., Awaitable[object]]], value: object
) -> None:
    if not callable(value):
        raise ValueError(f"start must be an async function, not {value!r}")


def _validate_shutdown(_instance: object, _attribute: attrs.Attribute[Shutdown], value: object) -> None:
    if value == BRUTAL_KILL or (isinstance(value, (int, float)) and is_number(value) and value >= 0):
        return
    raise ValueError(f"shutdown must be a number >= 0, {BRUTAL_KILL!r} or 'infinity', not {value!r}")


def _as_shutdown(value: Shutdown) -> Shutdown:
    return math.inf if value == "infinity" else value


def _usual_shutdown(spec: ChildSpec) -> Shutdown:
    return math.inf if spec.type is ChildType.SUPERVISOR else _WORKER_SHUTDOWN


def _as_type(value: ChildType | str) -> ChildType:
    return member_of(ChildType, "type", value)


def _validate_significant(_instance: object, _attribute: attrs.Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"significant must be True or False, not {value!r}")


def _validate_backoff(_instance: object, _attribute: attrs.Attribute[Backoff | None], value: object) -> None:
    if value is not None and not isinstance(value, Backoff):
        raise ValueError(f"backoff must be a Backoff or None, not {value!r}")


@attrs.frozen(kw_only=True)
class ChildSpec:
    """How a child is started, restarted and stopped.

    Args:
        id: Its name, unique under one supervisor.
        start: An async function. If it takes a keyword ``task_status`` it is a startable as `trio.Nursery.start`
            knows them: it has started when it calls ``task_status.started(value)``, and what it raises before that is a
            failed start. Otherwise it counts as started at once, and all it raises is a crash. `HeldOpen` makes a
            startable of an async context manager, `CommandLine` of a program; `supervisor_spec` makes a whole
            specification of others.
        restart: After which exits it is started again: ``permanent``, ``transient`` or ``temporary``.
        shutdown: Seconds it may take to stop once cancelled, before that is reported. A task cannot be killed, so it is
            waited for in any case; ``"infinity"`` never reports, save that a supervisor is reported when all the
            seconds of those below it have passed. ``"brutal_kill"`` gives it no time at all. A `CommandLine` is a
            process and really is killed, when the time is over or, by ``"brutal_kill"``, at once. The default is 5
            for a worker and ``"infinity"`` for a supervisor.
        args: Positional arguments of ``start``.
        start_timeout: Seconds a startable may take to start. Longer is a failed start with `trio.TooSlowError`.
        type: ``worker`` or ``supervisor``.
        significant: Whether its end by itself may stop its supervisor; see ``auto_shutdown`` of `open_supervisor`.
        backoff: The delays of its restarts; None for its supervisor's.

    Raises:
        ValueError: A value is out of range or two of them do not go together; the message names the field.
    """

    id: str = attrs.field(validator=_validate_id)
    start: Callable[..., Awaitable[object]] = attrs.field(validator=_validate_start)
    restart: Restart = attrs.field(default=Restart.PERMANENT, converter=as_restart)
    type: ChildType = attrs.field(default=ChildType.WORKER, converter=_as_type)
    shutdown: Shutdown = attrs.field(
        default=attrs.Factory(_usual_shutdown, takes_self=True), converter=_as_shutdown, validator=_validate_shutdown
    )
    args: tuple[Any, ...] = ()
    start_timeout: float = attrs.field(default=math.inf, validator=number(above=0, infinite=True))
    significant: bool = attrs.field(default=False, validator=_validate_significant)
    backoff: Backoff | None = attrs.field(default=None, validator=_validate_backoff)

    def __attrs_post_init__(self) -> None:
        if self.significant and self.restart is Restart.PERMANENT:
            raise ValueError("significant: bad_combination with restart='permanent', such a child never ends for good")

    @property
    def startable(self) -> bool:
        """Whether ``start`` takes ``task_status`` by keyword."""
        try:
            parameter = inspect.signature(self.start).parameters.get("task_status")
        except (TypeError, ValueError):  # some callables, such as builtins, have no signature
            return False
        return parameter is not None and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)

    @property
    def seconds_to_stop(self) -> float:
        """``shutdown`` as a number of seconds."""
        return 0.0 if self.shutdown == BRUTAL_KILL else float(self.shutdown)


def check_specs(specs: Iterable[ChildSpec], auto_shutdown: AutoShutdown) -> tuple[ChildSpec, ...]:
    """Return the specifications of a supervisor's children, or raise a ValueError before any of them is started."""
    checked = tuple(specs)
    seen: set[str] = set()
    for spec in checked:
        if not isinstance(spec, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance]  # the caller may be untyped
            raise ValueError(f"children must be ChildSpecs, not {spec!r}")
        if spec.id in seen:
            raise ValueError(f"children: duplicate_child_name {spec.id!r}")
        if spec.significant and auto_shutdown is AutoShutdown.NEVER:
            raise ValueError(f"children: bad_combination, {spec.id!r} is significant and auto_shutdown is 'never'")
        seen.add(spec.id)
    return checked


def is_planned(error: BaseException | None) -> bool:
    """Tell whether a child ended by plan; a nursery inside the child may have put its `PlannedExit` into groups."""
    return error is not None and all(isinstance(leaf, PlannedExit) for leaf in leaves(error))


def is_ignored(error: BaseException | None) -> bool:
    """Tell whether a start was declined; likewise."""
    return error is not None and all(isinstance(leaf, IgnoreStart) for leaf in leaves(error))


def is_give_up(error: BaseException | None) -> bool:
    """Tell whether a child ended because a supervisor inside it gave up."""
    return error is not None and all(isinstance(leaf, RestartIntensityExceeded) for leaf in leaves(error))


def is_exit(error: BaseException | None) -> bool:
    """Tell whether ``error`` is or holds something beyond errors and cancellations, such as KeyboardInterrupt."""
    return error is not None and any(not isinstance(leaf, (Exception, trio.Cancelled)) for leaf in leaves(error))


def ending_of(error: Exception | None, *, started: bool) -> Ending:
    """Return how a child came to its end, given whether that incarnation had started."""
    if error is None or is_give_up(error):
        return Ending.CLEAN
    return Ending.PLANNED if started and is_planned(error) else Ending.CRASHED
