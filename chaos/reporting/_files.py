"""The files of a run's directory, and what each is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RESULTS: Final = "results.json"
JUNIT: Final = "junit.xml"
MARKDOWN: Final = "report.md"
PAGE: Final = "report.html"
PERCENTILES: Final = "latency.hgrm"

FILES: Final[Mapping[str, str]] = {
    PAGE: "the whole report, with pictures",
    MARKDOWN: "a summary",
    RESULTS: "all numbers",
    JUNIT: "for CI",
    PERCENTILES: "percentiles, for HdrHistogram's tools",
    "history.jsonl": "everything that happened",
    "ledger.bin": "what workers executed",
    "plan.json": "what was to happen",
    "scenario.toml": "what it was made from",
    "pool.log": "what the pool logged",
    "application.log": "what the application printed",
}
"""In the order of their worth to somebody who looks for the first time."""


def present(directory: Path) -> list[tuple[str, str]]:
    """Return the files there are, with what each is for."""
    return [(name, what) for name, what in FILES.items() if (directory / name).exists()]
