"""Runs that a small model of a pool made up: plausible histories of any length, the same for the same seed.

The model goes through a real plan in virtual time. Workers take requests one at a time, die of kills, stand still while
frozen and are given up on after the pool's timeout; sessions live and die with them.
"""

from __future__ import annotations

import heapq
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from chaos.evidence._evidence import Evidence, make_evidence
from chaos.scenario._make_plan import make_plan
from chaos.scenario._reading import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chaos.scenario._fault import FaultSpec
    from chaos.scenario._model import Phase
    from chaos.scenario._plan import Plan, PlannedRequest, Strike, Visit

REPLAY = "python -m chaos run made --seed 7"

SCENARIO = """
schema = 1
name = "made"
summary = "workers die and stand still under requests of sessions"
[pool]
size = 3
timeout = "1s"
[[workload.op]]
name = "append"
weight = 3
service_time = { dist = "lognormal", p50 = "12ms", p99 = "60ms" }
[[workload.op]]
name = "read"
idempotent = true
service_time = { dist = "constant", mean = "5ms" }
[[workload.op]]
name = "work"
weight = 2
idempotent = true
service_time = { dist = "exponential", mean = "8ms" }
[[phase]]
name = "warmup"
duration = "1s"
measure = false
load = { model = "open", rate = 20.0 }
[[phase]]
name = "main"
duration = "10s"
load = { model = "partly-open", session_rate = 20.0 }
[[phase]]
name = "heal"
duration = "3s"
heal = true
load = { model = "open", rate = 30.0 }
[[fault]]
name = "k1"
kind = "kill"
at = { phase = "main", every = "2s" }
target = { state = "busy" }
expect = { detect_within = "250ms", recover_within = "1s" }
[[fault]]
name = "f1"
kind = "freeze"
at = { phase = "main", time = "3s" }
for = "2s"
target = { slot = 0 }
expect = { recover_within = "2s" }
[steady_state]
require = ["pool.ready == pool.size"]
after = { hold = "500ms", within = "5s" }
[[slo]]
window = "main"
require = ["success_rate >= 0.8", "latency.p95 < 2s", "dropped == 0"]
[[slo]]
window = "fault:k1"
require = ["success_rate >= 0.5", "time_to_capacity.max < 1s"]
[[slo]]
window = "heal"
require = ["success_rate == 1.0", "latency.p50 < 100ms"]
[checkers]
sometimes = ["worker.restarts >= 3", "error.WorkerCrashed >= 1", "fault.k1.hits >= 1"]
"""


@attrs.define
class _Worker:
    slot: int
    incarnation: int
    ready: bool = False
    alive: bool = True
    frozen: bool = False
    waiting: list[_Asked] = attrs.field(factory=list["_Asked"])
    running: _Asked | None = None
    late: Callable[[], None] | None = None

    @property
    def names(self) -> dict[str, Any]:
        return {"slot": self.slot, "worker_id": f"pool-{self.slot}", "incarnation": self.incarnation}


@attrs.define
class _Asked:
    request: PlannedRequest
    number: int
    session: str | None
    then: Callable[[], None]
    done: bool = False
    worker: _Worker | None = None

    @property
    def names(self) -> dict[str, Any]:
        return {"request_id": self.number, "session_id": self.session, "command": self.request.operation}


class Model:
    """A pool that exists in numbers only, and the run of one plan on it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.records: list[dict[str, Any]] = []
        self.t = 0.0
        self.due: list[tuple[float, int, Callable[[], None]]] = []
        self.tick = itertools.count()
        self.incarnations = itertools.count(1)
        self.numbers = itertools.count(1)
        self.size = plan.scenario.pool.size or 1
        self.workers: list[_Worker] = []
        self.homes: dict[str, _Worker] = {}
        self.in_flight = 0
        self.clock = 0.0

    def note(self, src: str, kind: str, /, **fields: Any) -> None:
        self.records.append({"seq": len(self.records), "t": round(self.t, 6), "src": src, "type": kind, **fields})

    def at(self, t: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.due, (t, next(self.tick), what))

    def go(self, until: float) -> None:
        while self.due and self.due[0][0] <= until:
            t, _, what = heapq.heappop(self.due)
            self.t = max(self.t, t)
            what()
        self.t = max(self.t, until)

    def run(self) -> list[dict[str, Any]]:
        scenario = self.plan.scenario
        about: Mapping[str, object] = {"python": "3.11.7", "trio": "0.35.0", "kernel": "6.1", "cpus": 2}
        self.note(
            "run",
            "start",
            plan="22266aac9b7a1f1eebd82ff8e51311c8955308aed74b72b3a6e9217496224f81",
            scenario=scenario.name,
            seed=self.plan.seed,
            target="trio_pool",
            target_version="0.1.0",
            replay=REPLAY,
            started="2026-01-02T03:04:05Z",
            **about,
        )
        self.note("run", "opening")
        self.workers = [self.born(slot) for slot in range(self.size)]
        self.go(0.3)
        self.note("run", "opened", took=0.3)
        self.note("run", "steady", after="before", ok=True, took=0.0, failing=[])
        self.clock = self.t
        self.note("run", "clock")
        begin = self.clock
        for phase in scenario.phases:
            self.at(begin, partial(self.phase, phase))
            begin += phase.duration
        for visit in self.plan.visits:
            self.at(self.clock + visit.at, partial(self.visit, visit, 0, self.clock + visit.at))
        for strike in self.plan.strikes:
            if strike.at is not None:
                self.at(self.clock + strike.at, partial(self.strike, strike))
        for index in range(int((begin - self.clock) / scenario.steady_state.sample_every)):
            self.at(self.clock + index * scenario.steady_state.sample_every, self.sample)
        self.go(begin + 3.0)
        self.note("run", "load_ended")
        self.note("run", "steady", after="after", ok=True, took=0.1, failing=[])
        self.note("run", "closing")
        for worker in self.workers:
            self.note("pool", "WorkerExited", pid=1000, exit="exit 0", reason="closed", planned=True, **worker.names)
        self.note("run", "closed", took=0.1)
        self.note("run", "end")
        self.note("run", "application_ended", exit=0)
        self.note("run", "checked", leftovers=0)
        return self.records

    def phase(self, phase: Phase) -> None:
        self.note("run", "phase", name=phase.name, measure=phase.measure, heal=phase.heal, duration=phase.duration)

    def sample(self) -> None:
        self.note(
            "sampler",
            "sample",
            ready=sum(worker.ready and worker.alive for worker in self.workers),
            size=self.size,
            busy=sum(worker.running is not None for worker in self.workers),
            queued=sum(len(worker.waiting) for worker in self.workers),
            sessions=len(self.homes),
            in_flight=self.in_flight,
            fds=20,
            rss=50_000_000,
            lag=0.001,
        )

    # ------------------------------------------------------------------------------------------------------- the pool

    def born(self, slot: int) -> _Worker:
        worker = _Worker(slot, next(self.incarnations))
        self.note("pool", "WorkerStarting", **worker.names)
        self.at(self.t + 0.15 + 0.05 * (worker.incarnation % 3), lambda: self.ready(worker))
        return worker

    def ready(self, worker: _Worker) -> None:
        if worker.alive:
            worker.ready = True
            self.note("pool", "WorkerReady", pid=1000 + worker.incarnation, startup=0.2, **worker.names)
            self.next(worker)

    def next(self, worker: _Worker) -> None:
        if worker.ready and worker.alive and worker.running is None and worker.waiting:
            asked = worker.waiting.pop(0)
            worker.running, asked.worker = asked, worker
            self.note("pool", "RequestDispatched", **asked.names, slot=worker.slot, incarnation=worker.incarnation)
            self.at(self.t + 0.0005 + asked.request.service, lambda: self.answered(worker, asked))

    def answered(self, worker: _Worker, asked: _Asked) -> None:
        if asked.done or not worker.alive:
            return
        if worker.frozen:
            worker.late = lambda: self.answered(worker, asked)
            return
        worker.running = None
        self.finish(asked, "ok", worker.incarnation)
        self.next(worker)

    def finish(self, asked: _Asked, result: str, incarnation: int | None, error: str | None = None) -> None:
        asked.done = True
        self.in_flight -= 1
        self.note("pool", "RequestFinished", **asked.names, incarnation=incarnation, result=result)
        if error is None:
            reply = {"request": asked.request.index, "nonce": asked.request.nonce, "session": asked.session}
            self.note("client", "ok", id=asked.request.index, reply=reply)
        else:
            begun = error in ("WorkerCrashed", "CommandTimeout")
            self.note(
                "client",
                "info" if begun else "fail",
                id=asked.request.index,
                error=error,
                outcome="maybe_executed" if begun else "not_executed",
                message=f"{error} of worker {asked.worker.names['worker_id'] if asked.worker else 'none'}",
                request_id=asked.number,
                worker_id=None,
                public=True,
                chain=[],
                group=False,
            )
        asked.then()

    def dies(self, worker: _Worker, exit_: str, reason: str) -> None:
        if not worker.alive:
            return
        worker.alive = False
        self.note("pool", "WorkerExited", pid=1000, exit=exit_, reason=reason, planned=False, **worker.names)
        heir = self.workers[worker.slot] = self.born(worker.slot)
        gone = [name for name, home in self.homes.items() if home is worker]
        for name in gone:
            del self.homes[name]
            self.note("pool", "SessionForgotten", session_id=name, incarnation=worker.incarnation, lost=True)
        if worker.running is not None:
            self.finish(worker.running, "failed", worker.incarnation, "WorkerCrashed")
        for asked in worker.waiting:
            if asked.session is None:
                heir.waiting.append(asked)
            else:
                self.finish(asked, "failed", None, "SessionLost")

    # ------------------------------------------------------------------------------------------------------ the client

    def visit(self, visit: Visit, step: int, intended: float) -> None:
        request = visit.requests[step]
        session = None if visit.session is None else f"s-{visit.session}"
        self.t += 0.0004
        self.note(
            "client",
            "invoke",
            id=request.index,
            visit=visit.requests[0].index,
            step=step,
            phase=visit.phase,
            measure=True,
            session=session,
            operation=request.operation,
            nonce=request.nonce,
            t_int=round(intended, 6),
            idempotent=request.operation == "read",
            timeout=None,
            service=request.service,
            size=request.size,
            cancel_after=None,
            touches=None if session is None else {"a": "append", "r": "read"}.get(request.operation[0]),
            expect={},
        )
        self.in_flight += 1

        def then() -> None:
            if step + 1 < len(visit.requests):
                t = self.t + visit.requests[step + 1].think
                self.at(t, lambda: self.visit(visit, step + 1, t))
            elif session is not None:
                self.homes.pop(session, None)
                self.note("client", "ended", session=session)

        asked = _Asked(request, next(self.numbers), session, then)
        worker = self.homes.get(session or "") or min(self.workers, key=lambda each: (len(each.waiting), each.slot))
        if session is not None and session not in self.homes:
            self.homes[session] = worker
            self.note("pool", "SessionBound", session_id=session, incarnation=worker.incarnation)
        worker.waiting.append(asked)
        self.next(worker)
        self.at(self.t + self.plan.scenario.pool.timeout, lambda: self.timeout(asked))

    def timeout(self, asked: _Asked) -> None:
        worker = asked.worker
        if asked.done:
            return
        if worker is None:
            for each in self.workers:
                if asked in each.waiting:
                    each.waiting.remove(asked)
            self.finish(asked, "expired", None, "PoolTimeout")
            return
        worker.running = None
        self.note("pool", "WorkerKilled", pid=1000, reason="timeout", **worker.names)
        self.finish(asked, "timed_out", worker.incarnation, "CommandTimeout")
        self.dies(worker, "SIGKILL", "timeout")

    # ----------------------------------------------------------------------------------------------------- the nemesis

    def strike(self, strike: Strike) -> None:
        spec = self.plan.fault(strike.fault)
        fits = [worker for worker in self.workers if worker.ready and worker.alive and not worker.frozen]
        if spec.target.slot is not None:
            fits = [worker for worker in fits if worker.slot == spec.target.slot]
        names = {"fault": strike.fault, "occurrence": strike.occurrence}
        if not fits:
            self.note("chaos", "missed", **names, why="no worker qualified")
            return
        fits = [worker for worker in fits if worker.running is not None] or fits
        worker = fits[int(strike.choice * len(fits))]
        running = worker.running
        self.note(
            "chaos",
            "inject",
            **names,
            kind=spec.kind,
            pid=1000 + worker.incarnation,
            begun=running is not None,
            request_id=None if running is None else running.number,
            session_id=None if running is None else running.session,
            detail={},
            **worker.names,
        )
        if spec.kind == "kill":
            self.at(self.t + 0.002, lambda: self.dies(worker, "SIGKILL", "crash"))
            return
        worker.frozen = True
        self.at(self.t + (spec.hold or 0.0), lambda: self.thaw(worker, spec, strike))

    def thaw(self, worker: _Worker, spec: FaultSpec, strike: Strike) -> None:
        names = {"fault": spec.name, "occurrence": strike.occurrence}
        self.note("chaos", "effect", **names, effect={})
        self.note("chaos", "heal", **names, ok=True, took=0.001, error=None)
        worker.frozen = False
        if worker.late is not None:
            worker.late()
        self.next(worker)


def made(seed: int = 7, text: str = SCENARIO) -> Evidence:
    """Return the evidence of a run that the model made up."""
    plan = make_plan(read_toml(text), seed)
    return make_evidence(plan, Model(plan).run())
