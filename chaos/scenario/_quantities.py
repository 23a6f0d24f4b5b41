"""Quantities as people write them: ``"250ms"``, ``"5/s"``, ``"512MiB"``, ``"30%"``, and the units of numbers.

A number of a scenario says what it measures in its annotation: ``Seconds`` is a float that a file may write as a
duration. A bare number is always in the basic unit: seconds, a second, bytes, a share of one.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, TypeAlias


class Unit(StrEnum):
    """What a number measures."""

    SECONDS = "seconds"
    RATE = "rate"
    """So many a second."""
    BYTES = "bytes"
    THROUGHPUT = "throughput"
    """Bytes a second."""
    SHARE = "share"
    """Of one: 0.3 is 30 %."""
    NUMBER = "number"
    """Nothing but itself."""


Seconds: TypeAlias = Annotated[float, Unit.SECONDS]
Rate: TypeAlias = Annotated[float, Unit.RATE]
Bytes: TypeAlias = Annotated[int, Unit.BYTES]
Throughput: TypeAlias = Annotated[float, Unit.THROUGHPUT]
Share: TypeAlias = Annotated[float, Unit.SHARE]

_SIZES = {
    "B": Decimal(1),
    "kB": Decimal(10**3),
    "KB": Decimal(10**3),
    "MB": Decimal(10**6),
    "GB": Decimal(10**9),
    "KiB": Decimal(2**10),
    "MiB": Decimal(2**20),
    "GiB": Decimal(2**30),
}

_FACTORS: dict[Unit, dict[str, Decimal]] = {
    Unit.SECONDS: {
        "us": Decimal("1e-6"),
        "ms": Decimal("1e-3"),
        "s": Decimal(1),
        "m": Decimal(60),
        "min": Decimal(60),
        "h": Decimal(3600),
    },
    Unit.RATE: {"/s": Decimal(1), "/m": 1 / Decimal(60), "/min": 1 / Decimal(60), "/h": 1 / Decimal(3600)},
    Unit.BYTES: _SIZES,
    Unit.THROUGHPUT: {f"{name}/s": factor for name, factor in _SIZES.items()},
    Unit.SHARE: {"%": Decimal("0.01")},
    Unit.NUMBER: {},
}

WANTED = {
    Unit.SECONDS: 'a duration such as "250ms", "5s", "3m" or "1h30m", or a number of seconds',
    Unit.RATE: 'a rate such as "5/s" or "30/m", or a number a second',
    Unit.BYTES: 'a size such as "64KiB", "512MiB" or "1MB", or a number of bytes',
    Unit.THROUGHPUT: 'a throughput such as "100kB/s" or "1MiB/s", or a number of bytes a second',
    Unit.SHARE: 'a percentage such as "30%", or a number from 0 to 1',
    Unit.NUMBER: "a number",
}
"""What an error says was expected."""

_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(\D+?)(?=\d|\.\d|$)")


def quantity(value: object, unit: Unit) -> float:
    """Return a number in its basic unit, from a number or a text; infinity is ``inf``.

    Raises:
        ValueError: It is neither, or a negative number, or its unit is another; the message says what was expected.
    """
    number = _number(value, unit)
    if number is None or math.isnan(number) or number < 0:
        raise ValueError(f"must be {WANTED[unit]}, not {value!r}")
    return float(number)


def whole(value: object, unit: Unit = Unit.NUMBER) -> int:
    """Return a whole number from 0 on.

    Raises:
        ValueError: It is none; the message says what was expected.
    """
    number = quantity(value, unit)
    if math.isinf(number):
        raise ValueError(f"must be finite, not {value!r}")
    if number != math.floor(number):
        raise ValueError(f"must be a whole number, not {value!r}")
    # Floats hold whole numbers up to 2^53 alone, and seeds are larger.
    return value if isinstance(value, int) else int(number)


def spelled(value: float, unit: Unit) -> str | float:
    """Return the shortest text that `quantity` reads back as just this number, or the number if there is none."""
    if unit in {Unit.NUMBER, Unit.SHARE} or not value or math.isinf(value):
        return value
    # The largest unit first that needs at most one digit after the point; decimal sizes only where no binary one fits.
    factors = _FACTORS[unit]
    names = {
        Unit.SECONDS: ("h", "m", "s", "ms", "us"),
        Unit.RATE: ("/s",),
        Unit.BYTES: ("GiB", "MiB", "KiB", "GB", "MB", "kB"),
        Unit.THROUGHPUT: ("GiB/s", "MiB/s", "KiB/s", "GB/s", "MB/s", "kB/s"),
    }[unit]
    for name in names:
        count = Decimal(repr(value)) / factors[name]
        text = f"{count.normalize():f}{name}"
        if count >= 1 and len(text.partition(".")[2].removesuffix(name)) <= (1 if name in {"s", "/s"} else 0):
            return text if quantity(text, unit) == value else value
    return value


def _number(value: object, unit: Unit) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text == "inf":
        return math.inf
    if re.fullmatch(r"\d+", text):
        return int(text)
    if re.fullmatch(r"\d*\.\d+|\d+\.|\d+(\.\d*)?[eE][+-]?\d+", text):
        return float(text)
    total, end, parts = Decimal(0), 0, 0
    for part in _PART.finditer(text):
        factor = _FACTORS[unit].get(part[2].strip())
        if factor is None or part.start() != end:
            return None
        total += Decimal(part[1]) * factor
        end, parts = part.end(), parts + 1
    # Several parts make sense of durations alone: 1h30m.
    if end != len(text) or not parts or (parts > 1 and unit is not Unit.SECONDS):
        return None
    return float(total)
