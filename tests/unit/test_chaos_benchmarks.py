"""The benchmarks of the testing strategy do what their names say, and are shown with all their numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from chaos._bench import NAMES, Bench, Comparison, bench_lines
from chaos._benchmarks import BENCHMARKS, Benchmarked
from chaos._stats import summarize
from chaos._targets import TARGETS, Target
from chaos.cli import _arguments
from chaos.cli._main import main
from trio_pool.testing import EXPECTATIONS, Timings

if TYPE_CHECKING:
    from trio_pool import SessionPool

pytestmark = pytest.mark.document("F-084")


class Journal:
    """Stands in for a pool: writes down what is asked of it, and answers nobody before ``together`` have asked."""

    def __init__(self, together: int) -> None:
        self.entries: list[tuple[str, str]] = []
        self.inside = 0
        self._together = together
        self._all_in = trio.Event()

    async def execute_in_session(self, session_id: str, command: str) -> dict[str, Any]:
        self.entries.append((session_id, command))
        self.inside += 1
        if self.inside == self._together:
            self._all_in.set()
        await self._all_in.wait()
        return {"status": "ok"}

    async def end_session(self, session_id: str) -> None:
        self.entries.append((session_id, "end"))
        await trio.lowlevel.checkpoint()


async def asked(name: str, *, times: int, together: int = 1) -> list[tuple[str, str]]:
    journal = Journal(together)
    operation = BENCHMARKS[name][0](cast("SessionPool", journal))
    for _ in range(times):
        await operation()
    return journal.entries


async def test_single_session_is_a_ping_in_one_session(autojump_clock: trio.abc.Clock) -> None:
    """The same session every time."""
    assert await asked("single_session", times=3) == [("bench", "ping")] * 3


async def test_concurrent_sessions_are_ten_pings_at_once(autojump_clock: trio.abc.Clock) -> None:
    """All ten are asked before any is answered, each in its own session; the operation is over when all are."""
    with trio.fail_after(1):
        entries = await asked("concurrent_sessions", times=2, together=10)
    assert sorted(entries[:10]) == sorted((f"bench_{number}", "ping") for number in range(1, 11))
    assert len(entries) == 20


async def test_session_creation_ends_what_it_made(autojump_clock: trio.abc.Clock) -> None:
    """A new session every time, with a ping in it, and then its end."""
    entries = await asked("session_creation", times=3)
    assert [command for _, command in entries] == ["ping", "end"] * 3
    sessions = [session_id for session_id, _ in entries]
    assert sessions[::2] == sessions[1::2]
    assert len(set(sessions)) == 3


def benchmarked(slow: float) -> Benchmarked:
    timings = Timings.of([0.0002, 0.0003, 0.0004, slow])
    expectation = EXPECTATIONS["pool_checkout"]
    return Benchmarked(
        name="single_session",
        workers=4,
        timings=timings,
        expectation="pool_checkout",
        missed=expectation.missed(timings),
    )


@pytest.mark.document("F-075")
def test_the_table_has_every_number_beside_what_is_expected() -> None:
    """All seven numbers of each benchmark; under them the limits, and which of them are missed."""
    lines = list(bench_lines(Bench(comparisons=(), benchmarks=(benchmarked(0.0005),))))
    assert lines[0] == "on 4 workers, after 100 operations to warm up"
    assert lines[1].split() == ["min", "max", "mean", "median", "p95", "p99", "n"]
    assert " ".join(lines[2].split()) == "single_session 200.0 us 500.0 us 350.0 us 300.0 us 500.0 us 500.0 us 4"
    assert " ".join(lines[3].split()) == "expected at most - 50.00 ms - 1.00 ms 5.00 ms 10.00 ms met (pool_checkout)"
    *_, last = bench_lines(Bench(comparisons=(), benchmarks=(benchmarked(1.5),)))
    assert last.endswith("missed p95, p99, max (pool_checkout)")


def aimed(worst: float, *, target: float | None = 0.01, failed: int | None = None) -> Target:
    times = summarize([0.001, 0.002, worst])
    assert times is not None
    return Target(name="standby", what="a kill", times=times, figure="p95", target=target, failed=failed)


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (aimed(0.01), "p95 <= 10.00 ms  met"),
        (aimed(0.011), "p95 <= 10.00 ms  missed"),
        (aimed(0.01, failed=0), "p95 <= 10.00 ms  met; 0 bystanders failed"),
        (aimed(0.01, failed=1), "p95 <= 10.00 ms  missed; 1 bystanders failed"),
        (aimed(2.0, target=None, failed=0), "-; 0 bystanders failed"),
    ],
)
def test_a_target_is_shown_beside_what_was_measured(result: Target, verdict: str) -> None:
    """Met means that the figure it is about is within it, and that nobody had to fail for that."""
    _, line = bench_lines(Bench(comparisons=(), benchmarks=(), targets=(result,)))
    assert line.startswith("a kill")
    assert line.endswith(verdict)
    assert json.loads(Bench(comparisons=(), benchmarks=(), targets=(result,)).to_json())["targets"][0]["met"] == (
        None if verdict.startswith("-") else "  met" in verdict
    )


def test_the_results_can_be_kept() -> None:
    """As JSON they have the same numbers in seconds, and the place they were measured at."""
    comparison = Comparison(
        yardstick="a",
        candidate="b",
        yardstick_times=summarize([1.0]),
        candidate_times=summarize([2.0]),
        rounds=1,
        ratio=2.0,
    )
    kept = json.loads(Bench(comparisons=(comparison,), benchmarks=(benchmarked(1.5),)).to_json())
    assert kept["comparisons"][0]["ratio"] == 2.0
    assert kept["benchmarks"][0]["timings"]["max"] == 1.5
    assert kept["benchmarks"][0]["missed"] == ["p95", "p99", "max"]
    assert kept["environment"]["cpus"] >= 1


def test_every_benchmark_can_be_asked_for_by_name() -> None:
    """The command line, which cannot import them to find out, knows the same names as the measurements."""
    assert _arguments.BENCHMARKS == NAMES
    assert {*BENCHMARKS, *TARGETS} < set(NAMES)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--only", "everything"], "argument --only: invalid choice: 'everything'"),
        (["--iterations", "0"], "argument --iterations: must be a whole number from 1 on"),
        (["--iterations", "1.5"], "argument --iterations: must be a whole number from 1 on"),
        (["--iterations", "9" * 5000], "argument --iterations: must be a whole number from 1 on"),
    ],
)
def test_wrong_values_are_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str) -> None:
    """Wrong usage says what is wrong, and measures nothing."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", *arguments])
    assert ended.value.code == 64
    assert complaint in capsys.readouterr().err
