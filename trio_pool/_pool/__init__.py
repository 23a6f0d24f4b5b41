"""The pool: requests, sessions and leases over supervised workers."""

from __future__ import annotations

from ._observers import EventStream as EventStream
from ._open import open_pool as open_pool
from ._pool import SessionPool as SessionPool
from ._session import PoolSession as PoolSession
from ._status import HealthStatus as HealthStatus
from ._status import PoolHealth as PoolHealth
from ._status import PoolMetrics as PoolMetrics
from ._status import PoolStatus as PoolStatus
from ._status import WorkerInfo as WorkerInfo
