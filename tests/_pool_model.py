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
from typing import TYPE_CHECKING

from _pool_model_parts import (
    COUNTED,
    DELAY,
    GRACE,
    MAX_SESSIONS,
    RESET_AFTER,
    STEP,
    TTL,
    Call,
    Kind,
    Seen,
    Session,
    Slot,
    State,
    Worker,
)
from _pool_model_state import ModelState

from trio_pool import WorkerRole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_pool import RetryPolicy


class Model(ModelState):
    """One pool, and what happens in it.

    It has no overflow workers, and commands are sync ones: what both do is looked at by `test_pool_promises.py`.
    """

    def __init__(self, size: int, standby: int, max_queue: int, retry: RetryPolicy, now: float, seen: Seen) -> None:
        super().__init__(size, standby, max_queue, retry, now)
        self._spawn(range(size + standby), seen)

    # -- what callers do -----------------------------------------------------------------------------------------------

    def submit(self, call: Call, name: str | None, timeout: float, seen: Seen) -> None:
        """Somebody asks for a command or a lease."""
        self.calls[call.key] = call
        if self.draining:
            call.state, call.result = State.OVER, "PoolClosed not_executed"
            return
        known = name in self.sessions
        if name is not None:
            if not known and len(self.sessions) >= MAX_SESSIONS:
                call.state, call.result = State.OVER, "SessionLimit not_executed"
                return
            call.session = self.sessions.setdefault(name, Session(name, self.now))
            call.session.last_used = self.now
        self.submitted_at.append(self.now)
        call.number = len(self.submitted_at)
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
        elif call.kind is Kind.MANAGEMENT:
            call.result = "cancelled"
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
        if self.draining:
            return "PoolClosed not_executed"
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
            self._let_go()
        return "ok"

    def drain(self, key: int) -> None:
        """Somebody has the pool take nothing new, and waits for the end of what is there."""
        self.draining = True
        self.calls[key] = Call(key, Kind.MANAGEMENT, state=State.OVER)
        self._end_draining()

    def _end_draining(self) -> None:
        if not self.pending(Kind.COMMAND) and not self.pending(Kind.LEASE):
            for key in self.pending(Kind.MANAGEMENT):
                self.calls[key].result = "ok"

    def resize(self, key: int, size: int, seen: Seen) -> None:
        """Somebody wants so many workers to serve: the least burdened leave, or those that leave and stand by serve."""
        if self.draining:
            self.note(key, "PoolClosed not_executed")
            return
        self.note(key, "ok")
        self.size = size

        def burden(worker: Worker) -> tuple[int, bool, int]:
            return self.lodgers(worker), worker.holds is not None, -worker.slot

        if leaving := sorted(self.serving, key=burden)[: max(0, len(self.serving) - size)]:
            for worker in leaving:
                worker.role = WorkerRole.LEAVING
            self._let_go()
        else:
            while self._promote(seen, WorkerRole.LEAVING) or self._promote(seen, WorkerRole.STANDBY):
                pass
        wanted = (WorkerRole.SERVING, WorkerRole.STANDBY)
        kept = [index for index, slot in self.slots.items() if slot.worker is None or slot.worker.role in wanted]
        excess = len(kept) - size - self.standby
        for index in sorted(index for index in kept if self.slots[index].worker is None)[: max(0, excess)]:
            del self.slots[index]
        new = sorted(seen.incarnations.keys() - self.slots.keys())[: max(0, -excess)]
        assert len(new) == max(0, -excess), f"{-excess} are missing, and there are {seen.incarnations}"
        for index in new:
            self.slots[index] = Slot(restart_at=self.now)

    def note(self, key: int, result: str) -> None:
        """Take note of what a call about a session, or the size, was told at once."""
        self.calls[key] = Call(key, Kind.MANAGEMENT, state=State.OVER, result=result)

    # -- what happens in workers ---------------------------------------------------------------------------------------

    def finish(self, key: int, entry: int, how: str, seen: Seen) -> None:
        """A command comes, for the so many-th time, to its end: it returns, raises, or takes its worker along."""
        call = self.calls[key]
        worker = call.worker
        if worker not in (*self.workers, *self.lost.values()) or call not in worker.wire or call.entries != entry:
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
            entered = seen.began[call.key] > call.entries
            if call.kind is Kind.CLEANUP or (call.result is not None and not entered):
                self._answered(worker, call, seen, used=False)  # the latter was taken back before it had begun
            elif entered:
                call.begun = True
                call.entries += 1
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
        allowed = [*ways[True], *ways[False]] if call.written is None else ways[call.written]
        return next((way for way in allowed if way == seen.results[call.key]), allowed[0])

    def _called_off(self, call: Call, seen: Seen) -> None:
        """End a command in its worker that nobody waits for, if that was seen; it may as well run on."""
        worker = call.worker
        if worker is None or call not in worker.wire:
            return
        if call.begun and call.key in seen.called_off:
            self._answered(worker, call, seen, used=call.uses)
        self.run(worker, seen)  # one that has not begun is taken back

    def lose(self, worker: Worker, seen: Seen) -> None:
        """A worker is found to have ended: a standby takes its place, and it does nothing more itself.

        What it leaves behind is settled when it is dead. Something else may come between.
        """
        self.lost[worker.incarnation] = worker
        self.slots[worker.slot].worker = None
        worker.frozen = True
        if worker.role is None or worker.role is WorkerRole.LEAVING:
            del self.slots[worker.slot]  # nobody comes after it
        while self._promote(seen, WorkerRole.STANDBY):
            pass

    def die(self, worker: Worker, *, planned: bool, seen: Seen) -> None:
        """A worker dies; the next one starts when time passes next, be it no time at all."""
        if worker.incarnation not in self.lost:
            self.lose(worker, seen)
        del self.lost[worker.incarnation]
        place = self.slots.get(worker.slot, Slot())
        held = worker.holds
        failure = None if held is None or not held.begun else self._judge(held, planned=planned)
        if held is not None and held.session is not None and failure is not None:
            held.session.used = True  # nobody can know
        for session in self.sessions.values():
            if session.home is worker:
                session.home = None
                session.lost = session.used
        if held is not None:
            self._bereave(held, failure)
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

    def _judge(self, call: Call, *, planned: bool) -> str | None:
        """Return what is told to the caller of something that its worker had begun; None if it is tried again."""
        crashed = "WorkerCrashed maybe_executed"
        if call.kind is Kind.LEASE or call.result is not None:
            return crashed
        call.ran = True
        call.deaths += not planned
        if call.deaths >= self.retry.poison_after:
            return "PoisonRequest maybe_executed"
        session = call.session
        moved = session is None or (self.sessions.get(session.name) is session and not session.used)
        if not call.idempotent or call.retries >= self.retry.max_retries or not moved:
            return crashed

        def lately(times: list[float]) -> int:
            return sum(int(when) >= int(self.now) - 10 for when in times)

        if lately(self.retried_at) + 1 > max(self.retry.min_budget, self.retry.budget * lately(self.submitted_at)):
            return crashed
        call.retries += 1
        self.retried_at.append(self.now)
        return None

    def _bereave(self, call: Call, failure: str | None) -> None:
        """Settle the call a dead worker held."""
        call.state, call.worker = State.OVER, None
        if call.result is not None or call.kind is Kind.LEASE:
            return
        session = call.session
        if failure is not None:
            self.end(call, failure)
        elif session is not None and self.sessions.get(session.name) is not session:
            self.end(call, "SessionNotFound not_executed")
        elif session is not None and session.lost:
            self.end(call, "SessionLost not_executed")
        else:
            call.state, call.wait_until = State.WAITING, self.now + call.patience
            call.written = call.written or call.begun or call.sent_at < self.now or None
            call.begun = False

    def _promote(self, seen: Seen, role: WorkerRole) -> bool:
        """Have one of these serve, if one is missing: what waits has it, before it is known what a lost one leaves."""
        found = self.having(role) if len(self.serving) < self.size else []
        if found:
            order = {incarnation: place for place, incarnation in enumerate(reversed(seen.promoted))}
            max(found, key=lambda worker: order.get(worker.incarnation, -1)).role = WorkerRole.SERVING
            self.settle(seen)
        return bool(found)

    def _let_go(self) -> None:
        """Stop those that leave and have nothing left to do."""
        for worker in self.having(WorkerRole.LEAVING):
            if worker.holds is None and not self.lodgers(worker):
                worker.role, worker.kill_at = None, self.now + STEP
                if not worker.frozen:
                    del self.slots[worker.slot]

    def _spawn(self, slots: Iterable[int], seen: Seen) -> None:
        """Start workers at once: as many serve as are missing, no matter which, and the others stand by."""
        slots = list(slots)
        assert seen.incarnations.keys() >= {*slots}, f"workers start in {slots}, and there are {seen.incarnations}"
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
        self._let_go()

    def end(self, call: Call, result: str, counted: str | None = None) -> None:
        """Tell a caller the outcome."""
        assert call.result is None
        if call.ran:
            result = result.replace("not_executed", "maybe_executed")
        call.result = result
        if call.state is State.WAITING:
            call.state = State.OVER
        if call.kind is Kind.INNER:
            return
        self.counts[counted or COUNTED.get(result, "failed")] += 1
        if call.session is not None and self.sessions.get(call.session.name) is call.session:
            call.session.last_used = self.now
        self._end_draining()

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
            if worker.kill_at <= now and worker.role is None and worker.stops == 0:
                worker.stops, worker.kill_at = 1, now + STEP
            elif worker.kill_at <= now:
                self.die(worker, planned=True, seen=seen)
        self._spawn([slot for slot, place in self.slots.items() if place.restart_at <= now], seen)
        for session in [session for session in self.sessions.values() if session.last_used + TTL <= now]:
            if any(call.session is session and call.state is not State.OVER for call in self.calls.values()):
                session.last_used = now
            else:
                self.end_session(session.name, seen)
