"""What the command line takes: its commands, their options, and the help of each."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .._exits import EXIT_USAGE
from .._output import Console
from .._program import program
from ..scenario._reading import read_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import SupportsWrite

# Those of `chaos._bench.NAMES`, which cannot be imported before the usage is known to be right: it needs Trio and the
# pool.
BENCHMARKS = (
    *("echo", "start"),
    *("single_session", "concurrent_sessions", "session_creation"),
    *("parallel", "handover", "refusal", "recovery", "standby"),
)

MAX_SEED = 2**63 - 1
"""Whatever reads results.json can hold it."""

# Those of `chaos.comparison._situations.Situation`, likewise.
SITUATIONS = ("idle-kill", "busy-kill", "freeze", "memory", "poison", "application-death")

SHELLS = ("bash", "zsh", "fish")

FORMATS = ("text", "html", "md", "json", "junit", "hgrm")

EXIT_CODES = """\
exit codes:
  0    pass: every guarantee was kept, every objective met, and the faults did hit
  1    a guarantee was broken; the report says which and where
  2    unknown: nothing was broken, but the run did not test enough to pass
  3    an objective was missed, or the pool came back too slowly
  4    the pool was not steady before the method, or did not start: nothing was tested
  5    something was left behind: a process, a descriptor, a fault that did not heal
  6    a fault cannot be had here, and --require-capabilities was given
  64   wrong usage, or a scenario with mistakes
  66   the directory holds no run that can be read
  70   a bug in the harness itself
  74   output or a file could not be written
  130  interrupted (143 by SIGTERM): healed, closed, and what there was is reported
of several runs the gravest counts, in the order 70 5 1 4 3 2 6.
"""

_EPILOG = f"""\
{EXIT_CODES}
a SCENARIO is the name of one that comes with the harness, a file of TOML, or the name of a group (smoke, nightly,
soak): see `list scenarios`. A reader that leaves, as head does, silences the output and changes nothing else. NO_COLOR
is honoured.

examples:
  python -m chaos run first-light
  python -m chaos run smoke --junit smoke.xml
  python -m chaos new mine --template freeze > mine.toml
  python -m chaos plan mine.toml --seed 7
  python -m chaos run mine.toml --seed 7 --set pool.size=8 --out run-7
  python -m chaos report run-7 --format html
  python -m chaos compare-pools
"""

_RAW = argparse.RawDescriptionHelpFormatter


class Parser(argparse.ArgumentParser):
    """Ends with the exit code for wrong usage that other commands of this kind use, and a hint."""

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print the help where the results go, and treat a failure as one of theirs."""
        if file is None:
            Console(plain=True).write(self.format_help())
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and where to read more."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


class _Version(argparse.Action):
    """Looks the version up only when asked: it costs reading the installed metadata."""

    def __init__(self, option_strings: list[str], dest: str, help: str | None = None) -> None:  # noqa: A002  # argparse's name
        super().__init__(option_strings, dest, nargs=0, help=help, default=argparse.SUPPRESS)

    def __call__(self, parser: argparse.ArgumentParser, *_ignored: object) -> None:
        from .._about import installed

        Console(plain=True).say(f"trio-pool-chaos, trio_pool {installed('trio-pool')}")
        parser.exit()


def make_parser() -> Parser:
    """Return the parser of the command line; each command's name is in ``command``."""
    parser = Parser(
        prog=program(),
        description="Test a process pool under faults: a seeded plan, real processes, honest load, a verdict.",
        epilog=_EPILOG,
        formatter_class=_RAW,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")

    def command(name: str, summary: str, description: str, *, epilog: str | None = None) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=description, epilog=epilog, formatter_class=_RAW)

    _add_running(command)
    _add_telling(command)
    _add_judging(command)
    _add_measuring(command)
    return parser


def _add_running(command: Callable[..., argparse.ArgumentParser]) -> None:
    run = command(
        "run",
        "carry out scenarios and judge the pool",
        "Carry out each scenario against a real pool in an application process of its own, then print the verdict and\n"
        "what it rests on. Ctrl-C ends the load, heals, drains, checks and reports; a second one does not drain.",
        epilog=_EPILOG,
    )
    run.add_argument("scenarios", nargs="+", metavar="SCENARIO", help="a name, a file or a group")
    _add_seed(run)
    _add_set(run)
    run.add_argument(
        "--out",
        type=_path,
        metavar="DIR",
        help="where the files of the run go; must be new or empty, and there may be but one run"
        " (default: chaos-runs/SCENARIO/TIME-SEED)",
    )
    run.add_argument(
        "--repeat", type=_count, default=1, metavar="K", help="carry each out K times, each with another seed"
    )
    run.add_argument("--fail-fast", action="store_true", help="stop after the first run that does not pass")
    run.add_argument("--target", default="trio_pool", metavar="POOL", help="the kind of pool (see `list targets`)")
    run.add_argument("--leashed", action="store_true", help="print the plans and touch nothing")
    run.add_argument(
        "--require-capabilities", action="store_true", help="refuse a run of which a fault cannot be had (exit 6)"
    )
    run.add_argument("--junit", type=_path, metavar="FILE", help="write JUnit XML of all runs there as well")
    run.add_argument("--html", type=_path, metavar="FILE", help="write the page of the last run there as well")
    _add_looks(run)

    replay = command(
        "replay",
        "carry out the plan of an earlier run again",
        "Carry out just the plan that is in a run's directory (or a plan.json, which may have been edited), and judge.",
        epilog=EXIT_CODES,
    )
    replay.add_argument("run", type=_path, metavar="RUN", help="the directory of a run, or a plan.json")
    replay.add_argument("--out", type=_path, metavar="DIR", help="as for run")
    replay.add_argument("--target", default="trio_pool", metavar="POOL", help="as for run")
    _add_looks(replay)


def _add_telling(command: Callable[..., argparse.ArgumentParser]) -> None:
    plan = command(
        "plan",
        "print what a scenario and a seed amount to, and touch nothing",
        "Print what will happen when, as a table and a time line, or as the JSON whose SHA-256 a run shows and stores.",
    )
    plan.add_argument("scenarios", nargs="+", metavar="SCENARIO", help="a name, a file or a group")
    _add_seed(plan)
    _add_set(plan)
    plan.add_argument("--json", action="store_true", help="the plan itself")

    validate = command(
        "validate",
        "find every mistake of a scenario at once",
        "Read scenarios and say what is wrong with them: mistakes, each with its place, and what is allowed but\n"
        "doubtful.",
    )
    validate.add_argument("scenarios", nargs="+", metavar="SCENARIO", help="a name, a file or a group")
    validate.add_argument("--schema", action="store_true", help=argparse.SUPPRESS)

    listing = command(
        "list",
        "list scenarios, faults, checkers, trace points, metrics, workloads, targets or templates",
        "List what there is, one a line with what it is.",
    )
    listing.add_argument(
        "what",
        nargs="?",
        default="scenarios",
        choices=("scenarios", "faults", "checkers", "points", "metrics", "workloads", "targets", "templates"),
        metavar="WHAT",
        help="one of: %(choices)s (default: scenarios)",
    )

    explain = command(
        "explain",
        "tell how a fault is done and what a good pool makes of it",
        "Tell of a kind of fault: how it is done, what it needs, its options, what a good pool makes of it, and which\n"
        "checkers look at that. Or of a checker, by its number, or of a trace point, by its name.",
    )
    explain.add_argument(
        "what",
        metavar="FAULT|CHECKER|POINT",
        help="a kind of fault such as wire.corrupt, C1 to C27, or a trace point (see `list points`)",
    )

    new = command("new", "print a scenario to begin with", "Print a commented scenario to begin with, as TOML.")
    new.add_argument("name", metavar="NAME", help="what to call it")
    new.add_argument("--template", default="kill", metavar="T", help="which (see `list templates`; default: kill)")

    command(
        "schema",
        "print the JSON Schema of scenarios, for editors",
        "Print the JSON Schema of scenario files, by which editors complete and check them.",
    )
    doctor = command(
        "doctor",
        "say which faults can be had on this machine, and why not",
        "Try out what faults need, here and now, and say which of them can be had and what the others lack.",
    )
    doctor.add_argument("--json", action="store_true", help="as JSON")

    completion = command(
        "completion",
        "print what has a shell complete this command line",
        "Print a script that has a shell complete commands, options and names: source it, as in\n"
        f"source <({program()} completion bash). It is for the program as it is called here.",
    )
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help="one of: %(choices)s")


def _add_judging(command: Callable[..., argparse.ArgumentParser]) -> None:
    analyze = command(
        "analyze",
        "judge a finished run again",
        "Judge a run from the files in its directory, as far as they go: one that was interrupted or killed has them\n"
        "too. Writes results and reports anew and prints the summary. The exit code is that of the verdict.",
        epilog=EXIT_CODES,
    )
    analyze.add_argument("run", type=_path, metavar="RUN", help="the directory of a run")
    analyze.add_argument("--plain", action="store_true", help="no colour, whatever the terminal can do")

    report = command(
        "report",
        "write the report of a finished run",
        "Judge a run again and print its report in one format; all but the text are also in its directory.",
        epilog=EXIT_CODES,
    )
    report.add_argument("run", type=_path, metavar="RUN", help="the directory of a run")
    report.add_argument(
        "--format", default="text", choices=FORMATS, metavar="F", help="one of: %(choices)s (default: text)"
    )
    report.add_argument("--plain", action="store_true", help="no colour, whatever the terminal can do")

    compare = command(
        "compare",
        "compare two finished runs",
        "Compare the latencies and successes of two runs, with the confidence of each difference. Exit code 3 if the\n"
        "second is worse.",
    )
    compare.add_argument("before", type=_path, metavar="A", help="the directory of a run")
    compare.add_argument("after", type=_path, metavar="B", help="the directory of another")


def _add_measuring(command: Callable[..., argparse.ArgumentParser]) -> None:
    bench = command(
        "bench",
        "measure sessions, a small request, a worker's start, and what has a target",
        "Measure, in turns in one process, an echo through the pool against a bare Trio socket echo (echo), and\n"
        "a worker's start against a bare interpreter's (start): only these ratios travel between machines. Then\n"
        "what the testing strategy names: a ping in one session (single_session), pings in ten sessions at once\n"
        "(concurrent_sessions), a ping in a new session and the end of it (session_creation). Last what has a\n"
        "target: twenty sleeps on eight workers (parallel), the way of a freed worker to the oldest waiter\n"
        "(handover), the refusal of a full queue (refusal), and from a worker's SIGKILL to the next success,\n"
        "without (recovery) and with a warm standby (standby).",
    )
    bench.add_argument(
        "--only", choices=BENCHMARKS, action="append", metavar="NAME", help="one of: %(choices)s; may be repeated"
    )
    bench.add_argument(
        "--seconds",
        type=_seconds,
        default=10.0,
        metavar="S",
        help="about how long echo and start take together (default: 10)",
    )
    bench.add_argument(
        "--iterations",
        type=_iterations,
        default=1000,
        metavar="N",
        help="how often each of the others is measured at the most (default: 1000)",
    )
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the results, in seconds, to this file as well")

    pools = command(
        "compare-pools",
        "put trio_pool and six other pools through the same mishaps, side by side",
        "Have a worker killed while it is idle and while it is busy, have one frozen, run a request into its worker's\n"
        "memory limit, send one that kills its worker, and kill the application: in each pool that is installed,\n"
        "under light load, each in a process of its own. Prints what each cost: requests failed, time to recover,\n"
        "processes left behind. Exit code 2 if there is a pool of which something could not be found out.",
    )
    pools.add_argument("--only", action="append", metavar="POOL", help="this one (see `list targets`); may be repeated")
    pools.add_argument(
        "--situation", choices=SITUATIONS, action="append", metavar="S", help="one of: %(choices)s; may be repeated"
    )
    pools.add_argument("--repeat", type=_count, default=3, metavar="N", help="how often each (default: 3)")
    pools.add_argument(
        "--jobs", type=_count, default=2, metavar="J", help="how many at a time (default: 2); more disturb each other"
    )
    pools.add_argument("--json", type=_path, metavar="FILE", help="write everything, in seconds, to this file as well")
    pools.add_argument("--markdown", type=_path, metavar="FILE", help="write the tables to this file as well")


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="source of all chance: a number from 0 to 2**63 - 1, or a commit's 40 hex digits"
        " (default: the scenario's, or drawn)",
    )


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="settings",
        help="change the scenario first, as in pool.size=8 or phase[0].duration=30s; may be repeated",
    )


def _add_looks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-live", action="store_true", help="print lines also where the run could be shown live")
    parser.add_argument("--plain", action="store_true", help="lines and no colour, whatever the terminal can do")


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("an empty name is no file and no directory")
    return Path(text)


def _seed(text: str) -> int:
    if text.isascii() and text.isdigit() and (len(text.lstrip("0")) > len(str(MAX_SEED)) or int(text) > MAX_SEED):
        # By length first: Python refuses to convert thousands of digits.
        raise argparse.ArgumentTypeError(f"a seed is at most {MAX_SEED} (2**63 - 1)")
    try:
        return read_seed(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{exc!s:.160}") from exc


def _count(text: str) -> int:
    # Nobody waits for more than a million, and Python refuses to convert thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, below a million, not {text!r:.80}")
    return int(text)


def _iterations(text: str) -> int:
    # As above.
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, below a billion, not {text!r:.80}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 1.0):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 1 on, not {text!r:.80}")
    return value
