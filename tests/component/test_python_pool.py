"""The adapter over a stand-in pool: what workers are asked and what not, and no definition outlives its program."""

from __future__ import annotations

import math
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from _stand_in_pool import ASK, DOUBLE, GREET, REACT, SHARED_CAPACITY, StandInPool

from trio_pool._adapter import PythonPool, SessionAdapter, Signature
from trio_pool.errors import InvalidArguments, Outcome, ProgramNotFound, ProtocolError, TrioPoolError, UnknownCommand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def adapters(pool: StandInPool) -> list[PythonPool | SessionAdapter]:
    programs = PythonPool(pool)
    return [programs, programs.session_adapter("s")]


# ------------------------------------------------------------------------------------------------------- both forms


@pytest.mark.parametrize("bound", [False, True])
async def test_the_life_of_a_program(bound: bool) -> None:
    """Create, list, look at, execute and delete work alike, bound and unbound, and an id may be used again."""
    adapter = adapters(StandInPool())[bound]
    assert await adapter.list_programs() == []
    assert await adapter.create_program(DOUBLE) == "double"
    assert await adapter.create_program(GREET) == "greet"
    assert await adapter.list_programs() == ["double", "greet"]
    assert await adapter.execute_program("double", {"value": 3}) == {"function": "app:double", "inputs": {"value": 3}}
    info = await adapter.get_program_info("double")
    assert info["program_id"] == "double"
    assert info["signature"] == Signature.parse(DOUBLE["signature"]).to_dict()
    await adapter.delete_program("double")
    assert await adapter.list_programs() == ["greet"]
    assert await adapter.create_program({**GREET, "id": "double"}) == "double"
    assert (await adapter.execute_program("double", {"name": "x"}))["function"] == "app:greet"


@pytest.mark.document("F-044")
@pytest.mark.parametrize("bound", [False, True])
async def test_an_id_is_made_where_none_is_given(bound: bool) -> None:
    """Programs without an id get one each, a str, and can be used by it."""
    adapter = adapters(StandInPool())[bound]
    config = {key: DOUBLE[key] for key in ("function", "signature")}
    ids = [await adapter.create_program(config) for _ in range(3)]
    assert len(set(ids)) == 3
    assert await adapter.list_programs() == ids
    assert (await adapter.execute_program(ids[1], {"value": 0}))["inputs"] == {"value": 0}


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize(
    ("config", "named"),
    [
        (None, "must be a mapping, not NoneType"),
        ([], "must be a mapping, not list"),
        ({}, "lacks 'function'"),
        ({"function": "a:b"}, "lacks 'signature'"),
        ({**DOUBLE, "inputs": []}, "unknown key 'inputs'"),
        ({**DOUBLE, "id": ""}, "program id .* not ''"),
        ({**DOUBLE, "id": None}, "program id .* not None"),
        ({**DOUBLE, "id": 7}, "program id .* not 7"),
        ({**DOUBLE, "id": "é" * 128}, "up to 255 bytes"),
        ({**DOUBLE, "id": "\ud800"}, "program id"),
        ({**DOUBLE, "program_type": "forest"}, "'forest' is not supported; supported: python, predict, chain_of_"),
        ({**DOUBLE, "program_type": None}, "None is not supported; supported: python, predict"),
        ({**DOUBLE, "program_type": "predict"}, "config of a 'predict' program has the unknown key 'function'"),
        ({**DOUBLE, "tools": []}, "config of a 'python' program has the unknown key 'tools'"),
        ({**ASK, "program_type": "chain_of_thought", "tools": []}, "unknown key 'tools'"),
        ({"program_type": "predict"}, "config of a 'predict' program lacks 'signature'"),
        ({**REACT, "tools": "app:tool"}, "tools must be a list of 'module:qualname', not str"),
        ({**REACT, "tools": None}, "tools must be a list of 'module:qualname', not NoneType"),
        ({**REACT, "tools": ["app:tool", "app"]}, r"tools\[1\] must be 'module:qualname'"),
        ({**REACT, "tools": [len]}, r"tools\[0\] must be 'module:qualname'"),
        ({**REACT, "max_iters": 0}, "max_iters must be a positive integer, not 0"),
        ({**REACT, "max_iters": True}, "max_iters must be a positive integer, not True"),
        ({**DOUBLE, "function": "module.function"}, "'module:qualname'"),
        ({**DOUBLE, "function": ":function"}, "'module:qualname'"),
        ({**DOUBLE, "function": "module:"}, "'module:qualname'"),
        ({**DOUBLE, "function": "a:b:c"}, "'module:qualname'"),
        ({**DOUBLE, "function": "a..b:c"}, "'module:qualname'"),
        ({**DOUBLE, "function": "module:outer.<locals>.inner"}, "'module:qualname'"),
        ({**DOUBLE, "function": len}, "'module:qualname'"),
        ({**DOUBLE, "signature": ""}, "'->'"),
        ({**DOUBLE, "signature": None}, "not NoneType"),
        ({**DOUBLE, "signature": "value: number -> result"}, "'number'"),
    ],
)
async def test_a_wrong_config_never_reaches_a_worker(bound: bool, config: Any, named: str) -> None:
    """Everything wrong in a config that the application can see is `InvalidArguments` before any worker is asked."""
    pool = StandInPool()
    with pytest.raises(InvalidArguments, match=named) as caught:
        await adapters(pool)[bound].create_program(config)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert pool.calls == []


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize(
    ("config", "own"),
    [
        ({**ASK, "program_type": "predict"}, {}),
        ({**ASK, "program_type": "chain_of_thought"}, {}),
        (REACT, {"tools": ["app:search", "app.tools:Maths.add"]}),
        ({**REACT, "tools": ("app:search",), "max_iters": 3}, {"tools": ["app:search"], "max_iters": 3}),
        ({**ASK, "program_type": "react"}, {}),
    ],
)
async def test_programs_for_a_language_model_travel_as_they_are(bound: bool, config: Any, own: dict[str, Any]) -> None:
    """They need no function; what workers are sent has the type, the signature in full and what the type takes."""
    pool = StandInPool()
    adapter = adapters(pool)[bound]
    await adapter.create_program(config)
    assert await adapter.execute_program("ask", {"question": "why"}) == {
        "function": config["program_type"],
        "inputs": {"question": "why"},
    }
    sent = pool.calls[0].args["config" if bound else "program"]
    signature = Signature.parse(ASK["signature"]).to_dict()
    assert sent == {"id": "ask", "program_type": config["program_type"], **own, "signature": signature}
    if not bound:
        info = await adapter.get_program_info("ask")
        assert (info["program_type"], info.get("tools")) == (config["program_type"], own.get("tools"))
        assert "function" not in info


@pytest.mark.parametrize("bound", [False, True])
async def test_an_id_of_255_bytes_is_taken(bound: bool) -> None:
    """The limit is counted in bytes and inclusive."""
    name = "é" * 127 + "x"
    assert await adapters(StandInPool())[bound].create_program({**DOUBLE, "id": name}) == name


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize(
    ("inputs", "options", "named"),
    [
        ({}, None, "missing input 'value'"),
        ({"value": "0"}, None, "input 'value' must be int, not str"),
        ({"value": None}, None, "input 'value' must be int, not NoneType"),
        ({"value": True}, None, "input 'value' must be int, not bool"),
        ({"value": 0, "values": 1}, None, "unknown input 'values'"),
        (None, None, "inputs must be a mapping"),
        ({"value": 0}, {"deadline": 1}, "unknown option 'deadline'"),
        ({"value": 0}, {"timeout": "1"}, "'timeout' must be a number of seconds"),
        ({"value": 0}, {"timeout": True}, "'timeout' must be a number of seconds"),
        ({"value": 0}, {"timeout": math.nan}, "'timeout' must be a number of seconds"),
        ({"value": 0}, {"checkout_timeout": -1}, "'checkout_timeout' must be a number of seconds"),
        ({"value": 0}, {"idempotent": "yes"}, "'idempotent' must be a bool"),
        ({"value": 0}, [("timeout", 1)], "options must be a mapping"),
    ],
)
async def test_wrong_calls_never_reach_a_worker(bound: bool, inputs: Any, options: Any, named: str) -> None:
    """A call that cannot succeed costs no worker's time."""
    pool = StandInPool()
    adapter = adapters(pool)[bound]
    await adapter.create_program(DOUBLE)
    before = list(pool.calls)
    with pytest.raises(InvalidArguments, match=named):
        await adapter.execute_program("double", inputs, options)
    assert pool.calls == before


@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("value", [0, "", False, [], {}, 0.0, None, b""])
async def test_falsy_inputs_are_executed(bound: bool, value: object) -> None:
    """A falsy value is sent like any other."""
    adapter = adapters(StandInPool())[bound]
    await adapter.create_program({"id": "p", "function": "app:p", "signature": "value -> result"})
    assert (await adapter.execute_program("p", {"value": value}))["inputs"] == {"value": value}


@pytest.mark.parametrize("bound", [False, True])
async def test_an_unknown_program_is_not_found(bound: bool) -> None:
    """Any use of a program that does not exist is `ProgramNotFound`; of an id that is none, `InvalidArguments`."""
    adapter = adapters(StandInPool())[bound]
    calls: list[Callable[[Any], Awaitable[object]]] = [
        partial(adapter.execute_program, inputs={}),
        adapter.delete_program,
        adapter.get_program_info,
    ]
    for call in calls:
        with pytest.raises(ProgramNotFound) as caught:
            await call("ghost")
        assert caught.value.program_id == "ghost"
        assert caught.value.outcome is Outcome.NOT_EXECUTED
        wrong: object
        for wrong in ("", None, [], 5):
            with pytest.raises(InvalidArguments, match="program id"):
                await call(wrong)


@pytest.mark.parametrize("bound", [False, True])
async def test_a_duplicate_id_is_refused_and_the_first_program_kept(bound: bool) -> None:
    """A second program of one id is `InvalidArguments`; the first stays as it was."""
    adapter = adapters(StandInPool())[bound]
    await adapter.create_program(DOUBLE)
    with pytest.raises(InvalidArguments, match="'double' exists already"):
        await adapter.create_program({**GREET, "id": "double"})
    assert await adapter.list_programs() == ["double"]
    assert (await adapter.execute_program("double", {"value": 1}))["function"] == "app:double"


@pytest.mark.parametrize("bound", [False, True])
async def test_of_many_creators_of_one_id_one_wins(bound: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Tasks creating the same id at once: exactly one succeeds, and its definition is the one that runs."""
    adapter = adapters(StandInPool(cycle([2, 0, 1, 0]).__next__))[bound]
    won: list[str] = []

    async def create(index: int) -> None:
        config = {"id": "p", "function": f"app:f{index}", "signature": f"x{index} -> y"}
        try:
            await adapter.create_program(config)
        except InvalidArguments:
            return
        won.append(str(index))

    async with trio.open_nursery() as nursery:
        for index in range(8):
            nursery.start_soon(create, index)
    assert len(won) == 1
    assert (await adapter.execute_program("p", {f"x{won[0]}": 0}))["function"] == f"app:f{won[0]}"


@pytest.mark.parametrize("bound", [False, True])
async def test_every_method_checkpoints_and_a_cancelled_one_changes_nothing(bound: bool) -> None:
    """Each method is a checkpoint, and one cancelled before it asked anybody has done nothing."""
    pool = StandInPool()
    adapter = adapters(pool)[bound]
    await adapter.create_program(DOUBLE)
    calls: list[Callable[[], Awaitable[object]]] = [
        partial(adapter.create_program, GREET),
        partial(adapter.execute_program, "double", {"value": 1}),
        partial(adapter.delete_program, "double"),
        partial(adapter.get_program_info, "double"),
        adapter.list_programs,
        adapter.health_check,
    ]
    for call in calls:
        with trio.move_on_after(math.inf) as scope:
            scope.cancel()
            await call()
        assert scope.cancelled_caught
    assert await adapter.list_programs() == ["double"]
    for call in calls:
        with trio.testing.assert_checkpoints():
            await call() if call is not calls[2] else await adapter.delete_program("greet")


@pytest.mark.parametrize("bound", [False, True])
async def test_health_is_the_pools(bound: bool) -> None:
    """`health_check` passes on what the pool says."""
    pool = StandInPool()
    assert await adapters(pool)[bound].health_check() is pool.health


@pytest.mark.parametrize("bound", [False, True])
async def test_options_become_the_time_limits_of_the_command(
    bound: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """``timeout`` and ``checkout_timeout`` reach the pool; what is absent or None is the pool's own."""
    pool = StandInPool()
    adapter = adapters(pool)[bound]
    await adapter.create_program(DOUBLE)
    for options in ({"timeout": 9, "checkout_timeout": 4.5}, {"timeout": math.inf}, {"timeout": None}, {}, None):
        await adapter.execute_program("double", {"value": 1}, options)
    limits = [(call.timeout, call.checkout_timeout) for call in pool.calls[-5:]]
    own = (pool.config.timeout, pool.config.checkout_timeout)
    assert limits == [(9, 4.5), (math.inf, own[1]), own, own, own]


@pytest.mark.parametrize("bound", [False, True])
async def test_an_idempotent_program_is_declared_so_to_the_pool(
    bound: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """``idempotent`` reaches the pool, which does the retrying; where it is absent or None nothing is retried."""
    pool = StandInPool()
    adapter = adapters(pool)[bound]
    await adapter.create_program(DOUBLE)
    for options in ({"idempotent": True}, {"idempotent": False}, {"idempotent": None}, {}, None):
        await adapter.execute_program("double", {"value": 1}, options)
    assert [call.idempotent for call in pool.calls[-5:]] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("bound", "command", "reply"),
    [
        (False, "execute_shared_program", {"result": 1}),
        (True, "create_program", None),
        (True, "create_program", {"program_id": 7}),
        (True, "execute_program", {"outputs": [1]}),
        (True, "list_programs", ["double"]),
        (True, "list_programs", {"programs": [{"name": "double"}]}),
        (True, "get_program_info", "double"),
        (True, "get_program_info", {"program_id": None}),
    ],
)
async def test_results_of_another_commands_shape_are_a_protocol_error(bound: bool, command: str, reply: object) -> None:
    """An application whose command of that name is another gets `ProtocolError`, which says that it ran."""
    pool = StandInPool()
    adapter = adapters(pool)[bound]
    await adapter.create_program(DOUBLE)
    pool.replies[command] = reply
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create_program": partial(adapter.create_program, GREET),
        "execute_program": partial(adapter.execute_program, "double", {"value": 1}),
        "execute_shared_program": partial(adapter.execute_program, "double", {"value": 1}),
        "list_programs": adapter.list_programs,
        "get_program_info": partial(adapter.get_program_info, "double"),
    }
    with pytest.raises(ProtocolError, match=command) as caught:
        await calls[command]()
    assert caught.value.outcome is Outcome.EXECUTED
    assert caught.value.command == command


async def test_an_application_without_programs_is_an_unknown_command() -> None:
    """The pool's own refusal passes through unchanged."""

    class Bare(StandInPool):
        def _run_shared(self, call: object) -> object:
            raise UnknownCommand("no such command", known=["ping"])

    programs = PythonPool(Bare())
    await programs.create_program(DOUBLE)
    with pytest.raises(UnknownCommand) as caught:
        await programs.execute_program("double", {"value": 1})
    assert caught.value.known == ("ping",)


# ---------------------------------------------------------------------------------------------------------- unbound


async def test_a_definition_is_sent_along_only_when_it_is_needed() -> None:
    """The first execution brings the definition, later ones do not, and a new worker gets it when it first lacks it."""
    pool = StandInPool()
    programs = PythonPool(pool)
    await programs.create_program(DOUBLE)
    assert pool.calls == []

    async def sent() -> list[bool]:
        before = len(pool.calls)
        assert (await programs.execute_program("double", {"value": 2}))["inputs"] == {"value": 2}
        calls = pool.calls[before:]
        assert {(call.session_id, call.command) for call in calls} == {(None, "execute_shared_program")}
        return ["program" in call.args for call in calls]

    assert await sent() == [True]
    assert await sent() == [False]
    pool.replace_worker()
    assert await sent() == [False, True]
    assert await sent() == [False]


async def test_workers_may_forget_and_nothing_is_lost() -> None:
    """More programs than a worker remembers all stay executable, and the adapter lists exactly those it was given."""
    pool = StandInPool()
    programs = PythonPool(pool)
    ids = [await programs.create_program({**DOUBLE, "id": f"p{i}"}) for i in range(3 * SHARED_CAPACITY)]
    for _ in range(2):
        for name in ids:
            assert (await programs.execute_program(name, {"value": 1}))["function"] == "app:double"
    assert await programs.list_programs() == ids
    assert len(pool.shared) == SHARED_CAPACITY


async def test_both_attempts_share_one_budget(autojump_clock: trio.testing.MockClock) -> None:
    """Sending the definition after all does not restart the clock of the caller's limits."""
    delay = 0.0
    pool = StandInPool(lambda: delay)
    programs = PythonPool(pool)
    await programs.create_program(DOUBLE)
    await programs.execute_program("double", {"value": 1})
    pool.replace_worker()
    delay = 1.0
    for options, timeout, checkout_timeout in (
        ({"timeout": 10, "checkout_timeout": 1}, 10, 1),
        (None, pool.config.timeout, pool.config.checkout_timeout),
    ):
        await programs.execute_program("double", {"value": 1}, options)
        first, second = pool.calls[-2:]
        assert (first.timeout, first.checkout_timeout) == (timeout, checkout_timeout)
        # Two pauses passed before the worker refused.
        assert second.timeout == pytest.approx(timeout - 2)
        assert second.checkout_timeout == pytest.approx(max(0, checkout_timeout - 2))
        pool.replace_worker()


async def test_a_program_created_anew_never_runs_its_old_definition() -> None:
    """A worker that still remembers the old definition of an id does not run it for the new one."""
    pool = StandInPool()
    programs = PythonPool(pool)
    for config in (DOUBLE, {**DOUBLE, "function": "app:triple"}, {**DOUBLE, "function": "app:quadruple"}):
        await programs.create_program(config)
        for _ in range(2):
            assert (await programs.execute_program("double", {"value": 1}))["function"] == config["function"]
        await programs.delete_program("double")
    keys = {call.args["key"] for call in pool.calls}
    assert len(keys) == 3


async def test_adapters_of_one_pool_do_not_see_each_others_programs() -> None:
    """Two adapters may use the same id for different programs on the same workers."""
    pool = StandInPool()
    one, other = PythonPool(pool), PythonPool(pool)
    await one.create_program(DOUBLE)
    await other.create_program({**GREET, "id": "double"})
    for _ in range(2):
        assert (await one.execute_program("double", {"value": 1}))["function"] == "app:double"
        assert (await other.execute_program("double", {"name": ""}))["function"] == "app:greet"


async def test_an_execution_keeps_the_definition_it_began_with(autojump_clock: trio.testing.MockClock) -> None:
    """Creating an id anew while an execution of it waits changes neither that execution nor the new program."""
    pool = StandInPool(lambda: 1.0)
    programs = PythonPool(pool)
    await programs.create_program(DOUBLE)
    await programs.execute_program("double", {"value": 1})
    pool.replace_worker()
    outputs: list[dict[str, Any]] = []

    async def execute() -> None:
        outputs.append(await programs.execute_program("double", {"value": 7}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(execute)
        await trio.sleep(2.5)  # between the first attempt's refusal and the second's end
        await programs.delete_program("double")
        await programs.create_program({**GREET, "id": "double"})
    assert outputs == [{"function": "app:double", "inputs": {"value": 7}}]
    assert (await programs.execute_program("double", {"name": ""}))["function"] == "app:greet"
    info = await programs.get_program_info("double")
    assert (info["function"], info["execution_count"]) == ("app:greet", 1)


async def test_info_counts_successful_executions_only() -> None:
    """What the adapter knows of an unbound program is there without asking a worker."""
    pool = StandInPool()
    programs = PythonPool(pool)
    await programs.create_program(DOUBLE)
    info = await programs.get_program_info("double")
    assert (info["execution_count"], info["last_executed"]) == (0, None)
    assert (info["program_type"], info["function"]) == ("python", "app:double")
    assert pool.calls == []
    pool.replies["execute_shared_program"] = {}
    with pytest.raises(TrioPoolError):
        await programs.execute_program("double", {"value": 1})
    assert (await programs.get_program_info("double"))["execution_count"] == 0
    del pool.replies["execute_shared_program"]
    await programs.execute_program("double", {"value": 1})
    after = await programs.get_program_info("double")
    assert after["execution_count"] == 1
    assert after["last_executed"] >= info["created_at"]


async def test_definitions_are_bounded() -> None:
    """One program more than ``max_programs`` is refused, also when all are created at once; a deletion makes room."""
    pool = StandInPool()
    programs = PythonPool(pool, max_programs=3)
    refused: list[InvalidArguments] = []

    async def create(index: int) -> None:
        try:
            await programs.create_program({**DOUBLE, "id": f"p{index}"})
        except InvalidArguments as exc:
            refused.append(exc)

    async with trio.open_nursery() as nursery:
        for index in range(5):
            nursery.start_soon(create, index)
    kept = await programs.list_programs()
    assert len(kept) == 3
    assert [exc.outcome for exc in refused] == [Outcome.NOT_EXECUTED] * 2
    assert all("max_programs" in str(exc) for exc in refused)
    await programs.delete_program(kept[0])
    await programs.create_program({**DOUBLE, "id": "late"})
    assert await programs.list_programs() == [*kept[1:], "late"]


@pytest.mark.parametrize("max_programs", [0, -1, True, 1.5, "10", None])
def test_a_bound_that_is_none_is_refused(max_programs: Any) -> None:
    """``max_programs`` is a positive integer, and the error names it."""
    with pytest.raises(ValueError, match="max_programs"):
        PythonPool(StandInPool(), max_programs=max_programs)
