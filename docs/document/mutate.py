"""Apply each mutation of a table, of mutations.toml if none is named, to a copy of the tree and see its tests fail.

A test that cannot fail proves nothing. Each mutation takes away what one item of the testing strategy, or one
guarantee, is about; the tests named with it must pass before and fail after. Run from anywhere as ``python
docs/document/mutate.py``; the exit code is 0 if every mutation was caught, 1 if one was not, 2 if one could not be
tried.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

# By bare name: this file is a script, and its folder is where Python looks first.
from table import MUTATIONS, Mutation, function_of, read_mutations
from trials import BROKEN, CAUGHT, SURVIVED, TIMEOUT, Outcome, copies, each_on_a_copy, last_line, mutated, run_in, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNMUTATED: Final = 30.0
"""Seconds a test, of all tests together unmutated: on average they take one, and the slowest of them 30."""


@attrs.frozen
class Run:
    """What pytest said: how each test function ended, or why it did not come to that."""

    ends: Mapping[str, str]
    trouble: str = ""


def run_tests(tree: Path, tests: Sequence[str], timeout: float = TIMEOUT) -> Run:
    """Run tests in a tree and return how each function among them ended; one failed case fails its function."""
    results = tree / "mutation-results.json"
    results.unlink(missing_ok=True)
    # Nobody reads why a test failed, and explaining how two long texts differ may take a minute.
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider"]
    command += ["--hypothesis-profile", "mutation"]
    try:
        process = run_in(tree, [*command, "--results", str(results), *tests], timeout)
    except subprocess.TimeoutExpired:
        return Run({}, f"no end within {timeout:g} s")
    # 0: all passed, 1: some failed. Anything else, such as a module that cannot be imported, is no test's verdict.
    if process.returncode not in (0, 1) or not results.is_file():
        return Run({}, f"pytest ended with {process.returncode}: {last_line(process.stdout)}")
    ends: dict[str, str] = {}
    for nodeid, end in json.loads(results.read_text(encoding="utf-8")).items():
        for name in {nodeid, function_of(nodeid)}:
            ends[name] = "failed" if "failed" in (end, ends.get(name)) else end
    return Run(ends)


def try_mutation(tree: Path, mutation: Mutation) -> Outcome:
    """Mutate the tree, run the mutation's tests, and put the tree back."""
    began = time.monotonic()
    label = ", ".join(mutation.ids)
    try:
        with mutated(tree, [mutation]):
            run = run_tests(tree, mutation.tests)
    except ValueError as exc:
        return Outcome(label, BROKEN, str(exc))
    seconds = time.monotonic() - began
    if run.trouble:
        return Outcome(label, BROKEN, run.trouble, seconds)
    missing = [test for test in mutation.tests if test not in run.ends]
    if missing:
        return Outcome(label, BROKEN, f"did not run: {', '.join(missing)}", seconds)
    spared = [test for test in mutation.tests if run.ends[test] != "failed"]
    if spared:
        return Outcome(label, SURVIVED, f"not failed: {', '.join(spared)}", seconds)
    return Outcome(label, CAUGHT, mutation.what, seconds)


def chosen(mutations: Sequence[Mutation], only: Sequence[str]) -> list[Mutation]:
    """Return the mutations that prove one of these items, or all."""
    return [mutation for mutation in mutations if not only or set(only) & set(mutation.ids)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="only the mutations of this item")
    parser.add_argument("--table", type=Path, default=MUTATIONS, metavar="FILE", help="another than mutations.toml")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many at a time (default: 1)")
    options = parser.parse_args(arguments)
    mutations = chosen(read_mutations(options.table), options.only)
    if not mutations:
        parser.error("there is no such mutation")
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        trees = copies(Path(folder), max(1, min(options.jobs, len(mutations))))
        tests = list(dict.fromkeys(test for mutation in mutations for test in mutation.tests))
        print(f"{len(mutations)} mutations; running their {len(tests)} tests unmutated", flush=True)  # noqa: T201  # a program
        before = run_tests(trees[0], tests, max(TIMEOUT, UNMUTATED * len(tests)))
        bad = [test for test in tests if before.ends.get(test) != "passed"]
        if before.trouble or bad:
            print(f"do not pass unmutated: {before.trouble or ', '.join(bad)}")  # noqa: T201  # a program
            return 2
        return tell(each_on_a_copy(trees, mutations, try_mutation), len(mutations))


if __name__ == "__main__":
    sys.exit(main())
