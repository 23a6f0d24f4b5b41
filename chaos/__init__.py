"""Fault injection and honest load for trio_pool: a seeded plan, real faults, a history, a verdict.

``python -m chaos --help`` is the way in. From Python, `read_scenario`, `make_plan`, `run` and `analyze` are its steps;
`chaos.scenario` has what a scenario is built of, `chaos.results` what a run comes to, `chaos.workload` what workers of
your own need, and `chaos.targets` what a pool of your own kind does. `ChaosMonkey`, `ChaosLauncher` and `LoadRunner`
serve tests of your own pool. Names are resolved on first use, because worker processes import from this package and
must not pay for Trio.

Another distribution ships a package called ``chaos`` too: do not install both in one environment.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # By whole names: relative ones would make the modules attributes here, which modules beside them import as such.
    from chaos._experiment import analyze as analyze
    from chaos._experiment import make_plan as make_plan
    from chaos._experiment import read_plan as read_plan
    from chaos._fault import Fault as Fault
    from chaos._fault import FaultKind as FaultKind
    from chaos._fault import FaultMissed as FaultMissed
    from chaos._fault import FaultUnavailable as FaultUnavailable
    from chaos._garble import Corruption as Corruption
    from chaos._launcher import ChaosLauncher as ChaosLauncher
    from chaos._load_config import LoadConfig as LoadConfig
    from chaos._load_result import LoadError as LoadError
    from chaos._load_result import LoadResult as LoadResult
    from chaos._load_runner import LoadRunner as LoadRunner
    from chaos._monkey import ChaosMonkey as ChaosMonkey
    from chaos._output import CannotWrite as CannotWrite
    from chaos._run import HarnessError as HarnessError
    from chaos._run import Run as Run
    from chaos._run import run as run
    from chaos.evidence._records import NoEvidence as NoEvidence
    from chaos.reporting._reports import Format as Format
    from chaos.reporting._reports import Reports as Reports
    from chaos.scenario._shipped import read_scenario as read_scenario
    from chaos.scenario._shipped import shipped_scenarios as shipped_scenarios
else:
    # Behind `else`, so that type checkers see only the imports above and reject a misspelt name.
    from ._lazy import lazy

    __all__, __getattr__, __dir__ = lazy(
        __name__,
        {
            "._experiment": "analyze make_plan read_plan",
            "._fault": "Fault FaultKind FaultMissed FaultUnavailable",
            "._garble": "Corruption",
            "._launcher": "ChaosLauncher",
            "._load_config": "LoadConfig",
            "._load_result": "LoadError LoadResult",
            "._load_runner": "LoadRunner",
            "._monkey": "ChaosMonkey",
            "._output": "CannotWrite",
            "._run": "HarnessError Run run",
            ".evidence._records": "NoEvidence",
            ".reporting._reports": "Format Reports",
            ".scenario._shipped": "read_scenario shipped_scenarios",
        },
    )
