"""``report.md``: the summary for the page of a CI job, where a reader sees it without opening anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .._output import clean
from ..checking._finding import Judgement
from ._console import EXITS
from ._format import MARKS, detected, duration, measured, recovered, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..checking._quantiles import Spread
    from ..checking._recovery import Occurrence
    from ..checking._results import Results

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@-])")

_WORDS: Final = {Judgement.PASS: "passed", Judgement.FAIL: "failed", Judgement.UNKNOWN: "unknown"}


def make_markdown(results: Results) -> str:
    """Return the summary of a run, in the Markdown that code hosts show."""
    lines = [*_head(results), *_checks(results), *_objectives(results), *_latency(results), *_faults(results)]
    return "\n".join([*lines, "", "Again:", "", *_code(results.replay), ""])


def _head(results: Results) -> Iterator[str]:
    name = f"{text(results.scenario)}, seed {results.seed}"
    yield f"## {MARKS[results.verdict]} {results.verdict.value.upper()}: {name}"
    yield ""
    target = text(f"{results.target} {results.version}".strip())
    about = f"{text(results.summary)}. " if results.summary else ""
    ended = EXITS[results.exit]
    yield f"{about}Pool: {target}. {ended[0].upper()}{ended[1:]}."
    if results.reasons:
        yield ""
        yield from (f"- {text(reason)}" for reason in results.reasons[:20])
        if len(results.reasons) > 20:
            yield f"- and {len(results.reasons) - 20} more"


def _checks(results: Results) -> Iterator[str]:
    if results.findings:
        weighing = [finding for finding in results.findings if finding.weighs]
        kept = sum(finding.judgement is Judgement.PASS for finding in weighing)
        idle = len(results.findings) - len(weighing)
        rest = f"; {idle} had nothing to judge" if idle else ""
        yield from ("", f"<details><summary>{kept} of {len(weighing)} checks passed{rest}</summary>")
        yield from _table(
            ("", "check", "what was found"),
            (
                (
                    MARKS[finding.judgement] if finding.weighs else "-",
                    f"{finding.checker} {finding.name}",
                    finding.text,
                )
                for finding in results.findings
            ),
        )
        yield from ("", "</details>")


def _objectives(results: Results) -> Iterator[str]:
    if results.objectives:
        yield from ("", "### Objectives")
        yield from _table(
            ("", "window", "objective", "measured"),
            (
                (f"{MARKS[each.judgement]} {_WORDS[each.judgement]}", each.window, each.text, measured(each))
                for each in results.objectives
            ),
        )


def _latency(results: Results) -> Iterator[str]:
    if results.numbers:
        yield from ("", "### Requests and their latency, from the moment each was meant to be sent")
        yield from _table(
            ("window", "requests", "succeeded", "dropped", "p50", "p95", "p99", "max"),
            (
                (each.window, str(each.sent), share(each.success_rate), str(each.dropped), *_times(each.latency))
                for each in results.numbers
            ),
            numbers=7,
        )


def _faults(results: Results) -> Iterator[str]:
    faults: dict[str, list[Occurrence]] = {}
    for each in results.recovery:
        faults.setdefault(f"{each.fault} ({each.kind})", []).append(each)
    if faults:
        yield from ("", "### Faults, and the longest time until all was as before")
        yield from _table(
            ("fault", "struck", "requests hit", "detected", "full strength", "first answer"),
            (
                (
                    name,
                    str(len(struck)),
                    str(sum(each.in_flight for each in struck)),
                    detected(struck),
                    recovered(struck, "capacity"),
                    recovered(struck, "first_ok"),
                )
                for name, struck in faults.items()
            ),
            numbers=5,
        )


def _times(spread: Spread | None) -> tuple[str, ...]:
    if spread is None:
        return ("-",) * 4
    return (*(duration(spread.at(each).value) for each in (0.5, 0.95, 0.99)), duration(spread.maximum))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---:' if index >= len(columns) - numbers else '---' for index in range(len(columns)))}|"
    for row in rows:
        yield f"| {' | '.join(text(cell) for cell in row)} |"


def _code(line: str) -> Iterator[str]:
    shown = clean(line)
    # A fence longer than any run of its own signs in the text, which so cannot end it.
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    yield from (fence, shown, fence)


def text(value: str) -> str:
    """Return somebody's text so that Markdown and the HTML within it show it as it is."""
    return _SPECIAL.sub(r"\\\1", clean(value))
