"""The doorbell: a signal to a worker that reads nothing while it runs a command."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from ._launcher import WorkerHandle


class Doorbell:
    """Signals one worker to look at its socket, which has what the signal is about.

    Whoever rings cannot wait, and the launcher's `WorkerHandle.signal` does: so a task of the worker's owner does it.
    Rings that come while it is at it are one.

    Args:
        handle: The worker.
    """

    def __init__(self, handle: WorkerHandle) -> None:
        self._handle = handle
        self._rung = False
        self._waiting = trio.lowlevel.ParkingLot()

    def ring(self) -> None:
        """Have the worker signalled."""
        self._rung = True
        self._waiting.unpark()

    async def run(self) -> None:  # noqa: ASYNC910  # a task of the worker's: it ends only with that
        """Signal the worker for each ring, or for several; run it as a task."""
        while True:
            if not self._rung:
                await self._waiting.park()
                continue
            self._rung = False
            await self._handle.signal(signal.SIGUSR1)
