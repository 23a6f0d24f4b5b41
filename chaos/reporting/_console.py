"""The summary on the console: the verdict, what speaks against it, then numbers, and files last.

For lines of 80 columns and more. What failed comes first, with its evidence and the command that does it again, since
that is what somebody at three in the morning scrolls for.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Final

from .._output import clean
from ..checking._finding import Judgement
from ..checking._results import Exit
from ._files import present
from ._format import MARKS, count, detected, duration, measured, recovered, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from .._history import Record
    from ..checking._finding import Finding
    from ..checking._metrics import Numbers
    from ..checking._objectives import Judged
    from ..checking._quantiles import Spread
    from ..checking._recovery import Occurrence
    from ..checking._results import Results

MAX_WITNESSES: Final = 3
"""Witnesses shown of one finding; the others are in the files."""

MAX_LINES: Final = 3
"""Lines of the history shown of one witness."""

_COLOURS: Final = {Judgement.PASS: "32", Judgement.FAIL: "31", Judgement.UNKNOWN: "33"}  # ANSI green, red, yellow
_QUIET: Final = "2"

EXITS: Final = {
    Exit.PASS: "every check passed",
    Exit.BROKEN: "a guarantee was broken",
    Exit.UNKNOWN: "nothing was broken, and too little was proved",
    Exit.MISSED: "an objective was missed, or the pool came back too late",
    Exit.NOT_STEADY: "the pool was not well before the method began, so nothing was tested",
    Exit.RESIDUE: "something was left behind",
    Exit.UNCAPABLE: "a fault that was demanded cannot be had here",
    Exit.BUG: "the harness itself failed",
    Exit.INTERRUPTED: "the run was interrupted",
}
"""What each way to end means, in a line."""


class Summary:
    """Writes the summary of a run.

    Args:
        results: What it came to.
        records: Its history, for the evidence of what failed; without it witnesses are told in words alone.
        colour: Whether to colour marks and words with ANSI sequences.
        width: Columns, 80 at least.
        ended: The exit code and its meaning, where that is not the verdict's: the harness failed after it.
    """

    def __init__(
        self,
        results: Results,
        records: Sequence[Record] = (),
        *,
        colour: bool = False,
        width: int = 100,
        ended: str | None = None,
    ) -> None:
        self._results = results
        self._records = records
        self._colour = colour
        self._ended = ended or f"{results.exit_code}: {EXITS[results.exit]}"
        self._width = max(80, min(width, 120))

    def lines(self, directory: Path | None = None) -> Iterator[str]:
        """Yield the lines; those about files only where a directory is given."""
        results = self._results
        yield from self._head()
        yield from self._against()
        if results.objectives:
            yield ""
            yield "objectives"
            yield from self._rows((self._mark(each.judgement), *_objective(each)) for each in results.objectives)
        if results.numbers:
            yield ""
            yield from self._windows(results.numbers)
        if results.recovery or results.missed:
            yield ""
            yield from self._faults()
        yield ""
        yield from self._rest()
        if directory is not None:
            yield from self._files(directory)

    def _head(self) -> Iterator[str]:
        results = self._results
        word = self._paint(results.verdict.value.upper(), f"1;{_COLOURS[results.verdict]}")
        about = f"{clean(results.name)}  {clean(results.target)} {clean(results.version)}".rstrip()
        yield f"{word}  {about}  plan {clean(results.plan)[:12]}"
        yield f"exit {self._ended}"

    def _against(self) -> Iterator[str]:
        """Yield what speaks against a pass, failures before what is unknown, and how to see it again."""
        results = self._results
        found = bool(results.unexplained)
        for reason in results.unexplained:
            yield from self._item(results.verdict, reason)
        for judgement in (Judgement.FAIL, Judgement.UNKNOWN):
            for finding in results.findings:
                if finding.judgement is judgement and (finding.weighs or judgement is Judgement.FAIL):
                    found = True
                    yield from self._finding(finding)
            for kind, judged in (("", results.objectives), ("sometimes ", results.sometimes)):
                for each in judged:
                    if each.judgement is judgement:
                        found = True
                        where = "" if kind else f"{each.window}: "
                        why = f"  ({each.why})" if each.why else ""
                        yield from self._item(judgement, f"{where}{kind}{each.text}   {measured(each)}{why}")
        for state in results.steady:
            if not state.ok:
                found = True
                failing = "; ".join(state.failing) or "it never held"
                yield from self._item(Judgement.FAIL, f"no steady state {state.when} the method: {failing}")
        if found:
            yield f"again: {clean(results.replay)}"

    def _finding(self, finding: Finding) -> Iterator[str]:
        yield from self._item(finding.judgement, f"{finding.title}: {finding.text}")
        for witness in finding.witnesses[:MAX_WITNESSES]:
            where = f" (history {', '.join(map(str, witness.seqs))})" if witness.seqs else ""
            yield from self._wrapped(f"{clean(witness.text)}{where}", "    ")
        for seq in finding.witnesses[0].seqs[:MAX_LINES] if finding.witnesses else ():
            if seq < len(self._records):
                line = clean(json.dumps(self._records[seq], separators=(",", ":")))
                yield self._paint(f"      {line[: self._width - 7]}", _QUIET)
        if finding.cases > MAX_WITNESSES:
            yield f"    and {finding.cases - MAX_WITNESSES} more, see results.json"

    def _windows(self, numbers: Iterable[Numbers]) -> Iterator[str]:
        head = ("", "requests", "ok", "dropped", "success", "p50", "p95", "p99", "p99.9", "max")
        rows: list[tuple[str, ...]] = [head]
        for each in numbers:
            counted = (str(each.sent), str(each.ok), str(each.dropped), share(each.success_rate))
            rows.append((clean(each.window), *counted, *_times(each.latency)))
        yield "latency of the successes, from the moment each was meant to be sent"
        yield from self._table(rows)
        if any(cell.startswith("~") for row in rows for cell in row):
            yield "  ~ of too few values to judge by"
        whole = self._results.of("all")
        if whole is not None:
            yield "the same requests in other ways"
            yield from self._table(
                [
                    ("failures at their own time", str(_size(whole.latency_all)), *_times(whole.latency_all)),
                    ("from the actual sending", str(_size(whole.service)), *_times(whole.service)),
                    ("waiting for a worker", str(_size(whole.queue_wait)), *_times(whole.queue_wait)),
                    ("generator behind its plan", str(_size(whole.generator_lag)), *_times(whole.generator_lag)),
                ]
            )

    def _faults(self) -> Iterator[str]:
        faults: dict[str, list[Occurrence]] = {}
        for each in self._results.recovery:
            faults.setdefault(each.fault, []).append(each)
        missed = {each.fault for each in self._results.missed}
        head = ("fault", "kind", "struck", "missed", "busy", "detected", "capacity", "first ok", "steady")
        rows: list[tuple[str, ...]] = [head]
        for name in dict.fromkeys([*faults, *sorted(missed)]):
            struck = faults.get(name, [])
            rows.append(
                (
                    clean(name),
                    struck[0].kind if struck else "-",
                    str(len(struck)),
                    str(sum(each.fault == name for each in self._results.missed)),
                    str(sum(each.in_flight for each in struck)),
                    detected(struck),
                    recovered(struck, "capacity"),
                    recovered(struck, "first_ok"),
                    recovered(struck, "steady"),
                )
            )
        yield "faults, and the longest time until noticed and until all was as before"
        yield from self._table(rows, texts=2)

    def _rest(self) -> Iterator[str]:
        results = self._results
        whole = results.of("all")
        if whole is not None:
            errors = ", ".join(f"{number} {clean(name)}" for name, number in whole.errors.items()) or "none"
            yield from self._wrapped(f"errors   {errors}", "", "         ")
        kept = [finding for finding in results.findings if finding.judgement is Judgement.PASS]
        idle = [finding for finding in results.findings if not finding.weighs]
        text = f"checks   {len(kept)} of {len(results.findings) - len(idle)} passed"
        if idle:
            text += f"; nothing to judge: {', '.join(finding.checker for finding in idle)}"
        yield from self._wrapped(text, "", "         ")
        if results.sometimes:
            true = sum(each.judgement is Judgement.PASS for each in results.sometimes)
            yield f"happened {true} of {count(len(results.sometimes), 'thing')} that had to"
        for state in results.steady:
            took = f"after {duration(state.took)}" if state.ok else f"not within {duration(state.took)}"
            yield f"steady   {state.when} the method: {took}"

    def _files(self, directory: Path) -> Iterator[str]:
        yield ""
        files = present(directory)
        for name, what in files:
            yield f"{name:<16} {what}"
        yield f"in {directory}"
        if files:
            yield f"again: {clean(self._results.replay)}"

    def _item(self, judgement: Judgement, text: str) -> Iterator[str]:
        lines = list(self._wrapped(clean(text), "  "))
        yield f"{self._mark(judgement)} {lines[0].lstrip()}"
        yield from lines[1:]

    def _rows(self, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
        kept = list(rows)
        windows = min(max(len(row[1]) for row in kept), 24)
        texts = min(max(len(row[2]) for row in kept), 40)
        for mark, window, text, value in kept:
            line = f"{window:<{windows}}  {text:<{texts}}  {value}"
            first, *rest = textwrap.wrap(line, self._width - 4, drop_whitespace=False, break_on_hyphens=False)
            yield f"  {mark} {first}".rstrip()
            yield from (f"      {each.strip()}" for each in rest)

    def _table(self, rows: Sequence[tuple[str, ...]], *, texts: int = 1) -> Iterator[str]:
        """Yield rows in columns: so many of text, to the left, and then numbers, to the right."""
        widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
        gap = "  " if sum(widths) + 2 * len(widths) <= self._width else " "
        # What does not fit even so is cut from the names, which the files have in full.
        room = self._width - 2 - sum(widths[1:]) - len(gap) * (len(widths) - 1)
        widths[0] = max(6, min(widths[0], room))
        for row in rows:
            cells = [
                f"{cell[:width]:<{width}}" if index < texts else f"{cell:>{width}}"
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            yield f"  {gap.join(cells)}".rstrip()

    def _wrapped(self, text: str, indent: str, more: str | None = None) -> Iterator[str]:
        yield from textwrap.wrap(
            text,
            self._width,
            initial_indent=indent,
            subsequent_indent=indent if more is None else more,
            break_on_hyphens=False,
        ) or [indent]

    def _mark(self, judgement: Judgement) -> str:
        return self._paint(MARKS[judgement], _COLOURS[judgement])

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _objective(judged: Judged) -> tuple[str, str, str]:
    why = f"  ({clean(judged.why)})" if judged.why and judged.judgement is not Judgement.PASS else ""
    return clean(judged.window), clean(judged.text), f"{measured(judged)}{why}"


def _times(spread: Spread | None) -> tuple[str, ...]:
    """Return the columns of a spread; a percentile of too few values is marked, as it may be anything."""
    if spread is None:
        return ("-",) * 5
    cells: list[str] = []
    for wanted in (0.5, 0.95, 0.99, 0.999):
        found = spread.at(wanted)
        cells.append(duration(found.value) if found.enough else f"~{duration(found.value)}")
    return (*cells, duration(spread.maximum))


def _size(spread: Spread | None) -> int:
    return 0 if spread is None else spread.count
