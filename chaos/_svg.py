"""The small change of drawing: elements with everything in them escaped, scales, and where their marks go."""

from __future__ import annotations

import html
import math
import sys
from typing import TYPE_CHECKING

import attrs

from ._output import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_SPACE = "\N{NO-BREAK SPACE}"


def escape(text: object) -> str:
    """Return text as it may stand in an element or an attribute, of HTML as of XML: all of it is somebody's data."""
    return html.escape(clean(text), quote=True)


def element(tag: str, /, *children: str, **attributes: object) -> str:
    """Return an element; ``children`` are markup already, attributes are not.

    A trailing underscore of an attribute's name is dropped and other underscores become hyphens; one that is None is
    left out.
    """
    parts = [tag]
    for key, value in attributes.items():
        if value is not None:
            # Uncut: the outline of a long run is an attribute too.
            shown = number(value) if isinstance(value, float) else html.escape(clean(value, most=sys.maxsize))
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    opening = " ".join(parts)
    return f"<{opening}>{''.join(children)}</{tag}>" if children else f"<{opening}/>"


def number(value: float) -> str:
    """Return a coordinate to a tenth of a unit, the finest anybody sees, in as few characters as it needs."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def title(text: object) -> str:
    """Return what a pointer that rests on the element around it shows."""
    return f"<title>{escape(text)}</title>"


@attrs.frozen
class Scale:
    """Leads a value to a place between two others.

    Args:
        low: The value that goes to ``start``.
        high: The value that goes to ``stop``.
        start: A coordinate.
        stop: Another one.
        logarithmic: Whether equal factors, not equal differences, take equal room; ``low`` must be positive then.
    """

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value; one beyond the ends stays at the end."""
        value = min(max(value, self.low), self.high)
        if self.low == self.high:
            return self.start
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def decades(smallest: float, largest: float) -> tuple[float, float]:
    """Return the powers of ten around two positive values, one decade apart at least."""
    low = math.floor(math.log10(smallest))
    high = max(math.ceil(math.log10(largest)), low + 1)
    return 10.0**low, 10.0**high


def log_ticks(low: float, high: float) -> Iterator[float]:
    """Yield the powers of ten from one to the other."""
    for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1):
        yield 10.0**exponent


def ticks(high: float, most: int) -> list[float]:
    """Return at most ``most`` round values from 0 on, at equal distances, none beyond ``high``."""
    if high <= 0 or most < 2:
        return [0.0]
    step = 10.0 ** math.floor(math.log10(high / most))
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if high / (step * factor) <= most - 1)
    return [index * step for index in range(int(high / step + 1e-9) + 1)]


def span(seconds: float) -> str:
    """Return a length of time as people write it, with its unit on the same line."""
    if seconds < 0.9995:
        return f"{seconds * 1e3:.1f}{_SPACE}ms" if seconds < 0.00995 else f"{seconds * 1e3:.0f}{_SPACE}ms"
    return f"{seconds:.2f}{_SPACE}s" if seconds < 99.5 else f"{seconds:.0f}{_SPACE}s"


def brief(seconds: float) -> str:
    """Return a round length of time for the mark of an axis."""
    return f"{seconds * 1e3:g} ms" if seconds < 1.0 else f"{seconds:g} s"


def legend_of(items: Iterable[tuple[str, str]]) -> str:
    """Return a list of marks and what they mean; each mark is markup in a box of 18 by 16."""
    shown = (
        element(
            "li",
            element("svg", mark, viewBox="0 0 18 16", width=18, height=16, aria_hidden="true"),
            escape(meaning),
        )
        for mark, meaning in items
    )
    return element("ul", *shown, class_="legend")


def words(x: float, y: float, text: str, **attributes: object) -> str:
    """Return text whose baseline begins at a place, or ends or has its middle there if ``text_anchor`` says so."""
    return element("text", escape(text), x=x, y=y, **attributes)


def cross(x: float, y: float, arm: float) -> str:
    """Return the path of a cross around a place."""
    left, right, top, bottom = (number(value) for value in (x - arm, x + arm, y - arm, y + arm))
    return f"M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}"
