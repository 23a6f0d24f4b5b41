"""The smallest application with an agent: its one command has an effect on a ledger, in steps."""

from __future__ import annotations

import os
import time

from chaos.workload import _agent
from chaos.workload._ledger import BEGIN, EFFECT, END, Ledger
from trio_pool.bridge import Bridge

LEDGER = "TRIO_POOL_TEST_LEDGER"

bridge = Bridge()
_ledgers: list[Ledger] = []


@bridge.command
def work(request: int, operation: str = "work", seconds: float = 0.0) -> int:
    """Begin, have the effect and end, with an entry for each; return the process id."""
    if not _ledgers:
        _ledgers.append(Ledger(os.environ[LEDGER]))
    (ledger,) = _ledgers
    execution = ledger.begin(request, 0, None)
    _agent.step(BEGIN, request, operation)
    time.sleep(seconds)
    ledger.note(EFFECT, request, 0, execution, None)
    _agent.step(EFFECT, request, operation)
    ledger.note(END, request, 0, execution, None)
    return os.getpid()


_agent.at_start()
