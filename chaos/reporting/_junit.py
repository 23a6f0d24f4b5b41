"""``junit.xml``: a run as CI systems read tests, never greener than it was.

One case for each checker, objective, steady state and thing that had to happen. *Unknown* is an error, not a skipped
test: most systems show skipped tests as green, and a run that proved nothing must not be. Skipped is only a checker
that had nothing to judge, in a run that did not ask for it to happen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from .._output import clean
from .._svg import element, escape
from ..checking._finding import Judgement
from ._format import measured

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..checking._finding import Finding
    from ..checking._objectives import Judged
    from ..checking._results import Results

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@attrs.frozen
class _Case:
    kind: str
    name: str
    result: str | None
    """``failure``, ``error``, ``skipped`` or None."""
    markup: str = ""


def make_junit(results: Results, report: Iterable[str] = ()) -> str:
    """Return the file of one run.

    Args:
        results: What the run came to.
        report: The lines of the console's summary, for those who look at the file first.
    """
    return join_junit([(results, report)])


def join_junit(runs: Iterable[tuple[Results, Iterable[str]]]) -> str:
    """Return the file of several runs, a suite each; arguments as `make_junit`."""
    suites = (_suite(results, report, number) for number, (results, report) in enumerate(runs))
    # Without attributes: Ant's schema knows none here, and Jenkins' does not know all of a suite's.
    whole = element("testsuites", *(part for suite in suites for part in ("\n", suite)), "\n")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{whole}\n'


def _suite(results: Results, report: Iterable[str], number: int) -> str:
    cases = list(_cases(results))
    counts = {
        "tests": len(cases),
        "failures": sum(case.result == "failure" for case in cases),
        "errors": sum(case.result == "error" for case in cases),
        "skipped": sum(case.result == "skipped" for case in cases),
        "time": f"{results.seconds:.3f}",
    }
    lines = [
        # The time is the run's as a whole: each case looks at all of it.
        element("testcase", case.markup, classname=f"{results.scenario}.{case.kind}", name=clean(case.name), time="0")
        for case in cases
    ]
    return element(
        "testsuite",
        "\n",
        _properties(results),
        "\n",
        *(f"{line}\n" for line in lines),
        element("system-out", "\n".join(escape(line) for line in report)),
        "\n",
        element("system-err", ""),
        "\n",
        name=clean(results.name),
        **counts,
        timestamp=results.started.removesuffix("Z") if _TIME.fullmatch(results.started) else "1970-01-01T00:00:00",
        hostname="localhost",
        id=str(number),
        package="chaos",
    )


def _properties(results: Results) -> str:
    values: Mapping[str, object] = {
        "verdict": results.verdict,
        "exit_code": results.exit_code,
        "ending": results.ending,
        "scenario": results.scenario,
        "seed": results.seed,
        "plan_sha256": results.plan,
        "target": f"{results.target} {results.version}".strip(),
        "replay": results.replay,
        **results.environment,
    }
    inside = "\n".join(element("property", name=name, value=clean(value)) for name, value in values.items())
    return element("properties", "\n", inside, "\n")


def _cases(results: Results) -> Iterator[_Case]:
    yield _ended(results)
    for finding in results.findings:
        yield _checked(finding, results)
    for judged in results.objectives:
        yield _objective("objective", f"{judged.window}: {judged.text}", judged, results)
    for state in results.steady:
        name = f"steady {state.when}"
        if state.ok:
            yield _Case("steady", name, None)
        else:
            text = f"no steady state {state.when} the method: {'; '.join(state.failing) or 'it never held'}"
            yield _bad("steady", name, Judgement.FAIL, text, [], results)
    for judged in results.sometimes:
        yield _objective("sometimes", judged.text, judged, results)


def _ended(results: Results) -> _Case:
    """Return the case of the run as such: what went wrong with it is nobody's finding."""
    if not results.unexplained:
        return _Case("run", "the run", None)
    first, *others = results.unexplained
    judgement = Judgement.FAIL if results.verdict is Judgement.FAIL else Judgement.UNKNOWN
    return _bad("run", "the run", judgement, first, others, results)


def _checked(finding: Finding, results: Results) -> _Case:
    name = f"{finding.checker} {finding.name}"
    if finding.judgement is Judgement.PASS:
        return _Case("checker", name, None)
    if finding.judgement is Judgement.UNKNOWN and not finding.weighs:
        return _Case("checker", name, "skipped", element("skipped", message=clean(finding.text)))
    told = [
        f"{witness.text} (history {', '.join(map(str, witness.seqs))})" if witness.seqs else witness.text
        for witness in finding.witnesses
    ]
    if finding.cases > len(told) > 0:
        told.append(f"and {finding.cases - len(told)} more")
    return _bad("checker", name, finding.judgement, finding.text, told, results)


def _objective(kind: str, name: str, judged: Judged, results: Results) -> _Case:
    if judged.judgement is Judgement.PASS:
        return _Case(kind, name, None)
    text = f"measured {measured(judged)}" if judged.value is not None else "nothing measured"
    return _bad(kind, name, judged.judgement, f"{text}: {judged.why}" if judged.why else text, [], results)


def _bad(kind: str, name: str, judgement: Judgement, message: str, told: Iterable[str], results: Results) -> _Case:
    tag = "failure" if judgement is Judgement.FAIL else "error"
    lines = [message, *told, "", f"replay: {results.replay}"]
    type_ = kind if judgement is Judgement.FAIL else "unknown"
    text = "\n".join(escape(line) for line in lines)
    return _Case(kind, name, tag, element(tag, text, message=clean(message), type=type_))
