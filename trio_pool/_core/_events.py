"""What a pool tells its observers: one frozen value per happening.

Each has ``at`` (seconds on the pool's monotonic clock) and ``pool`` (its name). They are made only while somebody
observes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from ._exits import Exit


class RequestResult(StrEnum):
    """How a submitted request ended, as the metrics count it."""

    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@attrs.frozen(kw_only=True)
class PoolEvent:
    """The base of all events."""

    at: float
    pool: str


@attrs.frozen(kw_only=True)
class WorkerEvent(PoolEvent):
    """The base of all events about one worker."""

    slot: int
    worker_id: str
    incarnation: int


@attrs.frozen(kw_only=True)
class WorkerStarting(WorkerEvent):
    """A worker process is about to be spawned."""


@attrs.frozen(kw_only=True)
class WorkerReady(WorkerEvent):
    """A worker is ready to serve, ``startup`` seconds after its spawn began."""

    pid: int | None
    startup: float


@attrs.frozen(kw_only=True)
class WorkerKilled(WorkerEvent):
    """The pool kills a worker for ``reason``: ``timeout``, ``cancelled``, ``health``, ``lease`` or ``broadcast``."""

    pid: int | None
    reason: str


@attrs.frozen(kw_only=True)
class WorkerExited(WorkerEvent):
    """A worker is gone and reaped; ``planned`` if the pool itself caused it without fault of the worker."""

    pid: int | None
    exit: Exit | None
    reason: str
    planned: bool


@attrs.frozen(kw_only=True)
class WorkerPromoted(WorkerEvent):
    """A worker that stood by, or was leaving, serves from now on."""


@attrs.frozen(kw_only=True)
class HealthMissed(WorkerEvent):
    """An idle worker did not answer a ping; ``misses`` in a row so far."""

    misses: int


@attrs.frozen(kw_only=True)
class StaleReply(WorkerEvent):
    """A reply arrived that nobody waits for any more; it was dropped."""

    wire_id: int


@attrs.frozen(kw_only=True)
class RestartScheduled(PoolEvent):
    """A slot will start its next worker after ``delay`` seconds."""

    slot: int
    delay: float


@attrs.frozen(kw_only=True)
class GaveUp(PoolEvent):
    """The restart limit is exceeded; the pool closes with ``error``."""

    error: BaseException


@attrs.frozen(kw_only=True)
class RequestDispatched(PoolEvent):
    """A request was handed to a worker."""

    request_id: int
    session_id: str | None
    command: str
    slot: int
    incarnation: int


@attrs.frozen(kw_only=True)
class RequestRedispatched(PoolEvent):
    """A request that no worker had begun returns to its place in the queue; ``incarnation`` is the worker that died."""

    request_id: int
    session_id: str | None
    command: str
    incarnation: int


@attrs.frozen(kw_only=True)
class RequestRetried(PoolEvent):
    """An idempotent request whose worker died after it had begun returns to its place in the queue.

    ``incarnation`` is the worker that died, ``retries`` how often the request has now been retried.
    """

    request_id: int
    session_id: str | None
    command: str
    incarnation: int
    retries: int


@attrs.frozen(kw_only=True)
class RequestFinished(PoolEvent):
    """A request got its one outcome; ``incarnation`` is None if no worker ever had it."""

    request_id: int
    session_id: str | None
    command: str
    incarnation: int | None
    result: RequestResult


@attrs.frozen(kw_only=True)
class SessionBound(PoolEvent):
    """A session now lives in this worker."""

    session_id: str
    incarnation: int


@attrs.frozen(kw_only=True)
class SessionForgotten(PoolEvent):
    """A session's worker died; ``lost`` if state died with it, else it will be bound anew."""

    session_id: str
    incarnation: int
    lost: bool


@attrs.frozen(kw_only=True)
class HookDisabled(PoolEvent):
    """The ``on_event`` hook raised ``error`` and is not called again."""

    error: BaseException
