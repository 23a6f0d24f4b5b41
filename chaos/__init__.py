"""Fault injection and honest load for trio_pool: a seeded plan, real faults, a history, a verdict.

``python -m chaos --help`` is the way in; `ChaosMonkey`, `ChaosLauncher` and `LoadRunner` serve tests of your own. Names
are resolved on first use, because worker processes import the demo's job from this package and must not pay for Trio.

Another distribution ships a package called ``chaos`` too: do not install both in one environment.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._fault import Fault as Fault
    from ._fault import FaultKind as FaultKind
    from ._fault import FaultMissed as FaultMissed
    from ._fault import FaultUnavailable as FaultUnavailable
    from ._garble import Corruption as Corruption
    from ._launcher import ChaosLauncher as ChaosLauncher
    from ._load_config import LoadConfig as LoadConfig
    from ._load_result import LoadError as LoadError
    from ._load_result import LoadResult as LoadResult
    from ._load_runner import LoadRunner as LoadRunner
    from ._monkey import ChaosMonkey as ChaosMonkey
else:
    # Behind `else`, so that type checkers see only the imports above and reject a misspelt name.
    _HOMES = {
        "ChaosLauncher": "._launcher",
        "ChaosMonkey": "._monkey",
        "Corruption": "._garble",
        "Fault": "._fault",
        "FaultKind": "._fault",
        "FaultMissed": "._fault",
        "FaultUnavailable": "._fault",
        "LoadConfig": "._load_config",
        "LoadError": "._load_result",
        "LoadResult": "._load_result",
        "LoadRunner": "._load_runner",
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
