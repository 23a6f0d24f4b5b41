"""The evidence of a run: what is left of it in its directory, and all that any verdict is made from.

Whoever holds the directory can judge the run again, on any machine and years later. Three witnesses are heard and
joined by the number of the request: the client, who knows what it asked and got; the pool, that says what it did; and
the workers' ledger, which proves what was executed, because it survives the worker.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import attrs

from ..scenario._fault import Capability
from ..scenario._plan_file import read_plan, sha256
from ._ledger_reading import find_executions, split_ledger
from ._lives import Processes, find_lives
from ._occurrences import find_occurrences
from ._records import NoEvidence, check_records, read_records, refuse
from ._requests import find_requests
from ._standstills import find_standstills, overlap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .._history import Record
    from ..scenario._plan import Plan
    from ..workload._ledger import Entry
    from ._ledger_reading import Execution
    from ._lives import Life
    from ._occurrences import Occurrence
    from ._requests import Request, Requests
    from ._standstills import Standstills


class Ending(StrEnum):
    """How a run came to its end."""

    COMPLETE = "complete"
    STRUCK = "struck"
    """The application was killed, as the plan had it: nobody was left to get an answer."""
    INTERRUPTED = "interrupted"
    """By a signal: the faults were healed, the pool was closed, and requests under way were cut off."""
    CUT_SHORT = "cut short"
    """The history stops in the middle, for no reason of the plan's: what came then nobody knows."""
    NOT_STARTED = "not started"
    """The pool could not be opened."""


@attrs.frozen(kw_only=True, slots=False, eq=False)
class Evidence:
    """A run as its files tell it, joined.

    Args:
        plan: What was to happen.
        records: The whole history.
        ledger: The records of the workers' ledger; None if there is no ledger.
        damaged: Stretches of the ledger that are torn.
        log: The lines that the pool and its workers wrote; None if none were kept.
    """

    plan: Plan
    records: Sequence[Record]
    ledger: Sequence[Entry] | None = None
    damaged: int = 0
    log: Sequence[str] | None = None

    @cached_property
    def start(self) -> Record:
        """The first record: what the harness knew before anything happened."""
        return self.records[0] if self.records else {}

    @cached_property
    def marks(self) -> Mapping[str, Sequence[Record]]:
        """The records of the run itself, by type."""
        found: dict[str, list[Record]] = {}
        for entry in self.records:
            if entry["src"] == "run":
                found.setdefault(entry["type"], []).append(entry)
        return found

    @cached_property
    def ending(self) -> Ending:
        """How it ended."""
        if "not_started" in self.marks:
            return Ending.NOT_STARTED
        if "interrupted" in self.marks:
            return Ending.INTERRUPTED
        if "end" in self.marks:
            return Ending.COMPLETE
        return Ending.STRUCK if self.struck is not None else Ending.CUT_SHORT

    @cached_property
    def struck(self) -> Occurrence | None:
        """The fault that hit the application itself, last of all, if the history ends with it."""
        for occurrence in self.occurrences:
            spec = occurrence.spec
            if occurrence.injects and not occurrence.heals and spec and Capability.APPLICATION in spec.needs:
                return occurrence
        return None

    @cached_property
    def lives(self) -> Mapping[int, Life]:
        """Every worker there was, by incarnation; none of a pool that tells no events."""
        return find_lives(self.records)

    @cached_property
    def tells(self) -> bool:
        """Whether the pool tells its events."""
        return any(entry["src"] == "pool" for entry in self.records)

    @cached_property
    def executions(self) -> Sequence[Execution]:
        """Every execution of a command, in the order of their beginning."""
        return find_executions(self.ledger or (), self.moment, Processes(self.lives))

    @cached_property
    def found(self) -> Requests:
        """The requests, and what belongs to none."""
        return find_requests(self.records, self.executions)

    @property
    def requests(self) -> Mapping[int, Request]:
        """Every request that was sent, by id, in the order of their sending."""
        return self.found.by_id

    @cached_property
    def occurrences(self) -> Sequence[Occurrence]:
        """Every strike of a fault, planned or on record."""
        return find_occurrences(self.records, self.plan)

    @cached_property
    def samples(self) -> Sequence[Record]:
        """What the sampler saw, in order."""
        return [entry for entry in self.records if entry["src"] == "sampler" and entry["type"] == "sample"]

    @cached_property
    def _offset(self) -> float:
        """What the history's clock shows when the machine's monotonic clock shows 0, in seconds."""
        begun = self.start.get("monotonic_ns")
        if not isinstance(begun, int) or isinstance(begun, bool):
            return 0.0
        return float(self.start["t"]) - begun / 1e9

    def moment(self, nanoseconds: int) -> float:
        """Return a time of the machine's monotonic clock in the history's seconds."""
        return self._offset + nanoseconds / 1e9

    @cached_property
    def slack(self) -> float:
        """How late things may be seen that were on time, in seconds: what the client itself was late, and 50 ms."""
        lags = sorted(max(0.0, request.sent - self.intended(request)) for request in self.requests.values())
        return 0.05 + _ninety_ninth(lags)

    @cached_property
    def standstills(self) -> Standstills:
        """When the application stood still."""
        return find_standstills(self.occurrences, self.samples)

    @cached_property
    def calm_slack(self) -> float:
        """The slack of the client where no fault had it stand still: what it was late by on its own, and 50 ms."""
        planned = self.standstills.planned
        lags = sorted(
            max(0.0, request.sent - intended - overlap(planned, intended, request.sent))
            for request in self.requests.values()
            for intended in (self.intended(request),)
        )
        return 0.05 + _ninety_ninth(lags)

    def intended(self, request: Request) -> float:
        """Return when a request was meant to be sent, in the history's seconds."""
        return float(request.invoke["t_int"])


def read_evidence(directory: Path) -> Evidence:
    """Read what a run left, also one whose application was killed at any instant.

    Raises:
        NoEvidence: A file is missing or is not what a run writes, or the history is that of another plan.
    """
    path, history = directory / "plan.json", directory / "history.jsonl"
    try:
        plan = read_plan(path.read_text(encoding="utf-8"), str(path))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as exc:
        refuse(path, exc)
    records = read_records(history)
    evidence = make_evidence(plan, records, _bytes(directory / "ledger.bin"), _bytes(directory / "pool.log"))
    start = evidence.start
    if (start.get("src"), start.get("type")) != ("run", "start"):
        raise NoEvidence(f"{history} does not begin with the start of a run")
    if start["plan"] != sha256(plan):
        raise NoEvidence(f"{history} is the history of another plan than {path}")
    return evidence


def make_evidence(plan: Plan, records: list[Record], ledger: bytes | None = None, log: bytes | None = None) -> Evidence:
    """Join what was read, or what a test has made up.

    Raises:
        NoEvidence: A record is not as a run writes it.
    """
    try:
        check_records(records)
    except (ValueError, TypeError, KeyError) as exc:
        raise NoEvidence(f"the history cannot be used: {exc}") from exc
    found, damaged = ([], 0) if ledger is None else split_ledger(ledger)
    return Evidence(
        plan=plan,
        records=records,
        ledger=None if ledger is None else found,
        damaged=damaged,
        log=None if log is None else log.decode(errors="replace").splitlines(),
    )


def _ninety_ninth(ordered: Sequence[float]) -> float:
    """Return the 99th percentile by nearest rank; nothing of nothing."""
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else 0.0


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        refuse(path, exc)
