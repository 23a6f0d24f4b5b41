"""The situations in which pools are compared, and what all of them have in common."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE: Final = 4
"""Workers, and callers: each caller waits for its answer before it asks again, so none is ever without a worker."""

SERVICE: Final = 0.025
"""Seconds a request keeps its worker, asleep: the load is to be light for the machine and to fill the pool."""

ROUNDS: Final = 20
"""Requests each caller makes after the event, and after the request that was hit has its answer."""

TIMEOUT: Final = 2.0
"""Seconds a request may take, told to each pool in its own way: some eighty times what it needs, and longer than any
of the pools takes to start a worker."""

LIMIT: Final = 10.0
"""Seconds after the event when callers go home: five timeouts. What is not there by then counts as never."""

LONG_SERVICE: Final = 30.0
"""Seconds for which half of the workers are busy when the application is killed; ten times as long as they are watched
afterwards."""

CLOSE_LIMIT: Final = 5.0
"""Seconds the pool may take to close, and the interpreter to end, before the application is killed."""

CELL_LIMIT: Final = 40.0
"""Seconds for everything together; the above, and a start on a machine that is busy with something else, fit in."""

LEFT_LIMIT: Final = 3.0
"""Seconds for which processes left behind are watched before they are killed: our own promise is one."""

VICTIM_SERVICE: Final = 1.0
"""Seconds the request would take whose worker is hit: it is under way when that happens."""

HEADROOM: Final = 32 * 2**20
"""Bytes a worker is allowed beyond what it has."""

BUDGET: Final = 256 * 2**20
"""Bytes at which the request gives up that was to run into the limit."""


class Situation(StrEnum):
    """What happens to a pool."""

    IDLE_KILL = "idle-kill"
    """A worker that does nothing is killed with SIGKILL."""
    BUSY_KILL = "busy-kill"
    """A worker that runs a request is."""
    FREEZE = "freeze"
    """A worker that runs a request is stopped with SIGSTOP, for good."""
    MEMORY = "memory"
    """A request runs into its worker's limit of memory."""
    POISON = "poison"
    """A request kills its worker with SIGKILL, whichever it is."""
    APPLICATION = "application-death"
    """The application is killed with SIGKILL, half of its workers in long requests and half in short ones."""


TITLES: Final[Mapping[Situation, str]] = {
    Situation.IDLE_KILL: "An idle worker is killed",
    Situation.BUSY_KILL: "A busy worker is killed",
    Situation.FREEZE: "A busy worker is frozen, for good",
    Situation.MEMORY: "A request exhausts its worker's memory limit",
    Situation.POISON: "A request kills its worker",
    Situation.APPLICATION: "The application is killed",
}
