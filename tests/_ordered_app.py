"""The smallest application with an agent: its one command has an effect on a ledger, in steps."""

from __future__ import annotations

import os
import threading
import time

from chaos.workload import _agent
from chaos.workload._ledger import BEGIN, EFFECT, END, Ledger
from trio_pool.bridge import Bridge

LEDGER = "TRIO_POOL_TEST_LEDGER"

bridge = Bridge()
_ledgers: list[Ledger] = []
_pauses = [0.0]


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


@bridge.command
def take(size: int) -> int:
    """Take memory and give it back."""
    return len(bytearray(size))


@bridge.command
def open_files(count: int) -> int:
    """Open so many files at once, and close them."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(count))
        return len(opened)
    finally:
        for descriptor in opened:
            os.close(descriptor)


@bridge.command
def start_thread() -> int:
    """Start a thread that stays; return how many there are."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return threading.active_count()


@bridge.command
def start_clock(seconds: float) -> None:
    """Start a thread that notes the longest time between two of its steps; occupy the worker for so long."""
    threading.Thread(target=_tick, daemon=True).start()
    time.sleep(seconds)


@bridge.command
def longest_pause() -> float:
    """Return that time."""
    return _pauses[0]


def _tick() -> None:
    before = time.monotonic()
    while True:
        time.sleep(0.005)
        now = time.monotonic()
        _pauses[0] = max(_pauses[0], now - before)
        before = now


_agent.at_start()
