"""Two small charts: how fast the pool recovered from each fault, and how latency is spread over the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._stats import percentile
from ._svg import Scale, brief, cross, decades, element, log_ticks, number, span, title, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._incidents import Incident

MAX_ROWS: Final = 40
"""Faults in the recovery chart; the table below it has more."""

_CURVE_POINTS = 120
_ROW = 26.0


def draw_recovery(incidents: Sequence[Incident], *, width: int, label: str) -> str:
    """Return a chart with a row for each fault and a mark for each time after it, on a logarithmic axis.

    Args:
        incidents: The faults; the first `MAX_ROWS` are drawn.
        width: In pixels.
        label: What the chart is, for those who do not see it.
    """
    shown = incidents[:MAX_ROWS]
    times = [time for incident in shown for _, time in _times(incident)]
    low, high = decades(max(min(times, default=1e-3), 1e-5), max(max(times, default=1.0), 1e-4))
    left = 104.0
    x = Scale(low, high, left, width - 22.0, logarithmic=True)
    bottom = 10.0 + len(shown) * _ROW
    parts: list[str] = []
    for value in log_ticks(low, high):
        at = x(value)
        parts.append(element("line", class_="grid", x1=at, x2=at, y1=6.0, y2=bottom))
        parts.append(words(at, bottom + 16.0, brief(value), class_="tick", text_anchor="middle"))
    for row, incident in enumerate(shown):
        y = 10.0 + (row + 0.5) * _ROW
        parts.append(words(0.0, y + 4.0, f"{incident.name[:8]} {incident.kind}", class_="row"))
        parts.append(element("line", class_="grid", x1=left, x2=width - 10.0, y1=y, y2=y))
        parts += [_mark(incident, what, time, x(max(time, low)), y) for what, time in _times(incident)]
        if not _times(incident):
            parts.append(words(left + 6.0, y + 4.0, "never", class_="row"))
    parts.append(words(width - 10.0, bottom + 33.0, "time since the fault", class_="tick", text_anchor="end"))
    return _svg(parts, width, bottom + 42.0, label)


def _times(incident: Incident) -> list[tuple[str, float]]:
    named = (
        ("detected", incident.to_detect),
        ("full strength", incident.to_capacity),
        ("first reply", incident.to_first_reply),
    )
    return [(what, time) for what, time in named if time is not None]


def _mark(incident: Incident, what: str, time: float, x: float, y: float) -> str:
    told = title(f"{incident.name}: {what} after {span(time)}")
    if what == "detected":
        return element("path", told, class_="detected", d=cross(x, y, 4.0))
    if what == "first reply":
        return element("circle", told, class_="replied", cx=x, cy=y, r=4.5)
    return element("rect", told, class_="restored", x=x - 4.5, y=y - 4.5, width=9, height=9)


def draw_spread(latencies: Sequence[float], services: Sequence[float], *, width: int, label: str) -> str:
    """Return a chart of the time that each share of the requests did not exceed, both axes logarithmic.

    Args:
        latencies: From the intended send time.
        services: From the actual send time.
        width: In pixels.
        label: What the chart is, for those who do not see it.
    """
    height, left = 260.0, 52.0
    both = [max(value, 1e-4) for value in (*latencies, *services)]
    low, high = decades(min(both, default=1e-3), max(both, default=1.0))
    y = Scale(low, high, height - 44.0, 12.0, logarithmic=True)
    count = max(len(latencies), 2)
    x = Scale(1.0, float(count), left, width - 16.0, logarithmic=True)
    parts: list[str] = []
    for value in log_ticks(low, high):
        parts.append(element("line", class_="grid", x1=left, x2=x.stop, y1=y(value), y2=y(value)))
        parts.append(words(left - 6.0, y(value) + 4.0, brief(value), class_="tick", text_anchor="end"))
    for share, name in (
        (0.0, "0 %"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
    ):
        rarity = 1.0 / (1.0 - share)
        if rarity <= count:
            at = x(rarity)
            parts.append(element("line", class_="grid", x1=at, x2=at, y1=12.0, y2=y.start))
            # The last would reach beyond the picture.
            anchor = "end" if at > x.stop - 16.0 else "middle"
            parts.append(words(at, y.start + 16.0, name, class_="tick", text_anchor=anchor))
    parts.append(
        words(x.stop, y.start + 33.0, "share of the requests that took no longer", class_="tick", text_anchor="end")
    )
    for sample, kind in ((services, "service"), (latencies, "latency")):
        points = list(_curve(sorted(sample)))
        if points:
            d = "L".join(f"{number(x(rarity))} {number(y(max(value, 1e-4)))}" for rarity, value in points)
            parts.append(element("path", title(_NAMES[kind]), class_=f"curve {kind}", d=f"M{d}"))
    return _svg(parts, width, height, label)


_NAMES = {"service": "from the moment it was really sent", "latency": "from the moment it was meant to be sent"}


def _curve(ordered: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Yield rarity, 1 in so many, and the value there, evenly spread over a logarithmic axis."""
    if not ordered:
        return
    count = len(ordered)
    steps = min(count, _CURVE_POINTS)
    for step in range(steps):
        rarity = count ** (step / max(steps - 1, 1))
        yield rarity, percentile(ordered, min(max(1.0 - 1.0 / rarity, 0.0), 1.0))
    yield float(count), ordered[-1]


def _svg(parts: Sequence[str], width: int, height: float, label: str) -> str:
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
