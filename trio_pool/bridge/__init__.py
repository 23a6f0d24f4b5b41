"""The worker's side: what an application imports to say which commands its workers answer.

``Bridge`` collects commands, ``Session`` is what a command that keeps state is given, ``Interrupted`` what stops one
that nobody waits for any more, ``builtin`` is the application
of a pool that was given none. Importing this package costs a few small modules and nothing else, for every worker pays
it.
"""

from __future__ import annotations

from ._bridge import Bridge
from ._interrupts import Interrupted
from ._session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._builtin import builtin
else:

    def __getattr__(name: str) -> object:
        # An application of its own never pays for the program commands that come with `builtin`.
        if name == "builtin":
            from ._builtin import builtin  # the point of this function

            return builtin
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Bridge", "Interrupted", "Session", "builtin"]
