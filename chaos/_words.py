"""The words of the reports: promises, faults, errors and terms for somebody who knows nothing of the project.

What is promised in full is the page of guarantees; here is what a reader needs to understand one run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._findings import Breach, Ending, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMISES: Mapping[Breach, tuple[str, str]] = {
    Breach.LOST: (
        "Every request gets an outcome",
        "A result, or one of the errors that are announced for the case. No request waits for ever or vanishes.",
    ),
    Breach.DOUBLED: (
        "Nothing happens twice",
        "A request is executed at most once and answered exactly once, also when its worker dies in the middle.",
    ),
    Breach.CROSSED: (
        "An answer reaches the request it belongs to",
        "Each request carries a random token, and its answer must bring the same one back.",
    ),
    Breach.WRONG: (
        "Answers are right",
        "Every result is compared with one that was computed beforehand, outside the workers.",
    ),
    Breach.TOUCHED: (
        "Who was not hit notices nothing",
        "A user none of whose workers was killed, frozen or slowed sees no request fail.",
    ),
    Breach.DISHONEST: (
        "An error tells the truth about what ran",
        "What is reported as never executed was never executed. The workers' own log is held against it.",
    ),
    Breach.UNRECOVERED: (
        "The pool comes back to full strength",
        "For each worker that is lost, a new one is started and serves.",
    ),
    Breach.GAVE_UP: (
        "The pool does not give up",
        "The faults are fewer than it must endure, so it may neither stop nor fail as a whole.",
    ),
    Breach.LEFTOVER: (
        "Nothing is left running",
        "When the pool is closed, not one of its processes lives on.",
    ),
}
"""Each promise: in a few words, and in a sentence or two."""

PROVED = "The run tested enough"
"""The name of the one condition that is not about the pool."""

VERDICTS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.PASS: ("Every promise was kept", "Nothing was broken, and the faults did hit: the pool passed the test."),
    Verdict.FAIL: ("A promise was broken", "What was broken, and what shows it, stands below."),
    Verdict.UNKNOWN: (
        "Nothing was broken, but too little was tested",
        "The run gives no reason to distrust the pool, and not enough to trust it: it is neither passed nor failed.",
    ),
}
"""Each verdict: as a headline, and what it means."""

ENDINGS: Mapping[Ending, str] = {
    Ending.COMPLETE: "",
    Ending.INTERRUPTED: (
        "Somebody interrupted the run. The faults were undone, the pool was closed in order, and what there was by then"
        " was judged. Requests that were under way count for nobody."
    ),
    Ending.CUT_SHORT: (
        "The run has no end: the program that carried it out was killed, or could write no more. What its history holds"
        " was judged. Requests that were under way at the last entry count for nobody."
    ),
    Ending.NOT_STARTED: "The pool could not be started, so there was nothing to test.",
}

FAULTS: Mapping[str, tuple[str, str]] = {
    "kill": (
        "killed",
        "The worker's process is ended on the spot (SIGKILL). It cannot notice or clean up; what it was computing and"
        " the sessions that lived in it are gone.",
    ),
    "freeze": (
        "frozen",
        "The worker's process is stopped (SIGSTOP). It is there and does nothing. The pool must notice by itself that"
        " no answer comes, and replace it.",
    ),
    "latency": (
        "slowed down",
        "Every byte between pool and worker arrives late by a fixed time. The worker is well, so the pool must go on"
        " using it and must not take slowness for death.",
    ),
}
"""Each kind of fault: what becomes of the worker, and what is done to it."""

ERRORS: Mapping[str, str] = {
    "WorkerCrashed": "The worker died while it was executing this very request. Nobody can know how far it came.",
    "SessionLost": "The session lived in a worker that died, and what it had stored there is gone. The request was not"
    " executed; the user starts the session anew.",
    "SessionNotFound": "The session was not known to the worker any more, because it had been replaced.",
    "CommandTimeout": "The worker had the request and did not answer in the time it was given, as a frozen one does.",
    "PoolTimeout": "The request waited for a worker as long as it was given and was then withdrawn. It did not run.",
    "Cancelled": "The request was withdrawn.",
}
"""Each error the users may meet, from the user's side."""

UNEXPECTED = "Not an error that is announced for this case; see the promises."

GLOSSARY: Mapping[str, str] = {
    "pool": "Several worker processes under one supervisor, which gives them requests and replaces those it loses.",
    "worker": "One process that executes requests, one at a time.",
    "slot": "A worker's place in the pool, numbered from 0. When a worker is lost, the next one takes the same slot.",
    "incarnation": "The number of one worker process. It is never used again, so it tells a worker from its successor.",
    "session": "What belongs together for one user: its requests go to the same worker, which keeps their data.",
    "faulted session": "A session that lived in a worker, or had a request there, when a fault hit it.",
    "request": "One piece of work with one answer: here, to count the definitions in up to 25 source files of Python's"
    " standard library.",
    "intended send time": "When the plan says that a request leaves. Latency is counted from there, so that a generator"
    " held up by the pool cannot make the pool look faster than it is.",
    "p50, p95, p99": "The time that 50, 95 or 99 of 100 requests do not exceed. p50 is also called the median.",
    "detected": "How long the pool took to notice the fault.",
    "first reply": "How long until the slot answered a request again.",
    "full strength": "How long until every slot had a working worker again.",
    "seed": "The number that all chance in the run comes from. The same seed makes the same plan.",
    "plan": "Every request and fault with its time, decided before the run began. Its SHA-256 names it.",
    "unknown": "A verdict beside pass and fail: nothing was broken, and too little was tried to say that all is well.",
}
"""The words the page cannot do without."""
