"""A history written by hand, record by record, for the checkers to judge."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from chaos.checking._table import CHECKERS
from chaos.evidence._evidence import Evidence, make_evidence
from chaos.scenario._model import Checks, Phase, Scenario
from chaos.scenario._plan import Plan, Visit
from chaos.workload._ledger import BEGIN, EFFECT, END, MAGIC, RECORD
from chaos.workload._operations import digest
from trio_pool import PoolConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.checking._finding import Finding
    from chaos.scenario._fault import FaultSpec

Record = dict[str, Any]

STEP = 0.01
"""Seconds between two records, unless one says otherwise."""


class Story:
    """What happened, told from the beginning.

    Args:
        pool: Settings of the pool.
        faults: Those of the scenario.
        tags: Of the scenario.
        asked: Whether the plan has requests.
        **checks: Settings of the checks.
    """

    def __init__(
        self,
        pool: dict[str, Any] | None = None,
        faults: Sequence[FaultSpec] = (),
        *,
        tags: tuple[str, ...] = (),
        asked: bool = False,
        **checks: Any,
    ) -> None:
        scenario = Scenario(
            name="story",
            phases=(Phase(name="main", duration=10.0),),
            seed=1,
            tags=tags,
            pool=PoolConfig(**{"size": 2, "timeout": 1.0, **(pool or {})}),
            faults=tuple(faults),
            checks=Checks(**checks),
        )
        visits = (Visit(at=0.0, phase="main", session=None, requests=()),) if asked else ()
        self.plan = Plan(scenario=scenario, seed=1, visits=visits, strikes=())
        self.now = 0.0
        self.records: list[Record] = []
        self.ledger: bytearray | None = bytearray()
        self.log: str | None = None
        self.executions = 0
        self.numbers = 0
        self.note("run", "start", plan="", scenario="story", seed=1, target="trio_pool", monotonic_ns=0)

    def note(self, src: str, kind: str, /, *, at: float | None = None, **fields: Any) -> Record:
        """Write a record."""
        self.now = self.now + STEP if at is None else at
        entry: Record = {"seq": len(self.records), "t": round(self.now, 6), "src": src, "type": kind, **fields}
        if kind == "start":
            entry["t"] = 0.0
        self.records.append(entry)
        return entry

    # -- requests ------------------------------------------------------------------------------------------------------

    def invoke(self, number: int, operation: str = "work", session: str | None = None, **fields: Any) -> Record:
        """Send a request."""
        nonce = nonce_of(number)
        at = fields.pop("at", None)
        defaults: Record = {
            "id": number,
            "phase": "main",
            "session": session,
            "operation": operation,
            "nonce": nonce,
            "t_int": round(self.now + STEP if at is None else at, 6),
            "idempotent": False,
            "timeout": None,
            "service": 0.0,
            "size": 0,
            "cancel_after": None,
            "touches": operation if operation in ("append", "read") else None,
            "expect": {"digest": digest(nonce, 0)} if operation == "work" else {},
        }
        return self.note("client", "invoke", at=at, **(defaults | fields))

    def ok(self, number: int, *, at: float | None = None, **reply: Any) -> Record:
        """Answer it, rightly unless ``reply`` has something else."""
        invoke = next(e for e in self.records if e["type"] == "invoke" and e["id"] == number)
        answer: Record = {"request": number, "nonce": nonce_of(number), "session": None, "pid": 101}
        if invoke["touches"]:
            answer["session"] = invoke["session"]
        return self.note("client", "ok", at=at, id=number, reply={**answer, **invoke["expect"], **reply})

    def failed(self, number: int, error: str, outcome: str = "maybe_executed", **fields: Any) -> Record:
        """Have it fail."""
        kind = {"not_executed": "fail", "maybe_executed": "info", "executed": "raised"}.get(outcome, "raised")
        defaults: Record = {"id": number, "error": error, "outcome": outcome, "message": "", "request_id": None}
        defaults |= {"worker_id": None, "public": True, "chain": [], "group": False}
        at = fields.pop("at", None)
        return self.note("client", fields.pop("type", kind), at=at, **(defaults | fields))

    def cancelled(self, number: int, *, at: float | None = None) -> Record:
        """Have its caller give it up."""
        fields = {"id": number, "error": "Cancelled", "outcome": "maybe_executed", "cancelled": True}
        return self.note("client", "info", at=at, **fields)

    def ran(
        self, number: int, *, pid: int = 101, begin: float | None = None, steps: Sequence[int] = (BEGIN, EFFECT, END)
    ) -> None:
        """Have it executed, all within a millisecond, or as far as it came."""
        self.executions += 1
        at = self.now if begin is None else begin
        for step in steps:
            self.step(number, step, at=at + 0.0003 * step, pid=pid, execution=self.executions)

    def step(self, number: int, step: int, *, at: float, pid: int = 101, execution: int, nonce: str = "") -> None:
        """Write one record of the ledger."""
        session = next((e["session"] for e in self.records if e["type"] == "invoke" and e["id"] == number), None)
        secret = int(nonce or nonce_of(number), 16)
        packed = RECORD.pack(
            MAGIC, step, number, secret, pid, execution, round(at * 1e9), (session or "").encode()[:20]
        )
        if self.ledger is not None:
            self.ledger += packed + zlib.crc32(packed).to_bytes(4, "big")

    def served(self, number: int, operation: str = "work", session: str | None = None, **fields: Any) -> None:
        """Send a request, have it executed and answer it."""
        reply = {name: fields.pop(name) for name in ("items", "pid") if name in fields}
        self.invoke(number, operation, session, **fields)
        self.ran(number, pid=reply.get("pid", 101))
        self.ok(number, **reply)

    # -- the pool ------------------------------------------------------------------------------------------------------

    def pool(self, kind: str, **fields: Any) -> Record:
        """Write an event of the pool."""
        at = fields.pop("at", None)
        return self.note("pool", kind, at=at, **fields)

    def worker(self, kind: str, incarnation: int, slot: int = 0, **fields: Any) -> Record:
        """Write an event about a worker; its process is 100 more than its incarnation."""
        more: Record = {"pid": 100 + incarnation} if kind != "WorkerStarting" else {}
        if kind == "WorkerExited":
            more |= {"exit": "SIGKILL", "reason": "crash", "planned": False}
        ident = {"slot": slot, "worker_id": f"pool-{slot}", "incarnation": incarnation}
        return self.pool(kind, **(ident | more | fields))

    def started(self, incarnation: int, slot: int = 0, **fields: Any) -> None:
        """Start a worker and have it get ready."""
        self.worker("WorkerStarting", incarnation, slot, **fields)
        self.worker("WorkerReady", incarnation, slot)

    def handed(self, number: int, incarnation: int = 1, session: str | None = None, **fields: Any) -> Record:
        """Have the pool's request of that number handed to a worker."""
        more: Record = {"request_id": number, "session_id": session, "command": "work", "slot": 0}
        return self.pool("RequestDispatched", **(more | {"incarnation": incarnation} | fields))

    def finished(self, number: int, incarnation: int | None = 1, result: str = "ok", **fields: Any) -> Record:
        """Have the pool be done with its request of that number."""
        more: Record = {"request_id": number, "session_id": None, "command": "work", "incarnation": incarnation}
        return self.pool("RequestFinished", **(more | {"result": result} | fields))

    def injected(self, fault: str, incarnation: int | None, *, kind: str = "kill", **fields: Any) -> Record:
        """Have a fault hit a worker."""
        more: Record = {"occurrence": 0, "slot": 0, "worker_id": None, "pid": None, "begun": False}
        more |= {"request_id": None, "session_id": None, "detail": {}, "fault": fault, "incarnation": incarnation}
        at = fields.pop("at", None)
        return self.note("chaos", "inject", at=at, **(more | {"kind": kind} | fields))

    def sample(self, metrics: dict[str, int] | None = None, **fields: Any) -> Record:
        """Take a sample."""
        counts = ("queued", "running", "ok", "failed", "timed_out", "cancelled", "rejected")
        zeros = dict.fromkeys((*counts, "submitted", "redispatched", "retries", "restarts", "stale_replies"), 0)
        told = [entry for entry in self.records if entry["type"] in ("WorkerReady", "WorkerExited")]
        serving = sum(1 if entry["type"] == "WorkerReady" else -1 for entry in told)
        more: Record = {"size": 2, "ready": serving if told else 2, "queued": 0, "in_flight": 0, "lag": 0.0}
        more |= {"fds": 20, "threads": 1, "tasks": 10, "rss": 10**7, "metrics": {**zeros, **(metrics or {})}}
        at = fields.pop("at", None)
        return self.note("sampler", "sample", at=at, **(more | fields))

    # -- the run -------------------------------------------------------------------------------------------------------

    def run(self, kind: str, **fields: Any) -> Record:
        """Write a record of the run itself."""
        at = fields.pop("at", None)
        return self.note("run", kind, at=at, **fields)

    def ends(self) -> None:
        """Close the pool and end the run, as it should."""
        self.run("load_ended")
        self.run("closing")
        self.run("closed", took=0.1)
        self.run("end")
        self.run("checked", leftovers=0)

    def evidence(self) -> Evidence:
        """Return it as what a run left."""
        ledger = None if self.ledger is None else bytes(self.ledger)
        return make_evidence(self.plan, self.records, ledger, None if self.log is None else self.log.encode())

    def judged(self, number: str) -> Finding:
        """Return what a checker says of it."""
        checker = next(checker for checker in CHECKERS if checker.number == number)
        finding = checker.check(self.evidence())
        assert "the checker itself failed" not in finding.text, finding.text
        return finding

    def says(self, number: str) -> str:
        """Return its verdict in a word: ``pass``, ``fail``, ``unknown``, or ``idle`` for one that does not weigh."""
        finding = self.judged(number)
        return str(finding.judgement) if finding.weighs else "idle"


def nonce_of(number: int) -> str:
    """Return the nonce of a request."""
    return f"{0xABCDEF0123456789 ^ number:016x}"
