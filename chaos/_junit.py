"""``junit.xml``: a run as CI systems read tests, one test case for each promise and one for having tested enough.

A verdict of *unknown* is an error, not a skipped test: most systems show skipped tests as green, and a run that proved
nothing must not be. Skipped is only what was not looked at because another case already says why.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

from ._findings import Breach, Ending, witnesses
from ._output import clean
from ._svg import element, escape
from ._words import PROMISES, PROVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._evidence import Evidence
    from ._findings import Findings


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@attrs.frozen
class _Case:
    name: str
    result: str | None
    """``failure``, ``error``, ``skipped`` or None."""
    markup: str = ""


def make_junit(evidence: Evidence, findings: Findings, report: Iterable[str]) -> str:
    """Return the file.

    Args:
        evidence: What the run left.
        findings: What the checks make of it.
        report: The lines of the final report, for those who look at the file first.
    """
    plan = evidence.plan
    cases = [*(_promise(breach, evidence, findings) for breach in Breach), _proved(findings)]
    classname = f"chaos.{plan.scenario}"
    took = float(evidence.records[-1]["t"]) if evidence.records else 0.0
    counts = {
        "tests": len(cases),
        "failures": sum(1 for case in cases if case.result == "failure"),
        "errors": sum(1 for case in cases if case.result == "error"),
        "skipped": sum(1 for case in cases if case.result == "skipped"),
        "time": f"{took:.3f}",
    }
    started = str(evidence.start.get("started", ""))
    # The time is the run's as a whole: every promise is checked over all of it.
    lines = [element("testcase", case.markup, classname=classname, name=case.name, time="0") for case in cases]
    suite = element(
        "testsuite",
        "\n",
        _properties(evidence, findings),
        "\n",
        *(f"{line}\n" for line in lines),
        element("system-out", "\n".join(escape(line) for line in report)),
        "\n",
        element("system-err", ""),
        "\n",
        name=f"{plan.scenario}, seed {plan.seed}",
        **counts,
        timestamp=started.removesuffix("Z") if _TIME.fullmatch(started) else "1970-01-01T00:00:00",
        hostname="localhost",
        id="0",
        package="chaos",
    )
    # Without attributes: Ant's schema knows none here, and Jenkins' does not know all of a suite's.
    suites = element("testsuites", "\n", suite, "\n")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{suites}\n'


def _properties(evidence: Evidence, findings: Findings) -> str:
    plan = evidence.plan
    values: Mapping[str, object] = {
        "verdict": findings.verdict,
        "ending": findings.ending,
        "scenario": plan.scenario,
        "seed": plan.seed,
        "plan_sha256": plan.sha256,
        "replay": evidence.replay,
        **evidence.environment,
    }
    inside = "\n".join(element("property", name=name, value=clean(value)) for name, value in values.items())
    return element("properties", "\n", inside, "\n")


def _promise(breach: Breach, evidence: Evidence, findings: Findings) -> _Case:
    words, meaning = PROMISES[breach]
    name = f"{breach}: {words}"
    broken = [violation for violation in findings.violations if violation.breach is breach]
    if broken:
        told = [meaning, ""]
        told += [f"{violation.text} (history {', '.join(map(str, violation.seqs))})" for violation in witnesses(broken)]
        if len(broken) > len(witnesses(broken)):
            told.append(f"and {len(broken) - len(witnesses(broken))} more, see results.json")
        told += ["", f"replay: {evidence.replay}"]
        message = broken[0].text if len(broken) == 1 else f"{broken[0].text}; and {len(broken) - 1} more"
        text = "\n".join(escape(line) for line in told)
        return _Case(name, "failure", element("failure", text, message=clean(message), type=str(breach)))
    if not findings.sent:
        return _Case(name, "skipped", element("skipped", message="no request was sent"))
    if breach is Breach.LEFTOVER and findings.ending is Ending.CUT_SHORT:
        return _Case(name, "skipped", element("skipped", message="the run ended before anybody looked"))
    return _Case(name, None)


def _proved(findings: Findings) -> _Case:
    name = f"proved: {PROVED}"
    if not findings.reasons:
        return _Case(name, None)
    message = findings.reasons[0] if len(findings.reasons) == 1 else f"{findings.reasons[0]}; and more"
    text = "\n".join(escape(reason) for reason in findings.reasons)
    return _Case(name, "error", element("error", text, message=clean(message), type="unknown"))
