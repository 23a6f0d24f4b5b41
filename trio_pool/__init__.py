"""Supervised, stateful Python workers in other processes, for Trio.

``trio_pool.open_pool()`` is where to begin. Names are resolved on first use, because a worker process imports this
package too and must not pay for Trio before it is ready.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import errors as errors
    from ._adapter import Field as Field
    from ._adapter import FieldType as FieldType
    from ._adapter import Layer as Layer
    from ._adapter import PythonPool as PythonPool
    from ._adapter import SessionAdapter as SessionAdapter
    from ._adapter import Signature as Signature
    from ._core._config import HealthPolicy as HealthPolicy
    from ._core._config import PoolConfig as PoolConfig
    from ._core._config import PoolOptions as PoolOptions
    from ._core._config import RetryPolicy as RetryPolicy
    from ._core._config import SessionPolicy as SessionPolicy
    from ._core._events import GaveUp as GaveUp
    from ._core._events import HealthMissed as HealthMissed
    from ._core._events import HookDisabled as HookDisabled
    from ._core._events import PoolEvent as PoolEvent
    from ._core._events import RequestDispatched as RequestDispatched
    from ._core._events import RequestFinished as RequestFinished
    from ._core._events import RequestRedispatched as RequestRedispatched
    from ._core._events import RequestResult as RequestResult
    from ._core._events import RequestRetried as RequestRetried
    from ._core._events import RestartScheduled as RestartScheduled
    from ._core._events import SessionBound as SessionBound
    from ._core._events import SessionForgotten as SessionForgotten
    from ._core._events import StaleReply as StaleReply
    from ._core._events import WorkerExited as WorkerExited
    from ._core._events import WorkerKilled as WorkerKilled
    from ._core._events import WorkerPromoted as WorkerPromoted
    from ._core._events import WorkerReady as WorkerReady
    from ._core._events import WorkerStarting as WorkerStarting
    from ._core._exits import Exit as Exit
    from ._core._exits import Exited as Exited
    from ._core._exits import Lost as Lost
    from ._core._exits import Signaled as Signaled
    from ._core._restart import Backoff as Backoff
    from ._core._restart import Jitter as Jitter
    from ._core._restart import Restart as Restart
    from ._core._restart import RestartPolicy as RestartPolicy
    from ._core._session_table import SessionInfo as SessionInfo
    from ._core._session_table import SessionStatus as SessionStatus
    from ._core._staff import WorkerRole as WorkerRole
    from ._core._worker_states import IllegalTransition as IllegalTransition
    from ._core._worker_states import WorkerStatus as WorkerStatus
    from ._pool import EventStream as EventStream
    from ._pool import HealthStatus as HealthStatus
    from ._pool import PoolHealth as PoolHealth
    from ._pool import PoolMetrics as PoolMetrics
    from ._pool import PoolSession as PoolSession
    from ._pool import PoolStatus as PoolStatus
    from ._pool import SessionPool as SessionPool
    from ._pool import WorkerInfo as WorkerInfo
    from ._pool import open_pool as open_pool
    from ._process._launcher import Launcher as Launcher
    from ._process._launcher import WorkerHandle as WorkerHandle
    from ._process._launcher import WorkerIdent as WorkerIdent
    from ._process._launcher import WorkerSpec as WorkerSpec
    from ._process._local import LocalLauncher as LocalLauncher
    from ._process._running import open_worker as open_worker
    from ._process._transport import Transport as Transport
    from ._process._worker import Checkin as Checkin
    from ._process._worker import Health as Health
    from ._process._worker import PoolWorker as PoolWorker
    from ._process._worker import Response as Response
    from ._supervision import AutoShutdown as AutoShutdown
    from ._supervision import Child as Child
    from ._supervision import ChildCounts as ChildCounts
    from ._supervision import ChildExited as ChildExited
    from ._supervision import ChildIgnored as ChildIgnored
    from ._supervision import ChildNode as ChildNode
    from ._supervision import ChildOverdue as ChildOverdue
    from ._supervision import ChildRestartScheduled as ChildRestartScheduled
    from ._supervision import ChildSpec as ChildSpec
    from ._supervision import ChildStarted as ChildStarted
    from ._supervision import ChildStartFailed as ChildStartFailed
    from ._supervision import ChildStarting as ChildStarting
    from ._supervision import ChildStatus as ChildStatus
    from ._supervision import ChildStopped as ChildStopped
    from ._supervision import ChildType as ChildType
    from ._supervision import CommandLine as CommandLine
    from ._supervision import DynamicSupervisor as DynamicSupervisor
    from ._supervision import Ending as Ending
    from ._supervision import HeldOpen as HeldOpen
    from ._supervision import IgnoreStart as IgnoreStart
    from ._supervision import PlannedExit as PlannedExit
    from ._supervision import RunningProcess as RunningProcess
    from ._supervision import StopOrder as StopOrder
    from ._supervision import Strategy as Strategy
    from ._supervision import Supervisor as Supervisor
    from ._supervision import SupervisorEvent as SupervisorEvent
    from ._supervision import SupervisorGaveUp as SupervisorGaveUp
    from ._supervision import SupervisorNode as SupervisorNode
    from ._supervision import SupervisorShutDown as SupervisorShutDown
    from ._supervision import SupervisorStopped as SupervisorStopped
    from ._supervision import dynamic_supervisor_spec as dynamic_supervisor_spec
    from ._supervision import open_dynamic_supervisor as open_dynamic_supervisor
    from ._supervision import open_supervisor as open_supervisor
    from ._supervision import supervisor_spec as supervisor_spec
    from .errors import BroadcastFailed as BroadcastFailed
    from .errors import ChildError as ChildError
    from .errors import CommandTimeout as CommandTimeout
    from .errors import FrameTooLarge as FrameTooLarge
    from .errors import InvalidArguments as InvalidArguments
    from .errors import Outcome as Outcome
    from .errors import PoisonRequest as PoisonRequest
    from .errors import PoolClosed as PoolClosed
    from .errors import PoolSaturated as PoolSaturated
    from .errors import PoolTimeout as PoolTimeout
    from .errors import ProcessFailed as ProcessFailed
    from .errors import ProgramNotFound as ProgramNotFound
    from .errors import ProtocolError as ProtocolError
    from .errors import RemoteError as RemoteError
    from .errors import RestartIntensityExceeded as RestartIntensityExceeded
    from .errors import SessionLimit as SessionLimit
    from .errors import SessionLost as SessionLost
    from .errors import SessionMismatch as SessionMismatch
    from .errors import SessionNotFound as SessionNotFound
    from .errors import TrioPoolError as TrioPoolError
    from .errors import UnknownCommand as UnknownCommand
    from .errors import Unserializable as Unserializable
    from .errors import WorkerCrashed as WorkerCrashed
    from .errors import WorkerError as WorkerError
    from .errors import WorkerInitFailed as WorkerInitFailed

    __version__: str
else:
    # Behind `else`, so that type checkers see only the imports above and reject a misspelt name.
    _HOMES = {
        "._adapter": "Field FieldType Layer PythonPool SessionAdapter Signature",
        "._core._config": "HealthPolicy PoolConfig PoolOptions RetryPolicy SessionPolicy",
        "._core._events": (
            "GaveUp HealthMissed HookDisabled PoolEvent RequestDispatched RequestFinished RequestRedispatched"
            " RequestResult RequestRetried RestartScheduled SessionBound SessionForgotten StaleReply WorkerExited"
            " WorkerKilled WorkerPromoted WorkerReady WorkerStarting"
        ),
        "._core._exits": "Exit Exited Lost Signaled",
        "._core._restart": "Backoff Jitter Restart RestartPolicy",
        "._core._session_table": "SessionInfo SessionStatus",
        "._core._staff": "WorkerRole",
        "._core._worker_states": "IllegalTransition WorkerStatus",
        "._pool": (
            "EventStream HealthStatus PoolHealth PoolMetrics PoolSession PoolStatus SessionPool WorkerInfo open_pool"
        ),
        "._process._launcher": "Launcher WorkerHandle WorkerIdent WorkerSpec",
        "._process._local": "LocalLauncher",
        "._process._transport": "Transport",
        "._process._running": "open_worker",
        "._process._worker": "Checkin Health PoolWorker Response",
        "._supervision": (
            "AutoShutdown Child ChildCounts ChildExited ChildIgnored ChildNode ChildOverdue ChildRestartScheduled"
            " ChildSpec ChildStartFailed ChildStarted ChildStarting ChildStatus ChildStopped ChildType CommandLine"
            " DynamicSupervisor Ending HeldOpen IgnoreStart PlannedExit RunningProcess StopOrder Strategy"
            " Supervisor SupervisorEvent SupervisorGaveUp SupervisorNode SupervisorShutDown SupervisorStopped"
            " dynamic_supervisor_spec open_dynamic_supervisor open_supervisor supervisor_spec"
        ),
        ".errors": (
            "BroadcastFailed ChildError CommandTimeout FrameTooLarge InvalidArguments Outcome PoisonRequest PoolClosed"
            " PoolSaturated PoolTimeout ProcessFailed ProgramNotFound ProtocolError RemoteError"
            " RestartIntensityExceeded SessionLimit SessionLost SessionMismatch SessionNotFound TrioPoolError"
            " UnknownCommand Unserializable"
            " WorkerCrashed WorkerError WorkerInitFailed"
        ),
    }
    _PUBLIC = {name: home for home, names in _HOMES.items() for name in names.split()}
    __all__ = sorted(_PUBLIC)

    def __getattr__(name: str) -> object:
        from importlib import import_module, metadata

        if name == "__version__":
            try:
                value = metadata.version("trio_pool")
            except metadata.PackageNotFoundError:
                value = "0+unknown"  # run from a source tree that was never installed
        elif name in ("errors", "bridge", "testing", "wire"):
            return import_module(f".{name}", __name__)
        elif name in _PUBLIC:
            value = getattr(import_module(_PUBLIC[name], __name__), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PUBLIC, "__version__"})
