"""The JUnit file: what a CI system is told, in the form it reads, never greener than the run was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _chaos_runs import HOSTILE, PLAN, REPLAY, RUNS, VERDICTS, Telling, broken, cut_short, good, judged, parsed, passed

from chaos._findings import Breach
from chaos._junit import make_junit
from chaos._output import clean

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET


def suite(told: Telling) -> ET.Element:
    root = parsed(make_junit(told.evidence(), judged(told), ["verdict    as printed", HOSTILE]))
    assert root.tag == "testsuites"
    (only,) = root
    assert root.attrib == {}
    return only


def cases(told: Telling) -> dict[str, list[str]]:
    """What each case holds, by the first word of its name."""
    return {
        case.get("name", "").partition(":")[0]: [part.tag for part in case] for case in suite(told).iterfind("testcase")
    }


@pytest.mark.parametrize("name", RUNS)
def test_the_counts_are_those_of_the_cases(name: str) -> None:
    """One case for each promise and one for having tested enough; each counted once, as what it is."""
    told = RUNS[name]()
    found = suite(told)
    results = [[part.tag for part in case] for case in found.iterfind("testcase")]
    assert all(len(result) <= 1 for result in results)
    flat = [result[0] for result in results if result]
    assert int(found.get("tests", "")) == len(results) == len(Breach) + 1
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(found.get(attribute, "")) == flat.count(tag)
    assert [part.tag for part in found if part.tag != "testcase"] == ["properties", "system-out", "system-err"]
    green = not {"failure", "error"} & set(flat)
    assert green == (VERDICTS.get(name) == "pass")


def test_a_pass_is_all_green() -> None:
    """Nothing failed and nothing was skipped."""
    assert list(cases(passed()).values()) == [[]] * (len(Breach) + 1)


def test_a_broken_promise_is_a_failure_with_its_witnesses() -> None:
    """The promises that were broken and no others, each with what shows it and how to see it again."""
    told = broken()
    failed = {name for name, result in cases(told).items() if result == ["failure"]}
    assert failed == {"wrong", "lost", "leftover"}
    wrong = next(case for case in suite(told).iterfind("testcase") if case.get("name", "").startswith("wrong:"))
    (failure,) = wrong
    assert failure.get("type") == "wrong"
    assert "and 1 more" in failure.get("message", "")
    assert "(history " in (failure.text or "")
    assert (failure.text or "").endswith(f"replay: {REPLAY}")


def test_an_unknown_verdict_is_an_error() -> None:
    """A skipped test looks green, and so must no run that proved nothing."""
    told = good(more=1)
    told.ended()
    found = cases(told)
    assert found.pop("proved") == ["error"]
    assert set(map(tuple, found.values())) == {()}
    (error,) = next(case for case in suite(told).iterfind("testcase") if case.get("name", "").startswith("proved:"))
    assert error.get("type") == "unknown"
    assert (error.text or "").split("\n") == list(judged(told).reasons)


def test_what_nobody_looked_at_is_skipped() -> None:
    """Without a request no promise was tested; without an end nobody looked for processes left."""
    assert {tuple(result) for name, result in cases(RUNS["idle"]()).items() if name != "proved"} == {("skipped",)}
    assert cases(cut_short())["leftover"] == ["skipped"]
    assert cases(cut_short())["lost"] == []


def test_properties_tell_the_run_apart() -> None:
    """Seed, plan and the command that does it again are there for a script to find."""
    found = suite(passed())
    properties = {item.get("name"): item.get("value") for item in found.iterfind("properties/property")}
    assert properties["seed"] == "7"
    assert properties["plan_sha256"] == PLAN.sha256
    assert properties["replay"] == REPLAY
    assert properties["verdict"] == "pass"
    assert found.get("timestamp") == "2026-01-02T03:04:05"
    assert float(found.get("time", "")) > 1.0


def test_hostile_text_stays_text() -> None:
    """The file is well-formed whatever a worker said, and holds it as far as XML can."""
    told = broken()
    told.records[0]["replay"] = told.records[0]["started"] = HOSTILE
    text = make_junit(told.evidence(), judged(told), [HOSTILE])
    text.encode()
    root = parsed(text)
    assert not [part for part in root.iter() if part.tag == "script"]
    assert (root.findtext("testsuite/system-out") or "") == clean(HOSTILE)
