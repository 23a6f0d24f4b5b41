"""What can follow in a command line that is being typed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from chaos.checking._table import CHECKERS
from chaos.cli import _completion
from chaos.cli._arguments import FORMATS, SHELLS, SITUATIONS, make_parser
from chaos.cli._completion import DIRECTORIES, FILES, SOURCES, TOML, answers
from chaos.cli._main import main
from chaos.scenario._catalogue import fault_kinds
from chaos.scenario._shipped import groups, shipped
from chaos.scenario._templates import TEMPLATES
from chaos.scenario._trace_points import TRACE_POINTS
from chaos.targets._registry import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def words(line: str) -> set[str]:
    """Return what can follow; the last word of the line is the one that is being typed."""
    return {word for word, _about in answers(line.split(" "))}


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in make_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def test_every_value_is_known_what_it_may_be() -> None:
    """Whatever command and option is added: it has choices, takes nothing, or its values come from somewhere."""
    for name, parser in parsers():
        for action in parser._actions:
            if action.nargs != 0 and action.choices is None:
                assert action.metavar in SOURCES, f"{name} {action.metavar}"


def test_commands_and_their_options_are_the_parsers() -> None:
    """All of them, and no hidden one."""
    assert words("") == {name for name, _parser in parsers()}
    for name, parser in parsers():
        visible = [action for action in parser._actions if action.help is not argparse.SUPPRESS]
        assert words(f"{name} --") == {
            option for action in visible for option in action.option_strings if option.startswith("--")
        }
    assert words("--") == {"--help", "--version"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run ", {*shipped(), *groups(), TOML}),
        ("run kill ", {*shipped(), *groups(), TOML}),
        ("run --seed 7 --target ", set(TARGETS)),
        ("run --out ", {DIRECTORIES}),
        ("run --junit ", {FILES}),
        ("run --seed ", set()),
        ("explain ", {*fault_kinds(), *(checker.number for checker in CHECKERS), *TRACE_POINTS}),
        ("explain wire.c", {"wire.coalesce", "wire.corrupt"}),
        ("explain freeze ", set()),
        ("new mine --template ", set(TEMPLATES)),
        ("compare-pools --only loky --only peb", {"pebble"}),
        ("compare-pools --situation ", set(SITUATIONS)),
        ("report some/run --format ", set(FORMATS)),
        ("report --format = ht", {"html"}),  # as bash has it
        ("report --format =", set(FORMATS)),
        ("report --format=ht", {"--format=html"}),  # as zsh and fish do
        ("report -- --", {DIRECTORIES}),
        ("run --plain --pl", set()),
        ("run --set pool.size=3 --se", {"--set", "--seed"}),
        ("completion ", set(SHELLS)),
        ("no-such-command ", set()),
    ],
)
def test_what_can_follow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, expected: set[str]) -> None:
    """Commands, options, choices and names, each where it belongs and begun as it was typed."""
    monkeypatch.chdir(tmp_path)
    assert words(line) == expected


def test_runs_are_found_the_newest_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those below the directory where runs go, once each, and any other directory by its name."""
    monkeypatch.chdir(tmp_path)
    for run in ("kill/20260101T000000Z-1", "kill/20260103T000000Z-1", "freeze/20260102T000000Z-7", "freeze/not-a-run"):
        (tmp_path / "chaos-runs" / run).mkdir(parents=True)
        if "not" not in run:
            (tmp_path / "chaos-runs" / run / "history.jsonl").touch()
    (tmp_path / "chaos-runs" / "kill" / "latest").symlink_to("20260103T000000Z-1")
    for line in ("report ", "replay ", "analyze ", "compare x "):
        assert [word for word, _about in answers(line.split(" "))] == [
            "chaos-runs/kill/20260103T000000Z-1",
            "chaos-runs/freeze/20260102T000000Z-7",
            "chaos-runs/kill/20260101T000000Z-1",
            DIRECTORIES,
        ]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_asks_the_program_it_was_printed_by(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    """It is for the name the program was called by, asks in the one way there is, and knows each kind of answer."""
    for called, names in (("/usr/bin/trio-pool-chaos", "trio-pool-chaos"), ("/x/chaos/__main__.py", "python python3")):
        monkeypatch.setattr("sys.argv", [called])
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert f" {names}" in script
        assert "@" not in script.replace("[@]", "").replace("(@", "")
        for word in (_completion.COMPLETE, FILES, TOML, DIRECTORIES):
            assert f" {word}" in script
