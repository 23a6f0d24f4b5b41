"""Child specifications: what a supervisor is told about a child before it starts it."""

from __future__ import annotations

import inspect
import math
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._core._errors import RestartIntensityExceeded
from .._core._groups import leaves
from .._core._restart import Restart, as_restart, number

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Strategy(StrEnum):
    """Which children are restarted when one fails."""

    ONE_FOR_ONE = "one_for_one"
    """The failed one alone."""


class PlannedExit(Exception):
    """Raised by a started child that ends by plan and is to be replaced: neither a crash nor the end of its work.

    A permanent or transient child is started again at once, uncharged and undelayed; a temporary one never is. A
    transient child that has done its work returns instead. The supervisor trusts it: a child that does nothing but
    raise it is restarted for ever.
    """


def _validate_id(_instance: object, _attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"id must be a non-empty str, not {value!r}")


def _validate_start(
    _instance: object, _attribute: attrs.Attribute[Callable[..., Awaitable[object]]], value: object
) -> None:
    if not callable(value):
        raise ValueError(f"start must be an async function, not {value!r}")


@attrs.frozen(kw_only=True)
class ChildSpec:
    """How a child is started, restarted and stopped.

    Args:
        id: Its name, unique under one supervisor.
        start: An async function. If it takes a keyword ``task_status`` it is a startable as `trio.Nursery.start`
            knows them: it has started when it calls ``task_status.started(value)``, and what it raises before that is a
            failed start. Otherwise it counts as started at once, and all it raises is a crash.
        restart: After which exits it is started again: ``permanent``, ``transient`` or ``temporary``.
        shutdown: Seconds it may take to stop once cancelled, before that is reported. A task cannot be killed, so it is
            waited for in any case; ``math.inf`` never reports.
        args: Positional arguments of ``start``.
        start_timeout: Seconds a startable may take to start. Longer is a failed start with `trio.TooSlowError`.

    Raises:
        ValueError: A value is out of range; the message names the field.
    """

    id: str = attrs.field(validator=_validate_id)
    start: Callable[..., Awaitable[object]] = attrs.field(validator=_validate_start)
    restart: Restart = attrs.field(default=Restart.PERMANENT, converter=as_restart)
    shutdown: float = attrs.field(default=5.0, validator=number(at_least=0, infinite=True))
    args: tuple[Any, ...] = ()
    start_timeout: float = attrs.field(default=math.inf, validator=number(above=0, infinite=True))

    @property
    def startable(self) -> bool:
        """Whether ``start`` takes ``task_status`` by keyword."""
        try:
            parameter = inspect.signature(self.start).parameters.get("task_status")
        except (TypeError, ValueError):  # some callables, such as builtins, have no signature
            return False
        return parameter is not None and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def is_planned(error: BaseException | None) -> bool:
    """Tell whether a child ended by plan; a nursery inside the child may have put its `PlannedExit` into groups."""
    return error is not None and all(isinstance(leaf, PlannedExit) for leaf in leaves(error))


def is_give_up(error: BaseException | None) -> bool:
    """Tell whether a child ended because a supervisor inside it gave up."""
    return error is not None and all(isinstance(leaf, RestartIntensityExceeded) for leaf in leaves(error))


def is_exit(error: BaseException | None) -> bool:
    """Tell whether ``error`` is or holds something beyond errors and cancellations, such as KeyboardInterrupt."""
    return error is not None and any(not isinstance(leaf, (Exception, trio.Cancelled)) for leaf in leaves(error))
