"""Run the tests of supervision against each mutant of its modules, and ask of each that survives for an explanation.

A test that cannot fail proves nothing. Every mutant (mutants.py) must make a test fail, save those of survivors.toml,
each with its reason. The exit code is 0 if at least 95 % were killed and every survivor is explained, 1 if not, 2 if
the tests do not pass unmutated. The working tree is never touched: everything happens in temporary copies of what git
knows or would add.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Final, TypeAlias

import attrs

# By bare name: this file is a script, and its folder is where Python looks first.
from mutants import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Key: TypeAlias = tuple[str, str, str, str, int]
ROOT: Final = Path(__file__).resolve().parents[2]
EXPLAINED: Final = Path(__file__).with_name("survivors.toml")

GOAL: Final = 0.95
"""The part of the mutants that must be killed."""

CORE: Final = ("trio_pool/_core/_restart.py", "trio_pool/_core/_roster.py", "trio_pool/_core/_strategy.py")
SUPERVISION: Final = "trio_pool/_supervision"

OWN: Final = {CORE[0]: "tests/unit/test_restart.py", CORE[1]: "tests/unit/test_roster.py"}
"""The tests of one module alone, which come first."""

LAST: Final = ("test_supervisor_disturbed.py", "test_supervisor_model.py")
"""Of the component tests these come last: the slowest ones, and those that spend time on making a failure smaller."""

TEST_TIMEOUT: Final = 20
"""Seconds for one test: the slowest takes three by itself, and a busy machine must not look like a hang."""

STAGE_TIMEOUT: Final = 180
"""Seconds for all tests of a stage, which take ten; only a mutant that hangs outside of any test gets there."""

KILLED, TIMEOUT, SURVIVED, EXPECTED = "killed", "timeout", "SURVIVED", "explained"


@attrs.frozen
class Outcome:
    """What became of one mutant."""

    mutant: Mutant
    verdict: str
    by: str = ""
    """The test that failed, or what else told."""
    seconds: float = 0.0


def copy_tree(target: Path) -> None:
    """Copy what git tracks, or would if asked, to an empty folder."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    for name in filter(None, os.fsdecode(names).split("\0")):
        if (ROOT / name).is_file():  # one that was deleted and not yet committed is still listed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def modules() -> list[str]:
    """Return the modules under test."""
    return [*CORE, *(f"{SUPERVISION}/{path.name}" for path in sorted((ROOT / SUPERVISION).glob("*.py")))]


def stages(file: str) -> list[list[str]]:
    """Return what pytest is asked to run for the mutants of a module: the next stage only if the one before passed."""
    folder = ROOT / "tests" / "component"
    names = sorted(path.name for path in folder.glob("test_supervisor*.py"))
    component = [f"tests/component/{name}" for name in sorted(names, key=lambda name: name in LAST)]
    quick = ["tests/unit/test_child_spec.py", *component, "-m", "not slow"]
    return [*([[OWN[file]]] if file in OWN else []), quick, [*component, "-m", "slow"]]


class Tree:
    """A copy of the tree, in which one mutant at a time is tried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        copy_tree(folder)

    def run(self, arguments: Sequence[str], *, compile_all: bool = False) -> tuple[str, str]:
        """Run pytest and return its verdict with the test that failed, if one did."""
        mark = secrets.token_hex(8)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-rfE",
            "--tb=no",
            "--assert=plain",
            "-p",
            "no:cacheprovider",
        ]
        command += ["-o", f"faulthandler_timeout={TEST_TIMEOUT}", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "TRIO_POOL_MUTANT": mark}
        if not compile_all:
            # A cached compilation is trusted by time and size; a mutation may change neither.
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
            try:
                status = process.wait(STAGE_TIMEOUT)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                _kill_marked(mark)
                process.wait()
            output.seek(0)
            text = output.read().decode(errors="replace")
        if status is None or f"Timeout (0:00:{TEST_TIMEOUT})!" in text:
            return TIMEOUT, ""
        if status == 0:
            return SURVIVED, ""
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
        if failed:
            return KILLED, failed[1]
        # No test's verdict, yet the mutant's doing: it cannot be imported, lets an interrupt escape, or signals whoever
        # runs it. Anything else, such as a missing pytest, must not pass for a killed mutant.
        if status < 0 or re.search(
            r"^ImportError while loading conftest|^!+ \S*KeyboardInterrupt !+$", text, re.MULTILINE
        ):
            return KILLED, f"pytest ended with {status}"
        raise RuntimeError(f"pytest ended with {status}: {text[-2000:]}")

    def try_mutant(self, mutant: Mutant) -> Outcome:
        """Mutate the tree, run the tests, and put the tree back."""
        began = time.monotonic()
        file = self.folder / mutant.file
        original = file.read_bytes()
        verdict, by = SURVIVED, ""
        file.write_text(mutant.text, encoding="utf-8")
        try:
            for arguments in stages(mutant.file):
                verdict, by = self.run(arguments)
                if verdict != SURVIVED:
                    break
        finally:
            file.write_bytes(original)
        return Outcome(mutant, verdict, by, time.monotonic() - began)

    def forget_compiled(self) -> None:
        """Remove the compiled modules under test, or they would be run instead of their mutants."""
        for folder in ("trio_pool/_core", SUPERVISION):
            shutil.rmtree(self.folder / folder / "__pycache__", ignore_errors=True)


def _kill_marked(mark: str) -> None:
    """Kill what is left of a run of pytest: a mutant may have lost sight of processes that it started."""
    needle = f"TRIO_POOL_MUTANT={mark}".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):  # it ended since, or is another user's
                if needle in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    os.kill(int(entry), signal.SIGKILL)


def explanations() -> dict[Key, str]:
    """Return why each explained mutant survives."""
    survivors = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["survivor"]
    parts = ("file", "inside", "old", "new")
    return {(*(item[part] for part in parts), item.get("nth", 1)): item["why"] for item in survivors}


def chosen(options: argparse.Namespace) -> list[Mutant]:
    """Return the mutants that the options ask for."""
    wanted = [file for file in modules() if not options.only or any(part in file for part in options.only)]
    mutants = [mutant for file in wanted for mutant in mutants_of(file, (ROOT / file).read_text(encoding="utf-8"))]
    if options.sample:
        drawn = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))  # noqa: S311  # no secret
        mutants = [mutant for mutant in mutants if mutant in drawn]
    return mutants


def known(mutants: Iterable[Mutant], file: Path) -> list[Outcome]:
    """Return the outcomes of those mutants that were killed according to the results of an earlier campaign."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    killed = {tuple(line["key"]): line for line in lines if line["verdict"] != SURVIVED}
    lines_of = ((mutant, killed.get(mutant.key)) for mutant in mutants)
    return [Outcome(mutant, line["verdict"], line["by"]) for mutant, line in lines_of if line]


def try_all(trees: Sequence[Tree], mutants: Iterable[Mutant]) -> Iterable[Outcome]:
    """Try all mutants, as many at a time as there are trees, and yield each outcome as soon as it is known."""
    free: SimpleQueue[Tree] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def one(mutant: Mutant) -> Outcome:
        tree = free.get()
        try:
            return tree.try_mutant(mutant)
        finally:
            free.put(tree)

    pool = ThreadPoolExecutor(len(trees))
    try:
        for done in as_completed([pool.submit(one, mutant) for mutant in mutants]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after a Ctrl-C: those under way come to their end, no others begin


def judged(outcome: Outcome, explained: Mapping[Key, str]) -> str:
    """Return the verdict, or ``explained`` for a survivor that is."""
    return EXPECTED if outcome.verdict == SURVIVED and outcome.mutant.key in explained else outcome.verdict


def summary(outcomes: Sequence[Outcome], explained: Mapping[Key, str]) -> str:
    """Return the figures as a table, a row for each module."""
    rows = [
        "| module | mutants | killed | by a time-out | survived, explained | survived |",
        "|---|---|---|---|---|---|",
    ]
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        verdict = judged(outcome, explained)
        for name in (outcome.mutant.file, "all"):
            counts[name][verdict] += 1
    for name, count in sorted(counts.items(), key=lambda item: (item[0] == "all", item[0])):
        killed = count[KILLED] + count[TIMEOUT]
        rows.append(
            f"| {name} | {count.total()} | {killed} | {count[TIMEOUT]} | {count[EXPECTED]} | {count[SURVIVED]} |"
        )
    return "\n".join(rows)


def record(results: IO[str] | None, outcome: Outcome) -> None:
    """Write down an outcome, if somebody asked for that."""
    if results is None:
        return
    mutant = outcome.mutant
    line = {"key": mutant.key, "line": mutant.line, "operator": mutant.operator, "verdict": outcome.verdict}
    results.write(json.dumps({**line, "by": outcome.by}) + "\n")
    results.flush()


def main() -> int:
    """Run as a program; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "--only", action="append", default=[], metavar="PART", help="only modules whose path has this part"
    )
    parser.add_argument(
        "--sample", type=int, default=0, metavar="N", help="try only so many of the mutants, drawn at random"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many at a time (default: 1)")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="where to write the outcomes, a line of JSON for each"
    )
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="believe such a file where it says killed, and try the others"
    )
    options = parser.parse_args()
    mutants, explained = chosen(options), explanations()
    if not mutants:
        parser.error("there is no such mutant")
    outcomes = known(mutants, options.again) if options.again else []
    told = {outcome.mutant.key for outcome in outcomes}
    rest = [mutant for mutant in mutants if mutant.key not in told]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, contextlib.ExitStack() as stack:
        results = stack.enter_context(options.results.open("w", encoding="utf-8")) if options.results else None
        trees = [Tree(Path(folder, str(number))) for number in range(max(1, options.jobs))]
        print(f"{len(mutants)} mutants, {len(rest)} to try; running the tests unmutated", flush=True)
        for tree in trees:
            for arguments in [list(OWN.values()), *stages(SUPERVISION)]:
                verdict, by = tree.run(arguments, compile_all=True)
                if verdict != SURVIVED:
                    print(f"do not pass unmutated: {verdict} {by}")
                    return 2
            tree.forget_compiled()
        for outcome in outcomes:
            record(results, outcome)
        for outcome in try_all(trees, rest):
            outcomes.append(outcome)
            record(results, outcome)
            verdict = judged(outcome, explained)
            place = f"[{len(outcomes)}/{len(mutants)}]"
            print(f"{place:>11} {verdict:<9} {outcome.seconds:5.1f} s  {outcome.mutant} {outcome.by}", flush=True)
    print(summary(outcomes, explained))
    left = [outcome.mutant for outcome in outcomes if outcome.verdict == SURVIVED]
    unexplained = [mutant for mutant in left if mutant.key not in explained]
    for mutant in unexplained:
        print(f"survived without an explanation: {mutant}")
    killed = 1 - len(left) / len(mutants)
    print(
        f"{killed:.1%} of {len(mutants)} mutants killed, {len(left)} survived, {len(unexplained)} of them unexplained"
    )
    return int(killed < GOAL or bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
