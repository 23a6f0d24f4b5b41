"""Layers: an adapter is made for what its pool's launcher serves, and refuses to be made for anything else."""

from __future__ import annotations

from typing import Any

import pytest
from _stand_in_pool import StandInPool

import trio_pool
from chaos import ChaosLauncher
from trio_pool import Layer, PoolConfig, PythonPool
from trio_pool.testing import MockPort

REAL = ["system", "stress", "production"]


def over(launcher: object | None) -> StandInPool:
    """Return a pool whose workers this launcher would start."""
    pool = StandInPool()
    pool.config = PoolConfig(launcher=launcher)
    return pool


class Odd(MockPort):
    """A launcher that serves what there is not."""

    test_layers = frozenset(("unit", "moon"))


@pytest.mark.document("F-042")
@pytest.mark.parametrize(
    ("launcher", "served"),
    [
        (None, REAL),
        (trio_pool.LocalLauncher(), REAL),
        (MockPort(), ["unit", "component"]),
        (ChaosLauncher(), REAL),
        (ChaosLauncher(MockPort()), ["unit", "component"]),
    ],
    ids=["default", "local", "mock", "chaos over local", "chaos over mock"],
)
def test_a_pool_serves_the_layers_of_its_launcher_and_refuses_the_others(launcher: Any, served: list[str]) -> None:
    """What is not supported is refused in the constructor, at once: there is no way around it."""
    pool = over(launcher)
    for layer in Layer:
        assert PythonPool(pool).supports_test_layer(layer) is (layer in served)
        if layer in served:
            adapter = PythonPool(pool, layer=str(layer))
            assert adapter.supports_test_layer(layer)
            assert adapter.get_stats()["layer"] == layer
            assert adapter.session_adapter("s").supports_test_layer(str(layer))
            assert adapter.session_adapter("s").get_stats()["layer"] == layer
        else:
            with pytest.raises(ValueError, match=f"layer '{layer}' is not served .* serves {', '.join(served)}"):
                PythonPool(pool, layer=layer)
            assert not PythonPool(pool).session_adapter("s").supports_test_layer(layer)


@pytest.mark.document("F-042")
@pytest.mark.parametrize("layer", ["moon", "", None, 3, "UNIT"])
def test_a_layer_that_there_is_not_is_refused(layer: Any) -> None:
    """Neither question nor constructor takes it for an unsupported one."""
    adapter = PythonPool(over(None))
    with pytest.raises(ValueError, match=r"unknown layer .* known are unit, component, system, stress, production"):
        adapter.supports_test_layer(layer)
    if layer is not None:
        with pytest.raises(ValueError, match="unknown layer"):
            PythonPool(over(None), layer=layer)


def test_a_launcher_that_serves_what_there_is_not_is_found_out() -> None:
    """A misspelt layer of a launcher's would otherwise refuse for ever."""
    with pytest.raises(ValueError, match="unknown layer 'moon'"):
        PythonPool(over(Odd())).supports_test_layer("unit")


@pytest.mark.document("F-043")
def test_capabilities_follow_from_what_runs_the_workers() -> None:
    """Real workers execute, and promise no equal outputs; a double is for tests alone."""
    real = PythonPool(over(None)).get_test_capabilities()
    assert real == {
        "test_layers": REAL,
        "python_execution": True,
        "protocol_validation": True,
        "deterministic_outputs": False,
        "performance": "optimized",
        "requires_environment": ["python>=3.11", "msgpack"],
        "concurrent_execution": True,
        "session_isolation": True,
        "production_ready": True,
    }
    double = PythonPool(over(MockPort())).session_adapter("s").get_test_capabilities()
    assert double == {
        **real,
        "test_layers": ["unit", "component"],
        "python_execution": False,
        "deterministic_outputs": True,
        "performance": "fast",
        "requires_environment": [],
        "production_ready": False,
    }


@pytest.mark.document("F-042", "F-043")
async def test_what_is_said_of_a_real_pool_is_true_of_it() -> None:
    """Over a pool in memory an adapter for unit tests works; over one worker nothing is concurrent."""
    async with trio_pool.open_pool(launcher=MockPort(), size=1) as pool:
        adapter = PythonPool(pool, layer="unit")
        assert adapter.get_test_capabilities()["concurrent_execution"] is False
        assert await adapter.session_adapter("s").list_programs() == []
        with pytest.raises(ValueError, match="layer 'production' is not served"):
            PythonPool(pool, layer="production")
