"""What each fault did: whom it hit, how soon the pool noticed, and how soon everything was as before.

Read off the history. All times are seconds since the fault; None means that it did not happen before the run ended,
or, for the detection of latency, that there is nothing to detect: a slow worker serves on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._history import Record

_OVER = frozenset({"load_ended", "interrupted", "GaveUp"})
"""What ends the time in which the pool must recover: workers that go after it go because the pool closes."""

_NOTICED = frozenset({"WorkerKilled", "WorkerExited", "HealthMissed"})


@attrs.frozen(kw_only=True)
class Incident:
    """One injected fault and its consequences.

    Args:
        name: The fault's name in the plan.
        kind: ``kill``, ``freeze`` or ``latency``.
        seq: The record of the injection.
        at: When, in the history's time.
        worker_id: Whom it hit.
        incarnation: Which incarnation of it.
        running: The request it was running, by the pool's number.
        sessions: The sessions it touched.
        requests: How many requests were on the worker when it was hit, or came to it while the fault lasted.
        hit: Whether it touched a request: for a kill, one that had begun and did not survive.
        costs_worker: Whether the fault took the worker, at once or because the pool gave up on it.
        to_detect: Until the pool noticed.
        to_first_reply: Until the slot answered a request again.
        to_capacity: Until every slot had a ready worker again.
    """

    name: str
    kind: str
    seq: int
    at: float
    worker_id: str
    incarnation: int
    running: int | None
    sessions: frozenset[str]
    requests: int
    hit: bool
    costs_worker: bool
    to_detect: float | None
    to_first_reply: float | None
    to_capacity: float | None


def find_incidents(records: Sequence[Record], *, workers: int) -> list[Incident]:
    """Return what each injected fault did, in order."""
    slots: dict[int, int] = {
        entry["incarnation"]: entry["slot"] for entry in records if entry["type"] in ("WorkerStarting", "WorkerReady")
    }
    over = next((entry["seq"] for entry in records if entry["type"] in _OVER), len(records))
    results: dict[int, str] = {
        entry["request_id"]: entry["result"] for entry in records if entry["type"] == "RequestFinished"
    }
    return [
        _follow(injected, records[:over], slots, results, workers)
        for injected in records
        if injected["src"] == "chaos" and injected["type"] == "inject"
    ]


def _follow(
    injected: Record, records: Sequence[Record], slots: Mapping[int, int], results: Mapping[int, str], workers: int
) -> Incident:
    kind, incarnation, start = injected["kind"], injected["incarnation"], injected["seq"]
    running = injected["request_id"] if injected["begun"] else None
    healed = next(
        (e["seq"] for e in records[start:] if e["type"] == "heal" and e["fault"] == injected["fault"]), len(records)
    )
    gone = next(
        (e["seq"] for e in records if e["type"] == "WorkerExited" and e["incarnation"] == incarnation), len(records)
    )
    # A thawed or undelayed worker hurts nobody any more; a dead one has hurt all it held.
    end = min(healed, gone) if kind != "kill" else gone
    result = None if running is None else results.get(running)
    came = [
        e
        for e in records[start:end]
        if e["type"] == "RequestDispatched" and e["incarnation"] == incarnation and kind != "kill"
    ]
    requests = len(came) + (running is not None)
    return Incident(
        name=injected["fault"],
        kind=kind,
        seq=start,
        at=injected["t"],
        worker_id=injected["worker_id"],
        incarnation=incarnation,
        running=running,
        sessions=_touched(records, incarnation, start, end),
        requests=requests,
        hit=result not in (None, "ok") if kind == "kill" else requests > 0,
        costs_worker=kind == "kill" or (kind == "freeze" and gone < len(records)),
        to_detect=None if kind == "latency" else _detected(records[start:], injected),
        to_first_reply=_replied(records[start:], injected, slots, healed),
        to_capacity=_restored(records, injected, healed, gone, workers),
    )


def _touched(records: Sequence[Record], incarnation: int, start: int, end: int) -> frozenset[str]:
    """Return the sessions that lived in the incarnation, or had a request there, between two records."""
    touched: set[str] = set()
    for entry in records[:end]:
        if entry["type"] in ("SessionBound", "RequestDispatched") and entry["incarnation"] == incarnation:
            if entry["session_id"] is not None:
                touched.add(entry["session_id"])
        elif entry["type"] == "ended" and entry["seq"] < start:
            touched.discard(entry["session"])
    return frozenset(touched)


def _detected(later: Sequence[Record], injected: Record) -> float | None:
    for entry in later:
        if entry["src"] != "pool" or entry.get("incarnation") != injected["incarnation"]:
            continue
        if entry["type"] in _NOTICED or (entry["type"] == "RequestFinished" and entry["result"] == "timed_out"):
            return _since(entry, injected)
    return None


def _replied(later: Sequence[Record], injected: Record, slots: Mapping[int, int], healed: int) -> float | None:
    for entry in later:
        if entry["type"] != "RequestFinished" or entry["result"] != "ok" or entry["incarnation"] is None:
            continue
        if slots.get(entry["incarnation"]) != injected["slot"]:
            continue
        # The hit incarnation's own reply counts once it can reply again: through latency always, frozen only after
        # the thaw.
        replaced = entry["incarnation"] > injected["incarnation"]
        if replaced or injected["kind"] == "latency" or (injected["kind"] == "freeze" and entry["seq"] > healed):
            return _since(entry, injected)
    return None


def _restored(records: Sequence[Record], injected: Record, healed: int, gone: int, workers: int) -> float | None:
    """Return when every slot had a ready worker again: at once after a heal, with the replacement after a death."""
    if gone == len(records):
        return _since(records[healed], injected) if healed < len(records) else None
    ready: set[int] = set()
    for entry in records:
        if entry["type"] == "WorkerReady":
            ready.add(entry["incarnation"])
        elif entry["type"] == "WorkerExited":
            ready.discard(entry["incarnation"])
        else:
            continue
        if entry["seq"] > gone and len(ready) == workers:
            return _since(entry, injected)
    return None


def _since(entry: Record, injected: Record) -> float:
    return round(float(entry["t"]) - float(injected["t"]), 6)
