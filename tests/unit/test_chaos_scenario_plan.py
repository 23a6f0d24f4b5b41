"""Plans of scenarios: everything chance decides, and nothing a machine decides."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from _scenarios import plain, scenarios
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.scenario._distribution import Distribution, Shape
from chaos.scenario._fault import Trigger
from chaos.scenario._make_plan import ROUND, make_plan, starts
from chaos.scenario._model import (
    Arrivals,
    ClosedLoad,
    LoadModel,
    OpenLoad,
    Operation,
    PartlyOpenLoad,
    Phase,
    ReplayLoad,
    Scenario,
    Workload,
)
from chaos.scenario._plan_file import read_earlier, read_plan, sha256, to_json
from chaos.scenario._problems import ScenarioError

if TYPE_CHECKING:
    from chaos.scenario._plan import Plan, Strike

seeds = st.integers(min_value=0, max_value=2**160 - 1)
few = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def requests_of(plan: Plan, phase: str | None = None) -> list[tuple[object, ...]]:
    """Return all that is decided of the requests, but their numbers, which count those of all phases."""
    return [
        (visit.at, visit.phase, visit.user, visit.session is None, [attrs.evolve(r, index=0) for r in visit.requests])
        for visit in plan.visits
        if phase in {None, visit.phase}
    ]


def strikes_of(plan: Plan, fault: str) -> list[Strike]:
    return [strike for strike in plan.strikes if strike.fault == fault]


def open_plan(rate: float, duration: float, seed: int, arrivals: Arrivals = Arrivals.POISSON) -> Plan:
    phase = Phase(name="main", duration=duration, load=OpenLoad(rate=rate, arrivals=arrivals))
    return make_plan(plain(phases=(phase,), faults=()), seed)


@pytest.mark.document("F-005")
@few
@given(scenario=scenarios(), seed=seeds)
def test_the_same_seed_gives_the_same_plan_byte_for_byte(scenario: Scenario, seed: int) -> None:
    """Two plans of one scenario and seed are the same bytes, and so have the same name."""
    one, two = make_plan(scenario, seed), make_plan(scenario, seed)
    assert to_json(one) == to_json(two)
    assert sha256(one) == sha256(two)


@pytest.mark.slow
def test_no_process_has_a_plan_of_its_own() -> None:
    """Hash randomisation and whatever else differs between processes changes no plan."""
    code = (
        "from _scenarios import plain; from chaos.scenario import _make_plan, _plan_file;"
        "print(_plan_file.sha256(_make_plan.make_plan(plain(), 7)))"
    )
    helpers = str(Path(__file__).parent.parent)
    shas = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=env).stdout.strip()
        for env in ({"PYTHONPATH": ":".join([helpers, *sys.path]), "PYTHONHASHSEED": seed} for seed in ("1", "2"))
    }
    assert shas == {sha256(make_plan(plain(), 7))}


@few
@given(seed=seeds)
def test_different_seeds_give_different_plans(seed: int) -> None:
    """The seed reaches arrivals, nonces and faults."""
    one, two = make_plan(plain(), seed), make_plan(plain(), seed + 1)
    assert requests_of(one) != requests_of(two)
    assert one.strikes != two.strikes


@few
@given(seed=seeds, dropped=st.sampled_from(["k", "f"]))
def test_removing_a_fault_moves_nothing_else(seed: int, dropped: str) -> None:
    """A plan can be cut down without becoming another plan."""
    scenario = plain()
    whole = make_plan(scenario, seed)
    cut = make_plan(plain(faults=tuple(fault for fault in scenario.faults if fault.name != dropped)), seed)
    assert cut.visits == whole.visits
    assert cut.strikes == tuple(strike for strike in whole.strikes if strike.fault != dropped)


@few
@given(
    seed=seeds,
    changed=st.sampled_from(["first", "second", "third"]),
    load=st.sampled_from([OpenLoad(rate=3.0), PartlyOpenLoad(session_rate=2.0), ClosedLoad(users=1)]),
)
def test_another_load_in_one_phase_moves_no_request_of_the_others(seed: int, changed: str, load: LoadModel) -> None:
    """Nor does it move a fault."""
    scenario = plain()
    phases = tuple(attrs.evolve(phase, load=load) if phase.name == changed else phase for phase in scenario.phases)
    before, after = make_plan(scenario, seed), make_plan(plain(phases=phases), seed)
    for phase in scenario.phases:
        if phase.name != changed:
            assert requests_of(before, phase.name) == requests_of(after, phase.name)
    assert before.strikes == after.strikes


@few
@given(seed=seeds)
def test_another_service_time_moves_no_arrival(seed: int) -> None:
    """Each quantity of a phase has a stream of its own: how long commands take says nothing about who comes when."""
    slow = Operation(name="work", service_time=Distribution(dist=Shape.EXPONENTIAL, mean=0.1))
    plans = [
        make_plan(plain(workload=Workload(operations=(operation,))), seed)
        for operation in (slow, attrs.evolve(slow, service_time=None))
    ]
    moments = [
        [(visit.at, [r.nonce for r in visit.requests], [r.think for r in visit.requests]) for visit in plan.visits]
        for plan in plans
    ]
    assert moments[0] == moments[1]


@few
@given(scenario=scenarios(), seed=seeds)
def test_a_plan_is_in_order_and_within_its_phases(scenario: Scenario, seed: int) -> None:
    """Visits and strikes lie in their phases, in the order of their times, and every number and nonce is unique."""
    plan = make_plan(scenario, seed)
    bounds = {phase.name: (start, start + phase.duration) for start, phase in starts(scenario)}
    assert all(one.at <= two.at for one, two in pairwise(plan.visits))
    for visit in plan.visits:
        start, end = bounds[visit.phase]
        assert start <= visit.at <= end + 1e-6
        assert visit.user is not None or visit.at < end
        assert visit.user is not None or visit.requests[0].think == 0
    requests = [request for visit in plan.visits for request in visit.requests]
    assert [request.index for request in requests] == list(range(len(requests)))
    assert len({request.nonce for request in requests}) == len(requests)
    sessions = [visit.session for visit in plan.visits if visit.session is not None]
    assert sessions == list(range(len(sessions)))
    timed = [strike.at for strike in plan.strikes if strike.at is not None]
    assert timed == sorted(timed)
    assert [strike.at for strike in plan.strikes] == [*timed, *[None] * (len(plan.strikes) - len(timed))]
    for fault in scenario.faults:
        struck = strikes_of(plan, fault.name)
        assert [strike.occurrence for strike in struck] == list(range(len(struck)))
        assert all(0 <= strike.choice < 1 and 0 <= strike.offset < 1 for strike in struck)
        start, end = bounds[fault.at.phase or ""]
        assert all(strike.at is None or start <= strike.at <= end for strike in struck)
        assert len(struck) <= (fault.at.count or math.inf)
        if fault.at.on is not None or fault.at.when is not None:
            assert [strike.at for strike in struck] == [None]


@few
@given(scenario=scenarios(), seed=seeds)
def test_a_plan_survives_being_written_and_read(scenario: Scenario, seed: int) -> None:
    """What was read back is the same plan, under the same name, with its scenario in it."""
    plan = make_plan(scenario, seed)
    again = read_plan(to_json(plan))
    assert again == plan
    assert sha256(again) == sha256(plan)
    assert again.scenario == attrs.evolve(scenario, seed=seed)


def test_a_plan_has_a_line_for_each_visit_and_strike() -> None:
    """Two plans can be compared by any tool that compares lines."""
    plan = make_plan(plain(), 3)
    lines = to_json(plan).splitlines()
    assert sum(line.startswith("  {") for line in lines) == len(plan.visits) + len(plan.strikes)
    assert json.loads(to_json(plan))["seed"] == 3


@few
@given(seed=seeds)
def test_poisson_arrivals_come_at_their_rate(seed: int) -> None:
    """Their number is within five standard deviations of rate times duration, and their gaps are no metronome's."""
    plan = open_plan(40.0, 50.0, seed)
    assert abs(len(plan.visits) - 2000) < 5 * math.sqrt(2000)
    gaps = [two.at - one.at for one, two in pairwise(plan.visits)]
    mean = sum(gaps) / len(gaps)
    # Of an exponential distribution the standard deviation is the mean.
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert 0.8 < deviation / mean < 1.25


def test_constant_arrivals_are_evenly_spaced() -> None:
    """The first comes at once, the last before the end."""
    plan = open_plan(10.0, 1.0, 5, Arrivals.CONSTANT)
    assert [visit.at for visit in plan.visits] == [pytest.approx(k / 10) for k in range(10)]


def test_sessions_of_the_partly_open_model_make_several_requests() -> None:
    """Their number and their thoughts are drawn; the first request comes with its session."""
    load = PartlyOpenLoad(session_rate=20.0, requests=Distribution(dist=Shape.GEOMETRIC, mean=4))
    plan = make_plan(plain(phases=(Phase(name="main", duration=50.0, load=load),), faults=()), 1)
    counts = [len(visit.requests) for visit in plan.visits]
    assert 3.4 < sum(counts) / len(counts) < 4.6
    assert min(counts) == 1
    assert all(visit.requests[0].think == 0 and visit.session is not None for visit in plan.visits)
    assert any(request.think > 0 for visit in plan.visits for request in visit.requests[1:])


@pytest.mark.parametrize("sessions", [True, False])
def test_each_user_of_the_closed_model_has_one_visit_of_many_rounds(sessions: bool) -> None:
    """What a user asks for goes round until the phase ends, with a session of his own or without one."""
    load = ClosedLoad(users=3, sessions=sessions, think=Distribution(dist=Shape.CONSTANT, mean=0.5))
    plan = make_plan(plain(phases=(Phase(name="main", duration=5.0, load=load),), faults=()), 1)
    assert [(visit.user, visit.at, len(visit.requests)) for visit in plan.visits] == [(u, 0.5, ROUND) for u in range(3)]
    assert {visit.session for visit in plan.visits} == ({0, 1, 2} if sessions else {None})
    assert {request.think for visit in plan.visits for request in visit.requests} == {0.5}
    operations = {request.operation for visit in plan.visits for request in visit.requests}
    assert operations == ({"append", "read", "work"} if sessions else {"work"})


def test_requests_without_session_need_none() -> None:
    """In the open model only what works without a session is drawn."""
    assert {r.operation for visit in open_plan(50.0, 4.0, 1).visits for r in visit.requests} == {"work"}


def test_operations_are_drawn_by_weight_with_what_they_say() -> None:
    """Three to one; with size, service time and callers who give up."""
    operations = (
        Operation(name="work", weight=3.0),
        Operation(
            name="echo",
            size=Distribution(dist=Shape.UNIFORM, low=10, high=20),
            service_time=Distribution(dist=Shape.CONSTANT, mean=0.01),
            cancel=0.5,
            patience=Distribution(dist=Shape.CONSTANT, mean=0.02),
        ),
    )
    phase = Phase(name="main", duration=20.0, load=OpenLoad(rate=100.0))
    plan = make_plan(plain(phases=(phase,), faults=(), workload=Workload(operations=operations)), 9)
    requests = [visit.requests[0] for visit in plan.visits]
    echoes = [request for request in requests if request.operation == "echo"]
    assert 0.2 < len(echoes) / len(requests) < 0.3
    assert all(10 <= request.size <= 20 and request.service == 0.01 for request in echoes)
    assert {request.cancel_after for request in echoes} == {None, 0.02}
    assert 0.4 < sum(request.cancel_after is None for request in echoes) / len(echoes) < 0.6
    assert all(request.size == 0 and request.service == 0 for request in requests if request.operation == "work")


def test_faults_strike_when_they_say() -> None:
    """A moment, a rhythm, its jitter, a bound on how often, and a rate."""
    (freeze, kill) = plain().faults[::-1]

    def times(at: Trigger) -> list[float]:
        plan = make_plan(plain(faults=(attrs.evolve(kill, at=at),)), 4)
        return [strike.at for strike in plan.strikes if strike.at is not None]

    # `second` lasts from 4 to 10.
    assert times(Trigger(phase="second", time=1.5)) == [5.5]
    assert times(Trigger(time=1.5)) == [1.5]
    assert times(Trigger(phase="second", every=2.0)) == [6.0, 8.0]
    assert times(Trigger(phase="second", every=1.0, count=3)) == [5.0, 6.0, 7.0]
    jittered = times(Trigger(phase="second", every=1.0, jitter=0.4))
    assert len(jittered) == 5
    assert all(0 < abs(at - round(at)) <= 0.4 for at in jittered)
    assert 3 <= len(times(Trigger(phase="second", poisson=2.0))) <= 30
    assert freeze.name == "f"


def test_equal_phases_and_equal_faults_are_not_the_same() -> None:
    """Two phases of one load have arrivals and nonces of their own, and two faults of one rhythm strike apart."""
    load = OpenLoad(rate=20.0)
    phases = (Phase(name="one", duration=4.0, load=load), Phase(name="two", duration=4.0, load=load))
    kill = plain().faults[0]
    at = Trigger(poisson=1.0)
    plan = make_plan(plain(phases=phases, faults=tuple(attrs.evolve(kill, name=name, at=at) for name in "ab")), 1)
    nonces = [request.nonce for visit in plan.visits for request in visit.requests]
    assert len(set(nonces)) == len(nonces)
    one, two = ([visit.at for visit in plan.visits if visit.phase == phase.name] for phase in phases)
    assert one != [pytest.approx(at - 4.0) for at in two]
    assert [strike.at for strike in strikes_of(plan, "a")] != [strike.at for strike in strikes_of(plan, "b")]


def test_equal_scenarios_have_plans_of_one_name() -> None:
    """Whether a duration was written as 4 or as 4.0."""
    one, two = (
        plain(phases=(Phase(name="p", duration=seconds, load=OpenLoad(rate=3)),), faults=()) for seconds in (4, 4.0)
    )
    assert one == two
    assert sha256(make_plan(one, 1)) == sha256(make_plan(two, 1))


def test_nothing_strikes_in_a_phase_that_heals() -> None:
    """A fault of the whole run keeps out of `third`, which lasts from 10 to 13, and only that."""
    kill = attrs.evolve(plain().faults[0], at=Trigger(every=0.5))
    plan = make_plan(plain(faults=(kill,)), 1)
    assert [strike.at for strike in plan.strikes] == [number / 2 for number in range(1, 20)]


def test_an_earlier_plan_is_replayed(tmp_path: Path) -> None:
    """Its visits come again from the phase's beginning on, as many as it has room for, under new numbers and nonces."""
    earlier = make_plan(plain(), 1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plan.json").write_text(to_json(earlier))
    phases = (
        Phase(name="before", duration=2.0, load=OpenLoad(rate=5.0)),
        Phase(name="again", duration=6.0, load=ReplayLoad(run="run")),
    )
    scenario = plain(phases=phases, faults=())
    plan = make_plan(scenario, 2, read_earlier(scenario, tmp_path))
    again = [visit for visit in plan.visits if visit.phase == "again"]
    wanted = [visit for visit in earlier.visits if visit.at < 6.0]
    assert [visit.at for visit in again] == [pytest.approx(visit.at + 2.0) for visit in wanted]
    for one, two in zip(again, wanted, strict=True):
        assert [(r.operation, r.think) for r in one.requests] == [(r.operation, r.think) for r in two.requests]
        assert {r.nonce for r in one.requests}.isdisjoint(r.nonce for r in two.requests)
    assert [r.index for visit in plan.visits for r in visit.requests] == list(
        range(sum(len(v.requests) for v in plan.visits))
    )


def test_a_replay_of_nothing_is_refused(tmp_path: Path) -> None:
    """A plan that is missing, or asks for operations there are not, is a mistake of the scenario."""
    scenario = plain(phases=(Phase(name="again", duration=6.0, load=ReplayLoad(run="nowhere")),), faults=())
    with pytest.raises(ScenarioError, match=r"\$\.phase\[0\]\.load\.run: cannot be read"):
        read_earlier(scenario, tmp_path)
    with pytest.raises(ScenarioError, match="no plan of 'nowhere'"):
        make_plan(scenario, 1)
    other = attrs.evolve(scenario, workload=Workload(operations=(Operation(name="echo"),)))
    with pytest.raises(ScenarioError, match="operations this scenario has not: append, read, work"):
        make_plan(other, 1, {"nowhere": make_plan(plain(), 1)})


def test_a_plan_that_was_cut_down_is_read() -> None:
    """Gaps in the numbers of requests and strikes are all right: shrinking makes them."""
    plan = make_plan(plain(), 5)
    cut = attrs.evolve(plan, visits=plan.visits[1::3], strikes=plan.strikes[1::2])
    assert read_plan(to_json(cut)) == cut


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda data: data.pop("seed"), "$.seed"),
        (lambda data: data.update(sed=1), "$.sed"),
        (lambda data: data.update(schema=2), "$.schema"),
        (lambda data: data.update(seed="1x"), "$.seed"),
        (lambda data: data.update(visits=3), "$.visits"),
        (lambda data: data.update(scenario=3), "$.scenario"),
        (lambda data: data["scenario"].update(nme=3), "$.scenario.nme"),
        (lambda data: data["visits"][2].update(phase="nowhere"), "$.visits[2].phase"),
        (lambda data: data["visits"][2].update(requests=[]), "$.visits[2].requests"),
        (lambda data: data["visits"][2].update(at="soon"), "$.visits[2].at"),
        (lambda data: data["visits"][2].pop("at"), "$.visits[2].at"),
        (lambda data: data["visits"][2]["requests"][0].update(index=0), "$.visits"),
        (lambda data: data["visits"][2]["requests"][0].update(nonce="12"), "$.visits[2].requests[0].nonce"),
        (lambda data: data["visits"][2]["requests"][0].update(operaton="x"), "$.visits[2].requests[0].operaton"),
        (lambda data: data["strikes"][1].update(fault="x"), "$.strikes[1].fault"),
        (lambda data: data["strikes"][1].update(choice=1), "$.strikes[1].choice"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_place(change: object, path: str) -> None:
    """A plan that was edited by hand is held to the same strictness as a scenario."""
    data = json.loads(to_json(make_plan(plain(), 5)))
    change(data)  # type: ignore[operator]  # one of the functions above
    with pytest.raises(ScenarioError) as caught:
        read_plan(json.dumps(data), "plan.json")
    assert path in {error.path for error in caught.value.errors}


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """Nor is any other text a plan."""
    with pytest.raises(ScenarioError, match=r"plan\.json: \$"):
        read_plan(text, "plan.json")
