"""Layers of tests, and what an adapter is fit for: which follows from the launcher its pool starts workers with.

A launcher says which layers it can serve by an attribute ``test_layers``; one without starts real workers. A double of
them has no business in production, and real processes none in a unit test.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._port import ProgramPool


class Layer(StrEnum):
    """What an adapter is used for.

    .. versionadded:: 0.1
    """

    UNIT = "unit"
    """Fast tests of one part, without worker processes."""
    COMPONENT = "component"
    """Tests of parts together, over doubles of the worker processes."""
    SYSTEM = "system"
    """Tests of the whole, with real worker processes."""
    STRESS = "stress"
    """Load and faults, on real worker processes."""
    PRODUCTION = "production"
    """The real thing."""


_OF_REAL_WORKERS: Final = frozenset((Layer.SYSTEM, Layer.STRESS, Layer.PRODUCTION))


def to_layer(value: object) -> Layer:
    """Return a layer.

    Raises:
        ValueError: There is none of that name.
    """
    try:
        return Layer(value)  # type: ignore[arg-type]  # what is no str is no layer's value either
    except ValueError:
        # The enum's own error says less.
        raise ValueError(f"unknown layer {value!r:.80}; known are {', '.join(Layer)}") from None


def supported_layers(pool: ProgramPool) -> frozenset[Layer]:
    """Return the layers a pool can serve.

    Raises:
        ValueError: Its launcher names a layer that there is not.
    """
    declared: Iterable[object] = getattr(pool.config.launcher, "test_layers", _OF_REAL_WORKERS)
    return frozenset(to_layer(layer) for layer in declared)


def capabilities(pool: ProgramPool) -> dict[str, Any]:
    """Return what a pool's adapter can do, in plain values."""
    layers = supported_layers(pool)
    real = bool(layers & _OF_REAL_WORKERS)
    return {
        "test_layers": in_order(layers),
        "python_execution": real,
        "protocol_validation": True,  # doubles too are spoken to in the real bytes
        "deterministic_outputs": not real,
        "performance": "optimized" if real else "fast",
        "requires_environment": ["python>=3.11", "msgpack"] if real else [],
        "concurrent_execution": pool.get_pool_status().size > 1,
        "session_isolation": True,
        "production_ready": Layer.PRODUCTION in layers,
    }


def in_order(layers: frozenset[Layer]) -> list[str]:
    """Return layers from the narrowest test to the real thing, as plain str."""
    return [str(layer) for layer in Layer if layer in layers]
