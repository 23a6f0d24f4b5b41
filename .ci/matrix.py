#!/usr/bin/env python3
"""Run the tests with every Python from 3.11 to 3.13 found on this machine, and pools of 1, 4 and 16 workers.

Each Python gets an environment of its own under .matrix, with the versions of constraints.txt. In it run, once, all
tests of layers 1 to 3; then, for each size, those tests that a pool's size changes; at 16 the load profile; and with
--chaos the chaos tests. The standard library alone is needed to run this.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 12), (3, 13))
SIZES = (1, 4, 16)
LOAD_SIZE = 16
_ASK = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name, sys.executable)"


class Cell(NamedTuple):
    """One run of pytest."""

    python: str
    what: str
    arguments: tuple[str, ...]


def candidates() -> list[str]:
    """Return where Pythons may be: in PATH, and where pyenv keeps those that are not."""
    names = [f"python{major}.{minor}" for major, minor in PYTHONS] + ["python3", "python"]
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders += sorted(pyenv.glob("3.*/bin"), reverse=True)
    # This environment's own interpreter was asked for by whoever made it, so it comes first.
    return [sys.executable, *(str(folder / name) for folder in folders for name in names if (folder / name).is_file())]


def find_pythons(paths: list[str]) -> dict[str, str]:
    """Return the first working CPython of each wanted version, by version."""
    found: dict[str, str] = {}
    wanted = {f"{major}.{minor}" for major, minor in PYTHONS}
    for path in paths:
        try:
            asked = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, timeout=30, check=True)
            version, implementation, _ = asked.stdout.split(maxsplit=2)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue  # a name without a Python behind it, as version managers leave them
        if version in wanted and implementation == "cpython":
            found.setdefault(version, path)
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def plan(versions: list[str], sizes: tuple[int, ...], *, chaos: bool) -> list[Cell]:
    """Return what is run, in order."""
    cells: list[Cell] = []
    for version in versions:
        cells.append(
            Cell(
                version,
                "layers 1-3",
                (
                    "-m",
                    "not stress",
                ),
            )
        )
        for size in sizes:
            sized = ("--only-pool-sized", "--pool-size", str(size))
            cells.append(Cell(version, f"pool of {size}", ("-m", "not load and not chaos", *sized)))
            if size == LOAD_SIZE:
                cells.append(Cell(version, f"load, pool of {size}", ("-m", "load", "--pool-size", str(size))))
        if chaos:
            cells.append(Cell(version, "chaos", ("-m", "chaos")))
    return cells


def environment(version: str, python: str) -> Path:
    """Make or renew the environment of one Python; return its interpreter."""
    folder = ROOT / ".matrix" / version
    interpreter = folder / "bin" / "python"
    stamp = folder / ".stamp"
    sources = (ROOT / "pyproject.toml", ROOT / ".ci" / "constraints.txt")
    if stamp.exists() and all(stamp.stat().st_mtime >= source.stat().st_mtime for source in sources):
        return interpreter
    print(f"making .matrix/{version}", flush=True)
    subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
    env = {**os.environ, "PIP_CONSTRAINT": str(sources[1]), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    install = [str(interpreter), "-m", "pip", "install", "-qq", "--no-input", "-e", ".[chaos,docs,dspy,testing,dev]"]
    subprocess.run(install, check=True, cwd=ROOT, env=env)
    stamp.touch()
    return interpreter


def run(cell: Cell, interpreter: Path) -> tuple[bool, str]:
    """Run one cell; return whether it passed and pytest's closing line. What failed is printed."""
    command = [str(interpreter), "-m", "pytest", "-q", "-p", "no:cacheprovider", *cell.arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    lines = done.stdout.strip().splitlines()
    closing = next((line for line in reversed(lines) if re.search(r"\b(passed|failed|error|no tests ran)", line)), "")
    if done.returncode:
        print(done.stdout, done.stderr, sep="", flush=True)
    return done.returncode == 0, closing.strip("= ") or f"pytest ended with {done.returncode} and no closing line"


def main() -> int:
    """Run the matrix; return 0 if every cell passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chaos", action="store_true", help="run the chaos tests too")
    parser.add_argument("--python", action="append", metavar="X.Y", help="only this version (may be repeated)")
    parser.add_argument("--size", action="append", type=int, metavar="N", help="only this pool size (may be repeated)")
    parser.add_argument("--plan", action="store_true", help="say what would be run, and run nothing")
    arguments = parser.parse_args()
    pythons = find_pythons(candidates())
    wanted = [f"{major}.{minor}" for major, minor in PYTHONS]
    unknown = sorted(set(arguments.python or ()) - set(wanted))
    if unknown:
        parser.error(f"--python: {', '.join(unknown)} is not of {', '.join(wanted)}")
    versions = [version for version in arguments.python or wanted if version in pythons]
    for version in arguments.python or wanted:
        print(f"Python {version}: {pythons.get(version, 'not found, left out')}")
    if not versions:
        print("no Python to run with", file=sys.stderr)
        return 2
    cells = plan(versions, tuple(arguments.size or SIZES), chaos=arguments.chaos)
    if arguments.plan:
        for cell in cells:
            print(f"{cell.python:<6}{cell.what:<20}pytest {' '.join(cell.arguments)}")
        return 0
    failed = 0
    for number, cell in enumerate(cells, 1):
        interpreter = environment(cell.python, pythons[cell.python])
        begin = time.monotonic()
        passed, closing = run(cell, interpreter)
        failed += not passed
        word = "passed" if passed else "FAILED"
        took = time.monotonic() - begin
        print(f"[{number}/{len(cells)}] {cell.python:<6}{cell.what:<20}{word}  {took:6.1f} s  {closing}", flush=True)
    print(f"{len(cells) - failed} of {len(cells)} cells passed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
