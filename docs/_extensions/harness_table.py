"""Which checkers of the chaos harness watch over each guarantee, and without what each was seen to be named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generated import GeneratedDirective
from removals import read_removals
from sphinx.util import logging
from table import guarantee_titles

from chaos.checking._table import CHECKERS

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

log = logging.getLogger(__name__)


class HarnessTable(GeneratedDirective):
    """``harness-table``: a row for each guarantee."""

    def make(self) -> list[nodes.Node]:
        """Join the checkers with the table of removals; a guarantee that nothing watches over is a warning."""
        removals = read_removals()
        rows = ["| guarantee | checkers | without this | the scenario | is red by |", "|---|---|---|---|---|"]
        for number, title in guarantee_titles().items():
            checkers = ", ".join(f"{each.number} {each.name}" for each in CHECKERS if each.guarantee == number)
            seen = [removal for removal in removals if removal.guarantee == number]
            if not seen or not checkers:
                log.warning("no checker of the harness was seen to name guarantee %s", number)
            first = [f"{number}. {title}", checkers]
            for removal in seen:
                rows.append(f"| {' | '.join([*first, removal.what, f'`{removal.scenario}`', removal.checker])} |")
                first = ["", ""]
        return self.parse_text_to_nodes("\n".join(rows))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("harness-table", HarnessTable)
    return {"parallel_read_safe": True}
