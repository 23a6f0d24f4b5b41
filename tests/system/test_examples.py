"""Every example of the documentation runs as it stands and prints what it says it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)]
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


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_on_a_page_is_part_of_an_example(page: Path) -> None:
    """Each Python block is, word for word, part of an example file, which the test above runs."""
    sources = [example.read_text() for example in EXAMPLES]
    blocks = [block.partition("```")[0] for block in page.read_text().split("```python\n")[1:]]
    assert blocks or page.name != "README.md"
    assert [block for block in blocks if not any(block in source for source in sources)] == []


def test_every_example_is_shown() -> None:
    """An example that no page shows helps nobody; a page that shows one that is not there does not build."""
    shown = {name for page in PAGES for name in re.findall(r"\{example\} (\w+)", page.read_text())}
    assert shown == {example.stem for example in EXAMPLES}
