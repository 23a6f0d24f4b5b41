"""Cutting output into lines, within bounds: pure, with the time passed in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool._process._output import LINES_PER_SECOND, MAX_LINE, TAIL_LINES, TAIL_SIZE, OutputLines


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 400)))
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], cuts: list[int]) -> None:
    """Whatever the pieces, the lines shown are those printed, in order, and the unended last one waits."""
    printed = b"\n".join(line.replace(b"\n", b"") for line in lines)
    output = OutputLines()
    shown: list[str] = []
    edges = sorted({0, len(printed), *(cut for cut in cuts if cut < len(printed))})
    for start, stop in pairwise(edges):
        shown += output.feed(printed[start:stop], 0.0)
    complete, last = printed.split(b"\n")[:-1], printed.split(b"\n")[-1]
    assert shown == [line.removesuffix(b"\r").decode("utf-8", "replace") for line in complete]
    assert output.flush(0.0) == ([last.removesuffix(b"\r").decode("utf-8", "replace")] if last else [])
    assert output.dropped == output.cut == 0


def test_at_most_a_thousand_lines_in_any_second() -> None:
    """The limit holds for every window of a second, not only for those that begin with the clock's."""
    output = OutputLines()
    assert len(output.feed(b"a\n" * 600, 0.0)) == 600
    assert len(output.feed(b"b\n" * 600, 0.5)) == 400
    assert len(output.feed(b"c\n" * 600, 0.75)) == 0
    assert len(output.feed(b"d\n" * 700, 1.0)) == 600
    assert len(output.feed(b"e\n" * 700, 1.5)) == 400
    assert output.dropped == 200 + 600 + 100 + 300


@given(st.lists(st.tuples(st.integers(0, 2500), st.floats(0, 1.5))))
def test_lines_shown_and_dropped_are_all_lines(bursts: list[tuple[int, float]]) -> None:
    """Nothing is lost without being counted, and no second shows more than the limit."""
    output = OutputLines()
    now = 0.0
    shown: list[tuple[float, int]] = []
    for count, pause in bursts:
        now += pause
        shown.append((now, len(output.feed(b"x\n" * count, now))))
        assert sum(lines for at, lines in shown if now - at < 1.0) <= LINES_PER_SECOND
    assert sum(lines for _, lines in shown) + output.dropped == sum(count for count, _ in bursts)


def test_the_tail_keeps_the_last_lines_shown_or_not() -> None:
    """A worker that drowns its last words in noise still has its last words in the tail."""
    output = OutputLines()
    output.feed(b"".join(b"%d\n" % n for n in range(5000)), 0.0)
    assert list(output.tail) == [str(n) for n in range(5000 - TAIL_LINES, 5000)]
    assert output.dropped == 4000
    output.feed(b"one\nmore\n", 0.0)
    assert list(output.tail)[-3:] == ["4999", "one", "more"]
    assert output.dropped == 4002


@pytest.mark.parametrize("hidden", [1, TAIL_LINES - 1, TAIL_LINES, TAIL_LINES + 1, TAIL_LINES + 2])
def test_the_tail_is_exact_around_its_length(hidden: int) -> None:
    """Whether few lines are dropped or many, each is in the tail once and in order."""
    output = OutputLines()
    total = LINES_PER_SECOND + hidden
    assert len(output.feed(b"".join(b"%d\n" % n for n in range(total)) + b"rest", 0.0)) == LINES_PER_SECOND
    assert list(output.tail) == [str(n) for n in range(total - TAIL_LINES, total)]
    assert output.flush(2.0) == ["rest"]


def test_the_tail_is_bounded_in_size() -> None:
    """Fifty very long lines are not kept; the last ones are."""
    output = OutputLines()
    output.feed((b"x" * MAX_LINE + b"\n") * TAIL_LINES, 0.0)
    assert sum(map(len, output.tail)) <= TAIL_SIZE
    assert len(output.tail) == TAIL_SIZE // MAX_LINE


@pytest.mark.parametrize("piece", [1000, 100_000])
def test_a_long_line_is_cut_and_what_is_cut_is_counted(piece: int) -> None:
    """In one piece or many, a line is shown with at most 8 KiB, marked, and its memory is bounded while it grows."""
    output = OutputLines()
    shown: list[str] = []
    for _ in range(100_000 // piece):
        shown += output.feed(b"x" * piece, 0.0)
        assert len(output._partial) <= MAX_LINE + 1
    shown += output.feed(b"\nnext\n", 0.0)
    assert shown == ["x" * (MAX_LINE - 6) + " [cut]", "next"]
    assert output.cut == 100_000 - MAX_LINE + 6


def test_a_line_of_just_the_limit_is_whole() -> None:
    """The limit is inclusive."""
    output = OutputLines()
    assert output.feed(b"x" * MAX_LINE + b"\n", 0.0) == ["x" * MAX_LINE]
    assert output.cut == 0


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    """A worker may print anything."""
    assert OutputLines().feed(b"\xff\xfe ok \xe2\x82\r\n\n", 0.0) == ["\ufffd\ufffd ok \ufffd", ""]


def test_flushing_nothing_is_nothing() -> None:
    """No empty line is made up at the end."""
    output = OutputLines()
    output.feed(b"line\n", 0.0)
    assert output.flush(0.0) == []
    assert list(output.tail) == ["line"]
