"""Take each guarantee away from a copy of the library, as harness.toml says, and see a shipped scenario name it.

A harness that is green whatever the pool does proves nothing. Each scenario must pass as things are; with the removal
it must end red, and its results must have a finding of the checker that is expected, with the guarantee's number. Run
from anywhere as ``python docs/document/harness.py``; the exit code is 0 if every removal was caught, 1 if one was not,
2 if one could not be tried.
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
from removals import Removal, read_removals
from trials import BROKEN, CAUGHT, SURVIVED, TIMEOUT, Outcome, copies, each_on_a_copy, last_line, mutated, run_in, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED: Final = 1
"""Of all runs: with and without a removal a scenario asks the same and is struck by the same. Any will do."""

PASS: Final = 0
RED: Final = (1, 5)
"""Exit codes of a run that broke a guarantee: by what it did, or by what it left behind."""

JUDGED: Final = (PASS, *RED, 2, 3)
"""Exit codes of a run that came to its end: beside those above, it proved nothing, or was too slow."""


@attrs.frozen
class Run:
    """What a scenario came to: its exit code, its failed checkers with their guarantees, why it is not a pass; or the
    trouble there was with it."""

    code: int = PASS
    failed: tuple[tuple[str, int | None], ...] = ()
    reasons: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def told(self) -> str:
        """In a line."""
        return self.trouble or f"exit code {self.code}: {'; '.join(self.reasons) or 'a pass'}"


def run_scenario(tree: Path, scenario: str, seed: int = SEED) -> Run:
    """Run a shipped scenario in a tree."""
    with tempfile.TemporaryDirectory(prefix="harness-", dir=tree.parent) as folder:
        command = [sys.executable, "-m", "chaos", "run", scenario, "--seed", str(seed), "--plain", "--out", folder]
        try:
            process = run_in(tree, command, TIMEOUT)
        except subprocess.TimeoutExpired:
            return Run(trouble=f"no end within {TIMEOUT:g} s")
        results = Path(folder, "results.json")
        if not results.is_file():
            return Run(trouble=f"ended with {process.returncode} and no results: {last_line(process.stdout)}")
        found = json.loads(results.read_text(encoding="utf-8"))
    run = Run(
        code=process.returncode,
        failed=tuple((each["checker"], each["guarantee"]) for each in found["findings"] if each["judgement"] == "fail"),
        reasons=tuple(found["reasons"]),
    )
    if process.returncode != found["exit_code"] or process.returncode not in JUDGED:
        return attrs.evolve(run, trouble=f"did not come to its end, {run.told}")
    return run


def try_unmutated(tree: Path, scenario: str) -> Outcome:
    """See a scenario pass."""
    began = time.monotonic()
    run = run_scenario(tree, scenario)
    passes = not run.trouble and run.code == PASS
    return Outcome(scenario, "passes" if passes else BROKEN, run.told, time.monotonic() - began)


def try_removal(tree: Path, removal: Removal) -> Outcome:
    """Take the guarantee away from the tree, run the scenario, and put the tree back."""
    began = time.monotonic()
    label = f"{removal.guarantee} {removal.scenario} {removal.checker}"
    try:
        with mutated(tree, removal.mutations):
            run = run_scenario(tree, removal.scenario)
    except ValueError as exc:
        return Outcome(label, BROKEN, str(exc))
    seconds = time.monotonic() - began
    if run.trouble:
        return Outcome(label, BROKEN, run.trouble, seconds)
    if run.code not in RED or (removal.checker, removal.guarantee) not in run.failed:
        return Outcome(label, SURVIVED, f"{removal.what} {run.told}", seconds)
    return Outcome(label, CAUGHT, removal.what, seconds)


def chosen(removals: Sequence[Removal], only: Sequence[int]) -> list[Removal]:
    """Return the removals of these guarantees, or all."""
    return [removal for removal in removals if not only or removal.guarantee in only]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--only", action="append", default=[], type=int, metavar="N", help="only this guarantee")
    # What a scenario demands in time it demands of a machine that does not carry out another one beside it.
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many at a time (default: 1)")
    options = parser.parse_args(arguments)
    removals = chosen(read_removals(), options.only)
    if not removals:
        parser.error("there is no such guarantee")
    scenarios = list(dict.fromkeys(removal.scenario for removal in removals))
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        trees = copies(Path(folder), max(1, min(options.jobs, len(removals))))
        print(f"{len(removals)} removals; running their {len(scenarios)} scenarios as things are", flush=True)  # noqa: T201  # a program
        bad = False
        for before in each_on_a_copy(trees, scenarios, try_unmutated):
            bad = bad or before.verdict == BROKEN
            print(f"{'':9} {before}", flush=True)  # noqa: T201  # a program
        if bad:
            print("a scenario that does not pass as things are shows nothing of a removal")  # noqa: T201  # a program
            return 2
        return tell(each_on_a_copy(trees, removals, try_removal), len(removals))


if __name__ == "__main__":
    sys.exit(main())
