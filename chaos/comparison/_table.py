"""A comparison as tables, one for each situation: for a terminal, and as Markdown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._situations import LEFT_LIMIT, SIZE, TITLES, Situation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._results import Compared, Row, Spread

HEADINGS = (
    "pool",
    "failed",
    "bystanders",
    "hung",
    "next answer",
    f"{SIZE} workers again",
    "usable after",
    "closes in",
    "left behind",
)


DEATH_HEADINGS = ("pool", "left behind", "the last gone after", f"killed after {LEFT_LIMIT:g} s")


def console_lines(compared: Compared) -> Iterator[str]:
    """Yield the tables for a terminal."""
    for situation in Situation:
        rows = compared.rows(situation)
        if not rows:
            continue
        cells = [_headings(situation), *(_cells(row) for row in rows)]
        widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
        yield ""
        yield TITLES[situation]
        for line in cells:
            yield "  " + "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
    yield ""
    yield from _troubles(compared)


def markdown(compared: Compared) -> str:
    """Return the tables, and where and when they were made, as Markdown."""
    about = ", ".join(f"{name} {value}" for name, value in compared.environment.items())
    lines = [
        "| pool | version |",
        "|---|---|",
        *(f"| {pool} | {version} |" for pool, version in compared.versions.items()),
        "",
        f"Made {compared.started} in {compared.seconds:.0f} s ({about}); load of the machine"
        f" {compared.load[0]:.1f} before and {compared.load[1]:.1f} after.",
    ]
    for situation in Situation:
        rows = compared.rows(situation)
        if rows:
            headings = _headings(situation)
            lines += ["", f"## {TITLES[situation]}", "", f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
            lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    troubles = list(_troubles(compared))
    if troubles:
        lines += ["", *(f"- {line}" for line in troubles)]
    return "\n".join(lines) + "\n"


def _headings(situation: Situation) -> Sequence[str]:
    return DEATH_HEADINGS if situation is Situation.APPLICATION else HEADINGS


def _cells(row: Row) -> Sequence[str]:
    if row.left is None or row.left_for is None:
        return [row.pool, *["-"] * (len(_headings(row.situation)) - 1)]
    stay = _time(row.left_for, LEFT_LIMIT)
    if row.situation is Situation.APPLICATION:
        return [row.pool, _number(row.left), stay, _number(row.stayed)]
    left = f"{_number(row.left)} for {stay}" if row.left.worst else "nothing"
    asked = row.asked
    return [
        row.pool,
        f"{_number(row.failed)} of {'-' if asked is None else f'{asked.median:g}'}",
        _number(row.bystanders),
        _number(row.hung),
        _time(row.next),
        _time(row.again),
        _usable(row.usable),
        _time(row.closed),
        left,
    ]


def _number(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.median:g}" if spread.median == spread.worst else f"{spread.median:g} ({spread.worst:g})"


def _usable(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    words = {0: "no", SIZE: "yes"}
    median, worst = (words.get(int(value), f"{value:g} of {SIZE}") for value in (spread.median, spread.worst))
    return median if median == worst else f"{median} ({worst})"


def _time(spread: Spread | None, limit: float | None = None) -> str:
    if spread is None:
        return "-"
    median, worst = (_seconds(value, limit) for value in (spread.median, spread.worst))
    return median if median == worst else f"{median} ({worst})"


def _seconds(value: float, limit: float | None) -> str:
    if math.isinf(value):
        return "never" if limit is None else f"> {limit:g} s"
    return f"{value:.2f} s"


def _troubles(compared: Compared) -> Iterator[str]:
    for situation in Situation:
        for row in compared.rows(situation):
            if row.trouble:
                yield f"{row.pool}, {situation}: {len(row.trouble)} of {row.tried} without a result: {row.trouble[0]}"
