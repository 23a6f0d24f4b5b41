"""The command ``compare-pools``: what the same mishap costs in each pool."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

from .._exits import EXIT_PASS, EXIT_SIGNAL, EXIT_UNKNOWN, EXIT_USAGE
from .._output import Console, write_text
from .._program import complain
from ..comparison._comparison import Comparison
from ..comparison._situations import Situation
from ..comparison._table import console_lines, markdown
from ..scenario._problems import did_you_mean
from ..targets._registry import TARGETS, missing

if TYPE_CHECKING:
    import argparse

    from ..comparison._results import CellResult


def compare_pools(arguments: argparse.Namespace) -> int:
    """Compare, print the tables, and return 2 if there is a cell without a result."""
    console = Console(plain=True)
    pools = list(dict.fromkeys(arguments.only or TARGETS))
    for name in pools:
        if name not in TARGETS:
            complain(f"--only: there is no target {name!r:.80}; {did_you_mean(name, tuple(TARGETS))}")
            return EXIT_USAGE
    for name in [name for name in pools if missing(TARGETS[name])]:
        console.say(f"{name} is not installed: pip install 'trio_pool[bench]'")
        pools.remove(name)
    if not pools:
        complain("none of these pools is installed")
        return EXIT_USAGE
    situations = [Situation(name) for name in dict.fromkeys(arguments.situation or Situation)]

    def done(result: CellResult, number: int, of: int) -> None:
        console.say(f"{number:>4} of {of}  {result.pool:<20}  {result.situation:<17}  {_briefly(result)}")

    comparison = Comparison(done)
    compared = trio.run(comparison.run, pools, situations, arguments.repeat, arguments.jobs)
    if compared is None:
        complain("interrupted; nothing is left running")
        return EXIT_SIGNAL + (comparison.interrupted or signal.SIGINT)
    for line in console_lines(compared):
        console.say(line)
    console.say(f"median (worst) of {arguments.repeat}; took {compared.seconds:.0f} s")
    if arguments.json is not None:
        write_text(arguments.json, compared.to_json())
    if arguments.markdown is not None:
        write_text(arguments.markdown, markdown(compared))
    return EXIT_UNKNOWN if any(cell.trouble is not None for cell in compared.cells) else EXIT_PASS


def _briefly(result: CellResult) -> str:
    if result.trouble is not None:
        return result.trouble
    if result.situation is Situation.APPLICATION:
        return f"{result.left} left behind"
    return f"{result.failed} of {result.asked} failed, {result.hung} of them hung"
