"""The ledger, read back: what was executed, where, and how far it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..workload._ledger import BEGIN, EFFECT, END, MAGIC, SIZE, STOPPED, entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..workload._ledger import Entry
    from ._lives import Life, Processes


@attrs.define(kw_only=True)
class Execution:
    """One run of a request's command in one process.

    Args:
        request: The ``id`` of the request, as the worker was told.
        nonce: The nonce the worker was told.
        session: The session of the call, cut to 20 bytes of UTF-8.
        pid: The process.
        number: Which of the executions of that process, from 1.
        begin: When it began, in the history's time.
        effect: When it had taken effect; None if it never did.
        end: When it was about to return; None if it never did.
        stopped: When it was cancelled, or had failed; None if it never was.
        life: The worker it ran in, if the pool named the process.
        repeated: How often a step was noted again, which should not be.
    """

    request: int
    nonce: int
    session: str
    pid: int
    number: int
    begin: float | None = None
    effect: float | None = None
    end: float | None = None
    stopped: float | None = None
    life: Life | None = None
    repeated: int = 0

    @property
    def over(self) -> float | None:
        """When it no longer ran, one way or the other; None if nothing says so."""
        return self.stopped if self.end is None else self.end

    @property
    def where(self) -> str:
        """In words: the process, and its worker if it is known."""
        if self.life is None:
            return f"process {self.pid}"
        return f"slot {self.life.slot}, incarnation {self.life.incarnation}, process {self.pid}"


def split_ledger(data: bytes) -> tuple[list[Entry], int]:
    """Return a ledger's records in the order of their writing, and how many stretches of it are torn or damaged.

    Records have one size, but a torn one in the middle has not: what follows it is found by its magic number.
    """
    found: list[Entry] = []
    damaged = 0
    position, whole = 0, True
    while 0 <= position < len(data):
        entry = next(entries(data[position : position + SIZE]), None)
        if entry is None:
            damaged += whole
            whole = False
            position = data.find(MAGIC, position + 1)
        else:
            whole = True
            found.append(entry)
            position += SIZE
    return found, damaged


def find_executions(ledger: Iterable[Entry], moment: Callable[[int], float], processes: Processes) -> list[Execution]:
    """Put the records of each execution together, in the order of their beginning.

    Args:
        ledger: The records.
        moment: Turns nanoseconds of the monotonic clock into the history's time.
        processes: Whose process was which.
    """
    found: dict[tuple[int, int, int, int], Execution] = {}
    for entry in ledger:
        at = moment(entry.nanoseconds)
        # The request belongs to the key: the system gives a process's number to another, which counts from 1 again.
        key = (entry.pid, entry.execution, entry.request, entry.nonce)
        execution = found.get(key)
        if execution is None:
            execution = found[key] = Execution(
                request=entry.request,
                nonce=entry.nonce,
                session=entry.session,
                pid=entry.pid,
                number=entry.execution,
                life=processes.life(entry.pid, at),
            )
        _note(execution, entry.step, at)
    return list(found.values())


def _note(execution: Execution, step: int, at: float) -> None:
    match step:
        case _ if step == BEGIN and execution.begin is None:
            execution.begin = at
        case _ if step == EFFECT and execution.effect is None:
            execution.effect = at
        case _ if step == END and execution.end is None:
            execution.end = at
        case _ if step == STOPPED and execution.stopped is None:
            execution.stopped = at
        case _:
            execution.repeated += 1
