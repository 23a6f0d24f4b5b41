"""The kinds of pool there are, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._about import NOT_INSTALLED
from ._ours import Ours
from ._peers_async import AnyioTarget, ParallelTarget
from ._peers_threads import LokyTarget, PebbleTarget, ProcessPoolExecutorTarget, StandardPoolTarget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._target import Target

_ALL: Sequence[Target] = (
    Ours(),
    ProcessPoolExecutorTarget(),
    StandardPoolTarget(),
    LokyTarget(),
    PebbleTarget(),
    ParallelTarget(),
    AnyioTarget(),
)

TARGETS: Mapping[str, Target] = {target.name: target for target in _ALL}


def missing(target: Target) -> bool:
    """Return whether a kind of pool cannot be had because its distribution is not installed; ours need not be."""
    return target.version == NOT_INSTALLED and not isinstance(target, Ours)


def target_named(name: str) -> Target:
    """Return the target of that name.

    Raises:
        ValueError: There is none; the message names those there are.
    """
    if name not in TARGETS:
        raise ValueError(f"there is no target {name!r:.80}; there are {', '.join(TARGETS)}")
    return TARGETS[name]
