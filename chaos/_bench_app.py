"""What the workers of `_targets` run: a command that says when it ran, on the clock that processes here share."""

from __future__ import annotations

import time

from trio_pool.bridge import Bridge

bridge = Bridge()


@bridge.command
def work(seconds: float) -> list[float]:
    """Occupy the worker; return when that began and when it ended."""
    began = time.monotonic()
    time.sleep(seconds)
    return [began, time.monotonic()]
