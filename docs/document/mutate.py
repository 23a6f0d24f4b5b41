"""Apply each mutation of a table, of mutations.toml if none is named, to a copy of the tree and see its tests fail.

A test that cannot fail proves nothing. Each mutation takes away what one item of the testing strategy, or one
guarantee, is about; the tests named with it must pass before and fail after. Run from anywhere as ``python
docs/document/mutate.py``; the exit code is 0 if every mutation was caught, 1 if one was not, 2 if one could not be
tried.

The working tree is never touched: everything happens in a temporary copy of what git knows or would add. Nor does
anything outlive a trial, though the very thing that ends workers may be what was taken away.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import attrs

# By bare name: this file is a script, and its folder is where Python looks first.
from table import MUTATIONS, ROOT, Mutation, function_of, read_mutations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TIMEOUT: Final = 300.0
"""Seconds for the tests of one mutation: far beyond the slowest of them, and beyond pytest's own limit for a hang."""

UNMUTATED: Final = 30.0
"""Seconds a test, of all tests together unmutated: on average they take one, and the slowest of them 30."""

MARK: Final = "TRIO_POOL_MUTATION"
"""The environment variable by which everything that a tree's tests have started is known; its value is the tree."""

CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "BROKEN"


@attrs.frozen
class Outcome:
    """What became of one mutation."""

    mutation: Mutation
    verdict: str
    detail: str
    seconds: float = 0.0


@attrs.frozen
class Run:
    """What pytest said: how each test function ended, or why it did not come to that."""

    ends: Mapping[str, str]
    trouble: str = ""


def copy_tree(target: Path) -> None:
    """Copy what git tracks, or would if asked, to an empty folder."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603  # a constant
    for name in filter(None, os.fsdecode(names).split("\0")):
        source = ROOT / name
        if source.is_file():  # one that was deleted and not yet committed is still listed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def run_tests(tree: Path, tests: Sequence[str], timeout: float = TIMEOUT) -> Run:
    """Run tests in a tree and return how each function among them ended; one failed case fails its function."""
    results = tree / "mutation-results.json"
    results.unlink(missing_ok=True)
    # Nobody reads why a test failed, and explaining how two long texts differ may take a minute.
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider"]
    command += ["--hypothesis-profile", "mutation"]
    environment = {
        **os.environ,
        # The tree's package, not the installed one, also in the processes that tests start.
        "PYTHONPATH": str(tree),
        # A cached compilation is trusted by time and size; a mutation may change neither.
        "PYTHONDONTWRITEBYTECODE": "1",
        MARK: str(tree),
    }
    try:
        process = subprocess.run(  # noqa: S603  # this interpreter, with node ids of ours
            [*command, "--results", str(results), *tests],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Run({}, f"no end within {timeout:g} s")
    finally:
        end_strays(tree)
    # 0: all passed, 1: some failed. Anything else, such as a module that cannot be imported, is no test's verdict.
    if process.returncode not in (0, 1) or not results.is_file():
        return Run({}, f"pytest ended with {process.returncode}: {_last_line(process.stdout)}")
    ends: dict[str, str] = {}
    for nodeid, end in json.loads(results.read_text(encoding="utf-8")).items():
        for name in {nodeid, function_of(nodeid)}:
            ends[name] = "failed" if "failed" in (end, ends.get(name)) else end
    return Run(ends)


def end_strays(tree: Path) -> None:
    """Kill every process that the tests of a tree have started and left behind."""
    mark = os.fsencode(f"{MARK}={tree}")
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # it has ended, or is somebody else's, or is no process at all
            process = os.pidfd_open(int(folder.name))
            try:
                # Held by then, so whatever becomes of its number, it is this one that is looked at and killed.
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def _last_line(output: str) -> str:
    return next((line for line in reversed(output.splitlines()) if line.strip()), "nothing")


def try_mutation(tree: Path, mutation: Mutation) -> Outcome:
    """Mutate the tree, run the mutation's tests, and put the tree back."""
    began = time.monotonic()
    file = tree / mutation.file
    original = file.read_text(encoding="utf-8")
    try:
        file.write_text(mutation.apply(original), encoding="utf-8")
        run = run_tests(tree, mutation.tests)
    except ValueError as exc:
        return Outcome(mutation, BROKEN, str(exc))
    finally:
        file.write_text(original, encoding="utf-8")
    seconds = time.monotonic() - began
    if run.trouble:
        return Outcome(mutation, BROKEN, run.trouble, seconds)
    missing = [test for test in mutation.tests if test not in run.ends]
    if missing:
        return Outcome(mutation, BROKEN, f"did not run: {', '.join(missing)}", seconds)
    spared = [test for test in mutation.tests if run.ends[test] != "failed"]
    if spared:
        return Outcome(mutation, SURVIVED, f"not failed: {', '.join(spared)}", seconds)
    return Outcome(mutation, CAUGHT, mutation.what, seconds)


def outcomes(trees: Sequence[Path], mutations: Sequence[Mutation]) -> Iterator[Outcome]:
    """Try all mutations, as many at a time as there are trees, and yield each outcome as soon as it and those before it
    are known.
    """
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def one(mutation: Mutation) -> Outcome:
        tree = free.get()
        try:
            return try_mutation(tree, mutation)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        yield from pool.map(one, mutations)


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
        trees = [Path(folder, str(number)) for number in range(max(1, min(options.jobs, len(mutations))))]
        for tree in trees:
            tree.mkdir()
            copy_tree(tree)
        tests = list(dict.fromkeys(test for mutation in mutations for test in mutation.tests))
        print(f"{len(mutations)} mutations; running their {len(tests)} tests unmutated", flush=True)  # noqa: T201  # a program
        before = run_tests(trees[0], tests, max(TIMEOUT, UNMUTATED * len(tests)))
        bad = [test for test in tests if before.ends.get(test) != "passed"]
        if before.trouble or bad:
            print(f"do not pass unmutated: {before.trouble or ', '.join(bad)}")  # noqa: T201  # a program
            return 2
        verdicts: list[str] = []
        for outcome in outcomes(trees, mutations):
            verdicts.append(outcome.verdict)
            ids = ", ".join(outcome.mutation.ids)
            place = f"[{len(verdicts)}/{len(mutations)}]"
            print(f"{place:>9} {outcome.verdict:<8} {outcome.seconds:5.1f} s  {ids}: {outcome.detail}", flush=True)  # noqa: T201  # a program
    caught = verdicts.count(CAUGHT)
    print(f"{caught} caught, {verdicts.count(SURVIVED)} survived, {verdicts.count(BROKEN)} could not be tried")  # noqa: T201  # a program
    return 2 if BROKEN in verdicts else int(caught < len(verdicts))


if __name__ == "__main__":
    sys.exit(main())
