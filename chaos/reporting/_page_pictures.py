"""The sections of the page that hold pictures; each picture has a table or a text that says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._svg import cross, element, escape, legend_of
from ..checking._measured import Fate
from ._aligned import align, course_rows, draw_course_of
from ._format import count, duration
from ._frame import LOOKS, patterns
from ._lanes import draw_course, shown_slots
from ._page_words import GLOSSARY
from ._panels import ROW_NAMES, bucket_length, bucket_rows
from ._scene import SUDDEN
from ._sequence import draw_diagram
from ._tables import card, paragraph, section, table
from ._thinning import MAX_POINTS
from ._visits import MAX_SESSIONS, draw_visits, visits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..checking._recovery import Occurrence
    from ..evidence._evidence import Evidence
    from ..scenario._fault import FaultSpec
    from ._aligned import Course
    from ._scene import Scene
    from ._sequence import Diagram

_WIDTHS: Final = (("wide", 1168), ("medium", 700), ("narrow", 340))
"""The great picture is in the page three times, for each kind of screen, and shown once."""

_HALVES: Final = (("wide", 552), ("medium", 700), ("narrow", 340))
"""The same for pictures of which two stand beside each other."""

MAX_ALIGNED: Final = 12
"""Faults whose strikes are laid over each other; more are in the table."""


def _thrice(draw: Callable[[int, str], str], widths: Iterable[tuple[str, int]] = _WIDTHS) -> list[str]:
    return [element("div", draw(width, name), class_=name) for name, width in widths]


def course_section(scene: Scene) -> str:
    """Return the great picture, its legend, and the same as tables."""
    heading = "What happened, second by second"
    if not scene.requests and not scene.lives:
        return section(heading, paragraph("Nothing: no worker started and no request was sent."))
    label = (
        f"{scene.end:.1f} seconds from left to right: latency of {count(len(scene.requests), 'request')}, its"
        f" quantiles, rates, unanswered requests, and a lane for each of {count(len(shown_slots(scene)), 'worker')},"
        f" with {count(len(scene.strokes), 'strike')} of faults marked. The tables below hold the same."
    )
    pictures = _thrice(lambda width, name: draw_course(scene, width=width, name=name, label=label))
    notes: list[str] = []
    if len(scene.requests) > MAX_POINTS:
        notes.append(
            f"Of {len(scene.requests)} requests {MAX_POINTS} at most are drawn, the fastest and the slowest of every"
            " stretch among them. All numbers on this page are of all requests."
        )
    if len(shown_slots(scene)) < len(scene.slots):
        notes.append(f"{len(shown_slots(scene))} of {len(scene.slots)} slots have a lane: those that were hit first.")
    return section(
        heading,
        paragraph(
            "Time runs from left to right through all of it. Each mark at the top is one request, placed when it was"
            " meant to be sent: the higher, the longer it took. At the bottom each lane is one worker's place in the"
            " pool, with the number of every process that took it. A dashed line is a fault: it comes down from its"
            " name and ends at the worker it hit."
        ),
        element("figure", *pictures, _legend(scene), class_="card"),
        *(paragraph(note, "soft") for note in notes),
        _as_tables(scene),
    )


def _legend(scene: Scene) -> str:
    fates = {each.fate for each in scene.requests}
    looks = {stroke.look for stroke in scene.strokes if stroke.over > stroke.at}
    worker = element("rect", class_="life", x=0, y=2, width=18, height=12, rx=2)
    items = [(element("circle", class_="ok", cx=9, cy=8, r=4), "succeeded")]
    if Fate.FAILED in fates:
        items.append((element("path", class_="failed", d=cross(9, 8, 4)), "failed, with an error"))
    if fates & {Fate.GIVEN_UP, Fate.CUT_OFF}:
        items.append((element("circle", class_="cut", cx=9, cy=8, r=4), "withdrawn, or cut off by the end"))
    if Fate.LOST in fates:
        items.append((element("path", class_="lost", d="M4 4h10l-5 9z"), "never got an outcome"))
    items += [
        (element("path", class_="quantile p50", d="M0 8h18"), "half were faster (p50)"),
        (element("path", class_="quantile p95", d="M0 8h18"), "p95"),
        (element("path", class_="quantile p99", d="M0 8h18"), "p99"),
        (element("path", class_="quantile max", d="M0 8h18"), "slowest"),
        (element("path", class_="offered", d="M0 8h18"), "offered"),
        (element("rect", class_="answered", x=2, y=2, width=14, height=12), "answered"),
        (element("rect", class_="failing", x=2, y=2, width=14, height=12), "failed"),
        (element("rect", class_="flight", x=2, y=2, width=14, height=12), "unanswered"),
        (element("path", class_="queued", d="M0 8h18"), "waiting for a worker"),
    ]
    if scene.drops:
        items.append((element("rect", class_="dropped", x=2, y=2, width=14, height=12), "never sent"))
    if scene.lives:
        items.append((worker, "worker ready"))
        items.append((worker + element("path", class_="busy", d="M3 8H15"), "busy"))
        items.append((element("rect", class_="starting", x=0, y=5, width=18, height=6), "starting"))
    for look in sorted(looks - {SUDDEN}):
        # With a pattern of its own: those of the pictures are not there while their picture is not shown.
        box = {"x": 1, "y": 2, "width": 16, "height": 12}
        inside = element("rect", class_="held", **box) + element("rect", fill=f"url(#legend-{look}-{look})", **box)
        items.append((patterns(f"legend-{look}") + element("g", inside, class_=look), LOOKS[look]))
    if any(life.exit is not None and not life.planned for life in scene.lives):
        inside = element("circle", class_="death", cx=9, cy=8, r=6.5) + element("path", class_="dead", d=cross(9, 8, 3))
        items.append((inside, "worker lost"))
    if any(stroke.occurrence.capacity is not None for stroke in scene.strokes):
        items.append((element("rect", class_="recovery", x=0, y=6, width=18, height=3), "until the pool was as before"))
    return legend_of(items)


def _as_tables(scene: Scene) -> str:
    length = bucket_length(scene)
    requests = table(
        f"Requests, {length:g} s a row: offered by the time they were meant to be sent, answered and failed by the time"
        " they ended.",
        ROW_NAMES,
        bucket_rows(scene),
        numbers=len(ROW_NAMES) - 1,
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
                "never" if life.ready is None else duration(life.ready - life.starting),
                f"{life.ended:.2f} s",
                life.exit or "-",
            )
            for life in scene.lives
        ],
        numbers=5,
    )
    parts = [card(requests, kind="table")]
    if scene.lives:
        parts.append(card(lives, kind="table"))
    return element("details", element("summary", "The picture as tables"), *parts)


def faults_section(scene: Scene, evidence: Evidence) -> str:
    """Return the faults: what they are, what each did, and the strikes of each laid over one another."""
    heading = "The faults, and how the pool came back"
    specs = evidence.plan.scenario.faults
    if not specs:
        return section(heading, paragraph("No fault was planned."))
    parts = [card(element("dl", *(_about(spec) for spec in specs), class_="faults"))]
    courses = [course for spec in specs if (course := align(scene, spec.name)) is not None]
    if courses:
        parts.append(element("h3", "Every strike laid over the others"))
        parts.append(
            paragraph(
                "Time 0 is the strike. The line is the middle of all strikes of that fault; the band holds the middle"
                " half of them, or all of them if there are fewer than five. One strike is chance; what the strikes"
                " have in common is how the pool comes back."
            )
        )
        figures = [_superposed(course) for course in courses[:MAX_ALIGNED]]
        parts.append(element("div", *figures, class_="charts"))
        columns = ("Fault", "strikes", "fewest succeeded", "in the end", "slowest p95", "in the end")
        parts.append(card(table("The same in short.", columns, course_rows(courses), numbers=5), kind="table"))
    if scene.results.recovery:
        rows = [_row(each) for each in scene.results.recovery]
        caption = "Each strike and its consequences. Times are counted from the strike."
        parts.append(card(table(caption, _COLUMNS, rows, numbers=6), kind="table"))
    parts += [
        paragraph(f"{each.fault} at {each.at:.2f} s hit nobody: {each.why}.") for each in scene.results.missed[:20]
    ]
    return section(heading, *parts)


def _superposed(course: Course) -> str:
    label = (
        f"{course.fault}, {count(course.strikes, 'strike')}: share of requests that succeeded and the 95th percentile"
        " of latency over the time since the strike. In the table below in short."
    )
    pictures = _thrice(lambda width, _name: draw_course_of(course, width=width, label=label), _HALVES)
    name = f"{course.fault}: {course.kind}, {count(course.strikes, 'strike')}"
    return element("figure", element("h3", escape(name)), *pictures, class_="card")


def _about(spec: FaultSpec) -> str:
    return (
        element("dt", escape(f"{spec.name}: {spec.kind}"))
        + element("dd", escape(f"{spec.summary[0].upper()}{spec.summary[1:]}. {spec.mechanism}"))
        + element("dd", escape(f"A good pool: {spec.good_pool}"), class_="soft")
    )


_COLUMNS: Final = ("Fault", "at", "requests hit", "detected", "full strength", "first answer", "steady", "whom")


def _row(each: Occurrence) -> tuple[str, ...]:
    nothing = each.detect is None and not each.lost
    times = ["-" if each.final else duration(value) for value in (each.capacity, each.first_ok, each.steady)]
    whom = ", ".join(
        f"{victim.worker_id or 'a worker'} #{victim.incarnation}"
        for victim in each.victims
        if victim.incarnation is not None
    )
    return (
        f"{each.fault} #{each.number}",
        f"{each.at:.2f} s",
        str(each.in_flight),
        "nothing to detect" if nothing else duration(each.detect),
        *times,
        whom or "the application",
    )


def visits_section(scene: Scene) -> str:
    """Return the sessions, one row each."""
    everybody = visits(scene)
    if not everybody:
        return ""
    failed = sum(visit.failed > 0 for visit in everybody)
    chosen = min(len(everybody), MAX_SESSIONS)
    text = (
        f"{chosen} of {count(len(everybody), 'session')}, one row each: those in which requests failed come before the"
        f" others, and then stand in the order of time. In {failed} a request failed. A low bar is a request that"
        " succeeded, from the moment it was meant to be sent until its answer; a tall one failed."
    )
    label = f"Requests of {chosen} sessions over time; {failed} of all sessions met a failure."
    pictures = _thrice(lambda width, _name: draw_visits(scene, width=width, label=label))
    return section("The sessions", paragraph(text), element("figure", *pictures, class_="card"))


def diagram_section(diagram: Diagram) -> str:
    """Return the sequence diagram of one request, and the same as a list."""
    columns = ", ".join(diagram.columns)
    label = f"Sequence of {len(diagram.steps)} steps between {columns}. The list below holds the same."
    pictures = _thrice(lambda width, _name: draw_diagram(diagram, width=width, label=label))
    first = diagram.steps[0].t
    listed = [
        element(
            "li",
            escape(
                f"{(step.t - first) * 1e3:.1f} ms: {diagram.columns[step.source]}"
                + (f" to {diagram.columns[step.target]}" if step.target != step.source else "")
                + f": {step.text}"
            ),
        )
        for step in diagram.steps
    ]
    rest = [paragraph(f"{diagram.left_out} further steps are not shown.", "soft")] if diagram.left_out else []
    return section(
        f"{diagram.title}: step by step",
        paragraph(
            "What passed between its caller, the pool and the worker, by the caller's own record, the pool's events and"
            f" the workers' ledger. {GLOSSARY['ledger'].partition('.')[0]}. Rows are in the order of time, and not to"
            " scale."
        ),
        element("figure", *pictures, class_="card"),
        *rest,
        element("details", element("summary", "The same as a list"), element("ol", *listed)),
    )
