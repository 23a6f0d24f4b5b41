"""The built-in operations: what a request does in a worker, so that its traces show every loss, doubling and mix-up.

Every operation writes the ledger before anything else, after its effect and before it returns, and its reply repeats
what it was asked. ``append`` and ``read`` work on a list that lives in the worker and belongs to a session; ``work``
takes time and ``echo`` bytes, and neither keeps anything.

Standard library only: workers of any pool import this.
"""

from __future__ import annotations

import hashlib
import os
import time

from . import _agent
from ._ledger import BEGIN, EFFECT, END, Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

LEDGER = "TRIO_POOL_CHAOS_LEDGER"
"""The variable that names the ledger's file; without it nothing is noted."""

OPERATIONS = ("append", "read", "work", "echo")

_open: dict[str, Ledger] = {}


def perform(
    operation: str,
    args: Mapping[str, Any],
    state: dict[str, Any] | None,
    job: Callable[[], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Carry out one request.

    Args:
        operation: One of `OPERATIONS`.
        args: ``request`` (its number), ``nonce``, ``session`` (as the caller calls it, or None), ``service`` (seconds),
            ``size`` and, for ``echo``, ``payload``.
        state: The session's state in this worker; None for a request without session.
        job: What to do between the beginning and the effect; what it returns joins the reply.

    Returns:
        ``request``, ``nonce``, ``session`` (whose state it was, by what the state itself says), ``pid``, and
        ``items``, ``digest`` or ``payload``, whatever the operation is about.
    """
    ledger = open_ledger()
    request, nonce = int(args["request"]), str(args["nonce"])
    session: str | None = args.get("session")
    execution = 0
    if ledger is not None:
        execution = ledger.begin(request, int(nonce, 16), session)
    _agent.step(BEGIN, request, operation)
    if args.get("service"):
        time.sleep(args["service"])
    done: Mapping[str, Any] = {} if job is None else job()
    reply: dict[str, Any] = {**done, "request": request, "nonce": nonce, "session": None, "pid": os.getpid()}
    if state is not None:
        # Named by whoever used it first: a state that is handed on to another session still says whose it was.
        reply["session"] = state.setdefault("session", session)
        items: list[str] = state.setdefault("items", [])
        if operation == "append":
            items.append(nonce)
        if operation in ("append", "read"):
            reply["items"] = list(items)
    if operation == "work":
        reply["digest"] = digest(nonce, int(args.get("size", 0)))
    elif operation == "echo":
        reply["payload"] = args["payload"]
    if ledger is not None:
        ledger.note(EFFECT, request, int(nonce, 16), execution, session)
    _agent.step(EFFECT, request, operation)
    if ledger is not None:
        ledger.note(END, request, int(nonce, 16), execution, session)
    return reply


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
