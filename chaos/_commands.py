"""The commands ``run`` and ``report``: a run and its reports, and the reports of a run that is over."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from ._exits import EXIT_FAIL, EXIT_NO_INPUT, EXIT_NOT_STARTED, EXIT_PASS, EXIT_SIGNAL, EXIT_UNKNOWN
from ._output import Console
from ._program import complain
from ._stdlib_job import make_catalogue

if TYPE_CHECKING:
    from pathlib import Path

    from ._evidence import Evidence
    from ._findings import Findings
    from ._live import LiveDisplay
    from ._plan import Plan
    from ._run import Finished
    from ._stdlib_job import Catalogue


def run_in(out: Path, plan: Plan, *, replay: str, live: bool, plain: bool) -> int:
    """Carry out a plan, report on it, and return the exit code.

    Args:
        out: An empty directory for the files.
        plan: What to do.
        replay: The command that does the same again.
        live: Show the run as it happens, if there is a terminal for it.
        plain: No colour.
    """
    console = Console(plain=plain)
    console.say(f"scenario   {plan.scenario}, seed {plan.seed}, plan {plan.sha256}")
    console.say(
        f"plan       {len(plan.requests)} requests in {plan.sessions} sessions of {plan.users} users"
        f" over {plan.duration:g} s, on {plan.workers} workers"
    )
    for fault in plan.faults:
        console.say(f"           {fault.name}  {fault.kind:<8} due at {fault.at:6.2f} s")
    catalogue = _counted(console)
    finished = _carried_out(plan, catalogue, out, console, replay=replay, live=live)
    # Also when one of the files cannot be written: the report on the console may be all that is left of a run.
    code = _reported(out, finished.evidence, finished.findings, console)
    return code if finished.signal is None else EXIT_SIGNAL + finished.signal


def _reported(out: Path, evidence: Evidence, findings: Findings, console: Console) -> int:
    """Write and print the reports of a run, and return the exit code of its verdict."""
    from ._findings import Ending
    from ._report import ending_lines, report_lines, write_reports

    try:
        write_reports(out, findings, evidence)
    finally:
        console.say()
        for line in report_lines(findings, evidence, verdict=console.verdict(findings.verdict)):
            console.say(line)
        for line in ending_lines(out, evidence):
            console.say(line)
    if findings.ending is Ending.NOT_STARTED:
        complain(findings.reasons[0])
        return EXIT_NOT_STARTED
    return {"pass": EXIT_PASS, "fail": EXIT_FAIL, "unknown": EXIT_UNKNOWN}[findings.verdict]


def report_on(directory: Path, *, plain: bool) -> int:
    """Judge a run again from its directory, make its reports anew, and return the exit code."""
    from ._evidence import NoEvidence, read_evidence
    from ._report import judge

    try:
        evidence = read_evidence(directory)
    except NoEvidence as exc:
        complain(str(exc))
        return EXIT_NO_INPUT
    return _reported(directory, evidence, judge(evidence), Console(plain=plain))


def _counted(console: Console) -> Catalogue:
    """Count the library, with a line now and then: it takes several seconds."""
    begin = told = time.monotonic()

    def progress(files: int) -> None:
        nonlocal told
        if time.monotonic() - told >= 1.0:
            told = time.monotonic()
            console.say(f"set-up     counted {files} files")

    console.say("set-up     counting the standard library here, to compare every reply with")
    catalogue = make_catalogue(progress=progress)
    took = time.monotonic() - begin
    console.say(
        f"set-up     {catalogue.files} files in {len(catalogue.packages)} packages counted in {took:.1f} s;"
        " the clock starts now"
    )
    return catalogue


def _carried_out(plan: Plan, catalogue: Catalogue, out: Path, console: Console, *, replay: str, live: bool) -> Finished:
    # Trio and the pool are imported here: `plan`, `list` and wrong usage answer at once without them.
    import trio

    from ._run import run

    display: LiveDisplay | None = None
    try:
        with ExitStack() as stack:
            if live:
                display = _display(plan, console, stack)
            say = console.say if display is None else display.say
            return trio.run(partial(run, plan, catalogue, out, say, replay=replay, display=display))
    finally:
        # Now that the terminal is as it was: what stood on the display is worth keeping above the report.
        for line in () if display is None else display.said:
            console.say(line)


def _display(plan: Plan, console: Console, stack: ExitStack) -> LiveDisplay | None:
    """Return the live display, with its screen entered into the stack, if there is a terminal for it."""
    from ._screen import NoScreen, Screen

    try:
        screen = Screen(sys.stdout, os.environ)
        from ._live import LiveDisplay

        return LiveDisplay(stack.enter_context(screen), plan)
    except NoScreen:
        return None
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "rich":
            raise
        console.say("note       this run could be shown live: pip install 'trio_pool[chaos]'")
        return None
