"""Reports as text: what failed first, never greener than the run, and safe whatever a worker said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from _chaos_made import REPLAY, SCENARIO, made
from _chaos_reported import BROKEN, CODES, IDLE, PASSED, RUNS, UNKNOWN, evidence, parsed, reports, run, texts
from hypothesis import given
from hypothesis import strategies as st

from chaos._output import CannotWrite, clean
from chaos._stats import percentile
from chaos.checking._comparison import _quantile, compare
from chaos.checking._finding import Judgement
from chaos.checking._judge import measure_evidence
from chaos.reporting._comparison import comparison_lines
from chaos.reporting._console import Summary
from chaos.reporting._files import FILES
from chaos.reporting._format import MARKS, duration, share, size
from chaos.reporting._hgrm import make_hgrm
from chaos.reporting._reports import Format
from chaos.scenario._streams import stream

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET
    from pathlib import Path


# --------------------------------------------------------------------------------------------------------- the console


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("width", [80, 100, 120])
def test_lines_fit_and_hold_nothing_that_does_harm(name: str, width: int) -> None:
    """At every width from 80 columns on, without an escape sequence where colour is not wanted."""
    for line in run(name).lines(width=width):
        assert len(line) <= width, line
        assert line == clean(line)


@pytest.mark.parametrize("name", RUNS)
def test_the_first_lines_are_verdict_and_exit(name: str) -> None:
    """In words; the code is the one the process will end with."""
    found = run(name)
    first, second, *_ = found.lines()
    assert first.startswith(found.results.verdict.value.upper())
    assert second.startswith(f"exit {CODES[name]}: ")
    assert found.results.exit_code == CODES[name]


def test_what_failed_comes_first_with_its_evidence_and_the_command() -> None:
    """Failures before what is unknown, each with witnesses and records; then the command that does it again."""
    lines = run("broken").lines()
    failed = lines.index("✗ C4 correlation (guarantee 2, own reply): 12 violations: a reply is its request's own")
    unknown = lines.index("? C3 definiteness honest: there is no ledger")
    again = lines.index(f"again: {REPLAY}")
    assert failed == 2 < unknown < again < lines.index("objectives")
    shown = texts(lines[failed:unknown])
    assert "request 0 got another's reply (history 30)" in shown
    assert '      {"seq":30,' in shown
    assert "and 9 more, see results.json" in shown
    assert "C11" not in texts(lines[: again + 1])


def test_a_pass_has_nothing_against_it() -> None:
    """No mark of a failure anywhere, and the command only at the end."""
    text = texts(run("passed").lines())
    assert "✗" not in text
    assert "again:" not in text
    assert "✓ main" in text
    assert "nothing to judge: C11" in text


def test_an_objective_that_was_missed_is_told_with_what_was_measured() -> None:
    """The value, its interval and of how many it is, on top and in the table of objectives."""
    lines = run("missed").lines()
    assert re.fullmatch(r"✗ main: success_rate >= 0.9999   98.\d % \[[\d.]+ - [\d.]+ %\], n=\d+", lines[2])


def test_an_interruption_and_a_missing_start_are_told() -> None:
    """What is nobody's finding still stands on top."""
    assert run("interrupted").lines()[2] == "? the run was interrupted by SIGINT"
    assert run("not started").lines()[2] == "? the pool could not be opened: WorkerInitFailed: no"
    assert run("cut short").lines()[2].startswith("? the history has no end")


def test_colour_is_added_and_nothing_else() -> None:
    """A terminal gets the same words."""
    found = run("broken")
    coloured = list(Summary(found.results, made().records, colour=True).lines())
    plain = list(Summary(found.results, made().records).lines())
    assert coloured != plain
    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in coloured] == plain


def test_files_that_are_there_come_last(tmp_path: Path) -> None:
    """Those that are not are not named."""
    (tmp_path / "history.jsonl").touch()
    run("passed").write(tmp_path)
    lines = run("passed").lines(tmp_path)
    assert lines[-1] == f"again: {REPLAY}"
    assert lines[-2] == f"in {tmp_path}"
    named = {line.split()[0] for line in lines[lines.index(next(each for each in lines if "report.html" in each)) : -2]}
    assert named == {"report.html", "report.md", "results.json", "junit.xml", "latency.hgrm", "history.jsonl"}
    assert named <= set(FILES)


def test_what_cannot_be_written_is_told_after_the_others_were(tmp_path: Path) -> None:
    """One full place costs one file."""
    (tmp_path / "report.md").mkdir()
    with pytest.raises(CannotWrite, match=r"report\.md"):
        run("passed").write(tmp_path)
    assert (tmp_path / "report.html").stat().st_size > 1000
    assert (tmp_path / "latency.hgrm").stat().st_size > 100


@pytest.mark.parametrize("form", Format)
def test_the_same_evidence_gives_the_same_bytes(form: Format) -> None:
    """A report can be made again, years later."""
    assert reports(made(), PASSED, BROKEN).text(form) == reports(made(), PASSED, BROKEN).text(form)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"),
        (0.0, "0 µs"),
        (0.000_42, "420 µs"),
        (0.0042, "4.2 ms"),
        (0.42, "420 ms"),
        (4.2, "4.20 s"),
        (142, "142 s"),
    ],
)
def test_times_as_people_write_them(seconds: float | None, text: str) -> None:
    """In the unit that suits them."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (1.0, "100 %"),
        (0.99999, "99.9 %"),
        (0.5, "50 %"),
        (0.0, "0 %"),
        (0.0004, "< 0.1 %"),
        (0.29, "29 %"),
    ],
)
def test_a_share_is_never_rounded_up(value: float | None, text: str) -> None:
    """100 % is said only of all, and 0 % only of none."""
    assert share(value) == text


def test_sizes_have_the_unit_that_suits_them() -> None:
    """Of 1024."""
    assert [size(value) for value in (0, 512, 2048, 3 * 2**20, 5 * 2**40)] == [
        "0 B",
        "512 B",
        "2 KiB",
        "3 MiB",
        "5.12e+03 GiB",
    ]


# --------------------------------------------------------------------------------------------------------------- JUnit


def suite(name: str) -> ET.Element:
    root = parsed(run(name).text(Format.JUNIT))
    assert root.tag == "testsuites"
    (only,) = root
    return only


def cases(name: str) -> dict[str, ET.Element | None]:
    """What each case holds, by its name."""
    return {case.get("name", ""): next(iter(case), None) for case in suite(name).iterfind("testcase")}


@pytest.mark.parametrize("name", RUNS)
def test_the_suite_counts_its_cases_and_is_no_greener_than_the_run(name: str) -> None:
    """All green if and only if the exit code is 0."""
    found = suite(name)
    results = [part.tag for case in found.iterfind("testcase") for part in case]
    assert int(found.get("tests", "")) == len(found.findall("testcase"))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(found.get(attribute, "")) == results.count(tag)
    assert (not {"failure", "error"} & set(results)) == (CODES[name] == 0)


def test_each_thing_that_was_judged_is_a_case() -> None:
    """Checkers, objectives, both steady states, what had to happen, and the run itself."""
    found = run("broken").results
    names = list(cases("broken"))
    expected = ["the run", *(f"{each.checker} {each.name}" for each in found.findings)]
    expected += [f"{each.window}: {each.text}" for each in found.objectives]
    expected += ["steady before", "steady after", *(each.text for each in found.sometimes)]
    assert names == expected
    assert suite("broken").get("name") == "made@7"


def test_a_failure_tells_its_witnesses_and_the_command() -> None:
    """Whoever opens the case needs nothing else."""
    failure = cases("broken")["C4 correlation"]
    assert failure is not None
    assert (failure.tag, failure.get("message")) == ("failure", BROKEN.text)
    lines = (failure.text or "").split("\n")
    assert lines[1] == "request 0 got another's reply (history 30)"
    assert "and 4 more" in lines
    assert lines[-1] == f"replay: {REPLAY}"


def test_unknown_is_an_error_and_idle_is_skipped() -> None:
    """A skipped test looks green: only what had nothing to judge, in a run that did not ask for it, may."""
    unknown, idle = cases("broken")["C3 definiteness honest"], cases("broken")["C11 bounded queue"]
    assert unknown is not None
    assert idle is not None
    assert (unknown.tag, unknown.get("type"), unknown.get("message")) == ("error", "unknown", UNKNOWN.text)
    assert (idle.tag, idle.get("message")) == ("skipped", IDLE.text)
    assert cases("passed")["the run"] is None


def test_properties_tell_the_run_apart() -> None:
    """Seed, plan and the command that does it again are there for a script to find."""
    found = {item.get("name"): item.get("value") for item in suite("passed").iterfind("properties/property")}
    assert (found["seed"], found["replay"], found["verdict"], found["exit_code"]) == ("7", REPLAY, "pass", "0")
    assert suite("passed").get("timestamp") == "2026-01-02T03:04:05"
    assert suite("hostile").get("timestamp") == "1970-01-01T00:00:00"


# ------------------------------------------------------------------------------------------------------------ Markdown


@pytest.mark.parametrize("name", RUNS)
def test_markdown_tables_have_as_many_cells_in_every_row(name: str) -> None:
    """Whatever stands in a name: an unescaped bar would move everything behind it."""
    columns = 0
    for line in run(name).text(Format.MARKDOWN).split("\n"):
        if not line.startswith("|"):
            columns = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert columns in (0, cells), line
        columns = cells


def test_markdown_says_verdict_reasons_and_command() -> None:
    """And shows what a worker said as it is: no tag of it, no link, no end of the code."""
    text = run("broken").text(Format.MARKDOWN)
    assert text.startswith("## ✗ FAIL: made, seed 7\n")
    assert "1 of 3 checks passed; 1 had nothing to judge" in text
    assert text.rstrip().endswith(f"```\n{REPLAY}\n```")
    hostile = run("hostile").text(Format.MARKDOWN)
    outside = re.sub(r"(?s)```.*?```", "", hostile)
    assert not re.search(r"(?<!\\)<(?!/?(details|summary))", outside)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800-\udfff]", hostile)


# ---------------------------------------------------------------------------------------------------- the percentiles


def rows_of(text: str) -> list[tuple[float, float, int]]:
    rows = [line.split() for line in text.split("\n")[2:] if line and not line.startswith("#")]
    return [(float(value), float(at), int(total)) for value, at, total, _ in rows]


def test_the_percentile_table_has_the_form_that_tools_read() -> None:
    """Heading, rows of four numbers, and three lines of footer."""
    text = make_hgrm([0.001, 0.002, 0.004, 0.1])
    lines = text.split("\n")
    assert lines[:2] == ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]
    assert lines[2] == "       1.000 0.000000000000          1           1.00"
    assert lines[-5] == "     100.000 1.000000000000          4            inf"
    assert [line.split("=")[0].strip() for line in lines[-4:-1]] == ["#[Mean", "#[Max", "#[Buckets"]
    assert "Total count    =            4]" in text


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=300))
def test_the_percentile_table_is_exact(microseconds: list[int]) -> None:
    """Every row is the percentile it says, the shares rise to 1, and the totals count what is no larger."""
    values = sorted(each / 1e6 for each in microseconds)
    rows = rows_of(make_hgrm(values))
    assert [at for _, at, _ in rows] == sorted(at for _, at, _ in rows)
    assert rows[-1][1:] == (1.0, len(values))
    for value, at, total in rows:
        assert value == pytest.approx(percentile(values, at) * 1e3, abs=1e-3)
        assert total == sum(each <= percentile(values, at) for each in values)


def test_no_values_have_an_empty_table() -> None:
    """Still one that tools read."""
    assert rows_of(make_hgrm([])) == []
    assert "Total count    =            0]" in make_hgrm([])


# -------------------------------------------------------------------------------------------------------- comparisons


@pytest.mark.slow
def test_a_run_is_as_good_as_itself() -> None:
    """Nothing is worse, and the code is 0."""
    taken = measure_evidence(made())
    found = compare(taken, taken)
    assert found.exit_code == 0
    assert found.differences
    assert not any(each.worse or each.better for each in found.differences)
    assert all(each.low <= 0.0 <= each.high for each in found.differences)
    assert texts(list(comparison_lines(found, "a", "b"))).startswith("AS GOOD")


@pytest.mark.slow
def test_a_slower_pool_is_a_regression_and_a_faster_one_is_not() -> None:
    """By percentiles that both have values enough for, beyond the tolerance."""
    slow = SCENARIO.replace('p50 = "12ms", p99 = "60ms"', 'p50 = "20ms", p99 = "100ms"')
    first, second = measure_evidence(made()), measure_evidence(made(7, slow))
    found = compare(first, second)
    worse = {(each.window, each.name) for each in found.differences if each.worse}
    assert found.exit_code == 3
    assert ("main", "service.p50") in worse
    assert texts(list(comparison_lines(found, "a", "b"))).startswith("WORSE")
    assert compare(second, first).exit_code == 0
    assert any(each.better for each in compare(second, first).differences)
    assert compare(first, second, tolerance=50.0).exit_code == 0


def test_what_may_be_chance_is_no_regression() -> None:
    """A percentile of few and scattered values that is larger by a fifth proves nothing."""
    first = [0.01 * (1 + number) for number in range(24)]
    second = [value * 1.2 for value in first]
    found = _quantile("all", "latency.p50", (first, second), 0.5, 0.1, stream(0, "chance"))
    assert found.second > found.first * 1.1
    assert found.low < 0.0 < found.high
    assert not found.worse
    many = [first[number // 100] for number in range(2400)]
    certain = _quantile("all", "latency.p50", (many, [value * 1.2 for value in many]), 0.5, 0.1, stream(0, "chance"))
    assert certain.worse


@pytest.mark.slow
def test_more_failures_are_a_regression() -> None:
    """Whatever the latency of what succeeds."""
    evidence = made()
    worse = measure_evidence(evidence)
    for entry in evidence.records[1000:]:
        if entry["src"] == "client" and entry["type"] == "ok" and entry["id"] % 4 == 0:
            entry.update(type="info", error="WorkerCrashed", outcome="maybe_executed")
    found = compare(measure_evidence(made()), measure_evidence(evidence))
    (rate,) = [each for each in found.differences if (each.window, each.name) == ("all", "success_rate")]
    assert rate.worse
    assert rate.high < 0.0
    assert compare(worse, worse).exit_code == 0


@pytest.mark.slow
def test_what_cannot_be_compared_is_named() -> None:
    """Too few values are no reason to say that nothing changed; without anything in common it is unknown."""
    taken = measure_evidence(made())
    left = compare(taken, taken).left_out
    assert any(each.startswith("warmup: latency.p99 needs 1000 values, there are ") for each in left)
    nothing = compare(taken, measure_evidence(evidence(cut=11)))
    assert nothing.exit_code == 2
    assert texts(list(comparison_lines(nothing, "a", "b"))).startswith("UNKNOWN")


def test_judgements_have_marks_of_their_own() -> None:
    """Nothing is said by colour alone."""
    assert len(set(MARKS.values())) == len(Judgement)
