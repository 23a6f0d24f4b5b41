"""Scenarios and plans: what is to happen, as data. Imports neither Trio nor the pool's machinery.

A scenario says what is to happen to a pool, without chance: its phases and their load, the faults and when they strike
whom, how the pool is known to be well, and what service callers must get. With a seed it becomes a `Plan`. All times
are in seconds, all rates a second, all sizes in bytes. What each class needs, `chaos.make_plan` checks as a whole: it
says all that is wrong at once.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    # By whole names: relative ones would make the modules attributes here, which modules beside them import as such.
    from chaos.scenario._application_faults import AppFdExhaustion as AppFdExhaustion
    from chaos.scenario._application_faults import AppKill as AppKill
    from chaos.scenario._application_faults import AppStall as AppStall
    from chaos.scenario._application_faults import AppStop as AppStop
    from chaos.scenario._application_faults import MemoryPressure as MemoryPressure
    from chaos.scenario._distribution import Distribution as Distribution
    from chaos.scenario._distribution import Shape as Shape
    from chaos.scenario._expressions import Comparison as Comparison
    from chaos.scenario._expressions import Expression as Expression
    from chaos.scenario._expressions import Metric as Metric
    from chaos.scenario._expressions import parse_expression as parse_expression
    from chaos.scenario._fault import Capability as Capability
    from chaos.scenario._fault import Death as Death
    from chaos.scenario._fault import Direction as Direction
    from chaos.scenario._fault import Expectation as Expectation
    from chaos.scenario._fault import FaultSpec as FaultSpec
    from chaos.scenario._fault import FramePart as FramePart
    from chaos.scenario._fault import Selector as Selector
    from chaos.scenario._fault import Trigger as Trigger
    from chaos.scenario._fault import Window as Window
    from chaos.scenario._fault import WorkerState as WorkerState
    from chaos.scenario._model import Arrivals as Arrivals
    from chaos.scenario._model import Checks as Checks
    from chaos.scenario._model import ClosedLoad as ClosedLoad
    from chaos.scenario._model import Hold as Hold
    from chaos.scenario._model import Limits as Limits
    from chaos.scenario._model import LoadModel as LoadModel
    from chaos.scenario._model import NoLoad as NoLoad
    from chaos.scenario._model import Objective as Objective
    from chaos.scenario._model import OpenLoad as OpenLoad
    from chaos.scenario._model import Operation as Operation
    from chaos.scenario._model import PartlyOpenLoad as PartlyOpenLoad
    from chaos.scenario._model import Phase as Phase
    from chaos.scenario._model import ReplayLoad as ReplayLoad
    from chaos.scenario._model import Scenario as Scenario
    from chaos.scenario._model import SteadyState as SteadyState
    from chaos.scenario._model import Workload as Workload
    from chaos.scenario._plan import Plan as Plan
    from chaos.scenario._plan import PlannedRequest as PlannedRequest
    from chaos.scenario._plan import Strike as Strike
    from chaos.scenario._plan import Visit as Visit
    from chaos.scenario._problems import Problem as Problem
    from chaos.scenario._problems import ScenarioError as ScenarioError
    from chaos.scenario._process_faults import BriefFreeze as BriefFreeze
    from chaos.scenario._process_faults import CancelStorm as CancelStorm
    from chaos.scenario._process_faults import CpuStarvation as CpuStarvation
    from chaos.scenario._process_faults import CrashLoop as CrashLoop
    from chaos.scenario._process_faults import CrashOnStart as CrashOnStart
    from chaos.scenario._process_faults import FdExhaustion as FdExhaustion
    from chaos.scenario._process_faults import FdLimit as FdLimit
    from chaos.scenario._process_faults import Freeze as Freeze
    from chaos.scenario._process_faults import GilHog as GilHog
    from chaos.scenario._process_faults import Grandchild as Grandchild
    from chaos.scenario._process_faults import IgnoreSigterm as IgnoreSigterm
    from chaos.scenario._process_faults import Kill as Kill
    from chaos.scenario._process_faults import MemoryGrowth as MemoryGrowth
    from chaos.scenario._process_faults import MemoryKind as MemoryKind
    from chaos.scenario._process_faults import MemoryLimit as MemoryLimit
    from chaos.scenario._process_faults import NeverReady as NeverReady
    from chaos.scenario._process_faults import Poison as Poison
    from chaos.scenario._process_faults import SlowStart as SlowStart
    from chaos.scenario._process_faults import StderrFlood as StderrFlood
    from chaos.scenario._process_faults import StdoutNoise as StdoutNoise
    from chaos.scenario._wire_faults import Bandwidth as Bandwidth
    from chaos.scenario._wire_faults import Coalesce as Coalesce
    from chaos.scenario._wire_faults import Corrupt as Corrupt
    from chaos.scenario._wire_faults import Drop as Drop
    from chaos.scenario._wire_faults import Duplicate as Duplicate
    from chaos.scenario._wire_faults import Latency as Latency
    from chaos.scenario._wire_faults import Reorder as Reorder
    from chaos.scenario._wire_faults import Slice as Slice
    from chaos.scenario._wire_faults import Stall as Stall
    from chaos.scenario._wire_faults import Truncate as Truncate
    from chaos.scenario._wire_faults import Unsolicited as Unsolicited
else:
    # Behind `else`, so that type checkers see only the imports above and reject a misspelt name.
    from .._lazy import lazy

    __all__, __getattr__, __dir__ = lazy(
        __name__,
        {
            "._application_faults": "AppFdExhaustion AppKill AppStall AppStop MemoryPressure",
            "._distribution": "Distribution Shape",
            "._expressions": "Comparison Expression Metric parse_expression",
            "._fault": (
                "Capability Death Direction Expectation FaultSpec FramePart Selector Trigger Window WorkerState"
            ),
            "._model": (
                "Arrivals Checks ClosedLoad Hold Limits LoadModel NoLoad Objective OpenLoad Operation "
                "PartlyOpenLoad Phase ReplayLoad Scenario SteadyState Workload"
            ),
            "._plan": "Plan PlannedRequest Strike Visit",
            "._problems": "Problem ScenarioError",
            "._process_faults": (
                "BriefFreeze CancelStorm CpuStarvation CrashLoop CrashOnStart FdExhaustion FdLimit Freeze "
                "GilHog Grandchild IgnoreSigterm Kill MemoryGrowth MemoryKind MemoryLimit NeverReady Poison "
                "SlowStart StderrFlood StdoutNoise"
            ),
            "._wire_faults": (
                "Bandwidth Coalesce Corrupt Drop Duplicate Latency Reorder Slice Stall Truncate Unsolicited"
            ),
        },
    )
