"""Metrics over windows: counted from the intended time, into the window in which that lies, failures and all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from chaos.checking._finding import Judgement
from chaos.checking._judge import measure
from chaos.checking._measured import Fate, read_measured
from chaos.checking._objectives import Judged, judge, judge_objectives, judge_sometimes, unit_of
from chaos.scenario._expressions import parse_expression
from chaos.scenario._metrics import METRICS
from chaos.scenario._reading import read_toml

if TYPE_CHECKING:
    from chaos.checking._metrics import Measures
    from chaos.scenario._model import Scenario

SCENARIO = """
schema = 1
name = "small"
[pool]
size = 2
timeout = "2s"
[[workload.op]]
name = "work"
[[phase]]
name = "warmup"
duration = "10s"
measure = false
load = { model = "open", rate = 1.0 }
[[phase]]
name = "main"
duration = "10s"
load = { model = "open", rate = 1.0 }
[[phase]]
name = "rest"
duration = "10s"
load = { model = "open", rate = 1.0 }
[[fault]]
name = "k1"
kind = "kill"
at = { phase = "main", time = "2s" }
expect = { recover_within = "3s" }
"""


class Told:
    """A history in the making, whose plan began at 100 s."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.note(100.0, "run", "clock")
        self.asked = 0

    def note(self, t: float, src: str, kind: str, /, **fields: Any) -> dict[str, Any]:
        entry = {"seq": len(self.records), "t": t, "src": src, "type": kind, **fields}
        self.records.append(entry)
        return entry

    def asks(self, intended: float, sent: float | None = None, **fields: Any) -> int:
        number = self.asked
        self.asked += 1
        at = intended if sent is None else sent
        values = {"operation": "work", "session": None, "timeout": None, **fields}
        self.note(100.0 + at, "client", "invoke", id=number, t_int=100.0 + intended, **values)
        return number

    def ends(self, number: int, t: float, kind: str = "ok", **fields: Any) -> None:
        self.note(100.0 + t, "client", kind, id=number, **fields)

    def serves(self, intended: float, took: float, *, lag: float = 0.0) -> None:
        self.ends(self.asks(intended, intended + lag), intended + lag + took)

    def fails(self, intended: float, took: float, error: str = "WorkerCrashed", **fields: Any) -> None:
        outcome = fields.pop("outcome", "maybe_executed")
        kind = {"not_executed": "fail", "maybe_executed": "info", "executed": "raised"}[outcome]
        self.ends(self.asks(intended, **fields), intended + took, kind, error=error, outcome=outcome)

    def taken(self) -> Measures:
        return measure(scenario(), self.records)

    def over(self) -> Told:
        self.note(140.0, "run", "end")
        return self


def scenario(more: str = "") -> Scenario:
    return read_toml(SCENARIO + more)


def read(told: Told, name: str, window: str = "all") -> float | None:
    taken = told.taken()
    return taken.read(name, taken.windows[window]).value


def judged(told: Told, text: str, window: str = "all") -> Judged:
    taken = told.taken()
    return judge(parse_expression(text), taken, taken.windows[window])


def test_latency_counts_from_the_intended_time() -> None:
    """What the sender was late is part of latency, not of service time, and is the generator's lag."""
    told = Told()
    told.serves(11.0, 0.25, lag=0.5)
    assert read(told, "latency.max") == 0.75
    assert read(told, "service.max") == 0.25
    assert read(told, "generator_lag.max") == 0.5


def test_a_request_belongs_to_where_it_was_meant_to_be_sent() -> None:
    """One that was meant for the end of a phase and answered in the next counts in the first."""
    told = Told()
    told.serves(19.9, 4.5, lag=0.5)
    told.serves(20.0, 0.1)
    assert (read(told, "sent", "main"), read(told, "latency.max", "main")) == (1.0, 5.0)
    assert (read(told, "sent", "rest"), read(told, "latency.max", "rest")) == (1.0, 0.1)


def test_a_warm_up_counts_in_its_own_window_alone() -> None:
    """It is no part of all that is measured."""
    told = Told()
    told.serves(1.0, 9.0)
    told.serves(12.0, 0.1)
    assert read(told, "latency.max", "warmup") == 9.0
    assert (read(told, "latency.max"), read(told, "sent")) == (0.1, 1.0)


def test_what_goes_on_after_the_last_phase_belongs_to_it() -> None:
    """A session's last requests are meant for later than the plan's end, and are not lost."""
    told = Told()
    told.serves(35.0, 0.1)
    assert read(told, "sent", "rest") == 1.0


def test_a_fault_has_a_window_from_its_strike_to_its_recovery() -> None:
    """All strikes of it together, each until so long after as the scenario expects, half open."""
    told = Told()
    told.note(112.0, "chaos", "inject", fault="k1", occurrence=0, kind="kill", slot=0, incarnation=1)
    told.note(114.0, "chaos", "inject", fault="k1", occurrence=1, kind="kill", slot=1, incarnation=2)
    for at in (11.99, 12.0, 16.99, 17.0):
        told.serves(at, 0.1)
    taken = told.taken()
    assert taken.windows["fault:k1"].spans == ((112.0, 117.0),)
    assert taken.read("sent", taken.windows["fault:k1"]).value == 2.0


def test_a_fault_that_lasts_counts_until_it_is_healed_and_beyond() -> None:
    """Its window ends so long after the healing, not after the strike."""
    told = Told()
    told.note(112.0, "chaos", "inject", fault="k1", occurrence=0, kind="freeze", slot=0, incarnation=1)
    told.note(115.0, "chaos", "heal", fault="k1", occurrence=0, ok=True)
    assert told.taken().windows["fault:k1"].spans == ((112.0, 118.0),)


def test_failures_count_with_the_time_they_took_and_timeouts_with_no_less_than_theirs() -> None:
    """In the distribution of all: a pool that fails fast is not fast. That of the successes has none of them."""
    told = Told()
    told.serves(11.0, 0.1)
    told.fails(12.0, 0.001)
    told.fails(13.0, 1.5, "CommandTimeout")
    told.fails(14.0, 3.5, "CommandTimeout", timeout=3.0)
    told.fails(15.0, 2.0, "PoolTimeout", timeout=4.0)
    taken = told.taken()
    assert taken.times("latency", taken.requests) == [0.1]
    assert taken.times("latency_all", taken.requests) == [0.001, 0.1, 2.0, 3.5, 4.0]


def test_success_is_of_those_that_ended_by_the_pools_doing() -> None:
    """What its own caller withdrew counts for neither side; what never got an outcome counts as failed."""
    told = Told()
    told.serves(11.0, 0.1)
    told.fails(12.0, 0.1)
    withdrawn = told.asks(13.0)
    told.ends(withdrawn, 13.1, "info", error="Cancelled", outcome="maybe_executed", cancelled=True)
    told.asks(14.0)
    told.over()
    assert read(told, "success_rate") == pytest.approx(1 / 3)
    assert [each.fate for each in told.taken().requests] == [Fate.OK, Fate.FAILED, Fate.GIVEN_UP, Fate.LOST]
    numbers = told.taken().numbers(told.taken().windows["all"])
    assert (numbers.sent, numbers.ok, numbers.failed, numbers.given_up) == (4, 1, 2, 1)
    assert numbers.errors == {"WorkerCrashed": 1, "no outcome": 1}


def test_what_an_interruption_cut_off_counts_for_nobody() -> None:
    """Neither what was open at the end of it nor what failed because the pool was closed."""
    told = Told()
    told.serves(11.0, 0.1)
    failing, unanswered = told.asks(12.0), told.asks(12.0)
    told.note(112.5, "run", "interrupted", signal="SIGINT")
    told.ends(failing, 12.6, "fail", error="PoolClosed", outcome="not_executed")
    assert unanswered == 2
    assert [each.fate for each in told.taken().requests] == [Fate.OK, Fate.CUT_OFF, Fate.CUT_OFF]
    assert read(told, "success_rate") == 1.0


def test_the_first_of_two_outcomes_counts() -> None:
    """That there is a second is for a checker to say, and does not change what the caller had waited for."""
    told = Told()
    number = told.asks(11.0)
    told.ends(number, 11.1)
    told.ends(number, 11.9)
    assert read_measured(told.records)[0].latency == 0.1


def test_dropped_arrivals_are_counted_and_not_sent() -> None:
    """In the window in which they were meant to be sent."""
    told = Told()
    told.note(112.0, "client", "drop", id=7, t_int=112.0, phase="main")
    told.note(122.0, "client", "drop", id=8, t_int=122.0, phase="rest")
    assert (read(told, "dropped", "main"), read(told, "dropped"), read(told, "sent")) == (1.0, 2.0, 0.0)


def test_restarts_are_starts_in_the_place_of_one_that_ended_unasked() -> None:
    """Neither the first start of a slot nor the one after a planned end counts."""
    told = Told()
    told.note(111.0, "pool", "WorkerStarting", slot=0, incarnation=1)
    told.note(112.0, "pool", "WorkerExited", slot=0, incarnation=1, planned=False)
    told.note(112.1, "pool", "WorkerStarting", slot=0, incarnation=2)
    told.note(113.0, "pool", "WorkerExited", slot=0, incarnation=2, planned=True)
    told.note(113.1, "pool", "WorkerStarting", slot=0, incarnation=3)
    assert read(told, "restarts") == read(told, "worker.restarts") == 1.0


def test_gauges_are_of_the_samples_in_the_window() -> None:
    """Least, most and mean of them."""
    told = Told()
    for t, ready in ((105.0, 0), (112.0, 1), (113.0, 2), (125.0, 9)):
        told.note(t, "sampler", "sample", ready=ready, size=2, queued=ready)
    taken = told.taken()
    main = taken.windows["main"]
    found = [taken.read(f"pool.ready.{part}", main).value for part in ("min", "mean", "max")]
    assert found == [1.0, 1.5, 2.0]
    assert taken.read("rss.max", main).why == "no sample of rss lies in main"


def test_every_metric_of_the_table_can_be_read() -> None:
    """What a scenario may name exists here, of an empty run as of one with everything."""
    told = Told()
    told.serves(11.0, 0.1)
    told.note(112.0, "chaos", "inject", fault="k1", occurrence=0, kind="kill", slot=0, incarnation=1)
    told.note(112.0, "sampler", "sample", ready=2, size=2, queued=0, busy=0, sessions=0, in_flight=0)
    for taken in (told.taken(), Told().taken()):
        for kind in METRICS:
            name = kind.name.replace("NAME", "k1").replace("CLASS", "WorkerCrashed")
            for window in taken.windows.values():
                found = taken.read(name, window)
                assert (found.value is None) == (found.why is not None), name
            assert unit_of(name).value == kind.unit.value, name


def test_waits_are_known_where_the_pool_or_the_ledger_tells() -> None:
    """From the sending until a worker had the request."""
    told = Told()
    told.serves(11.0, 0.5)
    told.serves(12.0, 0.5)
    found = read_measured(told.records, {0: 111.25})
    assert [each.wait for each in found] == [0.25, None]


# ------------------------------------------------------------------------------------------------------------- judging


def steady_run(count: int, took: float = 0.01) -> Told:
    told = Told()
    for number in range(count):
        told.serves(10.0 + number * 10.0 / count, took)
    return told


def test_a_percentile_of_too_few_values_is_unknown() -> None:
    """However good or bad it looks; from the number on that it needs, it is judged."""
    assert judged(steady_run(199), "latency.p95 < 1s").judgement is Judgement.UNKNOWN
    assert judged(steady_run(199), "latency.p95 < 1ms").judgement is Judgement.UNKNOWN
    found = judged(steady_run(200), "latency.p95 < 1s")
    assert (found.judgement, found.count) == (Judgement.PASS, 200)
    assert "needs 200" in judged(steady_run(199), "latency.p95 < 1s").why


def test_a_threshold_is_met_only_by_the_whole_interval() -> None:
    """What is measured may meet it; if the upper end does not, nothing is proved. What misses it was missed."""
    told = Told()
    for number in range(200):
        told.serves(10.0 + number * 0.05, 0.001 * (number + 1))
    # The 190th of 200 values is 190 ms; the interval reaches up to the 197th.
    assert judged(told, "latency.p95 < 191ms").judgement is Judgement.UNKNOWN
    assert judged(told, "latency.p95 < 197ms").judgement is Judgement.UNKNOWN
    assert judged(told, "latency.p95 <= 197ms").judgement is Judgement.PASS
    assert judged(told, "latency.p95 < 190ms").judgement is Judgement.FAIL
    assert judged(told, "latency.p95 > 150ms").judgement is Judgement.PASS


def test_a_late_generator_makes_latency_unknown_and_leaves_service_alone() -> None:
    """Behind by more than a tenth of the bound, in that window: then nothing is said of what counts from the plan."""
    told = Told()
    for number in range(400):
        told.serves(10.0 + number * 0.05, 0.01, lag=0.05 if number < 200 else 0.0)
    assert judged(told, "latency.p50 < 400ms", "main").judgement is Judgement.UNKNOWN
    assert "behind its plan" in judged(told, "latency.p50 < 400ms", "main").why
    assert judged(told, "latency.p50 < 400ms", "rest").judgement is Judgement.PASS
    assert judged(told, "latency.p50 < 600ms", "main").judgement is Judgement.PASS
    assert judged(told, "service.p50 < 400ms", "main").judgement is Judgement.PASS


def test_two_milliseconds_behind_are_on_time() -> None:
    """However tight the bound is: no timer is better."""
    told = Told()
    for number in range(100):
        told.serves(10.0 + number * 0.05, 0.001, lag=0.002)
    assert judged(told, "latency.p50 < 10ms").judgement is Judgement.PASS


def test_nothing_asked_is_nothing_proved() -> None:
    """An objective in a window without requests is unknown, and says so."""
    found = judged(Told(), "success_rate >= 0.5", "main")
    assert (found.judgement, found.value) == (Judgement.UNKNOWN, None)
    assert found.why == "no request ended in main"


def test_a_recovery_that_never_came_is_a_miss() -> None:
    """It is later than any bound."""
    told = Told()
    told.note(112.0, "chaos", "inject", fault="k1", occurrence=0, kind="kill", slot=0, incarnation=1)
    told.note(112.1, "pool", "WorkerExited", slot=0, incarnation=1, planned=False)
    found = judged(told, "time_to_capacity.max < 1h", "fault:k1")
    assert (found.judgement, found.value, found.why) == (Judgement.FAIL, None, "at least one never came")
    assert judged(told, "time_to_detect.max < 200ms", "fault:k1").judgement is Judgement.PASS


def test_a_rate_over_the_last_seconds_must_hold_in_every_stretch() -> None:
    """A second of failures does not vanish in ten of successes; stretches without requests say nothing."""
    told = Told()
    for number in range(8):
        told.serves(10.1 + number, 0.1)
    told.fails(18.5, 0.1)
    assert judged(told, "success_rate >= 0.8").judgement is Judgement.PASS
    found = judged(told, "success_rate[1s] >= 0.8")
    assert (found.judgement, found.value) == (Judgement.FAIL, 0.0)
    assert found.why.startswith("in 1 of 9 stretches")


def test_metrics_are_compared_with_each_other() -> None:
    """Either side of an expression may be one."""
    told = Told()
    told.serves(11.0, 0.1)
    told.serves(12.0, 0.1)
    assert judged(told, "ok == sent").judgement is Judgement.PASS
    assert judged(told, "failed >= sent").judgement is Judgement.FAIL


def test_objectives_are_judged_line_by_line() -> None:
    """Each in its own window, in the scenario's order."""
    asked = scenario(
        '[[slo]]\nwindow = "main"\nrequire = ["success_rate == 1.0", "dropped == 0"]\n'
        '[[slo]]\nwindow = "rest"\nrequire = ["success_rate == 1.0"]\n'
    )
    told = Told()
    told.serves(11.0, 0.1)
    told.fails(21.0, 0.1)
    found = judge_objectives(asked, measure(asked, told.records))
    assert [(each.window, each.text, each.judgement.value) for each in found] == [
        ("main", "success_rate == 1.0", "pass"),
        ("main", "dropped == 0", "pass"),
        ("rest", "success_rate == 1.0", "fail"),
    ]


def test_what_never_happened_is_unknown() -> None:
    """Sometimes-expressions count the whole run, warm-up included, and gauges sample by sample."""
    asked = scenario(
        "[checkers]\n"
        'sometimes = ["error.WorkerCrashed >= 1", "queue.depth > 5", "restarts >= 1", "pool.ready < pool.size"]\n'
    )
    told = Told()
    told.fails(1.0, 0.1)
    for t, queued, ready in ((101.0, 6, 2), (112.0, 0, 1), (113.0, 0, 2)):
        told.note(t, "sampler", "sample", ready=ready, size=2, queued=queued)
    found = judge_sometimes(asked, measure(asked, told.records))
    assert [each.judgement.value for each in found] == ["pass", "pass", "unknown", "pass"]
    assert found[2].why == "never true: it was 0"
    assert not any(each.value is not None and math.isinf(each.value) for each in found)
