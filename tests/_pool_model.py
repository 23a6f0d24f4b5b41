"""A pool as a model: a plain sequential program, written from what the pool promises and not from how it does it.

It has workers that hold one command or lease each, callers in a line, and sessions that live where their first command
ran. What happens to it takes no time; time passes only in `Model.elapse`. It searches where the pool keeps books:
whoever is first in line and may run, runs.

Where several answers are right, it takes the one that was seen (`Seen`) and only says whether that was among them:
which of several idle workers takes a request, which of those that are started at once serve, which standby is promoted,
and whether an abandoned command is called off in its worker or runs on.

`Model.picture` is all there is to compare.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from _pool_model_parts import (
    COUNTED,
    DELAY,
    GRACE,
    MAX_SESSIONS,
    RESET_AFTER,
    TTL,
    Call,
    Kind,
    Seen,
    Session,
    Slot,
    State,
    Worker,
)

from trio_pool import WorkerRole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Model:
    """One pool.

    Places for what a pool is to do beyond this: overflow workers would be slots that come and go in `settle`,
    resizing changes `slots`, draining ends `submit`.
    """

    def __init__(self, size: int, standby: int, max_queue: int, now: float, seen: Seen) -> None:
        self.now = now
        self.max_queue = max_queue
        self.size = size
        self.slots = [Slot() for _ in range(size + standby)]
        self.calls: dict[int, Call] = {}
        self.sessions: dict[str, Session] = {}
        self.submitted = 0
        self.counts: Counter[str] = Counter()
        self._spawn(range(size + standby), seen)

    # -- what can be asked of it ---------------------------------------------------------------------------------------

    @property
    def workers(self) -> list[Worker]:
        """Return the workers there are."""
        return [slot.worker for slot in self.slots if slot.worker is not None]

    @property
    def serving(self) -> list[Worker]:
        """Return those that take requests."""
        return [worker for worker in self.workers if worker.role is WorkerRole.SERVING]

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
        if session.home is not None:
            return [worker for worker in idle if worker is session.home]
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
            min((slot.restart_at for slot in self.slots), default=math.inf),
            min((session.last_used + TTL for session in self.sessions.values()), default=math.inf),
        )

    def picture(self) -> dict[str, Any]:
        """Return all that can be seen of it."""
        asked = [call for call in self.calls.values() if call.kind in (Kind.COMMAND, Kind.LEASE)]
        open_calls = [call for call in asked if call.result is None]
        return {
            "results": {key: call.result for key, call in self.calls.items()},
            "metrics": {
                "submitted": self.submitted,
                "queued": len(self.waiting),
                "running": sum(call.state is not State.WAITING for call in open_calls),
                **{name: self.counts[name] for name in ("ok", "failed", "timed_out", "cancelled", "rejected")},
            },
            "counts": (self.size, len(self.serving), len(self.workers) - len(self.serving)),
            "workers": [self._worker_picture(slot) for slot in self.slots],
            "sessions": {
                session.name: "lost" if session.lost else session.home.incarnation if session.home else "unbound"
                for session in self.sessions.values()
            },
        }

    def _worker_picture(self, slot: Slot) -> tuple[object, ...]:
        worker = slot.worker
        if worker is None:
            return ("starting", None, False, None)
        held = worker.holds
        status = "ready" if held is None else "busy"
        # No time passes while a worker that can begin what it was sent has not.
        begun = held is not None and (held.begun or not worker.frozen)
        return (worker.incarnation, status, None if held is None else held.number, begun, worker.role)

    # -- what callers do -----------------------------------------------------------------------------------------------

    def submit(self, call: Call, name: str | None, timeout: float, seen: Seen) -> None:
        """Somebody asks for a command or a lease."""
        self.calls[call.key] = call
        known = name in self.sessions
        if name is not None:
            if not known and len(self.sessions) >= MAX_SESSIONS:
                call.state, call.result = State.OVER, "SessionLimit not_executed"
                return
            call.session = self.sessions.setdefault(name, Session(name, self.now))
            call.session.last_used = self.now
        self.submitted += 1
        call.number = self.submitted
        if call.session is not None and call.session.lost:
            self.end(call, "SessionLost not_executed")
            return
        call.wait_until, call.deadline = self.now + call.patience, self.now + timeout
        before = len(self.waiting) - 1
        self.settle(seen)
        if call.state is State.WAITING and before >= self.max_queue:
            self.end(call, "PoolSaturated not_executed")
            if call.session is not None and not known:
                del self.sessions[call.session.name]

    def cancel(self, key: int, seen: Seen) -> None:
        """A caller leaves, or the holder of a lease is cancelled in it."""
        call = self.calls[key]
        if call.result is not None:
            return  # too late
        if call.kind is Kind.LEASE and call.state is not State.WAITING:
            # One granted in this very moment never got to its holder.
            self.leave(key, "cancelled", seen, counted="cancelled" if call.granted_at == self.now else "failed")
        elif call.kind is Kind.INNER:
            call.result = "cancelled"
            self._called_off(call, seen)
        elif call.state is State.WAITING:
            self.end(call, "cancelled")
        else:
            self.end(call, "cancelled")
            self.abandon(call, seen)

    def overlook(self, key: int | None, results: Mapping[int, str | None]) -> None:
        """Note that a caller left in the very moment of an outcome, and saw nothing of it."""
        if key is not None and results[key] == "cancelled":
            self.calls[key].result = "cancelled"

    def leave(self, key: int, how: str, seen: Seen, counted: str = "failed") -> None:
        """The holder of a lease leaves it."""
        call = self.calls[key]
        if call.result is not None:
            return  # too late
        self.end(call, how, "ok" if how == "ok" else counted)
        worker, session = call.worker, call.session
        if worker is None or worker.holds is not call:
            return  # it died meanwhile
        if session is not None:
            session.used = True
            if self.sessions.get(session.name) is not session:
                worker.wire.append(Call(0, Kind.CLEANUP))
        worker.left, worker.kill_at = True, self.now + GRACE
        self.run(worker, seen)

    def ask_leased(self, call: Call, lease: int, seen: Seen) -> None:
        """The holder of a lease sends its worker a command."""
        self.calls[call.key] = call
        worker = self.calls[lease].worker
        if worker is None or worker.holds is not self.calls[lease]:
            call.state, call.result = State.OVER, "WorkerCrashed not_executed"
            return
        call.state, call.worker = State.RUNNING, worker
        worker.wire.append(call)
        self.run(worker, seen)

    def track_session(self, name: str) -> str:
        """Somebody makes a session known."""
        if name not in self.sessions and len(self.sessions) >= MAX_SESSIONS:
            return "SessionLimit not_executed"
        self.sessions.setdefault(name, Session(name, self.now)).last_used = self.now
        return "ok"

    def end_session(self, name: str, seen: Seen) -> str:
        """Somebody ends a session, or its time to live is over."""
        session = self.sessions.pop(name, None)
        if session is None:
            return "SessionNotFound not_executed"
        for call in self.waiting:
            if call.session is session:
                self.end(call, "SessionNotFound not_executed")
        home, session.home = session.home, None
        if home is not None:
            home.wire.append(Call(0, Kind.CLEANUP))
            self.run(home, seen)
        return "ok"

    def note(self, key: int, result: str) -> None:
        """Take note of what a call about a session was told at once."""
        self.calls[key] = Call(key, Kind.MANAGEMENT, state=State.OVER, result=result)

    # -- what happens in workers ---------------------------------------------------------------------------------------

    def finish(self, key: int, how: str, seen: Seen) -> None:
        """A command comes to its end: it returns, raises, or takes its worker along."""
        call = self.calls[key]
        worker = call.worker
        if worker not in self.workers or call not in worker.wire:
            return  # too late
        if how == "exit":
            self.die(worker, planned=False, seen=seen)
            return
        if call.result is None:
            self.end(call, "ok" if how == "ok" or call.kind is Kind.INNER else "RemoteError executed")
        self._answered(worker, call, seen, used=call.uses)
        self.run(worker, seen)

    def run(self, worker: Worker, seen: Seen) -> None:
        """Have a worker begin what is first on its wire."""
        while not worker.frozen and worker.wire and not worker.wire[0].begun:
            call = worker.wire[0]
            if call.kind is Kind.CLEANUP or (call.result is not None and call.key not in seen.began):
                self._answered(worker, call, seen, used=False)  # the latter was taken back before it had begun
            elif call.key in seen.began:
                call.begun = True
            else:
                break  # before it could, its worker dies or its caller leaves; otherwise `_worker_picture` objects
        if worker.left and not worker.wire:
            self._release(worker, seen)

    def _answered(self, worker: Worker, call: Call, seen: Seen, *, used: bool) -> None:
        worker.wire.remove(call)
        if call.session is not None:
            call.session.used |= used
        if call is worker.holds:
            self._release(worker, seen)
        elif call.kind is Kind.INNER:
            call.state = State.OVER

    def _release(self, worker: Worker, seen: Seen) -> None:
        assert worker.holds is not None
        worker.holds.state = State.OVER
        worker.holds, worker.left, worker.kill_at = None, False, math.inf
        self.settle(seen)

    def abandon(self, call: Call, seen: Seen) -> None:
        """Nobody waits for a running command any more."""
        worker = call.worker
        assert worker is not None
        worker.kill_at = self.now + GRACE
        self._called_off(call, seen)

    def _too_late(self, call: Call, seen: Seen) -> str:
        """Return what a caller is told whose patience ends while he waits: after the first byte it is another error."""
        ways = {True: ["CommandTimeout not_executed"], False: ["PoolTimeout not_executed"]}
        allowed = ways.get(call.written) or [way for each in ways.values() for way in each]
        return next((way for way in allowed if way == seen.results[call.key]), allowed[0])

    def _called_off(self, call: Call, seen: Seen) -> None:
        """End a command in its worker that nobody waits for, if that was seen; it may as well run on."""
        worker = call.worker
        if worker is None or call not in worker.wire:
            return
        if call.begun and call.key in seen.called_off:
            self._answered(worker, call, seen, used=call.uses)
        self.run(worker, seen)  # one that has not begun is taken back

    def die(self, worker: Worker, *, planned: bool, seen: Seen) -> None:
        """A worker dies; the next one starts when time passes next, be it no time at all."""
        place = self.slots[worker.slot]
        place.worker = None
        if worker.role is WorkerRole.SERVING:
            self._promote(seen)
        held = worker.holds
        if held is not None and held.session is not None and held.begun:
            held.session.used = True  # nobody can know
        for session in self.sessions.values():
            if session.home is worker:
                session.home = None
                session.lost = session.used
        if held is not None:
            self._bereave(held)
        for call in worker.wire:
            if call.kind is Kind.INNER:
                call.state = State.OVER
                if call.result is None:
                    call.result = f"WorkerCrashed {'maybe' if call.begun else 'not'}_executed"
        for call in self.waiting:
            if call.session is not None and call.session.lost:
                self.end(call, "SessionLost not_executed")
        self.settle(seen)
        if self.now - worker.started_at >= RESET_AFTER:
            place.attempts = 0
        place.attempts += not planned
        delay = 0.0 if planned or place.attempts == 1 else DELAY * 2 ** (place.attempts - 2)
        place.restart_at = self.now + delay

    def _bereave(self, call: Call) -> None:
        """Settle the call a dead worker held."""
        call.state, call.worker = State.OVER, None
        if call.result is not None or call.kind is Kind.LEASE:
            return
        session = call.session
        if call.begun:
            self.end(call, "WorkerCrashed maybe_executed")
        elif session is not None and self.sessions.get(session.name) is not session:
            self.end(call, "SessionNotFound not_executed")
        elif session is not None and session.lost:
            self.end(call, "SessionLost not_executed")
        else:
            call.state, call.wait_until = State.WAITING, self.now + call.patience
            call.written = call.written or call.sent_at < self.now or None

    def _promote(self, seen: Seen) -> None:
        """Have a standby serve: what waits has it, before it is known what the lost worker leaves behind."""
        standby = [worker for worker in self.workers if worker.role is WorkerRole.STANDBY]
        if standby:
            min(standby, key=lambda worker: worker.incarnation not in seen.serving).role = WorkerRole.SERVING
            self.settle(seen)

    def _spawn(self, slots: Iterable[int], seen: Seen) -> None:
        """Start workers at once: as many serve as are missing, no matter which, and the others stand by."""
        for slot in sorted(slots, key=lambda slot: seen.incarnations[slot] not in seen.serving):
            incarnation = seen.incarnations[slot]
            role = WorkerRole.SERVING if len(self.serving) < self.size else WorkerRole.STANDBY
            self.slots[slot].worker = Worker(slot, incarnation, self.now, role)
            self.slots[slot].restart_at = math.inf
        self.settle(seen)

    # -- what follows --------------------------------------------------------------------------------------------------

    def settle(self, seen: Seen) -> None:
        """Start whatever can start, the first in line first."""
        for call in self.waiting:
            workers = self.able(call)
            if not workers:
                continue
            takers = seen.dispatched.get(call.number, [])
            ways = {worker.incarnation: worker for worker in workers}
            taker = next((taker for taker in takers if taker in ways), 0)
            assert taker, f"request {call.number} may run on {[*ways]} and was given to {takers}"
            del takers[: takers.index(taker) + 1]
            worker = ways[taker]
            call.state, call.worker, worker.holds = State.RUNNING, worker, call
            if call.session is not None:
                call.session.home = worker
            if call.kind is Kind.LEASE:
                call.begun, call.granted_at = True, self.now
            else:
                call.sent_at = self.now
                worker.wire.append(call)
                self.run(worker, seen)

    def end(self, call: Call, result: str, counted: str | None = None) -> None:
        """Tell a caller the outcome."""
        assert call.result is None
        call.result = result
        if call.state is State.WAITING:
            call.state = State.OVER
        if call.kind is Kind.INNER:
            return
        self.counts[counted or COUNTED.get(result, "failed")] += 1
        if call.session is not None and self.sessions.get(call.session.name) is call.session:
            call.session.last_used = self.now

    def elapse(self, now: float, seen: Seen) -> None:
        """Let everything happen that is due by now; no two such things are, but for a start without delay."""
        self.now = now
        for call in [call for call in self.calls.values() if call.due <= now]:
            if call.state is State.WAITING:
                self.end(call, self._too_late(call, seen))
            else:
                self.end(call, "CommandTimeout maybe_executed")
                self.abandon(call, seen)
        for worker in self.workers:
            if worker.kill_at <= now:
                self.die(worker, planned=True, seen=seen)
        self._spawn([slot for slot, place in enumerate(self.slots) if place.restart_at <= now], seen)
        for session in [session for session in self.sessions.values() if session.last_used + TTL <= now]:
            if any(call.session is session and call.state is not State.OVER for call in self.calls.values()):
                session.last_used = now
            else:
                self.end_session(session.name, seen)
