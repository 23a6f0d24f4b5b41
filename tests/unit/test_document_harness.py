"""The table of removals cannot lie: each applies, and is caught by nothing but the finding that names its guarantee."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _document_scripts import FOLDER, ROOT, load, removals, table, trials

from chaos.checking._table import CHECKERS
from chaos.scenario._reading import read_file
from chaos.scenario._shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

harness = load("harness")

TABLE = removals.read_removals()
NUMBERS = list(range(1, 9))


def mutation(**changes: Any) -> Any:
    """Return a mutation of the tree below."""
    given = {"ids": ("4",), "what": "It does nothing.", "file": "thing.py", "old": "do()", "new": "", "tests": ()}
    return table.Mutation(**(given | changes))


def removal(*mutations: Any) -> Any:
    """Return a removal of the fourth guarantee."""
    return removals.Removal(
        guarantee=4, scenario="cancel-long", checker="C24", mutations=mutations or (mutation(new="undo()"),)
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of one file, to which the mutation applies."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "thing.py").write_text("do()\nmore()\n", encoding="utf-8")
    return tree


def source(tree: Path) -> str:
    """Return what stands in the tree's file."""
    return (tree / "thing.py").read_text(encoding="utf-8")


# -- the table itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", TABLE, ids=lambda each: f"{each.guarantee}-{each.scenario}-{each.checker}")
def test_every_removal_still_applies(each: Any) -> None:
    """Each text stands in its file exactly once, in the library, and one change leaves the others their texts."""
    changed: dict[str, str] = {}
    for one in each.mutations:
        assert one.file.startswith("trio_pool/")
        before = changed.get(one.file, (ROOT / one.file).read_text(encoding="utf-8"))
        changed[one.file] = one.apply(before)
        assert changed[one.file] != before
        assert one.what.endswith(".")
    for file, text in changed.items():
        compile(text, file, "exec")


@pytest.mark.parametrize("each", TABLE, ids=lambda each: f"{each.guarantee}-{each.scenario}-{each.checker}")
def test_every_removal_names_who_is_to_see_it(each: Any) -> None:
    """A shipped scenario, and a checker that watches over that guarantee and is not disabled there."""
    watching = {checker.number: checker.guarantee for checker in CHECKERS}
    assert watching[each.checker] == each.guarantee
    assert each.checker not in read_file(shipped()[each.scenario]).checks.disable


def test_every_guarantee_has_a_removal() -> None:
    """All that the page has, no more; and none is there twice."""
    assert list(table.guarantee_titles()) == NUMBERS
    assert sorted({each.guarantee for each in TABLE}) == NUMBERS
    assert len(set(TABLE)) == len(TABLE)


def test_every_guarantee_is_watched_over() -> None:
    """No checker is about a guarantee that the page does not have, and none is without one."""
    assert sorted({checker.guarantee for checker in CHECKERS if checker.guarantee is not None}) == NUMBERS


def read(tmp_path: Path, entry: str, sentences: tuple[str, ...] = ("One.", "Two.")) -> Any:
    """Read a table with this entry, beside a table of guarantees with these sentences."""
    guarantees, file = tmp_path / "guarantees.toml", tmp_path / "harness.toml"
    head = '[[mutation]]\nids = ["4"]\nfile = "f"\ntests = ["t"]\nremove = "do()"\n'
    guarantees.write_text("".join(f'{head}what = "{sentence}"\n' for sentence in sentences), encoding="utf-8")
    file.write_text(f'[[removal]]\nguarantee = 4\nchecker = "C24"\n{entry}', encoding="utf-8")
    (found,) = removals.read_removals(file, guarantees)
    return found


def test_a_removal_refers_to_mutations_or_is_one(tmp_path: Path) -> None:
    """To as many as it likes, all at once; its own is written as theirs are."""
    both = read(tmp_path, 'scenario = "s"\nmutations = ["Two.", "One."]\n')
    assert both.what == "Two. One."
    assert [each.old for each in both.mutations] == ["do()", "do()"]
    own = 'scenario = "s"\nwhat = "Own."\nfile = "f"\n'
    (one,) = read(tmp_path, own + 'remove = "do()"\n').mutations
    assert (one.what, one.file, one.old, one.new) == ("Own.", "f", "do()", "")
    (one,) = read(tmp_path, own + 'replace = "do()"\nwith = "undo()"\n').mutations
    assert (one.old, one.new) == ("do()", "undo()")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('scenario = "s"\nmutations = ["Three."]\n', "0 mutations say: Three."),
        ('scenario = "s"\nmutations = ["One."]\n', "2 mutations say: One."),
        ('mutations = ["Two."]\n', "beside"),
        ('scenario = "s"\n', "beside"),
        ('scenario = "s"\nmutations = ["Two."]\nwhat = "Own."\n', "beside"),
        ('scenario = "s"\nwhat = "Own."\nfile = "f"\nreplace = "do()"\n', "beside"),
    ],
)
def test_what_is_no_removal_is_told(tmp_path: Path, entry: str, said: str) -> None:
    """A sentence that nothing or more than one thing has, and keys that are missing or too many."""
    with pytest.raises(ValueError, match=said):
        read(tmp_path, entry, ("One.", "One.", "Two."))


# -- trying one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        (harness.Run(1, (("C24", 4),)), "caught"),
        (harness.Run(5, (("C20", 4), ("C24", 4))), "caught"),
        (harness.Run(0), "SURVIVED"),
        (harness.Run(1, (("C20", 4),)), "SURVIVED"),
        (harness.Run(1, (("C24", None),)), "SURVIVED"),
        (harness.Run(2, (("C24", 4),)), "SURVIVED"),
        (harness.Run(3, (("C24", 4),)), "SURVIVED"),
        (harness.Run(trouble="no end"), "BROKEN"),
    ],
)
def test_only_the_finding_that_names_the_guarantee_catches_its_removal(
    tree: Path, monkeypatch: pytest.MonkeyPatch, run: Any, verdict: str
) -> None:
    """Red by another checker, or not red, is no proof; and the tree is put back in any case."""
    seen: list[tuple[str, str]] = []

    def run_scenario(tree: Path, scenario: str) -> Any:
        seen.append((scenario, source(tree)))
        return run

    monkeypatch.setattr(harness, "run_scenario", run_scenario)
    assert harness.try_removal(tree, removal()).verdict == verdict
    assert seen == [("cancel-long", "undo()\nmore()\n")]
    assert source(tree) == "do()\nmore()\n"


def test_a_removal_that_does_not_apply_cannot_be_tried(tree: Path) -> None:
    """Nothing is run, and what had been changed of it is put back."""
    outcome = harness.try_removal(tree, removal(mutation(new="undo()"), mutation(old="less()")))
    assert outcome.verdict == "BROKEN"
    assert "stands 0 times in thing.py" in outcome.detail
    assert source(tree) == "do()\nmore()\n"


def test_several_changes_of_one_file_are_all_put_back(tree: Path) -> None:
    """The file is as it was before the first of them."""
    with trials.mutated(tree, [mutation(new="undo()"), mutation(old="more()", new="less()")]):
        assert source(tree) == "undo()\nless()\n"
    assert source(tree) == "do()\nmore()\n"


def judged(code: int, **changes: Any) -> dict[str, Any]:
    """Return what a run of the harness writes down, as far as it is read here."""
    findings = [
        {"checker": "C24", "guarantee": 4, "judgement": "fail"},
        {"checker": "C2", "guarantee": None, "judgement": "fail"},
        {"checker": "C1", "guarantee": 1, "judgement": "pass"},
        {"checker": "C20", "guarantee": 4, "judgement": "unknown"},
    ]
    return {"exit_code": code, "findings": findings, "reasons": ["C24 cancellation: one"]} | changes


def ending(code: int, results: dict[str, Any] | None) -> Callable[..., Any]:
    """Return what stands in for a run: it writes these results and ends with this code."""

    def run_in(tree: Path, command: list[str], timeout: float) -> Any:
        assert command[1:5] == ["-m", "chaos", "run", "kill"]
        if results is not None:
            Path(command[-1], "results.json").write_text(json.dumps(results), encoding="utf-8")
        return subprocess.CompletedProcess(command, code, stdout="some\nlast words\n\n")

    return run_in


def test_a_run_is_read_from_its_results(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed, by checker and guarantee; what is unknown has not failed. The directory of the run is not kept."""
    monkeypatch.setattr(harness, "run_in", ending(1, judged(1)))
    assert harness.run_scenario(tree, "kill") == harness.Run(1, (("C24", 4), ("C2", None)), ("C24 cancellation: one",))
    assert [each.name for each in tree.parent.iterdir()] == ["tree"]


@pytest.mark.parametrize(
    ("code", "results", "said"),
    [
        (70, None, "ended with 70 and no results: last words"),
        (70, judged(70), "did not come to its end, exit code 70: C24"),
        (1, judged(5), "did not come to its end"),
        (130, judged(1), "did not come to its end"),
        (4, judged(4, findings=[]), "did not come to its end"),
    ],
)
def test_a_run_that_came_to_no_verdict_is_trouble(
    tree: Path, monkeypatch: pytest.MonkeyPatch, code: int, results: Any, said: str
) -> None:
    """A harness that failed, was interrupted or could not start says nothing about the guarantee."""
    monkeypatch.setattr(harness, "run_in", ending(code, results))
    assert said in harness.run_scenario(tree, "kill").trouble


def test_a_run_without_end_is_trouble(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was killed when its time was over."""

    def run_in(_tree: Path, command: list[str], timeout: float) -> Any:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(harness, "run_in", run_in)
    assert harness.run_scenario(tree, "kill").trouble == "no end within 300 s"


# -- trying all --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (harness.Run(), harness.Run(1, (("C24", 4), ("C20", 4))), 0),
        (harness.Run(), harness.Run(), 1),
        (harness.Run(), harness.Run(trouble="no end"), 2),
        (harness.Run(1), harness.Run(1, (("C24", 4), ("C20", 4))), 2),
        (harness.Run(trouble="no end"), harness.Run(1, (("C24", 4), ("C20", 4))), 2),
    ],
)
def test_the_exit_code_says_how_it_went(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], before: Any, after: Any, code: int
) -> None:
    """0 if all were caught, 1 if one was not, 2 if one could not be tried or its scenario does not pass without it."""
    runs: list[str] = []

    def run_scenario(_tree: Path, scenario: str) -> Any:
        runs.append(scenario)
        return before if len(runs) == 1 else after

    monkeypatch.setattr(harness, "run_scenario", run_scenario)
    monkeypatch.setattr(harness, "copies", lambda _folder, count: [tree] * count)
    monkeypatch.setattr(harness, "read_removals", lambda: (removal(), removal(mutation(old="more()"))))
    assert harness.main(["--only", "4"]) == code
    assert len(runs) == (1 if before != harness.Run() else 3)
    shown = capsys.readouterr().out
    assert ("[2/2]" in shown) == (len(runs) == 3)
    assert source(tree) == "do()\nmore()\n"


def test_a_guarantee_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """By the parser, as any wrong argument."""
    with pytest.raises(SystemExit):
        harness.main(["--only", "9"])
    assert "no such guarantee" in capsys.readouterr().err


def test_each_is_tried_on_a_tree_that_nobody_else_has(tmp_path: Path) -> None:
    """However many at a time; and they are told in their order."""
    trees = [tmp_path / "a", tmp_path / "b"]
    used: list[Path] = []

    both = threading.Barrier(2, timeout=10)

    def attempt(tree: Path, item: int) -> int:
        assert tree not in used
        used.append(tree)
        both.wait()  # nobody goes on before two are at it
        used.remove(tree)
        both.wait()
        return item

    assert list(trials.each_on_a_copy(trees, range(8), attempt)) == list(range(8))


def test_the_make_target_carries_the_table_out() -> None:
    """`make harness` runs the script, and is among what `make help` tells."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"harness: $(DEV)\n\t$(BIN)/python {(FOLDER / 'harness.py').relative_to(ROOT)} $(ARGS)\n" in makefile
    assert "@echo 'make harness " in makefile
