"""The comparison of two runs, for the console: what got worse first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._output import clean
from ._format import duration, share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..checking._comparison import Comparison, Difference


def comparison_lines(found: Comparison, first: str, second: str) -> Iterator[str]:
    """Yield the lines.

    Args:
        found: The comparison.
        first: What the first run is called.
        second: What the second is called.
    """
    worse = sum(each.worse for each in found.differences)
    better = sum(each.better for each in found.differences)
    if worse:
        yield f"WORSE  {worse} of {len(found.differences)} numbers of {clean(second)} are worse than of {clean(first)}"
    elif found.differences:
        yield f"AS GOOD  none of {len(found.differences)} numbers of {clean(second)} is worse than of {clean(first)}"
    else:
        yield f"UNKNOWN  nothing of {clean(first)} and {clean(second)} can be compared"
    if better:
        yield f"{better} are better"
    if found.differences:
        yield ""
        yield f"  {'window':<14}{'number':<14}{'first':>10}{'second':>10}   95 % interval of the difference"
        # What is worse first; within that, as they come.
        for each in sorted(found.differences, key=lambda each: (not each.worse, not each.better)):
            mark = "✗" if each.worse else "+" if each.better else " "
            yield f"{mark} {clean(each.window)[:13]:<14}{each.name:<14}{_row(each)}"
    if found.left_out:
        yield ""
        yield "not compared:"
        yield from (f"  {clean(each)}" for each in found.left_out)


def _row(each: Difference) -> str:
    if each.name == "success_rate":
        ends = f"{each.low * 100:+.1f} to {each.high * 100:+.1f} points"
        return f"{share(each.first):>10}{share(each.second):>10}   {ends}"
    return f"{duration(each.first):>10}{duration(each.second):>10}   {_signed(each.low)} to {_signed(each.high)}"


def _signed(seconds: float) -> str:
    return f"{'-' if seconds < 0 else '+'}{duration(abs(seconds))}"
