"""The tables of docs/reference/chaos-files.md, read back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "chaos-files.md"


class Fields(NamedTuple):
    """What a type of record has: in every record, and in some."""

    always: frozenset[str]
    maybe: frozenset[str]


def documented() -> dict[tuple[str, str], Fields]:
    """Return the fields of each source and type of record that the page knows."""
    found: dict[tuple[str, str], Fields] = {}
    text = PAGE.read_text(encoding="utf-8").partition("## `results.json`")[0]
    for section in text.split("\n### `")[1:]:
        source = section.partition("`")[0]
        for row in re.findall(r"^\| `.+$", section, re.MULTILINE):
            kind, _when, always, maybe = (cell.strip() for cell in row.strip("|").split("|"))
            key = (source, kind.strip("`"))
            assert key not in found
            found[key] = Fields(frozenset(re.findall(r"`(\w+)`", always)), frozenset(re.findall(r"`(\w+)`", maybe)))
    return found
