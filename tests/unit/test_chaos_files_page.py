"""The page of a run's files: every type of record that the code writes, with the fields that the code knows."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from _chaos_files_page import PAGE, documented
from _chaos_made import made
from _chaos_reported import store

import chaos
import trio_pool
from chaos import results
from chaos.evidence._records import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

HARNESS = Path(chaos.__file__).parent
SOURCES = ("run", "client", "chaos", "sampler")


def written(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the source and the type of every record whose writing names both."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "record":
            texts = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
            if len(texts) == 2 and texts[0] in SOURCES:
                yield str(texts[0]), str(texts[1])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "control.note":
            yield "run", str(getattr(node.args[0], "value", ""))


def test_every_record_that_the_code_writes_is_on_the_page() -> None:
    """Whoever adds a type of record tells of it."""
    texts = [path.read_text(encoding="utf-8") for path in HARNESS.rglob("*.py")]
    writers = [text for text in texts if ".record(" in text or ".note(" in text]
    found = {each for text in writers for each in written(ast.parse(text))}
    assert len(found) > 20
    assert found - documented().keys() == set()


def test_what_readers_rely_on_is_on_the_page() -> None:
    """The fields without which a history is refused are in every record, by the page too."""
    page = documented()
    for key, fields in FIELDS.items():
        assert fields.keys() <= page[key].always, key


def events(cls: type) -> Iterator[type]:
    """Yield the public kinds of event; attrs leaves each class with slots a twin behind."""
    children: list[type] = cls.__subclasses__()
    for each in children:
        if getattr(trio_pool, each.__name__, None) is each:
            yield each
        yield from events(each)


def test_the_events_of_the_pool_are_on_the_page() -> None:
    """Each with the fields it has."""
    known = {
        cls.__name__: {field.name for field in attrs.fields(cls)} - {"at", "pool"}
        for cls in events(trio_pool.PoolEvent)
    }
    page = {kind: set(fields.always) for (source, kind), fields in documented().items() if source == "pool"}
    assert page == known


def shapes(value: Any, cls: type) -> None:
    """Check that an object of results.json has the fields of its class, and those in it likewise."""
    assert set(value) == {field.name for field in attrs.fields(cls)}


def test_results_have_the_fields_on_the_page(tmp_path: Path) -> None:
    """Every object in the file is one of the classes whose fields the page shows, with just those fields."""
    directory = store(made(), tmp_path / "stored")
    reports = chaos.analyze(directory)
    data = json.loads(reports.text(chaos.Format.JSON))
    shapes(data, results.Results)
    lists = {
        "findings": results.Finding,
        "objectives": results.Judged,
        "sometimes": results.Judged,
        "steady": results.Steady,
        "recovery": results.Occurrence,
        "missed": results.Missed,
        "numbers": results.Numbers,
    }
    for name, cls in lists.items():
        for each in data[name]:
            shapes(each, cls)
    for finding in data["findings"]:
        for witness in finding["witnesses"]:
            shapes(witness, results.Witness)
    for occurrence in data["recovery"]:
        for victim in occurrence["victims"]:
            shapes(victim, results.Victim)
    spreads = [value for numbers in data["numbers"] for value in numbers.values() if isinstance(value, dict)]
    spreads = [value for value in spreads if "quantiles" in value]
    assert spreads
    for spread in spreads:
        shapes(spread, results.Spread)
        for quantile in spread["quantiles"]:
            shapes(quantile, results.Quantile)


@pytest.mark.parametrize("name", [name for name in results.__all__ if attrs.has(getattr(results, name))])
def test_every_class_of_results_is_on_the_page(name: str) -> None:
    """Its fields are shown as the code has them."""
    assert f"{{fields-table}} chaos.results:{name}\n" in PAGE.read_text(encoding="utf-8")
