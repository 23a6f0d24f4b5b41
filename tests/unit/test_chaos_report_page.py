"""The page: complete and safe whatever came of the run, the same for the same run, and in need of nothing else."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import attrs
import pytest
from _chaos_made import SCENARIO, made
from _chaos_reported import (
    BROKEN,
    CODES,
    HOSTILE,
    PASSED,
    RUNS,
    broken_witness,
    evidence,
    parsed,
    reports,
    run,
    text_of,
)
from hypothesis import given
from hypothesis import strategies as st

import trio_pool.errors
from chaos._output import clean
from chaos.checking._finding import Witness
from chaos.checking._judge import measure_evidence
from chaos.evidence._evidence import make_evidence
from chaos.reporting._aligned import BINS, align, draw_course_of
from chaos.reporting._page_words import ERRORS, GLOSSARY, HEADLINES
from chaos.reporting._panels import buckets
from chaos.reporting._reports import Format
from chaos.reporting._scene import FREEZE, OTHER, SUDDEN, WIRE, Scene, _busy, look_of, make_scene
from chaos.reporting._sequence import MAX_STEPS, find_diagram
from chaos.reporting._thinning import thin
from chaos.reporting._visits import visits

if TYPE_CHECKING:
    from chaos.evidence._evidence import Evidence

SVG = "{http://www.w3.org/2000/svg}"


@cache
def page(name: str) -> str:
    return run(name).text(Format.HTML)


def scene(found: Evidence) -> Scene:
    return make_scene(reports(found).results, measure_evidence(found), found)


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_a_page(name: str) -> None:
    """Well-formed as XML even, verdict first."""
    made_ = page(name)
    root = parsed(made_)
    assert made_.startswith("<!DOCTYPE html>\n")
    assert root.get("lang") == "en"
    main = root.find("body/main")
    assert main is not None
    found = run(name).results
    assert (main[1].tag, main[1].get("class")) == ("header", f"verdict {found.verdict.value}")
    assert [heading.text for heading in root.iter("h1")] == [HEADLINES[found.exit][0]]
    assert found.exit_code == CODES[name]
    made_.encode()


@pytest.mark.parametrize("name", RUNS)
def test_the_page_needs_nothing_from_anywhere(name: str) -> None:
    """No script, no address, nothing that is loaded: the policy in it forbids what it does not have."""
    made_ = page(name)
    root = parsed(made_)
    policy = next(meta for meta in root.iter("meta") if meta.get("http-equiv"))
    assert policy.get("content", "").split(";")[0] == "default-src 'none'"
    tags = {part.tag.rpartition("}")[2] for part in root.iter()}
    assert tags.isdisjoint({"script", "img", "link", "iframe", "object", "form", "image", "use", "foreignObject"})
    assert set(re.findall(r"https?://[^\"' )]+", made_)) <= {"http://www.w3.org/2000/svg"}
    assert re.findall(r"url\((?!#)", made_) == []
    assert not [name for part in root.iter() for name in part.attrib if name.startswith("on")]


@pytest.mark.parametrize("name", RUNS)
def test_every_reference_in_the_page_is_answered(name: str) -> None:
    """What is filled with a pattern finds it, and no name stands for two."""
    names = re.findall(r' id="([^"]+)"', page(name))
    assert len(names) == len(set(names))
    assert set(re.findall(r"url\(#([^)]+)\)", page(name))) <= set(names)


def test_hostile_names_are_shown_and_do_nothing() -> None:
    """Markup, quotes and escape sequences stay text, without what no page may hold."""
    made_ = page("hostile")
    root = parsed(made_)
    assert not [part for part in root.iter() if "script" in part.tag]
    assert clean(HOSTILE) in text_of(root)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800-\udfff]", made_)


@pytest.mark.parametrize("name", RUNS)
def test_no_coordinate_is_out_of_reach_or_no_number(name: str) -> None:
    """A drawing that divided by nothing would be blank, and nobody would know."""
    assert not re.search(r'="[^"]*\b(nan|inf)\b', page(name))


def test_pictures_have_a_name_and_a_table_or_list_instead() -> None:
    """Whoever does not see them is told what they are, and where the same stands in words."""
    root = parsed(page("broken"))
    pictures = [part for part in root.iter(f"{SVG}svg") if part.get("class") == "picture"]
    assert pictures
    for picture in pictures:
        assert picture.get("role") == "img"
        assert len(picture.get("aria-label", "")) > 30
    marks = [part for part in root.iter("svg") if part.get("aria-hidden") == "true"]
    assert marks
    assert [each.text for each in root.iter("summary")] == ["The same as a list", "The picture as tables"]


def test_what_is_broken_stands_before_what_happened_and_an_example_after() -> None:
    """The diagram of a violation is evidence; that of a request that a fault hit is an illustration."""
    broken = [heading.text or "" for heading in parsed(page("broken")).iter("h2")]
    passed = [heading.text or "" for heading in parsed(page("passed")).iter("h2")]

    def place(headings: list[str], part: str) -> int:
        return next(index for index, heading in enumerate(headings) if part in heading)

    assert place(broken, "What was broken") < place(broken, "step by step") < place(broken, "second by second")
    assert place(passed, "The faults") < place(passed, "step by step")
    assert not [heading for heading in passed if "broken" in heading]


def test_numbers_of_the_page_are_those_of_the_results() -> None:
    """The story counts what was counted."""
    found = run("passed").results
    whole = found.of("all")
    assert whole is not None
    text = text_of(parsed(page("passed")))
    assert f"{whole.ok} of {whole.sent} requests succeeded" in text
    assert f"k1 #0 {found.recovery[0].at:.2f} s" in text
    for judged in found.objectives:
        assert f"{judged.text.replace('<', '<')} ✓ passed {judged.window}" in text
    assert "A worker's process dies (k1): 4 times" in text


def test_what_had_nothing_to_judge_is_not_unknown() -> None:
    """A run that passes does not look as if it were in doubt."""
    text = text_of(parsed(page("passed")))
    assert "Bounded queue (C11) - nothing to judge the queue was never full" in text
    assert "? unknown" not in text
    assert "Definiteness honest (C3) ? unknown" in text_of(parsed(page("unknown")))


def test_words_are_explained() -> None:
    """Every error that was met, and the glossary."""
    text = text_of(parsed(page("passed")))
    for name in run("passed").results.numbers[0].errors:
        assert ERRORS[name] in text
    for word, meaning in GLOSSARY.items():
        assert word in text
        assert meaning in text


def test_a_run_without_requests_says_so() -> None:
    """And claims nothing."""
    text = text_of(parsed(page("idle")))
    assert "No request was sent" in text
    assert "✗" not in text


# ------------------------------------------------------------------------------------------------------------- thinning


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), min_size=6, max_size=400).map(sorted),
    st.integers(5, 60),
)
def test_thinned_points_keep_order_ends_and_extremes(points: list[tuple[float, float]], limit: int) -> None:
    """At most as many as asked for, all of them real, the lowest and the highest among them."""
    kept = thin(points, limit, lambda point: point)
    assert len(kept) <= max(limit, 5)
    assert kept == sorted(kept)
    assert set(kept) <= set(points)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    heights = [y for _, y in points]
    assert min(heights) in [y for _, y in kept]
    assert max(heights) in [y for _, y in kept]


def test_few_points_are_left_alone() -> None:
    """Up to the limit nothing is thinned."""
    points = [(float(each), 0.0) for each in range(10)]
    assert thin(points, 10, lambda point: point) == points


def test_a_spike_survives_thinning() -> None:
    """One slow request in a hundred thousand is what the picture is looked at for."""
    points = [(float(each), 1.0) for each in range(100_000)]
    points[54_321] = (54_321.0, 9.0)
    kept = thin(points, 1000, lambda point: point)
    assert (54_321.0, 9.0) in kept
    assert len(kept) <= 1000


# ------------------------------------------------------------------------------------------------------------- pictures


def test_every_request_is_in_one_stretch() -> None:
    """Offered by the intended time, answered and failed by the time of their end."""
    found = scene(made())
    stretches = buckets(found)
    whole = [request for request in found.requests if request.settled]
    assert sum(each.offered for each in stretches) == len(found.requests) + len(found.drops)
    assert sum(each.answered + each.failed for each in stretches) == len(whole)


@pytest.mark.parametrize(
    ("kind", "lasts", "look"),
    [
        ("kill", False, SUDDEN),
        ("freeze", True, FREEZE),
        ("app-stop", True, FREEZE),
        ("wire.latency", True, WIRE),
        ("wire.corrupt", False, WIRE),
        ("memory-growth", True, OTHER),
    ],
)
def test_faults_look_like_what_they_do(kind: str, lasts: bool, look: str) -> None:
    """A moment is a line; what lasts has a pattern by its kind."""
    assert look_of(kind, lasts=lasts) == look


def test_lives_tell_slots_ends_and_work() -> None:
    """Each worker there was, busy only while it lived."""
    found = scene(made())
    assert found.slots == (0, 1, 2)
    starts = sum(entry["type"] == "WorkerStarting" for entry in made().records)
    assert len(found.lives) == starts
    assert [life.exit for life in found.lives if not life.planned] == ["SIGKILL"] * 5
    for life in found.lives:
        assert all(life.starting <= start <= stop <= life.ended for start, stop in life.busy)


def test_a_dead_worker_is_not_busy() -> None:
    """Also where the pool gives its request an outcome only later."""
    names = {"src": "pool", "request_id": 7, "session_id": None, "slot": 0, "incarnation": 1}
    records = [
        {"seq": 0, "t": 1.0, "type": "RequestDispatched", **names},
        {"seq": 1, "t": 2.0, "type": "WorkerExited", **names},
        {"seq": 2, "t": 3.0, "type": "RequestFinished", **names, "result": "failed"},
    ]
    assert _busy(records, 9.0) == {1: [(1.0, 2.0)]}
    assert _busy(records[:1], 9.0) == {1: [(1.0, 9.0)]}


def test_every_strike_has_its_name_above_the_picture() -> None:
    """As long as there is room; a pointer on any of them learns what it did."""
    found = page("passed")
    strikes = len(run("passed").results.recovery)
    assert found.count('class="tag"') == 3 * strikes
    assert "k1: kill of pool-0 at 3.30 s, detected after" in found.replace("\N{NO-BREAK SPACE}", " ")


def test_strikes_are_laid_over_each_other() -> None:
    """Success falls around time 0 and nowhere else, in the middle of all strikes, with the moments of the recovery."""
    kills = SCENARIO.partition('[[fault]]\nname = "f1"')[0] + SCENARIO[SCENARIO.index("[steady_state]") :]
    found = scene(evidence(kills))
    course = align(found, "k1")
    assert course is not None
    assert (course.strikes, len(course.success), len(course.slow)) == (4, BINS, BINS)
    assert dict(course.marks)["noticed"] == 0.002
    bins = [(course.start + index * course.step, each) for index, each in enumerate(course.success) if each]
    assert all(0.0 <= low <= middle <= high <= 1.0 for _, (low, middle, high) in bins)
    worst = min(bins, key=lambda each: each[1][0])
    assert worst[0] <= 0.0 < worst[0] + 2 * course.step
    assert align(found, "nobody") is None
    assert "<svg" in draw_course_of(course, width=552, label="a label")


def test_a_single_strike_is_a_line_without_a_band() -> None:
    """One is no spread."""
    course = align(scene(made()), "f1")
    assert course is not None
    assert 'class="range' not in draw_course_of(course, width=552, label="a label")


def test_the_diagram_is_of_the_first_violation() -> None:
    """Else of a request that was running when a fault struck: with the strike, the death and the error."""
    found = made()
    diagram = find_diagram(reports(found, PASSED, BROKEN).results, found)
    assert diagram is not None
    assert "a case against C4 (correlation)" in diagram.title
    assert diagram.violation
    seq = BROKEN.witnesses[0].seqs[0]
    assert found.records[seq]["src"] != "client" or str(found.records[seq]["id"]) in diagram.title

    hit = find_diagram(reports(found).results, found)
    assert hit is not None
    assert "was running when k1 struck" in hit.title
    assert not hit.violation
    told = [step.text for step in hit.steps]
    assert told[1:] == ["handed over", "k1: kill", "gone: SIGKILL", "finished: failed", "WorkerCrashed"]
    assert [step.t for step in hit.steps] == sorted(step.t for step in hit.steps)
    assert hit.columns[:2] == ("caller", "pool")


def test_the_diagram_is_of_the_request_that_went_wrong() -> None:
    """The sentence names it first; the records may begin with one that was well, and show what was so before."""
    found = made()
    first, other = sorted(found.requests)[:2]
    seqs = (found.requests[first].invoke["seq"], found.requests[other].invoke["seq"])
    for text, shown in (
        (f"session s-1 was elsewhere, and request {other} ran as if nothing were lost", other),
        (f"the pool's request {other} was handed over twice", first),
    ):
        finding = attrs.evolve(BROKEN, witnesses=(Witness(text=text, seqs=seqs),))
        diagram = find_diagram(reports(found, finding).results, found)
        assert diagram is not None
        assert diagram.title.startswith(f"Request {shown}, ")


def test_the_diagram_has_a_bound() -> None:
    """A request that was handed over for ever fills no page."""
    found = made()
    again = next(e for e in found.records if e["src"] == "pool" and e["type"] == "RequestDispatched")
    witness = broken_witness(found)
    number = found.records[witness.witnesses[0].seqs[0]]["id"]
    found.requests[number].told.extend([again] * 40)
    diagram = find_diagram(reports(found, witness).results, found)
    assert diagram is not None
    assert len(diagram.steps) == MAX_STEPS
    assert diagram.left_out > 0


def test_a_session_that_goes_on_under_a_new_name_is_the_same() -> None:
    """And those that met a failure come first."""
    found = made()
    for entry in found.records:
        if entry["src"] == "client" and entry["type"] == "invoke" and entry["session"] == "s-0" and entry["step"]:
            entry["session"] = "s-0.1"
    everybody = visits(scene(found))
    assert {visit.name for visit in everybody} == {visit.name for visit in visits(scene(made()))}
    failed = [visit.failed for visit in everybody]
    assert failed == sorted(failed, reverse=True)
    assert failed[0] > 0


@pytest.mark.slow
def test_many_failures_are_drawn_as_one_mark_each_and_told_together() -> None:
    """In an overload most requests fail: they are all in the picture, and the page stays small."""
    busy = SCENARIO.replace("rate = 30.0", "rate = 2000.0").replace('timeout = "1s"', 'timeout = "200ms"')
    text = reports(evidence(busy)).text(Format.HTML)
    assert 'class="failed dots"' in text
    assert len(text) < 3_000_000


def test_every_public_error_of_a_request_is_explained() -> None:
    """No user of the page has to look one up."""
    met: tuple[str, ...] = (
        "WorkerCrashed",
        "PoisonRequest",
        "SessionLost",
        "SessionNotFound",
        "SessionMismatch",
        "SessionLimit",
    )
    met += ("CommandTimeout", "PoolTimeout", "PoolSaturated", "PoolClosed", "ProtocolError", "RemoteError")
    for name in met:
        assert hasattr(trio_pool.errors, name)
        assert name in ERRORS


def test_a_pool_that_tells_nothing_has_a_page_without_lanes() -> None:
    """Other pools have no events; what their callers saw is drawn all the same."""
    found = evidence()
    kept = [dict(entry) for entry in found.records if entry["src"] != "pool"]
    for seq, entry in enumerate(kept):
        entry["seq"] = seq
    silent = make_evidence(found.plan, kept)
    text = reports(silent).text(Format.HTML)
    assert "what each worker did" not in text
    assert "how long each request took" in text
    parsed(text)


def test_a_pool_of_many_slots_keeps_to_a_bound() -> None:
    """Lanes are drawn of those that were hit first; the picture says how many there are."""
    many = SCENARIO.replace("size = 3", "size = 60").replace("slot = 0", "slot = 41")
    text = reports(evidence(many)).text(Format.HTML)
    assert "32 of 60 slots have a lane" in text
    assert ">slot 41<" in text


def test_no_fault_at_all() -> None:
    """A run without faults shows how the pool serves undisturbed."""
    calm = SCENARIO.partition("[[fault]]")[0] + SCENARIO[SCENARIO.index("[steady_state]") :].replace("fault:k1", "all")
    calm = calm.replace(', "fault.k1.hits >= 1"', "").replace('"time_to_capacity.max < 1s"', '"dropped == 0"')
    text = text_of(parsed(reports(evidence(calm)).text(Format.HTML)))
    assert "Nothing: this run shows how the pool serves undisturbed." in text
    assert "No fault was planned." in text
