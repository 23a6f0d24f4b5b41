"""The documentation names tests; each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

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
