"""The four layers: a marker, a time budget and a line in the summary for each; and the options the commands use.

A test's layer is the folder it lies in. Budgets are reported, by name where one is exceeded, and fail nothing: on a
busy machine a slow test is no defect, and a run that says who was slow is what it takes to keep the layers fast.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence


class Layer(NamedTuple):
    """What one layer is for and what it may take."""

    purpose: str
    test: float
    """Seconds one test may take."""
    whole: float
    """Seconds all of its tests may take together, on two cores."""


LAYERS = {
    "unit": Layer("decisions, values, fakes; no process of the pool", 1.0, 60.0),
    "component": Layer("one part with real or scripted neighbours", 5.0, 120.0),
    "system": Layer("the whole, with real processes, as users run it", 60.0, 180.0),
    "stress": Layer("load and faults", 120.0, 600.0),
}
_NAMED = 5  # slow tests named a layer: enough to start with, few enough to be read
_FOLDER = Path(__file__).parent


class Timing(NamedTuple):
    """One test as it went, with set-up and tear-down."""

    nodeid: str
    layer: str
    outcome: str
    seconds: float


def layer_of(path: Path) -> str | None:
    """Return the layer of a test file, or None of one that lies in none."""
    try:
        folder = path.relative_to(_FOLDER).parts[0]
    except (ValueError, IndexError):
        return None
    return folder if folder in LAYERS else None


def summary(timings: Sequence[Timing]) -> list[str]:
    """Return the lines about the layers: how many tests each ran, how they went, and who was over the budget."""
    lines: list[str] = []
    for name, layer in LAYERS.items():
        mine = [timing for timing in timings if timing.layer == name]
        if not mine:
            continue
        counts = {outcome: sum(1 for timing in mine if timing.outcome == outcome) for outcome in ("passed", "failed")}
        skipped = len(mine) - sum(counts.values())
        whole = sum(timing.seconds for timing in mine)
        said = ", ".join(
            f"{count} {word}" for word, count in (*counts.items(), ("skipped", skipped)) if count or word == "passed"
        )
        verdict = "within" if whole <= layer.whole else "OVER"
        lines.append(f"{name:<10}{len(mine):>6} tests: {said}; {whole:.1f} s, {verdict} its {layer.whole:g} s")
        slow = sorted((timing for timing in mine if timing.seconds > layer.test), key=lambda timing: -timing.seconds)
        lines += [f"    over {layer.test:g} s: {timing.seconds:.2f} s  {timing.nodeid}" for timing in slow[:_NAMED]]
        if len(slow) > _NAMED:
            lines.append(f"    and {len(slow) - _NAMED} more")
    return lines


class LayerReport:
    """The plugin that collects timings and says them at the end.

    Args:
        results: A file to write the outcomes of all tests to, or None.
        documented: A file to write those of the document's counterparts to, or None.
    """

    def __init__(self, results: str | None, documented: str | None) -> None:
        self._files = ((results, False), (documented, True))
        self._layers: dict[str, str] = {}
        self._documented: set[str] = set()
        self._seconds: dict[str, float] = {}
        self._outcomes: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which tests there are."""
        for item in session.items:
            layer = layer_of(item.path)
            if layer is not None:
                self._layers[item.nodeid] = layer
            if item.get_closest_marker("document") is not None:
                self._documented.add(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the phases of a test; the worst of them is its outcome."""
        name = report.nodeid
        self._seconds[name] = self._seconds.get(name, 0.0) + report.duration
        if report.outcome != "passed" or name not in self._outcomes:
            self._outcomes[name] = report.outcome

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary."""
        timings = [
            Timing(name, self._layers[name], outcome, self._seconds[name])
            for name, outcome in self._outcomes.items()
            if name in self._layers
        ]
        if timings:
            terminalreporter.section("layers")
            for line in summary(timings):
                terminalreporter.write_line(line)

    def pytest_sessionfinish(self) -> None:
        """Write the outcomes down."""
        for file, documented in self._files:
            if file is not None:
                names = self._outcomes.keys() & self._documented if documented else self._outcomes.keys()
                outcomes = {name: self._outcomes[name] for name in sorted(names)}
                Path(file).write_text(json.dumps(outcomes, indent=1) + "\n", encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("trio_pool")
    group.addoption("--pool-size", type=int, metavar="N", help="size of the pools of tests that leave it open")
    group.addoption("--only-pool-sized", action="store_true", help="run only tests that --pool-size changes")
    group.addoption("--storms", type=int, default=2, metavar="N", help="seeds the storm test runs with (default: 2)")
    group.addoption("--cycles", type=int, default=80, metavar="N", help="workers made and killed in all (default: 80)")
    group.addoption("--great-storm", type=int, metavar="N", help="also run the storm test once with N requests")
    group.addoption("--results", metavar="FILE", help="write how the tests ended")
    group.addoption(
        "--document-results", metavar="FILE", help="write how the counterparts of the testing strategy's items ended"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the layers' markers and the report."""
    for name, layer in LAYERS.items():
        config.addinivalue_line("markers", f"{name}: {layer.purpose} (set for every test in tests/{name})")
    report = LayerReport(config.getoption("--results"), config.getoption("--document-results"))
    config.pluginmanager.register(report, "trio-pool-layers")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its layer; leave out what `--only-pool-sized` excludes."""
    for item in items:
        layer = layer_of(item.path)
        if layer is not None:
            item.add_marker(layer)
    if config.getoption("--only-pool-sized"):
        sized = [item for item in items if "pool_size" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=[item for item in items if item not in sized])
        items[:] = sized


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the storm its seeds, and the number of its requests: some two thousand, which take a few seconds."""
    if "storm_seed" in metafunc.fixturenames:
        storms: int = metafunc.config.option.storms
        great: int | None = metafunc.config.option.great_storm
        chosen = [pytest.param(seed, 2_000, False, id=str(seed)) for seed in range(1, storms + 1)]
        if great is not None:
            chosen.append(pytest.param(0, great, True, id=f"great-{great}"))
        metafunc.parametrize(("storm_seed", "storm_requests", "storm_is_great"), chosen)


@pytest.fixture
def cycles(request: pytest.FixtureRequest) -> int:
    """How many workers are to be made and killed, by all tests that do so together."""
    return int(request.config.getoption("--cycles") or 0)


@pytest.fixture
def pool_size(request: pytest.FixtureRequest) -> int:
    """The size of the pool: `--pool-size`, else what the test's `pool_size` marker says, else twice the usable CPUs."""
    given: int | None = request.config.getoption("--pool-size")
    if given is not None:
        return given
    marker = request.node.get_closest_marker("pool_size")
    return 2 * len(os.sched_getaffinity(0)) if marker is None else marker.args[0]
