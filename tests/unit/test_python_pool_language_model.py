"""Configuring the language model: one checked broadcast with a key."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from _stand_in_pool import StandInPool

from trio_pool import PythonPool
from trio_pool.errors import BroadcastFailed, InvalidArguments, Outcome, ProtocolError, WorkerCrashed

SECRET = "sk-not-to-be-shown"  # noqa: S105  # of nothing
CONFIG: dict[str, object] = {"model": "m", "api_key": SECRET}


@pytest.mark.document("F-046")
async def test_the_model_is_told_to_all_workers_and_to_those_to_come() -> None:
    """One broadcast, under a key; the answer is what the workers made of it."""
    pool = StandInPool()
    config = {**CONFIG, "api_base": "http://[::1]/", "provider": "p", "temperature": 0, "max_tokens": 5, "lm": "a:b"}
    assert await PythonPool(pool).configure_lm(config) == {"status": "configured", "model": "m", "temperature": 0}
    (call,) = pool.calls
    assert (call.command, call.key, call.args, call.session_id) == (
        "configure_lm",
        "configure_lm",
        {"config": config},
        None,
    )


@pytest.mark.document("F-046")
@pytest.mark.parametrize(
    ("config", "named"),
    [
        (None, "must be a mapping, not NoneType"),
        ([("model", "m")], "must be a mapping, not list"),
        ({}, "lacks 'model'"),
        ({"model": None}, "lacks 'model'"),
        ({"model": ""}, "model must be a non-empty str, not str"),
        ({"model": 3}, "model must be a non-empty str, not int"),
        ({**CONFIG, "key": SECRET}, "unknown key 'key'; known are model, api_key, api_base, provider, lm, temperature"),
        ({"model": "m", 7: SECRET}, "unknown key 7"),
        ({"model": "m", "api_key": [SECRET]}, "api_key must be a non-empty str, not list"),
        ({**CONFIG, "api_base": b"x"}, "api_base must be a non-empty str, not bytes"),
        ({**CONFIG, "temperature": SECRET}, "temperature must be a number that is not negative, not str"),
        ({**CONFIG, "temperature": True}, "temperature must be a number that is not negative, not bool"),
        ({**CONFIG, "temperature": -0.1}, "temperature must be"),
        ({**CONFIG, "temperature": math.nan}, "temperature must be"),
        ({**CONFIG, "temperature": math.inf}, "temperature must be"),
        ({**CONFIG, "max_tokens": 0}, "max_tokens must be a positive integer"),
        ({**CONFIG, "max_tokens": 1.5}, "max_tokens must be a positive integer, not float"),
        ({**CONFIG, "max_tokens": True}, "max_tokens must be a positive integer, not bool"),
    ],
)
async def test_a_wrong_config_reaches_no_worker_and_shows_no_value(config: Any, named: str) -> None:
    """It is `InvalidArguments`, an error, and never shows what might be the key in the wrong place."""
    pool = StandInPool()
    with pytest.raises(InvalidArguments, match=named) as caught:
        await PythonPool(pool).configure_lm(config)
    assert SECRET not in repr(caught.value)
    assert pool.calls == []


async def test_nothing_given_is_as_if_absent() -> None:
    """None stands for every value but the model's name."""
    pool = StandInPool()
    config = {"model": "m", "api_key": None, "temperature": None, "max_tokens": None}
    await PythonPool(pool).configure_lm(config)
    assert pool.calls[0].args == {"config": config}


async def test_what_all_workers_refuse_is_the_configs_fault() -> None:
    """The workers know what the application cannot: then it is `InvalidArguments` all the same, in their words."""
    pool = StandInPool()
    pool.refusals = {name: InvalidArguments("no such provider") for name in ("pool-0", "pool-1")}
    with pytest.raises(InvalidArguments, match="no such provider") as caught:
        await PythonPool(pool).configure_lm(CONFIG)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert isinstance(caught.value.__cause__, BroadcastFailed)


@pytest.mark.parametrize(
    "refusals",
    [
        {"pool-1": InvalidArguments("no")},
        {"pool-0": InvalidArguments("no"), "pool-1": WorkerCrashed("died")},
    ],
    ids=["in one", "in all, one by death"],
)
async def test_any_other_failure_is_told_worker_by_worker(refusals: Any) -> None:
    """Where workers differ, what happened in each of them matters."""
    pool = StandInPool()
    pool.refusals = refusals
    with pytest.raises(BroadcastFailed) as caught:
        await PythonPool(pool).configure_lm(CONFIG)
    assert caught.value.errors == refusals


@pytest.mark.parametrize("reply", [None, "configured", {"error": "no key"}, {"status": 1}])
async def test_another_commands_reply_is_a_protocol_error(reply: object) -> None:
    """A success that holds an error is none, whatever application says it."""
    pool = StandInPool()
    pool.replies["configure_lm"] = reply
    with pytest.raises(ProtocolError, match="the result of 'configure_lm' has no str 'status'"):
        await PythonPool(pool).configure_lm(CONFIG)


async def test_it_is_a_checkpoint_and_cancelled_there_changes_nothing() -> None:
    """A caller that has left before the call began configures nothing."""
    pool = StandInPool()
    with trio.CancelScope() as scope:
        scope.cancel()
        await PythonPool(pool).configure_lm(CONFIG)
    assert scope.cancelled_caught
    assert pool.model is None
