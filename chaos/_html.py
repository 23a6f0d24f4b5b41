"""``report.html``: a run in one page, for somebody who knows nothing of the project.

Made from the evidence alone by pure functions, so the same files give the same page. It loads nothing and runs
nothing: one file without scripts, which its content security policy holds it to, whatever somebody managed to get into
the name of a session.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ._findings import Breach, Ending, Verdict, witnesses
from ._picture import MAX_POINTS, draw_timeline, patterns, shown_slots
from ._sections import (
    details_section,
    faults_section,
    glossary_section,
    pictured_table,
    promises_section,
    requests_section,
)
from ._story import story, tiles
from ._style import STYLE
from ._svg import cross, element, escape, legend_of
from ._timeline import CUT_OFF, LOST, OK, make_timeline
from ._words import ENDINGS, PROMISES, VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._evidence import Evidence
    from ._findings import Findings
    from ._timeline import Timeline

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_WIDTHS: Final = (("wide", 1168), ("medium", 700), ("narrow", 340))
"""The picture is in the page three times, for each kind of screen, and shown once."""

_EVIDENCE_LINES = 3
_EVIDENCE_LENGTH = 400


def make_page(evidence: Evidence, findings: Findings) -> str:
    """Return the page.

    Args:
        evidence: What the run left.
        findings: What the checks make of it.
    """
    plan = evidence.plan
    timeline = make_timeline(evidence.records, findings, workers=plan.workers)
    started = evidence.start.get("started")
    about = f"Test of a trio_pool under faults · scenario {plan.scenario} · seed {plan.seed}"
    if started:
        about += f" · {str(started).replace('T', ' ').replace('Z', ' UTC')}"
    body = [
        element("p", escape(about), class_="about"),
        _verdict(findings),
        _story(evidence, findings),
        *_alarms(evidence, findings),
        _happened(timeline, findings),
        promises_section(findings),
        faults_section(findings, timeline),
        requests_section(findings),
        details_section(evidence, timeline),
        glossary_section(),
        element(
            "footer",
            "Made from history.jsonl, plan.json and executions.log beside this page. Times in them and here are in"
            " seconds since the run began.",
        ),
    ]
    title = f"{findings.verdict.upper()}: {plan.scenario}, seed {plan.seed}"
    head = [
        '<meta charset="utf-8"/>',
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        element("title", escape(title)),
        f"<style>\n{STYLE}</style>",
    ]
    page = element(
        "html", "\n", element("head", *head), "\n", element("body", element("main", "\n".join(body))), lang="en"
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _verdict(findings: Findings) -> str:
    headline, meaning = VERDICTS[findings.verdict]
    if findings.verdict is Verdict.FAIL:
        broken = [PROMISES[breach][0] for breach in Breach if findings.count(breach)]
        headline = (
            "One promise was broken" if len(broken) == 1 else f"{len(broken)} of {len(Breach)} promises were broken"
        )
        meaning = f"Not kept: {'; '.join(name[0].lower() + name[1:] for name in broken)}. What shows it stands below."
    elif not findings.sent:
        headline = "Nothing was tested"
    if findings.ending is not Ending.COMPLETE:
        meaning = ENDINGS[findings.ending]
    mark = {
        Verdict.PASS: "M20 35l10 10 19-21",
        Verdict.FAIL: "M23 23l22 22M45 23l-22 22",
        Verdict.UNKNOWN: "M25 27c0-13 19-13 19-1 0 8-9.500 7-9.500 14M34.500 49v.5",
    }[findings.verdict]
    badge = element(
        "svg",
        element("circle", class_="badge", cx=34, cy=34, r=31),
        element("path", class_="badge", d=mark),
        viewBox="0 0 68 68",
        aria_hidden="true",
    )
    words = element(
        "div",
        element("p", findings.verdict.upper(), class_="word"),
        element("h1", escape(headline)),
        element("p", escape(meaning)),
    )
    return element("header", badge, words, class_=f"verdict {findings.verdict}")


def _story(evidence: Evidence, findings: Findings) -> str:
    cards = [
        element("section", element("h2", title), *(element("p", escape(text)) for text in texts), class_="card")
        for title, texts in story(evidence, findings)
    ]
    numbers = [
        element("div", element("dt", escape(what)), element("dd", escape(value)), class_="card")
        for value, what in tiles(findings)
    ]
    return element("div", *cards, class_="story") + element("dl", *numbers, class_="tiles")


def _alarms(evidence: Evidence, findings: Findings) -> Iterator[str]:
    shown = witnesses(findings.violations)
    if shown:
        items: list[str] = []
        for violation in shown:
            records = [json.dumps(evidence.records[seq]) for seq in violation.seqs[:_EVIDENCE_LINES]]
            lines = "\n".join(escape(line[:_EVIDENCE_LENGTH]) for line in records)
            proof = element("pre", lines) if lines else ""
            items.append(
                element("li", element("strong", escape(violation.breach)), f": {escape(violation.text)}", proof)
            )
        if len(findings.violations) > len(shown):
            items.append(element("li", f"and {len(findings.violations) - len(shown)} more, see results.json"))
        heading = element("h2", "What was broken")
        yield element("section", heading, element("ul", *items), class_="card alarm")
    if findings.reasons:
        heading = element("h2", "What was not proved")
        items = [element("li", escape(reason)) for reason in findings.reasons]
        yield element("section", heading, element("ul", *items), class_="card alarm open-points")


def _happened(timeline: Timeline, findings: Findings) -> str:
    heading = element("h2", "What happened, second by second")
    if not timeline.samples and not timeline.lives:
        return element("section", heading, element("p", "Nothing: no worker started and no request was sent."))
    label = (
        f"Timeline of {timeline.end:.1f} seconds: latency of {findings.sent} requests, requests without an answer, and"
        f" a lane for each of {len(timeline.slots)} workers, with {len(timeline.strikes)} faults marked. The table"
        " below it holds the same."
    )
    pictures = [
        element("div", draw_timeline(timeline, width=width, name=name, label=label), class_=name)
        for name, width in _WIDTHS
    ]
    notes: list[str] = []
    if len(timeline.samples) > MAX_POINTS:
        notes.append(
            f"{MAX_POINTS} of {len(timeline.samples)} requests are drawn: what failed before what succeeded, and of"
            " each stretch of time the fastest and the slowest. All numbers on this page are of all requests."
        )
    if len(shown_slots(timeline)) < len(timeline.slots):
        notes.append(
            f"{len(shown_slots(timeline))} of {len(timeline.slots)} slots have a lane: those that were hit first."
        )
    return element(
        "section",
        heading,
        element(
            "p",
            "Time runs from left to right. Each mark at the top is one request, placed when it was meant to be sent:"
            " the higher, the longer it took. Below, each lane is one worker's place in the pool. A dashed line is a"
            " fault: it comes down from its name and ends at the worker it hit.",
        ),
        element("figure", *pictures, _legend(timeline), class_="card"),
        *(element("p", escape(note), class_="soft") for note in notes),
        pictured_table(timeline),
    )


def _legend(timeline: Timeline) -> str:
    results = {sample.result for sample in timeline.samples}
    kinds = {strike.incident.kind for strike in timeline.strikes}
    worker = element("rect", class_="life", x=0, y=2, width=18, height=12, rx=2)
    items = [(element("circle", class_="ok", cx=9, cy=8, r=4), "succeeded")]
    if results - {OK, CUT_OFF, LOST}:
        items.append((element("path", class_="failed", d=cross(9, 8, 4)), "failed, with an error"))
    if CUT_OFF in results:
        items.append((element("circle", class_="cut", cx=9, cy=8, r=4), "cut off by the end of the run"))
    if LOST in results:
        items.append((element("path", class_="lost", d="M4 4h10l-5 9z"), "never got an outcome"))
    items.append((worker, "worker ready"))
    items.append((worker + element("path", class_="busy", d="M3 8H15"), "worker busy"))
    items.append((element("rect", class_="starting", x=0, y=5, width=18, height=6), "worker starting"))
    for kind, words in (("freeze", "frozen"), ("latency", "slow link")):
        if kind in kinds:
            # With a pattern of its own: those of the pictures are not there while their picture is not shown.
            box = {"x": 1, "y": 2, "width": 16, "height": 12}
            inside = element("rect", class_="held", **box) + element("rect", fill=f"url(#legend-{kind}-{kind})", **box)
            items.append((patterns(f"legend-{kind}") + element("g", inside, class_=kind), words))
    if any(strike.incident.costs_worker for strike in timeline.strikes):
        inside = element("circle", class_="death", cx=9, cy=8, r=6.5) + element("path", class_="dead", d=cross(9, 8, 3))
        items.append((inside, "worker lost to a fault"))
    if timeline.strikes:
        items.append((element("rect", class_="recovery", x=0, y=6, width=18, height=3), "until the pool was as before"))
    return legend_of(items)
