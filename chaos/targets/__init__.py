"""Pools to put under load and faults: ours, and others by a small adapter each.

For a kind of pool of your own, write a `Target`, and name it as ``python:package.module:attribute`` where a target is
asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # By whole names: relative ones would make the modules attributes here, which modules beside them import as such.
    from chaos.targets._target import Call as Call
    from chaos.targets._target import OpenTarget as OpenTarget
    from chaos.targets._target import Setup as Setup
    from chaos.targets._target import Target as Target
else:
    # Behind `else`, so that type checkers see only the imports above and reject a misspelt name.
    from .._lazy import lazy

    __all__, __getattr__, __dir__ = lazy(
        __name__,
        {
            "._target": "Call OpenTarget Setup Target",
        },
    )
