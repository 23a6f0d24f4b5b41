"""What the documentation says is so: the tests it names exist, every public name is there, tables are the code's."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from chaos.checking._guarantees import GUARANTEES
from trio_pool import errors
from trio_pool._core._worker_states import WorkerStatus, table_markdown
from trio_pool.errors import TrioPoolError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TEST = re.compile(r"`(tests/[\w/]+\.py)`(?:(?:: |\s+has )?`(\w+)`)?", re.DOTALL)


def test_there_are_pages() -> None:
    """The pages are where this file looks for them."""
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_every_test_a_page_names_exists(page: Path) -> None:
    """A promise whose test was renamed or removed is found here."""
    missing = [
        (file, test)
        for file, test in TEST.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / file).is_file() or (test and not defines((ROOT / file).read_text(encoding="utf-8"), test))
    ]
    assert missing == []


def defines(source: str, test: str) -> bool:
    """Tell whether a file has a test of this name: a function, or what Hypothesis makes of a state machine."""
    return f"def {test}(" in source or f"\n{test} = " in source


def test_the_guarantees_name_tests() -> None:
    """Each guarantee is followed by the tests that hold it up."""
    sections = (DOCS / "guarantees.md").read_text(encoding="utf-8").split("\n## ")[1:]
    guarantees = [section for section in sections if re.match(r"\d", section)]
    assert len(guarantees) == 8
    assert all(TEST.search(section) for section in guarantees)


def test_the_harness_calls_the_guarantees_by_their_names() -> None:
    """A verdict that names one leads to its section."""
    page = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\d)\. (.+)$", page, re.MULTILINE)
    assert {int(number): name.lower() for number, name in sections} == GUARANTEES


PACKAGES = ["trio_pool", "trio_pool.bridge", "trio_pool.testing", "trio_pool.wire"]
HARNESS = ["chaos", "chaos.scenario", "chaos.results", "chaos.workload", "chaos.targets"]


@pytest.mark.parametrize("package", [*PACKAGES, *HARNESS])
def test_every_public_name_is_in_the_reference(package: str) -> None:
    """Whatever a package gives out has its place in the reference, or the whole package has."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    whole = set(re.findall(r"^\.\. automodule:: ([\w.]+)\n   :members:$", pages, re.MULTILINE))
    shown: set[str] = set()
    current = ""
    for directive, name in re.findall(r"^\.\. (currentmodule|auto\w+|data):: ([\w.]+)", pages, re.MULTILINE):
        if directive == "currentmodule":
            current = name
        else:
            shown.add(f"{current}.{name}")
    names = importlib.import_module(package).__all__
    assert names
    assert [name for name in names if f"{package}.{name}" not in shown and package not in whole] == []


def test_the_page_of_errors_has_each_with_its_usual_outcome() -> None:
    """The table of errors is complete, and its second column is the class's own."""
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \{name\}`(\w+)` \| `(\w+)` \|", page, re.MULTILINE))
    classes = {name: value for name in errors.__all__ if issubclass(value := getattr(errors, name), Exception)}
    abstract = {"TrioPoolError", "WorkerError"}  # never raised themselves
    assert rows == {
        name: value.default_outcome
        for name, value in classes.items()
        if issubclass(value, TrioPoolError) and name not in abstract
    }


def test_the_page_of_worker_states_is_the_table_that_is_enforced() -> None:
    """The page holds the table as the code writes it, and a line for each status."""
    page = (DOCS / "worker-states.md").read_text(encoding="utf-8")
    assert table_markdown().rstrip() in page
    assert all(f"| `{status}` |" in page for status in WorkerStatus)
