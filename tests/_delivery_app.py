"""The application of the tests of delivery: its commands write a ledger of every time they were entered."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from _apps import note, notes

from trio_pool.bridge import Bridge, Session

bridge = Bridge()


@bridge.command
def work(ledger: str, token: str, deaths: int = 0) -> str:
    """Enter the token; end this process if it has been entered no more than that many times, else return it."""
    note(ledger, token)
    if notes(Path(ledger)).count(token) <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return token


@bridge.command
def work_in(session: Session, ledger: str, token: str, deaths: int = 0) -> str:
    """Do the same, keeping the tokens in the session; return all it has."""
    session.state.setdefault("tokens", []).append(token)
    work(ledger, token, deaths)
    return " ".join(session.state["tokens"])


@bridge.command
def work_long(ledger: str, token: str, seconds: float = 60.0) -> str:
    """Enter the token, then occupy the worker."""
    note(ledger, token)
    time.sleep(seconds)
    return token


@bridge.command
def work_wrongly(ledger: str, token: str, how: str) -> object:
    """Enter the token, then fail in one of several ways."""
    note(ledger, token)
    if how == "raise":
        raise LookupError("no such row,\nnor any other")
    if how == "exit":
        sys.exit(3)
    if how == "garbage":
        for entry in os.listdir("/proc/self/fd"):
            if os.path.exists(f"/proc/self/fd/{entry}") and os.readlink(f"/proc/self/fd/{entry}").startswith("socket:"):
                os.write(int(entry), b"\x00\x00\x00\x01z")
        time.sleep(60)
    return bytes(100_000) if how == "large" else object()


def work_as_function(ledger: str, token: str, deaths: int) -> str:
    """For `run_sync`: the same as `work`."""
    return work(ledger, token, deaths)
