"""The words of the page: for somebody who knows nothing of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..checking._results import Exit

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADLINES: Final[Mapping[Exit, tuple[str, str]]] = {
    Exit.PASS: (
        "The pool passed the test",
        "No promise was broken, the faults did hit, and its users were served as well as was demanded.",
    ),
    Exit.BROKEN: ("A promise was broken", "What was broken, and what shows it, stands below."),
    Exit.UNKNOWN: (
        "Nothing was broken, but too little was proved",
        "The run gives no reason to distrust the pool, and not enough to trust it: it is neither passed nor failed.",
    ),
    Exit.MISSED: (
        "No promise was broken, but an objective was missed",
        "What the pool promises it kept; its users were served worse than the scenario demands.",
    ),
    Exit.NOT_STEADY: (
        "Nothing was tested",
        "The pool was not well before the first fault, so the test proper never began.",
    ),
    Exit.RESIDUE: ("Something was left behind", "A process or a fault outlived the run; see below."),
    Exit.UNCAPABLE: ("A fault could not be had here", "This machine or this pool cannot do what the scenario demands."),
    Exit.BUG: ("The test program itself failed", "This says nothing about the pool."),
    Exit.INTERRUPTED: (
        "The run was interrupted",
        "The faults were undone and the pool was closed in order. What there was by then was judged; requests under way"
        " count for nobody.",
    ),
}
"""The headline for each way to end, and what it means."""

ERRORS: Final[Mapping[str, str]] = {
    "WorkerCrashed": "The worker died while it was executing this very request. Nobody can know how far it came.",
    "SessionLost": "The session lived in a worker that died, and what it had stored there is gone. The request was not"
    " executed; the user starts the session anew.",
    "SessionNotFound": "The session was not known to the worker any more, because it had been replaced.",
    "CommandTimeout": "The worker had the request and did not answer in the time it was given, as a frozen one does.",
    "PoolTimeout": "The request waited for a worker as long as it was given and was then withdrawn. It did not run.",
    "PoolSaturated": "Too many requests waited already, and this one was refused at once. It did not run.",
    "PoisonRequest": "Several workers died while they ran this very request, so it is taken for the cause and not tried"
    " again.",
    "WorkerInitFailed": "No worker could be started. The request did not run.",
    "SessionMismatch": "The worker was checked out by another session. The request did not run.",
    "SessionLimit": "There were too many sessions already. The request did not run.",
    "Cancelled": "Its own caller withdrew the request.",
    "RemoteError": "The command ran in the worker and raised an error there.",
    "ProtocolError": "The worker sent what is no message; it was replaced.",
    "PoolClosed": "The pool was closed.",
    "no outcome": "The request never got an answer nor an error. That must not be.",
}
"""Each error the users may meet, from the user's side."""

UNEXPECTED: Final = "Not an error that is announced for such a case; see the checks."

GLOSSARY: Final[Mapping[str, str]] = {
    "pool": "Several worker processes under one supervisor, which gives them requests and replaces those it loses.",
    "worker": "One process that executes requests.",
    "slot": "A worker's place in the pool, numbered from 0. When a worker is lost, the next one takes the same slot.",
    "incarnation": "The number of one worker process. It is never used again, so it tells a worker from its successor.",
    "session": "What belongs together for one user: its requests go to the same worker, which keeps their data.",
    "fault, strike": "What the test does to the pool on purpose, and one time it is done.",
    "phase": "A stretch of the run with its own load. One that warms up is not measured; in one that heals, every fault"
    " is over and the pool must come back to itself.",
    "window": "The stretch of time a number is taken over: a phase, all that is measured, or the time from each"
    " strike of a fault until the pool had to be well again. A request belongs to the window in which it was meant to"
    " be sent.",
    "intended send time": "When the plan says that a request leaves. Latency is counted from there, so that a generator"
    " held up by the pool cannot make the pool look faster than it is. Inside a session the next request is meant to be"
    " sent some time after the last answer, as a user would.",
    "p50, p95, p99": "The time that 50, 95 or 99 of 100 requests do not exceed. p50 is also called the median.",
    "n, and two values in brackets": "Of how many requests a percentile was taken, and between which values the true"
    " one lies with 95 % confidence. An objective is passed only if both meet it.",
    "detected": "How long the pool took to notice the fault.",
    "full strength": "How long until every slot had a working worker again.",
    "first answer": "How long until the slot that was hit answered a request again.",
    "steady": "How long until everything looked as it did before the test, and went on looking so.",
    "ledger": "The workers' own log of what they executed, written so that it survives their death. Errors are held"
    " against it: what is said not to have run must not be in it.",
    "seed, plan": "All chance in the run comes from the seed. With the scenario it makes the plan: every request and"
    " fault with its time, decided before the run began.",
    "unknown": "A judgement beside passed and failed: nothing was broken, and too little was tried to say that all is"
    " well.",
}
"""The words the page cannot do without."""
