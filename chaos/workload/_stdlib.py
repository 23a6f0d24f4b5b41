"""The flagship's work: every session indexes a package of the running interpreter's standard library.

What a request must answer is counted here before the clock starts, so that every reply can be compared with counts
that no worker had a part in.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .._stdlib_job import make_catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._stdlib_job import Chunk
    from ..scenario._plan import PlannedRequest


class Stdlib:
    """Counts the library, which takes a few seconds."""

    app = "chaos.workload._stdlib_app:bridge"
    operations = ("index",)

    def __init__(self) -> None:
        self._catalogue = make_catalogue()

    @property
    def about(self) -> str:
        """What was counted, in a few words."""
        return f"{self._catalogue.files} files in {len(self._catalogue.packages)} packages of the standard library"

    def touches(self, operation: str) -> str | None:  # there is but one
        """Each request adds to its session's list."""
        return "append"

    def args(self, request: PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        """A directory, and names of files in it."""
        chunk = self._chunk(request, session, step)
        return {"directory": chunk.directory, "files": chunk.files}

    def expect(self, request: PlannedRequest, session: int | None, step: int) -> Mapping[str, Any]:
        """How many modules, classes and functions they define."""
        chunk = self._chunk(request, session, step)
        return {"counts": list(chunk.expected), "package": os.path.basename(chunk.directory)}

    def _chunk(self, request: PlannedRequest, session: int | None, step: int) -> Chunk:
        return self._catalogue.chunk(request.index if session is None else session, step)
