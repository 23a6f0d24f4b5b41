"""The list of explained survivors of `make mutation` speaks of the code as it is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SURVIVORS = tomllib.loads((ROOT / ".ci" / "mutation" / "survivors.toml").read_text(encoding="utf-8"))["survivor"]


@pytest.mark.parametrize("file", sorted({survivor["file"] for survivor in SURVIVORS}))
def test_each_line_quoted_is_still_there(file: str) -> None:
    """A line that was changed has other mutants, which the explanation may not fit; so it goes with the line."""
    lines = {line.strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()}
    quoted = [survivor["old"] for survivor in SURVIVORS if survivor["file"] == file]
    assert [line for line in quoted if line not in lines] == []


def test_each_survivor_is_explained_once() -> None:
    """Every mutant has one entry, and a reason in it."""
    parts = ("file", "inside", "old", "new", "nth")
    keys = [tuple(survivor.get(part) for part in parts) for survivor in SURVIVORS]
    assert len(set(keys)) == len(keys)
    assert all(survivor["why"].endswith(".") for survivor in SURVIVORS)
