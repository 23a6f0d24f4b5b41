"""What there is in a pool's model, and what can be asked of it; what happens in it is `_pool_model.py`'s."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from _pool_model_parts import TTL, Call, Kind, Session, Slot, State, Worker

from trio_pool import WorkerRole

if TYPE_CHECKING:
    from trio_pool import RetryPolicy


class ModelState:
    """One pool.

    Args:
        size: How many workers serve.
        standby: How many stand by.
        max_queue: How many requests may wait.
        retry: How often, and within which share of all requests, one is tried again.
        now: The time.
    """

    def __init__(self, size: int, standby: int, max_queue: int, retry: RetryPolicy, now: float) -> None:
        self.now = now
        self.max_queue = max_queue
        self.size = size
        self.standby = standby
        self.retry = retry
        self.draining = False
        self.slots = {index: Slot() for index in range(size + standby)}
        self.lost: dict[int, Worker] = {}
        """Those that have ended and are not dead yet, by their incarnation: for no time, but perhaps in a moment."""
        self.calls: dict[int, Call] = {}
        self.sessions: dict[str, Session] = {}
        self.submitted_at: list[float] = []
        self.retried_at: list[float] = []
        self.counts: Counter[str] = Counter()

    @property
    def workers(self) -> list[Worker]:
        """Return the workers there are."""
        return [slot.worker for slot in self.slots.values() if slot.worker is not None]

    def having(self, role: WorkerRole) -> list[Worker]:
        """Return the workers of a role."""
        return [worker for worker in self.workers if worker.role is role]

    @property
    def serving(self) -> list[Worker]:
        """Return those that take requests."""
        return self.having(WorkerRole.SERVING)

    @property
    def waiting(self) -> list[Call]:
        """Return who waits for a worker, the first in line first."""
        return sorted(
            (call for call in self.calls.values() if call.state is State.WAITING), key=lambda call: call.number
        )

    def pending(self, kind: Kind, *states: State) -> list[int]:
        """Return the keys of the calls of a kind whose callers still wait, or hold a lease."""
        return [
            call.key
            for call in self.calls.values()
            if call.kind is kind and call.result is None and (not states or call.state in states)
        ]

    def finishable(self) -> list[int]:
        """Return the commands that run and may be told to end."""
        return [worker.wire[0].key for worker in self.workers if worker.wire and not worker.frozen]

    def able(self, call: Call) -> list[Worker]:
        """Return the workers that may start a waiting call now."""
        idle = [worker for worker in self.serving if worker.holds is None]
        session = call.session
        if session is None:
            return idle
        for other in self.calls.values():
            ahead = other.state is State.RUNNING or (other.state is State.WAITING and other.number < call.number)
            if other.session is session and other.kind is not Kind.INNER and other is not call and ahead:
                return []
        if session.home is not None:  # it may be leaving
            return [session.home] if session.home.holds is None else []
        fewest = min((self.lodgers(worker) for worker in idle), default=0)
        return [worker for worker in idle if self.lodgers(worker) == fewest]

    def lodgers(self, worker: Worker) -> int:
        """Return how many sessions live in a worker."""
        return sum(session.home is worker for session in self.sessions.values())

    def next_event(self) -> float:
        """Return when something happens by itself."""
        return min(
            min((call.due for call in self.calls.values()), default=math.inf),
            min((worker.kill_at for worker in self.workers), default=math.inf),
            min((slot.restart_at for slot in self.slots.values()), default=math.inf),
            min((session.last_used + TTL for session in self.sessions.values()), default=math.inf),
        )

    def picture(self) -> dict[str, Any]:
        """Return all that can be seen of it."""
        asked = [call for call in self.calls.values() if call.kind in (Kind.COMMAND, Kind.LEASE)]
        open_calls = [call for call in asked if call.result is None]
        return {
            "results": {key: call.result for key, call in self.calls.items()},
            "metrics": {
                "submitted": len(self.submitted_at),
                "queued": len(self.waiting),
                "running": sum(call.state is not State.WAITING for call in open_calls),
                "retries": len(self.retried_at),
                **{name: self.counts[name] for name in ("ok", "failed", "timed_out", "cancelled", "rejected")},
            },
            "counts": (self.size, *(len(self.having(WorkerRole(role))) for role in ("serving", "leaving", "standby"))),
            "workers": {index: self._worker_picture(slot) for index, slot in self.slots.items()},
            "sessions": {
                session.name: "lost" if session.lost else session.home.incarnation if session.home else "unbound"
                for session in self.sessions.values()
            },
        }

    def _worker_picture(self, slot: Slot) -> tuple[object, ...]:
        worker = slot.worker
        if worker is None:
            return ("starting", None, False, None)
        if worker.role is None:
            return (worker.incarnation, "stopping", None, False, None)
        held = worker.holds
        status = "ready" if held is None else "busy"
        # No time passes while a worker that can begin what it was sent has not.
        begun = held is not None and (held.begun or not worker.frozen)
        return (worker.incarnation, status, None if held is None else held.number, begun, worker.role)
