"""The kinds of pool there are, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._ours import Ours

if TYPE_CHECKING:
    from ._target import Target


def target_named(name: str) -> Target:
    """Return the target of that name.

    Raises:
        ValueError: There is none; the message names those there are.
    """
    targets: dict[str, Target] = {target.name: target for target in (Ours(),)}
    if name not in targets:
        raise ValueError(f"there is no target {name!r}; there are {', '.join(targets)}")
    return targets[name]
