"""Superposed recovery: every strike of a fault laid over the others, so that what they have in common shows.

Time 0 is the strike. One strike's course is noise; the middle of several is how the pool comes back.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

import attrs

from .._stats import percentile
from .._svg import Scale, brief, decades, element, log_ticks, number, span, ticks, title, words
from ..checking._measured import Fate
from ._frame import picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..checking._recovery import Occurrence
    from ._scene import Scene

BINS: Final = 36
"""Stretches of the time around a strike: few enough that each holds some requests."""

_BEFORE: Final = 1.0
_LEAST, _MOST = 2.0, 20.0
"""Seconds after the strike that are shown, at least and at most."""

_QUARTILES: Final = 5
"""Strikes from which on the band is of the middle half; of fewer it reaches from the lowest to the highest."""

MARKS: Final = (
    ("detect", "noticed"),
    ("capacity", "full strength"),
    ("first_ok", "first answer"),
    ("steady", "steady"),
)


@attrs.frozen(kw_only=True)
class Course:
    """What requests met around the strikes of one fault, stretch by stretch.

    Args:
        fault: Its name.
        kind: What was done.
        strikes: How often.
        start: The first stretch's beginning, in seconds from the strike.
        step: How long a stretch is.
        success: In each stretch: lower end, middle and upper end over the strikes; None where nothing was asked.
        slow: The same of the 95th percentile of the successes' latency.
        marks: What happened, the median moment of each.
    """

    fault: str
    kind: str
    strikes: int
    start: float
    step: float
    success: tuple[tuple[float, float, float] | None, ...]
    slow: tuple[tuple[float, float, float] | None, ...]
    marks: tuple[tuple[str, float], ...]


def align(scene: Scene, fault: str) -> Course | None:
    """Lay the strikes of a fault over each other; None if it never struck."""
    struck = [stroke.occurrence for stroke in scene.strokes if stroke.name == fault]
    if not struck:
        return None
    after = _after(struck)
    step = (after + _BEFORE) / BINS
    success: list[list[float]] = [[] for _ in range(BINS)]
    slow: list[list[float]] = [[] for _ in range(BINS)]
    # By time, so that each strike looks at its own surroundings alone: a soak has many of both.
    ordered = sorted(scene.requests, key=lambda request: request.intended)
    times_of = [request.intended for request in ordered]
    for each in struck:
        first = bisect_left(times_of, each.at - _BEFORE - step)
        last = bisect_right(times_of, each.at + after + step)
        settled: list[list[bool]] = [[] for _ in range(BINS)]
        times: list[list[float]] = [[] for _ in range(BINS)]
        for request in ordered[first:last]:
            place = math.floor((request.intended - each.at + _BEFORE) / step)
            if 0 <= place < BINS and request.settled:
                settled[place].append(request.fate is Fate.OK)
                if request.fate is Fate.OK and request.latency is not None:
                    times[place].append(request.latency)
        for place in range(BINS):
            if settled[place]:
                success[place].append(sum(settled[place]) / len(settled[place]))
            if times[place]:
                slow[place].append(percentile(sorted(times[place]), 0.95))
    marks: list[tuple[str, float]] = []
    for field, what in MARKS:
        known = sorted(value for each in struck if (value := getattr(each, field)) is not None)
        if known:
            marks.append((what, percentile(known, 0.5)))
    return Course(
        fault=fault,
        kind=struck[0].kind,
        strikes=len(struck),
        start=-_BEFORE,
        step=step,
        success=tuple(_middle(values) for values in success),
        slow=tuple(_middle(values) for values in slow),
        marks=tuple(marks),
    )


def _after(struck: Sequence[Occurrence]) -> float:
    moments = [0.0]
    for each in struck:
        moments += [value for value in (each.capacity, each.first_ok, each.steady) if value is not None]
        if each.healed is not None:
            moments.append(each.healed - each.at)
    return min(max(_LEAST, 1.3 * max(moments)), _MOST)


def _middle(values: Sequence[float]) -> tuple[float, float, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    if len(ordered) >= _QUARTILES:
        return percentile(ordered, 0.25), percentile(ordered, 0.5), percentile(ordered, 0.75)
    return ordered[0], percentile(ordered, 0.5), ordered[-1]


def draw_course_of(course: Course, *, width: int, label: str) -> str:
    """Return the picture of one fault: success above, latency below, over the time since the strike."""
    left, right = 58.0, width - 12.0
    stop = course.start + BINS * course.step
    x = Scale(course.start, stop, left, right)
    rows = 14.0 * len(course.marks) + 6.0
    top, height, gap = rows + 22.0, 84.0, 30.0
    below = top + height + gap
    bottom = below + height
    parts: list[str] = []
    success = Scale(0.0, 1.0, top + height, top)
    parts.append(words(left, top - 7.0, "requests that succeeded", class_="panel"))
    for share, name in ((0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")):
        parts.append(element("line", class_="grid", x1=left, x2=right, y1=success(share), y2=success(share)))
        parts.append(words(left - 6.0, success(share) + 4.0, name, class_="tick", text_anchor="end"))
    known = [value for each in course.slow if each is not None for value in each]
    low, high = decades(max(min(known, default=1e-3), 1e-4), max(*known, 1e-3) if known else 1.0)
    slow = Scale(low, high, bottom, below, logarithmic=True)
    parts.append(words(left, below - 7.0, "time that 95 of 100 successes did not exceed", class_="panel"))
    for value in log_ticks(low, high):
        parts.append(element("line", class_="grid", x1=left, x2=right, y1=slow(value), y2=slow(value)))
        parts.append(words(left - 6.0, slow(value) + 4.0, brief(value), class_="tick", text_anchor="end"))
    parts += _band(course, course.success, x, success, "success")
    parts += _band(course, course.slow, x, lambda value: slow(max(value, low)), "slowness")
    parts += _moments(course, x, rows, bottom)
    parts.append(element("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom))
    for value in ticks(stop, max(int((right - left) / 60.0), 2)):
        parts.append(words(x(value), bottom + 17.0, f"{value:g} s", class_="tick", text_anchor="middle"))
    parts.append(words(right, bottom + 34.0, "time since the strike", class_="tick", text_anchor="end"))
    return picture(parts, width, bottom + 42.0, label)


def _band(
    course: Course,
    values: Sequence[tuple[float, float, float] | None],
    x: Scale,
    y: Callable[[float], float],
    kind: str,
) -> Iterator[str]:
    """Yield a band from lower to upper ends and a line along the middles; both break where nothing was asked."""
    for first, last in _stretches(values):
        part = [each for each in values[first:last] if each is not None]
        at = [x(course.start + (first + index + 0.5) * course.step) for index in range(len(part))]
        upper = "L".join(f"{number(t)} {number(y(each[2]))}" for t, each in zip(at, part, strict=True))
        lower = "L".join(f"{number(t)} {number(y(each[0]))}" for t, each in reversed(list(zip(at, part, strict=True))))
        middle = "L".join(f"{number(t)} {number(y(each[1]))}" for t, each in zip(at, part, strict=True))
        if course.strikes > 1:
            yield element("path", class_=f"range {kind}", d=f"M{upper}L{lower}Z")
        yield element("path", class_=f"middle {kind}", d=f"M{middle}" + ("h0" if len(part) == 1 else ""))


def _stretches(values: Sequence[object]) -> Iterator[tuple[int, int]]:
    first: int | None = None
    for index, value in enumerate([*values, None]):
        if value is not None and first is None:
            first = index
        elif value is None and first is not None:
            yield first, index
            first = None


def _moments(course: Course, x: Scale, rows: float, bottom: float) -> Iterator[str]:
    at = x(0.0)
    strike = element("path", class_="struck", d=f"M{number(at)} {number(rows)}V{number(bottom)}")
    yield element("g", title("the strike"), strike)
    for row, (what, seconds) in enumerate(sorted(course.marks, key=lambda mark: mark[1])):
        place = x(seconds)
        y = 12.0 + 14.0 * row
        text = f"{what} {span(seconds)}"
        over = place + 6.0 * len(text) > x.stop
        yield element("path", class_="moment", d=f"M{number(place)} {number(y + 3.0)}V{number(bottom)}")
        yield words(
            place + (-5.0 if over else 5.0), y + 1.0, text, class_="moment-name", text_anchor="end" if over else None
        )


def course_rows(courses: Sequence[Course]) -> list[tuple[str, ...]]:
    """Return what the pictures show as rows of a table: before the strike, at the worst, and at the end."""
    rows: list[tuple[str, ...]] = []
    for course in courses:
        known = [each[1] for each in course.success if each is not None]
        slow = [each[1] for each in course.slow if each is not None]
        if known and slow:
            rows.append(
                (
                    f"{course.fault} ({course.kind})",
                    str(course.strikes),
                    f"{min(known) * 100:.0f} %",
                    f"{known[-1] * 100:.0f} %",
                    span(max(slow)),
                    span(slow[-1]),
                )
            )
    return rows
