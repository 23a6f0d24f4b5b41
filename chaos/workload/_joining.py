"""How a worker takes part in a run of the harness."""

from __future__ import annotations

from ._agent import at_start
from ._operations import open_ledger


def join_run() -> None:
    """Open the ledger, and obey the faults that act inside a worker.

    To be called at the end of the module that workers import, in the main thread. Faults such as a slow start or a
    crash on start happen within this call, so it may take long, or end the process. Outside of a run of the harness it
    does nothing, and called again it does nothing more; a program may keep the call for good.
    """
    open_ledger()
    at_start()
