"""A scenario built in Python, planned, looked at, carried out; then the verdict and what it rests on."""

import tempfile
from pathlib import Path

import chaos
from chaos.scenario import (
    Distribution,
    Freeze,
    Hold,
    Kill,
    Objective,
    OpenLoad,
    Operation,
    Phase,
    Scenario,
    Selector,
    SteadyState,
    Trigger,
    Workload,
)
from trio_pool import PoolConfig

load = OpenLoad(rate=60.0)

scenario = Scenario(
    name="two-troubles",
    pool=PoolConfig(size=3, timeout=3.0),
    workload=Workload(
        operations=(Operation(name="work", idempotent=True, service_time=Distribution(dist="constant", mean=0.005)),)
    ),
    phases=(
        Phase(name="trouble", duration=1.5, load=load),
        Phase(name="quiet", duration=0.7, load=load, heal=True),
    ),
    faults=(
        Kill(name="death", at=Trigger(phase="trouble", time=0.3), target=Selector(slot=0)),
        Freeze(name="frost", at=Trigger(phase="trouble", time=0.8), target=Selector(slot=1), hold=0.3),
    ),
    steady_state=SteadyState(
        require=("pool.ready == pool.size",), before=Hold(hold=0.1), after=Hold(hold=0.2, within=5.0)
    ),
    objectives=(Objective(window="all", require=("success_rate > 0.9",)),),
)


def main() -> None:
    plan = chaos.make_plan(scenario, seed=7)
    requests = sum(len(visit.requests) for visit in plan.visits)
    print(requests, "requests are planned, and", [(strike.fault, strike.at) for strike in plan.strikes])
    assert plan == chaos.make_plan(scenario, seed=7)  # nothing else decides

    with tempfile.TemporaryDirectory() as directory:
        run = chaos.run(plan, Path(directory) / "run")
    numbers = run.results.of("all")
    assert numbers is not None
    print(numbers.sent, "were sent in the measured phases")
    for objective in run.results.objectives:
        print(objective.text, "->", objective.judgement)
    print("verdict:", run.results.verdict, *run.results.reasons)


if __name__ == "__main__":
    main()

# Prints:
# 133 requests are planned, and [('death', 0.3), ('frost', 0.8)]
# 133 were sent in the measured phases
# success_rate > 0.9 -> pass
# verdict: pass
