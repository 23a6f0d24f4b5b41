"""Programs over the real pool: real functions, real workers, and what a worker's death costs them."""

from __future__ import annotations

import os
import re
import signal
import statistics
import textwrap
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_pool
from trio_pool import PythonPool
from trio_pool.errors import (
    CommandTimeout,
    InvalidArguments,
    PoolClosed,
    ProgramNotFound,
    RemoteError,
    SessionLost,
    WorkerCrashed,
)

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "trio_pool_test_programs"
SOURCE = '''
"""Functions for programs; importable by workers because they inherit the application's path."""
import os
import time


def double(value):
    return value * 2


def divide(dividend, divisor):
    return {"quotient": dividend // divisor, "remainder": dividend % divisor}


def same(value):
    return value


def hang():
    time.sleep(3600)


def die():
    os._exit(3)
'''
DOUBLE = {"id": "double", "function": f"{MODULE}:double", "signature": "value: int -> value: int"}
DIVIDE = {
    "id": "divide",
    "function": f"{MODULE}:divide",
    "signature": "dividend: int, divisor: int -> quotient: int, remainder: int",
}
SAME: dict[str, object] = {"id": "same", "function": f"{MODULE}:same", "signature": ["value"]}
PID = {"id": "pid", "function": "os:getpid", "signature": "-> pid: int"}
HANG = {"id": "hang", "function": f"{MODULE}:hang", "signature": "-> nothing"}
DIE = {"id": "die", "function": f"{MODULE}:die", "signature": "-> nothing"}


@pytest.fixture(autouse=True)
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of functions that workers can import."""
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("bound", [False, True])
async def test_the_life_of_a_program_with_a_real_worker(bound: bool) -> None:
    """Create, list, look at, execute, delete, and create anew under the same id, on a real worker."""
    async with trio_pool.open_pool(size=1) as pool:
        programs = PythonPool(pool)
        adapter = programs.session_adapter("s") if bound else programs
        assert await adapter.list_programs() == []
        for config in (DOUBLE, DIVIDE, PID):
            assert await adapter.create_program(config) == config["id"]
        assert await adapter.list_programs() == ["double", "divide", "pid"]
        assert await adapter.execute_program("double", {"value": 21}) == {"value": 42}
        assert await adapter.execute_program("divide", {"dividend": 9, "divisor": 5}) == {"quotient": 1, "remainder": 4}
        (worker,) = pool.get_pool_status().workers
        assert await adapter.execute_program("pid", {}) == {"pid": worker.pid}
        info = await adapter.get_program_info("double")
        assert info["program_id"] == "double"
        assert info["function"] == DOUBLE["function"]
        assert info["signature"]["inputs"] == [{"name": "value", "type": "int", "description": ""}]
        assert info["execution_count"] == 1
        assert info["last_executed"] >= info["created_at"]
        with pytest.raises(InvalidArguments):
            await adapter.create_program(DOUBLE)
        await adapter.delete_program("double")
        assert await adapter.list_programs() == ["divide", "pid"]
        with pytest.raises(ProgramNotFound):
            await adapter.execute_program("double", {"value": 1})
        with pytest.raises(ProgramNotFound):
            await adapter.delete_program("double")
        await adapter.create_program({**PID, "id": "double"})
        assert await adapter.execute_program("double", {}) == {"pid": worker.pid}
        assert (await adapter.health_check()).status == "healthy"


@pytest.mark.parametrize("bound", [False, True])
async def test_functions_of_the_standard_library_are_programs(bound: bool) -> None:
    """Any importable function that takes its inputs by name will do, and an id is made if none is given."""
    async with trio_pool.open_pool(size=1) as pool:
        programs = PythonPool(pool)
        adapter = programs.session_adapter("s") if bound else programs
        mean = await adapter.create_program({"function": "statistics:fmean", "signature": "data: list -> mean: float"})
        shorten = await adapter.create_program(
            {
                "function": "textwrap:shorten",
                "signature": {"inputs": ["text: str", {"name": "width", "type": "int"}], "outputs": ["text"]},
            }
        )
        data = [3, 1.5, 8]
        assert await adapter.execute_program(mean, {"data": data}) == {"mean": statistics.fmean(data)}
        text = "a supervised process pool for Trio"
        assert await adapter.execute_program(shorten, {"text": text, "width": 20}) == {
            "text": textwrap.shorten(text, width=20)
        }


@pytest.mark.parametrize("bound", [False, True])
async def test_falsy_values_make_the_whole_journey(bound: bool) -> None:
    """A falsy input reaches the function, and a falsy result comes back, as they are."""
    async with trio_pool.open_pool(size=1) as pool:
        programs = PythonPool(pool)
        adapter = programs.session_adapter("s") if bound else programs
        await adapter.create_program(SAME)
        values: list[Any] = [0, "", False, [], {}, 0.0, None, b""]
        for value in values:
            result = (await adapter.execute_program("same", {"value": value}))["result"]
            assert result == value
            assert type(result) is type(value)


@pytest.mark.parametrize("bound", [False, True])
async def test_what_only_the_worker_can_refuse(bound: bool) -> None:
    """A function that cannot be imported is `InvalidArguments`; one that raises, `RemoteError`; the worker lives."""
    async with trio_pool.open_pool(size=1) as pool:
        programs = PythonPool(pool)
        adapter = programs.session_adapter("s") if bound else programs
        before = [worker.pid for worker in pool.get_pool_status().workers]
        for function in ("no_such_module_anywhere:f", f"{MODULE}:no_such_function", f"{MODULE}:SOURCE.x"):
            # Bound, the worker imports it when it is created; unbound, when it is first executed.
            config = {"id": "bad", "function": function, "signature": "-> y"}
            if not bound:
                await adapter.create_program(config)
            call = partial(adapter.create_program, config) if bound else partial(adapter.execute_program, "bad", {})
            with pytest.raises(InvalidArguments, match=re.escape(function)):
                await call()
            if not bound:
                await adapter.delete_program("bad")
        await adapter.create_program(DIVIDE)
        with pytest.raises(RemoteError) as caught:
            await adapter.execute_program("divide", {"dividend": 1, "divisor": 0})
        assert caught.value.type_name == "ZeroDivisionError"
        assert MODULE in caught.value.remote_traceback
        # Two outputs are promised and one value is returned.
        await adapter.create_program({"id": "wrong", "function": f"{MODULE}:same", "signature": "value -> a, b"})
        with pytest.raises(RemoteError) as caught:
            await adapter.execute_program("wrong", {"value": 1})
        assert caught.value.type_name == "TypeError"
        assert [worker.pid for worker in pool.get_pool_status().workers] == before


async def test_sessions_see_their_own_programs_only() -> None:
    """Two sessions use one id for different programs on the same workers; a session without programs lists none."""
    async with trio_pool.open_pool(size=2) as pool:
        programs = PythonPool(pool)
        one, other, empty = (programs.session_adapter(name) for name in ("one", "other", "empty"))
        await one.create_program(DOUBLE)
        await other.create_program({**SAME, "id": "double"})
        assert await one.execute_program("double", {"value": 4}) == {"value": 8}
        assert await other.execute_program("double", {"value": 4}) == {"result": 4}
        await one.create_program(PID)
        assert await one.list_programs() == ["double", "pid"]
        assert await other.list_programs() == ["double"]
        assert await empty.list_programs() == []
        assert await programs.list_programs() == []
        await pool.end_session("one")
        assert await one.list_programs() == []
        with pytest.raises(ProgramNotFound):
            await one.execute_program("double", {"value": 4})
        assert await other.list_programs() == ["double"]


async def test_ten_sessions_on_four_workers_do_not_interfere() -> None:
    """Each of ten sessions creates a program, runs it five times and ends; every result is its own."""
    async with trio_pool.open_pool(size=4) as pool:
        programs = PythonPool(pool)
        results: dict[int, list[object]] = {}

        async def use(index: int) -> None:
            adapter = programs.session_adapter(f"concurrent_{index}")
            name = await adapter.create_program({key: DOUBLE[key] for key in ("function", "signature")})
            values = [await adapter.execute_program(name, {"value": 100 * index + turn}) for turn in range(5)]
            results[index] = [outputs["value"] for outputs in values]
            await pool.end_session(adapter.session_id)

        async with trio.open_nursery() as nursery:
            for index in range(10):
                nursery.start_soon(use, index)
        assert results == {index: [2 * (100 * index + turn) for turn in range(5)] for index in range(10)}
        assert not pool.get_sessions()


async def test_a_programs_signature_is_looked_up_when_another_created_it() -> None:
    """A program created by a bare command is checked by the signature its worker has."""
    async with trio_pool.open_pool(size=1) as pool:
        fields = [{"name": "value", "type": "int", "description": ""}]
        config = {"id": "p", "function": DOUBLE["function"], "signature": {"inputs": fields, "outputs": fields}}
        await pool.execute_in_session("s", "create_program", {"config": config})
        adapter = PythonPool(pool).session_adapter("s")
        with pytest.raises(InvalidArguments, match="input 'value' must be int, not str"):
            await adapter.execute_program("p", {"value": "4"})
        assert await adapter.execute_program("p", {"value": 4}) == {"value": 8}


async def test_no_workers_death_loses_an_unbound_program() -> None:
    """Every worker is killed, again and again; the adapter lists the same programs, and each still runs."""
    async with trio_pool.open_pool(size=2, restart={"max_restarts": float("inf")}) as pool:
        programs = PythonPool(pool)
        await programs.create_program(DOUBLE)
        await programs.create_program(PID)
        seen: set[int] = set()
        for turn in range(3):
            pids = await ready_pids(pool, without=seen)
            seen |= pids
            assert await programs.execute_program("double", {"value": turn}) == {"value": 2 * turn}
            assert (await programs.execute_program("pid", {}))["pid"] in pids
            assert await programs.list_programs() == ["double", "pid"]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        await ready_pids(pool, without=seen)
        assert await programs.execute_program("double", {"value": 5}) == {"value": 10}


async def test_a_program_that_kills_its_worker_costs_itself_only() -> None:
    """A program that ends its worker fails `WorkerCrashed`; the others run on the next."""
    async with trio_pool.open_pool(size=1) as pool:
        programs = PythonPool(pool)
        await programs.create_program(DIE)
        await programs.create_program(DOUBLE)
        with pytest.raises(WorkerCrashed):
            await programs.execute_program("die", {})
        assert await programs.execute_program("double", {"value": 3}) == {"value": 6}
        assert await programs.list_programs() == ["die", "double"]


async def test_a_workers_death_loses_its_sessions_programs_aloud() -> None:
    """A session whose worker died is `SessionLost` to its adapter until it is ended; then it starts afresh."""
    async with trio_pool.open_pool(size=1) as pool:
        adapter = PythonPool(pool).session_adapter("s")
        await adapter.create_program(DIE)
        with pytest.raises(WorkerCrashed):
            await adapter.execute_program("die", {})
        for _ in range(2):
            with pytest.raises(SessionLost):
                await adapter.list_programs()
            with pytest.raises(SessionLost):
                await adapter.execute_program("die", {})
        await pool.end_session("s")
        assert await adapter.list_programs() == []
        await adapter.create_program({**DOUBLE, "id": "die"})
        assert await adapter.execute_program("die", {"value": 1}) == {"value": 2}


@pytest.mark.parametrize("bound", [False, True])
async def test_a_timeout_ends_the_program_and_not_the_adapter(bound: bool) -> None:
    """A program over its time is `CommandTimeout`, its worker is replaced, and the adapter goes on."""
    async with trio_pool.open_pool(size=1, abandon_grace=0.05) as pool:
        programs = PythonPool(pool)
        adapter = programs.session_adapter("s") if bound else programs
        await adapter.create_program(HANG)
        with pytest.raises(CommandTimeout):
            await adapter.execute_program("hang", {}, {"timeout": 0.2})
        await programs.create_program(DOUBLE)
        assert await programs.execute_program("double", {"value": 1}) == {"value": 2}


async def test_tasks_that_create_delete_and_execute_one_id_agree_with_the_worker() -> None:
    """After any interleaving of changes to one id in one session, executions follow the program that exists."""
    async with trio_pool.open_pool(size=2) as pool:
        programs = PythonPool(pool)
        dedent = {"id": "p", "function": "textwrap:dedent", "signature": "text -> text"}
        configs = {"double": {**DOUBLE, "id": "p"}, "dedent": dedent}

        async def churn(kind: str) -> None:
            adapter = programs.session_adapter("s")
            for _ in range(20):
                try:
                    await adapter.create_program(configs[kind])
                    await adapter.execute_program("p", {"value": 1} if kind == "double" else {"text": "x"})
                    await adapter.delete_program("p")
                except (InvalidArguments, ProgramNotFound):
                    continue

        async with trio.open_nursery() as nursery:
            for kind in ("double", "dedent", "double", "dedent"):
                nursery.start_soon(churn, kind)
        adapter = programs.session_adapter("s")
        for name in await adapter.list_programs():
            await adapter.delete_program(name)
        await adapter.create_program(dedent)
        assert await adapter.execute_program("p", {"text": ""}) == {"text": ""}


async def test_a_closed_pool_refuses_executions() -> None:
    """Once the pool is closed executions are `PoolClosed`, while definitions can still be looked at."""
    async with trio_pool.open_pool(size=1) as pool:
        programs = PythonPool(pool)
        await programs.create_program(DOUBLE)
    with pytest.raises(PoolClosed):
        await programs.execute_program("double", {"value": 1})
    with pytest.raises(PoolClosed):
        await programs.session_adapter("s").list_programs()
    assert await programs.list_programs() == ["double"]


async def ready_pids(pool: trio_pool.SessionPool, *, without: set[int]) -> set[int]:
    """Return the pids of all workers, once every one of them is ready and none is of those given."""
    with pool.events() as events, trio.fail_after(10):
        while True:
            workers = pool.get_pool_status().workers
            pids = {worker.pid for worker in workers if worker.pid is not None and worker.status == "ready"}
            if len(pids) == len(workers) and not pids & without:
                return pids
            await anext(aiter(events))
