"""The vocabulary of supervision: what a supervisor and its children can be told to do, in OTP's words."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

E = TypeVar("E", bound=StrEnum)


class Strategy(StrEnum):
    """Which children are restarted when one fails."""

    ONE_FOR_ONE = "one_for_one"
    """The failed one alone."""
    ONE_FOR_ALL = "one_for_all"
    """All of them: the others are stopped, the newest first, then all are started, the oldest first."""
    REST_FOR_ONE = "rest_for_one"
    """The failed one and those started after it, in the same orders; those before it are not touched."""


class AutoShutdown(StrEnum):
    """Whether a supervisor stops by itself when children marked ``significant`` have ended by themselves."""

    NEVER = "never"
    """It does not, and takes no significant children."""
    ANY_SIGNIFICANT = "any_significant"
    """When one of them has."""
    ALL_SIGNIFICANT = "all_significant"
    """When one of them has and none is left that runs or is to be restarted."""


class ChildType(StrEnum):
    """What a child is; it decides nothing but the default of ``shutdown`` and how it is counted."""

    WORKER = "worker"
    """It does the work itself."""
    SUPERVISOR = "supervisor"
    """It has children of its own."""


class StopOrder(StrEnum):
    """How a supervisor stops its children when it stops."""

    NEWEST_FIRST = "newest_first"
    """One at a time, in the reverse of their order, each with its own ``shutdown``: the last may rely on the first."""
    TOGETHER = "together"
    """All at once, under one deadline: the longest ``shutdown`` of them."""


class ChildStatus(StrEnum):
    """Where a child is in its life."""

    STARTING = "starting"
    """In its first start, or in one asked for with `Supervisor.restart_child`."""
    RUNNING = "running"
    """Started."""
    RESTARTING = "restarting"
    """It ended and waits for its restart, or is in the middle of it."""
    STOPPING = "stopping"
    """It was cancelled and has not ended yet."""
    STOPPED = "stopped"
    """It is not running and will not be unless asked; its specification may be kept or gone."""


class Ending(StrEnum):
    """How a child that nobody had asked to stop came to its end."""

    CLEAN = "clean"
    """It returned, or it is a supervisor that gave up: OTP's exit reasons ``normal`` and ``shutdown``."""
    PLANNED = "planned"
    """It announced its end and is to be replaced: never charged, never delayed."""
    CRASHED = "crashed"
    """It raised, or its automatic restart failed: OTP's abnormal exit reasons."""


def member_of(enum: type[E], field: str, value: E | str) -> E:
    """Return the member of that value, or raise a ValueError that names the field and lists what it takes."""
    try:
        return enum(value)
    except ValueError:
        message = f"{field} must be one of {', '.join(enum)}, not {value!r}"
        raise ValueError(message) from None  # the enum's own words add nothing
