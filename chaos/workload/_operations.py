"""The built-in operations: what a request does in a worker, so that its traces show every loss, doubling and mix-up.

Every operation writes the ledger before anything else, after its effect and before it returns, and its reply repeats
what it was asked. ``append`` and ``read`` work on a list that lives in the worker and belongs to a session; ``work``
takes time and ``echo`` bytes, and neither keeps anything. ``fetch`` is async: it takes time as ``work`` does, but
several run at once in one worker; `chaos.workload._async_app` has it.

Standard library only: workers of any pool import this.
"""

from __future__ import annotations

import hashlib
import os
import time

from . import _agent
from ._ledger import BEGIN, EFFECT, END, STOPPED, Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

LEDGER = "TRIO_POOL_CHAOS_LEDGER"
"""The variable that names the ledger's file; without it nothing is noted."""

OPERATIONS = ("append", "read", "work", "echo")
"""Those of every worker, which run one at a time."""

_open: dict[str, Ledger] = {}


class Execution:
    """One execution of a request, for async commands, of which several may be under way in one worker.

    It begins with this: the ledger has its beginning when the constructor returns. An async command then does its work,
    and calls `finish` for its reply, or `stop` where it was cancelled. One that does neither counts as begun and never
    ended, as of a worker that died.

    Args:
        operation: As for `perform`.
        args: As for `perform`.
    """

    def __init__(self, operation: str, args: Mapping[str, Any]) -> None:
        self._operation = operation
        self._args = args
        self._request, self._nonce = int(args["request"]), str(args["nonce"])
        self._session: str | None = args.get("session")
        self._ledger = open_ledger()
        self._number = 0
        if self._ledger is not None:
            self._number = self._ledger.begin(self._request, int(self._nonce, 16), self._session)
        _agent.step(BEGIN, self._request, operation)

    def finish(self, state: dict[str, Any] | None, done: Mapping[str, Any]) -> dict[str, Any]:
        """Have its effect, and return its reply.

        Args:
            state: As for `perform`.
            done: What joins the reply.
        """
        operation, args, nonce = self._operation, self._args, self._nonce
        reply: dict[str, Any] = {**done, "request": self._request, "nonce": nonce, "session": None, "pid": os.getpid()}
        if state is not None:
            # Named by whoever used it first: a state that is handed on to another session still says whose it was.
            reply["session"] = state.setdefault("session", self._session)
            if operation in ("append", "read"):
                items: list[str] = state.setdefault("items", [])
                if operation == "append":
                    items.append(nonce)
                reply["items"] = list(items)
        if operation in ("work", "fetch"):
            reply["digest"] = digest(nonce, int(args.get("size", 0)))
        elif operation == "echo":
            reply["payload"] = args["payload"]
        self._note(EFFECT)
        _agent.step(EFFECT, self._request, operation)
        self._note(END)
        _agent.step(END, self._request, operation)
        return reply

    def stop(self) -> None:
        """End it without effect: it was cancelled, or has failed."""
        self._note(STOPPED)

    def _note(self, step: int) -> None:
        if self._ledger is not None:
            self._ledger.note(step, self._request, int(self._nonce, 16), self._number, self._session)


def perform(
    operation: str,
    args: Mapping[str, Any],
    state: dict[str, Any] | None,
    job: Callable[[], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Carry out one request in a worker, and have the ledger tell of it: what a command of a workload does.

    The ledger has the beginning before anything happens, the effect once ``job`` has returned, and the end last; it
    survives the worker's SIGKILL, so that the checkers know what was executed, whatever the caller was told. Faults
    that kill a worker in the middle of a request strike within this call. If ``job`` raises, the error goes to the
    caller, and the ledger has that the execution was stopped.

    Args:
        operation: Its name. ``append`` and ``read`` keep a list of nonces in the state, which shows every loss,
            doubling and mix-up; ``work`` and ``fetch`` answer with a digest, ``echo`` with its payload. Any other name
            adds nothing.
        args: What the client sent: ``request`` (its number), ``nonce``, ``session`` (as the caller calls it, or None),
            ``service`` (seconds it is to take beside the job), ``size`` (bytes) and what `Work.args` added.
        state: The session's state in this worker, a dict that lives as long as the session; None for a request without
            session. The key ``session`` in it is the harness's, and so is ``items``.
        job: The work itself; what it returns joins the reply. None if there is none beside ``service``.

    Returns:
        The reply: ``request``, ``nonce``, ``session`` (whose state it was, by what the state itself says), ``pid``, and
        ``items``, ``digest`` or ``payload``, whatever the operation is about.
    """
    execution = Execution(operation, args)
    try:
        if args.get("service"):
            time.sleep(args["service"])
        done: Mapping[str, Any] = {} if job is None else job()
    except BaseException:  # whatever it is: who reads the ledger must not take it to go on
        execution.stop()
        raise
    return execution.finish(state, done)


def digest(nonce: str, size: int) -> str:
    """Return what ``work`` answers: nobody can have computed it but for this very request."""
    return hashlib.sha256(f"{nonce}:{size}".encode()).hexdigest()[:16]


def payload(nonce: str, size: int) -> bytes:
    """Return so many bytes that belong to this request alone."""
    block = hashlib.sha256(nonce.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def open_ledger() -> Ledger | None:
    """Return the ledger, open; None if there is none.

    To be called once the program is imported: a worker that has run out of descriptors later can still note what it
    does, and fails a request for want of one only where the request itself needs one.
    """
    path = os.environ.get(LEDGER)
    if path is None:
        return None
    if path not in _open:
        _open[path] = Ledger(path)
    return _open[path]
