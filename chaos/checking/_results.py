"""What a run came to: everything a report says but its pictures. Plain data, in and out of ``results.json``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

import attrs
import cattrs

from .._output import write_text
from ._finding import Finding, Judgement  # noqa: TC001  # cattrs looks the names of the fields' types up
from ._metrics import Numbers  # noqa: TC001
from ._objectives import Judged  # noqa: TC001
from ._recovery import Missed, Occurrence  # noqa: TC001

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1


class Exit(StrEnum):
    """What an exit code says, by name."""

    PASS = "pass"  # noqa: S105  # a verdict, no password
    BROKEN = "broken"
    """A guarantee was broken."""
    UNKNOWN = "unknown"
    """Too little happened, or was seen, to say that anything was proved."""
    MISSED = "missed"
    """An objective was missed, or the pool came back too late."""
    NOT_STEADY = "not steady"
    """The steady state was not reached before the method, so nothing was tested."""
    RESIDUE = "residue"
    """Something was left behind: a process, a descriptor, a fault that did not heal."""
    UNCAPABLE = "uncapable"
    """A fault cannot be had with this pool or on this machine, though it was demanded."""
    BUG = "bug"
    """The harness itself failed."""
    INTERRUPTED = "interrupted"


CODES = {
    Exit.PASS: 0,
    Exit.BROKEN: 1,
    Exit.UNKNOWN: 2,
    Exit.MISSED: 3,
    Exit.NOT_STEADY: 4,
    Exit.RESIDUE: 5,
    Exit.UNCAPABLE: 6,
    Exit.BUG: 70,
    Exit.INTERRUPTED: 130,
}

SEVERITY = (70, 5, 1, 4, 3, 2, 6)
"""Exit codes in order of severity: of several runs, the first of these that any of them has is that of all."""


@attrs.frozen(kw_only=True)
class Steady:
    """Whether the steady state was reached before or after the method.

    Args:
        when: ``before`` or ``after``.
        ok: Whether it was.
        took: Seconds until it began to hold, or that were waited for it.
        failing: What did not hold at the end.
    """

    when: str
    ok: bool
    took: float
    failing: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Results:
    """What a run came to.

    Args:
        scenario: Its name.
        summary: Its line.
        seed: Of the run.
        plan: The SHA-256 of the plan.
        target: The kind of pool.
        version: Of that.
        started: When, in UTC.
        seconds: How long the history is.
        ending: ``complete``, ``struck``, ``interrupted``, ``cut short`` or ``not started``.
        verdict: Whether it passed.
        exit: What the exit code says, by name.
        exit_code: The exit code.
        reasons: Why it is that one, the gravest first; none for a pass.
        findings: One for each checker.
        objectives: One for each line of the scenario's objectives.
        sometimes: One for each thing that had to happen at least once.
        steady: Before and after.
        recovery: What each strike did.
        missed: The strikes that hit nobody.
        numbers: Of each window.
        events: How often each event of the pool was told.
        replay: The command that does the same again.
        environment: Versions and machine.
        schema: The version of this format.
    """

    scenario: str
    summary: str
    seed: int
    plan: str
    target: str
    version: str
    started: str
    seconds: float
    ending: str
    verdict: Judgement
    exit: Exit
    exit_code: int
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    objectives: tuple[Judged, ...]
    sometimes: tuple[Judged, ...]
    steady: tuple[Steady, ...]
    recovery: tuple[Occurrence, ...]
    missed: tuple[Missed, ...]
    numbers: tuple[Numbers, ...]
    events: dict[str, int]
    replay: str
    environment: dict[str, str]
    schema: int = SCHEMA

    def of(self, window: str) -> Numbers | None:
        """Return the numbers of a window, or None if it has none."""
        return next((each for each in self.numbers if each.window == window), None)

    @property
    def unexplained(self) -> tuple[str, ...]:
        """Those of the reasons that are of the run as such, and told by no finding, objective or steady state."""
        told = (
            "sometimes ",
            "no steady state ",
            *(f"{each.title}:" for each in self.findings),
            *(f"{each.window}: {each.text}" for each in self.objectives),
        )
        return tuple(reason for reason in self.reasons if not reason.startswith(told))

    @property
    def name(self) -> str:
        """How the run is called: scenario and seed."""
        return f"{self.scenario}@{self.seed}"

    def to_json(self) -> str:
        """Return ``results.json``."""
        return json.dumps(_CONVERTER.unstructure(self), indent=2, allow_nan=False) + "\n"


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)


def read_results(path: Path) -> Results:
    """Read ``results.json`` back.

    Raises:
        ValueError: It is of another version, or no such file; the message says which.
        OSError: It cannot be read.
    """
    data: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or cast("dict[str, Any]", data).get("schema") != SCHEMA:
        raise ValueError(f"{path} is not the results of a run, or of another version of the harness")
    try:
        return _CONVERTER.structure(data, Results)
    except (cattrs.BaseValidationError, TypeError, KeyError) as exc:
        raise ValueError(f"{path} is not as results are written: {exc}") from exc


def write_results(path: Path, results: Results) -> None:
    """Write ``results.json``.

    Raises:
        CannotWrite: It was not written.
    """
    write_text(path, results.to_json())


def most_severe(codes: list[int]) -> int:
    """Return the exit code of several runs: an interruption before all, then by `SEVERITY`; 0 of none."""
    interrupted = [code for code in codes if code > 128]
    if interrupted:
        return interrupted[0]
    return next((code for code in SEVERITY if code in codes), next((code for code in codes if code), 0))
