"""A pytest plugin that writes down which collected tests are counterparts of which items of the testing strategy.

Used as ``PYTHONPATH=docs/document python -m pytest --collect-only -p collect --document-markers FILE``. Asking pytest,
rather than reading the test files, is what keeps the table honest: a test that pytest does not collect is no test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

MARKER = "document"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file."""
    parser.addoption("--document-markers", metavar="FILE", help="write the tests marked `document` and their ids")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write ``{node id: [item ids]}`` for every collected test that is marked."""
    file: str | None = session.config.getoption("--document-markers")
    if file is None:
        return
    found = {item.nodeid: sorted(marked_ids(item)) for item in session.items if item.get_closest_marker(MARKER)}
    Path(file).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def marked_ids(item: pytest.Item) -> set[str]:
    """Return the ids a test is marked with, by itself, its class, its module and its parameters together."""
    return {str(identifier) for marker in item.iter_markers(MARKER) for identifier in marker.args}
