"""The commands ``run`` and ``replay``: scenarios carried out, judged and reported."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from .._exits import EXIT_CANNOT_WRITE, EXIT_NO_INPUT, EXIT_PASS, EXIT_SIGNAL, EXIT_USAGE
from .._experiment import analyze, carry_out, directory_for, make_plan, read_plan
from .._output import CannotWrite, Console, write_text
from .._program import command_line, complain
from .._signals import Terminations
from ..checking._results import most_severe
from ..reporting._reports import Format
from ..running._lines import Lines
from ..scenario._drawing import draw
from ..scenario._plan_file import sha256
from ..targets._registry import check_target
from ..workload._work import check_work
from ._selection import select

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from ..display._live import LiveDisplay
    from ..reporting._reports import Reports
    from ..running._lines import Viewer
    from ..scenario._plan import Plan
    from ._selection import Chosen


def run(arguments: argparse.Namespace) -> int:
    """Carry out scenarios, and return the exit code of the gravest run."""
    console = Console(plain=arguments.plain)
    chosen = list(select(arguments.scenarios, arguments.settings, seed=arguments.seed, repeat=arguments.repeat))
    if arguments.out is not None and len(chosen) > 1:
        _refuse(f"--out is for one run, and these are {len(chosen)}")
    if arguments.leashed:
        for each in chosen:
            for line in draw(make_plan(each.scenario, each.seed, base=each.base), console.width):
                console.say(line)
        return EXIT_PASS
    done: list[tuple[Path, Reports]] = []
    for number, each in enumerate(chosen, start=1):
        if len(chosen) > 1:
            console.say(f"--- {number} of {len(chosen)}: {each.scenario.name}, seed {each.seed}")
        code, reports = _one(each, arguments, console)
        if reports is None:
            return code
        done.append(reports)
        if code >= EXIT_SIGNAL or (arguments.fail_fast and code != EXIT_PASS):
            break
    _write_for_all(done, arguments)
    if len(done) > 1:
        for line in _table(done):
            console.say(line)
    codes = [reports.results.exit_code for _directory, reports in done]
    return codes[-1] if codes[-1] >= EXIT_SIGNAL else most_severe(codes)


def _one(chosen: Chosen, arguments: argparse.Namespace, console: Console) -> tuple[int, tuple[Path, Reports] | None]:
    plan = make_plan(chosen.scenario, chosen.seed, base=chosen.base)
    replay = [*command_line(), "run", chosen.given, "--seed", str(chosen.seed)]
    for setting in arguments.settings:
        replay += ["--set", setting]
    if arguments.target != "trio_pool":
        replay += ["--target", arguments.target]
    return _carried_out(plan, shlex.join(replay), arguments, console)


def replay(arguments: argparse.Namespace) -> int:
    """Carry out a stored plan again."""
    try:
        plan = read_plan(arguments.run)
    except (OSError, ValueError) as exc:
        complain(f"cannot read a plan: {f'{exc.filename}: {exc.strerror}' if isinstance(exc, OSError) else exc}")
        return EXIT_NO_INPUT
    console = Console(plain=arguments.plain)
    command = shlex.join([*command_line(), "replay", str(arguments.run)])
    code, _reports = _carried_out(plan, command, arguments, console)
    return code


def _carried_out(
    plan: Plan, replay: str, arguments: argparse.Namespace, console: Console
) -> tuple[int, tuple[Path, Reports] | None]:
    """Carry out a plan and report on it; return the exit code, and what came of it unless nothing did."""
    try:
        check_target(arguments.target, plan.scenario)
    except ValueError as exc:
        _refuse(f"--target: {exc}")
    check_work(plan.scenario)
    for line in _head(plan):
        console.say(line)
    with Terminations() as terminations, _directory(arguments.out, plan) as out:
        try:
            with _viewer(plan, arguments, console) as viewer:
                carry_out(plan, out, target=arguments.target, replay=replay, viewer=viewer)
            reports = analyze(out)
        except KeyboardInterrupt:
            if (out / "history.jsonl").exists():
                complain(f"interrupted while reporting; what there is of the run is in {out}")
            else:
                complain("interrupted before the clock started: nothing was tested, nothing is left running")
            return EXIT_SIGNAL + (signal.SIGTERM if terminations.arrived else signal.SIGINT), None
        show(reports, out, console)
        return reports.results.exit_code, (out, reports)


@contextmanager
def _viewer(plan: Plan, arguments: argparse.Namespace, console: Console) -> Generator[Viewer, None, None]:
    """Show a run live if there is a terminal for it, else in lines."""
    if arguments.plain or arguments.no_live:
        yield Lines(console.say)
        return
    with ExitStack() as stack:
        display = _display(plan, console, stack)
        try:
            yield Lines(console.say) if display is None else display
        finally:
            stack.close()
            # Now that the terminal is as it was: what stood on the display is worth keeping above the report.
            for line in () if display is None else display.said:
                console.say(line)


def _display(plan: Plan, console: Console, stack: ExitStack) -> LiveDisplay | None:
    """Return the live display, with its screen entered into the stack, if there is a terminal for it."""
    from ..display._screen import NoScreen, Screen

    try:
        screen = Screen(sys.stdout, os.environ)
        from ..display._live import LiveDisplay

        return LiveDisplay(stack.enter_context(screen), plan)
    except NoScreen:
        return None
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "rich":
            raise
        console.say("note       this run could be shown live: pip install 'trio_pool[chaos]'")
        return None


def show(reports: Reports, directory: Path, console: Console) -> None:
    """Write all reports of a run into its directory and print the summary, which may be all that is left of it."""
    unwritten: CannotWrite | None = None
    try:
        reports.write(directory)
    except CannotWrite as exc:
        unwritten = exc
    console.say()
    instead = None if unwritten is None else f"{EXIT_CANNOT_WRITE}: {unwritten}"
    for line in reports.lines(directory, colour=console.colour, width=console.width, ended=instead):
        console.say(line)
    if unwritten is not None:
        raise unwritten


def _head(plan: Plan) -> list[str]:
    scenario = plan.scenario
    requests = sum(len(visit.requests) for visit in plan.visits)
    return [
        f"scenario   {scenario.name}, seed {plan.seed}, plan {sha256(plan)[:12]}: {scenario.summary}".rstrip(": "),
        f"plan       {requests} requests over {scenario.duration:g} s in {len(scenario.phases)} phases,"
        f" {len(plan.strikes)} strikes of {len(scenario.faults)} faults",
    ]


def _table(done: Sequence[tuple[Path, Reports]]) -> list[str]:
    width = max(len(reports.results.name) for _directory, reports in done)
    return [
        "",
        *(
            f"{reports.results.verdict.value.upper():<8} {reports.results.name:<{width}}  {reports.results.exit}"
            for _directory, reports in done
        ),
    ]


def _write_for_all(done: Sequence[tuple[Path, Reports]], arguments: argparse.Namespace) -> None:
    if arguments.junit is not None:
        from ..reporting._junit import join_junit

        write_text(arguments.junit, join_junit((reports.results, reports.lines()) for _directory, reports in done))
    if arguments.html is not None and done:
        write_text(arguments.html, done[-1][1].text(Format.HTML))


@contextmanager
def _directory(out: Path | None, plan: Plan) -> Generator[Path, None, None]:
    """Make the directory of a run. Afterwards, what was made here and is still empty goes again."""
    if out is None:
        out = directory_for(plan.scenario.name, plan.seed)
        while out.exists():  # a run of the same seed in the same second
            time.sleep(1.0)
            out = directory_for(plan.scenario.name, plan.seed)
    made = [path for path in (out, *out.parents) if not path.exists()]
    try:
        try:
            out.mkdir(parents=True, exist_ok=True)
            occupied = any(out.iterdir())
        except OSError as exc:
            _refuse(f"--out: {exc.strerror}: {out}")
        if occupied:
            # Two runs in one directory would be read as one.
            _refuse(f"--out: the directory is not empty: {out}")
        yield out
    finally:
        for path in made:
            # Only an empty directory can be removed like this, and only the innermost may be it.
            with suppress(OSError):
                path.rmdir()


def _refuse(message: str) -> NoReturn:
    complain(message)
    raise SystemExit(EXIT_USAGE)
