"""Every example of the documentation runs as it stands and prints what it says it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
PRINTS = "# Prints:\n"


def promised_output(source: str) -> str:
    """Return the lines that the comment at the end of an example promises."""
    _, found, promise = source.rpartition(PRINTS)
    assert found, "an example ends with a comment that says what it prints"
    return "".join(line.removeprefix("#").removeprefix(" ") for line in promise.splitlines(keepends=True))


def test_there_are_examples() -> None:
    """The examples are where this file looks for them."""
    assert EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_what_it_promises(example: Path, tmp_path: Path) -> None:
    """Run from anywhere, an example ends with exit code 0 and prints its lines; a crash it survives is only logged."""
    outcome = subprocess.run(
        [sys.executable, example],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,  # two orders of magnitude above what an example takes: reached only by one that hangs
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout == promised_output(example.read_text())


def test_the_readme_shows_an_example_that_runs() -> None:
    """Each Python block of the README is, word for word, part of an example file, which the test above runs."""
    sources = [example.read_text() for example in EXAMPLES]
    blocks = [block.partition("```")[0] for block in (ROOT / "README.md").read_text().split("```python\n")[1:]]
    assert blocks
    assert all(any(block in source for source in sources) for block in blocks)
