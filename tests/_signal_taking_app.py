"""An application that installs a handler for SIGUSR1 of its own at import, and has interruptible commands."""

from __future__ import annotations

import signal

from _contract_cancel_app import plain, together

__all__ = ["plain", "together"]


def ignore(*_: object) -> None:
    """Do nothing."""


signal.signal(signal.SIGUSR1, ignore)
