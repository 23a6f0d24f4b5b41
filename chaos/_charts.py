"""A small chart: how latency is spread over the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._stats import percentile
from ._svg import Scale, brief, decades, element, log_ticks, number, title, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CURVE_POINTS = 120


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
