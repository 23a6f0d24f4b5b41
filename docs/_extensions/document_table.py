"""The page of the testing strategy: each item with our name, its tests, the proof that they can fail, a status.

What does not join, such as an item without a test, is a warning, and warnings fail the build. Other pages name
tests of items with the directive ``document-tests``.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import table
from docutils import nodes
from generated import GeneratedDirective
from sphinx.util import logging

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sphinx.application import Sphinx

log = logging.getLogger(__name__)

COLUMNS = {"item": 18, "here": 18, "tests": 27, "seen to fail": 26, "status": 11}
"""The columns and their widths, in percent."""

NAMED = 6
"""Tests named of one item; those that a mutation was seen to fail come first."""


def markers() -> dict[str, list[str]]:
    """Return the marked tests; pytest is asked once a build."""
    if not _collected:
        try:
            _collected.append(table.collect_markers())
        except RuntimeError as exc:
            log.warning("%s", exc)
            _collected.append({})
    return _collected[0]


_collected: list[dict[str, list[str]]] = []


class DocumentTable(GeneratedDirective):
    """``document-table``: one table a section of items.toml, under the section's title."""

    def make(self) -> list[nodes.Node]:
        """Join, complain, and show."""
        sections, mutations = table.read_items(), table.read_mutations()
        for problem in table.problems(sections, markers(), mutations):
            log.warning("the table of the testing strategy: %s", problem)
        rows = table.table(sections, markers(), mutations, table.read_results())
        shown: list[nodes.Node] = [summary([row for rows_ in rows.values() for row in rows_])]
        for title, section_rows in rows.items():
            heading = nodes.section("", nodes.title("", title), ids=[nodes.make_id(title)], names=[title])
            heading += table_node(section_rows)
            shown.append(heading)
        return shown


class DocumentTests(GeneratedDirective):
    """``document-tests``: the tests of these items, each with its file."""

    required_arguments = 1
    final_argument_whitespace = True

    def make(self) -> list[nodes.Node]:
        """List them."""
        tests = [test for item in self.arguments[0].split() for test in table.tests_of(item, markers())]
        items = [nodes.list_item("", nodes.paragraph("", "", *test_name(test))) for test in dict.fromkeys(tests)]
        return [nodes.bullet_list("", *items)]


def summary(rows: Sequence[table.Row]) -> nodes.paragraph:
    """Return the line above the tables: how many items there are in each status, and of when that is."""
    statuses = [row.status for row in rows]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    if table.RESULTS.is_file():
        written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(table.RESULTS.stat().st_mtime))
        source = f"Statuses are those of the run whose results were written on {written}."
    else:
        source = "No run's results were at hand when this page was built: “collected” says that the tests exist."
    return nodes.paragraph("", f"{len(rows)} items: {counts}. {source}")


def table_node(rows: Iterable[table.Row]) -> nodes.table:
    """Return one section's table."""
    body = nodes.tbody()
    for row in rows:
        body += table_row(cells(row))
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in COLUMNS.values()), cols=len(COLUMNS))
    group += nodes.thead("", table_row([nodes.paragraph("", name)] for name in COLUMNS))
    group += body
    return nodes.table("", group, classes=["document-items", "colwidths-given"])


def table_row(contents: Iterable[Iterable[nodes.Node]]) -> nodes.row:
    """Return a table's row of these cells."""
    return nodes.row("", *(nodes.entry("", *content) for content in contents))


def cells(row: table.Row) -> Iterator[list[nodes.Node]]:
    """Yield the contents of the cells of one item."""
    yield [nodes.paragraph("", "", nodes.strong("", row.item.id), nodes.Text(" "), *inline(row.item.name))]
    yield [nodes.paragraph("", "", *inline(row.item.ours))]
    yield list(named_tests(row))
    yield [paragraph for mutation in row.mutations for paragraph in proof(mutation, len(row.tests))]
    yield [nodes.paragraph("", row.status, classes=[f"status-{row.status.replace(' ', '-')}"])]


def named_tests(row: table.Row) -> Iterator[nodes.paragraph]:
    """Yield an item's tests, or as many of them as can be read."""
    failed = {table.function_of(test) for mutation in row.mutations for test in mutation.tests}
    tests = sorted(row.tests, key=lambda test: test not in failed)
    yield from (nodes.paragraph("", "", *test_name(test)) for test in tests[:NAMED])
    if len(tests) > NAMED:
        yield nodes.paragraph("", f"and {len(tests) - NAMED} more")


def proof(mutation: table.Mutation, tests: int) -> Iterator[nodes.paragraph]:
    """Yield what was taken away where, and, if the item has several tests, which of them failed by it."""
    yield nodes.paragraph("", "", *inline(mutation.what), nodes.Text(" "), small(mutation.file))
    if tests > 1:
        names = [code(test.rpartition("::")[2]) for test in mutation.tests]
        joined = [part for name in names for part in (nodes.Text(", "), name)][1:]
        yield nodes.paragraph("", "", nodes.Text("Failed: "), *joined, classes=["failed"])


def test_name(nodeid: str) -> list[nodes.Node]:
    """Return a test's name and its file, set as code."""
    file, _, name = nodeid.partition("::")
    return [code(name), nodes.Text(" "), small(file)]


def code(name: str) -> nodes.literal:
    """Return a name set as code, which may be broken behind its underscores."""
    parts = re.split(r"(?<=_)", name)
    breaks = (nodes.raw("", "<wbr>", format="html") for _ in parts)
    return nodes.literal("", "", *[node for part in zip(map(nodes.Text, parts), breaks, strict=True) for node in part])


def small(file: str) -> nodes.inline:
    """Return a file's name in small letters."""
    return nodes.inline("", file, classes=["file"])


def inline(text: str) -> list[nodes.Node]:
    """Return a text in which backticks mark code."""
    parts = re.split(r"`(.+?)`", text)
    return [nodes.literal("", part) if index % 2 else nodes.Text(part) for index, part in enumerate(parts) if part]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("document-table", DocumentTable)
    app.add_directive("document-tests", DocumentTests)
    return {"parallel_read_safe": True}
