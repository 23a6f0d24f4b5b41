"""The checks: each planted violation is flagged as what it is, a clean run by none, and an idle run is no proof."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos._check import check
from chaos._findings import Breach, Ending, Findings, Verdict, witnesses

WORKERS = 2


class Run:
    """A history in the making: two workers, five faults that all did what they should, and requests around them."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.executions: dict[str, int] = {}
        self.requests = 0
        self.alive = {0: 1, 1: 2}
        self.last = 2
        self.note("run", "start")
        for slot, incarnation in self.alive.items():
            self.note("pool", "WorkerReady", slot=slot, incarnation=incarnation)

    def note(self, src: str, kind: str, /, **fields: Any) -> dict[str, Any]:
        entry = {"seq": len(self.records), "t": len(self.records) / 100, "src": src, "type": kind, **fields}
        self.records.append(entry)
        return entry

    def dispatched(self, session: str, slot: int) -> int:
        number = self.requests
        self.requests += 1
        nonce = f"nonce-{number}"
        self.note(
            "client", "invoke", id=number, session=session, nonce=nonce, t_int=len(self.records) / 100, expect=[1, 2, 3]
        )
        self.note("pool", "SessionBound", session_id=session, incarnation=self.alive[slot])
        self.note(
            "pool", "RequestDispatched", request_id=number, session_id=session, slot=slot, incarnation=self.alive[slot]
        )
        self.executions[nonce] = 1
        return number

    def finished(self, number: int, slot: int, result: str) -> None:
        self.note("pool", "RequestFinished", request_id=number, incarnation=self.alive[slot], result=result)

    def answered(self, number: int, *, slot: int, value: list[int] | None = None, nonce: str | None = None) -> None:
        self.finished(number, slot, "ok")
        self.note("client", "ok", id=number, value=value or [1, 2, 3], nonce=nonce or f"nonce-{number}")

    def failed(self, number: int, error: str = "WorkerCrashed", kind: str = "info") -> None:
        self.note("client", kind, id=number, error=error, message="")

    def served(self, session: str, slot: int = 0) -> int:
        number = self.dispatched(session, slot)
        self.answered(number, slot=slot)
        return number

    def injected(self, name: str, kind: str, slot: int, request: int | None) -> None:
        self.note(
            "chaos",
            "inject",
            fault=name,
            kind=kind,
            slot=slot,
            worker_id=f"demo-{slot}",
            incarnation=self.alive[slot],
            request_id=request,
            begun=request is not None,
        )

    def exited(self, slot: int) -> None:
        self.note("pool", "WorkerExited", slot=slot, incarnation=self.alive[slot])

    def replaced(self, slot: int) -> None:
        self.last += 1
        self.alive[slot] = self.last
        self.note("pool", "WorkerReady", slot=slot, incarnation=self.last)

    def killed(self, name: str, session: str, slot: int = 0) -> int:
        number = self.dispatched(session, slot)
        self.injected(name, "kill", slot, number)
        self.finished(number, slot, "failed")
        self.failed(number)
        self.exited(slot)
        self.replaced(slot)
        self.note("client", "ended", session=session)
        return number

    def frozen(self, session: str, slot: int = 0) -> None:
        number = self.dispatched(session, slot)
        self.injected("f1", "freeze", slot, number)
        self.finished(number, slot, "timed_out")
        self.failed(number, "CommandTimeout")
        self.exited(slot)
        self.replaced(slot)

    def slowed(self, session: str, slot: int = 1) -> None:
        self.injected("l1", "latency", slot, None)
        self.served(session, slot)
        self.note("chaos", "heal", fault="l1")

    def ended(self) -> Findings:
        self.note("run", "load_ended")
        for slot in self.alive:
            self.exited(slot)
        self.note("run", "end")
        return self.judged()

    def judged(self) -> Findings:
        """Judge what there is, with or without an end."""
        return check(self.records, self.executions, workers=WORKERS)


def good_run() -> Run:
    """A run in which every fault hits and everything is as promised, up to its last request."""
    run = Run()
    for number in range(10):
        run.served(f"calm-{number}", slot=1)
        run.note("client", "ended", session=f"calm-{number}")
    run.killed("k1", "hurt-1")
    run.killed("k2", "hurt-2")
    run.killed("k3", "hurt-3")
    run.frozen("hurt-4")
    run.slowed("slow-1")
    run.served("late", slot=0)
    return run


def breaches(findings: Findings) -> list[Breach]:
    return [violation.breach for violation in findings.violations]


def test_a_clean_run_passes() -> None:
    """Nothing is flagged, nothing is unproved, and the numbers are those of the run."""
    findings = good_run().ended()
    assert findings.verdict is Verdict.PASS
    assert findings.violations == ()
    assert findings.reasons == ()
    assert (findings.sent, findings.ok) == (16, 12)
    assert findings.errors == {"CommandTimeout": 1, "WorkerCrashed": 3}
    # The session on the slow link counts as faulted, though it did not fail.
    assert (findings.sessions, findings.faulted_sessions) == (16, 5)
    assert findings.untouched_ok == findings.untouched_sent == 11


def test_ended_sessions_are_not_faulted_by_what_comes_later() -> None:
    """A worker's death costs only the sessions that live there at that moment."""
    run = Run()
    run.served("gone", slot=0)
    run.note("client", "ended", session="gone")
    run.served("there", slot=0)
    run.killed("k1", "running", slot=0)
    run.served("after", slot=0)
    findings = run.ended()
    assert findings.incidents[0].sessions == {"there", "running"}
    assert (findings.sessions, findings.faulted_sessions) == (4, 2)


def test_a_request_without_an_outcome_is_lost() -> None:
    """Every request has an outcome at the end of the run, faulted or not."""
    run = good_run()
    run.dispatched("calm-1", slot=1)
    findings = run.ended()
    assert breaches(findings) == [Breach.LOST]
    assert findings.verdict is Verdict.FAIL


@pytest.mark.parametrize("error", ["KeyError", "RemoteError", "ProgramNotFound", "Cancelled", "PoolClosed"])
def test_an_outcome_outside_the_contract_is_a_lost_request(error: str) -> None:
    """Faults excuse the errors they cause and no other."""
    run = good_run()
    number = run.dispatched("hurt-1", slot=0)
    run.failed(number, error, "raised")
    findings = run.ended()
    assert breaches(findings) == [Breach.LOST]
    assert error in findings.violations[0].text


def test_two_outcomes_are_doubled() -> None:
    """A request that got two outcomes is flagged with both records."""
    run = good_run()
    number = run.served("calm-1", slot=1)
    run.note("client", "ok", id=number, value=[1, 2, 3], nonce=f"nonce-{number}")
    findings = run.ended()
    assert breaches(findings) == [Breach.DOUBLED]
    assert len(findings.violations[0].seqs) == 3


def test_two_executions_are_doubled() -> None:
    """The workers' ledger shows what no caller can see: that a request ran twice."""
    run = good_run()
    number = run.killed("k4", "hurt-5")
    run.executions[f"nonce-{number}"] = 2
    assert breaches(run.ended()) == [Breach.DOUBLED]


def test_a_reply_to_another_request_is_crossed() -> None:
    """The nonce shows whose reply it was, though the counts happen to agree."""
    run = good_run()
    run.answered(run.dispatched("calm-1", slot=1), slot=1, nonce="nonce-0")
    assert breaches(run.ended()) == [Breach.CROSSED]


def test_an_outcome_of_a_request_never_sent_is_crossed() -> None:
    """There is nobody such an outcome could belong to."""
    run = good_run()
    run.note("client", "ok", id=10_000, value=[1, 2, 3], nonce="nonce-10000")
    assert breaches(run.ended()) == [Breach.CROSSED]


def test_a_program_created_under_another_name_is_crossed() -> None:
    """Replies to creations are compared as well."""
    run = good_run()
    run.note("client", "crossed", session="calm-1", wanted="index-a", got="index-b")
    assert breaches(run.ended()) == [Breach.CROSSED]


def test_wrong_counts_are_wrong() -> None:
    """A reply with the right nonce and other counts than the parent's is flagged."""
    run = good_run()
    run.answered(run.dispatched("calm-1", slot=1), slot=1, value=[1, 2, 4])
    assert breaches(run.ended()) == [Breach.WRONG]


def test_an_answer_nobody_computed_is_wrong() -> None:
    """A right answer without an execution in the ledger came from somewhere it should not."""
    run = good_run()
    number = run.served("calm-1", slot=1)
    del run.executions[f"nonce-{number}"]
    assert breaches(run.ended()) == [Breach.WRONG]


def test_a_failure_without_a_fault_touches_the_untouched() -> None:
    """An error that a fault would excuse is a violation in a session no fault came near."""
    run = good_run()
    run.served("calm-x", slot=0)
    number = run.dispatched("calm-x", slot=0)
    run.failed(number, "PoolTimeout", "fail")
    run.executions[f"nonce-{number}"] = 0
    assert breaches(run.ended()) == [Breach.TOUCHED]


def test_a_request_executed_though_said_not_to_be_is_dishonest() -> None:
    """What fails as never executed may be repeated by its caller, so it must not have run."""
    run = good_run()
    number = run.dispatched("hurt-1", slot=0)
    run.failed(number, "SessionLost", "fail")
    assert breaches(run.ended()) == [Breach.DISHONEST]
    run.executions[f"nonce-{number}"] = 0
    assert breaches(run.ended()) == []


def test_a_worker_that_never_comes_back_is_unrecovered() -> None:
    """After a kill the pool must be at full strength again before the run ends."""
    run = good_run()
    number = run.dispatched("hurt-5", slot=0)
    run.injected("k4", "kill", 0, number)
    run.finished(number, 0, "failed")
    run.failed(number)
    run.exited(0)
    findings = run.ended()
    assert breaches(findings) == [Breach.UNRECOVERED]
    assert findings.incidents[-1].to_capacity is None


@pytest.mark.parametrize(
    ("src", "kind", "fields", "breach"),
    [
        ("run", "pool_failed", {"error": "RestartIntensityExceeded: …"}, Breach.GAVE_UP),
        ("run", "leftover", {"pid": 1, "incarnation": 2}, Breach.LEFTOVER),
        ("client", "end_failed", {"session": "calm-1", "error": "CommandTimeout"}, Breach.LOST),
    ],
)
def test_a_pool_that_fails_as_a_whole_is_flagged(src: str, kind: str, fields: dict[str, Any], breach: Breach) -> None:
    """A give-up, a process left behind and a session that cannot be ended are violations of their own."""
    run = good_run()
    run.note(src, kind, **fields)
    assert breaches(run.ended()) == [breach]


def test_a_run_without_faults_is_unknown() -> None:
    """However well it went: nothing was tried."""
    run = Run()
    run.served("calm")
    findings = run.ended()
    assert findings.verdict is Verdict.UNKNOWN
    assert len(findings.reasons) == 3


def test_a_run_without_requests_is_unknown() -> None:
    """No request, no proof."""
    assert check([], {}, workers=WORKERS).verdict is Verdict.UNKNOWN


def test_kills_that_hit_no_request_prove_nothing() -> None:
    """A kill between two requests, or after the reply was written, does not count towards the three."""
    run = good_run()
    run.ended()
    without = [entry for entry in run.records if entry["type"] != "RequestFinished" or entry["result"] != "failed"]
    findings = check(_renumbered(without), run.executions, workers=WORKERS)
    assert findings.verdict is Verdict.UNKNOWN
    assert "only 0 kills hit a running request" in findings.reasons[0]


@pytest.mark.parametrize("kind", ["freeze", "latency"])
def test_each_kind_of_fault_must_have_touched_a_request(kind: str) -> None:
    """A run without a freeze, or without latency, is unknown."""
    run = Run()
    for number in range(10):
        run.served(f"calm-{number}", slot=1)
    for name in ("k1", "k2", "k3"):
        run.killed(name, f"hurt-{name}")
    if kind == "latency":
        run.frozen("hurt-4")
    else:
        for number in range(10):
            run.note("client", "ended", session=f"calm-{number}")
        run.slowed("slow-1")
    findings = run.ended()
    assert findings.verdict is Verdict.UNKNOWN
    assert findings.reasons == (f"no {kind} touched a request",)


def test_half_the_sessions_must_never_be_faulted() -> None:
    """Faults that hit nearly everybody leave too few to keep the promise to."""
    run = Run()
    for name in ("k1", "k2", "k3"):
        run.killed(name, f"hurt-{name}")
    run.frozen("hurt-4")
    run.slowed("slow-1")
    run.served("calm")
    findings = run.ended()
    assert findings.verdict is Verdict.UNKNOWN
    assert findings.reasons == ("only 1 of 6 sessions were never faulted, at least half must be",)


def test_dropped_requests_make_it_unknown() -> None:
    """The load was then not the planned one."""
    run = good_run()
    run.note("client", "drop", id=999, session="calm-1", t_int=0.0)
    findings = run.ended()
    assert findings.verdict is Verdict.UNKNOWN
    assert findings.dropped == 1


def test_an_interrupted_run_excuses_cancelled_requests_and_is_unknown() -> None:
    """Ctrl-C cancels what is under way; a violation found up to then is one all the same."""
    run = good_run()
    run.note("run", "interrupted", signal="SIGINT")
    run.failed(run.dispatched("calm-1", slot=1), "Cancelled")
    findings = run.ended()
    assert findings.verdict is Verdict.UNKNOWN
    assert findings.ending is Ending.INTERRUPTED
    assert findings.reasons == ("the run was interrupted",)
    run.note("run", "leftover", pid=1, incarnation=2)
    assert run.judged().verdict is Verdict.FAIL


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_history_without_an_end_excuses_what_it_does_not_tell(interrupted: bool) -> None:
    """A harness that was killed says nothing of the requests under way then, nor of a worker not yet replaced."""
    run = good_run()
    before = run.judged()
    if interrupted:
        run.note("run", "interrupted", signal="SIGINT")
    run.dispatched("calm-1", slot=1)
    run.injected("k4", "kill", 1, run.dispatched("calm-2", slot=1))
    findings = run.judged()
    assert findings.verdict is Verdict.UNKNOWN
    assert findings.ending is Ending.CUT_SHORT
    assert findings.reasons[0].startswith("the history stops before the run's end")
    assert (findings.sent, findings.cut_off, findings.settled) == (before.sent + 2, 2, before.sent)
    run.note("client", "ok", id=0, value=[1, 2, 3], nonce="nonce-0")
    assert breaches(run.judged()) == [Breach.DOUBLED]


def test_a_history_that_ends_after_the_load_excuses_no_missing_outcome() -> None:
    """Once the load was over every request had its outcome; what is unknown is whether a process was left."""
    run = good_run()
    run.dispatched("calm-1", slot=1)
    run.note("run", "load_ended")
    findings = run.judged()
    assert findings.ending is Ending.CUT_SHORT
    assert breaches(findings) == [Breach.LOST]
    assert findings.reasons != ()


def test_a_pool_that_did_not_start_is_no_broken_promise() -> None:
    """There was nothing to test, and the reason is on record."""
    run = Run()
    run.note("run", "not_started", error="WorkerInitFailed: no such application")
    run.note("run", "end")
    findings = run.judged()
    assert (findings.verdict, findings.ending) == (Verdict.UNKNOWN, Ending.NOT_STARTED)
    assert "WorkerInitFailed: no such application" in findings.reasons[0]


def test_requests_cut_off_by_an_interruption_count_for_nobody() -> None:
    """They are counted apart, and a session that lost nothing else succeeded with all it could."""
    run = good_run()
    before = run.judged()
    number = run.dispatched("calm-1", slot=1)
    run.note("run", "interrupted", signal="SIGINT")
    run.failed(number, "Cancelled")
    findings = run.ended()
    assert (findings.cut_off, findings.untouched_cut_off) == (1, 1)
    assert findings.sent == before.sent + 1
    assert findings.errors == before.errors
    assert findings.untouched_ok == findings.untouched_sent - findings.untouched_cut_off


def test_a_request_cancelled_before_the_interruption_is_lost() -> None:
    """Only the interruption excuses a cancelled request: one that came later does not."""
    run = good_run()
    run.failed(run.dispatched("calm-1", slot=1), "Cancelled")
    run.note("run", "interrupted", signal="SIGINT")
    findings = run.ended()
    assert [violation.breach for violation in findings.violations] == [Breach.LOST]
    assert findings.cut_off == 0


def test_times_of_a_kill() -> None:
    """Detection is the worker's exit, capacity the replacement, the first reply the slot's next one."""
    run = Run()
    run.served("calm", slot=1)
    run.killed("k1", "hurt")
    run.served("calm", slot=1)
    run.served("next", slot=0)
    incident = run.ended().incidents[0]
    at = {entry["type"]: entry["t"] for entry in run.records if entry["t"] > incident.at + 1e-9 and entry["t"] < 0.18}
    assert incident.to_detect == pytest.approx(at["WorkerExited"] - incident.at)
    assert incident.to_capacity == pytest.approx(at["WorkerReady"] - incident.at)
    replies = [entry["t"] for entry in run.records if entry["type"] == "RequestFinished" and entry["incarnation"] == 3]
    assert incident.to_first_reply == pytest.approx(replies[0] - incident.at)


def test_times_of_a_freeze_and_of_latency() -> None:
    """A freeze is detected by the request that timed out; latency is not to be detected, and its slot replies on."""
    run = good_run()
    findings = run.ended()
    freeze = next(incident for incident in findings.incidents if incident.kind == "freeze")
    latency = next(incident for incident in findings.incidents if incident.kind == "latency")
    assert freeze.to_detect == pytest.approx(0.01)
    assert freeze.costs_worker
    assert latency.to_detect is None
    assert latency.hit
    assert latency.to_first_reply is not None
    assert latency.to_capacity is not None
    assert not latency.costs_worker


@given(seed=st.integers())
def test_one_planted_violation_is_found_wherever_it_is(seed: int) -> None:
    """Whichever request of the clean run loses its outcome, exactly that is flagged."""
    run = good_run()
    run.ended()
    chance = random.Random(seed)  # noqa: S311  # reproducible on purpose
    outcomes = [entry for entry in run.records if entry["src"] == "client" and "id" in entry and "expect" not in entry]
    victim = chance.choice(outcomes)
    findings = check(
        _renumbered([entry for entry in run.records if entry is not victim]), run.executions, workers=WORKERS
    )
    assert breaches(findings) == [Breach.LOST]
    assert f"nonce-{victim['id']} " in findings.violations[0].text


def test_witnesses_show_every_kind() -> None:
    """The few that are shown have one of every kind among them, whatever their order."""
    run = good_run()
    for _ in range(20):
        run.dispatched("calm-1", slot=1)
    run.note("run", "leftover", pid=1, incarnation=2)
    findings = run.ended()
    shown = witnesses(findings.violations)
    assert len(shown) == 8
    assert {violation.breach for violation in shown} == {Breach.LOST, Breach.LEFTOVER}


def _renumbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "seq": number} for number, entry in enumerate(records)]
