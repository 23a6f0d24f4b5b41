"""The sections of the page that are tables: promises, objectives, requests, and what one needs to do it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._charts import draw_spread
from .._svg import element, escape, legend_of
from ..checking._finding import Judgement
from ..checking._table import CHECKERS
from ..checking._windows import ALL
from ._format import count, duration, measured, share
from ._page_words import ERRORS, GLOSSARY, UNEXPECTED
from ._tables import card, judged_table, paragraph, section, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..checking._finding import Finding
    from ..checking._quantiles import Spread
    from ..checking._results import Results
    from ..evidence._evidence import Evidence
    from ._scene import Scene

_SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)


def checks_section(results: Results) -> str:
    """Return what was promised, and whether it was kept."""
    if not results.findings:
        return ""
    rules = {checker.number: checker.rule for checker in CHECKERS}
    rows: list[tuple[str, Judgement | None, Sequence[str]]] = []
    for finding in results.findings:
        rule = rules.get(finding.checker, "")
        name = f"{finding.name[0].upper()}{finding.name[1:]} ({finding.checker})"
        rows.append((name, _weighed(finding), (finding.text, rule)))
    idle = sum(not finding.weighs for finding in results.findings)
    text = (
        "Each of these is checked for every request and every worker of the run, from what callers saw, what the pool"
        " said it did, and what the workers wrote down themselves."
    )
    if idle:
        text += (
            f" {count(idle, 'check')} had nothing to judge in this run, which speaks neither for the pool nor against."
        )
    return section(
        "What is promised, and was it kept?",
        paragraph(text),
        card(judged_table("", ("Check", "In this run", "What was found", "What is promised"), rows), kind="table"),
    )


def _weighed(finding: Finding) -> Judgement | None:
    idle = finding.judgement is Judgement.UNKNOWN and not finding.weighs
    return None if idle else finding.judgement


def objectives_section(results: Results) -> str:
    """Return what the scenario demands, what had to happen, and whether the pool was well before and after."""
    if not results.objectives and not results.sometimes and not results.steady:
        return ""
    rows = [(each.text, each.judgement, (each.window, measured(each), each.why)) for each in results.objectives]
    rows += [(each.text, each.judgement, ("at least once", measured(each), each.why)) for each in results.sometimes]
    for state in results.steady:
        judgement = Judgement.PASS if state.ok else Judgement.FAIL
        failing = "; ".join(state.failing)
        took = f"after {duration(state.took)}" if state.ok else f"not within {duration(state.took)}"
        rows.append((f"steady state {state.when} the method", judgement, ("the whole pool", took, failing)))
    columns = ("Demand", "In this run", "window", "measured", "remark")
    text = (
        "What the scenario demands beyond the promises: how well users must be served in each stretch of the run, and"
        " what must happen at least once for the run to have tested anything."
    )
    return section("What is demanded", paragraph(text), card(judged_table("", columns, rows), kind="table demands"))


def requests_section(scene: Scene) -> str:
    """Return what became of the requests: errors by kind, and how long the others took."""
    results = scene.results
    whole = results.of(ALL)
    if whole is None or not whole.sent:
        return section("The requests", paragraph("No request was sent in a measured phase."))
    settled = whole.ok + whole.failed
    counted = f"{whole.ok} of {count(settled, 'request')} succeeded, {whole.failed} failed."
    if whole.errors:
        rows = [
            (name, str(number), share(number / settled), ERRORS.get(name, UNEXPECTED))
            for name, number in whole.errors.items()
        ]
        columns = ("Error", "requests", "of all", "what it means to the user")
        errors = table(counted, columns, rows, numbers=2, long=True)
    else:
        errors = paragraph(counted)
    requests = scene.measures.within(scene.measures.windows[ALL])
    latencies, services = (scene.measures.times(kind, requests) for kind in ("latency", "service"))
    label = "The time that each share of the requests did not exceed. In the table beside it too."
    pictures = [
        element("div", draw_spread(latencies, services, width=width, label=label), class_=name)
        for name, width in (("wide", 552), ("medium", 700), ("narrow", 340))
    ]
    legend = legend_of(
        (
            (element("path", class_="curve latency", d="M1 8h17"), "from the moment it was meant to be sent"),
            (element("path", class_="curve service", d="M1 8h17"), "from the moment it was sent"),
        )
    )
    heading = element("h3", "How long did the successful ones take?")
    figure = element("figure", heading, *pictures, legend, class_="card")
    return section(
        "The requests",
        card(errors, kind="table"),
        element("div", figure, card(_spreads(results)), class_="pair"),
        card(_windows(results), kind="table"),
    )


def _spreads(results: Results) -> str:
    whole = results.of(ALL)
    rows: list[tuple[str, ...]] = []
    if whole is not None:
        for name, spread in (
            ("latency, from the intended send time", whole.latency),
            ("the same, failures at the time they took", whole.latency_all),
            ("service time, from the actual send time", whole.service),
            ("waiting for a worker", whole.queue_wait),
            ("how far the sender was behind its plan", whole.generator_lag),
        ):
            values = ["-"] * 5 if spread is None else [*_quantiles(spread), str(spread.count)]
            rows.append((name, *values))
    columns = ("What was measured", "p50", "p95", "p99", "slowest", "number")
    return table("p95 is the time that 95 of 100 requests do not exceed.", columns, rows, numbers=5)


def _quantiles(spread: Spread) -> list[str]:
    return [*(duration(spread.at(each).value) for each in (0.5, 0.95, 0.99)), duration(spread.maximum)]


def _windows(results: Results) -> str:
    columns = ("Window", "requests", "succeeded", "dropped", "p50", "p95", "p99", "slowest")
    rows: list[tuple[str, ...]] = []
    for each in results.numbers:
        times = ["-"] * 4
        if each.latency is not None:
            times.clear()
            for wanted in (0.5, 0.95, 0.99):
                found = each.latency.at(wanted)
                value = duration(found.value)
                times.append(
                    f"{value} ({duration(found.low)} - {duration(found.high)})" if found.enough else f"~{value}"
                )
            times.append(duration(each.latency.maximum))
        rows.append((each.window, str(each.sent), share(each.success_rate), str(each.dropped), *times))
    caption = (
        "Each stretch of the run: latency of the successes, in brackets where the true percentile lies with 95 %"
        " confidence; with ~ of too few values to judge by."
    )
    return table(caption, columns, rows, numbers=7)


def details_section(scene: Scene, evidence: Evidence) -> str:
    """Return where the run took place, and how to do it again."""
    results = scene.results
    names = {"python": "Python", "trio": "Trio", "cpus": "CPUs", "machine": "Machine", "kernel": "Linux"}
    facts = [
        ("Scenario", f"{results.scenario}, seed {results.seed}"),
        ("Pool", f"{results.target} {results.version}".strip()),
        ("Plan", results.plan),
        ("Duration", f"{scene.end:.1f} s in all, load over {evidence.plan.scenario.duration:g} s"),
        ("Ended", results.ending),
        *((names.get(name, name), value) for name, value in results.environment.items()),
    ]
    about = element(
        "dl", *(element("dt", escape(name)) + element("dd", escape(value)) for name, value in facts), class_="words"
    )
    again = [
        element("h3", "Do it again"),
        paragraph("The same command makes the same plan: the same requests and faults at the same times."),
        element("pre", escape(results.replay or "(not on record)")),
        paragraph(
            "This judges the run again from the files beside this page, with the checks of the version installed:"
        ),
        element("pre", "python -m chaos analyze DIRECTORY"),
    ]
    facts_card = card(element("h3", "Where and what"), about)
    return section("Where it ran, and how to run it again", element("div", facts_card, card(*again), class_="pair"))


def glossary_section() -> str:
    """Return the words of the page."""
    words = [element("dt", escape(word)) + element("dd", escape(meaning)) for word, meaning in GLOSSARY.items()]
    return section("What the words mean", element("dl", *words, class_="words card"))
