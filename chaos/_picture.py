"""The timeline as a picture: requests above, the workers' lanes below, the faults through all of it.

Drawn for a given width in the reader's own pixels, not scaled to it, so that words stay readable on a telephone. What
each mark is, a pointer that rests on it learns; what the colours say, shape or position says as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from ._svg import Scale, brief, cross, decades, element, log_ticks, number, span, ticks, title, words
from ._timeline import CUT_OFF, LOST, OK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ._timeline import Life, Sample, Strike, Timeline

MAX_POINTS: Final = 3000
"""Requests drawn; beyond them a picture grows and shows no more."""

MAX_LANES: Final = 64
"""Slots drawn; more are no picture any more."""

_TAG_ROW = 21.0
_TITLE = 24.0
_IN_FLIGHT = 46.0
_LANE = 36.0
_BAR = 16.0
_GAP = 14.0
_DIGIT = 6.7  # the width of a digit at the size of the labels, about


@attrs.frozen(kw_only=True)
class _Frame:
    """Where things go."""

    name: str
    width: float
    left: float
    x: Scale
    tags: dict[str, tuple[float, int]]
    top: float
    latency: float
    flight: float
    lanes: dict[int, float]
    bottom: float

    @property
    def right(self) -> float:
        return self.x.stop


def thin(samples: Sequence[Sample], limit: int) -> list[Sample]:
    """Return at most ``limit`` requests that look like all of them.

    What failed is kept before what succeeded. Of what must be thinned out, each stretch of time keeps its fastest and
    its slowest, so that no peak is lost.
    """
    if len(samples) <= limit:
        return list(samples)
    failed = _extremes([sample for sample in samples if sample.result != OK], limit // 2)
    succeeded = _extremes([sample for sample in samples if sample.result == OK], limit - len(failed))
    return sorted([*failed, *succeeded], key=lambda sample: (sample.at, sample.index))


def _extremes(samples: Sequence[Sample], limit: int) -> list[Sample]:
    if len(samples) <= limit:
        return list(samples)
    stretches = max(limit // 2, 1)
    kept: list[Sample] = []
    for index in range(stretches):
        part = samples[index * len(samples) // stretches : (index + 1) * len(samples) // stretches]
        by_time = sorted(part, key=lambda sample: (sample.seconds or 0.0, sample.index))
        kept += [by_time[0], by_time[-1]] if len(by_time) > 1 else by_time
    return kept[:limit]


def draw_timeline(timeline: Timeline, *, width: int, name: str, label: str) -> str:
    """Return the picture as an SVG element.

    Args:
        timeline: What to draw.
        width: In pixels; the height follows from what there is.
        name: Unique in the page: what is defined in the picture is called after it.
        label: What the picture is, for those who do not see it.
    """
    slots = shown_slots(timeline)
    frame = _lay_out(timeline, width, name, slots)
    height = frame.bottom + 44.0
    parts = [
        patterns(name),
        *_bands(timeline, frame),
        *_latency(timeline, frame, titled=width >= 600),
        *_flight(timeline, frame),
        *_lanes(timeline, frame),
        *_strikes(timeline, frame),
        *_axis(timeline, frame),
    ]
    return element(
        "svg",
        *parts,
        class_="picture",
        viewBox=f"0 0 {width} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        xmlns="http://www.w3.org/2000/svg",
    )


def shown_slots(timeline: Timeline) -> list[int]:
    """Return the slots that get a lane: all, or if there are too many, those that were hit and the first others."""
    if len(timeline.slots) <= MAX_LANES:
        return list(timeline.slots)
    hit = {strike.slot for strike in timeline.strikes}
    first = sorted(timeline.slots, key=lambda slot: (slot not in hit, slot))
    return sorted(first[:MAX_LANES])


def _lay_out(timeline: Timeline, width: int, name: str, slots: Sequence[int]) -> _Frame:
    left = 58.0 if width >= 600 else 50.0
    end = max(timeline.end, 1e-3)
    x = Scale(0.0, end, left, width - 10.0)
    tags, rows = _tags(timeline, x)
    top = rows * _TAG_ROW + 6.0 + _TITLE
    latency = top + (250.0 if width >= 600 else 210.0)
    flight = latency + _TITLE + _GAP + _IN_FLIGHT
    first = flight + _TITLE + _GAP
    lanes = {slot: first + index * _LANE for index, slot in enumerate(slots)}
    return _Frame(
        name=name,
        width=float(width),
        left=left,
        x=x,
        tags=tags,
        top=top,
        latency=latency,
        flight=flight,
        lanes=lanes,
        bottom=first + max(len(slots), 1) * _LANE + 2.0,
    )


def _tags(timeline: Timeline, x: Scale) -> tuple[dict[str, tuple[float, int]], int]:
    """Place the faults' names above the picture, in the first of four rows that has room, else over each other."""
    free = [0.0] * 4
    tags: dict[str, tuple[float, int]] = {}
    for strike in timeline.strikes:
        wide = _tag_width(strike.incident.name)
        at = min(max(x(strike.incident.at), x.start + wide / 2), x.stop - wide / 2)
        row = next((row for row, until in enumerate(free) if until <= at - wide / 2), len(free) - 1)
        free[row] = at + wide / 2 + 3.0
        tags[strike.incident.name] = (at, row)
    return tags, max((row for _, row in tags.values()), default=0) + 1


def _tag_width(name: str) -> float:
    return min(len(name), 8) * _DIGIT + 12.0


def patterns(name: str) -> str:
    """Return what frozen and slowed workers are hatched with, under names that begin with ``name``."""
    stripes = element("path", d="M-1 1l2-2M0 6l6-6M5 7l2-2", class_="stripes")
    dots = element("circle", cx=2, cy=2, r=1, class_="specks")
    return element(
        "defs",
        element("pattern", stripes, id=f"{name}-freeze", width=6, height=6, patternUnits="userSpaceOnUse"),
        element("pattern", dots, id=f"{name}-latency", width=4, height=4, patternUnits="userSpaceOnUse"),
    )


def _bands(timeline: Timeline, frame: _Frame) -> Iterator[str]:
    """Yield what lasts, behind everything: a band from the injection until it was over."""
    for strike in timeline.strikes:
        start, stop = frame.x(strike.incident.at), frame.x(strike.over)
        if strike.incident.kind != "kill":
            yield element(
                "rect",
                class_=f"band {_kind(strike)}",
                x=start,
                y=frame.top - _TITLE,
                width=max(stop - start, 1.0),
                height=frame.bottom - frame.top + _TITLE,
            )


def _latency(timeline: Timeline, frame: _Frame, *, titled: bool) -> Iterator[str]:
    yield words(frame.left, frame.top - 9.0, "how long each request took", class_="panel")
    times = [max(sample.seconds, 1e-4) for sample in timeline.samples if sample.seconds is not None]
    low, high = decades(min(times, default=1e-3), max(times, default=1.0))
    y = Scale(low, high, frame.latency, frame.top, logarithmic=True)
    for value in log_ticks(low, high):
        at = y(value)
        yield element("line", class_="grid", x1=frame.left, x2=frame.right, y1=at, y2=at)
        yield words(frame.left - 6.0, at + 4.0, brief(value), class_="tick", text_anchor="end")
    dots: list[str] = []
    for sample in thin(timeline.samples, MAX_POINTS):
        x = frame.x(sample.at)
        at = frame.top if sample.seconds is None else y(max(sample.seconds, 1e-4))
        if sample.result == OK and not titled:
            dots.append(f"M{number(x)} {number(at)}h0")
            continue
        yield _point(sample, x, at)
    if dots:
        yield element("path", class_="ok dots", d="".join(dots))


def _point(sample: Sample, x: float, y: float) -> str:
    took = "no outcome" if sample.seconds is None else span(sample.seconds)
    told = title(f"request {sample.index} of {sample.session}, at {sample.at:.2f} s: {sample.result}, {took}")
    if sample.result == OK:
        return element("circle", told, class_="ok", cx=x, cy=y, r=2.2)
    if sample.result == CUT_OFF:
        return element("circle", told, class_="cut", cx=x, cy=y, r=3)
    if sample.result == LOST:
        return element("path", told, class_="lost", d=f"M{number(x - 4)} {number(y - 3)}h8l-4 7z")
    return element("path", told, class_="failed", d=cross(x, y, 3.4))


def _flight(timeline: Timeline, frame: _Frame) -> Iterator[str]:
    top = frame.flight - _IN_FLIGHT
    most = max((count for _, count in timeline.in_flight), default=0)
    yield words(frame.left, top - 9.0, f"unanswered requests, {most} at most", class_="panel")
    y = Scale(0.0, float(max(most, 1)), frame.flight, top)
    yield element("line", class_="grid", x1=frame.left, x2=frame.right, y1=frame.flight, y2=frame.flight)
    yield words(frame.left - 6.0, frame.flight + 4.0, "0", class_="tick", text_anchor="end")
    if most:
        yield words(frame.left - 6.0, top + 4.0, str(most), class_="tick", text_anchor="end")
        yield element("line", class_="grid", x1=frame.left, x2=frame.right, y1=top, y2=top)
        outline = [f"M{number(frame.x(timeline.in_flight[0][0]))} {number(frame.flight)}"]
        outline += [f"H{number(x)}V{number(y(float(count)))}" for x, count in _highest(timeline.in_flight, frame.x)]
        yield element(
            "path", class_="flight", d=f"{''.join(outline)}H{number(frame.x(timeline.end))}V{number(frame.flight)}Z"
        )


def _highest(steps: Iterable[tuple[float, int]], scale: Scale) -> Iterator[tuple[float, int]]:
    """Yield one step for every pixel: the highest count in it."""
    at, highest = None, 0
    for t, count in steps:
        x = float(int(scale(t)))
        if at is not None and x != at:
            yield at, highest
            highest = 0
        at, highest = x, max(highest, count)
    if at is not None:
        yield at, highest


def _lanes(timeline: Timeline, frame: _Frame) -> Iterator[str]:
    first = min(frame.lanes.values(), default=frame.flight + _TITLE)
    yield words(frame.left, first - 9.0, "what each worker did", class_="panel")
    for slot, top in frame.lanes.items():
        label = f"slot {slot}" if frame.left > 50.5 else f"{slot}"
        yield words(frame.left - 6.0, top + _LANE - 11.0, label, class_="tick", text_anchor="end")
    for life in timeline.lives:
        if life.slot in frame.lanes:
            yield from _life(life, frame)


def _life(life: Life, frame: _Frame) -> Iterator[str]:
    y = frame.lanes[life.slot] + _LANE - _BAR - 7.0
    start, stop = frame.x(life.starting), frame.x(life.ended)
    ready = stop if life.ready is None else frame.x(life.ready)
    who = f"incarnation {life.incarnation} in slot {life.slot}" + ("" if life.pid is None else f", pid {life.pid}")
    took = "" if life.ready is None else f", ready after {span(life.ready - life.starting)}"
    how = "" if life.exit is None else f", ended with {life.exit} at {life.ended:.2f} s"
    told = title(f"{who}: started at {life.starting:.2f} s{took}{how}")
    bars = [
        told,
        element("rect", class_="starting", x=start, y=y + 4.0, width=max(ready - start, 1.5), height=_BAR - 8.0),
        element("rect", class_="life", x=ready, y=y, width=max(stop - ready, 0.0), height=_BAR, rx=2),
    ]
    busy = "".join(
        f"M{number(left)} {number(y + _BAR / 2)}H{number(right)}" for left, right in _merged(life.busy, frame.x)
    )
    if busy:
        bars.append(element("path", class_="busy", d=busy))
    name = f"#{life.incarnation}"
    if stop - start > len(name) * _DIGIT + 4.0:
        bars.append(words(start + 1.0, y - 3.0, name, class_="incarnation"))
    yield element("g", *bars)


def _merged(busy: Iterable[tuple[float, float]], scale: Scale) -> Iterator[tuple[float, float]]:
    """Yield the stretches in which a worker was busy, those less than half a pixel apart as one."""
    last: tuple[float, float] | None = None
    for start, stop in busy:
        left, right = scale(start), max(scale(stop), scale(start) + 0.4)
        if last is not None and left - last[1] < 0.5:
            last = (last[0], max(right, last[1]))
            continue
        if last is not None:
            yield last
        last = (left, right)
    if last is not None:
        yield last


def _strikes(timeline: Timeline, frame: _Frame) -> Iterator[str]:
    for strike in timeline.strikes:
        incident = strike.incident
        kind = _kind(strike)
        at, row = frame.tags[incident.name]
        x = frame.x(incident.at)
        y = row * _TAG_ROW
        wide = _tag_width(incident.name)
        lane = frame.lanes.get(strike.slot)
        reaches = frame.bottom if lane is None else lane + _LANE - 7.0 - _BAR / 2
        parts = [
            title(_told(strike)),
            element("path", class_="strike", d=f"M{number(x)} {number(y + 18.0)}V{number(reaches)}"),
            element("rect", class_="tag", x=at - wide / 2, y=y + 1.0, width=wide, height=18, rx=4),
            words(at, y + 14.5, incident.name[:8], class_="name", text_anchor="middle"),
        ]
        if lane is not None:
            middle = lane + _LANE - 7.0 - _BAR / 2
            over = frame.x(strike.over)
            if kind != "kill":
                box = {"x": x, "y": middle - _BAR / 2, "width": max(over - x, 1.5), "height": _BAR}
                parts.append(element("rect", class_="held", **box))
                parts.append(element("rect", fill=f"url(#{frame.name}-{kind})", **box))
            if strike.restored is not None:
                width = max(frame.x(strike.restored) - x, 3.0)
                parts.append(element("rect", class_="recovery", x=x, y=middle + _BAR / 2 + 1.5, width=width, height=3))
            if incident.costs_worker:
                end = x if kind == "kill" else over
                parts.append(element("circle", class_="death", cx=end, cy=middle, r=6.5))
                parts.append(element("path", class_="dead", d=cross(end, middle, 3.0)))
        yield element("g", *parts, class_=f"fault {kind}")


def _kind(strike: Strike) -> str:
    """Return the kind of a fault as a class of the style; one nobody drew yet looks like a kill."""
    return strike.incident.kind if strike.incident.kind in ("freeze", "latency") else "kill"


def _told(strike: Strike) -> str:
    incident = strike.incident
    parts = [f"{incident.name}: {incident.kind} of {incident.worker_id} at {incident.at:.2f} s"]
    if incident.to_detect is not None:
        parts.append(f"detected after {span(incident.to_detect)}")
    if incident.to_first_reply is not None:
        parts.append(f"first reply after {span(incident.to_first_reply)}")
    parts.append(
        "never at full strength again"
        if incident.to_capacity is None
        else f"full strength after {span(incident.to_capacity)}"
    )
    return ", ".join(parts)


def _axis(timeline: Timeline, frame: _Frame) -> Iterator[str]:
    y = frame.bottom
    yield element("line", class_="axis", x1=frame.left, x2=frame.right, y1=y, y2=y)
    for value in ticks(timeline.end, max(int((frame.right - frame.left) / 70.0), 2)):
        x = frame.x(value)
        yield element("line", class_="axis", x1=x, x2=x, y1=y, y2=y + 4.0)
        yield words(x, y + 17.0, f"{value:g}", class_="tick", text_anchor="middle")
    yield words(frame.right, y + 34.0, "seconds since the run began", class_="tick", text_anchor="end")
    if timeline.stopped is not None:
        x = frame.x(timeline.stopped)
        what = "interrupted" if timeline.interrupted else "load ended"
        told = title(f"{what} at {timeline.stopped:.2f} s")
        yield element("g", told, element("line", class_="stopped", x1=x, x2=x, y1=frame.top, y2=y))
