"""The live display as somebody at a terminal has it: through the command line, on a pseudo terminal."""

from __future__ import annotations

import re
import signal
import termios
import time
from typing import TYPE_CHECKING

import pytest
from _demo import LIMIT, brisk, command, environment, survivors
from _terminals import ENTER, HIDE, LEAVE, SHOW, on_terminal, terminal

from chaos._history import read_history

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ESCAPE = re.compile(rb"\x1b\[\??[0-9;]*[A-Za-z]")


def surroundings(**more: str) -> dict[str, str]:
    """A terminal's environment, whatever that of the tests says of one."""
    inherited = {key: value for key, value in environment().items() if key not in ("CI", "NO_COLOR", "COLORTERM")}
    return {**inherited, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **more}


def run(path: Path, *arguments: str) -> list[str]:
    """A run of two seconds that passes."""
    return command("run", brisk(path), "--seed", "3", "--out", "out", *arguments)


def plain(text: bytes) -> str:
    return ESCAPE.sub(b"", text).decode().replace("\r", "")


@pytest.mark.parametrize("size", [(60, 16), (120, 40)])
def test_a_run_is_shown_live_and_the_terminal_is_given_back(tmp_path: Path, size: tuple[int, int]) -> None:
    """The display comes and goes between the lines before it and the report, and leaves all as it was."""
    with terminal(*size) as screen:
        settings = screen.settings()
        with on_terminal(screen, run(tmp_path), cwd=tmp_path, env=surroundings()) as running:
            screen.read_until(b"frozen")
            assert screen.settings() == settings
            screen.read_to_end()
        assert running.returncode == 0
    before, enter, rest = screen.written.partition(ENTER)
    shown, leave, after = rest.partition(LEAVE)
    assert enter
    assert leave
    assert (screen.written.count(ENTER), screen.written.count(LEAVE)) == (1, 1)
    assert shown.startswith(HIDE)
    assert shown.endswith(SHOW)
    assert "scenario   brisk, seed 3" in plain(before)
    display = plain(shown)
    assert "main" in display
    assert re.search(r"p50 \d+ ms", display)
    assert "f1  freeze  worker brisk-" in display
    assert b"\x1b" not in ESCAPE.sub(b"", after)
    report = plain(after).splitlines()
    # What was said meanwhile stands above the report, which is the one that is printed without a display.
    assert any(re.match(r" +\d\.\d\d s  f1  freeze  worker brisk-\d", line) for line in report)
    verdict = next(place for place, line in enumerate(report) if line.startswith("PASS  brisk@3"))
    assert not any(" s  f1  freeze" in line for line in report[verdict:])
    assert report[-2] == "in out"
    assert report[-1].startswith("again: ")
    assert not [line for line in report if "ready 4/4" in line]


def test_a_display_survives_a_resize(tmp_path: Path) -> None:
    """Made smaller and larger while it is drawn, the terminal gets frames that fit, and the run goes on."""
    with terminal(120, 40) as screen:
        with on_terminal(screen, run(tmp_path), cwd=tmp_path, env=surroundings()) as running:
            at = screen.read_until(b"main")
            for columns, lines in ((60, 16), (20, 5), (100, 30)):
                screen.resize(columns, lines)
                at = screen.read_until(b"\x1b[0m\x1b[2J", after=at)
                frame = screen.read_until(b"\x1b[J", after=at)
                rows = plain(re.sub(rb"\x1b\[\d+;1H", b"\n", screen.written[at:frame])).strip("\n").split("\n")
                assert max(map(len, rows)) <= columns
                assert len(rows) <= lines
            screen.read_to_end()
        assert running.returncode == 0
    assert (screen.written.count(ENTER), screen.written.count(LEAVE)) == (1, 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_display_gives_the_terminal_back(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C while a worker is frozen: the display says so, goes, and the report follows on the screen as it was."""
    marker = f"{tmp_path.name}-{number}"
    with terminal(100, 30) as screen:
        settings = screen.settings()
        with on_terminal(screen, run(tmp_path), cwd=tmp_path, env=surroundings(CHAOS_TEST_MARKER=marker)) as running:
            screen.read_until(b"f1  freeze")
            running.send_signal(number)
            screen.read_until(LEAVE)
            assert screen.settings() == settings
            screen.read_to_end()
        assert running.returncode == code
    shown, _, after = screen.written.partition(LEAVE)
    assert shown.endswith(SHOW)
    assert f"{number.name}: healing and closing the pool" in plain(after)
    assert "UNKNOWN  brisk@3" in plain(after)
    assert survivors(f"CHAOS_TEST_MARKER={marker}") == []


def test_a_stopped_run_leaves_the_screen_to_the_shell_and_takes_it_again(tmp_path: Path) -> None:
    """Ctrl-Z gives the terminal back before the process stops; continued, it draws on."""
    with terminal(100, 30) as screen:
        with on_terminal(screen, run(tmp_path), cwd=tmp_path, env=surroundings()) as running:
            screen.read_until(b"main")
            # Alone in its session nobody could continue it, so the kernel lets it go on at once.
            running.send_signal(signal.SIGTSTP)
            at = screen.read_until(LEAVE)
            again = screen.read_until(ENTER, after=at)
            screen.read_until(b"main", after=again)
            screen.read_to_end()
        assert running.returncode == 0
    assert (screen.written.count(ENTER), screen.written.count(LEAVE)) == (2, 2)


def test_a_stopped_terminal_stops_nothing_else(tmp_path: Path) -> None:
    """With Ctrl-S pressed, the run goes on to its end; what it has to say comes when the terminal takes it again."""
    history = tmp_path / "out" / "history.jsonl"
    with terminal(100, 30) as screen:
        with on_terminal(screen, run(tmp_path), cwd=tmp_path, env=surroundings()) as running:
            screen.read_until(b"main")
            termios.tcflow(screen.slave, termios.TCOOFF)
            # Only the history tells how the run fares.
            deadline = time.monotonic() + LIMIT
            while not (ended := any(entry["type"] == "end" for entry in read_history(history))):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert ended
            assert running.poll() is None
            termios.tcflow(screen.slave, termios.TCOON)
            screen.read_to_end()
        assert running.returncode == 0
    assert (screen.written.count(ENTER), screen.written.count(LEAVE)) == (1, 1)
    assert "PASS  brisk@3" in plain(screen.written.partition(LEAVE)[2])


@pytest.mark.parametrize(("arguments", "term"), [(["--plain"], "xterm"), (["--no-live"], "xterm"), ([], "dumb")])
def test_without_a_display_there_are_lines(tmp_path: Path, arguments: list[str], term: str) -> None:
    """Asked for, or on a terminal that cannot be drawn on: a line a second, and no escape but a verdict's colour."""
    with terminal(100, 30) as screen:
        with on_terminal(screen, run(tmp_path, *arguments), cwd=tmp_path, env=surroundings(TERM=term)) as running:
            screen.read_to_end()
        assert running.returncode == 0
    assert b"\x1b[?" not in screen.written
    assert "  ready 4/4  in flight " in plain(screen.written)
    coloured = b"\x1b[1;32mPASS\x1b[0m" in screen.written
    assert coloured == ("--plain" not in arguments)


def test_without_rich_there_are_lines_and_a_hint(tmp_path: Path) -> None:
    """The library does not need it; who runs the harness without it on a terminal is told, in one line."""
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ModuleNotFoundError('no rich here', name='rich')\n")
    env = surroundings()
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    with terminal(100, 30) as screen:
        with on_terminal(screen, run(tmp_path), cwd=tmp_path, env=env) as running:
            screen.read_to_end()
        assert running.returncode == 0
    lines = plain(screen.written).splitlines()
    assert [line for line in lines if line.startswith("note ")] == [
        "note       this run could be shown live: pip install 'trio_pool[chaos]'"
    ]
    assert b"\x1b[?" not in screen.written
    assert "  ready 4/4  in flight " in plain(screen.written)


def test_a_terminal_that_goes_away_ends_the_display_and_not_the_run(tmp_path: Path) -> None:
    """A line that is cut takes the display with it; the run is carried out to its end and can be reported on."""
    with (
        terminal(100, 30) as screen,
        # It is not the controlling terminal, so no SIGHUP comes: writing fails, and nothing else happens.
        on_terminal(screen, run(tmp_path), cwd=tmp_path, env=surroundings()) as running,
    ):
        screen.read_until(b"main")
        screen.close()
        running.wait()
    kinds = [entry["type"] for entry in read_history(tmp_path / "out" / "history.jsonl")]
    assert kinds[-3:] == ["end", "application_ended", "checked"]
    assert "interrupted" not in kinds
    assert running.returncode == 74
