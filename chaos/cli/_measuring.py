"""The command ``bench``: what is measured."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import trio

from .._bench import bench as measure
from .._bench import bench_lines
from .._exits import EXIT_PASS
from .._output import Console, write_text
from ._arguments import BENCHMARKS

if TYPE_CHECKING:
    import argparse


def bench(arguments: argparse.Namespace) -> int:
    """Measure, and print what came of it."""
    console = Console(plain=True)
    names = arguments.only or BENCHMARKS
    if "echo" in names or "start" in names:
        console.say(f"measuring for about {arguments.seconds:g} s, yardstick and candidate in turns")
    if "start" in names and sys.dont_write_bytecode:
        console.say(
            "note: this interpreter writes no bytecode, so unless it is there already, each worker compiles anew"
        )
    results = trio.run(measure, arguments.seconds, arguments.iterations, names)
    for line in bench_lines(results):
        console.say(line)
    if arguments.json is not None:
        write_text(arguments.json, results.to_json())
    return EXIT_PASS
