"""The flagship's application: workers parse source files, and remember for each session what they were asked."""

from __future__ import annotations

import os

from trio_pool.bridge import Bridge, Session

from .._stdlib_job import count_file
from ._joining import join_run
from ._operations import perform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

bridge = Bridge()


@bridge.command
def index(session: Session, args: dict[str, Any]) -> dict[str, Any]:
    """Count the modules, classes and functions of some files."""

    def count() -> dict[str, Any]:
        files: list[str] = args["files"]
        counted = [count_file(os.path.join(args["directory"], name)) for name in files]
        totals = [sum(counts[place] for counts in counted) for place in range(3)]
        return {"counts": totals, "package": os.path.basename(args["directory"])}

    return perform("append", args, session.state, count)


join_run()
