"""The throw-away process on which `chaos.faults._doctor` tries faults. Run as a script; it has an agent like a worker,
waits for signals, and takes SIGUSR1 for a request that begins.

It goes when its standard input closes, which the kernel does for whatever ends the process that holds it.
"""

from __future__ import annotations

import os
import signal
import sys

from chaos.workload import _agent
from chaos.workload._ledger import BEGIN

OPERATION = "examination"


def _begin(*_: object) -> None:
    _agent.step(BEGIN, 1, OPERATION)


def main() -> None:
    """Say ready, and wait for the end."""
    signal.signal(signal.SIGUSR1, _begin)
    _agent.at_start()
    os.write(sys.stderr.fileno(), b"ready\n")
    while os.read(0, 1):
        pass


if __name__ == "__main__":
    main()
