"""The testing strategy's own tests of the adapter, by their names there."""

from __future__ import annotations

import inspect

import pytest
from _stand_in_pool import DOUBLE, StandInPool

import trio_pool
from trio_pool import PythonPool

CALLBACKS = [
    ("create_program", (DOUBLE,)),
    ("execute_program", ("double", {"value": 2})),
    ("execute_program", ("double", {"value": 2}, {"timeout": 1.0})),
    ("list_programs", ()),
    ("get_program_info", ("double",)),
    ("delete_program", ("double",)),
    ("health_check", ()),
    ("get_stats", ()),
    ("supports_test_layer", ("production",)),
    ("get_test_capabilities", ()),
]
"""Each with arguments, in an order in which they can be called."""


@pytest.mark.document("F-040", "T-20")
async def test_implements_all_required_callbacks() -> None:
    """All ten can be called with as many arguments as the strategy says, and answer."""
    pool = StandInPool()
    adapter = PythonPool(pool)
    answers: dict[tuple[str, int], object] = {}
    for name, args in CALLBACKS:
        answer = getattr(adapter, name)(*args)
        answers[name, len(args)] = await answer if inspect.isawaitable(answer) else answer
    outputs = {"function": "app:double", "inputs": {"value": 2}}
    assert answers["create_program", 1] == "double"
    assert answers["execute_program", 2] == answers["execute_program", 3] == outputs
    assert answers["list_programs", 0] == ["double"]
    assert isinstance(answers["get_program_info", 1], dict)
    assert answers["delete_program", 1] is None
    assert answers["health_check", 0] is pool.health
    assert isinstance(answers["get_stats", 0], dict)
    assert answers["supports_test_layer", 1] is True
    assert isinstance(answers["get_test_capabilities", 0], dict)


@pytest.mark.document("F-041", "T-21")
def test_creates_bound_adapter_instance() -> None:
    """It knows its session, and has the methods, with as many arguments as the strategy says."""
    adapter = PythonPool(StandInPool()).session_adapter("test_user")
    assert isinstance(adapter, trio_pool.SessionAdapter)
    assert adapter.session_id == "test_user"
    for name, arguments in [
        ("create_program", 1),
        ("execute_program", 3),
        ("list_programs", 0),
        ("delete_program", 1),
        ("get_program_info", 1),
        ("get_stats", 0),
        ("health_check", 0),
    ]:
        inspect.signature(getattr(adapter, name)).bind(*range(arguments))


@pytest.mark.document("F-041", "T-22")
async def test_bound_adapter_maintains_session_context() -> None:
    """Every call of it that reaches the pool is made in its session, whichever method made it."""
    pool = StandInPool()
    adapter = PythonPool(pool).session_adapter("bound_test")
    await adapter.create_program(DOUBLE)
    await adapter.execute_program("double", {"value": 1})
    await adapter.execute_program("double", {"value": 1}, {"timeout": 1.0})
    # One that does not know the program looks it up first, in the session as well.
    await PythonPool(pool).session_adapter("bound_test").execute_program("double", {"value": 1})
    await adapter.list_programs()
    await adapter.get_program_info("double")
    await adapter.delete_program("double")
    assert [(call.session_id, call.command) for call in pool.calls] == [
        ("bound_test", command)
        for command in (
            "create_program",
            "execute_program",
            "execute_program",
            "get_program_info",
            "execute_program",
            "list_programs",
            "get_program_info",
            "delete_program",
        )
    ]
    assert adapter.get_stats()["session_id"] == "bound_test"
    assert await adapter.health_check() is pool.health
