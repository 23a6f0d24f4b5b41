"""What pages show of the code itself: examples, the fields of the configuration, a worker's commands, help texts.

Written out by hand, each of these would be wrong after the next change.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from chaos.checking._table import CHECKERS
from chaos.scenario._catalogue import fault_kinds
from chaos.scenario._fault import FaultSpec
from chaos.scenario._metrics import METRICS
from chaos.scenario._reading import read_file
from chaos.scenario._shipped import shipped
from chaos.scenario._trace_points import TRACE_POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    from trio_pool import bridge


def import_object(path: str) -> Any:
    """Return what ``package.module:name`` or ``package:name`` names."""
    module, _, name = path.partition(":")
    return getattr(__import__(module, fromlist=[name]), name)


def argument_docs(cls: type) -> dict[str, str]:
    """Return what the ``Args:`` section of a class's docstring says, by name."""
    section = (inspect.getdoc(cls) or "").partition("Args:\n")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    for line in inspect.cleandoc(section).splitlines():
        entry = re.match(r"(\w+): (.*)", line)
        if entry:
            found[name := entry[1]] = entry[2]
        else:
            found[name] += f" {line.strip()}"
    return found


def default_of(field: attrs.Attribute[Any]) -> str:
    """Return a field's default as it would be written, or nothing for one that must be given."""
    default: Any = field.default
    if default is attrs.NOTHING:
        return ""
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class to Python, a function to its stubs
        made = default.factory()
        return f"{type(made).__name__}()" if attrs.has(type(made)) else repr(made)
    if isinstance(default, int) and not isinstance(default, bool) and default >= 2**20 and default % 2**20 == 0:
        return f"{default // 2**20} * 2**20"
    if isinstance(default, int) and not isinstance(default, bool) and default >= 10_000:
        return f"{default:_}"
    return repr(str(default)) if isinstance(default, str) else repr(default)


EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PRINTS = "# Prints:\n"


class Example(SphinxDirective):
    """``example``: a file of docs/examples, which the tests run, and what it prints."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"output-only": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Show the code without its docstring, and the output that its last comment promises."""
        file = EXAMPLES / f"{self.arguments[0]}.py"
        self.env.note_dependency(str(file))
        code, _, promise = file.read_text(encoding="utf-8").partition(PRINTS)
        output = "".join(line.removeprefix("#").removeprefix(" ") for line in promise.splitlines(keepends=True))
        shown: list[nodes.Node] = []
        if "output-only" not in self.options:
            body = code.partition('"""')[2].partition('"""')[2].strip()
            block = nodes.literal_block(body, body, language="python")
            caption = nodes.caption("", f"docs/examples/{file.name}")
            shown.append(nodes.container("", caption, block, classes=["literal-block-wrapper"], literal_block=True))
        shown.append(nodes.literal_block(output, output, language="text", classes=["prints"]))
        return shown


VOLATILE = "volatile"
"""The mark, in a page's metadata, of a page that depends on more than its own file, and so is read at every build."""


class GeneratedDirective(SphinxDirective):
    """A directive whose page is to be read at every build."""

    def run(self) -> list[nodes.Node]:
        """Mark the page and make the content."""
        self.env.metadata[self.env.docname][VOLATILE] = True
        return self.make()

    def make(self) -> list[nodes.Node]:
        """Return the content."""
        raise NotImplementedError


def volatile_pages(_app: Sphinx, env: BuildEnvironment, *_changes: set[str]) -> list[str]:
    """Name the pages that are marked."""
    return [page for page, metadata in env.metadata.items() if VOLATILE in metadata and page in env.found_docs]


class FieldsTable(GeneratedDirective):
    """``fields-table``: the fields of an attrs class with type, default and meaning."""

    required_arguments = 1

    def make(self) -> list[nodes.Node]:
        """Make the table."""
        cls = import_object(self.arguments[0])
        docs = argument_docs(cls)
        rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
        for field in attrs.fields(cls):
            kind = str(cls.__annotations__[field.name]).replace("|", "\\|")
            meaning = markdown(docs[field.name]).replace("|", "\\|")
            default = default_of(field)
            rows.append(f"| `{field.name}` | `{kind}` | {f'`{default}`' if default else 'required'} | {meaning} |")
        return self.parse_text_to_nodes("\n".join(rows))


class CommandsTable(GeneratedDirective):
    """``commands-table``: the commands of a `Bridge` with parameters and purpose; ``standard`` for every worker's."""

    required_arguments = 1

    def make(self) -> list[nodes.Node]:
        """Make the table."""
        rows = ["| command | arguments | what it does |", "|---|---|---|"]
        for name, function in commands(self.arguments[0]):
            first = (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")
            # Where the code sends its readers on, the reader of a page cannot follow.
            purpose = markdown(re.sub(r"; see `_\S+`", "", first))
            arguments = ", ".join(f"`{argument}`" for argument in parameters(function)).replace("|", "\\|")
            rows.append(f"| `{name}` | {arguments} | {purpose} |")
        return self.parse_text_to_nodes("\n".join(rows))


def commands(source: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a bridge, or of every worker."""
    if source == "standard":
        from trio_pool.bridge._standard import Standard

        names = [name for name in vars(Standard) if not name.startswith("_") and name != "call"]
        yield from ((name, getattr(Standard, name)) for name in names)
    else:
        found: bridge.Bridge = import_object(source)
        yield from found.commands.items()


def parameters(function: Any) -> Iterator[str]:
    """Yield the parameters a caller names, as they would be written; the session is not one of them."""
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self" or "Session" in str(parameter.annotation):
            continue
        if type(parameter.default) is object:  # a mark for "not given", which nobody writes
            parameter = parameter.replace(default=...)
        text = str(parameter.replace(annotation=str(parameter.annotation)))
        yield text.replace("'", "").replace("Ellipsis", "…")


class CheckersTable(GeneratedDirective):
    """``checkers-table``: what a run of the chaos harness is held to."""

    def make(self) -> list[nodes.Node]:
        """Make the table."""
        rows = ["| checker | what it is called | what must hold | guarantee |", "|---|---|---|---|"]
        for checker in CHECKERS:
            guarantee = "" if checker.guarantee is None else str(checker.guarantee)
            rows.append(f"| {checker.number} | {checker.name} | {cell(checker.rule)} | {guarantee} |")
        return self.parse_text_to_nodes("\n".join(rows))


class FaultsTable(GeneratedDirective):
    """``faults-table``: the kinds of fault there are."""

    def make(self) -> list[nodes.Node]:
        """Make the table."""
        common = {field.name for field in attrs.fields(FaultSpec)}
        rows = ["| kind | what happens | settings | how it is done |", "|---|---|---|---|"]
        for kind, cls in fault_kinds().items():
            own = ", ".join(f"`{field.name}`" for field in attrs.fields(cls) if field.name not in common)
            rows.append(f"| `{kind}` | {cell(cls.summary)} | {own} | {cell(cls.mechanism)} |")
        return self.parse_text_to_nodes("\n".join(rows))


class TracePointsTable(GeneratedDirective):
    """``trace-points-table``: the moments that triggers may wait for."""

    def make(self) -> list[nodes.Node]:
        """Make the table."""
        rows = ["| trace point | when it comes | stands still | may be matched | window |", "|---|---|---|---|---|"]
        for point in TRACE_POINTS.values():
            fields = ", ".join(f"`{field}`" for field in point.fields)
            rows.append(f"| `{point.name}` | {cell(point.meaning)} | {point.waits} | {fields} | {point.window or ''} |")
        return self.parse_text_to_nodes("\n".join(rows))


class MetricsTable(GeneratedDirective):
    """``metrics-table``: the metrics that expressions may name."""

    def make(self) -> list[nodes.Node]:
        """Make the table."""
        rows = ["| metric | meaning | while the run lasts | of a window |", "|---|---|---|---|"]
        for metric in METRICS:
            live, windowed = ("yes" if known else "" for known in (metric.live, metric.windowed))
            rows.append(f"| `{metric.name}` | {cell(metric.meaning)} | {live} | {windowed} |")
        return self.parse_text_to_nodes("\n".join(rows))


class ScenariosTable(GeneratedDirective):
    """``scenarios-table``: the scenarios that come with the harness."""

    def make(self) -> list[nodes.Node]:
        """Make the table."""
        rows = ["| scenario | what happens | seconds | groups |", "|---|---|---|---|"]
        for name, path in shipped().items():
            scenario = read_file(path)
            rows.append(f"| `{name}` | {cell(scenario.summary)} | {scenario.duration:g} | {', '.join(scenario.tags)} |")
        return self.parse_text_to_nodes("\n".join(rows))


def cell(text: str) -> str:
    """Return a docstring's text as it can stand in a table."""
    return markdown(text).replace("|", "\\|")


class ProgramOutput(GeneratedDirective):
    """``program-output``: what a Python module prints when run with these arguments."""

    required_arguments = 1
    final_argument_whitespace = True

    def make(self) -> list[nodes.Node]:
        """Run it and show what it printed."""
        text = run_module(self.arguments[0].split())
        return [nodes.literal_block(text, text, language="text")]


def run_module(arguments: Sequence[str]) -> str:
    """Return the output of ``python -m`` with these arguments, as on a terminal of 88 columns without colours."""
    environment = {**os.environ, "COLUMNS": "88", "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603  # ours


def markdown(text: str) -> str:
    """Turn the code marks of a docstring into Markdown's; names in single backticks become links where they can."""
    text = re.sub(r"``(.+?)``", "\0\\1\0", text)
    text = re.sub(r"`(.+?)`", r"{name}`\1`", text)
    return text.replace("\0", "`")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.connect("env-get-outdated", volatile_pages)
    app.add_directive("example", Example)
    app.add_directive("fields-table", FieldsTable)
    app.add_directive("commands-table", CommandsTable)
    app.add_directive("checkers-table", CheckersTable)
    app.add_directive("faults-table", FaultsTable)
    app.add_directive("trace-points-table", TracePointsTable)
    app.add_directive("metrics-table", MetricsTable)
    app.add_directive("scenarios-table", ScenariosTable)
    app.add_directive("program-output", ProgramOutput)
    return {"parallel_read_safe": True}
