"""Language models and their programs, as far as these are judged without DSPy."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import pytest
from _wire import error_of, executor_of, result_of

from trio_pool.bridge._programs import make_programs

if TYPE_CHECKING:
    from trio_pool.bridge._executor import Executor

KEY = "sk-0123456789abcdef"
NOT_INSTALLED = "pip install trio_pool[dspy]"


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Executor:
    """A worker's executor with the program commands, where importing DSPy fails as if it were not there."""
    monkeypatch.setitem(sys.modules, "dspy", None)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # so that what is set on the way is undone
    return executor_of(make_programs())


@pytest.mark.parametrize("program_type", ["predict", "chain_of_thought", "react"])
def test_without_dspy_its_programs_are_refused_with_what_to_install(executor: Executor, program_type: str) -> None:
    """Everything else works."""
    config = {"program_type": program_type, "signature": "question -> answer"}
    error = error_of(executor, "create_program", {"config": config}, session="s")
    assert error["kind"] == "invalid_arguments"
    assert NOT_INSTALLED in error["message"]


def test_without_dspy_a_model_is_refused_with_what_to_install(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is not in the refusal."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # the key is kept out of these from now on
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    error = error_of(executor, "configure_lm", {"config": {"model": "openai/x", "api_key": KEY}})
    assert error["kind"] == "invalid_arguments"
    assert NOT_INSTALLED in error["message"]
    assert KEY not in str(error)


def test_a_dspy_that_cannot_be_imported_is_refused_with_the_traceback(
    executor: Executor, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """To install it would not help."""
    (tmp_path / "dspy.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dspy")
    error = error_of(executor, "configure_lm", {"config": {"model": "openai/x"}})
    assert error["kind"] == "invalid_arguments"
    assert NOT_INSTALLED not in error["message"]
    assert error["traceback"].endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"api_key": ""}, "api_key"),
        ({"api_key": [KEY]}, "api_key"),
        ({"api_base": 5}, "api_base"),
        ({"provider": ""}, "provider"),
        ({"lm": {}}, "lm"),
        ({"temperature": "0.7"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10.0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_token": 10}, "'max_token'"),
        ({"temperature": KEY}, "temperature"),
        ({"max_tokens": KEY}, "max_tokens"),
    ],
    ids=str,
)
def test_a_wrong_model_config_is_refused_before_anything_is_imported(
    executor: Executor, wrong: dict[str, object], words: str
) -> None:
    """The message names the key of the config, and never a value, which may be the secret one in the wrong place."""
    error = error_of(executor, "configure_lm", {"config": {"model": "openai/x", "api_key": KEY, **wrong}})
    assert error["kind"] == "invalid_arguments"
    assert words in error["message"]
    assert NOT_INSTALLED not in error["message"]
    assert KEY not in str(error)


@pytest.mark.parametrize(
    ("program_type", "signature", "words"),
    [
        ("predict", "value -> value", "as input and as output"),
        ("predict", "config -> answer", "input 'config'"),
        ("predict", "lm -> answer", "input 'lm'"),
        ("predict", "question -> signature", "output 'signature'"),
        ("predict", "_hidden -> answer", "input '_hidden'"),
        ("chain_of_thought", "reasoning -> answer", "input 'reasoning'"),
        ("react", "trajectory -> answer", "input 'trajectory'"),
        ("react", "question -> trajectory", "output 'trajectory'"),
        ("react", "max_iters -> answer", "input 'max_iters'"),
    ],
)
def test_names_that_dspy_takes_for_its_own_are_refused(
    executor: Executor, program_type: str, signature: str, words: str
) -> None:
    """Some of them would not fail but be taken for something else than an input."""
    config = {"program_type": program_type, "signature": signature}
    error = error_of(executor, "create_program", {"config": config}, session="s")
    assert error["kind"] == "invalid_arguments"
    assert words in error["message"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"program_type": "predict", "function": "math:sqrt"}, "'function'"),
        ({"program_type": "predict", "tools": []}, "'tools'"),
        ({"program_type": "chain_of_thought", "max_iters": 3}, "'max_iters'"),
        ({"program_type": "python", "function": "math:sqrt", "tools": ["math:sqrt"]}, "'tools'"),
        ({"program_type": "ProgramOfThought"}, "python, predict, chain_of_thought, react"),
    ],
    ids=str,
)
def test_what_a_type_has_no_use_for_is_refused(executor: Executor, config: dict[str, object], words: str) -> None:
    """Nothing that was given is ignored, an unknown type least of all."""
    args = {"config": {"signature": "question -> answer", **config}}
    error = error_of(executor, "create_program", args, session="s")
    assert error["kind"] == "invalid_arguments"
    assert words in error["message"]


def test_none_is_the_same_as_absent(executor: Executor) -> None:
    """A caller that sends all keys there are may leave those of other types empty."""
    empty = {"id": None, "program_type": None, "tools": None, "max_iters": None}
    config = {**empty, "function": "_program_parts:double", "signature": "value -> twice"}
    args = {"key": "k", "inputs": {"value": 5}, "program": config}
    result = result_of(executor, "execute_shared_program", args)
    assert (result["program_id"], result["outputs"]) == ("k", {"twice": 10})
