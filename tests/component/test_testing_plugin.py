"""The pytest plugin: what its fixtures give a test, and that nothing of it is there for the next one."""

from __future__ import annotations

import os
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

# Here, not in the runs within: what is first imported there is forgotten afterwards, and imported again by later tests.
from trio_pool.testing import plugin

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["pytester"]

PLUGIN = plugin.__name__

SUPERVISED = """
import trio
import pytest
from trio_pool import ChildSpec

log = []

async def child(name, *, task_status=trio.TASK_STATUS_IGNORED):
    log.append(f"{name} runs")
    task_status.started()
    try:
        await trio.sleep_forever()
    finally:
        log.append(f"{name} is stopped")
"""


@pytest.fixture(params=["trio_mode", "marked"])
def run(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> Callable[..., pytest.RunResult]:
    """Return a function that runs a file of tests with the plugin, in either of pytest-trio's modes."""
    marked = request.param == "marked"
    pytester.makeini("[pytest]\n" + ("" if marked else "trio_mode = true\n"))

    def run_tests(source: str, *arguments: str, load: tuple[str, ...] = ("-p", PLUGIN)) -> pytest.RunResult:
        if marked:
            source = "import pytest\n" + source.replace("async def test_", "@pytest.mark.trio\nasync def test_")
        pytester.makepyfile(source)
        # Neither a cache for nobody, nor the handlers of signals that the run around this one has.
        quiet = ("-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "no:hypothesispytest")
        # Warnings are errors, but for one that only a run within a run has: there the plugin is imported already.
        strict = ("-W", "error", "-W", "ignore:Module already imported so cannot be rewritten", "--strict-markers")
        return pytester.runpytest_inprocess(*quiet, *load, *strict, *arguments)

    return run_tests


@pytest.mark.document("F-080", "F-087")
def test_each_test_has_a_supervisor_of_its_own(run: Callable[..., pytest.RunResult]) -> None:
    """It is open and empty; what a test starts under it is stopped with that test, also when the test fails."""
    result = run(
        SUPERVISED
        + """
async def test_one(isolated_supervisor):
    await isolated_supervisor.start_child(ChildSpec(id="same", start=child, args=("first",)))
    assert log == ["first runs"]

async def test_two(isolated_supervisor):
    assert log == ["first runs", "first is stopped"]
    assert isolated_supervisor.which_children() == ()
    await isolated_supervisor.start_child(ChildSpec(id="same", start=child, args=("second",)))
    raise KeyError("the test's own")

def test_three():
    assert log[2:] == ["second runs", "second is stopped"]
"""
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["FAILED *::test_two*"])


@pytest.mark.document("F-080")
def test_a_supervisor_that_gives_up_fails_its_test(run: Callable[..., pytest.RunResult]) -> None:
    """The test is cancelled where it waits, and fails with the give-up; a marker says how much is too much."""
    result = run(
        SUPERVISED
        + """
async def crash():
    log.append("crash")
    raise OSError("broken")

@pytest.mark.isolated_supervisor(max_restarts=2)
async def test_give_up(isolated_supervisor):
    await isolated_supervisor.start_child(ChildSpec(id="crasher", start=crash))
    await trio.sleep_forever()

def test_count():
    assert log == ["crash"] * 3
"""
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*RestartIntensityExceeded*"])


@pytest.mark.document("F-081")
def test_what_a_port_expected_has_to_come(run: Callable[..., pytest.RunResult]) -> None:
    """A test whose port saw other commands ends in an error that lists them; one that failed is not blamed twice."""
    result = run(
        """
from trio_pool import open_pool

async def test_met(isolated_port):
    isolated_port.expect_command("echo", 7)
    async with open_pool(launcher=isolated_port, size=1) as pool:
        assert await pool.execute_anonymous("echo", {"value": 1}) == 7

async def test_unmet(isolated_port):
    isolated_port.expect_command("create_program")
    async with open_pool(launcher=isolated_port, size=1) as pool:
        await pool.execute_anonymous("ping")

async def test_failed(isolated_port):
    isolated_port.expect_command("create_program")
    raise KeyError("the test's own")

def test_sync(isolated_port):
    assert isolated_port.history == ()
"""
    )
    result.assert_outcomes(passed=3, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*expected and not seen: create_program", "*seen:", "*ping {} on *"])
    result.stdout.fnmatch_lines(["ERROR *::test_unmet*"])


@pytest.mark.document("F-081", "F-087")
def test_each_test_has_a_port_of_its_own(run: Callable[..., pytest.RunResult]) -> None:
    """Its name is the test's alone and the same in every run; faults and history of one test are none of the next."""
    source = """
names = []

async def test_one(mock_pool, isolated_port):
    names.append(isolated_port.name)
    isolated_port.simulate_timeout("echo")
    await mock_pool.execute_in_session("same", "ping")
    assert len(isolated_port.history) == 1

async def test_two(mock_pool, isolated_port):
    names.append(isolated_port.name)
    assert isolated_port.history == ()
    assert mock_pool.get_sessions() == {}
    assert await mock_pool.execute_anonymous("echo", {"value": 1}) == 1

def test_names():
    assert len(set(names)) == 2
    print("names:", *names)
"""
    outputs = []
    for _ in range(2):
        result = run(source, "-s")
        result.assert_outcomes(passed=3)
        outputs.append([line for line in result.outlines if "names:" in line])
    assert outputs[0] == outputs[1]
    assert outputs[0]


@pytest.mark.document("F-081")
def test_a_test_gets_a_pool_as_its_marker_says(run: Callable[..., pytest.RunResult]) -> None:
    """Two workers unless it says otherwise; on the virtual clock time costs nothing; what is no setting is an error."""
    result = run(
        """
import pytest
import trio
import trio_pool

async def test_default(mock_pool, isolated_port):
    status = mock_pool.get_pool_status()
    assert (status.size, status.ready) == (2, 2)
    assert {worker.worker_id for worker in status.workers} == {f"{isolated_port.name}-0", f"{isolated_port.name}-1"}

@pytest.mark.mock_pool(size=3, timeout=60.0, abandon_grace=0.0)
async def test_marked(mock_pool, autojump_clock):
    assert mock_pool.get_pool_status().size == 3
    with pytest.raises(trio_pool.CommandTimeout):
        await mock_pool.execute_anonymous("sleep", {"duration": 3600})
    assert trio.current_time() == 60.0

@pytest.mark.mock_pool(sise=3)
async def test_misspelt(mock_pool):
    raise AssertionError("never run")

@pytest.mark.mock_pool(3)
async def test_positional(mock_pool):
    raise AssertionError("never run")

@pytest.mark.mock_pool(launcher=None)
async def test_other_launcher(mock_pool):
    raise AssertionError("never run")
"""
    )
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines(
        ["*sise is not a field*", "*mock_pool takes keyword arguments only*", "*multiple values*'launcher'*"]
    )


@pytest.mark.document("F-082")
def test_settings_are_put_back_after_a_test(run: Callable[..., pytest.RunResult]) -> None:
    """Also after one that failed within the block, and variables that did not exist are gone again."""
    result = run(
        """
import os
import pytest

def test_set(isolated_config):
    with isolated_config({"ISOLATED_SIZE": "3"}, prefix="ISOLATED", timeout=1.5) as config:
        assert (config.size, config.timeout) == (3, 1.5)
        assert os.environ["ISOLATED_SIZE"] == "3"
        raise KeyError("the test's own")

def test_restored():
    assert "ISOLATED_SIZE" not in os.environ
"""
    )
    result.assert_outcomes(passed=1, failed=1)
    assert "ISOLATED_SIZE" not in os.environ


@pytest.mark.document("F-071", "F-072")
def test_signatures_and_data_come_as_fixtures(run: Callable[..., pytest.RunResult]) -> None:
    """Together they make programs that the pool of the same test runs, with the answers that are expected."""
    run(
        """
import trio_pool

async def test_programs(mock_pool, test_data, test_signatures):
    adapter = trio_pool.PythonPool(mock_pool).session_adapter(test_data.session_id())
    signature = test_signatures.complex()
    program_id = await adapter.create_program(test_signatures.program(signature))
    inputs = test_data.inputs_for_signature(signature)
    assert await adapter.execute_program(program_id, inputs) == test_data.expected_output(signature, inputs)
"""
    ).assert_outcomes(passed=1)


DATA = """
def test_one(test_data):
    print("one:", test_data.session_ids(3))
    assert not FAIL

def test_two(test_data):
    print("two:", test_data.session_ids(3))

def test_three():
    assert not FAIL
"""


def told(result: pytest.RunResult, name: str) -> list[str]:
    """Return the lines that say the data of one test."""
    lines = [line.rpartition(f"{name}:")[2] for line in result.outlines if f"{name}: [" in line]
    assert lines
    return lines


@pytest.mark.document("F-072")
def test_the_data_of_a_test_are_its_own_in_every_run(run: Callable[..., pytest.RunResult]) -> None:
    """They do not depend on which tests run before it; another test has other data."""
    source = f"FAIL = False\n{DATA}"
    both, alone = run(source, "-s"), run(source, "-s", "-k", "two")
    both.assert_outcomes(passed=3)
    assert told(both, "two") == told(alone, "two")
    assert told(both, "two") != told(both, "one")


@pytest.mark.document("F-072")
def test_a_failed_test_tells_its_seed(run: Callable[..., pytest.RunResult]) -> None:
    """And with that seed the same data come again; a test that used none says nothing."""
    source = f"FAIL = True\n{DATA}"
    first = run(source)
    first.assert_outcomes(passed=1, failed=2)
    seeds = [line.rpartition("=")[2] for line in first.outlines if "--trio-pool-seed=" in line]
    assert len(seeds) == 1
    again = run(source, f"--trio-pool-seed={seeds[0]}", "-s")
    assert told(again, "one") == told(first, "one")
    assert told(again, "two") == told(again, "one")  # the one seed is now everybody's


def test_the_plugin_may_be_named_in_a_conftest(run: Callable[..., pytest.RunResult], pytester: pytest.Pytester) -> None:
    """That is the other way to load it."""
    pytester.makeconftest(f"pytest_plugins = [{PLUGIN!r}]")
    run("async def test_it(mock_pool): await mock_pool.execute_anonymous('ping')", load=()).assert_outcomes(passed=1)


def test_the_plugin_is_not_loaded_unasked(run: Callable[..., pytest.RunResult]) -> None:
    """Whoever installs the library gets no fixtures they did not ask for."""
    run("def test_it(test_data): pass", load=()).assert_outcomes(errors=1)
    assert not [entry for entry in metadata.entry_points(group="pytest11") if entry.value.startswith("trio_pool")]


def test_async_fixtures_are_for_async_tests(run: Callable[..., pytest.RunResult]) -> None:
    """A sync test that asks for one is told so, and does not get something else in its place."""
    result = run("def test_it(mock_pool): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Trio fixtures can only be used by Trio tests*"])
