"""The errors: true outcomes, one line of text, all data kept through pickling."""

from __future__ import annotations

import inspect
import pickle
import traceback

import pytest
import trio

import trio_pool._core._errors as core_errors
from trio_pool import errors as public
from trio_pool._core._errors import (
    Outcome,
    RemoteError,
    TrioPoolError,
    WorkerError,
)
from trio_pool._core._exits import Signaled
from trio_pool._process._commands import reply_error

NOT_EXECUTED = {
    "PoolTimeout", "PoolSaturated", "PoolClosed", "SessionMismatch", "SessionNotFound", "SessionLimit", "SessionLost",
    "UnknownCommand", "InvalidArguments", "Unserializable", "ProgramNotFound", "FrameTooLarge",
    "WorkerInitFailed", "ChildError", "RestartIntensityExceeded",
}  # fmt: skip
MAYBE_EXECUTED = {
    "BroadcastFailed", "CommandTimeout", "WorkerCrashed", "PoisonRequest", "ProtocolError", "ProcessFailed",
}  # fmt: skip
EXECUTED = {"RemoteError"}

CLASSES: list[type[TrioPoolError]] = [
    getattr(public, name) for name in sorted(NOT_EXECUTED | MAYBE_EXECUTED | EXECUTED)
]

# A value other than the default for every keyword of every error.
DATA: dict[str, object] = {
    "outcome": Outcome.EXECUTED,
    "worker_id": "pool-3",
    "pid": 4711,
    "incarnation": 17,
    "request_id": 99,
    "session_id": "user_1",
    "command": "greet",
    "queued": 7,
    "max_queue": 8,
    "known": ("ping", "echo"),
    "path": "args.rows[3]",
    "type_name": "datetime",
    "size": 123,
    "max_frame": 100,
    "program_id": "p1",
    "exit": Signaled(9),
    "output_tail": ("last", "words"),
    "reason": "shutdown",
    "remote_traceback": "Traceback (most recent call last): …",
    "remote_message": "no such row",
    "errors": (),
    "key": "configure_lm",
    "results": {"pool-0": 1},
    "argv": ("serve", "--port", "80"),
    "supervisor_path": ("app", "db"),
    "child_id": "db",
    "restarts": 4,
    "max_restarts": 3.0,
    "within": 5.0,
    "waited": 1.5,
    "busy": 2,
    "timeout": 0.5,
    "workers": ("pool-1", "pool-3"),
    "exits": (Signaled(11), Signaled(9)),
}


def keywords(cls: type[TrioPoolError]) -> dict[str, object]:
    """Return data for every keyword the class and its bases take."""
    names: set[str] = set()
    for base in cls.__mro__:
        if issubclass(base, TrioPoolError):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    data = {name: DATA[name] for name in names}
    if "results" in data:
        data["errors"] = {"pool-1": RemoteError("first"), "pool-2": public.PoolClosed("second")}
    elif "errors" in data:
        data["errors"] = (ValueError("first"), KeyError("second"))
    return data


def test_every_error_of_the_contract_is_public_and_no_other() -> None:
    """``trio_pool.errors`` lists exactly the promised classes, their roots and the outcomes."""
    assert set(public.__all__) == NOT_EXECUTED | MAYBE_EXECUTED | EXECUTED | {"Outcome", "TrioPoolError", "WorkerError"}
    in_core = {
        name for name, value in vars(core_errors).items() if inspect.isclass(value) and issubclass(value, TrioPoolError)
    }
    assert in_core < set(public.__all__)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_default_outcome_is_the_usual_one(cls: type[TrioPoolError]) -> None:
    """An error made without an outcome says what is usually true of its kind."""
    name = cls.__name__
    expected = (
        Outcome.NOT_EXECUTED
        if name in NOT_EXECUTED
        else Outcome.MAYBE_EXECUTED
        if name in MAYBE_EXECUTED
        else Outcome.EXECUTED
    )
    assert cls("text").outcome is expected


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_pickles_with_all_its_data(cls: type[TrioPoolError]) -> None:
    """What arrives in another process has the type, text and every attribute of what was sent, notes included."""
    data = keywords(cls)
    error = cls("it went wrong", **data)  # type: ignore[arg-type]  # the data is chosen by name
    error.add_note("a note")
    returned = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(returned) is cls
    assert str(returned) == str(error)
    assert returned.what == error.what == "it went wrong [pool-3, pid 4711]"
    assert returned.__notes__ == error.__notes__
    assert returned.__notes__[-1] == "a note"
    for name, value in data.items():
        attribute = "message" if name == "remote_message" else name
        assert getattr(error, attribute) == value
        if name == "errors":
            assert repr(getattr(returned, attribute)) == repr(value)
        else:
            assert getattr(returned, attribute) == value


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_can_be_made_from_a_message_alone(cls: type[TrioPoolError]) -> None:
    """All data has a default, so that an error is never replaced by the failure to make it."""
    assert str(cls()) == ""
    assert str(cls("text")) == "text"


@pytest.mark.parametrize("cls", CLASSES)
def test_text_is_one_line(cls: type[TrioPoolError]) -> None:
    """A message that quotes several lines is shown as one; its argument is kept as it was."""
    error = cls("worker said:\nTraceback\r\n  boom\u2028end")
    assert len(str(error).splitlines()) == 1
    assert "boom" in str(error)
    assert error.args == ("worker said:\nTraceback\r\n  boom\u2028end",)


def test_the_line_of_a_commands_error_has_worker_outcome_and_advice() -> None:
    """What happened and where, whether it may have run, what to do; the outcome's words follow the outcome."""
    error = public.WorkerCrashed("fetch: it died", command="fetch", worker_id="pool-3", pid=4711)
    assert str(error) == (
        "fetch: it died [pool-3, pid 4711]; it may have run; "
        "see exit and output_tail, and repeat it only if it does no harm to run twice"
    )
    error.outcome = Outcome.NOT_EXECUTED
    assert str(error) == "fetch: it died [pool-3, pid 4711]; it did not run; repeat it"


def test_the_line_names_a_worker_once() -> None:
    """A message that names the worker itself is left as it is; another worker whose name begins alike is none."""
    texts = {
        text: RemoteError(text, worker_id="pool-1").what
        for text in ("worker pool-1 (pid 7) said no", "worker pool-12 (pid 7) said no")
    }
    assert list(texts.values()) == ["worker pool-1 (pid 7) said no", "worker pool-12 (pid 7) said no [pool-1]"]


def test_a_very_long_message_does_not_hide_what_follows_it() -> None:
    """Whatever a program puts into its exception, outcome and advice are found in the same line of the log."""
    error = RemoteError(f"fetch: ValueError: {'x' * 100_000}", command="fetch")
    assert len(str(error)) < 2200
    assert str(error).endswith("…; it ran; see remote_traceback")
    assert len(error.args[0]) > 100_000


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_of_a_command_says_what_to_do(cls: type[TrioPoolError], outcome: Outcome) -> None:
    """Whatever became of the command; errors of supervisors alone have no command and no advice."""
    error = cls("text", command="fetch", outcome=outcome)
    if cls.__name__ in ("ChildError", "ProcessFailed", "RestartIntensityExceeded"):
        assert error.advice == ""
    else:
        assert str(error) == f"text; {outcome.words}; {error.advice}"
        assert error.advice


def test_an_outcome_is_accepted_as_text_and_refused_if_unknown() -> None:
    """Outcomes are a closed set."""
    assert TrioPoolError(outcome="executed").outcome is Outcome.EXECUTED
    with pytest.raises(ValueError, match="perhaps"):
        TrioPoolError(outcome="perhaps")


def test_sequences_are_kept_as_tuples_of_their_own() -> None:
    """What the maker of an error does to its lists later does not reach into the error."""
    tail = ["one"]
    error = WorkerError(output_tail=tail)
    tail.append("two")
    assert error.output_tail == ("one",)


def test_timeouts_are_trios_too() -> None:
    """Code written for `trio.fail_after` handles the pool's timeouts."""
    for cls in (public.PoolTimeout, public.CommandTimeout):
        assert issubclass(cls, trio.TooSlowError)


@pytest.mark.parametrize("cls", [RemoteError, public.WorkerInitFailed])
def test_an_uncaught_error_shows_the_workers_traceback(cls: type[TrioPoolError]) -> None:
    """The note is printed below the traceback, by the interpreter and by logging; str() stays one line."""
    error = cls("it went wrong", remote_traceback="File app.py, line 3")  # type: ignore[call-arg]  # both take it
    assert "File app.py, line 3" in "".join(traceback.format_exception(error))
    assert str(error) == "it went wrong"
    assert not hasattr(cls("it went wrong"), "__notes__")


def test_a_remote_error_keeps_the_workers_words_apart_from_its_own() -> None:
    """``message`` is the exception's text in the worker, str() the sentence for the log."""
    error = RemoteError("greet raised ValueError: no", type_name="ValueError", remote_message="no")
    assert (error.type_name, error.message, str(error)) == ("ValueError", "no", "greet raised ValueError: no")


def test_a_failed_broadcast_says_of_all_workers_together_whether_it_ran() -> None:
    """Only what ran nowhere may be repeated without a thought; only what ran everywhere is certain to have."""
    ran, no, perhaps = RemoteError("raised"), public.PoolTimeout("waited"), public.WorkerCrashed("died")
    outcomes = {
        "ran": public.BroadcastFailed(results={"a": 1}, errors={"b": ran}).outcome,
        "nowhere": public.BroadcastFailed(errors={"a": no, "b": no}).outcome,
        "in one": public.BroadcastFailed(results={"a": 1}, errors={"b": no}).outcome,
        "perhaps": public.BroadcastFailed(errors={"a": perhaps, "b": no}).outcome,
        "as told": public.BroadcastFailed(errors={"a": no}, outcome="executed").outcome,
    }
    assert outcomes == {
        "ran": "executed",
        "nowhere": "not_executed",
        "in one": "maybe_executed",
        "perhaps": "maybe_executed",
        "as told": "executed",
    }


def test_a_failed_broadcast_with_large_results_pickles() -> None:
    """Large bytes arrive as memoryviews, which nothing can pickle; as bytes the error still has them."""
    view = memoryview(b"large")
    error = public.BroadcastFailed(
        "it failed", results={"a": view, "b": {"parts": [view, 1]}}, errors={"c": RemoteError()}
    )
    returned = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert returned.results == {"a": b"large", "b": {"parts": [b"large", 1]}}
    assert error.results["a"] is view


def test_the_advice_fits_what_happened() -> None:
    """One class of error may call for different things."""
    assert "top level" in core_errors.Unserializable("text", path="fn").advice
    assert "None, bool" in core_errors.Unserializable("text", path="args").advice
    crashed = core_errors.WorkerCrashed
    assert "what in it kills workers" in crashed("text", reason="undelivered", outcome=Outcome.NOT_EXECUTED).advice
    assert crashed("text", reason="crash", outcome=Outcome.NOT_EXECUTED).advice == "repeat it"


def test_what_came_too_late_says_once_that_it_did_not_run() -> None:
    """A worker that refuses a request past its deadline is quoted, and the rest is the outcome's to say."""
    words = {"kind": "expired", "type": "t", "message": "it was 2 s past its deadline", "traceback": ""}
    error = reply_error(words, "nap", worker_id="w-1", pid=7, incarnation=1)
    assert error.outcome is Outcome.NOT_EXECUTED
    assert str(error).count("did not run") == 1, str(error)
