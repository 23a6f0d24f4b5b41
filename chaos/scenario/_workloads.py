"""The built-in workloads: which operations they have, and what each needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ._model import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._model import Workload


@attrs.frozen(kw_only=True)
class OperationKind:
    """An operation of a built-in workload.

    Args:
        meaning: One line.
        session: Whether it needs a session.
        repeatable: Whether running it twice does no harm, so that it may be called idempotent.
        sized: Whether it takes a size.
    """

    meaning: str
    session: bool
    repeatable: bool = True
    sized: bool = False


_REGISTER: Mapping[str, OperationKind] = {
    "append": OperationKind(meaning="add to the session's list, return the list", session=True, repeatable=False),
    "read": OperationKind(meaning="return the session's list", session=True),
    "work": OperationKind(meaning="compute a digest of the arguments", session=False, sized=True),
    "echo": OperationKind(meaning="send a payload there and back", session=False, sized=True),
}

WORKLOADS: Mapping[str, Mapping[str, OperationKind]] = {
    "register": _REGISTER,
    "async": {
        **_REGISTER,
        "fetch": OperationKind(meaning="as work, several at once in one worker", session=False, sized=True),
    },
    "stdlib": {
        "index": OperationKind(meaning="count what a file of the standard library defines", session=True),
    },
}

# Mostly looking, often changing, now and then neither: what shows losses, doublings and mix-ups alike.
_MIX = (
    Operation(name="append", weight=3.0),
    Operation(name="read", weight=5.0, idempotent=True),
    Operation(name="work", weight=2.0, idempotent=True),
)

_DEFAULTS: Mapping[str, tuple[Operation, ...]] = {
    "register": _MIX,
    "async": (*_MIX, Operation(name="fetch", weight=5.0, idempotent=True, alone=True)),
    "stdlib": (Operation(name="index", idempotent=True),),
}

CUSTOM = "python:"
"""How the kind of a workload of one's own begins."""


def operations_of(workload: Workload, *, sessions: bool) -> tuple[Operation, ...]:
    """Return the operations to draw from: those that are given, or else the workload's own mix.

    Args:
        workload: Whose.
        sessions: Whether requests have a session; without, those that need one are left out.
    """
    operations = workload.operations or _DEFAULTS.get(workload.kind, ())
    known = WORKLOADS.get(workload.kind, {})
    return tuple(
        operation
        for operation in operations
        if operation.weight > 0 and (sessions or operation.name not in known or not known[operation.name].session)
    )
