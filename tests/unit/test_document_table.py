"""The table of the testing strategy cannot lie: what is missing shows, and what it shows was collected or run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from _document_scripts import ROOT, load, table, trials
from _layers import LAYERS

import chaos
import trio_pool
import trio_pool.bridge
import trio_pool.testing
from trio_pool.bridge._standard import Standard
from trio_pool.testing import plugin, strategies

mutate = load("mutate")
collect = load("collect")

ITEM = table.Item(id="F-001", name="a thing", ours="our thing")
SECTIONS = (table.Section(title="Things", items=(ITEM,)),)
MARKERS = {"tests/a.py::test_a[1]": ["F-001"], "tests/a.py::test_a[2]": ["F-001"], "tests/a.py::test_b": ["F-001"]}


def read(file: str) -> str:
    """Return the text of a file of the tree."""
    return (ROOT / file).read_text(encoding="utf-8")


def mutation(**changes: Any) -> Any:
    """Return a mutation that joins with the above."""
    given: dict[str, Any] = {
        "ids": ("F-001",),
        "what": "It does nothing.",
        "file": "thing.py",
        "old": "do()",
        "new": "",
        "tests": ("tests/a.py::test_a",),
    }
    return table.Mutation(**(given | changes))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of one file, to which the mutation applies."""
    (tmp_path / "thing.py").write_text("do()\nmore(); more()\n", encoding="utf-8")
    return tmp_path


def test_every_item_has_a_test_and_a_mutation() -> None:
    """No row of the real table is open, and no mark or mutation is about something else."""
    sections = table.read_items()
    ids = [item.id for section in sections for item in section.items]
    proven = {identifier for each in table.read_mutations() for identifier in each.ids}
    assert len(set(ids)) == len(ids) >= 100
    assert sorted(set(ids) - table.scan_markers()) == []
    assert sorted(table.scan_markers() - set(ids)) == []
    assert sorted(set(ids) - proven) == []
    assert sorted(proven - set(ids)) == []


def resolves(name: str) -> bool:
    """Tell whether a name exists: a public one, dotted or not, a command of a worker, a fixture, a setting."""
    parts = name.split(".")
    for package in (trio_pool, trio_pool.testing, chaos, trio_pool.bridge):
        found: Any = package
        for part in parts[1:] if parts[0] in ("trio_pool", "chaos") and found.__name__ == parts[0] else parts:
            found = getattr(found, part, None)
        if found is not None:
            return True
    return (
        name in {field.name for field in attrs.fields(trio_pool.PoolConfig)}
        or name in trio_pool.bridge.builtin.commands
        or hasattr(Standard, name)
        or hasattr(plugin, name)
        or name == strategies.__name__
        or name in LAYERS
    )


@pytest.mark.parametrize(
    "name",
    sorted(
        {
            name
            for section in table.read_items()
            for item in section.items
            for name in re.findall(r"`\.?([\w.]+)(?:\([^`]*\))?(?:\[\w+\])?`", item.ours)
        }
    ),
)
def test_what_answers_an_item_exists(name: str) -> None:
    """Each name of ours that the table gives can be imported, asked for or set."""
    assert resolves(name) or resolves(f"SessionPool.{name}")


def test_what_answers_an_item_can_be_run() -> None:
    """Each command and folder of ours that the table gives is there."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    quoted = {
        text for section in table.read_items() for item in section.items for text in re.findall(r"`([^`]+)`", item.ours)
    }
    targets = {word for text in quoted if text.startswith("make ") for word in text.split()[1:]}
    assert len(targets) > 8
    assert [target for target in sorted(targets) if f"\n{target}:" not in makefile] == []
    assert [text for text in sorted(quoted) if text.startswith("tests/") and not (ROOT / text).is_dir()] == []


@pytest.mark.parametrize(
    "each",
    [*table.read_mutations(), *table.read_mutations(table.GUARANTEES)],
    ids=lambda each: f"{each.ids[0]}-{Path(each.file).stem}",
)
def test_every_mutation_still_applies(each: Any) -> None:
    """The text a mutation takes away stands in its file exactly once, and the tests it names are there."""
    source = (ROOT / each.file).read_text(encoding="utf-8")
    assert each.apply(source) != source
    for test in each.tests:
        file, _, name = table.function_of(test).removesuffix("::runTest").partition("::")
        assert re.search(rf"^ *(async )?def {name.rpartition('::')[2]}\(|^{name} = ", read(file), re.MULTILINE)
    assert each.what.endswith(".")


def test_every_test_of_a_guarantee_was_seen_to_fail() -> None:
    """The page names no test without a mutation, and no mutation is for a test that the page does not name."""
    seen: dict[str, set[str]] = {}
    for each in table.read_mutations(table.GUARANTEES):
        for number in each.ids:
            seen.setdefault(number, set()).update(each.tests)
    assert table.named_tests(table.PAGE.read_text(encoding="utf-8")) == seen
    assert sorted(seen) == [str(number) for number in range(1, 9)]


def test_a_file_of_tests_is_no_test() -> None:
    """What the page says of a guarantee names functions and state machines, each with its file before it."""
    page = """
## 1. One
`tests/a.py`: `test_a`,
`test_b`
`tests/b.py`: `TestB`

## What is not
`tests/c.py`: `test_c`
"""
    tests = {"tests/a.py::test_a", "tests/a.py::test_b", "tests/b.py::TestB::runTest"}
    assert table.named_tests(page) == {"1": tests}
    for section in table.PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        alone = re.findall(r"`(tests/[\w/]+\.py)`[^`]*(?:`tests/|\Z)", section)
        assert alone == []


def test_what_joins_has_no_problem(tree: Path) -> None:
    """One item with its marked tests and one mutation that applies: nothing to complain about."""
    assert list(table.problems(SECTIONS, MARKERS, [mutation()], tree)) == []


@pytest.mark.parametrize(
    ("markers", "mutations", "said"),
    [
        ({}, [mutation()], "item F-001 has no test"),
        (MARKERS, [], "item F-001 has no mutation"),
        (MARKERS | {"tests/a.py::test_c": ["F-002"]}, [mutation()], "test_c is marked F-002, which is no item"),
        (MARKERS, [mutation(ids=("F-001", "F-003"))], "F-003 is no item"),
        (MARKERS, [mutation(tests=("tests/a.py::test_c",))], "tests/a.py::test_c is not a marked test"),
        (MARKERS | {"tests/a.py::test_c": []}, [mutation(tests=("tests/a.py::test_c",))], "is marked F-001"),
        (MARKERS, [mutation(old="undo()")], "stands 0 times in thing.py"),
        (MARKERS, [mutation(old="more()")], "stands 2 times in thing.py"),
        (MARKERS, [mutation(file="no.py")], "No such file"),
    ],
)
def test_what_does_not_join_is_named(tree: Path, markers: Any, mutations: Any, said: str) -> None:
    """A missing test, a missing mutation, an unknown id, a text that is not there: each is a problem of its own."""
    assert any(said in problem for problem in table.problems(SECTIONS, markers, mutations, tree))


@pytest.mark.parametrize(
    ("markers", "mutations", "results", "status"),
    [
        ({}, [mutation()], {}, "open"),
        (MARKERS, [], {}, "open"),
        (MARKERS, [mutation()], {}, "collected"),
        (MARKERS, [mutation()], dict.fromkeys(MARKERS, "passed"), "passed"),
        (MARKERS, [mutation()], dict.fromkeys(MARKERS, "passed") | {"tests/a.py::test_a[2]": "failed"}, "failed"),
        (MARKERS, [mutation()], dict.fromkeys(MARKERS, "passed") | {"tests/a.py::test_b": "skipped"}, "not run"),
        (MARKERS, [mutation()], {"tests/a.py::test_b": "passed"}, "not run"),
    ],
)
def test_a_status_says_no_more_than_is_known(markers: Any, mutations: Any, results: Any, status: str) -> None:
    """Open without test or proof; passed only if every case of every test was run and passed."""
    [row] = table.table(SECTIONS, markers, mutations, results)["Things"]
    assert row.status == status
    assert row.tests == (("tests/a.py::test_a", "tests/a.py::test_b") if markers else ())


def test_a_mutation_says_either_what_it_removes_or_what_it_replaces(tmp_path: Path) -> None:
    """Both forms are read; any other key is a mistake that is told."""
    file = tmp_path / "mutations.toml"
    head = '[[mutation]]\nids = ["F-001"]\nwhat = "w."\nfile = "f"\ntests = ["t"]\n'
    file.write_text(head + 'remove = "do()"\n' + head + 'replace = "do()"\nwith = "undo()"\n', encoding="utf-8")
    removing, replacing = table.read_mutations(file)
    assert (removing.old, removing.new) == ("do()", "")
    assert (replacing.old, replacing.new) == ("do()", "undo()")
    file.write_text(head + 'remove = "do()"\nwith = "undo()"\n', encoding="utf-8")
    with pytest.raises(ValueError, match="its keys are"):
        table.read_mutations(file)


def test_a_mark_counts_wherever_it_stands() -> None:
    """The ids of a test's own marks and of those around it are put together."""
    marks = [SimpleNamespace(args=("F-001", "T-01")), SimpleNamespace(args=("F-002",))]
    item: Any = SimpleNamespace(iter_markers=lambda name: marks if name == "document" else [])
    assert collect.marked_ids(item) == {"F-001", "F-002", "T-01"}


@pytest.mark.parametrize(
    ("ends", "trouble", "verdict"),
    [
        ({"tests/a.py::test_a": "failed"}, "", "caught"),
        ({"tests/a.py::test_a": "passed"}, "", "SURVIVED"),
        ({"tests/a.py::test_a": "skipped"}, "", "SURVIVED"),
        ({}, "", "BROKEN"),
        ({}, "pytest ended with 2", "BROKEN"),
    ],
)
def test_only_a_test_that_ran_and_failed_catches_a_mutation(
    tree: Path, monkeypatch: pytest.MonkeyPatch, ends: dict[str, str], trouble: str, verdict: str
) -> None:
    """Not run, not collected or not failed is no proof; and the tree is put back in any case."""
    seen: list[str] = []

    def run_tests(tree: Path, tests: Any) -> Any:
        seen.append((tree / "thing.py").read_text(encoding="utf-8"))
        return mutate.Run(ends, trouble)

    monkeypatch.setattr(mutate, "run_tests", run_tests)
    assert mutate.try_mutation(tree, mutation(new="undo()")).verdict == verdict
    assert seen == ["undo()\nmore(); more()\n"]
    assert (tree / "thing.py").read_text(encoding="utf-8") == "do()\nmore(); more()\n"


def test_nothing_outlives_the_trial_of_a_mutation(tree: Path) -> None:
    """What the tests of a tree have left behind is killed, and nothing else."""

    def sleeper(of: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "100"], env={**os.environ, trials.MARK: str(of)})

    with sleeper(tree) as mine, sleeper(tree / "other") as other:
        trials.end_strays(tree)
        assert mine.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_mutations_can_be_chosen_by_item() -> None:
    """By no id come all, by an id those that prove it."""
    both = [mutation(), mutation(ids=("F-002", "T-02"))]
    assert mutate.chosen(both, []) == both
    assert mutate.chosen(both, ["T-02"]) == both[1:]
