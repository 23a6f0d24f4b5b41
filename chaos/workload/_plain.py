"""The built-in operations as plain functions: what a pool without applications of ours runs in its workers.

Nothing happens on import, for the application imports this too, to name the functions.

Standard library only: workers of any pool import this.
"""

from __future__ import annotations

import os
import signal
import time

from . import _operations
from ._agent import at_start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


MIB = 2**20


def perform(operation: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out one request, without a session.

    Args:
        operation: One of `chaos.workload._operations.OPERATIONS`; or ``exhaust`` or ``die``, by which pools are
            compared.
        args: As `chaos.workload._operations.perform` takes them; for ``exhaust`` also ``headroom`` and ``budget``.
    """
    ready()
    if operation == "exhaust":
        return _operations.perform(operation, args, None, lambda: exhaust(args["headroom"], args["budget"]))
    if operation == "die":
        return _operations.perform(operation, args, None, die)
    return _operations.perform(operation, args, None)


def exhaust(headroom: int, budget: int) -> dict[str, int]:
    """Limit the memory of this process, for good, and take more than that.

    Args:
        headroom: What it may take beyond what it has, in bytes.
        budget: Where to stop if the limit does not.

    Raises:
        MemoryError: The limit was reached.
    """
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        has = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + headroom, resource.getrlimit(resource.RLIMIT_AS)[1]))
    taken: list[bytes] = []
    try:
        while len(taken) * MIB < budget:
            taken.append(bytes(MIB))
        return {"taken": len(taken) * MIB}
    finally:
        taken.clear()  # the error that is on its way out would keep them


def die() -> dict[str, int]:
    """Be a request that no worker survives."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()  # the signal may be on its way to another thread
    return {}


def hold(seconds: float) -> int:
    """Keep a worker busy for so long, note nothing, and return its process id: a pool is warmed up by this."""
    ready()
    time.sleep(seconds)
    return os.getpid()


def ready() -> None:
    """Open the ledger and take start orders, in every worker once; an initializer where a pool takes one."""
    _operations.open_ledger()
    at_start()


def forked() -> None:
    """Have the signals mean in a forked worker what they mean in a new process; then as `ready`.

    What the application does at SIGTERM is not for its workers to do: a pool that ends them by it would wait for ever.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ready()
