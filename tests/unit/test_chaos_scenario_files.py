"""Scenarios as files: shipped ones, templates for new ones, the schema for editors, and plans drawn as text."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
import jsonschema
import pytest
from _scenarios import plain, scenarios
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.scenario import _shipped
from chaos.scenario._catalogue import fault_kinds
from chaos.scenario._drawing import draw
from chaos.scenario._expressions import parse_expression
from chaos.scenario._fault import Expectation, Trigger, Window
from chaos.scenario._make_plan import make_plan
from chaos.scenario._model import Objective, OpenLoad, Operation, Phase, SteadyState, Workload
from chaos.scenario._plan_file import read_plan, to_json
from chaos.scenario._problems import ScenarioError
from chaos.scenario._reading import read_file, read_toml, to_mapping
from chaos.scenario._schema import json_schema
from chaos.scenario._shipped import groups, read_scenario, resolve, shipped
from chaos.scenario._templates import TEMPLATES, template
from chaos.scenario._toml import to_toml
from chaos.scenario._warnings import warnings_of

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.scenario._model import Scenario

once = cache(read_scenario)
"""Reading all of them takes a second, and three tests do."""

VALIDATOR = jsonschema.Draft202012Validator(json_schema())

few = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_scenario_is_sound(name: str) -> None:
    """It reads without a mistake or a warning, fits the schema, makes a plan, and says in a line what it is for."""
    path = shipped()[name]
    scenario = read_file(path)
    assert scenario.name == name
    assert scenario.summary
    assert scenario.tags
    assert warnings_of(scenario) == []
    assert read_toml(to_toml(scenario)) == scenario
    VALIDATOR.validate(tomllib.loads(path.read_text()))
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("name", sorted(set(shipped()) - {"soak"}))
def test_every_shipped_scenario_can_be_planned_and_drawn(name: str) -> None:
    """Its plan survives being written and read, every fault of known times strikes, and its drawing fits."""
    scenario = once(name)
    plan = make_plan(scenario, 1)
    assert read_plan(to_json(plan)) == plan
    assert {strike.fault for strike in plan.strikes} == {fault.name for fault in scenario.faults}
    assert plan.visits
    assert max(map(len, draw(plan, 100))) <= 100


def test_every_kind_of_fault_is_in_a_shipped_scenario() -> None:
    """None is there only for show; and each of the twelve windows has a scenario of its own."""
    faults = [fault for name in shipped() for fault in once(name).faults]
    assert {fault.kind for fault in faults} == set(fault_kinds())
    for window in Window:
        (fault,) = [each for each in once(f"kill-{window.lower()}").faults if each.name == window.lower()]
        assert getattr(fault, "window", None) is window


def test_the_smoke_group_is_short() -> None:
    """Its phases take half of the minute that it may take at most: the rest is for opening, closing and judging."""
    smoke = [once(name) for name in groups()["smoke"]]
    assert sum(scenario.duration for scenario in smoke) < 40
    nightly = [once(name) for name in groups()["nightly"]]
    # Twenty minutes, of which each takes four seconds beside its phases.
    assert sum(scenario.duration + 4 for scenario in nightly) < 20 * 60


def test_scenarios_are_found_by_name_group_and_file(tmp_path: Path) -> None:
    """A word is a scenario's name or a group's; what has a slash or ends in .toml is a file."""
    assert read_scenario("first-light").name == "first-light"
    assert [path.stem for path in resolve("soak")] == ["soak"]
    assert len(resolve("windows")) == 13
    # kill-w2 before kill-w10, as people count.
    names = [path.stem for path in resolve("windows")]
    assert names[:12] == [f"kill-w{number}" for number in range(1, 13)]
    own = tmp_path / "own.toml"
    own.write_text(template("own", "kill"))
    assert read_scenario(str(own)).name == "own"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("frist-light", "did you mean 'first-light'"),
        ("smok", "did you mean 'smoke'"),
        ("nowhere.toml", "there is no such file"),
        ("./nowhere", "there is no such file"),
        ("nowhere.tml", "a file's name has a slash or ends in .toml"),
        ("xyzzy", "`list scenarios` tells which there are"),
    ],
)
def test_what_is_not_found_is_told_with_what_was_meant(name: str, complaint: str) -> None:
    """A misspelt name or a missing file is no scenario."""
    with pytest.raises(ScenarioError, match=re.escape(complaint)):
        resolve(name)


def test_a_group_is_no_scenario() -> None:
    """Where one is asked for, a group of several is refused."""
    with pytest.raises(ScenarioError, match="is a group of scenarios; name one of them: "):
        read_scenario("wire")


def test_a_broken_file_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups are made of what files say of themselves, whether the rest of them can be read or not."""
    (tmp_path / "good.toml").write_text(template("good", "kill").replace("tags = []", 'tags = ["mine"]'))
    (tmp_path / "bad.toml").write_text('tags = ["mine"]\nphase = 3\n')
    monkeypatch.setattr(_shipped, "_HOME", tmp_path)
    assert groups() == {"mine": ("bad", "good")}


@pytest.mark.parametrize("kind", sorted(TEMPLATES))
def test_every_template_is_a_sound_scenario(kind: str) -> None:
    """It reads without a mistake or a warning as it comes, fits the schema, and is commented."""
    text = template("mine", kind)
    scenario = read_toml(text)
    assert scenario.name == "mine"
    assert warnings_of(scenario) == []
    VALIDATOR.validate(tomllib.loads(text))
    assert text.count("#") >= 5
    assert max(map(len, text.splitlines())) <= 120


def test_an_unknown_template_is_refused() -> None:
    """The message says what was probably meant."""
    with pytest.raises(ValueError, match="did you mean 'freeze'"):
        template("mine", "freze")


# --------------------------------------------------------------------------------------------------------------- schema


def test_the_schema_is_one() -> None:
    """It is valid itself, and tells editors what everything is."""
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    undescribed = [
        f"{name}.{key}"
        for name, definition in schema["$defs"].items()
        for key, value in definition["properties"].items()
        if "description" not in value and "const" not in value
    ]
    assert undescribed == []
    assert set(schema["properties"]["pool"]["properties"]).isdisjoint({"launcher", "on_event", "seed"})


@few
@given(scenario=scenarios())
def test_the_schema_takes_every_scenario(scenario: Scenario) -> None:
    """Whatever the reader takes, editors do not complain about."""
    VALIDATOR.validate(to_mapping(scenario))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda data: data.pop("name"), "$"),
        (lambda data: data.update(nme=1), "$"),
        (lambda data: data.update(schema=2), "$.schema"),
        (lambda data: data.update(seed="x"), "$.seed"),
        (lambda data: data["pool"].update(sise=4), "$.pool"),
        (lambda data: data["pool"].update(seed=4), "$.pool"),
        (lambda data: data["pool"].update(timeout="5 parsecs"), "$.pool.timeout"),
        (lambda data: data["pool"].update(restart={"within": "x"}), "$.pool.restart.within"),
        (lambda data: data["phase"][0].update(duration="soon"), "$.phase[0].duration"),
        (lambda data: data["phase"][0].pop("duration"), "$.phase[0]"),
        (lambda data: data["phase"][0]["load"].update(model="opn"), "$.phase[0].load"),
        (lambda data: data["fault"][0].update(kind="kil"), "$.fault[0]"),
        (lambda data: data["fault"][0].update(death="BY CHOCOLATE"), "$.fault[0]"),
        (lambda data: data.update(slo=[{"require": ["latency.p99"]}]), "$.slo[0].require[0]"),
    ],
)
def test_the_schema_refuses_what_is_malformed(change: Any, path: str) -> None:
    """Misspelt keys and tags, wrong units and missing parts show while one types."""
    data: dict[str, Any] = {"name": "x", **to_mapping(plain())}
    change(data)
    assert [error.json_path for error in VALIDATOR.iter_errors(data)] == [path]


# ------------------------------------------------------------------------------------------------------------- warnings


def test_what_is_probably_not_meant_is_a_warning() -> None:
    """Too few requests for a percentile, nothing that heals, nothing measured, and the like; each with its place."""
    scenario = plain(
        phases=(Phase(name="main", duration=5.0, load=OpenLoad(rate=10.0), measure=False),),
        workload=Workload(operations=(Operation(name="append"), Operation(name="work"))),
        faults=(
            fault_kinds()["kill"](name="k", at=Trigger(time=4.0), expect=Expectation(recover_within=3.0)),
            fault_kinds()["kill"](name="l", at=Trigger(time=1.0), expect=Expectation(recover_within=3.0)),
        ),
        objectives=(
            Objective(
                window="main",
                require=tuple(
                    map(parse_expression, ["latency.p95 < 1s", "latency.p50 < 1s", "success_rate >= 99", "ok > 2"])
                ),
            ),
            Objective(window="fault:k", require=(parse_expression("error.WorkerCrash > 1"),)),
        ),
        steady_state=SteadyState(require=(parse_expression("success_rate <= 99"),)),
    )
    found = {warning.path: warning.text for warning in warnings_of(scenario)}
    assert set(found) == {
        "$.phase",
        "$.phase[0].load",
        "$.fault[0].expect.recover_within",
        "$.slo[0].require[0]",
        "$.slo[0].require[2]",
        "$.slo[1].require[0]",
        "$.steady_state.require[0]",
    }
    assert "about 50 requests are too few for latency.p95, which needs 200" in found["$.slo[0].require[0]"]
    assert "never true" in found["$.slo[0].require[2]"]
    assert "always true" in found["$.steady_state.require[0]"]
    assert "did you mean 'WorkerCrashed'" in found["$.slo[1].require[0]"]
    assert "append" in found["$.phase[0].load"]


# -------------------------------------------------------------------------------------------------------------- drawing


@few
@given(scenario=scenarios(), seed=st.integers(0, 99), width=st.integers(60, 140))
def test_every_plan_can_be_drawn(scenario: Scenario, seed: int, width: int) -> None:
    """No line is longer than it may be or has blanks at its end, and every phase and fault is named."""
    lines = draw(make_plan(scenario, seed), width)
    assert all(len(line) <= width and line == line.rstrip() for line in lines)
    text = "\n".join(lines)
    for phase in scenario.phases:
        assert phase.name in text
    for fault in scenario.faults:
        assert fault.name in text


def test_a_summary_of_blanks_leaves_none_behind() -> None:
    """Nor one that ends in them."""
    for summary, first in ((" ", "plain:"), ("what happens  ", "plain: what happens")):
        assert draw(make_plan(plain(name="plain", summary=summary), 0))[0] == first


def test_a_drawing_shows_what_happens_when() -> None:
    """Phases and strikes stand below the seconds in which they are; what lasts is drawn as long as it does."""
    kinds = fault_kinds()
    scenario = plain(
        phases=(
            Phase(name="busy", duration=5.0, load=OpenLoad(rate=40.0)),
            Phase(name="quiet", duration=5.0, heal=True),
        ),
        faults=(
            kinds["kill"](name="k", at=Trigger(time=2.5)),
            kinds["freeze"](name="f", at=Trigger(time=1.0), hold=2.0),
            kinds["kill"](name="w", at=Trigger(on="WorkerReady", nth=2)),
        ),
    )
    lines = draw(make_plan(scenario, 1), 106)
    # The label takes six columns and a gap of two, so that ten seconds have 98.
    axis, bar, load_row, *rows = lines[-7:-1]
    assert [axis[8:].index(text) for text in ("0s", "2s", "4s")] == [0, 19, 39]
    assert bar == "phases  |busy" + "-" * 44 + "|quiet" + "." * 42
    assert set(load_row[8:57].strip()) & set(".:-=+*#")
    assert load_row[8:].rstrip() == load_row[8:57].rstrip()
    assert {row.split()[0]: row[8:] for row in rows} == {
        "k": " " * 24 + "X",
        "f": " " * 9 + "X" + "~" * 20,
        "w": "?",
    }
    assert "? waits for something" in lines[-1]
    assert any(line.split()[:3] == ["w", "kill", "on"] and "WorkerReady number 2" in line for line in lines)


def test_windows_are_drawn_as_what_they_are() -> None:
    """A kill in a window hits whoever comes to it, whatever its selector says."""
    kill = fault_kinds()["kill"]
    fault = attrs.evolve(kill(name="k", at=Trigger(time=1.0)), window=Window.W8)  # type: ignore[call-arg]  # a Kill's
    lines = draw(make_plan(plain(faults=(fault,)), 1))
    assert any("who comes to W8 first" in line for line in lines)
