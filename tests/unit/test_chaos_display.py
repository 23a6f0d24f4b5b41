"""The live display as it is drawn: from the history alone, inside its terminal, and safe to show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from _chaos_made import made
from _chaos_reported import HOSTILE, evidence

from chaos._stats import summarize
from chaos.display._live import draw
from chaos.display._tally import WINDOW, Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.evidence._evidence import Evidence

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
PLAN = made().plan


def tally(found: Evidence, records: Sequence[dict[str, Any]] | None = None) -> Tally:
    kept = Tally(found.plan)
    for record in found.records if records is None else records:
        kept.take(record)
    return kept


def frame(kept: Tally, *, size: tuple[int, int] = (100, 30), said: tuple[str, ...] = ()) -> list[str]:
    """A frame as it is read, without its styles."""
    return [ESCAPES.sub("", line) for line in draw(kept, now=kept.now, said=said, size=size)]


def until(found: Evidence, src: str, type_: str, after: int = 0, **fields: object) -> list[dict[str, Any]]:
    """The records up to the first of a type, and so many after."""
    place = next(
        entry["seq"]
        for entry in found.records
        if (entry["src"], entry["type"]) == (src, type_) and fields.items() <= entry.items()
    )
    return list(found.records[: place + 1 + after])


def record(src: str, type_: str, t: float, **fields: Any) -> dict[str, Any]:
    return {"seq": 0, "t": t, "src": src, "type": type_, **fields}


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal with colours, whatever the tests run on."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_the_tally_counts_what_the_report_counts() -> None:
    """Who watched the run saw the numbers that its report has."""
    found = made()
    kept = tally(found)
    kinds = [entry["type"] for entry in found.records if entry["src"] == "client"]
    assert (kept.sent, kept.ok, kept.dropped) == (kinds.count("invoke"), kinds.count("ok"), kinds.count("drop"))
    assert kept.failed == sum(kinds.count(kind) for kind in ("fail", "info", "raised"))
    assert kept.in_flight == kept.sent - kept.ok - kept.failed


def test_percentiles_are_of_the_last_seconds() -> None:
    """What was answered longer ago than the window has no part in them."""
    kept = Tally(PLAN)
    kept.take(record("run", "clock", 1.0))
    for number, (sent, done) in enumerate([(1.0, 3.0), (10.0, 10.02)]):
        kept.take(record("client", "invoke", sent, id=number, t_int=sent))
        kept.take(record("client", "ok", done, id=number))
    assert kept.recent(10.02) == summarize([10.02 - 10.0])
    assert kept.recent(10.02 + WINDOW + 1.0) is None


def test_each_second_has_its_place() -> None:
    """The course has one entry a second since the clock began, empty ones included."""
    kept = Tally(PLAN)
    kept.take(record("run", "clock", 1.0))
    for number, (done, kind) in enumerate([(1.1, "ok"), (3.5, "fail")]):
        kept.take(record("client", "invoke", 1.0, id=number, t_int=1.0))
        kept.take(record("client", kind, done, id=number, error="SessionLost"))
    course = kept.course(5.0, 10)
    assert [(len(second.seconds), second.failed) for second in course] == [(1, 0), (0, 0), (0, 1), (0, 0)]
    assert len(kept.course(5.0, 2)) == 2


def test_workers_are_followed_through_their_lives() -> None:
    """Slot, incarnation, process, state and restarts are those of the worker that is there now."""
    found = made()
    killed = next(entry for entry in found.records if entry["type"] == "inject" and entry["kind"] == "kill")
    back = next(
        entry
        for entry in found.records[killed["seq"] :]
        if entry["type"] == "WorkerReady" and entry["slot"] == killed["slot"]
    )
    kept = tally(found, found.records[: back["seq"] + 1])
    slot = kept.slots[killed["slot"]]
    assert (slot.incarnation, slot.pid, slot.state) == (back["incarnation"], back["pid"], "ready")
    assert slot.restarts == 1
    assert slot.hit is not None
    assert slot.hit.over == back["t"]


def test_a_frozen_worker_is_shown_as_frozen() -> None:
    """With the fault that froze it and since when, and the fault as active."""
    found = made()
    records = until(found, "chaos", "inject", kind="freeze")
    kept = tally(found, records)
    row = next(line for line in frame(kept) if line.strip().startswith(f"{records[-1]['slot']} "))
    assert row.split()[3] == "frozen"
    assert row.split()[-5:] == [records[-1]["fault"], "frozen", "for", "0.0", "s"]
    assert any(f"▶ {records[-1]['fault']}" in line for line in frame(kept))


def test_what_is_slow_is_shown_as_slow() -> None:
    """A link that is delayed slows its worker, and a fault nobody has a word for is called by its kind."""
    kept = Tally(PLAN)
    for slot, kind in enumerate(("wire.latency", "gil-hog")):
        kept.take(record("pool", "WorkerStarting", 0.0, slot=slot, incarnation=slot))
        kept.take(record("pool", "WorkerReady", 0.0, slot=slot, incarnation=slot, pid=100))
        struck = {"fault": PLAN.scenario.faults[0].name, "occurrence": slot, "slot": slot, "incarnation": slot}
        kept.take(record("chaos", "inject", 1.0, kind=kind, **struck))
    text = "\n".join(frame(kept))
    assert "slowed" in text
    assert "slow link" in text
    assert "gil-hog" in text


def test_a_frame_shows_what_there_is_to_know() -> None:
    """The run, its time, each worker, what became of the requests, how long they took, and what was said last."""
    found = made()
    kept = tally(found, until(found, "run", "phase", name="heal")[:-1])
    lines = frame(kept, said=("  3.20 s  k1  kill", "  4.00 s  the last"))
    text = "\n".join(lines)
    assert lines[0].startswith("made  seed 7  plan ")
    assert "main" in lines[0]
    assert re.search(r"━+ .* s of 14 s, .* s left", lines[1])
    assert f"sent {kept.sent}  in flight {kept.in_flight}  ok {kept.ok}" in text
    assert re.search(rf"failed    {kept.failed}: \d+ \w+", text)
    assert re.search(r"p50 \d+ ms  p95 \d+ ms  p99 \d+ ms  in the last 5 s", text)
    assert re.search(r"each s +[▁▂▃▄▅▆▇█ ]+  p95", text)
    for fault in PLAN.scenario.faults:
        assert re.search(rf"[·▶✓-] {fault.name}", text)
    assert lines[-1] == "  4.00 s  the last"


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (200, 60), (20, 5), (1, 1)])
def test_no_frame_is_larger_than_its_terminal(size: tuple[int, int]) -> None:
    """On the narrowest terminal, and one that was made smaller still, no line is too long and none too many."""
    found = made()
    for count in (0, 1, 10, len(found.records) // 2, len(found.records)):
        lines = frame(tally(found, found.records[:count]), size=size, said=("x" * 300, "y") * 50)
        assert len(lines) <= size[1]
        assert max(map(len, lines)) <= size[0]


def test_a_small_terminal_still_shows_every_worker_and_what_was_said() -> None:
    """At 60 columns and 16 lines nothing of importance is cut off."""
    found = made()
    kept = tally(found, until(found, "chaos", "inject", kind="freeze"))
    lines = frame(kept, size=(60, 16), said=("  0.5 s  the last",))
    assert [line.split()[0] for line in lines[3:6]] == ["0", "1", "2"]
    assert "frozen 0.0 s" in "\n".join(lines[3:6])
    assert "restarts" in lines[2]
    assert "dropped 0" in "\n".join(lines)
    assert "  0.5 s  the last" in lines


def test_workers_beyond_the_screen_are_counted() -> None:
    """A pool larger than the terminal shows as many as fit and says how many serve of the others."""
    kept = Tally(PLAN)
    for slot in range(40):
        kept.take(record("pool", "WorkerStarting", 0.0, slot=slot, incarnation=slot))
        kept.take(record("pool", "WorkerReady", 0.0, slot=slot, incarnation=slot, pid=100 + slot))
    lines = frame(kept, size=(80, 24))
    (rest,) = (line for line in lines if line.startswith("and "))
    shown = sum(1 for line in lines if " ready " in line)
    assert rest.strip() == f"and {40 - shown} more, {40 - shown} of them serving"


def test_hostile_names_do_nothing_to_the_terminal() -> None:
    """No escape sequence but those for styles reaches it, whatever a session, error or message is called."""
    found = evidence(hostile=True)
    kept = Tally(found.plan)
    for each in found.records:
        kept.take(each)
    shown = "\n".join(draw(kept, now=kept.now, said=(HOSTILE,), size=(120, 40)))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", ESCAPES.sub("", shown))


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set, styles are bold and dim at most."""
    kept = tally(made())
    coloured = "\n".join(draw(kept, now=kept.now, said=("x",), size=(100, 30)))
    monkeypatch.setenv("NO_COLOR", "1")
    plain = "\n".join(draw(kept, now=kept.now, said=("x",), size=(100, 30)))
    colour = re.compile(r"\x1b\[[0-9;]*(3[0-7]|38;5)[0-9;]*m")
    assert colour.search(coloured)
    assert not colour.search(plain)
