"""How values are written in reports: times with their unit, shares cut and not rounded up, numbers with their nouns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..checking._finding import Judgement
from ..checking._objectives import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..checking._objectives import Judged
    from ..checking._recovery import Occurrence

MARKS = {Judgement.PASS: "✓", Judgement.FAIL: "✗", Judgement.UNKNOWN: "?"}
"""What stands before an item: nothing is said by colour alone."""

_BYTES = ("B", "KiB", "MiB", "GiB")


def duration(seconds: float | None) -> str:
    """Return a time as people write it; ``never`` of None."""
    if seconds is None or math.isinf(seconds):
        return "never"
    if seconds < 0.00095:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.1f} ms" if seconds < 0.00995 else f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 99.5 else f"{seconds:.0f} s"


def share(value: float | None) -> str:
    """Return a share in percent, cut to a tenth: 100 % is said only of all."""
    if value is None:
        return "-"
    if 0.0 < value < 0.001:
        return "< 0.1 %"
    return "100 %" if value >= 1.0 else f"{math.floor(value * 1000 + 1e-9) / 10:g} %"


def number(value: float) -> str:
    """Return a plain number, whole if it is."""
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def size(value: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    unit = min(int(math.log(max(value, 1.0), 1024)), len(_BYTES) - 1)
    return f"{value / 1024**unit:.3g} {_BYTES[unit]}"


def shown(value: float | None, unit: Unit) -> str:
    """Return a value in its unit; ``-`` of None."""
    if value is None:
        return "-"
    match unit:
        case Unit.SECONDS:
            return duration(value)
        case Unit.SHARE:
            return share(value)
        case Unit.BYTES:
            return size(value)
        case Unit.NUMBER:
            return number(value)


def measured(judged: Judged) -> str:
    """Return what was measured: the value, its interval and of how many it is."""
    text = shown(judged.value, judged.unit)
    if judged.value is not None and judged.low is not None and judged.high is not None:
        low, high = shown(judged.low, judged.unit), shown(judged.high, judged.unit)
        # The unit once where it is the same.
        number_, _, unit = low.partition(" ")
        text += f" [{number_} - {high}]" if high.endswith(f" {unit}") else f" [{low} - {high}]"
    return f"{text}, n={judged.count}" if judged.count else text


def count(value: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{value} {noun}" if value == 1 else f"{value} {plural or f'{noun}s'}"


def worst_of(times: Iterable[float | None]) -> str:
    """Return the longest of some times; ``never`` if one of them never came, ``-`` if there are none."""
    found = list(times)
    if not found:
        return "-"
    known = [t for t in found if t is not None]
    return duration(max(known)) if len(known) == len(found) else "never"


def recovered(occurrences: Iterable[Occurrence], what: str) -> str:
    """Return the longest time until something was as before: ``capacity``, ``first_ok`` or ``steady``."""
    return worst_of(getattr(each, what) for each in occurrences if not each.final)


def detected(occurrences: Sequence[Occurrence]) -> str:
    """Return the longest time until a fault was noticed; ``-`` where there was nothing to notice."""
    return worst_of(each.detect for each in occurrences if each.detect is not None or each.lost)
