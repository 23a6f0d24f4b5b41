"""What `make mutation` knows of mutants that survive: why each does, from the list that it holds them against."""

from __future__ import annotations

import tomllib
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generated import GeneratedDirective

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

EXPLAINED = Path(__file__).resolve().parents[2] / ".ci" / "mutation" / "survivors.toml"


class MutationSurvivors(GeneratedDirective):
    """``mutation-survivors``: one table of the explained survivors, by module."""

    def make(self) -> list[nodes.Node]:
        """Make the table."""
        survivors: list[dict[str, Any]] = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["survivor"]
        rows = ["| where | the line | mutated | why no test fails |", "|---|---|---|---|"]
        for file, group in groupby(survivors, key=lambda survivor: survivor["file"]):
            for item in group:
                where = f"`{Path(file).name}` {item['inside']}".strip()
                rows.append(f"| {where} | {_code(item['old'])} | {_code(item['new'])} | {item['why']} |")
        return self.parse_text_to_nodes("\n".join(rows))


def _code(line: str) -> str:
    return f"`` {line} ``".replace("|", "\\|") if line else "(removed)"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("mutation-survivors", MutationSurvivors)
    return {"parallel_read_safe": True}
