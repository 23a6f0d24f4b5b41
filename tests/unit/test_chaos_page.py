"""The page: complete and safe whatever came of the run, the same for the same run, and in need of nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from _chaos_runs import HOSTILE, RUNS, VERDICTS, Telling, broken, good, idle, judged, parsed, passed

from chaos._findings import Breach
from chaos._html import make_page
from chaos._output import clean
from chaos._picture import MAX_POINTS
from chaos._words import ERRORS, FAULTS, GLOSSARY, PROMISES

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

HTML = "{http://www.w3.org/1999/xhtml}"


def page(told: Telling) -> str:
    return make_page(told.evidence(), judged(told))


def text_of(element: ET.Element) -> str:
    """What a reader sees of an element, with the spaces between words alone."""
    shown = [part for part in element.iter() if part.tag not in ("style", "title") and not part.tag.endswith("}title")]
    return " ".join(" ".join((part.text or "") + " " + (part.tail or "") for part in shown).split())


@pytest.mark.parametrize("name", RUNS)
def test_every_run_has_a_page(name: str) -> None:
    """Well-formed as XML even, verdict first, and the same bytes for the same evidence."""
    told = RUNS[name]()
    made = page(told)
    root = parsed(made)
    assert made.startswith("<!DOCTYPE html>\n")
    assert root.get("lang") == "en"
    main = root.find("body/main")
    assert main is not None
    header = main[1]
    assert (header.tag, header.get("class")) == ("header", f"verdict {VERDICTS.get(name, 'unknown')}")
    assert made == page(RUNS[name]())
    made.encode()


@pytest.mark.parametrize(
    ("name", "headline"),
    [
        ("passed", "Every promise was kept"),
        ("broken", "3 of 9 promises were broken"),
        ("interrupted", "Nothing was broken, but too little was tested"),
        ("not started", "Nothing was tested"),
        ("nothing", "Nothing was tested"),
    ],
)
def test_the_headline_says_what_came_of_it(name: str, headline: str) -> None:
    """In words, before any number."""
    root = parsed(page(RUNS[name]()))
    assert [heading.text for heading in root.iter("h1")] == [headline]


def test_the_page_needs_nothing_from_anywhere() -> None:
    """No script, no address, nothing that is loaded: the policy in it forbids what it does not have."""
    made = page(passed())
    root = parsed(made)
    policy = next(meta for meta in root.iter("meta") if meta.get("http-equiv"))
    assert (policy.get("http-equiv"), policy.get("content", "").split(";")[0]) == (
        "Content-Security-Policy",
        "default-src 'none'",
    )
    tags = {part.tag.rpartition("}")[2] for part in root.iter()}
    assert tags.isdisjoint({"script", "img", "link", "iframe", "object", "form", "image", "use", "foreignObject"})
    addresses = set(re.findall(r"https?://[^\"' )]+", made))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert re.findall(r"url\((?!#)", made) == []
    assert not [name for part in root.iter() for name in part.attrib if name.startswith("on")]


def test_every_reference_in_the_page_is_answered() -> None:
    """What is filled with a pattern finds it, and no name stands for two."""
    made = page(passed())
    names = re.findall(r' id="([^"]+)"', made)
    assert len(names) == len(set(names))
    assert set(re.findall(r"url\(#([^)]+)\)", made)) <= set(names)


def test_hostile_names_are_shown_and_do_nothing() -> None:
    """Markup, quotes and escape sequences in names, messages and versions stay text, without what no page may hold."""
    told = broken()
    for entry in told.records:
        for field in ("worker_id", "fault", "exit", "why", "signal", "replay", "python", "kernel", "files", "packages"):
            if field in entry:
                entry[field] = HOSTILE
    told.records[0]["started"] = HOSTILE
    made = page(told)
    root = parsed(made)
    assert not [part for part in root.iter() if "script" in part.tag]
    assert clean(HOSTILE) in text_of(root)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800-\udfff]", made)
    assert "<script" not in made


def test_each_promise_says_whether_it_was_kept() -> None:
    """All nine are named, the broken ones as broken, in words and not by colour alone."""
    told = broken()
    findings = judged(told)
    text = text_of(parsed(page(told)))
    for breach in Breach:
        state = r"✗ broken" if findings.count(breach) else r"✓ kept"
        assert re.search(rf"{re.escape(PROMISES[breach][0])} {state}", text), breach
    assert "What was broken" in text
    assert "process 42 (incarnation 1) outlived the pool" in text


def test_an_idle_run_claims_no_promise_kept() -> None:
    """Where no request was sent nothing was tested, and nothing is said to have been kept."""
    text = text_of(parsed(page(idle())))
    assert "✓ kept" not in text
    assert text.count("- not tested") == len(Breach)
    assert "k1 (kill) at" in text


def test_what_was_not_proved_is_listed() -> None:
    """An unknown verdict says why."""
    told = good(more=1)
    told.ended()
    text = text_of(parsed(page(told)))
    assert "What was not proved" in text
    for reason in judged(told).reasons:
        assert reason in text


def test_numbers_of_the_page_are_those_of_the_findings() -> None:
    """The story counts what the checks counted."""
    told = passed()
    findings = judged(told)
    text = text_of(parsed(page(told))).replace("\N{NO-BREAK SPACE}", " ")
    untouched = findings.sessions - findings.faulted_sessions
    assert f"{findings.ok} of {findings.sent} requests succeeded" in text
    assert f"The other {untouched} sessions noticed nothing: all their {findings.untouched_sent} requests" in text
    assert "3 workers were killed, 1 worker was frozen and 1 worker was slowed down" in text
    assert "100 % of requests succeeded where no fault hit" in " ".join(
        f"{tile.findtext('dd')} {tile.findtext('dt')}" for tile in parsed(page(told)).iterfind(".//dl/div")
    ).replace("\N{NO-BREAK SPACE}", " ")


def test_pictures_have_a_name_and_a_table_instead() -> None:
    """Whoever does not see them gets the same from the tables."""
    root = parsed(page(passed()))
    pictures = [part for part in root.iter() if part.get("role") == "img"]
    assert len(pictures) == 9  # three pictures, each for three kinds of screen
    assert all(len(part.get("aria-label", "")) > 40 for part in pictures)
    captions = [caption.text or "" for caption in root.iter("caption")]
    assert any(text.startswith("Requests by intended send time") for text in captions)
    assert any(text.startswith("Workers in the order") for text in captions)


@pytest.mark.slow
def test_the_page_of_a_long_run_is_bounded_and_says_so() -> None:
    """Thousands of requests make a page of a size that any browser shows, and it says what it left out."""
    told = Telling()
    for number in range(5_000):
        told.served(f"calm-{number % 50}", after=0.001 + number % 7 / 1000)
    told.ended()
    made = page(told)
    assert len(made) < 900_000
    assert f"{MAX_POINTS} of 5000 requests are drawn" in made


def test_the_words_explain_what_there_is() -> None:
    """Each promise has its words, and so has what a fault and an error is called."""
    assert set(PROMISES) == set(Breach)
    assert set(FAULTS) == {"kill", "freeze", "latency"}
    assert {"WorkerCrashed", "SessionLost", "SessionNotFound", "CommandTimeout", "PoolTimeout"} <= set(ERRORS)
    text = text_of(parsed(page(passed())))
    for word in GLOSSARY:
        assert word in text
