"""The documentation names tests; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

from trio_pool._core._worker_states import WorkerStatus, table_markdown

ROOT = Path(__file__).parents[2]


def test_every_test_named_by_the_guarantees_exists() -> None:
    """A guarantee whose test was renamed or removed is found here."""
    text = (ROOT / "docs" / "guarantees.md").read_text()
    files = re.findall(r"`(tests/[\w/]+\.py)`(?:: `(\w+)`)?", text)
    assert len(files) > 20
    missing = [
        (file, test)
        for file, test in files
        if not (ROOT / file).is_file() or (test and f"def {test}(" not in (ROOT / file).read_text())
    ]
    assert missing == []


def test_the_page_of_worker_states_is_the_table_that_is_enforced() -> None:
    """The page holds the table as the code writes it, and a line for each status."""
    page = (ROOT / "docs" / "worker-states.md").read_text()
    assert table_markdown().rstrip() in page
    assert all(f"| `{status}` |" in page for status in WorkerStatus)
