"""The contract of workers, third part: the program commands; see `test_worker_contract`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _contract import SUBJECTS, RealWorkers, subject
from _workers import PATIENCE

import trio_pool
from trio_pool import Outcome
from trio_pool.testing import TestSignatures, expected_output

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_pool import PoolWorker

pytestmark = pytest.mark.document("F-070")

IMPORTS_DSPY = pytest.mark.slow  # a real worker does so before it looks at the config
SIMPLE = TestSignatures.program("simple", "simple")
INPUTS: dict[str, dict[str, object]] = {
    "simple": {"query": "why?"},
    "complex": {"context": "the sky is blue", "question": "Is the sky blue", "options": {"short": True}},
    "chain": {"initial_input": "abc"},
    "doubler": {"value": 21},
}


@pytest.fixture(params=[name for name in SUBJECTS if name != "mock in pieces"])  # pieces are no business of programs
def workers(request: pytest.FixtureRequest) -> RealWorkers:
    return subject(request.param)


@pytest.fixture
def clock(workers: RealWorkers) -> MockClock | None:
    """Return the clock of the test: workers in memory need no real time."""
    return workers.clock()


async def result_of(worker: PoolWorker, command: str, **args: object) -> Any:
    """Return the result of a command that must succeed."""
    response = await worker.send_command(command, args, PATIENCE)
    assert response.error is None
    return response.result


async def error_of(worker: PoolWorker, command: str, **args: object) -> trio_pool.TrioPoolError:
    """Return the error of a command that must fail."""
    error = (await worker.send_command(command, args, PATIENCE)).error
    assert error is not None
    return error


@pytest.mark.document("F-017", "C-03", "C-04", "C-05", "C-06", "C-07")
async def test_a_program_s_life(workers: RealWorkers, clock: MockClock | None) -> None:
    """Created, listed, described, executed and deleted; what is told of it has the same shape all the way."""
    async with workers.worker() as worker:
        worker.checkout("s")
        created = {"status": "created", "program_type": "python", "signature": SIMPLE["signature"]}
        assert await result_of(worker, "create_program", config=SIMPLE) == {"program_id": "simple", **created}
        listed = await result_of(worker, "list_programs")
        [entry] = listed["programs"]
        assert (listed["total_count"], entry["id"], entry["session_id"]) == (1, "simple", "s")
        info = await result_of(worker, "get_program_info", program_id="simple")
        about = {"execution_count": 0, "last_executed": None, "function": SIMPLE["function"]}
        assert {"program_id": "simple", "program_type": "python", **about}.items() <= info.items()
        assert info["signature"] == SIMPLE["signature"]
        assert type(info["created_at"]) is float
        assert {**info, "id": "simple", "session_id": "s"} == {**entry, "program_id": "simple"}

        executed = await result_of(worker, "execute_program", program_id="simple", inputs=INPUTS["simple"])
        assert set(executed) == {"program_id", "outputs", "execution_time"}
        assert executed["program_id"] == "simple"
        assert executed["outputs"] == expected_output(SIMPLE["signature"], INPUTS["simple"])
        assert executed["execution_time"] >= 0
        info = await result_of(worker, "get_program_info", program_id="simple")
        assert (info["execution_count"], type(info["last_executed"])) == (1, float)

        gone = {"program_id": "simple", "status": "deleted"}
        assert await result_of(worker, "delete_program", program_id="simple") == gone
        assert await result_of(worker, "list_programs") == {"programs": [], "total_count": 0}


@pytest.mark.document("C-04")
@pytest.mark.parametrize("name", INPUTS)
async def test_a_program_answers_what_is_expected(workers: RealWorkers, clock: MockClock | None, name: str) -> None:
    """Whatever the signature, a real worker runs the function to the outputs that a worker in memory answers."""
    config = TestSignatures.program(name)
    async with workers.worker() as worker:
        worker.checkout("s")
        program_id = (await result_of(worker, "create_program", config=config))["program_id"]
        executed = await result_of(worker, "execute_program", program_id=program_id, inputs=INPUTS[name])
        assert executed["outputs"] == expected_output(config["signature"], INPUTS[name])


async def test_ids_are_made_where_none_is_given(workers: RealWorkers, clock: MockClock | None) -> None:
    """Each is a non-empty str of its own, even where a caller has chosen the very next one."""
    config = TestSignatures.program("doubler")
    async with workers.worker() as worker:
        worker.checkout("s")
        first = (await result_of(worker, "create_program", config=config))["program_id"]
        assert first == "program_1"
        await result_of(worker, "create_program", config={**config, "id": "program_2"})
        assert (await result_of(worker, "create_program", config={**config, "id": None}))["program_id"] == "program_3"


async def test_every_form_of_a_signature_is_read(workers: RealWorkers, clock: MockClock | None) -> None:
    """Text, names alone and mappings mean the same; what comes back is the longest form."""
    outputs = [{"name": "result", "type": "any", "description": ""}]
    inputs = [{"name": "a", "type": "any", "description": ""}, {"name": "b", "type": "int", "description": ""}]
    async with workers.worker() as worker:
        worker.checkout("s")
        for source in ("a, b: int -> result", ["a", "b: int"], {"inputs": ["a", {"name": "b", "type": "int"}]}):
            config = {"function": "builtins:dict", "signature": source}
            created = await result_of(worker, "create_program", config=config)
            assert created["signature"] == {"inputs": inputs, "outputs": outputs}


@pytest.mark.document("C-05", "F-031")
async def test_programs_are_their_session_s_own(workers: RealWorkers, clock: MockClock | None) -> None:
    """An empty session lists none, whoever else has some; ids are free in each session; a clean-up takes one's own."""
    async with workers.worker() as worker:
        for session in ("one", "two"):
            worker.checkout(session)
            await result_of(worker, "create_program", config=SIMPLE)
            worker.checkin()
        worker.checkout("empty")
        assert await result_of(worker, "list_programs") == {"programs": [], "total_count": 0}
        error = await error_of(worker, "execute_program", program_id="simple", inputs=INPUTS["simple"])
        assert isinstance(error, trio_pool.ProgramNotFound)
        assert await result_of(worker, "cleanup") == {"status": "cleaned", "programs_removed": 0}
        worker.checkin()
        worker.checkout("one")
        assert (await result_of(worker, "get_stats"))["programs_count"] == 2
        assert await result_of(worker, "cleanup") == {"status": "cleaned", "programs_removed": 1}
        worker.checkin()
        cleaned = {"status": "cleaned", "session_id": "two", "programs_removed": 1}
        assert await result_of(worker, "cleanup_session", session_id="two") == cleaned
        assert (await result_of(worker, "get_stats"))["programs_count"] == 0


async def test_a_program_twice_is_refused(workers: RealWorkers, clock: MockClock | None) -> None:
    """The first one stays as it is."""
    async with workers.worker() as worker:
        worker.checkout("s")
        await result_of(worker, "create_program", config=SIMPLE)
        error = await error_of(worker, "create_program", config=TestSignatures.program("doubler", "simple"))
        assert isinstance(error, trio_pool.InvalidArguments)
        assert "'simple' already" in str(error)
        info = await result_of(worker, "get_program_info", program_id="simple")
        assert info["signature"] == SIMPLE["signature"]


@pytest.mark.parametrize("command", ["execute_program", "get_program_info", "delete_program"])
async def test_an_unknown_program_is_not_found(workers: RealWorkers, clock: MockClock | None, command: str) -> None:
    """The error carries its id; nothing was executed."""
    inputs: dict[str, object] = {"inputs": {}} if command == "execute_program" else {}
    async with workers.worker() as worker:
        worker.checkout("s")
        error = await error_of(worker, command, program_id="ghost", **inputs)
        assert isinstance(error, trio_pool.ProgramNotFound)
        assert (error.program_id, error.session_id, error.outcome) == ("ghost", "s", Outcome.NOT_EXECUTED)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"signature": "a -> b"},
        {"signature": "a -> b", "function": 7},
        {"function": "builtins:dict"},
        {"function": "builtins:dict", "signature": "a, b"},
        {"function": "builtins:dict", "signature": {"inputs": ["a"], "outputs": []}},
        {"function": "builtins:dict", "signature": {"inputs": ["a", "a"], "outputs": ["b"]}},
        {"function": "builtins:dict", "signature": {"inputs": [{"type": "int"}], "outputs": ["b"]}},
        {"function": "builtins:dict", "signature": {"inputs": ["a: number"], "outputs": ["b"]}},
        {"function": "builtins:dict", "signature": "a -> b", "program_type": "unknown"},
        {"function": "builtins:dict", "signature": "a -> b", "program_type": ["python"]},
        {"function": "builtins:dict", "signature": "a -> b", "tools": []},
        {"function": "builtins:dict", "signature": "a -> b", "color": None},
        pytest.param(
            {"program_type": "react", "signature": "a -> b", "tools": "builtins:dict"}, marks=pytest.mark.slow
        ),  # DSPy is imported first
        pytest.param(
            {"program_type": "react", "signature": "a -> b", "tools": [7]}, marks=pytest.mark.slow
        ),  # DSPy is imported first
        pytest.param(
            {"program_type": "react", "signature": "a -> b", "max_iters": 0}, marks=pytest.mark.slow
        ),  # DSPy is imported first
        {"program_type": "predict", "signature": "a -> b", "function": "builtins:dict"},
        {"function": "builtins:dict", "signature": "a -> b", "id": ""},
        {"function": "builtins:dict", "signature": "a -> b", "id": 7},
    ],
)
async def test_a_program_that_cannot_be_made_is_refused(
    workers: RealWorkers, clock: MockClock | None, config: dict[str, object]
) -> None:
    """A config that is wrong leaves no program behind."""
    async with workers.worker() as worker:
        worker.checkout("s")
        assert isinstance(await error_of(worker, "create_program", config=config), trio_pool.InvalidArguments)
        assert (await result_of(worker, "list_programs"))["total_count"] == 0


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "input 'value' is missing"),
        ({"value": 1, "more": 2}, "there is no input 'more'"),
        ({"value": "1"}, "'value' must be int, not str"),
        ({"value": True}, "'value' must be int, not bool"),
    ],
)
async def test_inputs_that_do_not_fit_are_refused(
    workers: RealWorkers, clock: MockClock | None, inputs: dict[str, object], says: str
) -> None:
    """The program is not run, and that is not counted."""
    async with workers.worker() as worker:
        worker.checkout("s")
        await result_of(worker, "create_program", config=TestSignatures.program("doubler", "d"))
        error = await error_of(worker, "execute_program", program_id="d", inputs=inputs)
        assert isinstance(error, trio_pool.InvalidArguments)
        assert says in str(error)
        assert (await result_of(worker, "get_program_info", program_id="d"))["execution_count"] == 0


async def test_a_shared_program_is_remembered_by_its_key(workers: RealWorkers, clock: MockClock | None) -> None:
    """It is made when its config comes along, then needs it no more, and belongs to no session."""
    async with workers.worker() as worker:
        error = await error_of(worker, "execute_shared_program", key="k", inputs=INPUTS["simple"])
        assert isinstance(error, trio_pool.ProgramNotFound)
        assert error.program_id == "k"
        for program, name in ((SIMPLE, "simple"), (None, "k")):
            executed = await result_of(
                worker, "execute_shared_program", key="k", inputs=INPUTS["simple"], program=program
            )
            assert executed["program_id"] == name
            assert executed["outputs"] == expected_output(SIMPLE["signature"], INPUTS["simple"])
        assert (await result_of(worker, "get_stats"))["programs_count"] == 1
        assert await result_of(worker, "cleanup") == {"status": "cleaned", "programs_removed": 1}


@pytest.mark.document("C-02", "F-046")
@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "lacks its model"),
        ({"model": ""}, "model must be a non-empty str"),
        ({"model": "m", "api_key": 7}, "api_key must be a non-empty str"),
        ({"model": "m", "temperature": "warm"}, "temperature"),
        ({"model": "m", "temperature": -1}, "temperature"),
        ({"model": "m", "max_tokens": 0}, "max_tokens must be a positive int"),
        ({"model": "m", "color": "red"}, "unknown key 'color'"),
    ],
)
async def test_a_language_model_that_is_none_is_refused(
    workers: RealWorkers, clock: MockClock | None, config: dict[str, object], says: str
) -> None:
    """A bad config is an error, never a success that holds one."""
    async with workers.worker() as worker:
        error = await error_of(worker, "configure_lm", config=config)
        assert isinstance(error, trio_pool.InvalidArguments)
        assert says in str(error)


@pytest.mark.slow
@pytest.mark.document("C-02", "F-046")
async def test_a_program_that_asks_a_model_needs_one(workers: RealWorkers, clock: MockClock | None) -> None:
    """Until one is configured it is refused; what is configured is told, save the key."""
    config = {"program_type": "predict", "signature": "question: str -> answer: str"}
    factory = "_contract_app:language_model"
    async with workers.worker(start_timeout=PATIENCE) as worker:
        worker.checkout("s")
        created = await worker.send_command("create_program", {"config": config}, 60)
        assert created.result["program_type"] == "predict"
        error = await error_of(worker, "execute_program", program_id="program_1", inputs={"question": "?"})
        assert isinstance(error, trio_pool.InvalidArguments)
        assert "No LM is loaded" in str(error)
        configured = await result_of(
            worker, "configure_lm", config={"model": "m", "provider": "own", "api_key": "secret-key", "lm": factory}
        )
        assert configured == {"status": "configured", "model": "own/m", "provider": "own", "temperature": 0.7}
        executed = await result_of(worker, "execute_program", program_id="program_1", inputs={"question": "?"})
        assert set(executed["outputs"]) == {"answer"}
        assert type(executed["outputs"]["answer"]) is str
