"""Secrets: what a worker was given in confidence is in nothing it says."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from _wire import ask, error_of, executor_of, result_of
from hypothesis import given
from hypothesis import strategies as st

from trio_pool.bridge import Bridge
from trio_pool.bridge._replies import MESSAGE_LIMIT
from trio_pool.bridge._secrets import COVER, LIMIT, SHORTEST, CoveredWrite, Secrets

if TYPE_CHECKING:
    from trio_pool.bridge._executor import Executor

KEY = "sk-0123456789abcdef"
# No part of what covers a secret.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[secret]"), min_size=SHORTEST, max_size=30)


def printed_to(stream: io.StringIO, patch: pytest.MonkeyPatch) -> None:
    """Have all that is printed go here; pytest has its own streams back before the next phase of the test."""
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        patch.setattr(sys, name, stream)


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Executor:
    """A worker's executor that has been told the key."""
    printed_to(io.StringIO(), monkeypatch)
    bridge = Bridge()

    @bridge.command
    def fail(text: str) -> None:
        raise LookupError(text)

    @bridge.command
    def fail_with(name: str) -> None:
        raise type(name, (Exception,), {})

    @bridge.command
    def give(text: str) -> str:
        return text

    @bridge.command
    def give_nonsense(key: str) -> dict[str, object]:
        return {key: object()}

    executor = executor_of(bridge)
    executor.hide(KEY)
    return executor


@given(TEXTS, st.text(max_size=5), st.text(max_size=5))
def test_a_secret_is_found_in_every_form_in_which_texts_carry_it(secret: str, before: str, after: str) -> None:
    """As it is, quoted by Python or JSON, and in an address."""
    secrets = Secrets()
    secrets.add(secret)
    for form in (secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")):
        assert secret not in secrets.cover(f"{before}{form}{after}")
        assert form not in secrets.cover(f"{before}{form}{after}")
    assert secrets.cover(f"<{secret}>") == f"<{COVER}>"


def test_of_two_secrets_that_begin_alike_neither_shows() -> None:
    """The rest of the longer one is not left over."""
    secrets = Secrets()
    for secret in (KEY, f"{KEY}-and-more"):
        secrets.add(secret)
    assert secrets.cover(f"{KEY}-and-more {KEY}") == f"{COVER} {COVER}"


def test_a_placeholder_is_no_secret() -> None:
    """A model that needs no key is given a word instead, which other texts have too."""
    secrets = Secrets()
    secrets.add("EMPTY")
    assert secrets.cover("EMPTY") == "EMPTY"


def test_the_number_of_secrets_is_bounded() -> None:
    """The latest are kept, and one that is given again is one of these."""
    secrets = Secrets()
    for number in range(LIMIT):
        secrets.add(f"{KEY}{number:03}")
    secrets.add(f"{KEY}000")
    secrets.add(KEY[::-1])
    assert secrets.cover(f"{KEY}000") == secrets.cover(KEY[::-1]) == COVER
    assert secrets.cover(f"{KEY}001") == f"{KEY}001"


def test_an_error_reply_shows_no_secret(executor: Executor) -> None:
    """Neither its message nor its traceback, of failures and of refusals alike."""
    for reply in (
        ask(executor, "fail", {"text": f"who is {KEY}?"}),
        ask(executor, "fail_with", {"name": KEY}),
        ask(executor, "give_nonsense", {"key": KEY}),
        ask(executor, KEY),
        ask(executor, "fail", {KEY: 1}),
        ask(executor, "__call__", {"function": f"no.{KEY}:f", "args": []}),
    ):
        assert reply["success"] is False
        assert KEY not in str(reply)
        assert COVER in str(reply)


def test_a_secret_is_taken_out_before_a_message_is_cut(executor: Executor) -> None:
    """Half of one would not be found any more."""
    text = "x" * (MESSAGE_LIMIT // 2 - len(KEY)) + KEY + "y" * MESSAGE_LIMIT
    message = error_of(executor, "fail", {"text": text})["message"]
    assert KEY[: len(KEY) // 2] not in message


def test_a_result_is_what_the_function_returned(executor: Executor) -> None:
    """Only what nobody wrote on purpose is changed."""
    assert result_of(executor, "give", {"text": KEY}) == KEY


def test_what_is_printed_and_logged_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output becomes log records in the application."""
    output = io.StringIO()
    printed_to(output, monkeypatch)
    executor_of(Bridge()).hide(KEY)
    print("printed", KEY)  # noqa: T201  # the thing tested
    sys.stderr.writelines([f"written {KEY}\n", "and more\n"])
    handler = logging.StreamHandler()
    record = logging.LogRecord("x", logging.WARNING, "", 0, "logged %s", (KEY,), None)
    handler.handle(record)
    assert output.getvalue() == f"printed {COVER}\nwritten {COVER}\nand more\nlogged {COVER}\n"
    assert sys.stdout.isatty() is output.isatty()


def test_who_took_hold_of_a_stream_before_prints_no_secret_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application sets up its logging when it is imported, long before anybody tells it a key."""
    output, replaced = io.StringIO(), io.StringIO()
    printed_to(output, monkeypatch)
    handlers = [logging.StreamHandler()]
    monkeypatch.setattr(sys, "stderr", replaced)
    handlers.append(logging.StreamHandler())
    executor_of(Bridge()).hide(KEY)
    for handler in handlers:
        handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, "logged %s", (KEY,), None))
    assert (output.getvalue(), replaced.getvalue()) == (f"logged {COVER}\n", f"logged {COVER}\n")


def test_output_is_watched_once_and_only_where_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key is not one more layer; a worker without stderr goes without."""

    class Own:
        """A stream of an application's own, which has its reasons to be what it is."""

        __slots__ = ()

        def write(self, text: str) -> int:
            return output.write(text)

    output = io.StringIO()
    printed_to(output, monkeypatch)
    monkeypatch.setattr(sys, "stdout", Own())
    monkeypatch.setattr(sys, "stderr", None)
    secrets = Secrets()
    secrets.add(KEY)
    secrets.watch_output()
    watched: object = output.write
    assert isinstance(watched, CoveredWrite)
    secrets.watch_output()
    assert output.write is watched
    assert sys.stderr is None
    assert sys.stdout.write(KEY) == len(KEY)
    assert output.getvalue() == COVER
