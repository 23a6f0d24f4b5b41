"""What the panels of the great picture share: one axis of time, the faults through all of it, and the phases.

Drawn for a given width in the reader's own pixels, not scaled to it, so that words stay readable on a telephone. What
each mark is, a pointer that rests on it learns; what the colours say, shape, pattern or position says as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from .._svg import Scale, element, number, span, ticks, title, words
from ._scene import FREEZE, OTHER, SUDDEN, WIRE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._scene import Scene, Stroke

TAG_ROW: Final = 21.0
TITLE: Final = 26.0
MAX_ROWS: Final = 4
MAX_TAG: Final = 12
"""Letters of a fault's name in the picture."""

_DIGIT: Final = 6.7  # the width of a digit at the size of the labels, about


@attrs.frozen(kw_only=True)
class Frame:
    """Where things go.

    Args:
        name: Unique in the page: what is defined in the picture is called after it.
        width: Of the picture.
        x: Time.
        tags: Where each stroke's name stands: its middle and its row; those without room have none.
        top: Where the panels begin.
    """

    name: str
    width: float
    x: Scale
    tags: dict[int, tuple[float, int]]
    top: float

    @property
    def left(self) -> float:
        """Where time begins."""
        return self.x.start

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.x.stop

    @property
    def roomy(self) -> bool:
        """Whether it is for a screen on which a pointer can rest, with room for words."""
        return self.width >= 600


def make_frame(scene: Scene, *, width: int, name: str) -> Frame:
    """Lay out the axis of time and the names of the faults above it."""
    left = 58.0 if width >= 600 else 50.0
    x = Scale(scene.start, scene.end, left, width - 10.0)
    tags, rows = _place(scene.strokes, x)
    return Frame(name=name, width=float(width), x=x, tags=tags, top=rows * TAG_ROW + 20.0)


def _place(strokes: Sequence[Stroke], x: Scale) -> tuple[dict[int, tuple[float, int]], int]:
    free = [0.0] * MAX_ROWS
    tags: dict[int, tuple[float, int]] = {}
    for index, stroke in enumerate(strokes):
        wide = tag_width(stroke.name)
        at = min(max(x(stroke.at), x.start + wide / 2), x.stop - wide / 2)
        row = next((row for row, until in enumerate(free) if until <= at - wide / 2), None)
        if row is not None:
            free[row] = at + wide / 2 + 3.0
            tags[index] = (at, row)
    return tags, max((row for _, row in tags.values()), default=-1) + 1


def tag_width(name: str) -> float:
    """Return how wide a fault's name is in the picture."""
    return min(len(name), MAX_TAG) * _DIGIT + 12.0


def patterns(name: str) -> str:
    """Return what workers under a fault are hatched with, under names that begin with ``name``."""
    stripes = element("path", d="M-1 1l2-2M0 6l6-6M5 7l2-2", class_="stripes")
    dots = element("circle", cx=2, cy=2, r=1, class_="specks")
    bars = element("path", d="M0 3h6", class_="bars")
    failed = element("path", d="M-1 1l2-2M0 4l4-4M3 5l2-2", class_="hatch")
    return element(
        "defs",
        element("pattern", stripes, id=f"{name}-{FREEZE}", width=6, height=6, patternUnits="userSpaceOnUse"),
        element("pattern", dots, id=f"{name}-{WIRE}", width=4, height=4, patternUnits="userSpaceOnUse"),
        element("pattern", bars, id=f"{name}-{OTHER}", width=6, height=6, patternUnits="userSpaceOnUse"),
        element("pattern", failed, id=f"{name}-failed", width=4, height=4, patternUnits="userSpaceOnUse"),
    )


def bands(scene: Scene, frame: Frame, bottom: float) -> Iterator[str]:
    """Yield what lasts, behind everything: phases that are not measured or that heal, and faults until their end."""
    for phase in scene.phases:
        start, stop = frame.x(phase.start), frame.x(phase.end)
        what = "" if phase.measure else ", not measured"
        what += ", all faults healed" if phase.heal else ""
        about = title(f"phase {phase.name}, {phase.start:.1f} s to {phase.end:.1f} s{what}")
        if not phase.measure:
            yield element(
                "rect", about, class_="unmeasured", x=start, y=frame.top, width=stop - start, height=bottom - frame.top
            )
        yield element("line", class_="phase", x1=start, x2=start, y1=frame.top - 14.0, y2=bottom)
        if stop - start > len(phase.name) * _DIGIT + 6.0:
            yield words(start + 3.0, frame.top - 4.0, phase.name, class_="phase-name")
    for stroke in scene.strokes:
        if stroke.over > stroke.at:
            start, stop = frame.x(stroke.at), frame.x(stroke.over)
            yield element(
                "rect",
                class_=f"band {stroke.look}",
                x=start,
                y=frame.top,
                width=max(stop - start, 1.0),
                height=bottom - frame.top,
            )


def strokes(scene: Scene, frame: Frame, bottom: float, ends: dict[int, float]) -> Iterator[str]:
    """Yield the faults: a name at the top and a line down to what was hit.

    Args:
        scene: The run.
        frame: The places.
        bottom: Where lines end that lead to no lane.
        ends: For each slot with a lane, where its middle is.
    """
    for index, stroke in enumerate(scene.strokes):
        x = frame.x(stroke.at)
        reached = [ends[victim.slot] for victim in stroke.occurrence.victims if victim.slot in ends]
        parts = [title(stroke_text(stroke))]
        start = frame.top - 16.0
        if index in frame.tags:
            at, row = frame.tags[index]
            y = row * TAG_ROW
            wide = tag_width(stroke.name)
            start = y + 18.0
            parts.append(element("rect", class_="tag", x=at - wide / 2, y=y + 1.0, width=wide, height=18, rx=4))
            parts.append(words(at, y + 14.5, stroke.name[:MAX_TAG], class_="name", text_anchor="middle"))
        line = f"M{number(x)} {number(start)}V{number(max(reached, default=bottom))}"
        parts.insert(1, element("path", class_="strike", d=line))
        yield element("g", *parts, class_=f"fault {stroke.look}")


def stroke_text(stroke: Stroke) -> str:
    """Return what a pointer on a fault learns."""
    each = stroke.occurrence
    whom = ", ".join(str(victim.worker_id) for victim in each.victims if victim.worker_id is not None)
    parts = [f"{each.fault}: {each.kind}{f' of {whom}' if whom else ''} at {each.at:.2f} s"]
    for what, seconds in (
        ("detected", each.detect),
        ("first answer", each.first_ok),
        ("full strength", each.capacity),
        ("steady", each.steady),
    ):
        if seconds is not None:
            parts.append(f"{what} after {span(seconds)}")
    return ", ".join(parts)


def axis(scene: Scene, frame: Frame, y: float) -> Iterator[str]:
    """Yield the axis of time at the bottom."""
    yield element("line", class_="axis", x1=frame.left, x2=frame.right, y1=y, y2=y)
    for value in ticks(scene.end, max(int((frame.right - frame.left) / 70.0), 2)):
        x = frame.x(value)
        yield element("line", class_="axis", x1=x, x2=x, y1=y, y2=y + 4.0)
        yield words(x, y + 17.0, f"{value:g}", class_="tick", text_anchor="middle")
    yield words(frame.right, y + 34.0, "seconds since the run began", class_="tick", text_anchor="end")


def picture(parts: Sequence[str], width: float, height: float, label: str) -> str:
    """Return the whole as an SVG element with a name for those who do not see it."""
    return element(
        "svg",
        *parts,
        class_="picture",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        xmlns="http://www.w3.org/2000/svg",
    )


LOOKS: Final = {
    SUDDEN: "a fault of a moment",
    FREEZE: "standing still",
    WIRE: "a disturbed link",
    OTHER: "another fault that lasts",
}
"""The looks of faults, in words."""
