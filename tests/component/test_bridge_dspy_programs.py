"""Programs that a language model runs, in a real worker with real DSPy and a model of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _commands import KEY, Caller
from _language_model import environment
from _wire import ready_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _wire import RawWorker

pytestmark = pytest.mark.slow

OWN_MODEL = {"model": "m", "lm": "_program_parts:make_model"}
TYPES: dict[str, dict[str, Any]] = {
    "python": {"function": "_program_parts:double"},
    "predict": {},
    "chain_of_thought": {},
    "react": {"tools": ["_program_parts:population"], "max_iters": 4},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the standing worker."""
    return tmp_path_factory.mktemp("component") / "home"


@pytest.fixture(scope="module")
def standing(home: Path) -> Iterator[RawWorker]:
    """One worker for all the tests that need not see it without a model: to import DSPy costs the most of them."""
    with ready_worker(env=environment(home)) as worker:
        yield worker


@pytest.fixture
def thinker(standing: RawWorker) -> Caller:
    """The caller of the standing worker, which must still be alive, in an empty session and with a model."""
    assert standing.process.poll() is None
    caller = Caller(standing)
    caller.result("cleanup_session", session_id="a")
    caller.result("configure_lm", config=OWN_MODEL)
    caller.call("_program_parts:take_asked")
    return caller


@pytest.mark.document("C-02", "C-04")
def test_without_a_model_a_program_does_not_run_and_says_why(tmp_path: Path) -> None:
    """It can be made, though, and runs once there is one."""
    with ready_worker(env=environment(tmp_path / "home")) as worker:
        caller = Caller(worker)
        assert caller.call("sys:modules.__contains__", "dspy") is False
        program_id = caller.create("a", program_type="predict", signature="question -> answer")
        error = caller.error("execute_program", "a", program_id=program_id, inputs={"question": "why"})
        assert error["kind"] == "invalid_arguments"
        assert "No LM is loaded" in error["message"]
        assert caller.result("get_program_info", "a", program_id=program_id)["execution_count"] == 0
        caller.result("configure_lm", config=OWN_MODEL)
        assert caller.run("a", program_id, question="why") == {"answer": "answer to: why"}


@pytest.mark.document("C-02")
def test_a_configured_model_is_asked_by_all_programs_until_another_is(thinker: Caller) -> None:
    """It is the process's: a program made before, in whatever session, asks the one configured last."""
    program_id = thinker.create("a", program_type="predict", signature="question -> answer")
    assert thinker.run("a", program_id, question="why") == {"answer": "answer to: why"}
    reply = thinker.result(
        "configure_lm",
        config={
            "model": "other",
            "provider": "own",
            "temperature": 0,
            "lm": "_program_parts:make_rambling_model",
            "max_tokens": 9,
        },
    )
    assert reply == {"status": "configured", "model": "own/other", "provider": "own", "temperature": 0.0}
    assert thinker.run("a", program_id, question="why") == {"answer": "well, well"}
    assert thinker.call("dspy:settings.lm.kwargs.copy") == {"temperature": 0.0, "max_tokens": 9}


@pytest.mark.document("C-02")
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model": "none", "lm": "_program_parts:make_model"}, "must return a dspy.BaseLM, not NoneType"),
        ({"model": "refuses", "lm": "_program_parts:make_model", "api_key": KEY}, "the key '[secret]' is not mine"),
        ({"model": "m", "lm": "_program_parts:no_such"}, "no_such"),
        ({"model": "m", "lm": "_program_parts:asked"}, "not callable"),
        ({"model": "openai/gpt-5", "api_key": KEY}, "temperature"),
        ({"model": "openai/", "api_key": KEY}, "no model id"),
    ],
    ids=str,
)
def test_a_model_that_cannot_be_made_leaves_the_one_before(
    thinker: Caller, config: dict[str, object], words: str
) -> None:
    """A wrong configuration is an error reply, and never one that shows the key."""
    error = thinker.error("configure_lm", config=config)
    assert error["kind"] == "invalid_arguments"
    assert words in error["message"]
    assert KEY not in str(error)
    program_id = thinker.create("a", program_type="predict", signature="question -> answer")
    assert thinker.run("a", program_id, question="why") == {"answer": "answer to: why"}


@pytest.mark.document("C-03", "C-04", "C-07")
@pytest.mark.parametrize("program_type", TYPES)
def test_every_type_of_program_is_made_run_and_described(thinker: Caller, program_type: str) -> None:
    """What they have in common is in one form, and each tells its own besides."""
    signature = "value: int -> twice: int"
    program_id = thinker.create("a", program_type=program_type, signature=signature, **TYPES[program_type])
    thinker.result("configure_lm", config={**OWN_MODEL, "lm": "_program_parts:make_finishing_model"})
    assert thinker.run("a", program_id, value=21) == {"twice": 42}
    [listed] = thinker.result("list_programs", "a")["programs"]
    info = thinker.result("get_program_info", "a", program_id=program_id)
    assert {"id": info.pop("program_id"), "session_id": "a", **info} == listed
    assert info["program_type"] == program_type
    assert info["execution_count"] == 1
    assert {key: info[key] for key in TYPES[program_type]} == TYPES[program_type]
    assert thinker.result("delete_program", "a", program_id=program_id)["status"] == "deleted"


@pytest.mark.document("C-04")
def test_values_go_to_the_model_as_text_and_come_back_as_what_the_signature_says(thinker: Caller) -> None:
    """All types there are, descriptions included; an output comes back as a plain value that travels."""
    inputs = ["any", "str", "int", "float", "bool", "list", "dict", "bytes"]
    program_id = thinker.create(
        "a",
        program_type="predict",
        signature={
            "inputs": [{"name": f"in_{kind}", "type": kind, "description": f"some {kind}"} for kind in inputs],
            "outputs": [{"name": f"out_{kind}", "type": kind} for kind in inputs],
        },
    )
    given = {
        "any": [1, {"deep": None}],
        "str": "text",
        "int": 7,
        "float": 8,
        "bool": False,
        "list": [1, "two"],
        "dict": {"three": 3},
        "bytes": "fün".encode() * 30_000,
    }
    outputs = thinker.run("a", program_id, **{f"in_{kind}": value for kind, value in given.items()})
    text = 'out_{} to: [1, {{"deep": null}}]'
    assert outputs == {
        "out_any": text.format("any"),
        "out_str": text.format("str"),
        "out_int": 42,
        "out_float": 0.5,
        "out_bool": True,
        "out_list": [1, 2],
        "out_dict": {"a": 1},
        "out_bytes": text.format("bytes").encode(),
    }
    [prompt] = thinker.call("_program_parts:take_asked")
    shown = {**given, "any": '[1, {"deep": null}]', "float": 8.0, "list": '[1, "two"]', "dict": '{"three": 3}'}
    for kind, value in {**shown, "bytes": "fün" * 30_000}.items():
        assert f"[[ ## in_{kind} ## ]]\n{value}\n" in prompt


@pytest.mark.document("C-04")
def test_bytes_that_are_no_text_are_refused(thinker: Caller) -> None:
    """A model could not read them; it is not asked."""
    program_id = thinker.create("a", program_type="predict", signature="data -> answer")
    error = thinker.error("execute_program", "a", program_id=program_id, inputs={"data": b"\xff"})
    assert error["kind"] == "invalid_arguments"
    assert "'data'" in error["message"]
    assert thinker.call("_program_parts:take_asked") == []


@pytest.mark.document("C-04")
def test_thoughts_are_dropped_unless_they_are_asked_for(thinker: Caller) -> None:
    """The model is made to think in both cases, and first."""
    for outputs, expected in (
        ("answer", {"answer": "answer to: why"}),
        ("answer, reasoning", {"answer": "answer to: why", "reasoning": "reasoning to: why"}),
    ):
        program_id = thinker.create("a", program_type="chain_of_thought", signature=f"question -> {outputs}")
        assert thinker.run("a", program_id, question="why") == expected
        [prompt] = thinker.call("_program_parts:take_asked")
        assert prompt.index("`[[ ## reasoning ## ]]`") < prompt.index("`[[ ## answer ## ]]`")


@pytest.mark.document("C-04")
def test_an_answer_that_cannot_be_read_is_the_programs_error(thinker: Caller) -> None:
    """DSPy asks again in other words, then gives up; the worker lives, and the error has what the model said."""
    thinker.result("configure_lm", config={**OWN_MODEL, "lm": "_program_parts:make_rambling_model"})
    program_id = thinker.create("a", program_type="predict", signature="question -> number: int")
    error = thinker.error("execute_program", "a", program_id=program_id, inputs={"question": "why"})
    assert (error["kind"], error["type"]) == ("remote", "dspy.utils.exceptions.AdapterParseError")
    assert "many" in error["message"]
    assert thinker.call("_program_parts:take_asked")[1:]
    assert thinker.result("get_program_info", "a", program_id=program_id)["execution_count"] == 0


@pytest.mark.document("C-03")
@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"tools": "_program_parts:population"}, "list of 'module:function'"),
        ({"tools": [5]}, "list of 'module:function'"),
        ({"tools": ["_program_parts:no_such"]}, "no_such"),
        ({"tools": ["_program_parts:later"]}, "an async function"),
        ({"tools": ["_program_parts:finish"]}, "'finish'"),
        ({"tools": ["_program_parts:double", "_program_parts:double"]}, "the same name, 'double'"),
        ({"tools": ["_program_parts:consult"]}, "cannot be a tool"),
        ({"max_iters": 0}, "max_iters"),
        ({"max_iters": True}, "max_iters"),
    ],
    ids=str,
)
def test_an_agent_that_could_not_work_is_refused_when_it_is_made(
    thinker: Caller, config: dict[str, object], words: str
) -> None:
    """Not when a model has already been paid for its first steps."""
    args = {"program_type": "react", "signature": "question -> answer", **config}
    error = thinker.error("create_program", "a", config=args)
    assert error["kind"] == "invalid_arguments"
    assert words in error["message"]
    assert thinker.result("list_programs", "a")["total_count"] == 0


@pytest.mark.document("C-02")
def test_nothing_is_remembered_of_what_a_model_was_asked(thinker: Caller, home: Path) -> None:
    """Equal questions all reach it; neither the worker's memory nor the user's home keeps them."""
    program_id = thinker.create("a", program_type="predict", signature="question -> answer")
    for _ in range(3):
        thinker.run("a", program_id, question="why")
    assert len(thinker.call("_program_parts:take_asked")) == 3
    assert thinker.call("dspy:settings.trace.copy") == []
    assert thinker.call("dspy:settings.lm.history.copy") == []
    assert thinker.call("dspy.clients.base_lm:GLOBAL_HISTORY.copy") == []
    assert thinker.call("os:environ.get", "LITELLM_LOCAL_MODEL_COST_MAP") == "True"
    assert list(home.iterdir()) == []


@pytest.mark.document("C-02")
def test_an_application_that_names_a_folder_for_dspys_cache_gets_it(tmp_path: Path) -> None:
    """Who wants equal questions answered from the disk says so in the environment."""
    folder = tmp_path / "cache"
    with ready_worker(env={**environment(tmp_path / "home"), "DSPY_CACHEDIR": str(folder)}) as worker:
        caller = Caller(worker)
        caller.result("configure_lm", config={"model": "openai/m", "api_key": KEY, "api_base": "http://127.0.0.1:9/v1"})
        assert caller.call("dspy:settings.lm.dump_state")["cache"] is True
        caller.call("dspy:cache.disk_cache.__len__")
        assert folder.is_dir()
    assert list((tmp_path / "home").iterdir()) == []
