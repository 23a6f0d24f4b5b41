"""All reports of a run, written into its directory or returned one by one.

Everything is made from what the directory holds, so that it can be made again, byte for byte, from the files of a run
that is long over or that was killed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from .._output import CannotWrite, write_text
from ..checking._judge import judge, measure_evidence
from ..checking._windows import ALL
from ._console import Summary
from ._files import JUNIT, MARKDOWN, PAGE, PERCENTILES, RESULTS
from ._hgrm import make_hgrm
from ._junit import make_junit
from ._markdown import make_markdown
from ._page import make_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..checking._finding import Finding
    from ..checking._metrics import Measures
    from ..checking._results import Results
    from ..evidence._evidence import Evidence


class Format(StrEnum):
    """The forms of a report."""

    CONSOLE = "console"
    HTML = "html"
    MARKDOWN = "md"
    JSON = "json"
    JUNIT = "junit"
    HGRM = "hgrm"


_NAMES = {
    Format.JSON: RESULTS,
    Format.JUNIT: JUNIT,
    Format.MARKDOWN: MARKDOWN,
    Format.HTML: PAGE,
    Format.HGRM: PERCENTILES,
}


class Reports:
    """A run, judged, and all that can be said of it; what `analyze` returns.

    Args:
        evidence: What it left.
        findings: What the checkers say of it.
    """

    def __init__(self, evidence: Evidence, findings: Sequence[Finding]) -> None:
        self._evidence = evidence
        self.measures: Measures = measure_evidence(evidence)
        self.results: Results = judge(evidence, findings, self.measures)
        """The verdict, and everything it rests on."""

    def lines(
        self, directory: Path | None = None, *, colour: bool = False, width: int = 100, ended: str | None = None
    ) -> list[str]:
        """Return the summary for the console.

        Args:
            directory: Of the run, whose files are named at the end; None to leave them out.
            colour: Whether to colour it with ANSI sequences.
            width: Columns, from 80 to 120.
            ended: The exit code and its meaning, where that is not the verdict's.
        """
        summary = Summary(self.results, self._evidence.records, colour=colour, width=width, ended=ended)
        return list(summary.lines(directory))

    def text(self, form: Format) -> str:
        """Return one report as a text."""
        match form:
            case Format.CONSOLE:
                return "\n".join(self.lines()) + "\n"
            case Format.HTML:
                return make_page(self.results, self.measures, self._evidence)
            case Format.MARKDOWN:
                return make_markdown(self.results)
            case Format.JSON:
                return self.results.to_json()
            case Format.JUNIT:
                return make_junit(self.results, self.lines())
            case Format.HGRM:
                whole = self.measures.within(self.measures.windows[ALL])
                return make_hgrm(self.measures.times("latency", whole))

    def write(self, directory: Path) -> None:
        """Write all of them into a run's directory, in place of those that are there.

        Args:
            directory: Of the run.

        Raises:
            CannotWrite: At least one of them could not be written; the others were all the same.
        """
        first: CannotWrite | None = None
        for form, name in _NAMES.items():
            try:
                write_text(directory / name, self.text(form))
            except CannotWrite as exc:
                first = first or exc
        if first is not None:
            raise first
