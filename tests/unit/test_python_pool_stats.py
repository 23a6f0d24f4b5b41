"""The adapter's statistics: plain values of what the pool says."""

from __future__ import annotations

import json

import pytest
from _stand_in_pool import DOUBLE, GREET, StandInPool

from trio_pool import PythonPool


@pytest.mark.document("F-045")
async def test_stats_say_what_the_pool_does_in_plain_values() -> None:
    """Adapter, layer, the pool's status with its metrics, sessions and programs; any encoder takes it."""
    pool = StandInPool()
    adapter = PythonPool(pool, layer="stress")
    await adapter.create_program(DOUBLE)
    await adapter.create_program(GREET)
    await adapter.session_adapter("one").create_program(DOUBLE)
    await adapter.session_adapter("other").list_programs()
    stats = adapter.get_stats()
    assert json.loads(json.dumps(stats)) == stats
    status = stats.pop("pool_status")
    assert stats == {
        "adapter_type": "python_pool",
        "layer": "stress",
        "python_execution": True,
        "concurrent_sessions": 2,
        "programs": 2,
    }
    assert (status["size"], status["ready"], status["sessions"], status["uptime"]) == (2, 2, 2, 1.5)
    assert (status["metrics"]["total_operations"], status["metrics"]["ok"]) == (2, 2)
    assert PythonPool(pool).get_stats()["layer"] is None


@pytest.mark.document("F-041", "F-045")
async def test_a_bound_adapters_stats_have_its_session() -> None:
    """None until the session is used, then what the pool knows of it, and of no other."""
    pool = StandInPool()
    adapter = PythonPool(pool).session_adapter("one")
    assert adapter.get_stats()["session_stats"] is None
    await adapter.list_programs()
    await adapter.list_programs()
    await PythonPool(pool).session_adapter("other").list_programs()
    stats = adapter.get_stats()
    assert json.loads(json.dumps(stats)) == stats
    session = stats["session_stats"]
    assert (stats["session_id"], session["session_id"], session["operations"]) == ("one", "one", 2)
    assert session["status"] == "bound"
    assert stats["concurrent_sessions"] == 2
    assert "programs" not in stats
