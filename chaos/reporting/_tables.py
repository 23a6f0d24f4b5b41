"""Tables of the page, which on a narrow screen become lists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .._svg import element, escape
from ..checking._finding import Judgement
from ._format import MARKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_UNIT: Final = re.compile(r"(\d) (%|s\b|ms\b|µs)")

MAX_ROWS: Final = 200
"""Rows of a table; a longer one is not read, and is in results.json."""

WORDS: Final = {Judgement.PASS: "passed", Judgement.FAIL: "failed", Judgement.UNKNOWN: "unknown"}
COLOURS: Final = {Judgement.PASS: "good", Judgement.FAIL: "bad", Judgement.UNKNOWN: "open"}


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int, long: bool = False
) -> str:
    """Return a table: on a narrow screen each row is a card, each cell under its column's name.

    Args:
        caption: What the table is.
        columns: The names of the columns; the first names the row.
        rows: Text, one string a column.
        numbers: How many columns, from the second on, hold numbers.
        long: Whether the last column holds sentences.
    """
    kept = list(rows)
    if len(kept) > MAX_ROWS:
        caption += f" The first {MAX_ROWS} of {len(kept)}."
    kinds = ["number" if 0 < index <= numbers else None for index in range(len(columns))]
    if long:
        kinds[-1] = "long"
    body = [
        element(
            "tr",
            element("th", escape(row[0]), scope="row"),
            *(
                element("td", escape(cell), class_=kind, data_label=name)
                for cell, kind, name in zip(row[1:], kinds[1:], columns[1:], strict=True)
            ),
        )
        for row in kept[:MAX_ROWS]
    ]
    return _table(caption, columns, kinds, body)


def judged_table(
    caption: str, columns: Sequence[str], rows: Iterable[tuple[str, Judgement | None, Sequence[str]]]
) -> str:
    """Return a table whose second column says how something was judged, and the last why, in a sentence.

    Args:
        caption: What the table is.
        columns: Their names.
        rows: What names the row, its judgement or None where there was nothing to judge, and the other cells.
    """
    kinds: list[str | None] = [None] * len(columns)
    kinds[-1] = "long"
    body = [
        element(
            "tr",
            element("th", escape(name), scope="row"),
            element(
                "td",
                _state(judgement),
                class_="state",
            ),
            *(
                element("td", escape(cell), class_="long soft" if index == len(cells) - 1 else None, data_label=column)
                for index, (cell, column) in enumerate(zip(cells, columns[2:], strict=True))
            ),
        )
        for name, judgement, cells in rows
    ]
    return _table(caption, columns, kinds, body)


def _state(judgement: Judgement | None) -> str:
    if judgement is None:
        return element("span", "- nothing to judge", class_="soft")
    return element("strong", escape(f"{MARKS[judgement]} {WORDS[judgement]}"), class_=COLOURS[judgement])


def _table(caption: str, columns: Sequence[str], kinds: Sequence[str | None], body: Sequence[str]) -> str:
    head = [element("th", escape(name), scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True)]
    return element(
        "table",
        element("caption", escape(caption)),
        element("thead", element("tr", *head)),
        element("tbody", *body, ""),
        class_="stack",
    )


def card(*children: str, kind: str = "") -> str:
    """Return a box of the page."""
    return element("div", *children, class_=f"card {kind}".strip())


def section(heading: str, *children: str) -> str:
    """Return a section of the page."""
    return element("section", element("h2", escape(heading)), *children)


def paragraph(text: str, kind: str | None = None) -> str:
    """Return a paragraph of plain text, in which no unit is torn from its number."""
    return element("p", escape(held(text)), class_=kind)


def held(text: str) -> str:
    """Return a text with its units held to their numbers."""
    return _UNIT.sub("\\1\N{NO-BREAK SPACE}\\2", text)
