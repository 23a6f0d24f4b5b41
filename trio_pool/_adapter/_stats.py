"""What an adapter knows of its pool's use, in plain values that any log or metrics library takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from ._layers import Layer, capabilities

if TYPE_CHECKING:
    from ._port import ProgramPool


def pool_stats(pool: ProgramPool, layer: Layer | None) -> dict[str, Any]:
    """Return the part of the statistics that all adapters of a pool have."""
    status = pool.get_pool_status()
    plain = attrs.asdict(status)
    for worker in plain["workers"]:
        worker["status"] = str(worker["status"])
    plain["metrics"]["total_operations"] = status.metrics.total_operations
    able = capabilities(pool)
    return {
        "adapter_type": "python_pool",
        "layer": None if layer is None else str(layer),
        "pool_status": {**plain, "workers": list(plain["workers"])},
        "python_execution": able["python_execution"],
        "concurrent_sessions": status.sessions,
    }


def session_stats(pool: ProgramPool, session_id: str) -> dict[str, Any] | None:
    """Return what the pool knows of a session, None if it knows none of that id."""
    info = pool.get_sessions().get(session_id)
    return None if info is None else {**attrs.asdict(info), "status": str(info.status)}
