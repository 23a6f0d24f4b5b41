"""What is made of the outcomes of a load: on a virtual clock, with operations of the tests' own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import trio

from chaos import LoadConfig, LoadResult
from chaos._load_result import LoadTally
from chaos._load_runner import measure
from trio_pool.testing import Workload

if TYPE_CHECKING:
    from trio.testing import MockClock

pytestmark = pytest.mark.document("F-060")


def config(**fields: float) -> LoadConfig:
    """One user, one operation a second, ten seconds: operation 0 comes at a time below 1."""
    return LoadConfig(
        10.0, 1, 1.0, overtime_seconds=fields.get("overtime", 5.0), max_in_flight=int(fields.get("most", 100))
    )


def index(token: str) -> int:
    return int(token.rpartition("-")[2])


async def test_a_good_run_has_no_errors(autojump_clock: MockClock) -> None:
    """Everything sent, everything answered with its own token, in the session of its user, as fast as it was."""
    sessions: set[str] = set()
    tokens: set[str] = set()

    async def operation(session_id: str, token: str) -> object:
        sessions.add(session_id)
        tokens.add(token)
        await trio.sleep(0.25)
        return token

    result = await measure(LoadConfig(10.0, 7, 20.0), operation)
    assert (result.sent, result.ok, result.failed, result.dropped) == (1400, 1400, 0, 0)
    assert result.success_rate == 1.0
    assert result.errors == []
    assert result.doubts == []
    assert sessions == {f"user_{number}" for number in range(1, 8)}
    assert len(tokens) == 1400
    for value in (result.p50_latency, result.p95_latency, result.p99_latency, result.max_latency):
        assert value == pytest.approx(0.25)
    assert result.service is not None
    assert result.service.p50 == pytest.approx(0.25)
    assert result.failure_latency is None
    # Seven users with a quarter of a second each, twenty times a second: 35 at any moment.
    assert result.most_in_flight == pytest.approx(35, abs=1)
    assert 10.0 <= result.duration < 10.25


async def test_two_runs_share_no_token(autojump_clock: MockClock) -> None:
    """A reply left over from one run cannot pass as one of the next, though the plans are equal."""
    seen: list[str] = []

    async def operation(_session_id: str, token: str) -> object:
        seen.append(token)
        await trio.lowlevel.checkpoint()
        return token

    for _ in range(2):
        await measure(config(), operation)
    assert len(set(seen)) == 20


async def test_a_wrong_reply_is_a_failure(autojump_clock: MockClock) -> None:
    """An answer that is not what was asked for is worth nothing, however fast it came."""

    async def operation(_session_id: str, token: str) -> object:
        await trio.sleep(0.1)
        return "x" * 10_000 if index(token) == 3 else token

    result = await measure(config(), operation)
    assert (result.sent, result.ok, result.failed) == (10, 9, 1)
    assert result.success_rate == 0.9
    [error] = result.errors
    assert (error.kind, error.count) == ("WrongReply", 1)
    assert 3 <= error.first_at < 4
    assert "asked for" in error.example
    assert len(error.example) <= 200


async def test_failures_are_counted_by_kind_the_most_frequent_first(autojump_clock: MockClock) -> None:
    """Whatever is raised is an outcome; of each kind the earliest intended is shown, in one line."""

    async def operation(_session_id: str, token: str) -> object:
        number = index(token)
        # Later ones fail sooner: the order of the outcomes is not that of the operations.
        await trio.sleep(20 - 2 * number)
        if number >= 6:
            raise LookupError(f"number\n{number}")
        if number == 2:
            raise ExceptionGroup("two", [ValueError()])
        return token

    result = await measure(config(overtime=100), operation)
    assert [(error.kind, error.count) for error in result.errors] == [("LookupError", 4), ("ExceptionGroup", 1)]
    assert result.errors[0].example == "number 6"
    assert 6 <= result.errors[0].first_at < 7
    assert result.failed == 5
    # Those that failed have their own latencies: a storm of quick failures must not make the answers look quicker.
    assert result.latency is not None
    assert result.latency.count == 5
    assert result.failure_latency is not None
    assert result.failure_latency.count == 5
    assert result.failure_latency.maximum == pytest.approx(16)


async def test_a_stall_is_charged_with_everything_that_was_due(autojump_clock: MockClock) -> None:
    """A pool that stands still for four seconds is four to one second late for those due meanwhile, not for one."""
    start = trio.current_time()

    async def operation(_session_id: str, token: str) -> object:
        # Nobody is served between the third and the seventh second.
        if 3 <= trio.current_time() - start < 7:
            await trio.sleep_until(start + 7)
        await trio.lowlevel.checkpoint()
        return token

    result = await measure(LoadConfig(10.0, 1, 10.0), operation)
    assert result.ok == 100
    assert result.latency is not None
    assert result.latency.maximum == pytest.approx(4, abs=0.1)
    # 40 of 100 were due in the stall, the latest of them a tenth of a second before its end.
    assert result.latency.p50 < 0.001
    assert result.p95_latency == pytest.approx(3.5, abs=0.1)


async def test_a_late_generator_counts_as_latency_and_is_doubted(autojump_clock: MockClock) -> None:
    """Latency runs from the intended time also when it was the generator that was late, and the result says so."""

    async def operation(_session_id: str, token: str) -> object:
        await trio.lowlevel.checkpoint()
        autojump_clock.jump(0.5)  # the whole process stands still
        return token

    result = await measure(LoadConfig(2.0, 1, 10.0), operation)
    assert result.ok == 20
    assert result.lag is not None
    assert result.lag.maximum > 1
    assert result.service is not None
    assert result.max_latency > result.service.maximum
    assert "some of the latency is the generator's" in result.doubts[0]
    patient = await measure(LoadConfig(2.0, 1, 10.0, max_lag=60), operation)
    assert patient.lag is not None
    assert patient.lag.p99 > 1
    assert not [doubt for doubt in patient.doubts if "generator" in doubt]


async def test_planning_makes_no_operation_late(autojump_clock: MockClock) -> None:
    """The clock starts when the plan is there: to plan a minute of a workload may take a fifth of a second."""

    class SlowlyPlanned(Workload):
        def arrivals(self, duration: float, seed: int = 0) -> list[float]:
            autojump_clock.jump(3)
            return [0.0, 1.0]

    async def operation(_session_id: str, token: str) -> object:
        await trio.lowlevel.checkpoint()
        return token

    result = await measure(LoadConfig(2.0, 1, workload=SlowlyPlanned()), operation)
    assert result.lag is not None
    assert result.lag.maximum < 0.001
    assert result.duration < 2


async def test_operations_beyond_the_limit_are_failures(autojump_clock: MockClock) -> None:
    """Not sending is no way to a better success rate."""

    async def operation(_session_id: str, token: str) -> object:
        await trio.sleep(3.5)
        return token

    result = await measure(config(most=2), operation)
    assert result.dropped > 0
    assert result.sent + result.dropped == 10
    assert result.ok == result.sent
    assert result.success_rate == result.ok / 10
    assert result.failed == result.dropped
    [error] = result.errors
    assert (error.kind, error.count) == ("Dropped", result.dropped)
    assert result.failure_latency is None


async def test_what_never_ends_is_a_failure(autojump_clock: MockClock) -> None:
    """After the overtime the run ends, and what is open then was lost."""
    start = trio.current_time()

    async def operation(_session_id: str, token: str) -> object:
        if index(token) == 4:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return token

    result = await measure(config(overtime=5), operation)
    assert 14 <= trio.current_time() - start < 15
    [error] = result.errors
    assert (error.kind, error.count) == ("Unanswered", 1)
    assert (result.ok, result.failed) == (9, 1)


async def test_cancelling_ends_everything_under_way(autojump_clock: MockClock) -> None:
    """The caller who leaves gets no result and leaves nothing running."""
    running: set[str] = set()

    async def operation(_session_id: str, token: str) -> object:
        running.add(token)
        try:
            await trio.sleep_forever()
        finally:
            running.discard(token)

    with trio.move_on_after(5) as scope:
        await measure(config(), operation)
    assert scope.cancelled_caught
    assert not running


def result_of(ok: int, *, lag: float = 0.0, failed: int = 0) -> LoadResult:
    tally = LoadTally(LoadConfig(max_lag=0.01))
    for _ in range(ok + failed):
        tally.sent(lag)
    for _ in range(ok):
        tally.ok(0.002, 0.001)
    for _ in range(failed):
        tally.failed("WorkerCrashed", 1.5, "it died", 0.1)
    return tally.result(dropped=0, most_in_flight=1, duration=2.0, cpu=0.5)


def test_a_result_says_when_it_is_not_to_be_believed() -> None:
    """Too few values for a 99th percentile, and a generator that was late; enough of them, in time, are no reason."""
    assert result_of(1000).doubts == []
    assert result_of(999).doubts == ["999 operations succeeded, a 99th percentile needs 1000"]
    [doubt] = result_of(1000, lag=0.02).doubts
    assert doubt.startswith("1 in 100 operations was sent 20.0 ms late or more, 10 ms are allowed")


def test_nothing_that_succeeded_is_within_no_limit() -> None:
    """A comparison with a limit fails when there was no answer at all."""
    result = result_of(0, failed=3)
    assert result.success_rate == 0.0
    assert result.p50_latency == result.p95_latency == result.p99_latency == result.max_latency == math.inf
    assert LoadTally(LoadConfig()).result(dropped=0, most_in_flight=0, duration=1.0, cpu=0.0).success_rate == 0.0


def test_a_result_reads_well() -> None:
    """As text it has the counts, the percentiles, every kind of error and every doubt."""
    text = str(result_of(1000, failed=1, lag=0.02))
    assert "1001 operations sent in 2.00 s (500/s), 0 not sent, 1000 ok: success rate 0.99900" in text
    assert "latency from intended send: min 2.00 ms, p50 2.00 ms" in text
    assert "error: 1 x WorkerCrashed, the first at 1.50 s: it died" in text
    assert "doubt: 1 in 100" in text
