"""An application whose commands enter what they run into a ledger that outlives them."""

from __future__ import annotations

import os

from trio_pool.bridge import Bridge, Session

LEDGER = "TRIO_POOL_TEST_LEDGER"
"""The environment variable that names the ledger."""

bridge = Bridge()


@bridge.command
def work(token: int) -> int:
    """Enter a token and return it."""
    # One write to a file opened for appending is whole or not there, whatever becomes of its writer.
    descriptor = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, b"%d\n" % token)
    os.close(descriptor)
    return token


@bridge.command
def use(session: Session, token: int) -> int:
    """Do the same in a session."""
    session.state["token"] = token
    return work(token)
