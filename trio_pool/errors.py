"""The errors of trio_pool: one shallow tree under `TrioPoolError`, each instance with a true ``outcome``.

`PoolTimeout` and `CommandTimeout` are also `trio.TooSlowError`, so code written for `trio.fail_after` handles them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ._core._errors import (
    BroadcastFailed,
    ChildError,
    FrameTooLarge,
    InvalidArguments,
    Outcome,
    PoisonRequest,
    PoolClosed,
    PoolSaturated,
    ProcessFailed,
    ProgramNotFound,
    ProtocolError,
    RemoteError,
    RestartIntensityExceeded,
    SessionLimit,
    SessionLost,
    SessionMismatch,
    SessionNotFound,
    TrioPoolError,
    UnknownCommand,
    Unserializable,
    WorkerCrashed,
    WorkerError,
    WorkerInitFailed,
)

if TYPE_CHECKING:
    from typing import Unpack

    from ._core._errors import Common


class PoolTimeout(TrioPoolError, trio.TooSlowError):
    """No worker took the request in time: its checkout timeout or its whole budget ran out before a byte was written.

    ``waited`` is in seconds; ``size``, ``busy`` and ``queued`` are the pool's state at that moment.
    """

    _advice = "try again later, give it more time, or the pool more workers"

    def __init__(
        self,
        message: str = "",
        *,
        waited: float = 0.0,
        size: int = 0,
        busy: int = 0,
        queued: int = 0,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(message, **common)
        self.waited = waited
        self.size = size
        self.busy = busy
        self.queued = queued


class CommandTimeout(TrioPoolError, trio.TooSlowError):
    """The command had been written to a worker and did not answer within its budget of ``timeout`` seconds.

    Also raised, then with outcome ``not_executed``, if a worker found the budget spent and refused to begin, or if a
    request that was written to a worker which died waited too long for another.
    """

    default_outcome = Outcome.MAYBE_EXECUTED

    @property
    def advice(self) -> str:
        """What to do about it, in a few words."""
        if self.outcome is Outcome.NOT_EXECUTED:
            return "repeat it with more time"
        return "give it more time, and repeat it only if it does no harm to run twice"

    def __init__(self, message: str = "", *, timeout: float = 0.0, **common: Unpack[Common]) -> None:
        super().__init__(message, **common)
        self.timeout = timeout


__all__ = [
    "BroadcastFailed",
    "ChildError",
    "CommandTimeout",
    "FrameTooLarge",
    "InvalidArguments",
    "Outcome",
    "PoisonRequest",
    "PoolClosed",
    "PoolSaturated",
    "PoolTimeout",
    "ProcessFailed",
    "ProgramNotFound",
    "ProtocolError",
    "RemoteError",
    "RestartIntensityExceeded",
    "SessionLimit",
    "SessionLost",
    "SessionMismatch",
    "SessionNotFound",
    "TrioPoolError",
    "UnknownCommand",
    "Unserializable",
    "WorkerCrashed",
    "WorkerError",
    "WorkerInitFailed",
]
