"""How the pool coped with the faults: C17, C23."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

from ..scenario._fault import Death, Expectation, Window
from ..scenario._process_faults import Kill
from ._cases import TELLS_NOTHING, Cases, count, idle, unknown
from ._explanations import Explanations
from ._outcomes import cut_off

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..evidence._occurrences import Occurrence
    from ..evidence._requests import Request
    from ..scenario._fault import FaultSpec
    from ._cases import Answer

NOTICED: Final = frozenset({"WorkerKilled", "WorkerExited", "HealthMissed"})

_OK: Final = frozenset({"ok"})
_NOT_BEGUN: Final = frozenset({"ok", "fail"})
_BEGUN: Final = frozenset({"info"})

ACCEPTABLE: Final[Mapping[Window, frozenset[str]]] = {
    Window.W2: _NOT_BEGUN,
    Window.W3: _NOT_BEGUN,
    Window.W4: _NOT_BEGUN,
    Window.W5: _BEGUN,
    Window.W6: _BEGUN,
    Window.W7: _BEGUN,
    Window.W8: _OK,
    Window.W9: _OK,
}
"""How a request may end whose worker was killed in each window. Until a command has begun it goes to another worker, or
failed as not executed; a reply that is in the socket wins. What is idempotent may also succeed, tried again."""


def recovery(evidence: Evidence) -> Answer:
    """Every fault is noticed, and made good, as soon as its scenario expects."""
    # One in which nothing is given expects nothing.
    expecting = [spec for spec in evidence.plan.scenario.faults if spec.expect not in (None, Expectation())]
    if not expecting:
        return idle("the scenario expects nothing of any fault")
    if not evidence.tells:
        return idle(TELLS_NOTHING)
    struck = [each for each in evidence.occurrences if each.injects and each.spec in expecting]
    if not struck:
        return unknown(f"none of {count(len(expecting), 'fault')} that something is expected of struck")
    cases = Cases()
    cut: list[str] = []
    over = evidence.marks.get("load_ended", evidence.marks.get("closing", ()))
    last = float(over[0]["t"]) if over else float(evidence.records[-1]["t"])
    for occurrence in struck:
        spec = occurrence.spec
        if spec is None or spec.expect is None:
            continue
        for injected in occurrence.injects:
            bounds = (
                ("was noticed", spec.expect.detect_within, _detected(evidence, injected)),
                ("was made good", spec.expect.recover_within, _restored(evidence, spec, injected)),
            )
            for what, within, took in bounds:
                if within is None or (took is not None and took <= within):
                    continue
                if took is None and injected["t"] + within > last:
                    cut.append(occurrence.name)
                    continue
                when = "never" if took is None else f"after {took:.3f} s"
                cases.add(f"{occurrence.name} {what} {when}, {within:g} s expected", [injected["seq"]])
            if spec.expect.restarts is False:
                _no_restart(evidence, cases, occurrence, injected)
            elif spec.expect.restarts is True:
                _cost_nobody(evidence, cases, occurrence, injected)
    short = f"the load ended before the bounds of {', '.join(dict.fromkeys(cut))}" if cut else None
    return cases.answer(f"{count(len(struck), 'fault')} noticed and made good in time", unknown=short)


def _detected(evidence: Evidence, injected: Record) -> float | None:
    for entry in evidence.records[injected["seq"] :]:
        if entry["src"] != "pool" or entry.get("incarnation") is None:
            continue
        # Of what hit nobody in particular, whatever is noticed of anybody counts.
        if injected["incarnation"] not in (None, entry["incarnation"]):
            continue
        if entry["type"] in NOTICED or (entry["type"] == "RequestFinished" and entry["result"] == "timed_out"):
            return float(entry["t"]) - float(injected["t"])
    return None


def _restored(evidence: Evidence, spec: FaultSpec, injected: Record) -> float | None:
    """Return how long it took until as many workers served as when it was hit: 0 if it cost none, None if never.

    Of one that hit nobody in particular, until as many served and no fewer any more, whoever they were.
    """
    over = over_at(evidence)
    number = injected["incarnation"]
    life = None if number is None else evidence.lives.get(number)
    end = injected if life is None else life.exit
    if number is not None and (life is None or end is None or end["seq"] > over):
        # Who must die of it and has not been reaped is not replaced. Whom the pool never told of, nobody knows.
        return None if life is None or _kills(spec) else 0.0
    serving = 0
    before: int | None = None
    fewer = False
    found: float | None = None
    for entry in evidence.records:
        if entry["seq"] >= over:
            break
        if entry["seq"] == injected["seq"]:
            before, found = serving, 0.0 if number is None else None
        if entry["src"] != "pool":
            continue
        if entry["type"] == "WorkerReady":
            serving += 1
        elif entry["type"] == "WorkerExited":
            gone = evidence.lives[entry["incarnation"]]
            serving -= gone.ready is not None and gone.ready["seq"] < entry["seq"]
        if before is None or end is None or entry["seq"] < end["seq"]:
            continue
        if number is None:
            if serving < before:
                fewer, found = True, None
            elif fewer:
                fewer, found = False, float(entry["t"]) - float(injected["t"])
        elif serving >= before:
            return float(entry["t"]) - float(injected["t"])
    return found


def _kills(spec: FaultSpec) -> bool:
    """Tell whether nobody survives a fault; SIGTERM and SIGINT are a worker's own to take."""
    return isinstance(spec, Kill) and spec.death not in (Death.TERM, Death.INT)


def over_at(evidence: Evidence) -> float:
    """Return the number of the record from which on workers are stopped because the run ends."""
    found: list[int] = [entry["seq"] for kind in ("closing", "interrupted") for entry in evidence.marks.get(kind, ())]
    return min(found, default=math.inf)


def _cost_nobody(evidence: Evidence, cases: Cases, occurrence: Occurrence, injected: Record) -> None:
    """Find a worker that was to be lost to a fault and lives on."""
    life = evidence.lives.get(injected["incarnation"])
    if life is not None and (life.exit is None or life.exit["seq"] > over_at(evidence)):
        cases.add(f"{occurrence.name} was to cost incarnation {life.incarnation}, which lives on", [injected["seq"]])


def _no_restart(evidence: Evidence, cases: Cases, occurrence: Occurrence, injected: Record) -> None:
    """Find a worker that a fault has cost which should have cost none."""
    over = over_at(evidence)
    life = evidence.lives.get(injected["incarnation"])
    lost = [life] if life is not None else list(evidence.lives.values())
    for each in lost:
        gone = each.exit
        if gone is not None and injected["seq"] < gone["seq"] < over and not gone["planned"]:
            cases.add(f"{occurrence.name} cost incarnation {each.incarnation}", [injected["seq"], gone["seq"]])


def small_blast(evidence: Evidence) -> Answer:
    """A death costs what had begun there and the sessions that lived there, nothing else, and nobody dies for free."""
    if not evidence.tells:
        return idle(TELLS_NOTHING)
    cases = Cases()
    explained = Explanations(evidence)
    by_number = {request.number: request for request in evidence.requests.values() if request.number is not None}
    struck = 0
    for occurrence in explained.struck:
        struck += _judge_window(evidence, cases, occurrence, by_number)
    closing = min((entry["seq"] for entry in evidence.marks.get("closing", ())), default=math.inf)
    for life in evidence.lives.values():
        gone = life.exit
        if gone is not None and gone["seq"] < closing and not explained.explains_death(life):
            cases.add(
                f"incarnation {life.incarnation} of slot {life.slot} died ({gone.get('exit')}), and no fault had"
                " touched it",
                [gone["seq"]],
            )
    for request in evidence.requests.values():
        if request.outcome is not None and request.outcome["seq"] < closing and not cut_off(evidence, request):
            _judge_untouched(evidence, cases, explained, request)
    return cases.answer(
        f"{count(len(explained.hit), 'worker')} hit, {struck} of them in a window of a request; nobody else paid",
        idle=None if explained.struck else "no fault struck",
    )


def _judge_window(evidence: Evidence, cases: Cases, occurrence: Occurrence, by_number: Mapping[int, Request]) -> int:
    """Hold the request that a kill hit to what its window allows; return how many there were.

    Of several that a worker had, only the one that came to the window is held to it, if it is known.
    """
    spec = occurrence.spec
    if not isinstance(spec, Kill) or spec.window is None or spec.window not in ACCEPTABLE:
        return 0
    judged = 0
    for injected in occurrence.injects:
        detail = injected.get("detail")
        own = cast("dict[str, object]", detail).get("request") if isinstance(detail, dict) else None
        # By the worker's own word, or the pool's, which counts from 1.
        request = evidence.requests.get(own) if isinstance(own, int) else None
        request = request or by_number.get(injected.get("request_id") or 0)
        if request is None or request.type is None or request.cancelled or request.error == "CommandTimeout":
            continue
        judged += 1
        allowed = ACCEPTABLE[spec.window] | (_OK if request.invoke["idempotent"] else frozenset[str]())
        if request.type not in allowed:
            how = request.error or "a reply"
            cases.add(
                f"{request.name} ended with {how} ({request.type}), its worker killed in window {spec.window}, where"
                f" only {' or '.join(sorted(allowed))} will do",
                (injected["seq"], *request.seqs),
            )
    return judged


def _judge_untouched(evidence: Evidence, cases: Cases, explained: Explanations, request: Request) -> None:
    """Find an error that blames the death of a worker which nothing had touched."""
    if request.error not in ("WorkerCrashed", "PoisonRequest", "ProtocolError", "SessionLost", "RemoteError"):
        return
    if explained.wide or request.outcome is None:
        return
    blamed = [entry["incarnation"] for entry in request.dispatches]
    if not blamed and request.session is not None:
        blamed = [
            entry["incarnation"]
            for entry in evidence.records[: request.outcome["seq"]]
            if entry["type"] == "SessionForgotten" and entry["session_id"] == request.session
        ]
    if not blamed:
        return  # whose death it was is not on record
    lives = [evidence.lives[incarnation] for incarnation in blamed if incarnation in evidence.lives]
    if not any(life.incarnation in explained.hit or life.kills for life in lives):
        cases.add(
            f"{request.name} failed with {request.error}, and no fault had touched its worker, incarnation"
            f" {blamed[-1]}",
            request.seqs,
        )
