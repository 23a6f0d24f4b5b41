"""What an animal of the zoo is put through: a storm, a crash loop, a standstill; and the evidence it leaves on disk.

Everything is written as a run writes it, and read back as the evidence of any run is, so that the zoo tries the way
there too.
"""

from __future__ import annotations

from hashlib import sha256 as digest_of
from typing import TYPE_CHECKING, Any

import attrs
from _zoo_pool import ToyPool
from _zoo_world import Bug, Ticket, Worker, World

from chaos._history import History
from chaos.evidence._evidence import Evidence, read_evidence
from chaos.scenario._application_faults import AppStop
from chaos.scenario._fault import Expectation, Trigger, Window
from chaos.scenario._model import Operation, Phase, Scenario, Workload
from chaos.scenario._plan import Plan
from chaos.scenario._plan_file import sha256, to_json
from chaos.scenario._process_faults import Freeze, Kill
from chaos.workload._work import Register
from trio_pool import PoolConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chaos.scenario._fault import FaultSpec

BACKOFF = {"initial": 0.05, "factor": 2, "maximum": 0.2, "jitter": "none", "reset_after": 1.0}

# Any, for type checkers do not agree on what a converter takes.
RESTART: Any = {"max_restarts": 100, "within": 30.0, "backoff": BACKOFF}
RETRY: Any = {"max_retries": 1}

POOL = PoolConfig(
    size=3,
    max_queue=4,
    timeout=1.0,
    abandon_grace=0.5,
    shutdown_grace=2.0,
    restart=RESTART,
    retry=RETRY,
)

SOON = Expectation(detect_within=0.5, recover_within=1.0)

STORM: Sequence[FaultSpec] = (
    Kill(name="kill", at=Trigger(phase="storm", every=2.0, count=22), expect=SOON),
    Kill(name="sent", at=Trigger(phase="storm", every=10.0, count=4), window=Window.W4),
    Kill(name="begun", at=Trigger(phase="storm", every=10.0, count=4), window=Window.W5),
    Kill(name="hunter", at=Trigger(phase="storm", every=20.0, count=3), window=Window.W5),
    Freeze(name="freeze", at=Trigger(phase="storm", every=20.0, count=2), hold=2.5),
)

STILL: Sequence[FaultSpec] = (
    Freeze(name="freeze", at=Trigger(time=2.0), hold=6.0),
    AppStop(name="stop", at=Trigger(time=2.5), hold=3.0),
)

LOOP: Sequence[FaultSpec] = (Kill(name="loop", at=Trigger(phase="loop", on="WorkerReady", count=100)),)

OPERATIONS = (
    Operation(name="append"),
    Operation(name="read", idempotent=True),
    Operation(name="work", idempotent=True),
)


def plan_of(name: str, phases: Sequence[Phase], pool: PoolConfig, faults: Sequence[FaultSpec]) -> Plan:
    """Return a plan whose requests and strikes are made as it goes along."""
    scenario = Scenario(
        name=name,
        phases=tuple(phases),
        seed=1,
        pool=pool,
        workload=Workload(operations=OPERATIONS),
        faults=tuple(faults),
    )
    return Plan(scenario=scenario, seed=1, visits=(), strikes=())


class Run:
    """A run of one animal.

    Args:
        directory: Where it leaves its evidence.
        plan: What it is.
        bug: The animal.
    """

    def __init__(self, directory: Path, plan: Plan, bug: Bug) -> None:
        self.directory, self.plan, self.bug = directory, plan, bug
        self.world = World()
        (directory / "plan.json").write_text(to_json(plan))
        self.history = History(directory / "history.jsonl", lambda: self.world.now)
        self.work = Register()
        self.phase = ""
        self.asked = 0
        self.open = 0
        self.sessions = 0
        self.occurrences: dict[str, int] = {}
        self.loop = False
        self.hunted: int | None = None
        self.note(
            "run",
            "start",
            plan=sha256(plan),
            scenario=plan.scenario.name,
            seed=1,
            target="toy",
            monotonic_ns=round(self.world.now * 1e9),
        )
        self.pool = ToyPool(self.world, plan.scenario.pool, self.tell, bug)
        self.pool.on_ready = self._ready

    def note(self, src: str, kind: str, /, **fields: Any) -> None:
        """Write a record."""
        self.history.record(src, kind, **fields)

    def tell(self, kind: str, /, **fields: Any) -> None:
        """Write an event of the pool."""
        self.note("pool", kind, **fields)

    def enter(self, phase: str, duration: float) -> None:
        """Begin a phase, and end the one before."""
        if self.phase:
            self.note("run", "phase_end", name=self.phase)
        self.phase = phase
        self.note("run", "phase", name=phase, duration=duration, measure=True, heal=phase == "heal")

    def sample_for_ever(self) -> None:
        """Take a sample every quarter of a second, and say how late it is."""
        self._sample(self.world.now)

    def _sample(self, due: float) -> None:
        lag = round(self.world.now - due, 6)
        self.note("sampler", "sample", in_flight=self.open, lag=lag, **self.pool.sample())
        following = self.world.now + 0.25
        self.world.at(following, lambda: self._sample(following))

    # -- requests ------------------------------------------------------------------------------------------------------

    def ask(
        self,
        operation: str,
        session: str | None = None,
        *,
        service: float = 0.05,
        idempotent: bool = True,
        cancel_after: float | None = None,
        then: Callable[[str, dict[str, Any]], None] = lambda _kind, _fields: None,
    ) -> Ticket:
        """Send a request."""
        number = self.asked
        self.asked += 1
        self.open += 1
        nonce = digest_of(str(number).encode()).hexdigest()[:16]
        touches = self.work.touches(operation)
        expect = {"digest": digest_of(f"{nonce}:0".encode()).hexdigest()[:16]} if operation == "work" else {}
        self.note(
            "client",
            "invoke",
            id=number,
            visit=number,
            step=0,
            phase=self.phase,
            measure=True,
            session=session,
            operation=operation,
            nonce=nonce,
            t_int=round(self.world.now, 6),
            idempotent=idempotent,
            timeout=None,
            service=service,
            size=0,
            cancel_after=cancel_after,
            touches=touches,
            expect=expect,
        )

        def done(kind: str, fields: dict[str, Any]) -> None:
            # A caller hears of it a moment later than the pool.
            def heard() -> None:
                self.open -= 1
                self.note("client", kind, id=number, **fields)
                then(kind, fields)

            self.world.after(0.0001, heard)

        args = {"request": number, "nonce": nonce, "session": session, "service": service, "size": 0}
        ticket = self.pool.submit(operation, args, idempotent=idempotent, done=done)
        if cancel_after is not None:
            self.world.after(cancel_after, lambda: self.pool.cancel(ticket))
        return ticket

    def visit(self, requests: int, *, think: float, service: float = 0.03) -> None:
        """Have a session make so many requests, one after the other."""
        number = self.sessions
        self.sessions += 1

        def step(left: int, generation: int) -> None:
            name = f"s-{number}" if not generation else f"s-{number}.{generation}"
            if not left:
                self.note("client", "ended", session=name)
                return
            append = left % 3 > 0

            def then(_kind: str, fields: dict[str, Any]) -> None:
                lost = fields.get("error") == "SessionLost"
                self.world.after(think, lambda: step(left - 1, generation + lost))

            self.ask("append" if append else "read", name, service=service, idempotent=not append, then=then)

        step(requests, 0)

    # -- faults --------------------------------------------------------------------------------------------------------

    def strike(self, fault: str, kind: str, worker: Worker, hold: float = 2.5) -> None:
        """Write down that a fault hits a worker, and do it."""
        occurrence = self.occurrences.get(fault, 0)
        self.occurrences[fault] = occurrence + 1
        current = worker.current
        self.note(
            "chaos",
            "inject",
            fault=fault,
            occurrence=occurrence,
            kind=kind,
            slot=worker.slot,
            worker_id=f"toy-{worker.slot}",
            incarnation=worker.incarnation,
            pid=worker.pid,
            begun=current is not None and worker.begun,
            request_id=None if current is None else current.number,
            session_id=None if current is None else current.session,
            detail={},
        )
        if kind == "kill":
            self.pool.kill(worker)
            return
        self.pool.freeze(worker)

        def heal() -> None:
            self.pool.thaw(worker)
            self.note("chaos", "heal", fault=fault, occurrence=occurrence, ok=True, took=0.0)

        self.world.after(hold, heal)

    def strike_living(self, fault: str, worker: Worker) -> None:
        """Kill a worker that lives."""
        if worker.alive:
            self.strike(fault, "kill", worker)

    def strike_running(self, fault: str, worker: Worker) -> None:
        """Kill a worker that runs a request."""
        if worker.begun:
            self.strike(fault, "kill", worker)

    def kill_slot(self, fault: str, slot: int) -> None:
        """Kill the worker of a slot, or whichever serves."""
        worker = self.pool.slots[slot]
        if worker is None or worker.frozen:
            # Whoever is frozen is to stay so until it thaws.
            worker = next((each for each in self.pool.slots.values() if each and not each.frozen), None)
        if worker is not None and worker.alive:
            self.strike(fault, "kill", worker)

    def stand(self, fault: str, seconds: float) -> None:
        """Have the application stand still."""
        whom = dict.fromkeys(("slot", "worker_id", "incarnation", "pid", "begun", "request_id", "session_id"))
        self.note("chaos", "inject", fault=fault, occurrence=0, kind="app-stop", **whom, detail={})
        self.world.stand(seconds)
        self.note("chaos", "effect", fault=fault, occurrence=0, effect={"seconds": seconds})
        self.note("chaos", "heal", fault=fault, occurrence=0, ok=True, took=0.0)

    def freeze_a_home(self) -> None:
        """Freeze an idle worker in which sessions live."""
        homes = [session.worker for session in self.pool.sessions.values() if session.worker]
        idle = [each for each in self.pool.slots.values() if each and each.ready and not each.current]
        worker = max(idle, key=homes.count, default=None)
        if worker is None or worker not in homes:
            self.world.after(0.005, self.freeze_a_home)
        else:
            self.strike("freeze", "freeze", worker)

    def kill_when_sent(self) -> None:
        """Kill the next worker that is sent a request, before the request is there."""

        def sent(worker: Worker) -> None:
            self.pool.on_sent = lambda _worker: None
            self.world.after(0.001, lambda: self.strike_living("sent", worker))

        self.pool.on_sent = sent

    def kill_when_begun(self) -> None:
        """Kill the next worker that begins what may not be repeated, and in which no session lives."""

        def begun(worker: Worker) -> None:
            if worker.current is not None and worker.current.command == "work" and not worker.current.idempotent:
                self.pool.on_begun = lambda _worker: None
                self.world.after(0.01, lambda: self.strike_running("begun", worker))

        self.pool.on_begun = begun

    def hunt(self) -> None:
        """Kill whichever worker begins one request, up to three times."""
        hunted = self.ask("work", service=0.3)
        left = [3]

        def begun(worker: Worker) -> None:
            if worker.current is hunted and left[0]:
                left[0] -= 1
                self.world.after(0.01, lambda: self.strike_running("hunter", worker))

        self.pool.on_begun = begun

    def _ready(self, worker: Worker) -> None:
        if self.loop and worker.slot == 0:
            self.world.after(0.05, lambda: self.strike_living("loop", worker))

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the pool, with a request under way."""
        began = self.world.now
        self.ask("work", service=0.3)
        self.world.run(self.world.now + 0.01)
        self.note("run", "closing")

        def closed() -> None:
            self.note("run", "closed", took=round(self.world.now - began, 6))

        self.pool.close(closed)
        self.world.run(self.world.now + 6.0)

    def evidence(self) -> Evidence:
        """End the run, and read what it left."""
        self.note("run", "end")
        left = 2 if self.bug is Bug.LEAVES_ORPHANS else 0
        self.note("run", "application_ended", exit=0)
        for pid in range(left):
            self.note("run", "leftover", pid=1000 + pid, cmdline="python worker.py", state="S")
        self.note("run", "checked", leftovers=left)
        with self.history:
            pass
        (self.directory / "ledger.bin").write_bytes(self.pool.ledger)
        complaint = "RuntimeWarning: coroutine 'close' was never awaited\n" if self.bug is Bug.COMPLAINS else ""
        (self.directory / "pool.log").write_text(f"toy-0 started\n{complaint}")
        return read_evidence(self.directory)


def storm(directory: Path, bug: Bug) -> Evidence:
    """Put an animal through ten seconds of calm, fifty of faults, and five to heal."""
    phases = [
        Phase(name="calm", duration=10.0),
        Phase(name="storm", duration=50.0),
        Phase(name="heal", duration=5.0, heal=True),
    ]
    run = Run(directory, plan_of("zoo-storm", phases, POOL, STORM), bug)
    world = run.world
    world.run(0.1)
    run.note("run", "opened", took=0.1)
    run.note("run", "steady", after="before", ok=True, took=0.0, failing=[])
    run.note("run", "clock")
    run.enter("calm", 10.0)
    run.sample_for_ever()
    for each in range(4):
        world.after(0.02 * each, lambda: run.visit(15, think=0.5))

    def burst() -> None:
        for _ in range(9):
            run.ask("work", service=0.1)

    world.at(8.5, burst)
    for each in range(80):
        # Most of them fall where a worker is free; some where none is.
        at = 1.0 + 0.7 * each
        world.at(at, lambda: run.ask("work", service=0.15, idempotent=False))
        world.at(at + 0.003, lambda: run.ask("work", service=0.15))
        if each % 4 == 0:
            world.at(at + 0.3, lambda: run.ask("work", service=0.2, cancel_after=0.06))
    world.at(10.1, lambda: run.enter("storm", 50.0))
    for each in range(6):
        world.at(10.2 + 0.05 * each, lambda: run.visit(70, think=0.5))
    for each in range(22):
        world.at(12.0 + 2 * each + 0.013 * each, lambda slot=each % 3: run.kill_slot("kill", slot))  # type: ignore[misc]
    for each in range(4):
        world.at(13.1 + 10 * each, run.kill_when_sent)
        world.at(17.1 + 10 * each, run.kill_when_begun)
    world.at(20.55, run.freeze_a_home)
    world.at(40.55, run.freeze_a_home)
    world.at(44.6, run.hunt)
    world.run(60.1)
    run.enter("heal", 5.0)
    for each in range(8):
        world.after(0.5 * each, lambda: run.ask("work", service=0.02))
    world.run(65.1)
    well = run.pool.sample()["ready"] == run.pool.size
    failing = [] if well else ["pool.ready == pool.size"]
    run.note("run", "steady", after="after", ok=well, took=0.0, failing=failing)
    run.note("run", "phase_end", name="heal")
    run.note("run", "load_ended", took=65.0)
    run.close()
    return run.evidence()


def crash_loop(directory: Path, bug: Bug) -> Evidence:
    """Put an animal through a worker that dies whenever it has got ready, until the pool gives up."""
    restart: Any = {"max_restarts": 5, "within": 30.0, "backoff": BACKOFF}
    pool = attrs.evolve(POOL, size=2, restart=restart)
    run = Run(directory, plan_of("zoo-loop", [Phase(name="loop", duration=8.0)], pool, LOOP), bug)
    run.world.run(0.1)
    run.note("run", "opened", took=0.1)
    run.note("run", "clock")
    run.enter("loop", 8.0)
    run.sample_for_ever()
    run.loop = True
    worker = run.pool.slots[0]
    if worker is not None:
        run.strike("loop", "kill", worker)
    for each in range(78):
        run.world.after(0.1 * each, lambda: run.ask("work", service=0.02))
    run.world.run(8.0)
    run.note("run", "phase_end", name="loop")
    run.note("run", "load_ended", took=8.0)
    if run.pool.gave_up:
        run.note("run", "pool_failed", error="RestartIntensityExceeded: too many restarts")
    run.note("run", "closing")
    run.pool.close(lambda: run.note("run", "closed", took=0.0))
    run.world.run(run.world.now + 3.0)
    return run.evidence()


def standstill(directory: Path, bug: Bug) -> Evidence:
    """Have an animal stand still for three times as long as its requests may take, one of them in a frozen worker."""
    phases = [Phase(name="still", duration=10.0)]
    run = Run(directory, plan_of("zoo-still", phases, POOL, STILL), bug)
    world = run.world
    world.run(0.1)
    run.note("run", "opened", took=0.1)
    run.note("run", "steady", after="before", ok=True, took=0.0, failing=[])
    run.note("run", "clock")
    run.enter("still", 10.0)
    run.sample_for_ever()
    for each in range(90):
        world.at(0.5 + 0.1 * each, lambda: run.ask("work", service=0.02))

    def freeze() -> None:
        worker = next(each for each in run.pool.slots.values() if each is not None and each.current is not None)
        run.strike("freeze", "freeze", worker, hold=6.0)

    world.at(2.01, freeze)
    world.at(2.5, lambda: run.stand("stop", 3.0))
    world.run(10.1)
    run.note("run", "steady", after="after", ok=True, took=0.0, failing=[])
    run.note("run", "phase_end", name="still")
    run.note("run", "load_ended", took=10.0)
    run.close()
    return run.evidence()
