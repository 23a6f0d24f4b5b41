"""Supervision: keeps any async functions running, with or without processes behind them."""

from __future__ import annotations

from .._core._strategy import AutoShutdown as AutoShutdown
from .._core._strategy import ChildStatus as ChildStatus
from .._core._strategy import ChildType as ChildType
from .._core._strategy import Ending as Ending
from .._core._strategy import StopOrder as StopOrder
from .._core._strategy import Strategy as Strategy
from ._child import Child as Child
from ._command_line import CommandLine as CommandLine
from ._command_line import RunningProcess as RunningProcess
from ._dynamic import DynamicSupervisor as DynamicSupervisor
from ._dynamic import open_dynamic_supervisor as open_dynamic_supervisor
from ._events import ChildExited as ChildExited
from ._events import ChildIgnored as ChildIgnored
from ._events import ChildOverdue as ChildOverdue
from ._events import ChildRestartScheduled as ChildRestartScheduled
from ._events import ChildStarted as ChildStarted
from ._events import ChildStartFailed as ChildStartFailed
from ._events import ChildStarting as ChildStarting
from ._events import ChildStopped as ChildStopped
from ._events import SupervisorEvent as SupervisorEvent
from ._events import SupervisorGaveUp as SupervisorGaveUp
from ._events import SupervisorShutDown as SupervisorShutDown
from ._events import SupervisorStopped as SupervisorStopped
from ._held_open import HeldOpen as HeldOpen
from ._nested import dynamic_supervisor_spec as dynamic_supervisor_spec
from ._nested import supervisor_spec as supervisor_spec
from ._render import ChildNode as ChildNode
from ._render import SupervisorNode as SupervisorNode
from ._spec import ChildSpec as ChildSpec
from ._spec import IgnoreStart as IgnoreStart
from ._spec import PlannedExit as PlannedExit
from ._supervisor import ChildCounts as ChildCounts
from ._supervisor import Supervisor as Supervisor
from ._supervisor import open_supervisor as open_supervisor
