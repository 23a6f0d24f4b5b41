"""The live display as it is drawn: from the history alone, inside its terminal, and safe to show."""

from __future__ import annotations

import re

import pytest
from _chaos_runs import HOSTILE, PLAN, RUNS, Telling, broken, cut_short, good, judged, passed

from chaos._live import draw
from chaos._stats import summarize
from chaos._tally import WINDOW, Tally

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def tally(told: Telling) -> Tally:
    kept = Tally(PLAN)
    kept.follow(told.records)
    return kept


def frame(told: Telling, *, size: tuple[int, int] = (100, 30), said: tuple[str, ...] = ()) -> list[str]:
    """A frame as it is read, without its styles."""
    return [ESCAPES.sub("", line) for line in draw(tally(told), now=told.t, said=said, size=size)]


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal with colours, whatever the tests run on."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("name", RUNS)
def test_the_tally_counts_what_the_checks_count(name: str) -> None:
    """Who watched the run saw the numbers that its report has."""
    told = RUNS[name]()
    kept, findings = tally(told), judged(told)
    assert (kept.sent, kept.ok, kept.dropped) == (findings.sent, findings.ok, findings.dropped)
    unanswered = sum(1 for entry in told.records if entry["type"] == "invoke") - len(
        {entry["id"] for entry in told.records if entry["type"] in ("ok", "fail", "info", "raised")}
    )
    assert kept.in_flight == unanswered


def test_following_in_pieces_is_following_at_once() -> None:
    """A display that looks often and one that looked once know the same."""
    told = passed()
    often = Tally(PLAN)
    for index in range(len(told.records)):
        often.follow(told.records[: index + 1])
    once = tally(told)
    now = told.t
    assert draw(often, now=now, said=(), size=(100, 30)) == draw(once, now=now, said=(), size=(100, 30))


def test_percentiles_are_of_the_last_seconds() -> None:
    """What was answered longer ago than the window has no part in them."""
    told = Telling()
    told.served("old", after=2.0)
    told.t += WINDOW
    told.served("new", after=0.02)
    kept = tally(told)
    numbers = kept.recent(told.t)
    assert numbers == summarize([told.records[-2]["t"] - told.records[-6]["t_int"]])
    assert kept.recent(told.t + WINDOW + 1.0) is None


def test_each_second_has_its_place() -> None:
    """The course has one entry a second since the clock began, empty ones included."""
    told = Telling()
    clock = told.t
    told.served("calm", after=0.1)
    told.t = clock + 2.5
    told.failed(told.asks("calm"), "SessionLost", "fail")
    course = tally(told).course(clock + 4.0, 10)
    assert [(len(second.seconds), second.failed) for second in course] == [(1, 0), (0, 0), (0, 1), (0, 0)]
    assert len(tally(told).course(clock + 4.0, 2)) == 2


def test_workers_are_followed_through_their_lives() -> None:
    """Slot, incarnation, process, state and restarts are those of the worker that is there now."""
    told = Telling()
    told.asks("calm", slot=1)
    told.killed("k1", slot=0)
    one, two = (tally(told).slots[slot] for slot in (0, 1))
    assert (one.incarnation, one.pid, one.state, one.restarts) == (3, 1003, "ready", 1)
    assert (two.incarnation, two.pid, two.state, two.restarts) == (2, 1002, "busy", 0)
    assert one.hit is not None
    assert one.hit.over == next(
        entry["t"] for entry in told.records if entry.get("incarnation") == 3 and "pid" in entry
    )


def test_a_frozen_worker_is_shown_as_frozen() -> None:
    """With the fault that froze it and since when, and the fault as active."""
    told = cut_short()
    told.t += 2.0
    lines = frame(told)
    row = next(line for line in lines if line.strip().startswith("0 "))
    assert row.split() == ["0", "1", "1001", "frozen", "0", "f1", "frozen", "for", "2.0", "s"]
    assert any("▶ f1" in line for line in lines)


def test_a_frame_shows_what_there_is_to_know() -> None:
    """The run, its time, each worker, what became of the requests, how long they took, and what was said last."""
    told = good()
    lines = frame(told, said=("  3.20 s  k1  SIGKILL to demo-0", "  4.00 s  the last"))
    text = "\n".join(lines)
    kept = tally(told)
    assert lines[0].startswith("first-light  seed 7  plan ")
    assert "under load" in lines[0]
    assert re.search(r"━+ .* s of 8 s, .* s left", lines[1])
    assert f"sent {kept.sent}  in flight 0  ok {kept.ok}" in text
    assert "failed    4: 3 WorkerCrashed, 1 CommandTimeout" in text
    assert re.search(r"p50 \d+ ms  p95 \d+ ms  p99 \d+ ms  in the last 5 s", text)
    assert re.search(r"each s +[▁▂▃▄▅▆▇█ ]+  p95", text)
    assert re.search(r"✓ k1  ✓ k2  ✓ f1", text)
    assert lines[-1] == "  4.00 s  the last"


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (200, 60), (20, 5), (1, 1)])
@pytest.mark.parametrize("name", RUNS)
def test_no_frame_is_larger_than_its_terminal(name: str, size: tuple[int, int]) -> None:
    """On the narrowest terminal, and one that was made smaller still, no line is too long and none too many."""
    lines = frame(RUNS[name](), size=size, said=("x" * 300, "y") * 50)
    assert len(lines) <= size[1]
    assert max(map(len, lines)) <= size[0]


def test_a_small_terminal_still_shows_every_worker_and_what_was_said() -> None:
    """At 60 columns and 16 lines nothing of importance is cut off."""
    told = cut_short()
    told.t += 2.0
    lines = frame(told, size=(60, 16), said=("  0.5 s  the last",))
    assert [line.split()[0] for line in lines[3:5]] == ["0", "1"]
    assert "f1 frozen 2.0 s" in lines[3]
    assert "restarts" in lines[2]
    assert "dropped 0" in "\n".join(lines)
    assert "  0.5 s  the last" in lines


def test_workers_beyond_the_screen_are_counted() -> None:
    """A pool larger than the terminal shows as many as fit and says how many serve of the others."""
    told = Telling(workers=40)
    lines = frame(told, size=(80, 24))
    (rest,) = (line for line in lines if line.startswith("and "))
    shown = sum(1 for line in lines if " ready " in line)
    assert rest.strip() == f"and {40 - shown} more, {40 - shown} of them serving"


def test_hostile_names_do_nothing_to_the_terminal() -> None:
    """No escape sequence but those for styles reaches it, whatever a session, error or message is called."""
    told = broken()
    for entry in told.records:
        for field in ("fault", "worker_id", "signal"):
            if field in entry:
                entry[field] = HOSTILE
    shown = "\n".join(draw(tally(told), now=told.t, said=(HOSTILE,), size=(120, 40)))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", ESCAPES.sub("", shown))


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set, styles are bold and dim at most."""
    told = good()
    coloured = "\n".join(draw(tally(told), now=told.t, said=("x",), size=(100, 30)))
    monkeypatch.setenv("NO_COLOR", "1")
    plain = "\n".join(draw(tally(told), now=told.t, said=("x",), size=(100, 30)))
    colour = re.compile(r"\x1b\[[0-9;]*(3[0-7]|38;5)[0-9;]*m")
    assert colour.search(coloured)
    assert not colour.search(plain)
