"""The command line: ``python -m chaos`` and ``trio-pool-chaos``.

Exit codes are part of the interface: a run that proved nothing is neither success nor failure, and automation must be
able to tell all three apart.
"""

from __future__ import annotations

import argparse
import math
import secrets
import shlex
import signal
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ._commands import report_on, run_in
from ._exits import EXIT_BUG, EXIT_CANNOT_WRITE, EXIT_PASS, EXIT_SIGNAL, EXIT_USAGE
from ._first_light import SCENARIOS, SHORTEST
from ._output import CannotWrite, Console, write_text
from ._plan import make_plan
from ._program import command_line, complain, program
from ._signals import Terminations

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from _typeshed import SupportsWrite

    from ._plan import Plan

# Those of `_bench.NAMES`, which cannot be imported before the usage is known to be right: it needs Trio and the pool.
_BENCHMARKS = (
    *("echo", "start"),
    *("single_session", "concurrent_sessions", "session_creation"),
    *("parallel", "handover", "refusal", "recovery", "standby"),
)

_MAX_SEED = 2**63 - 1  # whatever reads results.json can hold it, and the line of a plan stays short

_EPILOG = """\
exit codes:
  0    pass: everything promised was kept, and the faults did hit
  1    fail: a promise was broken; the report says which and where
  2    unknown: nothing was broken, but the run did not test enough to pass
  4    the pool did not start, so nothing was tested
  64   wrong usage
  66   report: the directory holds no run that can be read
  70   a bug in the harness itself
  74   output, the history or the results could not be written; faults healed, pool closed, nothing judged
  130  interrupted (143 by SIGTERM); faults healed, pool closed, what there was is checked and reported

On a terminal of at least 60 x 16 a run is shown as it happens (needs rich: pip install trio_pool[chaos]); anywhere else
it prints a line a second. NO_COLOR, TERM=dumb and CI are honoured. A reader that leaves, as head does, silences the
output and changes nothing else.

in the files and lines of a run:
  "request 12" is request 12 of plan.json and "id" in history.jsonl. "pool request 29" is "request_id" there and
  "running" in results.json: the pool's own number for what it was asked. A line names both if the pool's request can
  be only that one of the plan.

examples:
  python -m chaos run first-light
  python -m chaos run first-light --seed 7 --out run-7
  python -m chaos report run-7
  python -m chaos plan first-light --seed 7
  python -m chaos bench
"""


class _Parser(argparse.ArgumentParser):
    """Ends with the exit code for wrong usage that the other commands of this kind use, and a hint."""

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """Print the help where the results go, and treat a failure as one of theirs."""
        if file is None:
            Console(plain=True).write(self.format_help())
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: The arguments, without the program; those of the process by default.
    """
    try:
        arguments = _parser().parse_args(argv)
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except CannotWrite as exc:
        complain(str(exc))
        return EXIT_CANNOT_WRITE
    except KeyboardInterrupt:
        complain("interrupted")
        return EXIT_SIGNAL + signal.SIGINT
    except Exception:  # the last line of defence: the code says whose fault it was
        traceback.print_exc()
        complain("this is a bug in the harness, not a finding about the pool")
        return EXIT_BUG


def _parser() -> _Parser:
    parser = _Parser(
        prog=program(),
        description="Test a trio_pool under faults: a seeded plan, real processes, honest load, a verdict.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help="carry out a scenario and judge the pool",
        description="Carry out a scenario against a real pool, then print the verdict and what it rests on.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_plan_arguments(run)
    run.add_argument(
        "--out",
        type=_out,
        metavar="DIR",
        help="where report.html, junit.xml, results.json, history.jsonl, plan.json, executions.log and pool.log go;"
        " must be new or empty (default: chaos-runs/SCENARIO/TIME-SEED)",
    )
    run.add_argument("--no-live", action="store_true", help="print lines also where the run could be shown live")
    run.add_argument("--plain", action="store_true", help="lines and no colour, whatever the terminal can do")
    run.set_defaults(command=_run)

    report = commands.add_parser(
        "report",
        help="judge a finished run again and make its reports anew",
        description="Judge a run again from plan.json, history.jsonl and executions.log in its directory, as far as\n"
        "they go: a run that was interrupted or killed has them too. Writes report.html, junit.xml and results.json\n"
        "there anew and prints the report. The exit code is that of the verdict.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument("directory", type=_out, metavar="DIR", help="the directory of a run")
    report.add_argument("--plain", action="store_true", help="no colour, whatever the terminal can do")
    report.set_defaults(command=_report)

    plan = commands.add_parser(
        "plan",
        help="print what a scenario and seed amount to, and touch nothing",
        description="Print the plan as JSON on standard output: the bytes whose SHA-256 a run shows and stores.",
    )
    _add_plan_arguments(plan)
    plan.set_defaults(command=_plan)

    bench = commands.add_parser(
        "bench",
        help="measure sessions, a small request, a worker's start, and what has a target",
        description="Measure, in turns in one process, an echo through the pool against a bare Trio socket echo"
        " (echo), and a worker's start against a bare interpreter's (start): only these ratios travel between machines."
        " Then what the testing strategy names: a ping in one session (single_session), pings in ten sessions at once"
        " (concurrent_sessions), a ping in a new session and the end of it (session_creation)."
        " Last what has a target: twenty sleeps on eight workers (parallel), the way of a freed worker to the oldest"
        " waiter (handover), the refusal of a full queue (refusal), and from a worker's SIGKILL to the next success,"
        " without (recovery) and with a warm standby (standby).",
    )
    bench.add_argument(
        "--only", choices=_BENCHMARKS, action="append", metavar="NAME", help="one of: %(choices)s; may be repeated"
    )
    bench.add_argument(
        "--seconds",
        type=_seconds(1.0),
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
    bench.set_defaults(command=_bench)

    listing = commands.add_parser("list", help="list the scenarios", description="List the scenarios, one a line.")
    listing.set_defaults(command=_list)
    return parser


def _add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", choices=sorted(SCENARIOS), metavar="SCENARIO", help="one of: %(choices)s")
    parser.add_argument(
        "--seed", type=_seed, metavar="N", help="source of all chance, from 0 to 2**63 - 1 (default: drawn)"
    )
    parser.add_argument(
        "--seconds",
        type=_seconds(SHORTEST),
        metavar="S",
        help=f"how long requests arrive, at least {SHORTEST:g} (default: what the scenario says)",
    )


class _Version(argparse.Action):
    """Looks the version up only when asked: it costs reading the installed metadata."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:  # noqa: A002  # argparse's name
        super().__init__(option_strings, dest, nargs=0, help=help, default=argparse.SUPPRESS)

    def __call__(self, parser: argparse.ArgumentParser, *_ignored: object) -> None:
        from ._about import installed

        Console(plain=True).say(f"trio-pool-chaos, trio_pool {installed('trio-pool')}")
        parser.exit()


def _run(arguments: argparse.Namespace) -> int:
    plan = _planned(arguments)
    with Terminations() as terminations, _directory(arguments.out, plan) as out:
        try:
            live = not (arguments.plain or arguments.no_live)
            return run_in(out, plan, replay=_replay(arguments, plan), live=live, plain=arguments.plain)
        except KeyboardInterrupt:
            if (out / "history.jsonl").exists():
                complain(f"interrupted while reporting; what there is of the run is in {out}")
            else:
                complain("interrupted before the clock started: nothing was tested, nothing is left running")
            return EXIT_SIGNAL + (signal.SIGTERM if terminations.arrived else signal.SIGINT)


def _report(arguments: argparse.Namespace) -> int:
    return report_on(arguments.directory, plain=arguments.plain)


def _plan(arguments: argparse.Namespace) -> int:
    Console(plain=True).write(_planned(arguments).to_json())
    return EXIT_PASS


def _bench(arguments: argparse.Namespace) -> int:
    import trio

    from ._bench import bench, bench_lines

    console = Console(plain=True)
    names = arguments.only or _BENCHMARKS
    if "echo" in names or "start" in names:
        console.say(f"measuring for about {arguments.seconds:g} s, yardstick and candidate in turns")
    if "start" in names and sys.dont_write_bytecode:
        console.say(
            "note: this interpreter writes no bytecode, so unless it is there already, each worker compiles anew"
        )
    results = trio.run(bench, arguments.seconds, arguments.iterations, names)
    for line in bench_lines(results):
        console.say(line)
    if arguments.json is not None:
        write_text(arguments.json, results.to_json())
    return EXIT_PASS


def _list(_arguments: argparse.Namespace) -> int:
    console = Console(plain=True)
    for scenario in SCENARIOS.values():
        console.say(f"{scenario.name}   {scenario.summary}")
    return EXIT_PASS


def _planned(arguments: argparse.Namespace) -> Plan:
    scenario = SCENARIOS[arguments.scenario]
    if arguments.seconds is not None:
        scenario = scenario.scaled(arguments.seconds)
    # 32 bits: short enough to be read out over the telephone.
    return make_plan(scenario, secrets.randbits(32) if arguments.seed is None else arguments.seed)


def _replay(arguments: argparse.Namespace, plan: Plan) -> str:
    command = [*command_line(), "run", plan.scenario, "--seed", str(plan.seed)]
    if arguments.seconds is not None:
        # All digits: a shorter form would be another number, and another number another plan.
        command += ["--seconds", repr(arguments.seconds)]
    return shlex.join(command)


@contextmanager
def _directory(out: Path | None, plan: Plan) -> Generator[Path, None, None]:
    """Make the directory of a run. Afterwards, what was made here and is still empty goes again."""
    if out is None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        out = Path("chaos-runs") / plan.scenario / f"{stamp}-{plan.seed}"
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


def _out(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("an empty name is no directory")
    return Path(text)


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"a seed is a whole number >= 0, not {text!r:.80}")
    digits = text.lstrip("0") or "0"
    # By length first: Python refuses to convert thousands of digits.
    if len(digits) > len(str(_MAX_SEED)) or int(digits) > _MAX_SEED:
        raise argparse.ArgumentTypeError(f"a seed is at most {_MAX_SEED} (2**63 - 1)")
    return int(digits)


def _iterations(text: str) -> int:
    # Nobody waits for more than a billion, and Python refuses to convert thousands of digits.
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, below a billion, not {text!r:.80}")
    return int(text)


def _seconds(least: float) -> Callable[[str], float]:
    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= least):
            raise argparse.ArgumentTypeError(f"must be a number of seconds from {least:g} on, not {text!r:.80}")
        return value

    return seconds


def _refuse(message: str) -> NoReturn:
    complain(message)
    raise SystemExit(EXIT_USAGE)
