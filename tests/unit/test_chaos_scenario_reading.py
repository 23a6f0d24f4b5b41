"""Reading scenarios: strictly, with every mistake at once and its place in the file."""

from __future__ import annotations

import math
import subprocess
import sys
import tomllib
import typing
from typing import TYPE_CHECKING, Annotated, get_origin

import attrs
import pytest
from _scenarios import plain, scenarios
from hypothesis import HealthCheck, given, settings

from chaos.checking import _table as checking
from chaos.scenario._catalogue import explain, fault_kinds
from chaos.scenario._converter import LOADS, PARTS
from chaos.scenario._fault import Expectation, Trigger
from chaos.scenario._model import OpenLoad, Operation, PartlyOpenLoad, Phase, Scenario, Workload
from chaos.scenario._pool_table import REFUSED, UNITS, pool_from
from chaos.scenario._problems import ScenarioError, did_you_mean
from chaos.scenario._reading import checked, read_file, read_mapping, read_seed, read_toml, to_mapping
from chaos.scenario._toml import to_toml
from chaos.scenario._validation import CHECKERS
from trio_pool import Backoff, PoolConfig, RestartPolicy

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = """
name = "small"
[[phase]]
name = "main"
duration = "10s"
load = { model = "open", rate = "5/s" }
"""

FAULT = """
[[fault]]
name = "k"
kind = "kill"
"""


def mistakes(text: str) -> dict[str, str]:
    with pytest.raises(ScenarioError) as caught:
        read_toml(text, "file.toml")
    assert all(line.startswith("file.toml: $") for line in str(caught.value).splitlines())
    return {error.path: error.text for error in caught.value.errors}


def test_a_scenario_is_read() -> None:
    """Units are converted, alternatives told apart by their tag, and what is not said is at its default."""
    scenario = read_toml(MINIMAL + '[pool]\nsize = 3\ntimeout = "2s"\n')
    assert scenario == Scenario(
        name="small",
        pool=PoolConfig(size=3, timeout=2.0),
        phases=(Phase(name="main", duration=10.0, load=OpenLoad(rate=5.0)),),
    )


def test_a_file_is_read(tmp_path: Path) -> None:
    """Messages about a file name it."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(MINIMAL)
    bad.write_text("name = ")
    assert read_file(good).name == "small"
    with pytest.raises(ScenarioError, match=r"bad\.toml: \$: is not TOML: Invalid value"):
        read_file(bad)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(scenario=scenarios())
def test_a_scenario_survives_being_written_and_read(scenario: Scenario) -> None:
    """Every scenario without mistakes is what its plain data say."""
    assert checked(scenario) == scenario
    assert read_mapping(to_mapping(scenario)) == scenario
    assert read_toml(to_toml(scenario)) == scenario


def test_every_mistake_is_told_at_once_with_its_place() -> None:
    """One reading is enough to know all that is to be mended, down to items of lists and inner tables."""
    found = mistakes(
        """
nme = "x"
seed = "twelve"
tags = "smoke"
[pool]
sise = 4
launcher = 1
timeout = "soon"
max_frame = 1
[pool.restart]
within = -1
backoff = { factor = 0.5, jitter = "some" }
[pool.health]
interval = 0
[workload]
kind = "registr"
[[phase]]
name = "main"
duration = "10 parsecs"
[[phase]]
name = "second"
duration = "5s"
load = { model = "opn", rate = 4 }
[[phase]]
name = "third"
duration = "5s"
[phase.load]
model = "partly-open"
session_rate = 4
requests = { dist = "geometric", mean = 0.5 }
think = { dist = "constant" }
[[fault]]
name = "k"
kind = "kil"
[[fault]]
name = "f"
kind = "freeze"
at = { phase = "secnd", time = "1s" }
target = { slot = -1 }
fr = "2s"
[[slo]]
window = "main"
require = ["latency.p99 < 1s", "latnecy.p99 < 1s"]
"""
    )
    assert set(found) == {
        "$.nme",
        "$.name",
        "$.seed",
        "$.tags",
        "$.pool.sise",
        "$.pool.launcher",
        "$.pool.timeout",
        "$.pool.max_frame",
        "$.pool.restart.within",
        "$.pool.restart.backoff.factor",
        "$.pool.restart.backoff.jitter",
        "$.pool.health.interval",
        "$.workload.kind",
        "$.phase[0].duration",
        "$.phase[1].load.model",
        "$.phase[2].load.requests.mean",
        "$.phase[2].load.think.mean",
        "$.fault[0].kind",
        "$.fault[1].target.slot",
        "$.fault[1].fr",
        "$.slo[0].require[1]",
    }
    assert "did you mean 'name'?" in found["$.nme"]
    assert "did you mean 'size'?" in found["$.pool.sise"]
    assert "did you mean 'register'?" in found["$.workload.kind"]
    assert "did you mean 'open'?" in found["$.phase[1].load.model"]
    assert "did you mean 'kill'?" in found["$.fault[0].kind"]
    assert found["$.name"] == "is missing"


@pytest.mark.parametrize(
    ("text", "path", "complaint"),
    [
        ("", "$.phase", "at least one phase"),
        (MINIMAL.replace("small", "../x"), "$.name", "as of a directory"),
        (MINIMAL + "schema = 2", "$.phase[0].schema", "not known"),
        ("schema = 2" + MINIMAL, "$.schema", "reader of schema 1"),
        ("phase = 3", "$.phase", "list of tables"),
        ("phase = [3]", "$.phase[0]", "must be a table"),
        ("pool = 3", "$.pool", "must be a table"),
        ("workload = 3", "$.workload", "must be a table"),
        ("pool = { restart = 3 }", "$.pool.restart", "must be a table"),
        ("pool = { size = 2, restart = { max_restarts = 200, within = '1s' } }", "$.pool", "restart"),
        ("pool = { seed = 3 }", "$.pool.seed", "run's own seed"),
        (MINIMAL.replace('"10s"', "0"), "$.phase[0].duration", "above 0"),
        (MINIMAL.replace('"10s"', "inf"), "$.phase[0].duration", "above 0 and finite"),
        (MINIMAL.replace('"5/s"', "0"), "$.phase[0].load.rate", "above 0"),
        (MINIMAL.replace("main", "all"), "$.phase[0].name", "not `all`"),
        (MINIMAL + MINIMAL.replace('name = "small"', ""), "$.phase", "2 phases are called 'main'"),
        (MINIMAL.replace('"5/s"', "1e9"), "$.phase[0].load", "about 1e+10 requests"),
        (MINIMAL + FAULT + "at = { poisson = 1e9 }", "$.fault[0].at", "about 1e+10 strikes"),
        (MINIMAL + FAULT + "at = { every = 1e-9 }", "$.fault[0].at", "about 1e+10 strikes"),
        (MINIMAL + "measure = 1", "$.phase[0].measure", "true or false"),
        (MINIMAL + "[workload]\nkind = 'python:x'", "$.workload.kind", "python:package.module:attribute"),
        (MINIMAL + "[workload]\nkind = 'python:a.b:c'", "$.workload.op", "must be named"),
        (MINIMAL + "[[workload.op]]\nname = 'apend'", "$.workload.op[0].name", "did you mean 'append'"),
        (MINIMAL + "[[workload.op]]\nname = 'append'", "$.phase[0].load", "works without a session"),
        (MINIMAL + "[[workload.op]]\nname = 'work'\nweight = 0", "$.phase[0].load", "nothing to send"),
        (MINIMAL + "[[workload.op]]\nname = 'work'\n" * 2, "$.workload.op", "2 operations are called"),
        (MINIMAL + "[[workload.op]]\nname = 'append'\nidempotent = true", "$.workload.op[0].idempotent", "twice"),
        (MINIMAL + "[[workload.op]]\nname = 'read'\nsize = 3", "$.workload.op[0].size", "takes no size"),
        (MINIMAL + "[[workload.op]]\nname = 'work'\ncancel = '10%'", "$.workload.op[0].patience", "is missing"),
        (MINIMAL + "[[workload.op]]\nname = 'work'\npatience = 1", "$.workload.op[0].patience", "never used"),
        (MINIMAL + "[[workload.op]]\nname = 'work'\ncancel = 2", "$.workload.op[0].cancel", "0 to 1"),
        (MINIMAL + "[[workload.op]]\nname = 'work'\ntimeout = 0", "$.workload.op[0].timeout", "above 0"),
        (MINIMAL + "[[slo]]\nwindow = 'man'\nrequire = ['ok > 1']", "$.slo[0].window", "did you mean 'main'"),
        (MINIMAL + "[[slo]]\nwindow = 'main'", "$.slo[0].require", "is empty"),
        (MINIMAL + "[[slo]]\nrequire = ['pool.ready > 1']", "$.slo[0].require[0]", "ask for pool.ready.max"),
        (MINIMAL + "[[slo]]\nrequire = ['fault.k.hits > 1']", "$.slo[0].require[0]", "no fault 'k'"),
        (MINIMAL + "[steady_state]\nrequire = ['rss.max > 1']", "$.steady_state.require[0]", "only afterwards"),
        (MINIMAL + "[steady_state]\nrequire = 'ok > 1'", "$.steady_state.require", "must be a list"),
        (MINIMAL + "[steady_state]\nsample_every = 0", "$.steady_state.sample_every", "above 0"),
        (MINIMAL + "[steady_state.after]\nwithin = 0", "$.steady_state.after.within", "above 0"),
        (MINIMAL + "[checkers]\ndisable = ['C28']", "$.checkers.disable[0]", "they are C1 to C27"),
        (MINIMAL + "[checkers]\nfairness = 0.5", "$.checkers.fairness", "ratio"),
        (MINIMAL + "[limits]\nwall_clock = '5s'", "$.limits.wall_clock", "over before the phases"),
        (MINIMAL + "[limits]\nmax_concurrent_faults = 0", "$.limits.max_concurrent_faults", "at least 1"),
        (MINIMAL + FAULT, "$.fault[0].at", "is missing"),
        (MINIMAL + FAULT * 2, "$.fault", "2 faults are called 'k'"),
        (MINIMAL + FAULT + "at = {}", "$.fault[0].at", "does not say when"),
        (MINIMAL + FAULT + "at = { time = 1, poisson = 2 }", "$.fault[0].at", "has time and poisson"),
        (MINIMAL + FAULT + "at = { phase = 'mian', time = 1 }", "$.fault[0].at.phase", "did you mean 'main'"),
        (MINIMAL + FAULT + "at = { phase = 'main', time = 10 }", "$.fault[0].at.time", "over after 10 s"),
        (MINIMAL + FAULT + "at = { time = '10s' }", "$.fault[0].at.time", "the run is over after 10 s"),
        (MINIMAL + FAULT + "at = { every = '20s' }", "$.fault[0].at.every", "the run is over after 10 s"),
        (MINIMAL + FAULT + "at = { every = 0 }", "$.fault[0].at.every", "above 0"),
        (MINIMAL + FAULT + "at = { poisson = 0 }", "$.fault[0].at.poisson", "above 0"),
        (MINIMAL + FAULT + "at = { time = 1, jitter = '5%' }", "$.fault[0].at.jitter", "goes with every"),
        (MINIMAL + FAULT + "at = { every = 1, jitter = 1 }", "$.fault[0].at.jitter", "below 1"),
        (MINIMAL + FAULT + "at = { time = 1, nth = 2 }", "$.fault[0].at.nth", "goes with on"),
        (MINIMAL + FAULT + "at = { time = 1, match = { pid = 2 } }", "$.fault[0].at.match", "goes with on"),
        (MINIMAL + FAULT + "at = { time = 1, count = 2 }", "$.fault[0].at.count", "use every"),
        (MINIMAL + FAULT + "at = { every = 1, count = 0 }", "$.fault[0].at.count", "at least 1"),
        (MINIMAL + FAULT + "at = { on = 'WorkerRedy' }", "$.fault[0].at.on", "did you mean 'WorkerReady'"),
        (MINIMAL + FAULT + "at = { on = 'WorkerReady', nth = 0 }", "$.fault[0].at.nth", "counts from 1"),
        (
            MINIMAL + FAULT + "at = { on = 'WorkerReady', match = { slt = 1 } }",
            "$.fault[0].at.match.slt",
            "did you mean 'slot'",
        ),
        (
            MINIMAL + FAULT + "at = { on = 'WorkerReady', match = { slot = 1.5 } }",
            "$.fault[0].at.match.slot",
            "whole number",
        ),
        (MINIMAL + FAULT + "at = { when = 'rss.max > 1' }", "$.fault[0].at.when", "only afterwards"),
        (MINIMAL + FAULT + "at = { when = 'oks > 1' }", "$.fault[0].at.when", "no metric"),
        (MINIMAL + FAULT + "at = { when = 'fault.x.hits > 1' }", "$.fault[0].at.when", "no fault 'x'"),
        (MINIMAL + FAULT + "for = '1s'\nat = { time = 1 }", "$.fault[0].for", "nothing to heal"),
        (MINIMAL + FAULT.replace("kill", "freeze") + "at = { time = 1 }", "$.fault[0].for", "is missing"),
        (MINIMAL + FAULT.replace("kill", "freeze") + "for = 0\nat = { time = 1 }", "$.fault[0].for", "above 0"),
        (MINIMAL + FAULT + "at = { time = 1 }\ntarget = { count = 0 }", "$.fault[0].target.count", "at least 1"),
        (MINIMAL + FAULT + "at = { time = 1 }\ntarget = { fraction = 2 }", "$.fault[0].target.fraction", "at most 1"),
        (
            MINIMAL + FAULT + "at = { time = 1 }\ntarget = { fraction = 1, count = 2 }",
            "$.fault[0].target.fraction",
            "in place of count",
        ),
        (MINIMAL + FAULT + "at = { time = 1 }\ntarget = { trigger = true }", "$.fault[0].target.trigger", "`on`"),
        (MINIMAL + FAULT + "at = { time = 1 }\ntarget = { state = 'bsy' }", "$.fault[0].target.state", "did you mean"),
        (
            "pool = { size = 2 }" + MINIMAL + FAULT + "at = { time = 1 }\ntarget = { slot = 2 }",
            "$.fault[0].target.slot",
            "never matches: slots of a pool of 2 are 0 to 1",
        ),
        (
            "pool = { size = 2 }" + MINIMAL + FAULT + "at = { time = 1 }\n[limits]\nmin_live_workers = 2",
            "$.limits.min_live_workers",
            "no fault may ever strike",
        ),
        (MINIMAL + "heal = true" + FAULT + "at = { phase = 'main', time = 1 }", "$.fault[0].at.phase", "there to heal"),
        (MINIMAL + "heal = true" + FAULT + "at = { time = 1 }", "$.fault[0].at.time", "there to heal"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_with_its_place(text: str, path: str, complaint: str) -> None:
    """Well-formed nonsense is refused before anything runs."""
    found = mistakes(text)
    assert complaint in found[path]


def test_a_part_that_cannot_be_read_hides_no_other_and_makes_no_second_mistake() -> None:
    """What refers to an unreadable phase by its name is right, and places count all parts of the file."""
    text = MINIMAL.replace('"10s"', '"10x"') + FAULT + "at = { phase = 'main', time = '60s' }"
    text += FAULT.replace('"k"', '"l"') + "at = {}" + "\n[[slo]]\nwindow = 'main'\nrequire = ['ok > 1']"
    assert set(mistakes(text)) == {"$.phase[0].duration", "$.fault[1].at"}


def test_places_count_what_could_not_be_read() -> None:
    """A mistake in the second fault is told of the second, although the first is of no known kind."""
    text = MINIMAL + FAULT.replace("kill", "kil") + FAULT.replace('"k"', '"l"') + "at = {}"
    assert set(mistakes(text)) == {"$.fault[0].kind", "$.fault[1].at"}


def test_odd_characters_survive_in_toml() -> None:
    """TOML wants control characters escaped, also the one that JSON does not escape."""
    scenario = plain(summary='\x7f\x00\n\\"\u00e9\U0001f600')
    assert read_toml(to_toml(scenario)) == scenario


def test_a_fault_of_which_nothing_is_expected_says_so() -> None:
    """TOML has no null: a table that says nothing stands for it, where otherwise something is expected."""
    fault = fault_kinds()["brief-freeze"](name="b", at=Trigger(time=1.0), expect=None)
    (again,) = read_toml(to_toml(plain(faults=(fault,)))).faults
    assert again.expect == Expectation()


def test_scenarios_built_in_python_are_held_to_the_same_rules() -> None:
    """Nonsense is nonsense wherever it comes from."""
    with pytest.raises(ScenarioError) as caught:
        checked(plain(pool=PoolConfig(size=2, seed=3), phases=(Phase(name="a b", duration=1),), faults=()))
    assert [error.path for error in caught.value.errors] == ["$.pool.seed", "$.phase[0].name"]
    with pytest.raises(ScenarioError) as caught:
        checked(plain(pool=PoolConfig(size=2, seed=3), phases=(Phase(name="main", duration=-1),), faults=()))
    assert {error.path for error in caught.value.errors} == {"$.pool.seed", "$.phase[0].duration"}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_the_harness_sets_itself_cannot_be_set(name: str) -> None:
    """Launcher, observer and seed of the pool are the harness's own."""
    _, problems = pool_from({name: 1}, "$.pool")
    assert [problem.path for problem in problems] == [f"$.pool.{name}"]
    assert REFUSED[name] in problems[0].text


def test_every_time_of_the_pool_may_be_written_as_one() -> None:
    """Each float of the pool's settings, policies included, has its unit here."""
    hints = {"PoolEvent": object}
    floats = {
        f"{start}{name}"
        for cls, start in (
            (PoolConfig, ""),
            (RestartPolicy, "restart."),
            (Backoff, "restart.backoff."),
            (type(PoolConfig().health), "health."),
            (type(PoolConfig().sessions), "sessions."),
            (type(PoolConfig().retry), "retry."),
        )
        for name, kind in typing.get_type_hints(cls, None, hints).items()
        if kind is float or float in typing.get_args(kind)
    }
    assert floats == set(UNITS) - {"max_frame"}


@pytest.mark.parametrize(
    ("value", "seed"),
    [(7, 7), ("7", 7), ("c" * 40, int("c" * 40, 16)), ("1" * 40, int("1" * 40, 16)), ("A" * 40, int("a" * 40, 16))],
)
def test_a_seed_is_a_number_or_a_commit(value: object, seed: int) -> None:
    """Forty hex digits are a commit's name, as a seed for its tests."""
    assert read_seed(value) == seed
    assert read_mapping({**tomllib.loads(MINIMAL), "seed": value}).seed == seed


@pytest.mark.parametrize("value", [-1, "-1", 1.5, True, "", "c" * 39, None])
def test_what_is_no_seed_is_refused(value: object) -> None:
    """Neither fractions nor abbreviated commits are seeds."""
    with pytest.raises(ValueError, match="whole number from 0 on"):
        read_seed(value)


@pytest.mark.parametrize("inf", ["inf", '"inf"'])
def test_for_ever_is_a_time(inf: str) -> None:
    """TOML has infinity, JSON spells it."""
    assert read_toml(MINIMAL + f"[pool]\ntimeout = {inf}").pool.timeout == math.inf


def test_a_bare_quantity_is_a_distribution() -> None:
    """Where something is drawn, a plain value is always that."""
    text = MINIMAL.replace('"open", rate', '"partly-open", think = "20ms", session_rate')
    load = read_toml(text).phases[0].load
    assert isinstance(load, PartlyOpenLoad)
    assert load.think.mean == 0.02


def test_a_workload_of_ones_own_has_what_operations_it_likes() -> None:
    """Only those of the built-in ones are known here."""
    own = Workload(kind="python:my.app:bridge", operations=(Operation(name="whatever", size=None),))
    assert checked(plain(workload=own)).workload == own


def test_every_number_says_what_it_measures() -> None:
    """Times, sizes and rates of a scenario may be written with their units: no float of them is a bare one."""
    bare = {
        f"{cls.__name__}.{field.name}"
        for cls in (*PARTS, *LOADS.values(), *fault_kinds().values())
        for field in attrs.fields(attrs.resolve_types(cls, None, _names()))
        if field.type is float or (float in typing.get_args(field.type) and get_origin(field.type) is not Annotated)
        if cls.__module__.endswith(("_model", "_fault", "_faults"))
    }
    assert bare == {"Checks.fairness", "Operation.weight"}


def _names() -> dict[str, object]:
    from chaos.scenario import _converter

    return dict(_converter.NAMES)


def test_the_checkers_are_known() -> None:
    """Those that can be disabled are those there are."""
    assert tuple(checker.number for checker in checking.CHECKERS) == CHECKERS


def test_names_are_guessed() -> None:
    """By closeness, or by a common beginning; else all there are."""
    assert did_you_mean("Frezee", ["freeze", "kill"]) == "did you mean 'freeze'?"
    assert did_you_mean("requests_per_session", ["requests", "rate"]) == "did you mean 'requests'?"
    assert did_you_mean("x", ["b", "a"]) == "there are a, b"
    assert did_you_mean("x", []) == "there are none"


@pytest.mark.parametrize("kind", sorted(fault_kinds()))
def test_every_fault_is_explained(kind: str) -> None:
    """`explain` has all texts of a fault and each of its own settings, in lines that fit."""
    lines = explain(kind, 90)
    assert lines[0] == f"{kind}: {fault_kinds()[kind].summary}"
    assert all(len(line) <= 90 for line in lines)
    text = "\n".join(lines)
    common = {"name", "at", "target", "hold", "expect"}
    own = [field.name for field in attrs.fields(fault_kinds()[kind]) if field.name not in common]
    for name in own:
        (line,) = [line for line in lines if line.startswith(f"    {name} ")]
        # What the setting does, not only its default.
        assert not line.split(name, 1)[1].strip().startswith("(default"), line
    assert "A good pool" in text


def test_an_unknown_fault_is_not_explained() -> None:
    """The message says what was probably meant."""
    with pytest.raises(ValueError, match="did you mean 'freeze'"):
        explain("freze")


def test_scenarios_import_no_trio() -> None:
    """Data can be read, planned and drawn without the machinery that carries them out."""
    code = (
        "import pkgutil, sys, chaos.scenario as home;"
        "[__import__(f'chaos.scenario.{module.name}') for module in pkgutil.iter_modules(home.__path__)];"
        "from chaos.scenario._reading import read_toml; from chaos.scenario._make_plan import make_plan;"
        f"make_plan(read_toml({MINIMAL!r}), 1); sys.exit('trio' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
