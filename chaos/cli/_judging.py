"""The commands ``analyze``, ``report`` and ``compare``: what finished runs say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _experiment
from .._output import Console
from ..checking._comparison import compare as compare_measures
from ..reporting._comparison import comparison_lines
from ..reporting._reports import Format
from ._running import show

if TYPE_CHECKING:
    import argparse


def analyze(arguments: argparse.Namespace) -> int:
    """Judge a run again, write its reports anew, and return the exit code of the verdict."""
    reports = _experiment.analyze(arguments.run)
    show(reports, arguments.run, Console(plain=arguments.plain))
    return reports.results.exit_code


def report(arguments: argparse.Namespace) -> int:
    """Print the report of a run in one format, and return the exit code of the verdict."""
    console = Console(plain=arguments.plain)
    reports = _experiment.analyze(arguments.run)
    if arguments.format == "text":
        for line in reports.lines(arguments.run, colour=console.colour, width=console.width):
            console.say(line)
    else:
        console.write(reports.text(Format(arguments.format)))
    return reports.results.exit_code


def compare(arguments: argparse.Namespace) -> int:
    """Compare two runs, and return 3 if the second is worse."""
    console = Console(plain=True)
    first, second = (_experiment.analyze(path) for path in (arguments.before, arguments.after))
    found = compare_measures(first.measures, second.measures)
    for line in comparison_lines(found, str(arguments.before), str(arguments.after)):
        console.say(line)
    return found.exit_code
