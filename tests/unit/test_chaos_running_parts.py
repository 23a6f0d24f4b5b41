"""The parts of a run that look: the sampler, the gate, the observer, and what control appends to a history."""

from __future__ import annotations

import json
import os
import random
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from chaos._history import History
from chaos.running import _control, _lifeline
from chaos.running._live import LiveMetrics
from chaos.running._observer import Observer
from chaos.running._sampler import Sampler
from chaos.running._sightings import Sighting
from chaos.running._steady import Steadiness, steady
from chaos.scenario._expressions import parse_expression
from chaos.scenario._fault import Trigger
from chaos.scenario._model import Hold
from trio_pool import SessionBound, WorkerReady

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from chaos.scenario._fault import Capability
    from chaos.targets._target import Call


class Nobody:
    """A target and a client in memory, of whom nothing is asked."""

    pool = None
    capabilities: frozenset[Capability] = frozenset()
    unanswered = 0

    def pids(self) -> Sequence[int]:
        return ()

    async def call(self, call: Call) -> Any:
        raise NotImplementedError

    async def end_session(self, session: str) -> None:
        raise NotImplementedError


@pytest.fixture
def history(tmp_path: Path, autojump_clock: MockClock) -> Iterator[History]:
    """A history on the virtual clock."""
    with History(tmp_path / "history.jsonl", autojump_clock.current_time) as history:
        yield history


def sampler(history: History, live: LiveMetrics, every: float = 0.5) -> Sampler:
    return Sampler(Nobody(), Nobody(), history, live, every=every)  # type: ignore[arg-type]


def samples(history: History) -> list[tuple[float, float]]:
    """Return when samples were taken, and how late each was."""
    return [(record["t"], record["lag"]) for record in history.records if record["type"] == "sample"]


async def test_samples_that_a_standstill_kept_are_missed_and_counted(
    history: History, autojump_clock: MockClock
) -> None:
    """What was due not long ago is taken late and says so; then the schedule goes on as if nothing had been."""
    looking = sampler(history, LiveMetrics(autojump_clock.current_time))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(looking.run)
        await trio.sleep(0.6)
        autojump_clock.jump(1.7)
        await trio.sleep(0.9)
        nursery.cancel_scope.cancel()
    taken = [value for sample in samples(history) for value in sample]
    assert taken == pytest.approx([0.0, 0.0, 0.5, 0.0, 2.3, 1.3, 2.3, 0.3, 2.5, 0.0, 3.0, 0.0])
    assert [record["n"] for record in history.records if record["type"] == "missed_sample"] == [1]


async def test_whoever_waits_for_a_sample_is_woken_by_it(history: History, autojump_clock: MockClock) -> None:
    """All of them."""
    looking = sampler(history, LiveMetrics(autojump_clock.current_time))
    async with trio.open_nursery() as nursery:
        for _each in range(2):
            nursery.start_soon(looking.next_sample)
        await trio.testing.wait_all_tasks_blocked()
        looking.sample()
    assert len(samples(history)) == 1


async def test_what_cannot_be_seen_is_left_out(
    history: History, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An application that may open no files has no number of them, and goes on sampling."""

    def refused(*_args: object, **_fields: object) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "listdir", refused)
    looking = sampler(history, LiveMetrics(autojump_clock.current_time))
    await trio.lowlevel.checkpoint()
    looking.sample()
    (record,) = [record for record in history.records if record["type"] == "sample"]
    assert "fds" not in record
    assert "tasks" in record


async def gate(history: History, clock: MockClock, wells: list[tuple[float, bool]], hold: Hold) -> Steadiness:
    """Have a pool be well or not from these moments on, and wait for it to be steady."""
    live = LiveMetrics(clock.current_time)
    looking = sampler(history, live)

    async def look() -> None:
        begin = trio.current_time()
        while True:
            now = trio.current_time() - begin
            well = [value for at, value in wells if at <= now][-1]
            live.sample({"pool.ready": 4.0 if well else 3.0})
            looking._sampled.unpark_all()
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        found = await steady([parse_expression("pool.ready == 4")], hold, live, looking)
        nursery.cancel_scope.cancel()
    return found


@pytest.mark.parametrize(
    ("wells", "ok", "took"),
    [
        ([(0.0, True)], True, 0.0),
        ([(0.0, False), (1.8, True)], True, 2.0),
        ([(0.0, False)], False, 3.5),
        # Well for a second, then not, and then for good: only the last time counts.
        ([(0.0, True), (0.8, False), (1.8, True)], True, 2.0),
        ([(second / 2, second % 2 == 0) for second in range(40)], False, 3.5),
        # It began to hold in time, fell out late, and came back too late.
        ([(0.0, False), (2.8, True), (3.8, False)], False, 4.0),
        ([(0.0, True), (0.8, False), (2.8, True), (4.3, False), (4.8, True)], False, 4.5),
    ],
)
async def test_a_steady_state_begins_in_time_and_holds(
    history: History, autojump_clock: MockClock, wells: list[tuple[float, bool]], ok: bool, took: float
) -> None:
    """Two seconds on end, begun within three."""
    found = await gate(history, autojump_clock, wells, Hold(hold=2.0, within=3.0))
    assert found.ok is ok
    assert found.took == pytest.approx(took, abs=0.6 if not ok else 0.05)
    assert bool(found.failing) is not ok


def ready(incarnation: int) -> WorkerReady:
    return WorkerReady(at=0.0, pool="p", slot=0, worker_id="w", incarnation=incarnation, pid=1, startup=0.1)


@pytest.mark.parametrize(("nth", "expected"), [(1, [1, 2, 3, 4]), (2, [2, 4])])
async def test_events_are_kept_for_who_waits_for_them_again_and_again(
    history: History, autojump_clock: MockClock, nth: int, expected: list[int]
) -> None:
    """Several that came at once are several, in their order; others are none; and all are in the history."""
    observer = Observer(history)
    waiting = Sighting(Trigger(on="WorkerReady", nth=nth), random.Random(1))  # noqa: S311  # a test's
    with observer.telling(waiting.take):
        observer(SessionBound(at=0.0, pool="p", session_id="s", incarnation=9))
        for incarnation in (1, 2, 3, 4):
            observer(ready(incarnation))
    observer(ready(5))
    assert [(await waiting.next()).incarnation for _each in expected] == expected
    with trio.move_on_after(1.0) as scope:
        await waiting.next()
    assert scope.cancelled_caught
    assert [record["type"] for record in history.records] == ["SessionBound", *["WorkerReady"] * 5]


# -- control -----------------------------------------------------------------------------------------------------------


class Viewer:
    """Shows nothing."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def take(self, record: dict[str, Any]) -> None:
        self.taken.append(record["type"])

    async def run(self) -> None:
        await trio.sleep_forever()


def control(directory: Path, *lines: bytes) -> tuple[_control._Control, Path]:
    """Return a control over a history of these lines."""
    path = directory / "history.jsonl"
    path.write_bytes(b"".join(lines))
    return _control._Control(directory, Viewer()), path


def line(number: int, t: float, kind: str, **fields: Any) -> bytes:
    return json.dumps({"seq": number, "t": t, "src": "run", "type": kind, **fields}).encode() + b"\n"


def test_what_control_saw_stands_behind_what_the_application_wrote(tmp_path: Path) -> None:
    """Numbered on, never before it in time, and in place of a line that was cut short."""
    begun = time.monotonic_ns()
    watching, path = control(
        tmp_path, line(0, 0.0, "start", monotonic_ns=begun), line(1, 99.0, "said", line="x"), b'{"seq": 2, "t'
    )
    watching.note("application_ended", exit=-9)
    watching.note("checked", leftovers=0)
    watching.append(path)
    records = [json.loads(each) for each in path.read_bytes().splitlines()]
    assert [(record["seq"], record["type"]) for record in records[2:]] == [(2, "application_ended"), (3, "checked")]
    assert [record["t"] for record in records[2:]] == [99.0, 99.0]
    assert records[2]["exit"] == -9


def test_an_application_that_wrote_nothing_has_a_history_all_the_same(tmp_path: Path) -> None:
    """It ended before its first line."""
    watching, path = control(tmp_path)
    watching.note("application_ended", exit=1)
    watching.append(path)
    (record,) = [json.loads(each) for each in path.read_bytes().splitlines()]
    assert (record["seq"], record["t"], record["type"]) == (0, 0.0, "application_ended")


class Signalled:
    """A process that only takes signals."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def send_signal(self, number: int) -> None:
        self.numbers.append(number)


async def test_signals_wait_until_the_application_heeds_them(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Its first words are not enough. The run was interrupted by the first of them."""
    watching, path = control(tmp_path, line(0, 0.0, "start"))
    process = Signalled()
    sending, receiving = trio.open_memory_channel[int](2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.heed, receiving, cast("trio.Process", process))
        sending.send_nowait(2)
        sending.send_nowait(15)
        await trio.testing.wait_all_tasks_blocked()
        watching.glance()
        await trio.testing.wait_all_tasks_blocked()
        assert process.numbers == []
        with path.open("ab") as file:
            file.write(line(1, 0.1, "opening"))
        watching.glance()
        await trio.testing.wait_all_tasks_blocked()
        assert process.numbers == [2, 15]
        sending.close()
    assert watching.interrupted == 2


# -- the lifeline ------------------------------------------------------------------------------------------------------


def test_a_name_with_spaces_and_parentheses_hides_no_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a process calls itself stands before its parent in /proc, and is its own to choose."""
    real = open
    (tmp_path / "stat").write_bytes(b"77 (x) S 1 (y) R %d 0 0" % os.getpid())
    monkeypatch.setattr(os, "listdir", lambda _path: ["77", "self"])
    monkeypatch.setattr("builtins.open", lambda _name, _mode: real(tmp_path / "stat", "rb"))
    assert _lifeline.children() == [77]
    assert _lifeline.state_of(77) == "R"
