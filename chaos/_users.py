"""The users: sessions that index a package each, as an application would write them.

A user creates a program in the session, executes it again and again, and ends the session. When a worker dies under the
session, the user does what the contract says: end the session and create the program anew. No request is repeated: what
failed stays failed and is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from trio_pool import errors

from ._stdlib_job import index_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_pool import PythonPool, SessionPool

    from ._history import History
    from ._plan import Plan, PlannedRequest
    from ._stdlib_job import Catalogue

PROGRAM: Mapping[str, object] = {
    "program_type": "python",
    "function": f"{index_files.__module__}:{index_files.__qualname__}",
    "signature": {
        "inputs": [
            {"name": "nonce", "type": "str"},
            {"name": "directory", "type": "str"},
            {"name": "files", "type": "list"},
            {"name": "ledger", "type": "str"},
        ],
        "outputs": [
            {"name": "nonce", "type": "str"},
            {"name": "modules", "type": "int"},
            {"name": "classes", "type": "int"},
            {"name": "functions", "type": "int"},
        ],
    },
}

# After these the session's state may be gone; the user does not wait to be told `SessionLost` by the next call.
_SESSION_GONE = (errors.SessionLost, errors.SessionNotFound, errors.WorkerError, errors.CommandTimeout)


class _Visit:
    """One session of one user."""

    def __init__(self, session_id: str, remaining: int) -> None:
        self.session_id = session_id
        self.remaining = remaining
        self.opening = trio.Lock()
        self.generation = 0
        self.open = False


class Users:
    """Performs planned requests on a pool and records one outcome for each.

    Args:
        plan: Whose requests come.
        catalogue: What the sessions are about.
        pool: The pool under test.
        adapter: The programs on that pool.
        history: Where invocations and outcomes go.
        ledger: Path of the file in which the worker notes what it executes.
    """

    def __init__(
        self, plan: Plan, catalogue: Catalogue, pool: SessionPool, adapter: PythonPool, history: History, ledger: str
    ) -> None:
        self._catalogue = catalogue
        self._pool = pool
        self._adapter = adapter
        self._history = history
        self._ledger = ledger
        self.offset = 0.0
        """Where the plan's time zero lies in the history's time; set before the first request."""
        self.ok = 0
        self.failed = 0
        self.latencies: list[float] = []
        self._unanswered: dict[str, set[int]] = {}
        remaining: dict[int, int] = {}
        users: dict[int, int] = {}
        for request in plan.requests:
            remaining[request.session] = remaining.get(request.session, 0) + 1
            users[request.session] = request.user
        self._visits = {
            session: _Visit(f"user-{users[session]:03}/visit-{session:03}", count)
            for session, count in remaining.items()
        }

    async def perform(self, request: PlannedRequest) -> None:
        """Send one request; whatever comes of it becomes its outcome, and only cancellation leaves here."""
        visit = self._visits[request.session]
        chunk = self._catalogue.chunk(request.session, request.step)
        self._unanswered.setdefault(visit.session_id, set()).add(request.index)
        self._history.record(
            "client",
            "invoke",
            id=request.index,
            session=visit.session_id,
            nonce=request.nonce,
            t_int=self._intended(request),
            expect=list(chunk.expected),
            package=self._catalogue.package(request.session),
        )
        generation = visit.generation
        try:
            generation = await self._opened(visit)
            outputs = await self._adapter.session_adapter(visit.session_id).execute_program(
                f"index-{visit.session_id}-{generation}",
                {
                    "nonce": request.nonce,
                    "directory": chunk.directory,
                    "files": chunk.files,
                    "ledger": self._ledger,
                },
            )
        except trio.Cancelled:
            self._outcome(request, "info", error="Cancelled", outcome="maybe_executed")
            raise
        except errors.TrioPoolError as exc:
            type_ = {"not_executed": "fail", "maybe_executed": "info", "executed": "raised"}[exc.outcome]
            self._outcome(
                request,
                type_,
                error=type(exc).__name__,
                outcome=str(exc.outcome),
                message=str(exc),
                request_id=exc.request_id,
            )
            # Another task may have opened the session anew since this one looked: its work must not be undone.
            if isinstance(exc, _SESSION_GONE) and visit.generation == generation:
                visit.open = False
        except Exception as exc:  # anything untyped is a finding about the pool, not a reason to stop
            self._outcome(request, "raised", error=type(exc).__name__, outcome=None, message=str(exc))
        else:
            self.ok += 1
            value = [outputs.get(name) for name in ("modules", "classes", "functions")]
            self._outcome(request, "ok", value=value, nonce=outputs.get("nonce"))
        await self._leave(visit)

    def drop(self, request: PlannedRequest) -> None:
        """Note that a request was never sent, because too many were unanswered."""
        visit = self._visits[request.session]
        intended = self._intended(request)
        self._history.record("client", "drop", id=request.index, session=visit.session_id, t_int=intended)
        visit.remaining -= 1

    def index_of(self, session_id: str) -> int | None:
        """Return the plan's index of the session's unanswered request, or None unless there is exactly one.

        The pool has numbers of its own and tells only the session, so that of several none can be picked.
        """
        unanswered = self._unanswered.get(session_id, ())
        return next(iter(unanswered)) if len(unanswered) == 1 else None

    def _intended(self, request: PlannedRequest) -> float:
        return round(self.offset + request.at, 6)

    def _outcome(self, request: PlannedRequest, type_: str, **fields: Any) -> None:
        entry = self._history.record("client", type_, id=request.index, **fields)
        self._unanswered[self._visits[request.session].session_id].discard(request.index)
        if type_ == "ok":
            self.latencies.append(entry["t"] - self._intended(request))
        else:
            self.failed += 1

    async def _opened(self, visit: _Visit) -> int:
        """Have the session's program exist; return which generation of the session it belongs to."""
        async with visit.opening:
            if not visit.open:
                if visit.generation:
                    await self._end(visit)
                visit.generation += 1
                wanted = f"index-{visit.session_id}-{visit.generation}"
                adapter = self._adapter.session_adapter(visit.session_id)
                program = await adapter.create_program({"id": wanted, **PROGRAM})
                if program != wanted:
                    self._history.record("client", "crossed", session=visit.session_id, wanted=wanted, got=program)
                visit.open = True
            return visit.generation

    async def _leave(self, visit: _Visit) -> None:
        """End the session after its last request."""
        visit.remaining -= 1
        if visit.remaining or not visit.generation:
            await trio.lowlevel.checkpoint()
        else:
            await self._end(visit)
            self._history.record("client", "ended", session=visit.session_id)

    async def _end(self, visit: _Visit) -> None:
        try:
            await self._pool.end_session(visit.session_id)
        except errors.SessionNotFound:
            await trio.lowlevel.checkpoint()  # it never reached a worker, so there is nothing to end
        except errors.TrioPoolError as exc:
            self._history.record("client", "end_failed", session=visit.session_id, error=type(exc).__name__)
            await trio.lowlevel.checkpoint()
