"""Fewer points that look like all of them: the largest-triangle method, with every stretch's lowest and highest kept.

The method alone keeps the shape of a line and may lose single extremes, which in a picture of latencies are what one
looks for (Steinarsson, "Downsampling Time Series for Visual Representation", 2013; with minima and maxima kept: Van Der
Donckt and others, "MinMaxLTTB", 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_POINTS = 20_000
"""Points drawn of one picture; a screen has no room for more."""

T = TypeVar("T")


def thin(points: Sequence[T], limit: int, place: Callable[[T], tuple[float, float]]) -> list[T]:
    """Return at most ``limit`` of some points, in their order.

    Args:
        points: In the order of their first coordinate.
        limit: At least 5; fewer points are returned as they are.
        place: Both coordinates of a point, as they are drawn: what is on a logarithmic axis must be told so.
    """
    if len(points) <= limit:
        return list(points)
    places = [place(point) for point in points]
    # The first and the last are kept; each stretch between gives three: lowest, highest and largest triangle.
    stretches = max((limit - 2) // 3, 1)
    inner = range(1, len(points) - 1)
    bounds = [1 + len(inner) * index // stretches for index in range(stretches + 1)]
    kept = [0]
    last = 0
    for index in range(stretches):
        part = range(bounds[index], bounds[index + 1])
        after = (
            range(bounds[index + 1], bounds[index + 2])
            if index + 2 <= stretches
            else range(len(points) - 1, len(points))
        )
        ahead = (
            sum(places[each][0] for each in after) / len(after),
            sum(places[each][1] for each in after) / len(after),
        )
        chosen = max(part, key=lambda each: _area(places[last], places[each], ahead))  # used at once
        lowest = min(part, key=lambda each: places[each][1])
        highest = max(part, key=lambda each: places[each][1])
        kept += sorted({chosen, lowest, highest})
        last = chosen
    kept.append(len(points) - 1)
    return [points[each] for each in kept]


def _area(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return abs((a[0] - c[0]) * (b[1] - a[1]) - (a[0] - b[0]) * (c[1] - a[1]))
