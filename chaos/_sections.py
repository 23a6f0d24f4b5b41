"""The sections of the page under its picture: promises, faults, requests, and what one needs to do it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._charts import MAX_ROWS, draw_recovery, draw_spread
from ._findings import Breach, Ending
from ._stats import percentile, summarize
from ._story import count, share
from ._svg import cross, element, escape, legend_of, span, ticks
from ._words import ERRORS, FAULTS, GLOSSARY, PROMISES, UNEXPECTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._evidence import Evidence
    from ._findings import Findings
    from ._incidents import Incident
    from ._timeline import Timeline

MAX_TABLE: Final = 200
"""Rows of a table; a longer one is not read, and is in results.json."""


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int, long: bool = False
) -> str:
    """Return a table that on a narrow screen becomes a list: each row a card, each cell under its column's name.

    Args:
        caption: What the table is.
        columns: The names of the columns; the first names the row.
        rows: Text, one string a column.
        numbers: How many columns, from the second on, hold numbers.
        long: Whether the last column holds sentences.
    """
    kept = list(rows)
    if len(kept) > MAX_TABLE:
        caption += f" The first {MAX_TABLE} of {len(kept)}."
    kinds = ["number" if 0 < index <= numbers else None for index in range(len(columns))]
    if long:
        kinds[-1] = "long"
    head = [element("th", escape(name), scope="col", class_=kind) for name, kind in zip(columns, kinds, strict=True)]
    body = [
        element(
            "tr",
            element("th", escape(row[0]), scope="row"),
            *(
                element("td", escape(cell), class_=kind, data_label=name)
                for cell, kind, name in zip(row[1:], kinds[1:], columns[1:], strict=True)
            ),
        )
        for row in kept[:MAX_TABLE]
    ]
    return element(
        "table",
        element("caption", escape(caption)),
        element("thead", element("tr", *head)),
        element("tbody", *body, ""),
        class_="stack",
    )


def promises_section(findings: Findings) -> str:
    """Return what was promised, and whether it was kept."""
    tested = findings.sent > 0
    rows: list[str] = []
    for breach in Breach:
        name, meaning = PROMISES[breach]
        broken = findings.count(breach)
        looked = tested and not (breach is Breach.LEFTOVER and findings.ending is Ending.CUT_SHORT)
        kept = "✓ kept" if looked else "- not tested"
        state = f"✗ broken, {broken} times" if broken > 1 else "✗ broken, once" if broken else kept
        colour = "bad" if broken else "good" if looked else "soft"
        cells = [
            element("th", escape(name), scope="row"),
            element("td", element("strong", escape(state), class_=colour), class_="state"),
            element("td", escape(meaning), class_="long soft"),
        ]
        rows.append(element("tr", *cells))
    head = element("tr", *(element("th", text, scope="col") for text in ("Promise", "In this run", "What it means")))
    content = element("table", element("thead", head), element("tbody", *rows), class_="stack")
    intro = element(
        "p", "These are the promises the pool makes, each checked for every request and every worker of the run."
    )
    return element(
        "section",
        element("h2", "What was promised, and was it kept?"),
        intro,
        element("div", content, class_="card table"),
    )


def faults_section(findings: Findings, timeline: Timeline) -> str:
    """Return the faults: a chart of the recovery, a table of everything, and what each kind is."""
    heading = element("h2", "The faults, one by one")
    missed = [
        element("p", escape(f"{name} ({kind}) at {at:.2f} s hit nobody: {why}."))
        for at, name, kind, why in timeline.missed
    ]
    if not findings.incidents:
        return element("section", heading, element("p", "No fault was injected."), *missed)
    kinds = dict.fromkeys(incident.kind for incident in findings.incidents)
    known = [
        element("p", element("strong", escape(kind)), ": ", escape(FAULTS[kind][1])) for kind in kinds if kind in FAULTS
    ]
    label = (
        "How long after each fault it was detected, the pool was at full strength, and a reply came. In the table too."
    )
    pictures = [
        element("div", draw_recovery(findings.incidents, width=width, label=label), class_=name)
        for name, width in (("wide", 560), ("medium", 700), ("narrow", 340))
    ]
    legend = legend_of(
        (
            (element("path", class_="detected", d=cross(9, 8, 4)), "the pool noticed"),
            (element("rect", class_="restored", x=4.5, y=3.5, width=9, height=9), "all workers there again"),
            (element("circle", class_="replied", cx=9, cy=8, r=4.5), "first reply from that slot"),
        )
    )
    notes: list[str] = []
    if len(findings.incidents) > MAX_ROWS:
        notes.append(element("p", f"The first {MAX_ROWS} of {len(findings.incidents)} faults.", class_="soft"))
    figure = element("figure", element("h3", "How fast did it recover?"), *pictures, legend, *notes, class_="card")
    columns = ("Fault", "at", "requests hit", "sessions hit", "detected", "first reply", "full strength", "worker")
    rows = [_fault_row(incident) for incident in findings.incidents]
    content = table("Each fault and its consequences. Times are counted from the fault.", columns, rows, numbers=6)
    explained = element("div", element("h3", "What was done"), *known, *missed, class_="card")
    return element(
        "section",
        heading,
        element("div", figure, explained, class_="pair"),
        element("div", content, class_="card table"),
    )


def _fault_row(incident: Incident) -> Sequence[str]:
    def time(seconds: float | None) -> str:
        return "never" if seconds is None else span(seconds)

    return (
        f"{incident.name} {incident.kind}",
        f"{incident.at:.2f} s",
        str(incident.requests) if incident.hit else f"{incident.requests}, none harmed",
        str(len(incident.sessions)),
        "nothing to detect" if incident.kind == "latency" else time(incident.to_detect),
        time(incident.to_first_reply),
        time(incident.to_capacity),
        f"{incident.worker_id} (incarnation {incident.incarnation})",
    )


def requests_section(findings: Findings) -> str:
    """Return what became of the requests: errors by kind, and how long the others took."""
    failed = sum(findings.errors.values())
    rows = [
        (name, str(number), share(number, findings.settled), ERRORS.get(name, UNEXPECTED))
        for name, number in sorted(findings.errors.items(), key=lambda item: (-item[1], item[0]))
    ]
    counted = f"{findings.ok} of {count(findings.settled, 'request')} succeeded, {failed} failed."
    if findings.redispatched:
        counted += (
            f" {count(findings.redispatched, 'request')} lost a worker before it began and went to another unnoticed."
        )
    if rows:
        errors = table(
            counted, ("Error", "requests", "of all", "what it means to the user"), rows, numbers=2, long=True
        )
    else:
        errors = element("p", escape(counted))
    label = "The time that each share of the requests did not exceed. In the table beside it too."
    pictures = [
        element("div", draw_spread(findings.latencies, findings.services, width=width, label=label), class_=name)
        for name, width in (("wide", 560), ("medium", 700), ("narrow", 340))
    ]
    legend = legend_of(
        (
            (element("path", class_="curve latency", d="M1 8h17"), "from the moment it was meant to be sent"),
            (element("path", class_="curve service", d="M1 8h17"), "from the moment it was sent"),
        )
    )
    heading = element("h3", "How long did the successful ones take?")
    figure = element("figure", heading, *pictures, legend, class_="card")
    return element(
        "section",
        element("h2", "The requests"),
        element("div", errors, class_="card table"),
        element("div", figure, element("div", _latency_table(findings), class_="card"), class_="pair"),
    )


def _latency_table(findings: Findings) -> str:
    rows: list[tuple[str, ...]] = []
    for name, sample in (
        ("latency, from the intended send time", findings.latencies),
        ("service time, from the actual send time", findings.services),
        ("how far the sender was behind its plan", findings.lags),
    ):
        summary = summarize(sample)
        if summary is None:
            rows.append((name, *["-"] * 5))
        else:
            values = (summary.p50, summary.p95, summary.p99, summary.maximum)
            rows.append((name, *(span(value) for value in values), str(summary.count)))
    columns = ("What was measured", "p50", "p95", "p99", "slowest", "number")
    return table("p95 is the time that 95 of 100 requests do not exceed.", columns, rows, numbers=5)


def pictured_table(timeline: Timeline) -> str:
    """Return the picture as tables, for those who do not see it or want the numbers."""
    marks = ticks(timeline.end, 120) if timeline.end > 0 else [0.0]
    step = marks[1] if len(marks) > 1 else max(timeline.end, 1.0)
    buckets: dict[int, list[int]] = {}
    for index, sample in enumerate(timeline.samples):
        buckets.setdefault(int(max(sample.at, 0.0) / step + 1e-9), []).append(index)
    rows: list[tuple[str, ...]] = []
    for bucket, members in sorted(buckets.items()):
        samples = [timeline.samples[index] for index in members]
        times = sorted(sample.seconds for sample in samples if sample.result == "ok" and sample.seconds is not None)
        middle, slowest = (span(percentile(times, 0.5)), span(times[-1])) if times else ("-", "-")
        rows.append((f"{bucket * step:g} s", str(len(samples)), str(len(samples) - len(times)), middle, slowest))
    requests = table(
        f"Requests by intended send time, {step:g} s a row.",
        ("from", "requests", "not succeeded", "median", "slowest"),
        rows,
        numbers=4,
    )
    lives = table(
        "Workers in the order of their slots.",
        ("slot", "incarnation", "pid", "started", "ready after", "gone", "ended with"),
        [
            (
                str(life.slot),
                str(life.incarnation),
                "-" if life.pid is None else str(life.pid),
                f"{life.starting:.2f} s",
                "never" if life.ready is None else span(life.ready - life.starting),
                f"{life.ended:.2f} s",
                life.exit or "-",
            )
            for life in timeline.lives
        ],
        numbers=5,
    )
    content = element("div", requests, class_="card table") + element("div", lives, class_="card table")
    return element("details", element("summary", "The picture as tables"), content)


def details_section(evidence: Evidence, timeline: Timeline) -> str:
    """Return where the run took place, and how to do it again."""
    names = {
        "python": "Python",
        "trio": "Trio",
        "cpus": "CPUs",
        "machine": "Machine",
        "kernel": "Linux",
    }
    plan = evidence.plan
    facts = [
        ("Scenario", f"{plan.scenario}, seed {plan.seed}"),
        ("Plan", plan.sha256),
        ("Duration", f"{timeline.end:.1f} s in all, requests over {plan.duration:g} s"),
        *((names.get(name, name), str(value)) for name, value in evidence.environment.items()),
    ]
    about = element(
        "dl", *(element("dt", escape(name)) + element("dd", escape(value)) for name, value in facts), class_="words"
    )
    again = [
        element("h3", "Do it again"),
        element("p", "The same command makes the same plan: the same requests and faults at the same times."),
        element("pre", escape(evidence.replay or "(not on record)")),
        element("p", "This makes the page again from the files beside it, with the checks of the version installed:"),
        element("pre", "python -m chaos report DIRECTORY"),
    ]
    facts_card = element("div", element("h3", "Where and what"), about, class_="card")
    return element(
        "section",
        element("h2", "Where it ran, and how to run it again"),
        element("div", facts_card, element("div", *again, class_="card"), class_="pair"),
    )


def glossary_section() -> str:
    """Return the words of the page."""
    words = [element("dt", escape(word)) + element("dd", escape(meaning)) for word, meaning in GLOSSARY.items()]
    return element("section", element("h2", "What the words mean"), element("dl", *words, class_="words card"))
