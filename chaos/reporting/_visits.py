"""The sessions: one row each, with their requests as bars, those that something happened to first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from .._svg import Scale, element, number, span, ticks, title, words
from ..checking._measured import Fate
from ._frame import picture

if TYPE_CHECKING:
    from ..checking._measured import Measured
    from ._scene import Scene

MAX_SESSIONS: Final = 24
"""Rows drawn: what fits on a screen."""

_ROW: Final = 19.0


@attrs.frozen(kw_only=True)
class Visit:
    """A session and its requests, in order."""

    name: str
    requests: tuple[Measured, ...]

    @property
    def failed(self) -> int:
        """How many of them did not succeed."""
        return sum(each.fate in (Fate.FAILED, Fate.LOST) for each in self.requests)


def visits(scene: Scene) -> list[Visit]:
    """Return all sessions under the names their clients gave them first, those that met failures before the others.

    A session that was lost goes on under a new name, ``s-3.1`` after ``s-3``; to its user it is the same.
    """
    found: dict[str, list[Measured]] = {}
    for each in scene.requests:
        if each.session is not None:
            found.setdefault(each.session.partition(".")[0], []).append(each)
    made = [Visit(name=name, requests=tuple(requests)) for name, requests in found.items()]
    return sorted(made, key=lambda visit: (-visit.failed, -len(visit.requests), visit.requests[0].intended))


def draw_visits(scene: Scene, *, width: int, label: str) -> str:
    """Return the picture: the first `MAX_SESSIONS`, by the time they began."""
    chosen = sorted(visits(scene)[:MAX_SESSIONS], key=lambda visit: visit.requests[0].intended)
    begin = min((visit.requests[0].intended for visit in chosen), default=0.0)
    end = max((each.done or each.sent for visit in chosen for each in visit.requests), default=1.0)
    x = Scale(begin, max(end, begin + 1e-3), 58.0, width - 10.0)
    bottom = 8.0 + len(chosen) * _ROW
    parts: list[str] = []
    for stroke in scene.strokes:
        if begin <= stroke.at <= end:
            line = element("path", class_="strike", d=f"M{number(x(stroke.at))} 4V{number(bottom)}")
            about = title(f"{stroke.name} at {stroke.at:.2f} s")
            parts.append(element("g", about, line, class_=f"fault {stroke.look}"))
    for row, visit in enumerate(chosen):
        y = 8.0 + (row + 0.5) * _ROW
        parts.append(words(x.start - 6.0, y + 4.0, visit.name[:8], class_="tick", text_anchor="end"))
        first, last = visit.requests[0], visit.requests[-1]
        stop = x(last.done or last.sent)
        parts.append(element("line", class_="grid", x1=x(first.intended), x2=stop, y1=y, y2=y))
        parts += [_bar(each, x, y, roomy=width >= 600) for each in visit.requests]
    parts.append(element("line", class_="axis", x1=x.start, x2=x.stop, y1=bottom, y2=bottom))
    for value in ticks(end, max(int((x.stop - x.start) / 70.0), 2)):
        if value >= begin:
            parts.append(words(x(value), bottom + 17.0, f"{value:g}", class_="tick", text_anchor="middle"))
    parts.append(words(x.stop, bottom + 34.0, "seconds since the run began", class_="tick", text_anchor="end"))
    return picture(parts, width, bottom + 42.0, label)


def _bar(each: Measured, x: Scale, y: float, *, roomy: bool) -> str:
    """Return one request from the moment it was meant to be sent: what succeeded is low, what failed is tall."""
    start = x(each.intended)
    wide = max(x(x.high if each.done is None else each.done) - start, 1.5)
    inside = ""
    if roomy:
        took = "no outcome" if each.latency is None else span(each.latency)
        inside = title(f"request {each.number} ({each.operation}) of {each.session}: {each.error or 'ok'}, {took}")
    if each.fate is Fate.OK:
        return element("rect", inside, class_="good-bar", x=start, y=y - 3.0, width=wide, height=6)
    kind = "bad-bar" if each.fate in (Fate.FAILED, Fate.LOST) else "cut-bar"
    return element("rect", inside, class_=kind, x=start, y=y - 7.0, width=wide, height=14)
