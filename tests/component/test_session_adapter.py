"""The adapter bound to a session, over a stand-in pool: its routing, and that no signature outlives its program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from _stand_in_pool import DOUBLE, GREET, StandInPool
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool._adapter import PythonPool, Signature
from trio_pool.errors import InvalidArguments, ProgramNotFound, ProtocolError

if TYPE_CHECKING:
    import random

INPUTS: dict[str, dict[str, object]] = {"app:double": {"value": 0}, "app:greet": {"name": ""}}


@pytest.mark.document("F-041")
async def test_every_call_carries_the_bound_session() -> None:
    """All commands of a session adapter run in its session, with exactly the arguments the worker's commands take."""
    pool = StandInPool()
    adapter = PythonPool(pool).session_adapter("user_1")
    assert adapter.session_id == "user_1"
    await adapter.create_program(DOUBLE)
    await adapter.execute_program("double", {"value": 1})
    await adapter.list_programs()
    await adapter.get_program_info("double")
    await adapter.delete_program("double")
    assert {call.session_id for call in pool.calls} == {"user_1"}
    config = {**DOUBLE, "program_type": "python", "signature": Signature.parse(DOUBLE["signature"]).to_dict()}
    assert [(call.command, call.args) for call in pool.calls] == [
        ("create_program", {"config": config}),
        ("execute_program", {"program_id": "double", "inputs": {"value": 1}}),
        ("list_programs", {}),
        ("get_program_info", {"program_id": "double"}),
        ("delete_program", {"program_id": "double"}),
    ]


async def test_sessions_see_their_own_programs_only() -> None:
    """Sessions may use one id for different programs; one without programs lists none; the unbound form is apart."""
    programs = PythonPool(StandInPool())
    one, other, empty = (programs.session_adapter(name) for name in ("one", "other", "empty"))
    await one.create_program(DOUBLE)
    await other.create_program({**GREET, "id": "double"})
    assert (await one.execute_program("double", {"value": 1}))["function"] == "app:double"
    assert (await other.execute_program("double", {"name": ""}))["function"] == "app:greet"
    assert await empty.list_programs() == []
    assert await programs.list_programs() == []
    with pytest.raises(ProgramNotFound):
        await empty.execute_program("double", {"value": 1})
    with pytest.raises(ProgramNotFound):
        await programs.execute_program("double", {"value": 1})


@pytest.mark.parametrize("session_id", ["", None, 5, b"s", "x" * 256, "\ud800"])
def test_a_session_id_that_is_none_is_refused(session_id: Any) -> None:
    """Session ids are judged as the pool judges them, when the adapter is made."""
    with pytest.raises(ValueError, match="session id"):
        PythonPool(StandInPool()).session_adapter(session_id)


async def test_an_unknown_signature_is_looked_up_once() -> None:
    """A program created past the adapter is looked up before its inputs are checked, and known from then on."""
    pool = StandInPool()
    config = {**DOUBLE, "signature": Signature.parse(DOUBLE["signature"]).to_dict()}
    pool.sessions["s"] = {"double": config}
    programs = PythonPool(pool)
    with pytest.raises(InvalidArguments, match="missing input 'value'"):
        await programs.session_adapter("s").execute_program("double", {})
    assert pool.commands == ["get_program_info"]
    for _ in range(2):
        await programs.session_adapter("s").execute_program("double", {"value": 1}, {"timeout": 7})
    assert pool.commands == ["get_program_info", "execute_program", "execute_program"]


async def test_the_look_up_shares_the_callers_budget(autojump_clock: trio.testing.MockClock) -> None:
    """Looking a signature up is charged to the limits of the execution it serves."""
    pool = StandInPool(lambda: 1.0)
    pool.sessions["s"] = {"double": {**DOUBLE, "signature": Signature.parse(DOUBLE["signature"]).to_dict()}}
    await PythonPool(pool).session_adapter("s").execute_program("double", {"value": 1}, {"timeout": 10})
    assert [(call.command, call.timeout) for call in pool.calls] == [("get_program_info", 10), ("execute_program", 7)]


async def test_a_signature_that_cannot_be_read_is_not_the_callers_fault() -> None:
    """A malformed signature from a worker is `ProtocolError`, not `InvalidArguments`."""
    pool = StandInPool()
    pool.replies["get_program_info"] = {"program_id": "p", "signature": {"inputs": 5}}
    with pytest.raises(ProtocolError, match="signature of program 'p' is malformed"):
        await PythonPool(pool).session_adapter("s").execute_program("p", {})


async def test_a_session_that_ended_takes_its_signatures_along() -> None:
    """After the session ended its program is not found; another of its id is checked by its own signature."""
    pool = StandInPool()
    adapter = PythonPool(pool).session_adapter("s")
    await adapter.create_program(DOUBLE)
    del pool.sessions["s"]
    with pytest.raises(ProgramNotFound):
        await adapter.execute_program("double", {"value": 1})
    # Nothing is remembered of it any more: inputs that fitted nothing would be refused without asking.
    with pytest.raises(ProgramNotFound):
        await adapter.execute_program("double", {"nothing": 1})
    await adapter.create_program({**GREET, "id": "double"})
    assert (await adapter.execute_program("double", {"name": ""}))["function"] == "app:greet"


async def test_a_signature_the_worker_contradicts_is_forgotten() -> None:
    """A change made past the adapter costs at most the call that meets it."""
    pool = StandInPool()
    adapter = PythonPool(pool).session_adapter("s")
    await adapter.create_program(DOUBLE)
    pool.sessions["s"]["double"] = {**GREET, "signature": Signature.parse(GREET["signature"]).to_dict()}
    with pytest.raises(InvalidArguments):
        await adapter.execute_program("double", {"value": 1})
    assert (await adapter.execute_program("double", {"name": ""}))["function"] == "app:greet"


async def test_a_cancelled_change_leaves_nothing_to_rely_on(autojump_clock: trio.testing.MockClock) -> None:
    """When it is unknown whether a program was created or deleted, the next execution asks the worker."""
    pool = StandInPool(lambda: 1.0)
    adapter = PythonPool(pool).session_adapter("s")
    with trio.move_on_after(2.5):  # the worker has created it; the reply has not come
        await adapter.create_program(DOUBLE)
    assert (await adapter.execute_program("double", {"value": 1}))["function"] == "app:double"
    with trio.move_on_after(2.5):
        await adapter.delete_program("double")
    with pytest.raises(ProgramNotFound):
        await adapter.execute_program("double", {"nothing": 1})


OPERATIONS = st.sampled_from(["double", "greet", "delete", "execute"])


@settings(deadline=None, max_examples=150)
@given(st.lists(OPERATIONS, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_no_order_of_changes_and_replies_leaves_a_stale_signature(operations: list[str], rng: random.Random) -> None:
    """Tasks create, delete and execute one id at once, in any order of sending, running and resuming; when all have
    ended, inputs are checked against the program that exists, and if none does, `ProgramNotFound` says so."""
    # Few distinct delays, so that many tasks wake in the same step and resume in Trio's arbitrary order.
    pool = StandInPool(lambda: rng.choice([0, 0, 1, 2]))
    programs = PythonPool(pool)

    async def operate(operation: str) -> None:
        adapter = programs.session_adapter("s")
        try:
            if operation == "delete":
                await adapter.delete_program("p")
            elif operation == "execute":
                await adapter.execute_program("p", {"value": 0})
            else:
                await adapter.create_program({**(DOUBLE if operation == "double" else GREET), "id": "p"})
        except (ProgramNotFound, InvalidArguments):
            pass

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for operation in operations:
                nursery.start_soon(operate, operation)
        adapter = programs.session_adapter("s")
        truth = pool.sessions.get("s", {}).get("p")
        if truth is None:
            with pytest.raises(ProgramNotFound):
                await adapter.execute_program("p", {"nothing": 1})
        else:
            outputs = await adapter.execute_program("p", INPUTS[truth["function"]])
            assert outputs["function"] == truth["function"]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
