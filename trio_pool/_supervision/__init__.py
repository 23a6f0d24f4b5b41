"""Supervision: keeps any async functions running, with or without processes behind them."""

from __future__ import annotations

from ._child import Child as Child
from ._child import ChildStatus as ChildStatus
from ._events import ChildExited as ChildExited
from ._events import ChildOverdue as ChildOverdue
from ._events import ChildRestartScheduled as ChildRestartScheduled
from ._events import ChildStarted as ChildStarted
from ._events import ChildStopped as ChildStopped
from ._events import SupervisorEvent as SupervisorEvent
from ._events import SupervisorGaveUp as SupervisorGaveUp
from ._spec import ChildSpec as ChildSpec
from ._spec import PlannedExit as PlannedExit
from ._spec import Strategy as Strategy
from ._supervisor import ChildCounts as ChildCounts
from ._supervisor import Supervisor as Supervisor
from ._supervisor import open_supervisor as open_supervisor
