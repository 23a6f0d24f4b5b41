"""The panels over time: every request, quantiles each second, rates, and what waits."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs

from .._stats import percentile
from .._svg import Scale, brief, cross, decades, element, log_ticks, number, span, title, words
from ..checking._measured import Fate
from ._format import duration
from ._thinning import MAX_POINTS, thin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..checking._measured import Measured
    from ._frame import Frame
    from ._scene import Scene

MAX_TOLD: Final = 1500
"""Successes that tell a pointer what they are; each costs the page a line."""

MAX_BUCKETS: Final = 240
"""Stretches for which quantiles and rates are drawn; a second each, unless the run is longer than that."""

_FLOOR: Final = 1e-4
"""No latency is drawn below a tenth of a millisecond."""

_LINES: Final = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (1.0, "max"))


def scatter(scene: Scene, frame: Frame, top: float, height: float) -> Iterator[str]:
    """Yield a mark for every request, where it was meant to be sent, as high as it took long."""
    yield words(frame.left, top - 8.0, "how long each request took", class_="panel")
    times = [max(each.latency, _FLOOR) for each in scene.requests if each.latency is not None]
    low, high = decades(min(times, default=1e-3), max(times, default=1.0))
    y = Scale(low, high, top + height, top, logarithmic=True)
    yield from _log_grid(y, frame, low, high)
    succeeded = [each for each in scene.requests if each.fate is Fate.OK]
    others = [each for each in scene.requests if each.fate is not Fate.OK]

    def place(each: Measured) -> tuple[float, float]:
        return frame.x(each.intended), y(max(each.latency or low, low))

    drawn = thin(sorted(succeeded, key=lambda each: each.intended), MAX_POINTS // 2, place)
    if len(drawn) > MAX_TOLD or not frame.roomy:
        dots = "".join(f"M{number(at)} {number(up)}h0" for at, up in map(place, drawn))
        if dots:
            yield element("path", class_="ok dots", d=dots)
    else:
        for each in drawn:
            at, up = place(each)
            yield element("circle", _told(each, roomy=True), class_="ok", cx=at, cy=up, r=2.2)
    rest = thin(sorted(others, key=lambda each: each.intended), MAX_POINTS // 2, place)
    failed = [each for each in rest if each.fate is Fate.FAILED]
    if len(failed) > MAX_TOLD:
        # So many would cover each other, and the page: smaller, and through which one sees how many there are.
        crosses = "".join(cross(at, up, 2.4) for at, up in map(place, failed))
        yield element("path", class_="failed dots", d=crosses)
        rest = [each for each in rest if each.fate is not Fate.FAILED]
    for each in rest:
        at, up = place(each)
        yield _mark(each, at, top if each.latency is None else up, frame)
    if scene.drops:
        at_top = "".join(f"M{number(frame.x(drop.intended))} {number(top)}v6" for drop in scene.drops[:MAX_POINTS])
        yield element("path", title(f"{len(scene.drops)} arrivals never sent"), class_="drop", d=at_top)


def _mark(each: Measured, x: float, y: float, frame: Frame) -> str:
    told = _told(each, roomy=frame.roomy)
    if each.fate is Fate.LOST:
        return element("path", told, class_="lost", d=f"M{number(x - 4)} {number(y - 3)}h8l-4 7z")
    if each.fate is Fate.FAILED:
        return element("path", told, class_="failed", d=cross(x, y, 3.4))
    return element("circle", told, class_="cut", cx=x, cy=y, r=3)


def _told(each: Measured, *, roomy: bool) -> str:
    # Nobody rests a pointer on a telephone.
    if not roomy:
        return ""
    took = "no outcome" if each.latency is None else span(each.latency)
    whose = "" if each.session is None else f" of {each.session}"
    return title(
        f"request {each.number} ({each.operation}{whose}) at {each.intended:.2f} s: {each.error or 'ok'}, {took}"
    )


@attrs.frozen(kw_only=True)
class Bucket:
    """What was meant to be sent, or ended, in one stretch of time.

    Args:
        start: When it begins.
        offered: Arrivals, sent or not.
        dropped: Those of them that were not sent.
        answered: Requests that succeeded, by the time of their answer.
        failed: Requests that failed, by the time of that.
        times: The latencies of the successes that were meant to be sent in it, ascending.
    """

    start: float
    offered: int
    dropped: int
    answered: int
    failed: int
    times: tuple[float, ...]


def bucket_length(scene: Scene) -> float:
    """Return how long a stretch is: a second, or as many as keep the picture readable."""
    return float(max(1, math.ceil((scene.end - scene.start) / MAX_BUCKETS)))


def buckets(scene: Scene) -> list[Bucket]:
    """Return the run in stretches, from its beginning to its end."""
    length = bucket_length(scene)

    def place(t: float) -> int:
        return int(t / length)

    dropped = Counter(place(each.intended) for each in scene.drops)
    offered = dropped + Counter(place(each.intended) for each in scene.requests)
    answered: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    times: dict[int, list[float]] = {}
    for each in scene.requests:
        if each.done is not None and each.settled:
            (answered if each.fate is Fate.OK else failed)[place(each.done)] += 1
        if each.fate is Fate.OK and each.latency is not None:
            times.setdefault(place(each.intended), []).append(each.latency)
    return [
        Bucket(
            start=index * length,
            offered=offered[index],
            dropped=dropped[index],
            answered=answered[index],
            failed=failed[index],
            times=tuple(sorted(times.get(index, ()))),
        )
        for index in range(math.ceil(scene.end / length))
    ]


def quantiles(scene: Scene, frame: Frame, top: float, height: float) -> Iterator[str]:
    """Yield the quantiles of each second as lines; where nothing succeeded there is a gap."""
    length = bucket_length(scene)
    every = "second" if length == 1 else f"{length:g} seconds"
    yield words(frame.left, top - 8.0, f"latency of the successes, each {every}", class_="panel")
    found = buckets(scene)
    times = [max(value, _FLOOR) for bucket in found for value in (bucket.times[:1] + bucket.times[-1:])]
    low, high = decades(min(times, default=1e-3), max(times, default=1.0))
    y = Scale(low, high, top + height, top, logarithmic=True)
    yield from _log_grid(y, frame, low, high)
    for share, name in _LINES:
        d: list[str] = []
        broken = True
        for bucket in found:
            if not bucket.times:
                broken = True
                continue
            up = number(y(max(percentile(bucket.times, share), _FLOOR)))
            start, stop = number(frame.x(bucket.start)), number(frame.x(bucket.start + length))
            d.append(f"M{start} {up}H{stop}" if broken else f"V{up}H{stop}")
            broken = False
        if d:
            yield element("path", title(name), class_=f"quantile {name}", d="".join(d))


def rates(scene: Scene, frame: Frame, top: float, height: float) -> Iterator[str]:
    """Yield what was offered, answered, failed and dropped, each second."""
    length = bucket_length(scene)
    found = buckets(scene)
    most = max((max(each.offered, each.answered + each.failed) for each in found), default=0) / length
    yield words(frame.left, top - 8.0, f"requests a second, {most:.0f} at most", class_="panel")
    y = Scale(0.0, max(most, 1.0), top + height, top)
    yield from _base(frame, y, top, height, f"{max(most, 1.0):.0f}")
    gap = 1.0 if (frame.right - frame.left) / max(len(found), 1) > 4 else 0.0
    for each in found:
        start = frame.x(each.start)
        wide = max(frame.x(each.start + length) - start - gap, 0.5)
        base = top + height
        counted = f"{each.start:g} s: {each.offered} offered, {each.answered} answered, {each.failed} failed"
        parts = [title(f"{counted}, {each.dropped} dropped")] if frame.roomy else []
        for count, kind in ((each.answered, "answered"), (each.failed, "failing"), (each.dropped, "dropped")):
            if count:
                tall = (top + height) - y(count / length)
                parts.append(element("rect", class_=kind, x=start, y=base - tall, width=wide, height=tall))
                base -= tall
        if each.answered or each.failed or each.dropped:
            yield element("g", *parts)
    d = "".join(
        f"{'V' if index else f'M{number(frame.x(each.start))} '}{number(y(each.offered / length))}"
        f"H{number(frame.x(each.start + length))}"
        for index, each in enumerate(found)
    )
    if d:
        yield element("path", class_="offered", d=d)


def waiting(scene: Scene, frame: Frame, top: float, height: float) -> Iterator[str]:
    """Yield how many requests were unanswered, and how many of those waited for a worker."""
    steps = sorted(
        [(each.sent, 1) for each in scene.requests]
        + [(each.done, -1) for each in scene.requests if each.done is not None]
    )
    level, course = 0, [(scene.start, 0)]
    for t, step in steps:
        level += step
        course.append((t, level))
    queued = [(float(e["t"]), int(e["queued"])) for e in scene.measures.samples if e.get("queued") is not None]
    most = max(level for _, level in course)
    deepest = max((depth for _, depth in queued), default=0)
    if frame.roomy:
        text = f"unanswered requests, {most} at most"
        text += f"; waiting for a worker, {deepest} at most" if queued else ""
    else:
        text = f"unanswered, up to {most}" + (f"; waiting, {deepest}" if queued else "")
    yield words(frame.left, top - 8.0, text, class_="panel")
    y = Scale(0.0, float(max(most, deepest, 1)), top + height, top)
    yield from _base(frame, y, top, height, str(max(most, deepest, 1)))
    yield _area(course, frame, y, top + height, "flight", scene.end)
    if queued:
        d = "".join(
            f"{'L' if index else 'M'}{number(frame.x(t))} {number(y(depth))}" for index, (t, depth) in enumerate(queued)
        )
        yield element("path", title("waiting for a worker, as sampled"), class_="queued", d=d)


def _area(steps: Iterable[tuple[float, int]], frame: Frame, y: Scale, bottom: float, kind: str, end: float) -> str:
    """Return steps as a filled outline, with one step for every pixel: the highest in it."""
    d: list[str] = []
    at, highest = None, 0
    for t, count in steps:
        x = float(int(frame.x(t)))
        if at is not None and x != at:
            d.append(f"H{number(at)}V{number(y(highest))}")
            highest = 0
        at, highest = x, max(highest, count)
    if at is not None:
        d.append(f"H{number(at)}V{number(y(highest))}")
    return element(
        "path",
        class_=kind,
        d=f"M{number(frame.left)} {number(bottom)}{''.join(d)}H{number(frame.x(end))}V{number(bottom)}Z",
    )


def _base(frame: Frame, y: Scale, top: float, height: float, most: str) -> Iterator[str]:
    bottom = top + height
    yield element("line", class_="grid", x1=frame.left, x2=frame.right, y1=bottom, y2=bottom)
    yield element("line", class_="grid", x1=frame.left, x2=frame.right, y1=top, y2=top)
    yield words(frame.left - 6.0, bottom + 4.0, "0", class_="tick", text_anchor="end")
    yield words(frame.left - 6.0, y(y.high) + 4.0, most, class_="tick", text_anchor="end")


def _log_grid(y: Scale, frame: Frame, low: float, high: float) -> Iterator[str]:
    for value in log_ticks(low, high):
        at = y(value)
        yield element("line", class_="grid", x1=frame.left, x2=frame.right, y1=at, y2=at)
        yield words(frame.left - 6.0, at + 4.0, brief(value), class_="tick", text_anchor="end")


def bucket_rows(scene: Scene) -> list[tuple[str, ...]]:
    """Return the panels as the rows of a table, for those who do not see them or want the numbers."""
    rows: list[tuple[str, ...]] = []
    for each in buckets(scene):
        if each.offered or each.answered or each.failed:
            times: Sequence[float] = each.times
            cells = [duration(percentile(times, share)) if times else "-" for share, _ in _LINES]
            counts = (str(each.offered), str(each.answered), str(each.failed), str(each.dropped))
            rows.append((f"{each.start:g} s", *counts, *cells))
    return rows


ROW_NAMES: Final = ("from", "offered", "answered", "failed", "dropped", *(name for _, name in _LINES))
"""The columns of `bucket_rows`."""
