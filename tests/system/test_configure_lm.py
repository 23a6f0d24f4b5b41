"""The language model as state of the pool: every worker asks the one configured, those that start later too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from _language_model import KEY, environment, language_model
from _pools import kill, settled

import trio_pool
from trio_pool import PythonPool
from trio_pool.errors import InvalidArguments, RemoteError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PATIENCE = 60.0
"""Seconds for what a test waits for: two workers at once on a busy machine may import DSPy for twenty of them."""

ASK = {"id": "ask", "program_type": "predict", "signature": "question -> answer"}
WIRED = {
    "program_type": "predict",
    "signature": {"inputs": [{"name": "question"}], "outputs": [{"name": "answer"}]},
}
"""The same, as workers are sent it."""


async def answers(pool: trio_pool.SessionPool) -> list[object]:
    """Have every worker run the program; return what they answered."""
    args = {"key": "each", "program": WIRED, "inputs": {"question": "why"}}
    return [reply["outputs"] for reply in (await pool.broadcast("execute_shared_program", args)).values()]


@pytest.mark.document("F-046")
async def test_every_worker_asks_the_configured_model_whoever_was_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Configure once, kill a worker: all of them answer as configured, and the key shows nowhere."""
    config = trio_pool.PoolConfig(
        size=2, env=environment(tmp_path / "home"), timeout=PATIENCE, checkout_timeout=PATIENCE
    )
    async with language_model() as model, trio_pool.open_pool(config=config) as pool:
        adapter = PythonPool(pool, layer="system")
        await adapter.create_program(ASK)
        with pytest.raises(InvalidArguments, match="No LM is loaded"):
            await adapter.execute_program("ask", {"question": "why"})

        configured = await adapter.configure_lm(model.config())
        assert configured == {
            "status": "configured",
            "model": "openai/test-model",
            "provider": "openai",
            "temperature": 0.7,
        }
        assert await answers(pool) == [{"answer": "answer to: why"}] * 2
        assert await adapter.execute_program("ask", {"question": "why"}) == {"answer": "answer to: why"}

        with trio.fail_after(PATIENCE), pool.events() as events:
            kill(pool.get_pool_status().workers[0])
            while not isinstance(await events.receive(), trio_pool.WorkerReady):
                pass
        assert await answers(pool) == [{"answer": "answer to: why"}] * 2
        assert {asked.headers["authorization"] for asked in model.requests} == {f"Bearer {KEY}"}
        assert len(model.requests) == 5

        # One that cannot be made changes nothing, neither here nor for later workers.
        with pytest.raises(InvalidArguments, match="cannot be imported") as caught:
            await adapter.configure_lm(model.config(lm="no_such_module:make"))
        assert KEY not in "".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
        # One that the provider refuses is the programs' error.
        await adapter.configure_lm(model.config(api_key="sk-wrong-77b1f0c4d9"))
        with pytest.raises(RemoteError) as refused:
            await adapter.execute_program("ask", {"question": "why"})
        assert "sk-wrong" not in str(refused.value)
        await adapter.configure_lm(model.config(model="other-model", provider="openai"))
        assert await answers(pool) == [{"answer": "answer to: why"}] * 2
        assert model.requests[-1].body["model"] == "other-model"
        await settled(pool)
    assert KEY not in caplog.text
