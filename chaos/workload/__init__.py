"""What requests are, and what workers do; nothing here imports Trio by itself, for workers import it.

For a workload of your own, write a `Work` for the client's side and an application for the workers', whose commands go
through `perform`, so that they are noted in the ledger, and whose module calls `join_run` at its end.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # By whole names: relative ones would make the modules attributes here, which modules beside them import as such.
    from chaos.workload._joining import join_run as join_run
    from chaos.workload._operations import Execution as Execution
    from chaos.workload._operations import perform as perform
    from chaos.workload._work import Work as Work
else:
    # Behind `else`, so that type checkers see only the imports above and reject a misspelt name.
    from .._lazy import lazy

    __all__, __getattr__, __dir__ = lazy(
        __name__,
        {
            "._joining": "join_run",
            "._operations": "Execution perform",
            "._work": "Work",
        },
    )
