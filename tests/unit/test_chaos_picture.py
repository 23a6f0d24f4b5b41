"""The picture: well-formed whatever it is made of, the same for the same run, and bounded in size."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET

import attrs
import pytest
from _chaos_runs import HOSTILE, RUNS, Telling, judged, parsed, passed

from chaos._charts import MAX_ROWS, draw_recovery, draw_spread
from chaos._output import clean
from chaos._picture import MAX_LANES, MAX_POINTS, draw_timeline, shown_slots, thin
from chaos._svg import Scale, decades, element, log_ticks, number, span, ticks
from chaos._timeline import OK, Sample, Timeline, make_timeline

SVG = "{http://www.w3.org/2000/svg}"


def timeline(told: Telling) -> Timeline:
    return make_timeline(told.records, judged(told), workers=2)


def drawn(seen: Timeline, width: int = 1000) -> ET.Element:
    return parsed(draw_timeline(seen, width=width, name="wide", label="a picture"))


def of_class(picture: ET.Element, name: str) -> list[ET.Element]:
    return [part for part in picture.iter() if name in part.get("class", "").split()]


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [340, 1168])
def test_every_run_can_be_drawn(name: str, width: int) -> None:
    """Well-formed, named for those who do not see it, and nothing outside it or of a size below nothing."""
    seen = timeline(RUNS[name]())
    picture = drawn(seen, width)
    assert (picture.get("role"), picture.get("aria-label")) == ("img", "a picture")
    for part in picture.iter():
        for side in ("x", "x1", "x2", "cx"):
            assert -5.0 <= float(part.get(side, "0")) <= width, ET.tostring(part)
        for size in ("width", "height"):
            assert float(part.get(size, "0")) >= 0.0
    assert draw_timeline(seen, width=width, name="wide", label="a picture") == draw_timeline(
        seen, width=width, name="wide", label="a picture"
    )


def test_everything_that_happened_is_in_the_picture() -> None:
    """Each request, worker and fault of the run has its mark, and a pointer on it learns what it is."""
    seen = timeline(passed())
    picture = drawn(seen)
    failed = [sample for sample in seen.samples if sample.result != OK]
    assert len(of_class(picture, "ok")) == len(seen.samples) - len(failed)
    assert len(of_class(picture, "failed")) == len(failed)
    assert len(of_class(picture, "life")) == len(seen.lives)
    assert len(of_class(picture, "fault")) == 5
    assert len(of_class(picture, "death")) == 4
    assert len(of_class(picture, "held")) == 2
    titles = [part.text or "" for part in picture.iter(f"{SVG}title")]
    assert any(text.startswith("f1: freeze of demo-0 at") for text in titles)
    assert any("incarnation 1 in slot 0, pid 1001" in text and "ended with SIGKILL" in text for text in titles)


def test_a_slower_request_stands_higher_and_a_later_one_further_right() -> None:
    """The two axes mean what they say."""
    told = Telling()
    told.served("quick", after=0.01)
    told.served("slow", after=2.0)
    told.ended()
    quick, slow = of_class(drawn(timeline(told)), "ok")
    assert float(quick.get("cx", "")) < float(slow.get("cx", ""))
    assert float(quick.get("cy", "")) > float(slow.get("cy", ""))


def test_a_fault_ends_in_the_lane_of_the_slot_it_hit() -> None:
    """The mark of a death is on the bar of a worker of that slot."""
    seen = timeline(passed())
    picture = drawn(seen)
    lane = {float(bar.get("y", "0")) for bar in of_class(picture, "life")}
    centres = {float(mark.get("cy", "0")) - 8.0 for mark in of_class(picture, "death")}
    assert centres == {min(lane)}


def test_names_cannot_become_markup() -> None:
    """A session, a worker and a fault called like markup are shown and are no markup."""
    told = passed()
    for entry in told.records:
        for field in ("session", "worker_id", "fault", "exit", "error"):
            if field in entry:
                entry[field] = HOSTILE
    picture = drawn(timeline(told))
    assert not [part for part in picture.iter() if "script" in part.tag]
    assert any(clean(HOSTILE) in (part.text or "") for part in picture.iter(f"{SVG}title"))


def samples(count: int, failed: int) -> list[Sample]:
    chance = random.Random(1)  # noqa: S311  # reproducible on purpose
    bad = set(chance.sample(range(count), failed))
    return [
        Sample(
            index=index,
            at=index / 100,
            seconds=chance.lognormvariate(-3.0, 1.0),
            result="SessionLost" if index in bad else OK,
            session="calm",
        )
        for index in range(count)
    ]


def test_thinning_keeps_failures_and_extremes() -> None:
    """Of many requests all failures stay, and so do the fastest and the slowest of every stretch."""
    everything = samples(20_000, 40)
    kept = thin(everything, MAX_POINTS)
    assert MAX_POINTS * 0.9 < len(kept) <= MAX_POINTS
    assert kept == sorted(kept, key=lambda sample: sample.at)
    assert {sample.index for sample in everything if sample.result != OK} <= {sample.index for sample in kept}
    succeeded = [sample for sample in everything if sample.result == OK]
    for choose in (min, max):
        assert choose(succeeded, key=lambda sample: sample.seconds or 0.0) in kept
    assert len(thin(samples(20_000, 20_000), MAX_POINTS)) <= MAX_POINTS
    assert thin(everything[:10], 10) == everything[:10]


@pytest.mark.slow
def test_the_picture_of_a_very_long_run_is_bounded() -> None:
    """Twenty thousand requests take no more room than some thousands do."""
    seen = timeline(passed())
    steps = tuple((index / 100, index % 7) for index in range(20_000))
    life = attrs.evolve(seen.lives[0], ended=200.0, busy=tuple((t / 100, t / 100 + 0.005) for t in range(20_000)))
    long = attrs.evolve(seen, end=200.0, samples=tuple(samples(20_000, 500)), in_flight=steps, lives=(life,))
    text = draw_timeline(long, width=1168, name="wide", label="long")
    assert len(text) < 600_000
    picture = parsed(text)
    assert MAX_POINTS * 0.9 < len(of_class(picture, "ok")) + len(of_class(picture, "failed")) <= MAX_POINTS
    # Nothing is cut off: the outline returns to its base at the picture's end, and narrow pictures have as many dots.
    (flight,) = of_class(picture, "flight")
    assert flight.get("d", "").endswith(f"H{1168 - 10}V{flight.get('d', '').split()[1].partition('H')[0]}Z")
    (dots,) = of_class(parsed(draw_timeline(long, width=340, name="narrow", label="long")), "ok")
    assert dots.get("d", "").count("M") == len(of_class(picture, "ok"))
    assert dots.get("d", "").endswith("h0")


def test_slots_beyond_the_lanes_give_way_to_those_that_were_hit() -> None:
    """A pool of thousands has a picture of some lanes, with every slot that was hit among them."""
    seen = timeline(passed())
    late = attrs.evolve(seen.strikes[0], slot=900)
    many = attrs.evolve(seen, slots=tuple(range(1000)), strikes=(late,))
    shown = shown_slots(many)
    assert len(shown) == MAX_LANES
    assert 900 in shown
    parsed(draw_timeline(many, width=1168, name="wide", label="many"))


def test_the_recovery_chart_has_a_mark_for_each_time() -> None:
    """What was measured of each fault has its mark; what never happened has none."""
    incidents = judged(passed()).incidents
    picture = parsed(draw_recovery(incidents, width=560, label="recovery"))
    assert len(of_class(picture, "detected")) == sum(incident.to_detect is not None for incident in incidents) == 4
    assert len(of_class(picture, "replied")) == sum(incident.to_first_reply is not None for incident in incidents)
    assert len(of_class(picture, "restored")) == 5
    never = attrs.evolve(incidents[0], to_detect=None, to_first_reply=None, to_capacity=None)
    many = draw_recovery([never] * (MAX_ROWS + 5), width=560, label="recovery")
    assert many.count("never") == MAX_ROWS


@pytest.mark.parametrize("latencies", [[], [0.0], [0.001, 0.5, 30.0], [index / 1000 for index in range(5000)]])
def test_the_spread_can_be_drawn_of_any_sample(latencies: list[float]) -> None:
    """None, one, a few or thousands."""
    text = draw_spread(latencies, latencies[1:], width=560, label="spread")
    assert len(of_class(parsed(text), "curve")) == (latencies != []) + (latencies[1:] != [])
    assert len(text) < 20_000


def test_a_scale_leads_ends_to_ends_and_stays_inside() -> None:
    """What lies beyond an end stays at it, and a logarithmic middle is the geometric mean."""
    scale = Scale(1.0, 100.0, 0.0, 50.0, logarithmic=True)
    assert [scale(value) for value in (0.1, 1.0, 10.0, 100.0, 1e9)] == [0.0, 0.0, 25.0, 50.0, 50.0]
    assert Scale(0.0, 4.0, 100.0, 0.0)(1.0) == 75.0
    assert Scale(3.0, 3.0, 7.0, 9.0)(3.0) == 7.0


@pytest.mark.parametrize("high", [1e-3, 0.9, 1.0, 7.3, 24.1, 99.0, 3600.0, 1e18])
@pytest.mark.parametrize("most", [2, 5, 16])
def test_ticks_are_few_and_even(high: float, most: int) -> None:
    """At most as many as there is room for, from 0 on, none beyond the end."""
    marks = ticks(high, most)
    assert 1 <= len(marks) <= most
    assert marks[0] == 0.0
    assert marks[-1] <= high * (1 + 1e-9)


def test_decades_lie_around_their_values() -> None:
    """The powers of ten below and above, at least one decade apart."""
    assert decades(0.002, 0.9) == (0.001, 1.0)
    assert decades(1.0, 1.0) == (1.0, 10.0)
    assert list(log_ticks(0.001, 1.0)) == pytest.approx([0.001, 0.01, 0.1, 1.0])


def test_numbers_and_spans_are_short() -> None:
    """As few characters as say it, and times with the unit people would use."""
    assert [number(value) for value in (0.0, -0.01, 1.0, 1.25, 1e3)] == ["0", "0", "1", "1.2", "1000"]
    spans = [span(value).replace("\N{NO-BREAK SPACE}", " ") for value in (0.0021, 0.00996, 0.25, 0.9996, 4.5, 250.0)]
    assert spans == ["2.1 ms", "10 ms", "250 ms", "1.00 s", "4.50 s", "250 s"]


def test_attributes_and_text_are_escaped() -> None:
    """Whatever stands in an attribute stays in it, and an attribute that is None is none."""
    text = element("a", "", href=HOSTILE, class_="x", data_label=None)
    assert parsed(text).attrib == {"href": clean(HOSTILE), "class": "x"}
