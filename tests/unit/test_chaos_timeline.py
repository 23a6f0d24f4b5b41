"""The timeline: what the history says of requests, workers and faults, as it is drawn."""

from __future__ import annotations

from itertools import pairwise

import pytest
from _chaos_runs import RUNS, Telling, cut_short, idle, interrupted, judged, passed

from chaos._timeline import CUT_OFF, LOST, OK, Timeline, make_timeline


def timeline(told: Telling) -> Timeline:
    return make_timeline(told.records, judged(told), workers=2)


def test_a_request_stands_at_its_intended_time_with_its_latency() -> None:
    """Latency counts from when the request was meant to leave, whatever delayed it."""
    told = Telling()
    told.served("calm", after=0.25)
    told.ended()
    (sample,) = timeline(told).samples
    invoke = next(entry for entry in told.records if entry["type"] == "invoke")
    outcome = next(entry for entry in told.records if entry["type"] == "ok")
    assert (sample.at, sample.result, sample.session) == (invoke["t_int"], OK, "calm")
    assert sample.seconds == pytest.approx(outcome["t"] - invoke["t_int"])
    assert sample.at < invoke["t"]


def test_each_worker_has_a_life_in_its_slot() -> None:
    """A slot's lives follow each other without overlapping, and each worker of the history has one."""
    told = passed()
    lives = timeline(told).lives
    assert sorted(life.incarnation for life in lives) == list(range(1, told.incarnations + 1))
    for one, two in pairwise(lives):
        assert one.slot < two.slot or one.ended <= two.starting
    first = lives[0]
    assert (first.slot, first.incarnation, first.pid, first.exit) == (0, 1, 1001, "SIGKILL")
    assert first.ready is not None
    assert first.starting < first.ready < first.ended


def test_a_worker_is_busy_from_dispatch_to_outcome() -> None:
    """Busy is what lies between a request's dispatch and its end, and ends with the worker at the latest."""
    told = Telling()
    told.served("calm", slot=1)
    told.killed("k1", slot=1)
    one, two = (life for life in timeline(told).lives if life.slot == 1)
    assert len(one.busy) == 2
    assert all(start < stop for start, stop in one.busy)
    assert one.busy[-1][1] <= one.ended
    assert two.busy == ()


def test_a_worker_that_is_busy_at_the_end_is_so_to_the_end() -> None:
    """A history that stops in the middle leaves nobody idle who was not."""
    told = cut_short()
    life = next(life for life in timeline(told).lives if life.slot == 0)
    assert life.busy[-1][1] == told.records[-1]["t"]


def test_faults_stand_where_they_hit() -> None:
    """A kill is over with its worker, a freeze with the worker that was replaced, a slow link when it was healed."""
    told = passed()
    strikes = {strike.incident.name: strike for strike in timeline(told).strikes}
    assert list(strikes) == ["k1", "k2", "k3", "f1", "l1"]
    gone = {life.incarnation: life.ended for life in timeline(told).lives}
    healed = next(entry["t"] for entry in told.records if entry["type"] == "heal" and entry["fault"] == "l1")
    for name in ("k1", "f1"):
        assert strikes[name].over == gone[strikes[name].incident.incarnation]
        assert strikes[name].slot == 0
        assert strikes[name].restored is not None
    assert (strikes["l1"].over, strikes["l1"].slot) == (healed, 1)


def test_what_the_end_of_the_run_cut_off_is_no_failure() -> None:
    """Interrupted or without an end: what was under way is told apart from what failed."""
    assert [sample.result for sample in timeline(interrupted()).samples][-1] == CUT_OFF
    assert [sample.result for sample in timeline(cut_short()).samples] == [OK, CUT_OFF]


def test_a_request_without_an_outcome_is_lost() -> None:
    """In a run that has an end, nothing excuses it."""
    told = Telling()
    told.asks("calm")
    told.ended()
    (sample,) = timeline(told).samples
    assert (sample.result, sample.seconds) == (LOST, None)


def test_the_unanswered_are_counted_up_and_down() -> None:
    """The count rises with each request sent and falls with each outcome; a second outcome changes nothing."""
    told = Telling()
    one, two = told.asks("calm"), told.asks("calm")
    told.answered(one)
    told.answered(one)
    told.answered(two)
    assert [count for _, count in timeline(told).in_flight] == [1, 2, 1, 1, 0]


def test_a_fault_that_hit_nobody_is_remembered() -> None:
    """It is no strike, and the reason is kept."""
    seen = timeline(idle())
    assert seen.strikes == ()
    assert [(name, kind) for _, name, kind, _ in seen.missed] == [("k1", "kill")]


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_a_timeline(name: str) -> None:
    """Whatever came of a run, all lies between its beginning and its end, and each slot of the pool is there."""
    told = RUNS[name]()
    seen = timeline(told)
    assert set(seen.slots) >= {0, 1}
    for life in seen.lives:
        assert 0.0 <= life.starting <= life.ended <= seen.end
    for strike in seen.strikes:
        assert strike.incident.at <= strike.over <= seen.end
