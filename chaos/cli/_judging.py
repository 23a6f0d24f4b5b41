"""The commands ``analyze``, ``report`` and ``compare``: what finished runs say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _experiment
from .._output import Console
from ..reporting._comparison import compare_runs
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
    compared = compare_runs(_experiment.analyze(arguments.before), _experiment.analyze(arguments.after))
    for line in compared.lines():
        console.say(line)
    return compared.exit_code
