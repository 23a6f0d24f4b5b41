"""The steps of a run from Python, as far as nothing is started: what is read, built, changed, planned, and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

import chaos
from chaos import scenario as parts
from chaos.pytest_plugin import ChaosRunner
from chaos.scenario import ScenarioError
from trio_pool import LocalLauncher, PoolConfig

if TYPE_CHECKING:
    from pathlib import Path

BUILT = parts.Scenario(
    name="built",
    pool=PoolConfig(size=2, timeout=3.0),
    phases=(parts.Phase(name="main", duration=2.0, load=parts.OpenLoad(rate=10.0)),),
    faults=(parts.Kill(name="k", at=parts.Trigger(time=1.0)),),
    steady_state=parts.SteadyState(require=("pool.ready == pool.size",)),
    objectives=(parts.Objective(require=("latency.p99 < 250ms",)),),
    checks=parts.Checks(sometimes=("retried > 0",)),
)

FILE = """
schema = 1
name = "built"
pool = { size = 2, timeout = "3s" }
phase = [{ name = "main", duration = "2s", load = { model = "open", rate = "10/s" } }]
fault = [{ name = "k", kind = "kill", at = { time = "1s" } }]
steady_state = { require = ["pool.ready == pool.size"] }
slo = [{ require = ["latency.p99 < 250ms"] }]
checkers = { sometimes = ["retried > 0"] }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that says what `BUILT` says."""
    path = tmp_path / "built.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_what_is_built_and_what_is_read_are_the_same(file: Path) -> None:
    """So are their plans, by the path in any form."""
    assert chaos.read_scenario(file) == chaos.read_scenario(str(file)) == BUILT
    assert chaos.make_plan(BUILT, 7) == chaos.make_plan(chaos.read_scenario(file), 7)


def test_a_seed_is_given_or_the_scenarios_or_drawn() -> None:
    """The plan has it."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert chaos.make_plan(BUILT, 7).seed == 7
    assert chaos.make_plan(BUILT, commit).seed == int(commit, 16)
    assert chaos.make_plan(attrs.evolve(BUILT, seed=9)).seed == 9
    assert chaos.make_plan(attrs.evolve(BUILT, seed=9), 7).seed == 7
    assert chaos.make_plan(BUILT).seed != chaos.make_plan(BUILT).seed
    for wrong in (-1, True, "x"):
        with pytest.raises(ValueError, match="must be a whole number"):
            chaos.make_plan(BUILT, wrong)


@pytest.mark.parametrize(
    ("changes", "complaints"),
    [
        ({"phases": ()}, ["$.phase: is empty"]),
        (
            {"name": "a b", "phases": (*BUILT.phases, *BUILT.phases)},
            ["$.name: must be", "$.phase: 2 phases"],
        ),
        ({"pool": PoolConfig(launcher=LocalLauncher())}, ["$.pool.launcher: cannot be set here"]),
        ({"phases": (parts.Phase(name="a", duration=1.0, load=parts.OpenLoad(rate=-1.0)),)}, ["$.phase[0].load.rate"]),
        ({"phases": (parts.Phase(name="a", duration="soon"),)}, ["$.phase[0].duration"]),  # type: ignore[arg-type]
        ({"workload": "register"}, ["$.workload"]),
        ({"faults": (3,)}, ["$.fault[0]"]),
    ],
)
def test_a_scenario_that_was_built_wrongly_makes_no_plan(changes: dict[str, Any], complaints: list[str]) -> None:
    """All mistakes are told at once, each with its place."""
    with pytest.raises(ScenarioError) as caught:
        chaos.make_plan(attrs.evolve(BUILT, **changes), 7)
    assert [complaint for complaint in complaints if complaint not in str(caught.value)] == []


def test_an_expression_that_is_none_is_refused_where_it_is_written() -> None:
    """A text is read when the class is built."""
    with pytest.raises(ValueError, match="did you mean"):
        parts.Objective(require=("latncy.p99 < 2s",))


def test_settings_change_a_scenario(file: Path) -> None:
    """Values as Python has them, or as a file says them; what is not set stays."""
    changed = chaos.read_scenario(file, {"pool.size": 5, "phase[0].duration": "1500ms", "limits.min_live_workers": 1})
    assert (changed.pool.size, changed.phases[0].duration, changed.limits.min_live_workers) == (5, 1.5, 1)
    assert changed.faults == BUILT.faults
    for wrong in ("phase[9].duration", "pool size", "", "name.x"):
        with pytest.raises(ScenarioError, match=r"the scenario has no "):
            chaos.read_scenario(file, {wrong: 1})
    with pytest.raises(ScenarioError, match="did you mean 'size'"):
        chaos.read_scenario(file, {"pool.sise": 1})


def test_every_shipped_scenario_is_there_by_its_name() -> None:
    """And what is read by name is the same."""
    shipped = chaos.shipped_scenarios()
    assert [name for name, scenario in shipped.items() if scenario.name != name] == []
    assert shipped["kill"] == chaos.read_scenario("kill")


def test_a_group_is_refused_in_words_of_python(tmp_path: Path) -> None:
    """Whoever calls the fixture knows no options of the command line."""
    with pytest.raises(ScenarioError, match="is a group of scenarios; name one of them: ") as caught:
        ChaosRunner(tmp_path)("smoke")
    assert "--" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_read_back_from_its_directory_or_its_file(tmp_path: Path) -> None:
    """As it was, or not at all."""
    with pytest.raises(FileNotFoundError):
        chaos.read_plan(tmp_path)
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"\$\.seed: is missing"):
        chaos.read_plan(tmp_path / "plan.json")


def test_a_harness_error_says_what_happened_and_can_be_pickled(tmp_path: Path) -> None:
    """Also where the harness was killed and said nothing."""
    import pickle

    error = pickle.loads(pickle.dumps(chaos.HarnessError("", tmp_path, -9)))  # noqa: S301  # our own bytes
    assert str(error) == f"the harness ended with exit code -9; what it left is in {tmp_path}"
    assert str(chaos.HarnessError("no room", tmp_path, 74)) == "no room"
