"""The built-in work: what it leaves in the ledger, what it answers, and what the client expects of that."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from _chaos_plans import request
from hypothesis import given
from hypothesis import strategies as st

from chaos.workload._ledger import BEGIN, EFFECT, END, SIZE, STOPPED, Ledger, entries
from chaos.workload._operations import LEDGER, digest, open_ledger, payload, perform
from chaos.workload._work import AsyncRegister, Register, asynchronous_of, shown, work_of

if TYPE_CHECKING:
    from pathlib import Path


def asked(number: int, **fields: Any) -> dict[str, Any]:
    return {"request": number, "nonce": f"{number:016x}", "session": "s", "service": 0.0, "size": 0, **fields}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger for this process."""
    path = tmp_path / "ledger.bin"
    monkeypatch.setenv(LEDGER, str(path))
    monkeypatch.setattr("chaos.workload._operations._open", {})
    return path


def close(ledger: Path) -> bytes:
    """Close this process's descriptor, and return what was written."""
    from chaos.workload import _operations

    for each in _operations._open.values():
        os.close(each._descriptor)
    return ledger.read_bytes()


def test_every_execution_is_noted_three_times(ledger: Path) -> None:
    """When it begins, after its effect and before it returns, with its number in this process."""
    state: dict[str, Any] = {}
    perform("append", asked(7), state)
    perform("append", asked(8), state)
    noted = [entry for entry in entries(close(ledger)) if entry is not None]
    assert [(entry.request, entry.step, entry.execution) for entry in noted] == [
        *((7, step, 1) for step in (BEGIN, EFFECT, END)),
        *((8, step, 2) for step in (BEGIN, EFFECT, END)),
    ]
    assert {(entry.nonce, entry.pid, entry.session) for entry in noted} == {
        (7, os.getpid(), "s"),
        (8, os.getpid(), "s"),
    }
    assert noted == sorted(noted, key=lambda entry: entry.nanoseconds)


def test_a_job_runs_between_the_beginning_and_the_effect(ledger: Path) -> None:
    """What raises says that it has stopped, and has no effect on the state."""
    state: dict[str, Any] = {}

    def fail() -> dict[str, Any]:
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        perform("append", asked(7), state, fail)
    assert [entry.step for entry in entries(close(ledger)) if entry is not None] == [BEGIN, STOPPED]
    assert state == {}


def test_executions_of_two_threads_have_numbers_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync and async commands run in two, and a number stands for one execution."""
    ledger = Ledger(str(tmp_path / "ledger.bin"))
    # What is written would have the threads take turns.
    monkeypatch.setattr(ledger, "note", lambda *_: None)
    numbers: list[int] = []

    def begin() -> None:
        for _ in range(20_000):
            numbers.append(ledger.begin(1, 1, None))  # noqa: PERF401  # each is to be a step of its own

    open_ledger()  # as every application does while it is imported, when there is but one thread
    threads = [threading.Thread(target=begin) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
        os.close(ledger._descriptor)
    assert sorted(numbers) == list(range(1, 40_001))


def test_a_torn_or_damaged_record_is_known(tmp_path: Path) -> None:
    """And does not hide those around it."""
    path = tmp_path / "ledger.bin"
    ledger = Ledger(str(path))
    for number in range(3):
        ledger.note(BEGIN, number, 0, 1, None)
    os.close(ledger._descriptor)
    data = bytearray(path.read_bytes())
    data[SIZE + 20] ^= 1
    found = list(entries(bytes(data[:-5])))
    assert [None if entry is None else entry.request for entry in found] == [0, None, None]


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_a_record(data: bytes) -> None:
    """Whatever they are: reading them back never raises."""
    assert set(entries(data)) <= {None}


def test_a_session_s_list_grows_and_says_whose_it_is() -> None:
    """Also when it is handed to somebody else."""
    state: dict[str, Any] = {}
    assert perform("append", asked(1), state)["items"] == [asked(1)["nonce"]]
    assert perform("append", asked(2), state)["items"] == [asked(1)["nonce"], asked(2)["nonce"]]
    reply = perform("read", asked(3, session="other"), state)
    assert reply["items"] == [asked(1)["nonce"], asked(2)["nonce"]]
    assert (reply["session"], reply["nonce"], reply["request"]) == ("s", asked(3)["nonce"], 3)


@pytest.mark.parametrize("operation", AsyncRegister.operations)
def test_a_right_reply_is_what_is_expected(operation: str) -> None:
    """What the client works out for itself is what the worker answers."""
    work, wanted = AsyncRegister(), request(5, operation, size=100)
    args = {**work.args(wanted, 0, 0), **asked(5), "nonce": wanted.nonce, "size": 100}
    reply = shown(perform(operation, args, {} if work.touches(operation) else None))
    expected = work.expect(wanted, 0, 0)
    assert {name: reply[name] for name in expected} == expected
    assert bool(expected) is (work.touches(operation) is None)


def test_no_other_request_s_reply_is_expected() -> None:
    """Digests and payloads depend on the nonce."""
    assert digest("a", 1) != digest("b", 1)
    assert payload("a", 64) != payload("b", 64)
    assert [len(payload("a", size)) for size in (0, 1, 32, 33)] == [0, 1, 32, 33]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("registr", "none of register, async, stdlib"),
        ("python:nowhere_at_all:Work", "cannot import"),
        ("python:os:path", "has no app"),
        ("python:os", "none of register"),
    ],
)
def test_a_work_that_is_none_is_refused(kind: str, why: str) -> None:
    """With the reason, and the name of the field."""
    with pytest.raises(ValueError, match=f"workload.kind.*{why}"):
        work_of(kind)


def test_a_work_says_which_of_its_operations_are_async() -> None:
    """One that says nothing has none."""
    assert set(asynchronous_of(work_of("async"))) == {"fetch"}
    assert set(asynchronous_of(work_of("register"))) == set()


def test_a_work_of_one_s_own_is_found() -> None:
    """By module and attribute; a class is called."""
    assert isinstance(work_of("python:chaos.workload._work:Register"), Register)
