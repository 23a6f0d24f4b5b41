"""Recovery: what each strike did, read off the pool's events, and laid only at the door of the fault that did it."""

from __future__ import annotations

from typing import Any

from chaos.checking._measured import read_measured
from chaos.checking._recovery import Occurrence, find_missed, find_occurrences
from chaos.checking._steadiness import steadiness
from chaos.reporting._format import recovered
from chaos.scenario._expressions import parse_expression

WORKERS = 2


class Told:
    """A history of a pool of two, in the making."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        for slot in range(WORKERS):
            self.event(0.0, "WorkerStarting", slot, slot + 1)
            self.event(0.1, "WorkerReady", slot, slot + 1)

    def note(self, t: float, src: str, kind: str, /, **fields: Any) -> None:
        self.records.append({"seq": len(self.records), "t": t, "src": src, "type": kind, **fields})

    def event(self, t: float, kind: str, slot: int, incarnation: int, **fields: Any) -> None:
        self.note(t, "pool", kind, slot=slot, incarnation=incarnation, **fields)

    def strikes(self, t: float, slot: int, incarnation: int, fault: str = "k1", number: int = 0, **fields: Any) -> None:
        values = {"kind": "kill", "worker_id": f"pool-{slot}", "begun": True, **fields}
        self.note(t, "chaos", "inject", fault=fault, occurrence=number, slot=slot, incarnation=incarnation, **values)

    def heals(self, t: float, fault: str = "f1", number: int = 0, *, ok: bool = True) -> None:
        self.note(t, "chaos", "heal", fault=fault, occurrence=number, ok=ok, took=0.0)

    def answers(self, t: float, incarnation: int, result: str = "ok") -> None:
        self.note(t, "pool", "RequestFinished", request_id=1, session_id=None, incarnation=incarnation, result=result)

    def only(self, **options: Any) -> Occurrence:
        (found,) = find_occurrences(self.records, workers=WORKERS, **options)
        return found


def times(each: Occurrence) -> tuple[float | None, ...]:
    return each.detect, each.capacity, each.first_ok


def killed() -> Told:
    told = Told()
    told.strikes(1.0, 0, 1)
    told.event(1.25, "WorkerExited", 0, 1, planned=False)
    told.event(1.25, "WorkerStarting", 0, 3)
    told.event(1.5, "WorkerReady", 0, 3)
    return told


def test_a_kill_is_noticed_made_good_and_served_over() -> None:
    """Each moment counts from the strike; what other slots do in between is nothing to it."""
    told = killed()
    told.answers(1.4, 2)
    told.answers(2.0, 3)
    found = told.only()
    assert times(found) == (0.25, 0.5, 1.0)
    assert (found.in_flight, found.lost) == (1, 1)


def test_who_held_several_requests_and_what_a_link_did_are_counted() -> None:
    """A worker with one is not among the several; the counts of all its links are a strike's."""
    told = Told()
    told.strikes(1.0, 0, 1, requests=1)
    told.strikes(1.0, 1, 2, requests=3)
    told.note(2.0, "chaos", "effect", fault="k1", occurrence=0, effect={"seen": 9, "frames": 4})
    found = told.only()
    assert (found.several, found.frames) == (1, 4)
    told.note(3.0, "chaos", "effect", fault="k1", occurrence=0, effect="nonsense")
    assert told.only().frames == 4


def test_a_reply_of_the_dead_does_not_count_as_the_first() -> None:
    """What it had written before it died is delivered after it, and is not the slot's return."""
    told = Told()
    told.strikes(1.0, 0, 1)
    told.answers(1.1, 1)
    told.event(1.25, "WorkerExited", 0, 1, planned=False)
    assert told.only().first_ok is None


def test_capacity_waits_for_every_slot() -> None:
    """Also for one that another fault took meanwhile: full is full."""
    told = killed()
    told.records.insert(-1, {"t": 1.4, "src": "pool", "type": "WorkerExited", "slot": 1, "incarnation": 2})
    for seq, entry in enumerate(told.records):
        entry["seq"] = seq
    told.event(3.0, "WorkerReady", 1, 4)
    assert told.only().capacity == 2.0


def test_several_victims_count_until_the_last() -> None:
    """Noticed is when all were, and so on; one that never was leaves it open."""
    told = Told()
    told.strikes(1.0, 0, 1)
    told.strikes(1.0, 1, 2)
    told.event(1.1, "WorkerExited", 0, 1, planned=False)
    assert told.only().detect is None
    told.event(1.6, "WorkerExited", 1, 2, planned=False)
    told.event(2.0, "WorkerReady", 0, 3)
    told.event(2.5, "WorkerReady", 1, 4)
    told.answers(2.1, 3)
    assert times(told.only()) == (0.6, 1.5, None)
    told.answers(2.75, 4)
    assert times(told.only()) == (0.6, 1.5, 1.75)
    assert told.only().lost == 2


def test_a_freeze_that_is_sat_out_is_over_at_its_healing() -> None:
    """Nothing was lost, so there is nothing to detect and to replace; the thawed worker's answer is the slot's."""
    told = Told()
    told.strikes(1.0, 0, 1, "f1", kind="freeze")
    told.answers(1.1, 1)
    told.heals(2.0)
    told.answers(2.25, 1)
    found = told.only()
    assert times(found) == (None, 1.0, 1.25)
    assert (found.healed, found.lost) == (2.0, 0)


def test_a_later_death_is_not_laid_at_the_door_of_a_healed_fault() -> None:
    """A worker that outlived its freeze and is killed afterwards died of the kill."""
    told = Told()
    told.strikes(1.0, 0, 1, "f1", kind="freeze")
    told.heals(2.0)
    told.strikes(5.0, 0, 1)
    told.event(5.25, "WorkerExited", 0, 1, planned=False)
    told.event(5.5, "WorkerReady", 0, 3)
    frozen, kill = find_occurrences(told.records, workers=WORKERS)
    assert (frozen.lost, frozen.capacity) == (0, 1.0)
    assert (kill.lost, kill.capacity) == (1, 0.5)


def test_what_a_mended_link_cost_later_is_its_own() -> None:
    """A frame that was garbled may keep a worker waiting until the pool gives it up, long after the link is well."""
    told = Told()
    told.strikes(1.0, 0, 1, "c1", kind="wire.corrupt")
    told.heals(1.5, "c1")
    told.event(3.0, "WorkerExited", 0, 1, planned=False)
    told.event(3.25, "WorkerReady", 0, 3)
    assert (told.only().lost, told.only().capacity) == (1, 2.25)


def test_a_planned_end_is_no_loss() -> None:
    """A worker that the pool sends away is not lost to what hit it before."""
    told = Told()
    told.strikes(1.0, 0, 1, "f1", kind="freeze")
    told.heals(1.5)
    told.event(3.0, "WorkerExited", 0, 1, planned=True)
    assert (told.only().lost, told.only().capacity) == (0, 0.5)


def test_a_worker_given_up_on_during_a_freeze_was_lost_to_it() -> None:
    """Also if it is buried after the healing: the pool had made up its mind."""
    told = Told()
    told.strikes(1.0, 0, 1, "f1", kind="freeze")
    told.event(1.75, "WorkerKilled", 0, 1, reason="timeout")
    told.heals(2.0)
    told.event(2.25, "WorkerExited", 0, 1, planned=False)
    told.event(2.5, "WorkerReady", 0, 3)
    found = told.only()
    assert (found.detect, found.capacity, found.lost) == (0.75, 1.5, 1)


def test_a_timeout_is_a_way_to_notice() -> None:
    """The pool knew that something was wrong with that worker, whatever it did about it."""
    told = Told()
    told.strikes(1.0, 0, 1, "f1", kind="freeze")
    told.answers(1.5, 1, "timed_out")
    told.heals(3.0)
    assert told.only().detect == 0.5


def test_nothing_after_the_load_counts() -> None:
    """Workers that go then go because the pool closes."""
    told = Told()
    told.strikes(1.0, 0, 1)
    told.note(1.5, "run", "load_ended")
    told.event(2.0, "WorkerExited", 0, 1, planned=False)
    told.event(2.5, "WorkerReady", 0, 3)
    assert times(told.only()) == (None, None, None)


def test_what_hits_the_application_is_over_with_anybodys_answer() -> None:
    """It has no slot: the first answer after the healing is the first of all."""
    told = Told()
    told.strikes(1.0, 0, 1, "p1", kind="app-stop", begun=False)
    told.records[-1].update(slot=None, incarnation=None, worker_id=None)
    told.note(1.5, "client", "ok", id=0)
    told.heals(2.0, "p1")
    told.note(2.25, "client", "ok", id=1)
    assert times(told.only()) == (None, 1.0, 1.25)


def test_the_death_of_the_application_is_final() -> None:
    """Nobody is left to recover, and reports say so rather than that it never did."""
    told = Told()
    told.strikes(1.0, 0, 1, "p1", kind="app-kill", begun=False)
    told.records[-1].update(slot=None, incarnation=None, worker_id=None)
    assert told.only().final
    assert recovered([told.only()], "capacity") == "-"
    assert not killed().only().final
    assert recovered([killed().only()], "capacity") == "500 ms"


def test_a_strike_at_a_closing_pool_is_final() -> None:
    """No worker is started in the place of one that dies while the pool stops."""
    told = Told()
    told.note(1.0, "run", "load_ended")
    told.strikes(2.0, 0, 1)
    told.event(2.1, "WorkerExited", 0, 1, planned=False)
    assert told.only().final


def test_a_fault_that_did_not_heal_is_told() -> None:
    """For the exit code: something of it is left."""
    told = Told()
    told.strikes(1.0, 0, 1, "f1", kind="freeze")
    told.heals(2.0, ok=False)
    assert told.only().heal_failed


def test_strikes_that_hit_nobody_are_kept_apart() -> None:
    """With their reason."""
    told = Told()
    told.note(1.0, "chaos", "missed", fault="k1", occurrence=3, why="no worker is busy")
    assert find_occurrences(told.records, workers=WORKERS) == ()
    (missed,) = find_missed(told.records)
    assert (missed.fault, missed.number, missed.why) == ("k1", 3, "no worker is busy")


def test_steady_counts_from_when_the_pool_knew_and_must_hold() -> None:
    """Until then all looks well; a state that does not last is none."""
    told = killed()
    course = [(1.1, True), (1.3, False), (1.6, True), (1.9, False), (2.5, True), (3.0, True), (3.5, True)]
    assert told.only(steady=course, hold=1.0).steady == 1.5
    assert told.only(steady=course, hold=0.0).steady == 0.6
    assert told.only(steady=course, hold=2.0).steady is None


def test_the_steady_state_is_judged_sample_by_sample() -> None:
    """By gauges, each with each, and by the rates of the seconds before; all workers ready where nothing is said."""
    records: list[dict[str, Any]] = [
        {"seq": 0, "t": 0.0, "src": "client", "type": "invoke", "id": 0, "t_int": 0.0, "operation": "work"},
        {"seq": 1, "t": 0.5, "src": "client", "type": "info", "id": 0, "error": "WorkerCrashed"},
    ]
    for t, ready in ((1.0, 2), (2.0, 1), (3.0, 2)):
        entry = {"seq": len(records), "t": t, "src": "sampler", "type": "sample", "ready": ready, "size": 2}
        records.append(entry)
    requests = read_measured(records)

    def judged(*texts: str) -> list[bool]:
        return [well for _, well in steadiness([parse_expression(text) for text in texts], records, requests)]

    assert judged() == judged("pool.ready == pool.size") == [True, False, True]
    assert judged("success_rate[1s] >= 0.9") == [False, True, True]
    assert judged("success_rate >= 0.9") == [False, False, False]
    assert judged("queue.depth < 1") == [True, True, True]
    assert judged("pool.ready == pool.size", "failed[1s] == 0") == [False, False, True]
