"""The events: frozen values that say when and where, and compare by what they say."""

from __future__ import annotations

import attrs
import pytest

from trio_pool._core import _events as events
from trio_pool._core._events import PoolEvent, RequestResult, WorkerEvent
from trio_pool._core._exits import Signaled

CLASSES: list[type[PoolEvent]] = [
    value for value in vars(events).values() if isinstance(value, type) and issubclass(value, PoolEvent)
]

VALUES: dict[str, object] = {
    "at": 1.5,
    "pool": "pool",
    "slot": 0,
    "worker_id": "pool-0",
    "incarnation": 3,
    "pid": 17,
    "startup": 0.1,
    "reason": "timeout",
    "exit": Signaled(9),
    "planned": False,
    "misses": 1,
    "wire_id": 8,
    "delay": 0.2,
    "error": ValueError("why"),
    "request_id": 5,
    "session_id": None,
    "command": "ping",
    "result": RequestResult.OK,
    "lost": True,
    "retries": 1,
}


def make(cls: type[PoolEvent]) -> PoolEvent:
    return cls(**{field.name: VALUES[field.name] for field in attrs.fields(cls)})  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("cls", CLASSES)
def test_an_event_is_a_frozen_value(cls: type[PoolEvent]) -> None:
    """Observers may keep events: they never change and are equal if they say the same."""
    event = make(cls)
    assert event == make(cls)
    assert hash(event) == hash(make(cls))
    assert event != attrs.evolve(event, at=9.0)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.at = 2.0  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("cls", CLASSES)
def test_every_event_says_when_and_in_which_pool(cls: type[PoolEvent]) -> None:
    """``at`` and ``pool`` are on each, and those of a worker name its slot, id and incarnation."""
    event = make(cls)
    assert (event.at, event.pool) == (1.5, "pool")
    if isinstance(event, WorkerEvent):
        assert (event.slot, event.worker_id, event.incarnation) == (0, "pool-0", 3)


def test_results_are_what_the_metrics_count() -> None:
    """The five outcomes of a request are a closed set of names."""
    assert set(RequestResult) == {"ok", "failed", "timed_out", "cancelled", "rejected"}
