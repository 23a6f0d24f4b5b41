"""The trace points: moments that the harness sees on the links and in the workers, by the names that triggers use.

The kill windows are deaths at some of them. What the pool itself tells of are its events, and not here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import attrs

from ._fault import Capability, Window, WorkerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._fault import Trigger


class Waits(StrEnum):
    """What stands still at a trace point until the fault has struck."""

    MESSAGE = "the message"
    WORKER = "the worker"
    NOTHING = "nothing"


_LINK = ("command", "incarnation", "slot", "worker_id")
_SERVING = frozenset({WorkerState.SERVING, WorkerState.ANY})
_BUSY = _SERVING | {WorkerState.BUSY}
_STARTING = frozenset({WorkerState.STARTING, WorkerState.ANY})


@attrs.frozen(kw_only=True)
class TracePoint:
    """One moment.

    Args:
        name: How a trigger calls it.
        meaning: When it comes.
        waits: What stands still there until the fault has struck.
        fields: What a trigger may match.
        needs: What of the pool must be reached for it to be seen.
        states: In which the worker that comes to it can be chosen, as a selector calls them.
        window: The kill window whose death comes at this moment.
    """

    name: str
    meaning: str
    waits: Waits
    fields: tuple[str, ...] = _LINK
    needs: Capability = Capability.LAUNCHER
    states: frozenset[WorkerState] = _BUSY
    window: Window | None = None


_ALL = (
    TracePoint(
        name="launcher.spawned",
        meaning="a worker's process has been started, and not a byte has gone either way",
        waits=Waits.NOTHING,
        fields=("incarnation", "slot", "worker_id"),
        states=_STARTING,
    ),
    TracePoint(
        name="launcher.ready",
        meaning="a worker has said that it is ready, and the pool has not heard it",
        waits=Waits.MESSAGE,
        fields=("incarnation", "slot", "worker_id"),
        states=_STARTING,
        window=Window.W10,
    ),
    TracePoint(
        name="wire.request.first-byte",
        meaning="a request is about to be written: the worker has not a byte of it",
        waits=Waits.MESSAGE,
        states=_SERVING,  # it has not begun
        window=Window.W2,
    ),
    TracePoint(
        name="wire.request.half",
        meaning="half of a request's first frame is written",
        waits=Waits.MESSAGE,
        states=_SERVING,  # it has not begun
        window=Window.W3,
    ),
    TracePoint(
        name="wire.request.written",
        meaning="the last byte of a request is written",
        waits=Waits.NOTHING,
        window=Window.W4,
    ),
    TracePoint(
        name="worker.begin",
        meaning="a request has begun in its worker, and has had no effect yet",
        waits=Waits.WORKER,
        fields=("operation",),
        needs=Capability.AGENT,
        window=Window.W5,
    ),
    TracePoint(
        name="worker.effect",
        meaning="a request has had its effect in its worker",
        waits=Waits.WORKER,
        fields=("operation",),
        needs=Capability.AGENT,
        window=Window.W6,
    ),
    TracePoint(
        name="worker.end",
        meaning="a request is over in its worker, and not a byte of its reply is written",
        waits=Waits.WORKER,
        fields=("operation",),
        needs=Capability.AGENT,
    ),
    TracePoint(
        name="wire.reply.first-byte",
        meaning="the first bytes of a reply have come, and the pool has none of them",
        waits=Waits.MESSAGE,
    ),
    TracePoint(
        name="wire.reply.half",
        meaning="the pool has half of a reply's first frame",
        waits=Waits.MESSAGE,
        window=Window.W7,
    ),
    TracePoint(
        name="wire.reply.written",
        meaning="all of a reply has left the worker, and the pool has none of it",
        waits=Waits.MESSAGE,
        window=Window.W8,
    ),
    TracePoint(
        name="wire.reply.read",
        meaning="the pool has read the last byte of a reply",
        waits=Waits.NOTHING,
        # By then it may have another request.
        states=_BUSY | {WorkerState.IDLE},
        window=Window.W9,
    ),
    TracePoint(
        name="wire.ping.written",
        meaning="the last byte of a health check's ping is written",
        waits=Waits.NOTHING,
        states=_BUSY | {WorkerState.IDLE},
        window=Window.W11,
    ),
    TracePoint(
        name="wire.stop.first-byte",
        meaning="a worker is about to be told to stop, as one is that is replaced by plan",
        waits=Waits.MESSAGE,
        states=frozenset({WorkerState.ANY}),
        window=Window.W12,
    ),
)

TRACE_POINTS: Mapping[str, TracePoint] = {point.name: point for point in _ALL}
"""By their names, in the order in which a worker and its requests come to them."""

HOLD_LIMIT = 0.5
"""Seconds that what comes to a trace point stands still at the most: a fault strikes in milliseconds if there is
anybody to strike, and no deadline of a pool is as short unless it was made so."""

MOST_ORDERS = 1000
"""Requests that an order for a worker waits for: each that is let pass takes a file, and workers list them all."""


def capability(at: Trigger) -> frozenset[Capability]:
    """Return what a trigger needs of the pool."""
    if at.on is None:
        return frozenset()
    return frozenset({TRACE_POINTS[at.on].needs if at.on in TRACE_POINTS else Capability.EVENTS})
