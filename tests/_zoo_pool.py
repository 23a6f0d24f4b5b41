"""An animal of the zoo: a small pool in a world of its own time, whole or with one planted bug.

What is under test is not this pool but those who judge it, so it is as small as it can be and still have everything the
checkers look at: workers that begin, take effect and die, a queue, sessions, retries, restarts with backoff, deadlines,
cancellation and an end. Time is a number and chance has no part in it: a run is the same each time, and takes no longer
than its computation.
"""

from __future__ import annotations

import zlib
from itertools import count
from typing import TYPE_CHECKING, Any

from _zoo_world import COUNTS, START, WIRE, Bug, Session, Ticket, Worker, World

from chaos.workload._ledger import BEGIN, EFFECT, END, MAGIC, RECORD
from chaos.workload._operations import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_pool import PoolConfig


class ToyPool:
    """The pool.

    Args:
        world: Where it lives.
        config: Its size, its limits and its restart policy.
        tell: Takes its events.
        bug: What is wrong with it.
    """

    def __init__(self, world: World, config: PoolConfig, tell: Callable[..., object], bug: Bug) -> None:
        self.world, self.config, self.bug = world, config, bug
        self._tell = tell
        self.ledger = bytearray()
        self.size = config.size or 1
        self.slots: dict[int, Worker | None] = dict.fromkeys(range(self.size))
        self.queue: list[Ticket] = []
        self.live: dict[int, Ticket] = {}
        self.sessions: dict[str, Session] = {}
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.numbers = count(1)
        self.incarnations = count(1)
        self.attempts = dict.fromkeys(self.slots, 0)
        self.charges: list[float] = []
        self.deaths = 0
        self.leaked = 0
        self.closing = self.gave_up = False
        self.blocked: Worker | None = None
        self.deferred: list[Callable[[], None]] = []
        self.on_sent: Callable[[Worker], None] = lambda _worker: None
        self.on_begun: Callable[[Worker], None] = lambda _worker: None
        self.on_ready: Callable[[Worker], None] = lambda _worker: None
        self.printed: list[str] = []
        for slot in self.slots:
            self.start(slot)

    # -- workers -------------------------------------------------------------------------------------------------------

    def start(self, slot: int, *, whatever: bool = False) -> None:
        """Start a worker in a slot."""
        if (self.gave_up or self.closing) and not whatever:
            return
        number = next(self.incarnations)
        worker = self.slots[slot] = Worker(slot, number, 1000 + number)
        self.counts["restarts"] += number > self.size
        self.leaked += number > self.size and self.bug is Bug.LEAKS_DESCRIPTORS
        self._of("WorkerStarting", worker)
        self.world.after(START, lambda: self._ready(worker))

    def _ready(self, worker: Worker) -> None:
        if not worker.alive:
            return
        worker.ready, worker.ready_at = True, self.world.now
        if self.bug is Bug.FORGIVES_AT_HANDSHAKE:
            self.attempts[worker.slot] = 0
            self.charges.clear()
        self._of("WorkerReady", worker, pid=worker.pid, startup=START)
        self.on_ready(worker)
        self.pump()

    def freeze(self, worker: Worker) -> None:
        """Stop a worker's process."""
        worker.frozen = True

    def thaw(self, worker: Worker) -> None:
        """Let it go on."""
        worker.frozen = False
        held, worker.held = worker.held, []
        for do in held:
            do()
        if self.blocked is worker:
            self.blocked = None
            deferred, self.deferred = self.deferred, []
            for do in deferred:
                do()
            self.pump()

    def kill(self, worker: Worker, exit_: str = "SIGKILL") -> None:
        """End a worker's process, whoever wants it."""
        if not worker.alive:
            return
        worker.alive, worker.exit = False, exit_
        late = 0.8 if self.bug is Bug.NOTICES_LATE and worker.unwanted is None else 0.0
        if late:
            self.world.after(late, lambda: self._dead(worker))
        else:
            self._dead(worker)

    def _kill_for(self, worker: Worker, reason: str) -> None:
        worker.unwanted = reason
        self._of("WorkerKilled", worker, pid=worker.pid, reason=reason)
        self.kill(worker)

    def _dead(self, worker: Worker) -> None:
        ticket, worker.current = worker.current, None
        planned = worker.unwanted is not None
        self.slots[worker.slot] = None
        if ticket is not None and not ticket.finished:
            self._settle(ticket, worker)
        for name, session in self.sessions.items():
            if session.worker is worker:
                session.worker = None
                session.lost = session.used and self.bug is not Bug.REBINDS_SILENTLY
                if self.bug is not Bug.REBINDS_SILENTLY:
                    self._tell("SessionForgotten", session_id=name, incarnation=worker.incarnation, lost=session.lost)
        for ticket in [each for each in self.queue if each.session and self.sessions[each.session].lost]:
            self.queue.remove(ticket)
            self._fail(ticket, "SessionLost", "not_executed", "failed")
        reason = worker.unwanted or ("protocol" if worker.exit == "bad bytes" else "crash")
        told = {"pid": worker.pid, "exit": worker.exit, "reason": reason, "planned": planned}
        if self.bug is Bug.STARTS_TOO_SOON and not self.closing:
            self.world.after(0.3, lambda: self._of("WorkerExited", worker, **told))
        elif self.bug is not Bug.FORGETS_TO_REAP:
            self._of("WorkerExited", worker, **told)
        if not self.closing:
            self.deaths += 1
            if not (self.bug is Bug.GOES_SHORT and self.deaths >= 12):
                self._restart(worker, planned=planned)
        if self.bug is Bug.KILLS_NEIGHBOURS and not planned and self.deaths == 5:
            other = self.slots[(worker.slot + 1) % self.size]
            if other is not None:
                self.kill(other)
        if self.bug is Bug.RESTARTS_ALL and not planned and not self.closing:
            homes = [session.worker for session in self.sessions.values()]
            for other in [each for each in self.slots.values() if each and each.ready and not each.frozen]:
                # As gently as can be: nobody is at work there, and nobody at home.
                if not self._load(other) and other not in homes:
                    other.unwanted = "shutdown"
                    self.kill(other, "exit 0")
        self.pump()

    def _restart(self, worker: Worker, *, planned: bool) -> None:
        policy, slot, delay = self.config.restart, worker.slot, 0.0
        if not planned:
            if worker.ready and self.world.now - worker.ready_at >= policy.backoff.reset_after:
                self.attempts[slot] = 0
            self.attempts[slot] += 1
            self.charges = [at for at in self.charges if self.world.now - at <= policy.within] + [self.world.now]
            if len(self.charges) > policy.limit(self.size) - 2 * (self.bug is Bug.GIVES_UP_EARLY):
                self.gave_up = True
                self._tell("GaveUp", error="RestartIntensityExceeded: too many restarts")
                for ticket in self.queue[:]:
                    self.queue.remove(ticket)
                    self._fail(ticket, "PoolClosed", "not_executed", "rejected", chain=["RestartIntensityExceeded"])
                if self.bug is Bug.RISES_AGAIN:
                    self.world.after(0.5, lambda: self.start(slot, whatever=True))
                return
            delay = 0.0 if self.bug is Bug.HAS_NO_BACKOFF else policy.backoff.plain(self.attempts[slot])
        self._tell("RestartScheduled", slot=slot, delay=delay)
        self.world.after(delay * (0.6 if self.bug is Bug.HURRIES else 1.0), lambda: self.start(slot))

    def _settle(self, ticket: Ticket, worker: Worker) -> None:
        """Decide what becomes of a request whose worker died."""
        if self.bug is Bug.DROPS_ON_DEATH:
            del self.live[ticket.number]
            ticket.finished = True
            return
        again = not worker.begun
        retried = worker.begun and (ticket.idempotent or self.bug is Bug.RETRIES_EVERYTHING)
        retried = retried and (ticket.tries <= self.config.retry.max_retries or self.bug is Bug.RETRIES_FOR_EVER)
        session = self.sessions.get(ticket.session or "")
        if session is not None and session.worker is worker:
            session.used = session.used or worker.begun
            if session.used and self.bug is not Bug.REBINDS_SILENTLY:
                retried = again = False
        if self.closing:
            retried = again = False
        if not (retried or again):
            outcome = "maybe_executed" if worker.begun else "not_executed"
            if self.bug is Bug.DEFINITE_AFTER_WRITE:
                outcome = "not_executed"
            error = "BrokenResourceError" if self.bug is Bug.RAISES_ANYTHING else "WorkerCrashed"
            self._fail(ticket, error if worker.begun else "SessionLost", outcome, "failed")
            return
        kind = "RequestRetried" if worker.begun else "RequestRedispatched"
        self.counts["retries" if worker.begun else "redispatched"] += 1
        extra = {"retries": ticket.tries} if worker.begun else {}
        self._about(kind, ticket, incarnation=worker.incarnation, **extra)
        ticket.worker, ticket.waiting = None, True
        self.queue.append(ticket)
        self.queue.sort(key=lambda each: each.number)

    # -- requests ------------------------------------------------------------------------------------------------------

    def submit(
        self, command: str, args: dict[str, Any], *, idempotent: bool, done: Callable[[str, dict[str, Any]], None]
    ) -> Ticket:
        """Take a request in."""
        deadline = self.world.now + self.config.timeout
        ticket = Ticket(next(self.numbers), args, command, args["session"], idempotent, deadline, done)
        self.counts["submitted"] += 1
        self.live[ticket.number] = ticket
        if ticket.session is not None:
            session = self.sessions.setdefault(ticket.session, Session())
            if session.lost:
                self._fail(ticket, "SessionLost", "not_executed", "failed")
                return ticket
        if self.closing or self.gave_up:
            chain = ["RestartIntensityExceeded"] if self.gave_up else []
            self._fail(ticket, "PoolClosed", "not_executed", "rejected", chain=chain)
            return ticket
        self.queue.append(ticket)
        self.pump()
        if ticket.waiting and self.bug is not Bug.LETS_ALL_IN and len(self.queue) > self.config.max_queue:
            self.queue.remove(ticket)
            self._fail(ticket, "PoolSaturated", "not_executed", "rejected")
        self.world.at(deadline, lambda: self._late(ticket))
        return ticket

    def pump(self) -> None:
        """Hand what waits to whoever is free."""
        if self.blocked is not None:
            return
        order = reversed(self.queue) if self.bug is Bug.LAST_IN_FIRST_OUT else self.queue
        for ticket in list(order):
            worker = None if self._stuck() else self._free_for(ticket)
            if worker is not None and not self._neglected(ticket):
                self.queue.remove(ticket)
                self._send(ticket, worker)

    def _stuck(self) -> bool:
        return self.blocked is not None

    def _neglected(self, ticket: Ticket) -> bool:
        if self.bug is Bug.STRANDS and self.deaths > 30 and ticket.number % 4 == 0:
            return True
        if self.bug is Bug.PASSES_OVER and self.deaths and (ticket.session or "").startswith("s-5"):
            return self._waits(ticket)
        if self.bug is not Bug.NEGLECTS_A_SESSION or ticket.session is None or not ticket.session.startswith("s-0"):
            return False
        return self._waits(ticket)

    def _waits(self, ticket: Ticket) -> bool:
        """Have a request wait for a while, whoever is free."""
        waited = self.world.now - (ticket.deadline - self.config.timeout)
        if waited < 0.4:
            self.world.after(0.41 - waited, self.pump)
        return waited < 0.4

    def _free_for(self, ticket: Ticket) -> Worker | None:
        most = 2 if self.bug is Bug.OVERLOADS_WORKERS else 1
        free = [
            worker
            for worker in self.slots.values()
            if worker is not None and worker.ready and worker.alive and self._load(worker) < most
        ]
        bound = self.sessions[ticket.session].worker if ticket.session is not None else None
        if bound is not None:
            return bound if bound in free else None
        homes = [session.worker for session in self.sessions.values()]
        return min(free, key=lambda worker: (self._load(worker), homes.count(worker)), default=None)

    def _load(self, worker: Worker) -> int:
        return (worker.current is not None or worker.abandoned) + len(worker.inbox)

    def _send(self, ticket: Ticket, worker: Worker) -> None:
        ticket.worker, ticket.waiting = worker, False
        ticket.tries += 1
        self._about("RequestDispatched", ticket, slot=worker.slot, incarnation=worker.incarnation)
        if ticket.session is not None and self.sessions[ticket.session].worker is None:
            self.sessions[ticket.session].worker = worker
            self._tell("SessionBound", session_id=ticket.session, incarnation=worker.incarnation)
        if worker.garbled:
            worker.current = ticket
            self.world.after(WIRE, lambda: self.kill(worker, "exit 3"))
            return
        if worker.current is None:
            worker.current, worker.begun = ticket, False
        if worker.frozen and self.bug is Bug.BLOCKS_ON_FULL_PIPE:
            self.blocked = worker
        self.on_sent(worker)
        self.world.after(WIRE, lambda: self._when_running(worker, lambda: self._received(worker, ticket)))

    def _late(self, ticket: Ticket) -> None:
        if self.blocked is not None:
            self.deferred.append(lambda: self._late(ticket))
        elif ticket.finished:
            pass
        elif self.bug is Bug.FORGETS_THE_TIME and self.world.now > ticket.deadline + 0.5:
            ticket.deadline = self.world.now + self.config.timeout
            self.world.at(ticket.deadline, lambda: self._late(ticket))
        elif ticket.waiting:
            self.queue.remove(ticket)
            self._fail(ticket, "PoolTimeout", "not_executed", "timed_out")
        elif self.bug is not Bug.WAITS_FOR_FROZEN:
            worker = ticket.worker
            self._fail(ticket, "CommandTimeout", "maybe_executed", "timed_out")
            if worker is not None and self.bug is Bug.GIVES_STALE_REPLIES:
                worker.current, worker.begun = None, False
                self.pump()
            elif worker is not None:
                self._kill_for(worker, "timeout")

    def cancel(self, ticket: Ticket, *, held: bool = False) -> None:
        """Let a caller go."""
        if ticket.finished:
            return
        worker = ticket.worker
        if self.bug is Bug.HOLDS_CALLERS and not held:
            self.world.after(0.13, lambda: self.cancel(ticket, held=True))
            return
        if ticket.waiting:
            self.queue.remove(ticket)
        self._finish(ticket, "cancelled")
        ticket.done("info", {"error": "Cancelled", "outcome": "maybe_executed", "cancelled": True})
        if ticket.waiting or worker is None:
            return
        if self.bug is Bug.CUTS_FRAMES:
            worker.current, worker.garbled = None, True
        else:
            worker.abandoned = True
            self.world.after(self.config.abandon_grace, lambda: self._abandoned(worker, ticket))
        self.pump()

    def _abandoned(self, worker: Worker, ticket: Ticket) -> None:
        if worker.alive and worker.current is ticket:
            self._kill_for(worker, "cancelled")

    def _replied(self, worker: Worker, ticket: Ticket, reply: dict[str, Any]) -> None:
        if self.blocked is not None:
            self.deferred.append(lambda: self._replied(worker, ticket, reply))
            return
        if not worker.alive:
            return
        if self.bug is Bug.READS_OUTPUT and ticket.number % 40 == 39:
            self.kill(worker, "bad bytes")
            return
        if self.bug is Bug.RESOLVES_BY_ARRIVAL:
            running = [each for each in self.live.values() if not each.waiting]
            answered = min(running, key=lambda each: each.number, default=ticket)
        elif self.bug is Bug.GIVES_STALE_REPLIES and worker.current is not None:
            answered = worker.current
        else:
            answered = ticket
        if answered.finished:
            self.counts["stale_replies"] += 1
            self._of("StaleReply", worker, wire_id=ticket.number)
            if self.bug is Bug.ANSWERS_TWICE:
                answered.done("ok", {"reply": reply})
        else:
            self._finish(answered, "ok", twice=self.bug is Bug.COUNTS_TWICE and answered.tries > 1)
            answered.done("ok", {"reply": reply})
        if ticket.session is not None and "items" in reply:
            self.sessions[ticket.session].used = True
        if worker.current is ticket or worker.current is answered:
            worker.current, worker.begun, worker.abandoned = None, False, False
        if worker.inbox and worker.current is None:
            worker.current = worker.inbox[0]
        self.pump()

    def _fail(self, ticket: Ticket, error: str, outcome: str, result: str, chain: list[str] | None = None) -> None:
        self._finish(ticket, result)
        kind = {"not_executed": "fail", "maybe_executed": "info", "executed": "raised"}[outcome]
        fields: dict[str, Any] = {"error": error, "outcome": outcome, "message": "", "request_id": ticket.number}
        fields |= {"worker_id": None, "public": error != "BrokenResourceError", "chain": chain or [], "group": False}
        ticket.done(kind, fields)

    def _finish(self, ticket: Ticket, result: str, *, twice: bool = False) -> None:
        ticket.finished = True
        self.live.pop(ticket.number, None)
        self.counts[result] += 1 + twice
        worker = ticket.worker
        self._about("RequestFinished", ticket, incarnation=worker and worker.incarnation, result=result)

    # -- what happens in a worker --------------------------------------------------------------------------------------

    def _when_running(self, worker: Worker, do: Callable[[], None]) -> None:
        """Do something in a worker's process, as soon as it is not stopped."""
        if worker.alive and worker.frozen:
            worker.held.append(lambda: self._when_running(worker, do))
        elif worker.alive:
            do()

    def _received(self, worker: Worker, ticket: Ticket) -> None:
        if worker.running is not None:
            worker.inbox.append(ticket)
            return
        worker.running = ticket
        worker.executions += 1
        if worker.current is ticket:
            worker.begun = True
        execution = worker.executions
        self._note(worker, ticket, BEGIN, execution)
        self.on_begun(worker)
        service = ticket.args["service"]
        self.world.after(service, lambda: self._when_running(worker, lambda: self._effected(worker, ticket, execution)))

    def _effected(self, worker: Worker, ticket: Ticket, execution: int) -> None:
        args = ticket.args
        reply: dict[str, Any] = {"request": args["request"], "nonce": args["nonce"], "session": None, "pid": worker.pid}
        if ticket.command in ("append", "read"):
            name = "all" if self.bug is Bug.SHARES_STATE else ticket.session or ""
            state = worker.states.setdefault(name, {"session": ticket.session, "items": []})
            if ticket.command == "append":
                state["items"].append(args["nonce"])
            reply |= {"session": state["session"], "items": list(state["items"])}
        else:
            reply["digest"] = digest(args["nonce"], args["size"])
        self._note(worker, ticket, EFFECT, execution)
        self._note(worker, ticket, END, execution)
        worker.running = None
        following = worker.inbox.pop(0) if worker.inbox else None
        # A reply that is in the pipe arrives, whatever becomes of the worker: both take no time here.
        self._replied(worker, ticket, reply)
        if following is not None and worker.alive:
            worker.current = following
            self._received(worker, following)

    def _note(self, worker: Worker, ticket: Ticket, step: int, execution: int) -> None:
        packed = RECORD.pack(
            MAGIC,
            step,
            ticket.args["request"],
            int(ticket.args["nonce"], 16),
            worker.pid,
            execution,
            round(self.world.now * 1e9),
            (ticket.session or "").encode()[:20],
        )
        self.ledger += packed + zlib.crc32(packed).to_bytes(4, "big")

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self, closed: Callable[[], None]) -> None:
        """Let what runs finish, then stop all workers."""
        if self.bug is Bug.HAS_NO_GRACE:
            self._stop(closed)
            return
        end = self.world.now + self.config.shutdown_grace

        def look() -> None:
            if self.live and self.world.now < end:
                self.world.after(0.01, look)
            else:
                self._stop(closed)

        look()

    def _stop(self, closed: Callable[[], None]) -> None:
        self.closing = True
        for ticket in self.queue[:]:
            self.queue.remove(ticket)
            self._fail(ticket, "PoolClosed", "not_executed", "rejected")
        for worker in list(self.slots.values()):
            if worker is not None:
                worker.unwanted = "shutdown"
                self.kill(worker, "exit 0")
        closed()

    # -- what it tells -------------------------------------------------------------------------------------------------

    def sample(self) -> dict[str, Any]:
        """Return what a sampler sees."""
        ready = [each for each in self.slots.values() if each is not None and each.ready and each.alive]
        running = sum(1 for each in self.live.values() if not each.waiting)
        metrics = {**self.counts, "queued": len(self.queue), "running": running}
        gauges = {"ready": len(ready), "size": self.size, "busy": running, "queued": len(self.queue)}
        if self.bug is Bug.BOASTS:
            gauges["ready"] = self.size
        tasks = 10 + self.counts["cancelled"] * (self.bug is Bug.LEAKS_TASKS)
        process = {"fds": 20 + 3 * len(ready) + self.leaked, "threads": 1, "tasks": tasks, "rss": 10**7}
        return {**gauges, **process, "pids": [each.pid for each in ready], "metrics": metrics}

    def _of(self, kind: str, worker: Worker, **fields: Any) -> None:
        ident = {"slot": worker.slot, "worker_id": f"toy-{worker.slot}", "incarnation": worker.incarnation}
        self._tell(kind, **ident, **fields)

    def _about(self, kind: str, ticket: Ticket, **fields: Any) -> None:
        ident = {"request_id": ticket.number, "session_id": ticket.session, "command": ticket.command}
        self._tell(kind, **ident, **fields)
