"""The table *item → our name → its test → how it was seen to fail → status*, from the tests themselves.

Three sources are joined by the items' ids: items.toml says what the testing strategy asks for, pytest says which
collected tests are marked as an item's counterpart, and mutations.toml says with which removal each was seen to fail.
What does not join is a problem, and a problem fails the build of the documentation.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
MUTATIONS: Final = HERE / "mutations.toml"
GUARANTEES: Final = HERE / "guarantees.toml"
"""The mutations of the guarantees, whose ids are their numbers."""
PAGE: Final = ROOT / "docs" / "guarantees.md"
RESULTS: Final = ROOT / ".document-results.json"
"""How the marked tests ended in the last run that was told to write it: ``pytest --document-results``."""


@attrs.frozen
class Item:
    """One thing the testing strategy asks for."""

    id: str
    name: str
    ours: str


@attrs.frozen
class Section:
    """Items under one heading."""

    title: str
    items: tuple[Item, ...]


@attrs.frozen(kw_only=True)
class Mutation:
    """One removal, and the tests that were seen to fail by it.

    Args:
        ids: The items it is the proof for.
        what: One sentence: what the library does no more.
        file: The file, relative to the root.
        old: The text that must stand there exactly once.
        new: What it is replaced with.
        tests: Node ids; without ``[...]`` of a parametrised test, at least one of its cases must fail.
    """

    ids: tuple[str, ...]
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, source: str) -> str:
        """Return the mutated source.

        Raises:
            ValueError: The old text does not stand there exactly once.
        """
        count = source.count(self.old)
        if count != 1:
            raise ValueError(f"{', '.join(self.ids)}: the text to replace stands {count} times in {self.file}")
        return source.replace(self.old, self.new)


@attrs.frozen(kw_only=True)
class Row:
    """One item with all that is known of it."""

    item: Item
    tests: tuple[str, ...]
    mutations: tuple[Mutation, ...]
    status: str


def read_items(path: Path = HERE / "items.toml") -> tuple[Section, ...]:
    """Read what the testing strategy asks for."""
    return tuple(
        Section(section["title"], tuple(Item(**item) for item in section["items"]))
        for section in tomllib.loads(path.read_text(encoding="utf-8"))["section"]
    )


def read_mutations(path: Path = MUTATIONS) -> tuple[Mutation, ...]:
    """Read the mutations: each says ``remove``, or ``replace`` and ``with``."""
    return tuple(_mutation(entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutation"])


def _mutation(entry: dict[str, Any]) -> Mutation:
    removes = "remove" in entry
    known = {"ids", "what", "file", "tests", *(("remove",) if removes else ("replace", "with"))}
    if entry.keys() != known:
        raise ValueError(f"mutation {entry.get('ids')}: its keys are {sorted(entry)}, not {sorted(known)}")
    return Mutation(
        ids=tuple(entry["ids"]),
        what=entry["what"],
        file=entry["file"],
        old=entry["remove"] if removes else entry["replace"],
        new="" if removes else entry["with"],
        tests=tuple(entry["tests"]),
    )


def collect_markers(root: Path = ROOT) -> dict[str, list[str]]:
    """Ask pytest for the marked tests: ``{node id: [item ids]}``.

    Raises:
        RuntimeError: The tests could not be collected; the message is what pytest said.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "markers.json")
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "collect"]
        outcome = subprocess.run(  # noqa: S603  # this interpreter, with arguments of ours
            [*command, "--document-markers", str(file), "tests"],
            cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(root)))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if outcome.returncode:
            said = "\n".join(outcome.stdout.splitlines()[-20:])
            raise RuntimeError(f"the tests cannot be collected:\n{said}")
        markers: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
        return markers


def read_results(path: Path = RESULTS) -> dict[str, str]:
    """Return how the marked tests ended, by node id; nothing if no run wrote it down."""
    try:
        results: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return results


def function_of(nodeid: str) -> str:
    """Return a node id without the parameters of its case."""
    return nodeid.partition("[")[0]


def guarantee_titles(page: Path = PAGE) -> dict[int, str]:
    """Return what the page calls each guarantee, by its number."""
    return {int(number): title for number, title in _TITLE.findall(page.read_text(encoding="utf-8"))}


_TITLE: Final = re.compile(r"^## (\d+)\. (.+)$", re.MULTILINE)
_NAMED: Final = re.compile(r"`(tests/[\w/]+\.py|[Tt]est\w+)`")


def named_tests(page: str) -> dict[str, set[str]]:
    """Return the tests that the page of guarantees names, by the number of the guarantee.

    A name belongs to the file named before it. A state machine's is that of its class, whose one test is ``runTest``.
    """
    found: dict[str, set[str]] = {}
    for section in page.split("\n## ")[1:]:
        number, dot, _ = section.partition(". ")
        if dot and number.isdigit():
            tests = found[number] = set()
            file = ""
            for name in _NAMED.findall(section):
                if name.startswith("tests/"):
                    file = name
                else:
                    tests.add(f"{file}::{name}" if name.startswith("test_") else f"{file}::{name}::runTest")
    return found


def table(
    sections: Sequence[Section],
    markers: Mapping[str, Sequence[str]],
    mutations: Sequence[Mutation],
    results: Mapping[str, str],
) -> dict[str, tuple[Row, ...]]:
    """Join everything; the keys are the sections' titles."""
    return {
        section.title: tuple(_row(item, markers, mutations, results) for item in section.items) for section in sections
    }


def tests_of(identifier: str, markers: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the test functions that are marked with an item's id."""
    return tuple(dict.fromkeys(function_of(nodeid) for nodeid, ids in markers.items() if identifier in ids))


def _row(
    item: Item, markers: Mapping[str, Sequence[str]], mutations: Sequence[Mutation], results: Mapping[str, str]
) -> Row:
    nodes = [nodeid for nodeid, ids in markers.items() if item.id in ids]
    proofs = tuple(mutation for mutation in mutations if item.id in mutation.ids)
    tests = tests_of(item.id, markers)
    return Row(item=item, tests=tests, mutations=proofs, status=_status(nodes, bool(proofs), results))


def _status(nodes: Sequence[str], proven: bool, results: Mapping[str, str]) -> str:
    if not nodes or not proven:
        return "open"
    if not results:
        return "collected"
    ends = [results.get(nodeid) for nodeid in nodes]
    if "failed" in ends:
        return "failed"
    # A skipped test is not a run one: nothing here may pass by not being tried.
    return "passed" if all(end == "passed" for end in ends) else "not run"


def problems(
    sections: Sequence[Section], markers: Mapping[str, Sequence[str]], mutations: Sequence[Mutation], root: Path = ROOT
) -> Iterator[str]:
    """Yield a line for everything that does not join."""
    items = [item.id for section in sections for item in section.items]
    yield from (f"item {identifier} is listed twice" for identifier in sorted({i for i in items if items.count(i) > 1}))
    carried: dict[str, set[str]] = {}
    for nodeid, ids in markers.items():
        carried.setdefault(function_of(nodeid), set()).update(ids)
    for test, ids in carried.items():
        yield from (f"{test} is marked {identifier}, which is no item" for identifier in sorted(ids - set(items)))
    for identifier in items:
        if not any(identifier in ids for ids in carried.values()):
            yield f"item {identifier} has no test"
        if not any(identifier in mutation.ids for mutation in mutations):
            yield f"item {identifier} has no mutation"
    for mutation in mutations:
        yield from _mutation_problems(mutation, items, carried, root)


def _mutation_problems(
    mutation: Mutation, items: Sequence[str], carried: Mapping[str, set[str]], root: Path
) -> Iterator[str]:
    label = f"mutation {', '.join(mutation.ids)}"
    yield from (f"{label}: {identifier} is no item" for identifier in mutation.ids if identifier not in items)
    yield from (f"{label}: {test} is not a marked test" for test in mutation.tests if function_of(test) not in carried)
    proven = set().union(*(carried.get(function_of(test), set()) for test in mutation.tests))
    # What was seen to fail must be the test of that very row.
    yield from (f"{label}: none of its tests is marked {i}" for i in mutation.ids if i not in proven)
    try:
        mutation.apply((root / mutation.file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        yield f"{label}: {exc}"


_LITERAL: Final = re.compile(r"pytest\.mark\.document\(([^)]*)\)")


def scan_markers(root: Path = ROOT) -> set[str]:
    """Return the ids that the test files' text marks; a quick look for unit tests, which cannot wait for pytest."""
    return {
        identifier
        for path in sorted((root / "tests").rglob("test_*.py"))
        for marker in _LITERAL.findall(path.read_text(encoding="utf-8"))
        for identifier in re.findall(r'"([^"]+)"', marker)
    }
