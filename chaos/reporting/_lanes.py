"""The lanes: what each worker did, one lane a slot, with the number of every life in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._svg import cross, element, number, span, title, words
from ._frame import axis, bands, make_frame, patterns, picture, strokes
from ._panels import quantiles, rates, scatter, waiting
from ._scene import FREEZE, SUDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .._svg import Scale
    from ._frame import Frame
    from ._scene import Life, Scene, Stroke

MAX_LANES: Final = 32
"""Slots drawn; more are no picture any more."""

_LANE: Final = 36.0
_BAR: Final = 16.0
_DIGIT: Final = 6.7
_GAP: Final = 34.0
"""Between two panels: a title and some air."""


def draw_course(scene: Scene, *, width: int, name: str, label: str) -> str:
    """Return the great picture: all panels over one axis of time, the lanes below, the faults through all of it.

    Args:
        scene: What to draw.
        width: In pixels; the height follows from what there is.
        name: Unique in the page.
        label: What the picture is, for those who do not see it.
    """
    frame = make_frame(scene, width=width, name=name)
    slots = shown_slots(scene)
    tall = (240.0, 110.0, 64.0, 46.0) if frame.roomy else (200.0, 96.0, 56.0, 44.0)
    top = frame.top + 26.0
    panels: list[str] = []
    for draw, height in zip((scatter, quantiles, rates, waiting), tall, strict=True):
        panels += draw(scene, frame, top, height)
        top += height + _GAP
    lanes = {slot: top + index * _LANE for index, slot in enumerate(slots)}
    bottom = top + len(slots) * _LANE + 2.0 if slots else top - _GAP + 6.0
    middles = {slot: y + _LANE - 7.0 - _BAR / 2 for slot, y in lanes.items()}
    parts = [
        patterns(name),
        *bands(scene, frame, bottom),
        *panels,
        *_lanes(scene, frame, lanes),
        *strokes(scene, frame, bottom, middles),
        *_hits(scene, frame, middles),
        *axis(scene, frame, bottom),
    ]
    return picture(parts, frame.width, bottom + 44.0, label)


def shown_slots(scene: Scene) -> list[int]:
    """Return the slots that get a lane: all, or if there are too many, those that were hit and the first others."""
    hit = {victim.slot for stroke in scene.strokes for victim in stroke.occurrence.victims}
    first = sorted(scene.slots, key=lambda slot: (slot not in hit, slot))
    return sorted(first[:MAX_LANES])


def _lanes(scene: Scene, frame: Frame, lanes: dict[int, float]) -> Iterator[str]:
    if not lanes:
        return
    yield words(frame.left, min(lanes.values()) - 4.0, "what each worker did", class_="panel")
    for slot, top in lanes.items():
        label = f"slot {slot}" if frame.roomy else f"{slot}"
        yield words(frame.left - 6.0, top + _LANE - 11.0, label, class_="tick", text_anchor="end")
    for life in scene.lives:
        if life.slot in lanes:
            yield _life(life, frame, lanes[life.slot])


def _life(life: Life, frame: Frame, top: float) -> str:
    y = top + _LANE - _BAR - 7.0
    start, stop = frame.x(life.starting), frame.x(life.ended)
    ready = stop if life.ready is None else frame.x(life.ready)
    who = f"incarnation {life.incarnation} in slot {life.slot}" + ("" if life.pid is None else f", pid {life.pid}")
    took = ", never ready" if life.ready is None else f", ready after {span(life.ready - life.starting)}"
    how = "" if life.exit is None else f", ended with {life.exit} at {life.ended:.2f} s"
    bars = [
        title(f"{who}: started at {life.starting:.2f} s{took}{how}"),
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
    if life.exit is not None and not life.planned:
        bars.append(element("circle", class_="death", cx=stop, cy=y + _BAR / 2, r=6.5))
        bars.append(element("path", class_="dead", d=cross(stop, y + _BAR / 2, 3.0)))
    return element("g", *bars)


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


def _hits(scene: Scene, frame: Frame, middles: dict[int, float]) -> Iterator[str]:
    """Yield what each fault did to the lanes it hit: a hatched stretch while it lasted, a bar until all was well."""
    gone = {life.incarnation: life.ended for life in scene.lives}
    for stroke in scene.strokes:
        parts = [
            part
            for victim in stroke.occurrence.victims
            if victim.slot in middles
            for part in _hit(stroke, frame, middles[victim.slot], gone.get(victim.incarnation or -1, scene.end))
        ]
        if parts:
            yield element("g", *parts, class_=f"fault {stroke.look}")


def _hit(stroke: Stroke, frame: Frame, middle: float, gone: float) -> Sequence[str]:
    parts: list[str] = []
    x = frame.x(stroke.at)
    if stroke.look != SUDDEN or stroke.over > stroke.at:
        look = FREEZE if stroke.look == SUDDEN else stroke.look
        # What is done to a worker ends when it is taken back, and no later than the worker does.
        wide = max(frame.x(min(stroke.over, gone)) - x, 1.5)
        box = {"x": x, "y": middle - _BAR / 2, "width": wide, "height": _BAR}
        parts.append(element("rect", class_="held", **box))
        parts.append(element("rect", fill=f"url(#{frame.name}-{look})", **box))
    capacity = stroke.occurrence.capacity
    if capacity is not None:
        wide = max(frame.x(stroke.at + capacity) - x, 3.0)
        parts.append(element("rect", class_="recovery", x=x, y=middle + _BAR / 2 + 1.5, width=wide, height=3))
    return parts
