"""Fault injection and honest load for trio_pool: a seeded plan, real faults, a history, a verdict.

``python -m chaos --help`` is the way in; `ChaosMonkey` and `ChaosLauncher` serve tests of your own. Names are
resolved on first use, because worker processes import the demo's job from this package and must not pay for Trio.

Another distribution ships a package called ``chaos`` too: do not install both in one environment.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._launcher import ChaosLauncher as ChaosLauncher
    from ._monkey import ChaosMonkey as ChaosMonkey
    from ._monkey import Fault as Fault
    from ._monkey import FaultMissed as FaultMissed
    from ._monkey import FaultUnavailable as FaultUnavailable
else:
    # Behind `else`, so that type checkers see only the imports above and reject a misspelt name.
    _HOMES = {
        "ChaosLauncher": "._launcher",
        "ChaosMonkey": "._monkey",
        "Fault": "._monkey",
        "FaultMissed": "._monkey",
        "FaultUnavailable": "._monkey",
    }
    __all__ = sorted(_HOMES)

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name], __name__), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
