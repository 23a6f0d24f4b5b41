"""Programs that a language model runs: DSPy, LiteLLM, HTTP and workers all real, the model a server in the test."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import pytest
import trio
from _language_model import KEY, environment, language_model
from _pools import kill, settled

import trio_pool
from trio_pool.errors import CommandTimeout, InvalidArguments, RemoteError, SessionLost, WorkerCrashed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.slow

PATIENCE = 30.0
"""Seconds for what a test waits for: a worker on a busy machine may import DSPy for ten of them."""

WRONG_KEY = "sk-wrong-77b1f0c4d9"
TOOL = "_program_parts:population"
WHY = {"question": "why"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the workers, in which nothing may be found afterwards."""
    return tmp_path / "home"


@pytest.fixture
def config(home: Path) -> trio_pool.PoolConfig:
    """One worker, with time to import what it needs."""
    return trio_pool.PoolConfig(size=1, env=environment(home), timeout=PATIENCE, checkout_timeout=PATIENCE)


async def create(pool: trio_pool.SessionPool, program_type: str, signature: object, **fields: object) -> str:
    """Create a program in session s; return its id."""
    args = {"config": {"program_type": program_type, "signature": signature, **fields}}
    return (await pool.execute_in_session("s", "create_program", args))["program_id"]


async def run(
    pool: trio_pool.SessionPool, program_id: str, inputs: Mapping[str, object], *, timeout: float = PATIENCE
) -> Any:
    """Run a program of session s; return its outputs."""
    args = {"program_id": program_id, "inputs": inputs}
    return (await pool.execute_in_session("s", "execute_program", args, timeout=timeout))["outputs"]


def limits(body: dict[str, Any]) -> set[int]:
    """Return how many tokens a request allows, under whichever of the names OpenAI has given that."""
    return {body[name] for name in ("max_tokens", "max_completion_tokens") if name in body}


@pytest.mark.document("T-11", "F-017")
@pytest.mark.parametrize("program_type", ["python", "predict"])
async def test_full_lifecycle_with_real_python_process(program_type: str, config: trio_pool.PoolConfig) -> None:
    """A program without an id gets one, answers, and is deleted, on a worker that is a process of its own."""
    async with language_model() as model, trio_pool.open_worker(config=config) as worker:
        worker.checkout("lifecycle")
        program: dict[str, object] = {"signature": {"inputs": ["query"], "outputs": ["answer"]}}
        if program_type == "python":
            program["function"] = "_program_parts:shout"
        else:
            program["program_type"] = program_type
            configured = await worker.send_command("configure_lm", {"config": model.config()}, PATIENCE)
            assert configured.result["status"] == "configured"

        created = await worker.send_command("create_program", {"config": program}, PATIENCE)
        assert created.success
        program_id = created.result["program_id"]
        assert isinstance(program_id, str)

        args = {"program_id": program_id, "inputs": {"query": "test"}}
        executed = await worker.send_command("execute_program", args, PATIENCE)
        assert executed.success
        assert executed.result["outputs"]["answer"] is not None
        assert len(model.requests) == (program_type == "predict")

        deleted = await worker.send_command("delete_program", {"program_id": program_id})
        assert deleted.result == {"program_id": program_id, "status": "deleted"}
        gone = await worker.send_command("execute_program", args)
        assert isinstance(gone.error, trio_pool.ProgramNotFound)
        listed = await worker.send_command("list_programs")
        assert listed.result["total_count"] == 0


@pytest.mark.document("C-02", "C-04")
async def test_a_model_is_asked_as_it_was_configured(config: trio_pool.PoolConfig, home: Path) -> None:
    """With its key and settings, each time that it is needed; one configured later is asked from then on."""
    async with language_model() as model, trio_pool.open_pool(config=config) as pool:
        reply = await pool.execute_anonymous("configure_lm", {"config": model.config()})
        assert reply == {
            "status": "configured",
            "model": "openai/test-model",
            "provider": "openai",
            "temperature": 0.7,
        }
        described = [{"name": "question", "description": "what to ponder"}]
        predict = await create(pool, "predict", {"inputs": described, "outputs": ["answer", "sure: bool"]})
        for _ in range(2):
            assert await run(pool, predict, WHY) == {"answer": "answer to: why", "sure": True}
        assert [asked.path for asked in model.requests] == ["/v1/chat/completions"] * 2
        for asked in model.requests:
            assert asked.headers["authorization"] == f"Bearer {KEY}"
            assert (asked.body["model"], asked.body["temperature"]) == ("test-model", 0.7)
            assert limits(asked.body) == set()
            assert "what to ponder" in asked.body["messages"][0]["content"]

        later = {"model": "other-model", "provider": "openai", "temperature": 0, "max_tokens": 99}
        reply = await pool.execute_anonymous("configure_lm", {"config": model.config(**later)})
        assert reply["model"] == "openai/other-model"
        thinking = await create(pool, "chain_of_thought", "question -> answer")
        assert await run(pool, thinking, WHY) == {"answer": "answer to: why"}
        body = model.requests[-1].body
        assert (body["model"], body["temperature"], limits(body)) == ("other-model", 0, {99})
        assert "`[[ ## reasoning ## ]]`" in model.requests[-1].prompt
    assert os.listdir(home) == []


@pytest.mark.document("C-04")
async def test_an_agent_uses_its_tools_until_it_knows(config: trio_pool.PoolConfig) -> None:
    """What a tool returned, or how it failed, is what the model is asked about next."""
    async with language_model() as model, trio_pool.open_pool(config=config) as pool:
        await pool.execute_anonymous("configure_lm", {"config": model.config()})
        agent = await create(pool, "react", "question -> answer: int", tools=[TOOL], max_iters=5)
        steps = [("population", '{"city": "Atlantis"}'), ("population", '{"city": "Paris"}'), ("finish", "{}")]
        model.script = [{"next_tool_name": name, "next_tool_args": args} for name, args in steps]
        model.script.append({"answer": "2100000"})
        assert await run(pool, agent, {"question": "how many live in Paris?"}) == {"answer": 2_100_000}
        assert len(model.requests) == 4
        assert "KeyError: 'Atlantis'" in model.requests[1].prompt
        assert "[[ ## observation_1 ## ]]\n2100000\n" in model.requests[2].prompt

        short = await create(pool, "react", "question -> answer: int", tools=[TOOL], max_iters=1)
        model.script = [{"next_tool_name": name, "next_tool_args": args} for name, args in steps[:1]]
        assert await run(pool, short, {"question": "how many?"}) == {"answer": 42}
        assert len(model.requests) == 6


@pytest.mark.document("C-02", "C-04")
async def test_a_wrong_key_is_the_programs_error_and_shows_nowhere(
    config: trio_pool.PoolConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither through DSPy's own client nor through LiteLLM, though the provider repeats it; the right one mends it."""
    caplog.set_level(logging.DEBUG)
    async with language_model() as model, trio_pool.open_pool(config=config) as pool:
        program = await create(pool, "predict", "question -> answer")
        betrayal = await create(pool, "python", [], function="_program_parts:betray")
        for name in ("openai/m", "custom_openai/m"):
            await pool.execute_anonymous("configure_lm", {"config": model.config(model=name, api_key=WRONG_KEY)})
            for program_id, inputs in ((program, WHY), (betrayal, {})):
                with pytest.raises(RemoteError) as caught:
                    await run(pool, program_id, inputs)
                error = caught.value
                assert "[secret]" in error.message
                assert WRONG_KEY not in "".join((str(error), repr(error), error.remote_traceback, *error.__notes__))
        assert [asked.headers["authorization"] for asked in model.requests] == [f"Bearer {WRONG_KEY}"] * 2
        await pool.execute_anonymous("configure_lm", {"config": model.config()})
        assert await run(pool, program, WHY) == {"answer": "answer to: why"}
    said = [record.getMessage() for record in caplog.records if "betrayed" in record.getMessage()]
    assert len(said) == 4
    assert all("[secret]" in line for line in said)
    assert WRONG_KEY not in caplog.text


@pytest.mark.document("C-04")
async def test_a_model_that_does_not_answer_costs_a_timeout_and_the_worker(config: trio_pool.PoolConfig) -> None:
    """The caller waits no longer than he said; the worker that still waits for the model is replaced."""
    config = config.evolve(abandon_grace=0.1)
    async with language_model() as model, trio_pool.open_pool(config=config) as pool:
        await pool.execute_anonymous("configure_lm", {"config": model.config()})
        program = await create(pool, "predict", "question -> answer")
        model.released = trio.Event()
        with pytest.raises(CommandTimeout) as caught:
            await run(pool, program, WHY, timeout=0.5)
        assert caught.value.outcome == "maybe_executed"
        assert model.came.is_set()
        with pytest.raises(SessionLost):
            await run(pool, program, WHY)
        assert (await pool.execute_anonymous("ping"))["pid"] != caught.value.pid


@pytest.mark.document("C-02", "C-04")
async def test_a_worker_killed_while_it_asks_costs_that_request_and_what_it_was_told(
    config: trio_pool.PoolConfig,
) -> None:
    """A bare ``configure_lm`` is one worker's: its successor knows no model, and says so rather than guess."""
    shared = {
        "key": "k",
        "inputs": WHY,
        "program": {"program_type": "predict", "signature": "question -> answer"},
    }
    async with language_model() as model, trio_pool.open_pool(config=config) as pool:
        await pool.execute_anonymous("configure_lm", {"config": model.config()})
        done = await pool.execute_anonymous("execute_shared_program", shared)
        assert done["outputs"] == {"answer": "answer to: why"}
        model.released, model.came = trio.Event(), trio.Event()

        async def kill_once_it_asks() -> None:
            with trio.fail_after(PATIENCE):
                await model.came.wait()
            kill(pool.get_pool_status().workers[0])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill_once_it_asks)
            with pytest.raises(WorkerCrashed):
                await pool.execute_anonymous("execute_shared_program", shared)
        await settled(pool)
        with pytest.raises(InvalidArguments, match="No LM is loaded"):
            await pool.execute_anonymous("execute_shared_program", shared)
        model.released = None
        await pool.execute_anonymous("configure_lm", {"config": model.config()})
        done = await pool.execute_anonymous("execute_shared_program", shared)
        assert done["outputs"] == {"answer": "answer to: why"}


@pytest.mark.document("C-02")
async def test_a_broadcast_model_is_every_workers_and_that_of_those_that_come_later(
    config: trio_pool.PoolConfig,
) -> None:
    """A worker that takes a dead one's place is ready only once it knows the model too."""
    shared = {
        "key": "k",
        "inputs": WHY,
        "program": {"program_type": "predict", "signature": "question -> answer"},
    }
    async with language_model() as model, trio_pool.open_pool(config=config.evolve(size=2)) as pool:
        replies = await pool.broadcast("configure_lm", {"config": model.config()}, key="configure_lm")
        assert [reply["status"] for reply in replies.values()] == ["configured"] * 2
        with pool.events() as events, trio.fail_after(PATIENCE):
            kill(pool.get_pool_status().workers[0])
            while not isinstance(await events.receive(), trio_pool.WorkerReady):
                continue
        model.released = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(pool.execute_anonymous, "execute_shared_program", shared)
            with trio.fail_after(PATIENCE):
                while len(model.requests) < 2:  # noqa: ASYNC110  # nobody tells of a request but the first
                    await trio.sleep(0.01)
            # Each of the two workers has asked the model, for neither has been answered.
            model.released.set()
