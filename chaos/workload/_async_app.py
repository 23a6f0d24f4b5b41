"""The built-in workload with an async operation: a worker runs several of those at once, beside a sync one.

An application of its own, and a kind of workload of its own: a worker with async commands imports Trio and has a second
thread, and what is proved of workers without should stay so.
"""

from __future__ import annotations

import trio

from trio_pool.bridge import Bridge

from ._operations import Execution
from ._register import bridge as register

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CLEANING_UP = 0.02
"""Seconds that a cancelled command takes to leave, as one does that closes a connection: its worker is to take nothing
new until then, and who took no time would leave nothing to see of that."""

bridge = Bridge()
bridge.include(register)


@bridge.command
async def fetch(args: dict[str, Any]) -> dict[str, Any]:
    """Wait as long as was asked for, without keeping anybody else waiting, and return a digest."""
    execution = Execution("fetch", args)
    try:
        await trio.sleep(args.get("service") or 0.0)
    except trio.Cancelled:
        with trio.CancelScope(shield=True):
            await trio.sleep(CLEANING_UP)
        execution.stop()
        raise
    return execution.finish(None, {})
