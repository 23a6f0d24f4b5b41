"""The public API of the harness as users write it; never run, only type checked."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, assert_type

import trio

import chaos
from chaos import results, scenario, targets, workload
from chaos.pytest_plugin import ChaosRunner
from trio_pool import PoolConfig, SessionPool
from trio_pool.bridge import Bridge, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

bridge = Bridge()


@bridge.command
def keep(session: Session, args: dict[str, Any]) -> dict[str, Any]:
    """Show a command that goes through the ledger."""
    return workload.perform("append", args, session.state, lambda: {"kept": 1})


@bridge.command
async def fetch(args: dict[str, Any]) -> dict[str, Any]:
    """Show an async one."""
    execution = workload.Execution("fetch", args)
    try:
        await trio.sleep(0.1)
    except trio.Cancelled:
        execution.stop()
        raise
    return execution.finish(None, {})


workload.join_run()


class Mine:
    """Show a work."""

    app = "mine:bridge"
    operations = ("keep", "fetch")
    asynchronous = frozenset({"fetch"})

    def touches(self, operation: str) -> str | None:
        """Show what keeps a list."""
        return "append" if operation == "keep" else None

    def args(self, request: scenario.PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        """Show what is sent."""
        return {"number": request.index, "session_number": session, "step": step}

    def expect(self, request: scenario.PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        """Show what must come back."""
        return {"kept": 1}


work: workload.Work = Mine()


class Open:
    """Show an open pool."""

    pool: SessionPool | None = None
    capabilities = frozenset({scenario.Capability.PIDS})

    async def call(self, call: targets.Call) -> Any:
        """Show a request."""
        return {"request": call.args["request"], "command": call.command, "timeout": call.timeout}

    async def end_session(self, session: str) -> None:
        """Show the end of a session."""

    def pids(self) -> Sequence[int]:
        """Show the workers."""
        return []


class Kind:
    """Show a kind of pool."""

    name = "mine"
    version = "1"
    sessions = False
    workloads: frozenset[str] | None = None

    @asynccontextmanager
    async def open(self, setup: targets.Setup) -> AsyncIterator[Open]:
        """Show how it is opened."""
        assert_type(setup.scenario, scenario.Scenario)
        yield Open()


target: targets.Target = Kind()
opened: targets.OpenTarget = Open()

at = scenario.Trigger(phase="main", time=1.0)
whom = scenario.Selector(state=scenario.WorkerState.BUSY, count=1)
soon = scenario.Expectation(recover_within=2.0)
short = scenario.Distribution(dist=scenario.Shape.CONSTANT, mean=0.01)

FAULTS: tuple[scenario.FaultSpec, ...] = (
    scenario.Kill(name="a", at=at, target=whom, expect=soon, death=scenario.Death.SEGV, window=scenario.Window.W5),
    scenario.Freeze(name="b", at=at, hold=1.0),
    scenario.BriefFreeze(name="c", at=at),
    scenario.CrashOnStart(name="d", at=at),
    scenario.CrashLoop(name="e", at=at),
    scenario.SlowStart(name="f", at=at),
    scenario.NeverReady(name="g", at=at),
    scenario.GilHog(name="h", at=at),
    scenario.IgnoreSigterm(name="i", at=at),
    scenario.StderrFlood(name="j", at=at),
    scenario.StdoutNoise(name="k", at=at),
    scenario.Grandchild(name="l", at=at),
    scenario.Poison(name="m", at=at),
    scenario.CancelStorm(name="n", at=at),
    scenario.MemoryGrowth(name="o", at=at),
    scenario.MemoryLimit(name="p", at=at),
    scenario.FdLimit(name="q", at=at),
    scenario.FdExhaustion(name="r", at=at),
    scenario.CpuStarvation(name="s", at=at),
    scenario.AppKill(name="t", at=at),
    scenario.AppStop(name="u", at=at),
    scenario.AppStall(name="v", at=at),
    scenario.AppFdExhaustion(name="w", at=at),
    scenario.MemoryPressure(name="x", at=at),
    scenario.Latency(name="y", at=at, direction=scenario.Direction.BOTH),
    scenario.Bandwidth(name="z", at=at),
    scenario.Slice(name="aa", at=at),
    scenario.Coalesce(name="ab", at=at),
    scenario.Stall(name="ac", at=at),
    scenario.Truncate(name="ad", at=at),
    scenario.Corrupt(name="ae", at=at, where=scenario.FramePart.HEADER),
    scenario.Duplicate(name="af", at=at),
    scenario.Reorder(name="ag", at=at),
    scenario.Drop(name="ah", at=at),
    scenario.Unsolicited(name="ai", at=at),
)

LOADS: tuple[scenario.LoadModel, ...] = (
    scenario.OpenLoad(rate=5.0, arrivals=scenario.Arrivals.CONSTANT),
    scenario.PartlyOpenLoad(session_rate=5.0, think=short),
    scenario.ClosedLoad(users=3),
    scenario.ReplayLoad(run="chaos-runs/kill/latest"),
    scenario.NoLoad(),
)

ready = scenario.parse_expression("pool.ready == pool.size")
assert_type(ready, scenario.Expression)
assert_type(ready.left, scenario.Metric)
assert_type(ready.comparison, scenario.Comparison)

built = scenario.Scenario(
    name="built",
    pool=PoolConfig(size=2),
    phases=tuple(scenario.Phase(name=f"p{number}", duration=1.0, load=load) for number, load in enumerate(LOADS)),
    workload=scenario.Workload(kind="python:mine:Mine", operations=(scenario.Operation(name="keep"),)),
    faults=FAULTS,
    steady_state=scenario.SteadyState(require=(ready, "pool.busy >= 0"), after=scenario.Hold(hold=1.0)),
    objectives=(scenario.Objective(window="all", require=["ok > 1"]),),
    checks=scenario.Checks(disable=("C14",), sometimes=("retried > 0",)),
    limits=scenario.Limits(min_live_workers=1),
)


def steps(directory: Path) -> None:
    """Show the steps of a run."""
    assert_type(chaos.read_scenario("kill"), scenario.Scenario)
    assert_type(chaos.read_scenario(directory / "mine.toml", {"pool.size": 2}), scenario.Scenario)
    assert_type(chaos.shipped_scenarios()["kill"], scenario.Scenario)
    try:
        plan = chaos.make_plan(built, seed=7, base=directory)
    except scenario.ScenarioError as exc:
        assert_type(exc.errors, tuple[scenario.Problem, ...])
        plan = chaos.read_plan(directory)
    assert_type(plan, scenario.Plan)
    assert_type(plan.visits, tuple[scenario.Visit, ...])
    assert_type(plan.strikes, tuple[scenario.Strike, ...])
    try:
        run = chaos.run(plan, directory, target="python:mine:Kind", say=print)
    except (chaos.HarnessError, chaos.CannotWrite) as exc:
        assert_type(exc, chaos.HarnessError | chaos.CannotWrite)
        return
    assert_type(run, chaos.Run)
    run.require_pass()
    assert_type(run.summary(), str)
    assert_type(ChaosRunner(directory)(built, settings={"pool.size": 3}), chaos.Run)
    read(run.results)
    try:
        reports = chaos.analyze(run.directory)
    except chaos.NoEvidence:
        return
    assert_type(reports, chaos.Reports)
    assert_type(reports.text(chaos.Format.MARKDOWN), str)
    reports.write(directory)
    read(results.read_results(directory / "results.json"))


def read(found: results.Results) -> None:
    """Show what a run came to."""
    assert_type(found.verdict, results.Judgement)
    assert_type(found.exit, results.Exit)
    assert_type(found.findings, tuple[results.Finding, ...])
    assert_type(found.findings[0].witnesses, tuple[results.Witness, ...])
    assert_type(found.objectives, tuple[results.Judged, ...])
    assert_type(found.objectives[0].unit, results.Unit)
    assert_type(found.steady, tuple[results.Steady, ...])
    assert_type(found.recovery, tuple[results.Occurrence, ...])
    assert_type(found.recovery[0].victims, tuple[results.Victim, ...])
    assert_type(found.missed, tuple[results.Missed, ...])
    numbers = found.of("all")
    assert_type(numbers, results.Numbers | None)
    if numbers is not None and numbers.latency is not None:
        assert_type(numbers.latency, results.Spread)
        assert_type(numbers.latency.at(0.99), results.Quantile)


memory = scenario.MemoryKind


async def faults_in_a_test(pool: SessionPool) -> None:
    """Show faults and load without a scenario."""
    launcher = chaos.ChaosLauncher()
    async with chaos.ChaosMonkey(pool, launcher, seed=7) as monkey:
        try:
            fault = await monkey.kill_random_worker()
        except (chaos.FaultMissed, chaos.FaultUnavailable):
            return
        assert_type(fault, chaos.Fault)
        assert_type(fault.kind, chaos.FaultKind)
    outcome = await chaos.LoadRunner.run(chaos.LoadConfig(), pool=pool)
    assert_type(outcome, chaos.LoadResult)
    assert_type(outcome.errors, list[chaos.LoadError])
    assert_type(chaos.Corruption("garbage"), chaos.Corruption)
