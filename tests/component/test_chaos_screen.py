"""The screen and the display on it, on a real pseudo terminal: drawn on, resized, stopped, taken away."""

from __future__ import annotations

import os
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
from _chaos_made import made as make
from _terminals import ENTER, HIDE, LEAVE, SHOW, Terminal, terminal

from chaos.display._live import INTERVAL, LiveDisplay
from chaos.display._screen import MIN_COLUMNS, MIN_LINES, NoScreen, Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRON = {"TERM": "xterm-256color"}


@pytest.fixture
def made() -> Iterator[Terminal]:
    """A terminal of 80 columns and 24 lines."""
    with terminal(80, 24) as given:
        yield given


@pytest.fixture
def stream(made: Terminal) -> Iterator[Any]:
    """What a program would have as its standard output there."""
    with open(made.slave, "w", encoding="utf-8", closefd=False) as opened:
        yield opened


async def test_a_screen_is_taken_at_the_first_frame_and_given_back_at_the_end(made: Terminal, stream: Any) -> None:
    """Before and after there is nothing of it: neither bytes nor settings nor a mode of anybody else's descriptor."""
    settings, blocking = made.settings(), os.get_blocking(made.slave)
    with Screen(stream, ENVIRON) as screen:
        assert made.written == b""
        await screen.show(["one", "two"])
        made.read()
        assert made.written.startswith(ENTER + HIDE)
        assert b"\x1b[1;1H\x1b[0m\x1b[Kone" in made.written
        assert b"\x1b[2;1H\x1b[0m\x1b[Ktwo" in made.written
        assert os.get_blocking(made.slave) is blocking is True
        before = len(made.written)
    made.read()
    assert made.written[before:] == b"\x1b[0m" + SHOW + LEAVE
    assert made.settings() == settings


async def test_an_error_gives_the_screen_back(made: Terminal, stream: Any) -> None:
    """Whatever ends the use of a screen, it is restored, once."""

    async def fail() -> None:
        with Screen(stream, ENVIRON) as screen:
            await screen.show(["one"])
            raise RuntimeError("oops")

    with pytest.raises(RuntimeError, match="oops"):
        await fail()
    made.read_until(LEAVE)
    assert made.written.count(LEAVE) == 1


async def test_a_screen_never_drawn_on_is_left_alone(made: Terminal, stream: Any) -> None:
    """A run that ends before its first frame writes no escape sequence."""
    with Screen(stream, ENVIRON):
        pass
    os.write(made.slave, b"end")
    made.read()
    assert made.written == b"end"
    await trio.lowlevel.checkpoint()


async def test_a_resized_terminal_is_cleared(made: Terminal, stream: Any) -> None:
    """Nobody knows what a terminal makes of its lines when its width changes: the next frame begins on nothing."""
    with Screen(stream, ENVIRON) as screen:
        await screen.show(["one"])
        await screen.show(["two"])
        made.read_until(b"two")
        assert b"\x1b[2J" not in made.written.partition(b"one")[2]
        made.resize(60, 16)
        assert screen.size == (60, 16)
        await screen.show(["three"] * 30)
        end = made.read_until(b"three")
        assert b"\x1b[2J" in made.written[:end].partition(b"two")[2]
        made.read_until(b"\x1b[J", after=end)
        assert made.written.count(b"three") == 16


@pytest.mark.parametrize("how", ["stopped", "unread"])
async def test_a_terminal_that_takes_nothing_stalls_nobody(made: Terminal, stream: Any, how: str) -> None:
    """Ctrl-S, or a reader that sleeps: the frame waits, everybody else goes on, and the rest comes when it can."""
    frame = ["x" * 80] * 24
    drawn = 0

    async def draw() -> None:
        nonlocal drawn
        while True:
            await screen.show(frame)
            drawn += 1

    with Screen(stream, ENVIRON) as screen:
        if how == "stopped":
            termios.tcflow(made.slave, termios.TCOOFF)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(draw)
            # When it has not come further for a while it waits; each of these turns is one that a blocked loop had not.
            before, turns = -1, 0
            while before != drawn or turns < 50:
                turns = turns + 1 if before == drawn else 0
                before = drawn
                await trio.sleep(0.002)
            if how == "stopped":
                assert drawn == 0
                termios.tcflow(made.slave, termios.TCOON)
            while drawn < before + 3:
                await trio.to_thread.run_sync(made.read)
            nursery.cancel_scope.cancel()
        # What the cancelled frame left in the terminal's buffer makes room for the last words.
        with suppress(TimeoutError):
            while True:
                made.read(0.0)


def test_what_is_no_screen_says_why(made: Terminal, stream: Any) -> None:
    """Each thing the display cannot be shown on is refused, and lines are printed instead."""
    with pytest.raises(NoScreen, match="is no terminal"):
        Screen(None, ENVIRON)
    reader, writer = os.pipe()
    with open(reader), open(writer, "w") as pipe, pytest.raises(NoScreen, match="is no terminal"):
        Screen(pipe, ENVIRON)
    for environ, why in (
        ({"TERM": "dumb"}, "cannot move its cursor"),
        ({}, "cannot move its cursor"),
        ({**ENVIRON, "CI": "true"}, "in CI"),
    ):
        with pytest.raises(NoScreen, match=why):
            Screen(stream, environ)
    with (
        open(made.slave, "w", encoding="latin-1", closefd=False) as latin,
        pytest.raises(NoScreen, match="does not speak UTF-8"),
    ):
        Screen(latin, ENVIRON)
    Screen(stream, {**ENVIRON, "CI": "false"})
    for columns, lines in ((MIN_COLUMNS - 1, 24), (80, MIN_LINES - 1), (0, 0)):
        made.resize(columns, lines)
        with pytest.raises(NoScreen, match="smaller than 60 x 16"):
            Screen(stream, ENVIRON)
    made.resize(MIN_COLUMNS, MIN_LINES)
    Screen(stream, ENVIRON)


@pytest.mark.slow
async def test_a_display_draws_the_history_until_its_terminal_is_gone(made: Terminal, stream: Any) -> None:
    """Frames follow the records as they come; a terminal that goes away ends the display and nothing else."""
    run = make()
    with Screen(stream, ENVIRON) as screen:
        display = LiveDisplay(screen, run.plan)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(display.run)
            await trio.to_thread.run_sync(made.read_until, b"opening the pool")
            for entry in run.records:
                if entry["type"] == "load_ended":
                    break
                display.take(entry)
            display.take({"seq": 0, "t": 9.0, "src": "run", "type": "said", "line": "something was said"})
            await trio.to_thread.run_sync(made.read_until, b"something was said")
            assert b"heal" in made.written
            assert b"WorkerCrashed" in made.written
            made.close()
        # The nursery ended by itself: the display had noticed.
        await trio.sleep(INTERVAL)
        display.take({"seq": 0, "t": 10.0, "src": "run", "type": "end"})
    assert display.said[-1] == "   9.00 s  something was said"
    assert sys.stdout is not stream
