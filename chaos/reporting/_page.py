"""``report.html``: a run in one page, for somebody who knows nothing of the project.

Made from the evidence alone by pure functions, so the same files give the same page. It loads nothing and runs
nothing: one file without scripts, which its content security policy holds it to, whatever somebody managed to get into
the name of a session.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from .._output import clean
from .._style import STYLE
from .._svg import element, escape
from ..checking._finding import Judgement
from ..checking._results import Exit
from ._page_pictures import course_section, diagram_section, faults_section, visits_section
from ._page_style import PAGE_STYLE
from ._page_tables import checks_section, details_section, glossary_section, objectives_section, requests_section
from ._page_words import HEADLINES
from ._scene import make_scene
from ._sequence import find_diagram
from ._tables import held, paragraph
from ._tale import tale, tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..checking._finding import Finding
    from ..checking._metrics import Measures
    from ..checking._results import Results
    from ..evidence._evidence import Evidence
    from ._scene import Scene

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_BADGES: Final = {
    Judgement.PASS: "M20 35l10 10 19-21",
    Judgement.FAIL: "M23 23l22 22M45 23l-22 22",
    Judgement.UNKNOWN: "M25 27c0-13 19-13 19-1 0 8-9.500 7-9.500 14M34.500 49v.5",
}

_MOST_REASONS: Final = 6
_MOST_WITNESSES: Final = 4
_LINES: Final = 3
_LENGTH: Final = 400


def make_page(results: Results, measures: Measures, evidence: Evidence) -> str:
    """Return the page.

    Args:
        results: What the run came to.
        measures: What its numbers were taken of.
        evidence: What it left.
    """
    scene = make_scene(results, measures, evidence)
    about = (
        f"Test of {results.target} {results.version} under faults · scenario {results.scenario} · seed {results.seed}"
    )
    if results.started:
        about += f" · {results.started.replace('T', ' ').replace('Z', ' UTC')}"
    diagram = find_diagram(results, evidence)
    steps = "" if diagram is None else diagram_section(diagram)
    # What is evidence against the pool stands before everything else, an example after what it is one of.
    evident = diagram is not None and diagram.violation
    body = [
        paragraph(about, "about"),
        _verdict(results),
        _story(scene, evidence),
        *_alarms(results, evidence),
        *([steps] if evident else []),
        course_section(scene),
        checks_section(results),
        objectives_section(results),
        faults_section(scene, evidence),
        *([] if evident else [steps]),
        requests_section(scene),
        visits_section(scene),
        details_section(scene, evidence),
        glossary_section(),
        element(
            "footer",
            "Made from the files beside this page. Times in them and here are in seconds since the run began.",
        ),
    ]
    title = f"{results.verdict.upper()}: {results.scenario}, seed {results.seed}"
    head = [
        '<meta charset="utf-8"/>',
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        element("title", escape(title)),
        f"<style>\n{STYLE}{PAGE_STYLE}</style>",
    ]
    page = element(
        "html",
        "\n",
        element("head", *head),
        "\n",
        element("body", element("main", "\n".join(part for part in body if part))),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _verdict(results: Results) -> str:
    headline, meaning = HEADLINES[results.exit]
    badge = element(
        "svg",
        element("circle", class_="badge", cx=34, cy=34, r=31),
        element("path", class_="badge", d=_BADGES[results.verdict]),
        viewBox="0 0 68 68",
        aria_hidden="true",
    )
    words = [
        element("p", results.verdict.upper(), class_="word"),
        element("h1", escape(headline)),
        paragraph(meaning),
    ]
    if results.reasons:
        shown = [element("li", escape(reason)) for reason in results.reasons[:_MOST_REASONS]]
        if len(results.reasons) > _MOST_REASONS:
            shown.append(element("li", f"and {len(results.reasons) - _MOST_REASONS} more"))
        words.append(element("ul", *shown, class_="reasons"))
    return element("header", badge, element("div", *words), class_=f"verdict {results.verdict}")


def _story(scene: Scene, evidence: Evidence) -> str:
    cards = [
        element("section", element("h2", escape(title)), *(paragraph(text) for text in texts), class_="card")
        for title, texts in tale(scene, evidence)
    ]
    numbers = [
        element("div", element("dt", escape(what)), element("dd", escape(held(value))), class_="card")
        for value, what in tiles(scene)
    ]
    return element("div", *cards, class_="story") + element("dl", *numbers, class_="tiles")


def _alarms(results: Results, evidence: Evidence) -> Iterator[str]:
    """Yield what was broken, with the records that show it."""
    broken = [finding for finding in results.findings if finding.judgement is Judgement.FAIL]
    if broken:
        items = [_alarm(finding, evidence) for finding in broken]
        heading = "What was missed" if results.exit is Exit.MISSED else "What was broken"
        yield element("section", element("h2", heading), element("ul", *items), class_="card alarm")


def _alarm(finding: Finding, evidence: Evidence) -> str:
    witnesses: list[str] = []
    for index, witness in enumerate(finding.witnesses[:_MOST_WITNESSES]):
        proof = _proof(evidence, witness.seqs) if index == 0 else ""
        where = f" (history {', '.join(map(str, witness.seqs))})" if witness.seqs else ""
        witnesses.append(element("li", escape(f"{witness.text}{where}"), proof))
    if finding.cases > len(witnesses) > 0:
        witnesses.append(element("li", f"and {finding.cases - len(witnesses)} more, see results.json"))
    inside = element("ul", *witnesses) if witnesses else ""
    return element("li", element("strong", escape(finding.title)), f": {escape(finding.text)}", inside)


def _proof(evidence: Evidence, seqs: Sequence[int]) -> str:
    lines = [
        escape(clean(json.dumps(evidence.records[seq]))[:_LENGTH])
        for seq in seqs[:_LINES]
        if seq < len(evidence.records)
    ]
    return element("pre", "\n".join(lines)) if lines else ""
