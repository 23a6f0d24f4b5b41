"""Trials of mutations: on copies of the tree, so that the working tree is never touched, and with nothing left behind,
though the very thing that ends workers may be what was taken away.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

# By bare name: the folder of the script is where Python looks first.
from table import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from table import Mutation

TIMEOUT: Final = 300.0
"""Seconds for one mutation: far beyond the slowest test or scenario, and beyond their own limits for a hang."""

MARK: Final = "TRIO_POOL_MUTATION"
"""The environment variable by which everything that was started in a tree is known; its value is the tree."""

CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "BROKEN"

T = TypeVar("T")
R = TypeVar("R")


@attrs.frozen
class Outcome:
    """What became of one mutation: ``label`` says of what it is the proof."""

    label: str
    verdict: str
    detail: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.verdict:<8} {self.seconds:5.1f} s  {self.label}: {self.detail}"


def copy_tree(target: Path) -> None:
    """Copy what git tracks, or would if asked, to an empty folder."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603  # a constant
    for name in filter(None, os.fsdecode(names).split("\0")):
        source = ROOT / name
        if source.is_file():  # one that was deleted and not yet committed is still listed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def copies(folder: Path, count: int) -> list[Path]:
    """Make so many copies of the tree in a folder."""
    trees = [folder / str(number) for number in range(count)]
    for tree in trees:
        tree.mkdir()
        copy_tree(tree)
    return trees


@contextmanager
def mutated(tree: Path, mutations: Iterable[Mutation]) -> Generator[None]:
    """Mutate a tree, all of it at once, and put it back.

    Raises:
        ValueError: The text that one of them replaces does not stand there exactly once.
    """
    originals: dict[Path, str] = {}
    try:
        for mutation in mutations:
            file = tree / mutation.file
            source = file.read_text(encoding="utf-8")
            originals.setdefault(file, source)
            file.write_text(mutation.apply(source), encoding="utf-8")
        yield
    finally:
        for file, source in originals.items():
            file.write_text(source, encoding="utf-8")


def run_in(tree: Path, command: Sequence[str], timeout: float = TIMEOUT) -> subprocess.CompletedProcess[str]:
    """Run a command in a tree, with that tree's packages, and end whatever it leaves behind.

    Raises:
        subprocess.TimeoutExpired: It took too long and was killed.
    """
    environment = {
        **os.environ,
        # The tree's packages, not the installed ones, also in the processes that are started there.
        "PYTHONPATH": str(tree),
        # A cached compilation is trusted by time and size; a mutation may change neither.
        "PYTHONDONTWRITEBYTECODE": "1",
        MARK: str(tree),
    }
    try:
        return subprocess.run(  # noqa: S603  # this interpreter, with arguments of ours
            command,
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    finally:
        end_strays(tree)


def end_strays(tree: Path) -> None:
    """Kill every process that was started in a tree and left behind."""
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


def last_line(output: str) -> str:
    """Return the last line of an output that says anything."""
    return next((line for line in reversed(output.splitlines()) if line.strip()), "nothing")


def each_on_a_copy(trees: Sequence[Path], items: Sequence[T], attempt: Callable[[Path, T], R]) -> Iterator[R]:
    """Try all items, as many at a time as there are trees, and yield each outcome as soon as it and those before it are
    known.
    """
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def one(item: T) -> R:
        tree = free.get()
        try:
            return attempt(tree, item)
        finally:
            free.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        yield from pool.map(one, items)


def tell(outcomes: Iterable[Outcome], total: int) -> int:
    """Print each outcome as it comes, and what there was of each; return the exit code."""
    verdicts: list[str] = []
    for outcome in outcomes:
        verdicts.append(outcome.verdict)
        place = f"[{len(verdicts)}/{total}]"
        print(f"{place:>9} {outcome}", flush=True)  # noqa: T201  # a program
    caught = verdicts.count(CAUGHT)
    print(f"{caught} caught, {verdicts.count(SURVIVED)} survived, {verdicts.count(BROKEN)} could not be tried")  # noqa: T201  # a program
    return 2 if BROKEN in verdicts else int(caught < len(verdicts))
