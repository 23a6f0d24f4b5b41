"""The plain functions as an application of trio_pool, for comparisons: the same work as in any other pool."""

from __future__ import annotations

from trio_pool.bridge import Bridge

from ._plain import perform, ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

bridge = Bridge()


@bridge.command
def work(args: dict[str, Any]) -> dict[str, Any]:
    """Take the time that was asked for."""
    return perform("work", args)


@bridge.command
def exhaust(args: dict[str, Any]) -> dict[str, Any]:
    """Run into a limit of memory."""
    return perform("exhaust", args)


@bridge.command
def die(args: dict[str, Any]) -> dict[str, Any]:
    """Take the worker along."""
    return perform("die", args)


ready()
