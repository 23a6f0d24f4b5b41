"""The client: makes the plan's requests and writes down one outcome for each, whatever it is.

No request is repeated. A session that is reported lost is ended, and goes on under a new name, as an application would
have it; what was asked of it under the old name stays failed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_pool import errors

from ..scenario._workloads import operations_of
from ..targets._target import Call
from ..workload._work import asynchronous_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from random import Random

    from .._history import History
    from ..scenario._model import Operation, Scenario
    from ..scenario._plan import PlannedRequest, Visit
    from ..targets._target import OpenTarget
    from ..workload._work import Work

_SESSION_GONE = (errors.SessionLost, errors.SessionNotFound)

_TYPES = {"not_executed": "fail", "maybe_executed": "info", "executed": "raised"}


@attrs.define(eq=False)
class _Session:
    """A session of the plan, under the name it has now."""

    number: int
    generation: int = 0
    used: bool = False

    @property
    def name(self) -> str:
        return f"s-{self.number}" if not self.generation else f"s-{self.number}.{self.generation}"


class Client:
    """Performs visits on an open target.

    Args:
        scenario: What the operations are, and which phases are measured.
        work: What requests carry, and what must come back.
        target: Where requests go.
        history: Where invocations and outcomes go.
        sessions: Whether the target has sessions; if not, what would belong to one is asked without.
        first_spare: The lowest number that is no request's in the plan, for rounds that go on beyond it.
        on_outcome: Called with whether a request went well.
    """

    def __init__(
        self,
        scenario: Scenario,
        work: Work,
        target: OpenTarget,
        history: History,
        *,
        sessions: bool,
        first_spare: int,
        on_outcome: Callable[[bool], None],
    ) -> None:
        operations = operations_of(scenario.workload, sessions=True)
        self._operations: Mapping[str, Operation] = {each.name: each for each in operations}
        self._measured = {phase.name: phase.measure for phase in scenario.phases}
        self._work = work
        self._asynchronous = asynchronous_of(work)
        self._target = target
        self._history = history
        self._sessions = sessions
        self._next = first_spare
        self._on_outcome = on_outcome
        self._scopes: dict[int, trio.CancelScope] = {}
        self.origin = 0.0
        """Where the plan's time zero lies, in Trio's time."""
        self.ok = 0
        self.failed = 0

    @property
    def unanswered(self) -> int:
        """How many requests are under way."""
        return len(self._scopes)

    async def visit(self, visit: Visit, *, until: float | None = None) -> None:
        """Make the requests of a visit, one after the other; ends its session.

        Args:
            visit: What to ask.
            until: Go round the requests until then, in Trio's time; once if None.
        """
        await trio.lowlevel.checkpoint()
        session = _Session(visit.session) if visit.session is not None and self._sessions else None
        intended = self.origin + visit.at
        for step, request in self._rounds(visit, until):
            if step:
                intended = trio.current_time() + request.think
            await trio.sleep_until(intended)
            await self._one(visit, step, request, session, intended)
        if session is not None and session.used:
            await self._end(session)

    def drop(self, visit: Visit) -> None:
        """Write down that a visit's requests were never sent."""
        intended = self._since_start(self.origin + visit.at)
        for request in visit.requests:
            self._history.record("client", "drop", id=request.index, phase=visit.phase, t_int=intended)

    def cancel(self, share: float, chance: Random) -> list[int]:
        """Cancel the callers of this share of the requests under way; return the numbers of these requests."""
        chosen = [index for index in sorted(self._scopes) if chance.random() < share]
        for index in chosen:
            self._scopes[index].cancel()
        return chosen

    def _rounds(self, visit: Visit, until: float | None) -> Iterator[tuple[int, PlannedRequest]]:
        yield from enumerate(visit.requests)
        step = len(visit.requests)
        while until is not None and trio.current_time() < until:
            again = visit.requests[step % len(visit.requests)]
            index, self._next = self._next, self._next + 1
            # Another request, so another nonce: a reply to the last round's must not pass for this one's.
            nonce = hashlib.sha256(f"{again.nonce}/{step}".encode()).hexdigest()[:16]
            yield step, attrs.evolve(again, index=index, nonce=nonce)
            step += 1

    async def _one(
        self, visit: Visit, step: int, request: PlannedRequest, session: _Session | None, intended: float
    ) -> None:
        operation = self._operations[request.operation]
        name = None if session is None or operation.alone else session.name
        args: dict[str, Any] = {
            **self._work.args(request, visit.session, step),
            "request": request.index,
            "nonce": request.nonce,
            "session": name,
            "service": request.service,
            "size": request.size,
        }
        self._history.record(
            "client",
            "invoke",
            id=request.index,
            visit=visit.requests[0].index,
            step=step,
            phase=visit.phase,
            measure=self._measured[visit.phase],
            session=name,
            operation=request.operation,
            nonce=request.nonce,
            t_int=self._since_start(intended),
            idempotent=operation.idempotent,
            timeout=operation.timeout,
            service=request.service,
            size=request.size,
            cancel_after=request.cancel_after,
            touches=self._work.touches(request.operation),
            asynchronous=request.operation in self._asynchronous,
            expect=self._work.expect(request, visit.session, step),
        )
        if session is not None:
            session.used = session.used or name is not None
        call = Call(
            command=request.operation,
            args=args,
            session=name,
            idempotent=operation.idempotent,
            timeout=operation.timeout,
        )
        lost = False
        with trio.CancelScope() as scope:
            if request.cancel_after is not None:
                scope.deadline = trio.current_time() + request.cancel_after
            self._scopes[request.index] = scope
            try:
                lost = await self._asked(request, call)
            finally:
                del self._scopes[request.index]
        if lost and session is not None and name == session.name:
            await self._renew(session)

    async def _asked(self, request: PlannedRequest, call: Call) -> bool:
        """Send a request and write down what came of it; return whether its session is lost."""
        try:
            reply = await self._target.call(call)
        except trio.Cancelled:
            self._outcome(request, "info", error="Cancelled", outcome="maybe_executed", cancelled=True)
            raise
        except Exception as exc:  # whatever a pool raises is its answer, and for the checks to judge
            outcome = getattr(exc, "outcome", None)
            self._outcome(
                request,
                _TYPES.get(str(outcome), "raised"),
                error=type(exc).__name__,
                outcome=None if outcome is None else str(outcome),
                message=str(exc)[:500],
                request_id=getattr(exc, "request_id", None),
                worker_id=getattr(exc, "worker_id", None),
                public=isinstance(exc, errors.TrioPoolError),
                chain=_chain(exc),
                group=isinstance(exc, BaseExceptionGroup),
            )
            # Not to be cut off here: what became of the session must get through.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return isinstance(exc, _SESSION_GONE)
        self._outcome(request, "ok", reply=shown(reply))
        return False

    def _outcome(self, request: PlannedRequest, kind: str, **fields: Any) -> None:
        self._history.record("client", kind, id=request.index, **fields)
        if kind == "ok":
            self.ok += 1
        else:
            self.failed += 1
        self._on_outcome(kind == "ok")

    async def _renew(self, session: _Session) -> None:
        lost = session.name
        await self._end(session)
        session.generation += 1
        session.used = False
        fields: dict[str, Any] = {"session": lost, "as": session.name}  # a keyword of Python's
        self._history.record("client", "renew", **fields)

    async def _end(self, session: _Session) -> None:
        try:
            await self._target.end_session(session.name)
        except errors.SessionNotFound:
            await trio.lowlevel.checkpoint()  # it never reached a worker, so there is nothing to end
        except errors.TrioPoolError as exc:
            self._history.record("client", "end_failed", session=session.name, error=type(exc).__name__)
            await trio.lowlevel.checkpoint()
        else:
            self._history.record("client", "ended", session=session.name)

    def _since_start(self, time: float) -> float:
        return round(time - self._history.start, 6)


def _chain(exc: BaseException) -> list[str]:
    """Return the class names of what an error was raised from, the nearest first."""
    names: list[str] = []
    cause = exc.__cause__
    while cause is not None and len(names) < 10:
        names.append(type(cause).__name__)
        cause = cause.__cause__
    return names
