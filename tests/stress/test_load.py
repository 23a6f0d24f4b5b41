"""The load profile of the testing strategy, on a real pool, judged by its own limits."""

from __future__ import annotations

import pytest

from chaos import LoadConfig, LoadRunner


@pytest.mark.load
@pytest.mark.slow
@pytest.mark.document("T-25", "F-060")
async def test_handles_specified_load_profile(pool_size: int) -> None:
    """100 users with 10 operations a second each for a minute: nearly all succeed, in time, and none fails."""
    config = LoadConfig(duration_seconds=60, concurrent_users=100, operations_per_second=10, pool_size=pool_size)
    results = await LoadRunner.run(config)
    # The one place where times gate a test: these limits are the strategy's, and a hundred times what it takes.
    # Latency counts from the intended times; the whole result, with what speaks against it, is the failure's message.
    assert results.success_rate > 0.99, str(results)
    assert results.p95_latency < 0.100, str(results)
    assert results.p99_latency < 0.500, str(results)
    assert results.errors == [], str(results)
    assert results.sent == 60_000, str(results)
