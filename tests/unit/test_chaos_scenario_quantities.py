"""Quantities as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.scenario._quantities import Unit, quantity, spelled, whole


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("250ms", Unit.SECONDS, 0.25),
        ("5s", Unit.SECONDS, 5.0),
        ("1.1 ms", Unit.SECONDS, 0.0011),
        ("3m", Unit.SECONDS, 180.0),
        ("1h30m", Unit.SECONDS, 5400.0),
        ("7us", Unit.SECONDS, 7e-6),
        ("inf", Unit.SECONDS, math.inf),
        ("5/s", Unit.RATE, 5.0),
        ("30/m", Unit.RATE, 0.5),
        ("512MiB", Unit.BYTES, 512 * 2**20),
        ("64KiB", Unit.BYTES, 65536),
        ("1MB", Unit.BYTES, 10**6),
        ("30%", Unit.SHARE, 0.3),
        ("0.5", Unit.SHARE, 0.5),
        ("17", Unit.NUMBER, 17),
        (4, Unit.SECONDS, 4.0),
        (1e3, Unit.BYTES, 1000),
    ],
)
def test_what_people_write_is_understood(text: object, unit: Unit, value: float) -> None:
    """Texts with a unit and bare numbers are the number of basic units they say, exactly."""
    assert quantity(text, unit) == value


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize(
    "value", ["", "s", "fast", "5 parsecs", "-1", -1, True, None, math.nan, "5ss", "5s3", "1e", []]
)
def test_what_is_no_quantity_is_refused_with_what_was_expected(value: object, unit: Unit) -> None:
    """The message says what would have been right, with examples of the unit."""
    with pytest.raises(ValueError, match="must be a") as caught:
        quantity(value, unit)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "unit"), [("5s", Unit.RATE), ("5/s", Unit.SECONDS), ("5MB", Unit.SHARE), ("5%", Unit.NUMBER)]
)
def test_units_are_not_exchanged(text: str, unit: Unit) -> None:
    """A rate is no duration, and a size no share."""
    with pytest.raises(ValueError, match="must be a"):
        quantity(text, unit)


@pytest.mark.parametrize("text", ["5/s5/s", "1MiB2MiB"])
def test_only_durations_have_several_parts(text: str) -> None:
    """One hour and thirty minutes make a duration; two rates make nothing."""
    with pytest.raises(ValueError, match="must be a"):
        quantity(text, Unit.RATE if "/" in text else Unit.BYTES)


def test_half_a_byte_is_refused() -> None:
    """What counts things is whole and finite."""
    with pytest.raises(ValueError, match="whole number"):
        whole("0.5", Unit.BYTES)
    with pytest.raises(ValueError, match="finite"):
        whole("inf", Unit.NUMBER)
    assert whole("2KiB", Unit.BYTES) == 2048
    # Seeds are larger than what a float holds exactly.
    assert whole(2**100 + 1) == 2**100 + 1


@given(value=st.floats(min_value=0, max_value=1e12), unit=st.sampled_from(Unit))
def test_what_is_spelled_reads_back_as_the_same(value: float, unit: Unit) -> None:
    """However a quantity is written, it is the same number when it is read again."""
    assert quantity(spelled(value, unit), unit) == value


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.25, Unit.SECONDS, "250ms"),
        (90.0, Unit.SECONDS, "90s"),
        (1.5, Unit.SECONDS, "1.5s"),
        (120.0, Unit.SECONDS, "2m"),
        (50.0, Unit.RATE, "50/s"),
        (2**29, Unit.BYTES, "512MiB"),
        (10**6, Unit.BYTES, "1MB"),
    ],
)
def test_quantities_are_spelled_the_way_people_do(value: float, unit: Unit, text: str) -> None:
    """Round values come out as round texts."""
    assert spelled(value, unit) == text
