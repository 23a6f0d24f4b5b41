"""The plan of a chaos run: everything chance decides, and nothing a machine decides."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos._first_light import FIRST_LIGHT
from chaos._plan import FaultKind, FaultSpec, Plan, Scenario, make_plan, stream

seeds = st.integers(min_value=0, max_value=2**64)


def small(*faults: FaultSpec) -> Scenario:
    return attrs.evolve(FIRST_LIGHT, sessions=12, faults=faults)


@pytest.mark.document("F-005")
@given(seed=seeds)
def test_the_same_seed_gives_the_same_plan_byte_for_byte(seed: int) -> None:
    """Two plans of one scenario and seed are the same bytes, and so have the same name."""
    one, two = make_plan(small(*FIRST_LIGHT.faults), seed), make_plan(small(*FIRST_LIGHT.faults), seed)
    assert one.to_json() == two.to_json()
    assert one.sha256 == two.sha256 == hashlib.sha256(one.to_json().encode()).hexdigest()


def test_no_process_has_a_plan_of_its_own() -> None:
    """Hash randomisation and whatever else differs between processes changes no plan."""
    code = "from chaos import _first_light, _plan; print(_plan.make_plan(_first_light.FIRST_LIGHT, 7).sha256)"
    shas = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=env).stdout.strip()
        for env in ({"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed} for seed in ("1", "2"))
    }
    assert shas == {make_plan(FIRST_LIGHT, 7).sha256}


@given(seed=seeds)
def test_different_seeds_give_different_plans(seed: int) -> None:
    """The seed reaches arrivals, nonces and faults."""
    one, two = make_plan(small(*FIRST_LIGHT.faults), seed), make_plan(small(*FIRST_LIGHT.faults), seed + 1)
    assert one.requests != two.requests
    assert one.faults != two.faults


@given(seed=seeds, dropped=st.integers(min_value=0, max_value=len(FIRST_LIGHT.faults) - 1))
def test_removing_a_fault_moves_nothing_else(seed: int, dropped: int) -> None:
    """Every quantity has its own stream of chance, so a plan can be cut down without becoming another plan."""
    name = FIRST_LIGHT.faults[dropped].name
    whole = make_plan(small(*FIRST_LIGHT.faults), seed)
    cut = make_plan(small(*(fault for fault in FIRST_LIGHT.faults if fault.name != name)), seed)
    assert cut.requests == whole.requests
    assert cut.faults == tuple(fault for fault in whole.faults if fault.name != name)


@given(seed=seeds)
def test_a_plan_is_well_formed(seed: int) -> None:
    """Requests lie in order inside the run, each with a nonce of its own; a session takes its steps in turn."""
    plan = make_plan(FIRST_LIGHT, seed)
    assert [request.index for request in plan.requests] == list(range(len(plan.requests)))
    times = [request.at for request in plan.requests]
    assert times == sorted(times)
    assert times[0] >= 0.0
    assert times[-1] <= plan.duration
    assert len({request.nonce for request in plan.requests}) == len(plan.requests)
    steps: dict[int, list[int]] = {}
    for request in plan.requests:
        assert request.user == request.session % plan.users
        steps.setdefault(request.session, []).append(request.step)
    assert all(taken == list(range(len(taken))) for taken in steps.values())
    assert len({request.user for request in plan.requests}) == plan.users


@given(seed=seeds)
def test_faults_come_in_order_with_usable_choices(seed: int) -> None:
    """Every fault of the scenario is planned once, in the order of time, and its choice picks an existing worker."""
    plan = make_plan(FIRST_LIGHT, seed)
    assert sorted(fault.name for fault in plan.faults) == sorted(spec.name for spec in FIRST_LIGHT.faults)
    assert [fault.at for fault in plan.faults] == sorted(fault.at for fault in plan.faults)
    for fault in plan.faults:
        assert 0.0 <= fault.choice < 1.0
        assert 0.0 < fault.at < plan.duration


def test_the_json_is_json_and_complete() -> None:
    """The canonical text can be read by anything that reads JSON, and holds the whole plan."""
    plan = make_plan(FIRST_LIGHT, 3)
    read = json.loads(plan.to_json())
    assert set(read) == {field.name for field in attrs.fields(Plan)}
    assert read["seed"] == 3
    assert len(read["requests"]) == len(plan.requests)
    assert read["faults"][0]["kind"] in set(FaultKind)


def test_a_scaled_scenario_keeps_its_rate_and_its_faults() -> None:
    """A shorter run is less of the same: as many requests a second, and every fault."""
    whole, half = make_plan(FIRST_LIGHT, 1), make_plan(FIRST_LIGHT.scaled(FIRST_LIGHT.duration / 2), 1)
    assert len(half.faults) == len(whole.faults)
    assert len(half.requests) == pytest.approx(len(whole.requests) / 2, rel=0.15)


def test_streams_are_named() -> None:
    """Name and index both count; equal arguments give equal numbers."""
    assert stream(1, "a").random() == stream(1, "a", 0).random()
    assert (
        len({stream(1, "a").random(), stream(1, "b").random(), stream(1, "a", 1).random(), stream(2, "a").random()})
        == 4
    )
