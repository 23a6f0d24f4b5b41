"""Whether workers are restarted no more often and no sooner than configured: C15."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from trio_pool import Jitter, Restart

from ._cases import TELLS_NOTHING, Cases, count, idle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_pool import Backoff

    from .._history import Record
    from ..evidence._evidence import Evidence
    from ..evidence._lives import Life
    from ._cases import Answer

EDGE: Final = 0.1
"""How close to the edge of a window, in seconds, the pool may have seen a thing on its other side: what it decides by
is a moment before what it tells."""


def restart_intensity(evidence: Evidence) -> Answer:
    """No more restarts than allowed within the window, then a give-up and no start; and each waits as it should."""
    if not evidence.tells:
        return idle(TELLS_NOTHING)
    policy = evidence.plan.scenario.pool.restart
    if policy.restart is not Restart.PERMANENT:
        return idle(f"workers are {policy.restart}: not every end of one is followed by a start")
    cases = Cases()
    over = evidence.marks.get("closing", evidence.marks.get("load_ended", ()))
    end = over[0]["seq"] if over else len(evidence.records)
    charges = [
        life.exits[0]
        for life in evidence.lives.values()
        if life.exits and not life.exits[0]["planned"] and life.exits[0]["seq"] < end
    ]
    gave_up = [entry for entry in evidence.records if (entry["src"], entry["type"]) == ("pool", "GaveUp")]
    workers = _workers(evidence)
    limit = policy.limit(workers)
    densest = _judge_window(evidence, cases, charges, gave_up, limit)
    if len(gave_up) > 1:
        cases.add("the pool gave up more than once", [entry["seq"] for entry in gave_up])
    for life in evidence.lives.values():
        if gave_up and life.starting is not None and life.starting["seq"] > gave_up[0]["seq"]:
            cases.add(
                f"incarnation {life.incarnation} was started after the pool had given up",
                [gave_up[0]["seq"], life.starting["seq"]],
            )
    delays = _judge_delays(evidence, cases, policy.backoff)
    few = None
    if densest < limit:
        few = f"the limit of {limit:g} restarts in {policy.within:g} s was never reached: {densest} at most"
    return cases.answer(
        f"at most {densest} restarts in {policy.within:g} s, {limit:g} allowed; {count(delays, 'delay')} as configured;"
        f" gave up {count(len(gave_up), 'time')}",
        idle=few,
    )


def _workers(evidence: Evidence) -> int:
    """Return for how many workers the limit of restarts is."""
    pool = evidence.plan.scenario.pool
    slots = {life.slot for life in evidence.lives.values()}
    return len(slots) if pool.size is None else pool.size + pool.standby


def _judge_window(
    evidence: Evidence, cases: Cases, charges: Sequence[Record], gave_up: Sequence[Record], limit: float
) -> int:
    """Slide the window over all charged ends; return how many it held at most."""
    within = evidence.plan.scenario.pool.restart.within
    inside: deque[Record] = deque()
    certain: deque[Record] = deque()
    densest = 0
    reached = False
    for entry in charges:
        inside.append(entry)
        certain.append(entry)
        while entry["t"] - inside[0]["t"] > within + EDGE:
            inside.popleft()
        while entry["t"] - certain[0]["t"] > within - EDGE:
            certain.popleft()
        densest = max(densest, len(certain))
        reached = reached or len(inside) > limit
        # Whoever is down already when the pool gives up is no further restart.
        late = gave_up and gave_up[0]["t"] <= entry["t"] + EDGE
        if len(certain) > limit and not late:
            cases.add(
                f"{len(certain)} workers ended within {within:g} s, {limit:g} restarts allowed, and the pool went on",
                [each["seq"] for each in certain][-int(limit) - 1 :][:8],
            )
            return densest
    # A start that fails before there is a process is a restart that leaves no end behind.
    failed = sum(1 for life in evidence.lives.values() if life.starting is not None and not life.exits)
    if gave_up and not reached and failed + densest <= limit:
        cases.add(f"the pool gave up after {densest} restarts in {within:g} s, {limit:g} allowed", [gave_up[0]["seq"]])
    return densest


def _judge_delays(evidence: Evidence, cases: Cases, backoff: Backoff) -> int:
    """Hold each slot's delays to the backoff; return how many there were."""
    slots: dict[int, list[Life]] = {}
    for life in evidence.lives.values():
        slots.setdefault(life.slot, []).append(life)
    scheduled: dict[int, list[Record]] = {}
    for entry in evidence.records:
        if (entry["src"], entry["type"]) == ("pool", "RestartScheduled"):
            scheduled.setdefault(entry["slot"], []).append(entry)
    judged = 0
    for slot, lives in slots.items():
        judged += _judge_slot(cases, backoff, lives, scheduled.get(slot, []))
    return judged


def _judge_slot(cases: Cases, backoff: Backoff, lives: Sequence[Life], scheduled: Sequence[Record]) -> int:
    attempt, certain = 0, True
    judged = 0
    for life, following in pairwise(lives):
        gone, start = life.exit, following.starting
        if gone is None or start is None:
            certain = False
            continue
        delays = [entry for entry in scheduled if gone["seq"] < entry["seq"] < start["seq"]]
        if gone["planned"] or len(delays) != 1:
            # Neither charged nor delayed, but how long it has run counts for the next.
            certain = False
            continue
        run = gone["t"] - life.ready["t"] if life.ready is not None else 0.0
        if run >= backoff.reset_after + EDGE:
            attempt, certain = 0, True
        elif run >= backoff.reset_after - EDGE:
            certain = False
        attempt += 1
        judged += 1
        _judge_delay(cases, backoff, attempt, delays[0], start, certain=certain)
    return judged


def _judge_delay(
    cases: Cases, backoff: Backoff, attempt: int, scheduled: Record, start: Record, *, certain: bool
) -> None:
    delay, plain = float(scheduled["delay"]), backoff.plain(attempt)
    where = f"restart {attempt} in a row of slot {scheduled['slot']}"
    seqs = [scheduled["seq"], start["seq"]]
    if start["t"] - scheduled["t"] < delay - EDGE:
        cases.add(f"{where} came {start['t'] - scheduled['t']:.3f} s after its scheduling, due in {delay:.3f} s", seqs)
    elif delay > plain and not math.isclose(delay, plain) and certain:
        cases.add(f"{where} was to wait {delay:.3f} s, {plain:.3f} s at most", seqs)
    elif not certain or not plain:
        return
    elif delay == 0.0:
        # No number drawn between 0 and more is 0.
        cases.add(f"{where} was not delayed at all, {plain:.3f} s {_or_less(backoff)}", seqs)
    elif backoff.jitter is Jitter.NONE and not math.isclose(delay, plain):
        cases.add(f"{where} was to wait {delay:.3f} s, not {plain:.3f} s", seqs)


def _or_less(backoff: Backoff) -> str:
    return "due" if backoff.jitter is Jitter.NONE else "or a part of it due"
