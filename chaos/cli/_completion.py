"""Completion of the command line in shells.

A shell asks the program itself at every press of the key, so that nothing is written down twice: what can follow is
read off the parser, and names from where they come from. The scripts of the shells only ask and show.

An answer is a line for each word that can follow, with a tab and what it means where that is known. A line that begins
with a colon is no word: it says of which files the shell is to complete the names as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .._exits import EXIT_PASS
from .._output import Console
from .._program import command_line
from ._arguments import make_parser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Answers = Iterator[tuple[str, str]]

COMPLETE = "__complete"
"""In place of a command: the words that follow are those of a line that is being typed, the last up to the cursor."""

FILES, TOML, DIRECTORIES = ":files", ":toml", ":directories"

_SHELLS = Path(__file__).parent / "shells"

_MOST_RUNS = 50
"""Of the runs below ``chaos-runs``, the newest: more than anybody looks through."""


def completion(arguments: argparse.Namespace) -> int:
    """Print a shell's script for this program, as it was called."""
    under_python = len(command_line()) > 1
    names = "python python3" if under_python else Path(command_line()[0]).name
    text = (_SHELLS / f"completion.{arguments.shell}").read_text(encoding="utf-8")
    Console(plain=True).write(text.replace("@NAMES@", names))
    return EXIT_PASS


def complete(words: Sequence[str]) -> int:
    """Print what can stand in place of the last of these words."""
    console = Console(plain=True)
    for word, about in answers(words):
        console.write(f"{word}\t{about}\n" if about else f"{word}\n")
    return EXIT_PASS


def answers(words: Sequence[str]) -> Answers:
    """Yield what can stand in place of the last of these words, with what it means."""
    *before, current = words or [""]
    # Bash makes a word of its own of an equals sign, and zsh and fish none.
    current = "" if current == "=" else current
    before = [word for word in before if word != "="]
    parser: argparse.ArgumentParser = make_parser()
    if before:
        commands = _commands(parser)
        if before[0] not in commands:
            return
        parser, before = commands[before[0]], before[1:]
    for word, about in _following(parser, before, current):
        if word.startswith((":", current)):
            yield word, about


def _following(parser: argparse.ArgumentParser, before: Sequence[str], current: str) -> Answers:
    actions = parser._actions  # argparse tells nobody otherwise what a parser takes
    options = {name: action for action in actions for name in action.option_strings}
    places = [action for action in actions if not action.option_strings]
    used: set[argparse.Action] = set()
    taken, open_, plain = 0, None, False
    for word in before:
        name, equals, _ = word.partition("=")
        if open_ is not None:
            open_ = None
        elif word == "--" and not plain:
            plain = True
        elif not plain and name in options:
            used.add(options[name])
            open_ = options[name] if _takes_value(options[name]) and not equals else None
        else:
            taken += 1
    name, equals, begun = current.partition("=")
    if open_ is not None:
        yield from _values(open_, current)
    elif not plain and equals and name in options:
        yield from ((f"{name}={value}", about) for value, about in _values(options[name], begun) if value[0] != ":")
    elif not plain and current.startswith("-"):
        for name, action in options.items():
            again = isinstance(action, argparse._AppendAction)  # pyright: ignore[reportPrivateUsage]  # as above
            if name.startswith("--") and action.help is not argparse.SUPPRESS and (again or action not in used):
                yield name, _help(action)
    elif places:
        place = places[min(taken, len(places) - 1)]
        if taken < len(places) or place.nargs in ("+", "*"):
            yield from _values(place, current)


def _commands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:  # as above
        if action.dest == "command":
            return cast("Mapping[str, argparse.ArgumentParser]", action.choices)
    return {}


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def _help(action: argparse.Action) -> str:
    about = action.help or ""
    # The choices follow as words of their own.
    return "" if "%(" in about else about


def _values(action: argparse.Action, current: str) -> Answers:
    if action.dest == "command":
        for name, parser in cast("Mapping[str, argparse.ArgumentParser]", action.choices).items():
            yield name, (parser.description or "").partition("\n")[0]
    elif action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    else:
        yield from SOURCES.get(str(action.metavar), _nothing)(current)


# -- names -------------------------------------------------------------------------------------------------------------


def _nothing(_current: str) -> Answers:
    yield from ()


def _scenarios(_current: str) -> Answers:
    from ..scenario._shipped import groups, shipped

    yield from ((name, "") for name in shipped())
    yield from ((name, f"a group of {len(names)}") for name, names in groups().items())
    yield TOML, ""


def _explained(_current: str) -> Answers:
    from ..checking._table import CHECKERS
    from ..scenario._catalogue import fault_kinds
    from ..scenario._trace_points import TRACE_POINTS

    yield from ((kind, cls.summary) for kind, cls in fault_kinds().items())
    yield from ((checker.number, checker.name) for checker in CHECKERS)
    yield from ((point.name, point.meaning) for point in TRACE_POINTS.values())


def _targets(_current: str) -> Answers:
    from ..targets._registry import TARGETS

    yield from ((target.name, target.version) for target in TARGETS.values())


def _templates(_current: str) -> Answers:
    from ..scenario._templates import TEMPLATES

    yield from ((name, about) for name, (about, *_rest) in TEMPLATES.items())


def _runs(_current: str) -> Answers:
    # By their names they are in the order of time.
    found = {path.parent for path in Path("chaos-runs").glob("*/*/history.jsonl") if not path.parent.is_symlink()}
    for path in sorted(found, key=lambda path: path.name, reverse=True)[:_MOST_RUNS]:
        yield str(path), ""
    yield DIRECTORIES, ""


def _directories(_current: str) -> Answers:
    yield DIRECTORIES, ""


def _files(_current: str) -> Answers:
    yield FILES, ""


SOURCES: Mapping[str, Callable[[str], Answers]] = {
    "SCENARIO": _scenarios,
    "FAULT|CHECKER|POINT": _explained,
    "POOL": _targets,
    "T": _templates,
    "RUN": _runs,
    "A": _runs,
    "B": _runs,
    "DIR": _directories,
    "FILE": _files,
    # Numbers, and names that nobody knows yet.
    **dict.fromkeys(("N", "K", "S", "J", "NAME", "PATH=VALUE"), _nothing),
}
"""What a value may be, by what the help calls it, where the parser has no choices for it."""
